"""A small local server for the explorer's page: a closed set of files, two computations, for one user's browser only.

It listens on 127.0.0.1. Nothing in a request is ever joined to a path: names are looked up in a mapping. Who may ask is
decided in `latens.explorer.guard`, what is answered in `latens.explorer.handler`.
"""

import contextlib
import os
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from typing import Any

from latens.errors import ResourceError
from latens.explorer.guard import Bucket, Gate
from latens.explorer.handler import Decoder, File, Handler
from latens.explorer.whatif import Answer

MOST_CONNECTIONS = 64
SECONDS_FOR_ROOM = 1.0
"""How long a new connection waits for the place of one that is dropped."""
REQUESTS_A_SECOND, DECODES_A_SECOND = 200.0, 60.0

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")

Content = bytes | Callable[[], bytes]
"""What a file holds, or what makes it when it is asked for (of a run that is still growing)."""


class PageServer:
    """A server of the page on 127.0.0.1 for whoever has opened `url`; a `with` block, or `start()` and `close()`."""

    # `files`: Contents by name relative to the page's root, with `index.html`.
    # `port`: The port; 0 takes any free one.
    # `decoder`: What POST `decode` computes; None answers no such request.

    def __init__(
        self,
        files: Mapping[str, Content],
        *,
        port: int = 0,
        decoder: Decoder | None = None,
        given: Answer | None = None,
    ) -> None:
        self.decoder, self.given = decoder, given
        self._files: dict[str, File | Callable[[], bytes]] = {}
        self._made: dict[str, File] = {}
        self.publish(files)
        self.requests, self.decodes = Bucket(REQUESTS_A_SECOND), Bucket(DECODES_A_SECOND)
        self.decoding = threading.Lock()
        self.asked = float("-inf")  # when the last request was let in, by time.monotonic
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

    def publish(self, files: Mapping[str, Content]) -> None:
        """Add files, or replace those of the same names, all at once."""
        for name in files:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a file of the page")
        made = {name: body if callable(body) else File.of(name, body) for name, body in files.items()}
        self._files = {**self._files, **made}

    def find(self, name: str) -> File | None:
        """Find the file of that very name."""
        found = self._files.get(name)
        if not callable(found):
            return found
        body, last = found(), self._made.get(name)
        if last is None or last.body is not body:
            last = self._made[name] = File.of(name, body)
        return last

    def start(self) -> "PageServer":
        """Begin to answer."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop answering, and free the port."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def __enter__(self) -> "PageServer":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    allow_reuse_address = os.name != "nt"  # there it would let another program listen on the same port

    def __init__(self, page: PageServer, port: int) -> None:
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._open: dict[socket.socket, float] = {}  # in the order in which they came
        about = {"page": page, "let_in": staticmethod(self.let_in)}
        super().__init__(("127.0.0.1", port), type("PageHandler", (Handler,), about))

    def server_bind(self) -> None:
        # HTTPServer's own would ask the name service who we are, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            # A connection that was never let in makes room, the oldest first, so that nobody can lock the owner out.
            self._drop()
            if not self._free.acquire(timeout=SECONDS_FOR_ROOM):
                self.shutdown_request(request)
                return
        self._open[request] = 0.0
        super().process_request(request, client_address)

    def let_in(self, request: socket.socket) -> None:
        self._open[request] = time.monotonic()

    def _drop(self) -> None:
        connections = list(self._open.items())
        if connections:
            with contextlib.suppress(OSError):
                min(connections, key=lambda one: one[1])[0].shutdown(socket.SHUT_RDWR)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.pop(request, None)
            self._free.release()

    def server_close(self) -> None:
        super().server_close()
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nothing to talk about."""
