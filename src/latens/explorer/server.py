"""A small local server for the explorer's page: a closed set of files, two computations, for one user's browser only.

It listens on 127.0.0.1. Nothing in a request is ever joined to a path: names are looked up in a mapping. Who may ask is
decided in `latens.explorer.guard`.
"""

import contextlib
import json
import logging
import os
import re
import socket
import socketserver
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import numpy as np

from latens.errors import DivergedError, ResourceError
from latens.explorer.decoder import decoded_means
from latens.explorer.guard import SECURITY_HEADERS, Gate, Refused
from latens.explorer.whatif import MOST_QUESTION, Answer, answers
from latens.trained.trained_model import TrainedModel

log = logging.getLogger("latens.explorer")
Result = TypeVar("Result")

MOST_BODY = 1024 * 1024

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class DecodeEndpoint:
    """What POST `decode` computes: rows led by n, in the units of the data."""

    size: int  # numbers of one latent
    # function of float32 latents (n, size) and, of a conditional model, whole-number codes of their classes (n,), else
    # None
    function: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    classes: int = 0  # how many classes a conditional model has; 0 for others


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection; a subclass says of which page."""

    protocol_version = "HTTP/1.1"
    page: "PageServer"
    timeout = 60.0  # seconds in which a client has to send or to take something
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Give a file of the page."""
        self._answer(self._get)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Compute what is asked of the model."""
        self._answer(self._post)

    def _answer(self, answer: Callable[[str], None]) -> None:
        try:
            path, _, query = self.path.partition("?")
            asked = self.page.gate.check(self.command, path, query, self.headers)
            if asked is not None:  # the first visit: the token becomes a cookie
                headers = {"Location": "./", "Set-Cookie": asked}
                self._send(HTTPStatus.SEE_OTHER, b"", "text/plain; charset=utf-8", headers)
                return
            answer(path)
        except Refused as refusal:
            self._refuse(refusal)
        except OSError:  # the browser went away
            self.close_connection = True

    def _get(self, path: str) -> None:
        if self.headers.get("Content-Length", "0") != "0":
            raise Refused(HTTPStatus.BAD_REQUEST, "a request to read has no body")
        name = "index.html" if path == "/" else path.removeprefix("/")
        body = self.page.files.get(name) if path.startswith("/") else None
        if body is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such file on this page")
        self._send(HTTPStatus.OK, body, _TYPES.get(name.rpartition(".")[2], "application/octet-stream"), {})

    def _post(self, path: str) -> None:
        page = self.page
        decoder, given = page.decoder, page.given
        if path == "/decode" and decoder is not None:
            latents, codes = self._latents(decoder)
            events = self._computed(lambda: np.asarray(decoder.function(latents, codes), "<f4"))
            self._send(HTTPStatus.OK, np.ascontiguousarray(events).tobytes(), "application/octet-stream", {})
        elif path == "/given" and given is not None:
            question = self._body(self._length("application/json", MOST_QUESTION, "a question"))
            self._send(HTTPStatus.OK, self._computed(lambda: given(question)), "application/json", {})
        else:
            known = path == "/" or path[1:] in page.files
            status = HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND
            raise Refused(status, "this can only be read" if known else "there is nothing of that name here")

    def _computed(self, compute: Callable[[], Result]) -> Result:
        """What the model gives, one request at a time: the cores are the training's, too."""
        with self.page.decoding:
            try:
                return compute()
            except Refused:
                raise
            except DivergedError as error:
                raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from None
            except Exception:
                log.exception("computing failed")
                raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "the model did not compute this") from None

    def _length(self, kind: str, most: int, what: str) -> int:
        """How long the body is, of a request whose body is of this kind."""
        if self.headers.get("Content-Type") != kind:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{what} comes as {kind}")
        text = self.headers.get("Content-Length", "")
        if not text.isascii() or not text.isdigit() or len(text) > 12:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "say the length of the body")
        length = int(text)
        if length > most:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{what} has at most {most} bytes")
        return length

    def _body(self, length: int) -> bytes:
        """The body, whole."""
        raw = self.rfile.read(length)
        if len(raw) != length:
            raise Refused(HTTPStatus.BAD_REQUEST, "the body ended early")
        return raw

    def _latents(self, decoder: DecodeEndpoint) -> tuple[np.ndarray, np.ndarray | None]:
        """The body of POST `decode`: little-endian float32 (n, size)."""
        length = self._length("application/octet-stream", MOST_BODY, "a body of latents")
        return latents_of(self._body(length), decoder)

    def _refuse(self, refusal: Refused) -> None:
        """Words, and the end of the connection: what follows might be the body of what was refused."""
        self.close_connection, self.request_version = True, "HTTP/1.1"  # else there would be no status line
        headers = {"Connection": "close"}
        if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD"
        with contextlib.suppress(OSError):
            self._send(refusal.status, f"{refusal}\n".encode(), "text/plain; charset=utf-8", headers)
            # Closed with unread bytes, a connection is reset, and the client might not see the answer.
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(0.5)
            for _ in range(64):
                if not self.connection.recv(65536):
                    break

    def _send(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.close_connection = headers.get("Connection") == "close" or self.close_connection
        self.send_response(status)
        for name, value in {**SECURITY_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what the standard library refuses, in the same words as ours: nothing of the request comes back."""
        self._refuse(Refused(HTTPStatus(code), HTTPStatus(code).phrase.lower()))

    def version_string(self) -> str:
        """Name the program, and not its version."""
        return "latens"

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: requests are not news."""


def latents_of(raw: bytes, decoder: DecodeEndpoint) -> tuple[np.ndarray, np.ndarray | None]:
    """Read latents, and of a conditional model codes of classes, from little-endian float32 bytes."""
    # Of a conditional model each row has one more number, the code of its class.
    width = decoder.size + (decoder.classes > 0)
    if not raw or len(raw) % (4 * width):
        raise Refused(HTTPStatus.BAD_REQUEST, f"latents are n rows of {width} float32 numbers")
    latents = np.frombuffer(raw, "<f4").reshape(-1, width).astype(np.float32)
    if not np.all(np.isfinite(latents)):
        raise Refused(HTTPStatus.BAD_REQUEST, "a latent is not finite")
    if not decoder.classes:
        return latents, None
    codes = latents[:, -1]
    if np.any(codes != np.floor(codes)) or codes.min() < 0 or codes.max() >= decoder.classes:
        raise Refused(HTTPStatus.BAD_REQUEST, f"classes are whole numbers below {decoder.classes}")
    return np.ascontiguousarray(latents[:, :-1]), codes.astype(np.int64)


_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class PageServer:
    """A server of the page on 127.0.0.1 for whoever has opened `url`, in a `with` block."""

    # `files`: Contents by name relative to the page's root, with `index.html`.
    # `port`: The port; 0 takes any free one.
    # `decoder`: What POST `decode` computes; None answers no such request.

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        port: int = 0,
        decoder: DecodeEndpoint | None = None,
        given: Answer | None = None,
    ) -> None:
        self.decoder, self.given = decoder, given
        for name in files:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of a file of the page")
        self.files = files
        self.decoding = threading.Lock()
        try:
            self._http = _Listener(self, port)
        except (OSError, OverflowError, TypeError) as error:
            what = f"port {port} cannot be listened on: {getattr(error, 'strerror', None) or error}."
            raise ResourceError(what, where="--port", fix="Leave it out: a free one is chosen.") from None
        self.port: int = self._http.server_address[1]
        self.gate = Gate(self.port)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True)

    @property
    def url(self) -> str:
        """The address to open, with the token that lets a browser in."""
        return f"http://127.0.0.1:{self.port}/?token={self.gate.token}"

    def __enter__(self) -> "PageServer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    allow_reuse_address = os.name != "nt"  # there it would let another program listen on the same port

    def __init__(self, page: PageServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), type("PageHandler", (Handler,), {"page": page}))

    def server_bind(self) -> None:
        # HTTPServer's own would ask the name service who we are, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is nothing to talk about."""


