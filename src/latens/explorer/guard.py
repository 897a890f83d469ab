"""Who may ask the local server for anything: the checks of hosts, origins and tokens.

A page of another origin can make a browser send requests here, also under a name of its own that it lets resolve to
127.0.0.1 (DNS rebinding). So a request must name us as its host, come from no other origin, and carry a cookie that
only the token in the printed address sets.
"""

import hmac
import secrets
from email.message import Message
from http import HTTPStatus

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "worker-src 'self' blob:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-cache",
}
"""Sent with every answer."""


class Refused(Exception):
    """A request that is not answered as asked."""

    # `message`: Words without anything of the request in them.

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Gate:
    """The checks of one server."""

    # `token` is in the address that is printed; the cookie it is turned into is another secret, so neither the history
    # of a browser nor a look at the address bar gives it away.

    def __init__(self, port: int) -> None:
        self.token, self._secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        # Cookies are shared by all ports of a host: two explorers must not throw each other out.
        self.cookie = f"latens-{port}"
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    def check(self, method: str, path: str, query: str, headers: Message) -> str | None:
        """Let a request pass, or refuse it."""
        host = self._one(headers, "Host")
        if host not in self._hosts:
            raise Refused(HTTPStatus.FORBIDDEN, "this server answers to 127.0.0.1 and localhost only")
        if headers.get("Transfer-Encoding") is not None or len(headers.get_all("Content-Length") or ()) > 1:
            raise Refused(HTTPStatus.BAD_REQUEST, "a body comes with one Content-Length")
        origin = self._one(headers, "Origin")
        if origin != f"http://{host}" and (origin is not None or method == "POST"):
            raise Refused(HTTPStatus.FORBIDDEN, "only the page itself may ask for this")
        site = headers.get("Sec-Fetch-Site", "none")
        navigates = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
        if site not in ("same-origin", "none") and not (method == "GET" and path == "/" and navigates):
            raise Refused(HTTPStatus.FORBIDDEN, "only the page itself may ask for this")
        if path == "/" and method == "GET" and query.startswith("token="):
            if _same(query.removeprefix("token="), self.token):
                return f"{self.cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict"
            raise Refused(HTTPStatus.FORBIDDEN, "this is not the token of this server; open the address it printed")
        if not any(_same(value, self._secret) for value in self._cookies(headers)):
            raise Refused(HTTPStatus.FORBIDDEN, "open the address that latens printed, with its token")
        return None

    def _cookies(self, headers: Message) -> list[str]:
        text = "; ".join(headers.get_all("Cookie") or ())
        pairs = (pair.strip().partition("=") for pair in text.split(";"))
        return [value for name, _, value in pairs if name == self.cookie]

    @staticmethod
    def _one(headers: Message, name: str) -> str | None:
        found = headers.get_all(name) or []
        if len(found) > 1:
            raise Refused(HTTPStatus.BAD_REQUEST, f"more than one {name}")
        return found[0] if found else None


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())
