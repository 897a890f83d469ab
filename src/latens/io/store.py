"""A small store of texts by name that several processes share: one holds it, the others ask over TCP.

A connection is one request, a line of the token, a blank, and a JSON list of the operation and its arguments. The
answer is a JSON line.
"""

import contextlib
import hmac
import json
import secrets
import socket
import socketserver
import threading
from typing import Any

MOST = 1 << 24
"""Bytes of a line."""
_STRANGERS = 10.0
"""Seconds that a connection has for its request."""


class Store:
    """The texts themselves, in the process that holds them."""

    _server: "_Server | None" = None

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._changed = threading.Condition()

    def set(self, name: str, text: str, keep: bool = False) -> None:
        """Give a name its text; `keep` leaves one that is there."""
        with self._changed:
            if not (keep and name in self._texts):
                self._texts[name] = text
            self._changed.notify_all()

    def get(self, name: str, wait: float) -> str | None:
        """The text of a name; None where it did not come within so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: name in self._texts, wait)
            return self._texts.get(name)

    def under(self, prefix: str) -> dict[str, str]:
        """All texts of names that begin so."""
        with self._changed:
            return {name: text for name, text in self._texts.items() if name.startswith(prefix)}

    def delete(self, prefix: str) -> None:
        """Forget all texts of names that begin so."""
        with self._changed:
            self._texts = {name: text for name, text in self._texts.items() if not name.startswith(prefix)}

    def serve(self, host: str) -> tuple[int, str]:
        """Answer the others, who look for the store at this host; give them the port and the token."""
        self._server = _Server(self, host)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="latens-store", daemon=True).start()
        return self._server.server_address[1], self._server.token

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


_OPERATIONS: dict[str, Any] = {"set": Store.set, "get": Store.get, "under": Store.under, "delete": Store.delete}


class _Requests(socketserver.StreamRequestHandler):
    timeout = _STRANGERS

    def handle(self) -> None:
        server: Any = self.server
        with contextlib.suppress(OSError):
            line = self.rfile.readline(MOST)
            token, _, request = line.partition(b" ")
            if line.endswith(b"\n") and hmac.compare_digest(token, server.token.encode()):
                operation, *arguments = json.loads(request)
                answer = _OPERATIONS[operation](server.store, *arguments)
                self.wfile.write(json.dumps(answer).encode() + b"\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads, request_queue_size = True, 128

    def __init__(self, store: Store, host: str) -> None:
        self.store, self.token = store, secrets.token_hex(16)
        own = host in ("127.0.0.1", "localhost")  # what is of this machine alone is open to this machine alone
        self.address_family = socket.AF_INET if own or not socket.has_dualstack_ipv6() else socket.AF_INET6
        super().__init__(("127.0.0.1" if own else "", 0), _Requests)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class Remote(Store):
    """The store of another process; what it cannot be asked is an `OSError` at once, or after `patience` seconds."""

    def __init__(self, host: str, port: int, token: str, patience: float) -> None:
        self._address, self._token, self._patience = (host, port), token, patience

    def set(self, name: str, text: str, keep: bool = False) -> None:
        self._ask(0.0, "set", name, text, keep)

    def get(self, name: str, wait: float) -> str | None:
        return self._ask(wait, "get", name, wait)

    def under(self, prefix: str) -> dict[str, str]:
        return self._ask(0.0, "under", prefix)

    def delete(self, prefix: str) -> None:
        self._ask(0.0, "delete", prefix)

    def _ask(self, wait: float, *request: Any) -> Any:
        line = f"{self._token} {json.dumps(request)}\n".encode()
        if len(line) > MOST:
            raise ValueError(f"a request of {len(line)} bytes is longer than {MOST}")
        with socket.create_connection(self._address, self._patience) as connection:
            connection.settimeout(self._patience + wait)
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = answers.readline(MOST)
        if not answer.endswith(b"\n"):
            raise ConnectionError("the store closed the connection")
        return json.loads(answer)