def serve(context: Any, trained: TrainedModel, files: Mapping[str, bytes]) -> int:
    """Serve the page, say where, open a browser, and wait for Ctrl-C."""
    args = context.args
    with PageServer(files, port=args.port or 0, decoder=decoder_of(trained, files), given=answers(trained)) as page:
        try:
            announce(context, page.url, "Ctrl-C ends", browser=not args.no_browser)
            context.result({"url": page.url}, page.url if context.quiet else "")
            while True:
                threading.Event().wait(3600)
        except KeyboardInterrupt as stop:  # the way to end it, so no error; SIGTERM says who ended it
            context.say("closed")
            number = getattr(stop, "number", 2)
            return 0 if number == 2 else 128 + number


def announce(context: Any, url: str, words: str, *, browser: bool) -> None:
    """Write one line with the address, and open a browser where there is a screen."""
    # A text browser would take over the terminal.
    screen = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    opened = browser and screen and not context.json
    context.say(f"{url}  ({'opening a browser; ' if opened else ''}{words})")
    if opened:
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(url)


def decoder_of(trained: TrainedModel, files: Mapping[str, bytes]) -> DecodeEndpoint | None:
    """Make what POST `decode` computes for a page: means of p(x | z) in the units of the data."""
    latent = json.loads(files["data/manifest.json"]).get("latent")
    if not latent:
        return None
    shape = tuple(latent["shape"])

    def decode(latents: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
        return decoded_means(trained, latents.reshape(len(latents), *shape), codes)

    return DecodeEndpoint(int(latent["size"]), decode, int(trained.preparation.classes))
