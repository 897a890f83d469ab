"""The explorer's local server with a few files, and requests to it over a real socket."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import numpy as np
import pytest

from latens.explorer.server import DecodeEndpoint, PageServer

HOSTILE = "<img src=x onerror=alert(1)>"
FILES = {
    "index.html": b"<!doctype html><title>page</title>" + b" " * 1000,
    "app/main.js": b"export const one = 1;",
    "data/manifest.json": json.dumps({"columns": [HOSTILE]}).encode(),
    "data/mean.bin": np.arange(6, dtype="<f4").tobytes(),
}


def doubled(latents: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
    """Three cells a row: twice the two numbers of the latent, and the class (or -1)."""
    last = np.full(len(latents), -1.0) if codes is None else codes
    return np.column_stack([2 * latents, last])


@pytest.fixture(scope="module")
def page() -> Iterator[PageServer]:
    with PageServer(FILES, decoder=DecodeEndpoint(2, doubled)) as server:
        yield server


def ask(
    page: PageServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str | None
) -> tuple[HTTPResponse, bytes]:
    """A request as the page's own scripts send it; a header given as None is left out."""
    own = {"Host": f"127.0.0.1:{page.port}", "Cookie": cookie(page), "Origin": None, "Sec_Fetch_Site": None}
    if method == "POST":
        own |= {"Origin": f"http://127.0.0.1:{page.port}", "Content_Type": "application/octet-stream"}
    connection = HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {**own, **headers}.items():
        if value is not None:
            connection.putheader(name.replace("_", "-"), value)
    if body is not None and "Content_Length" not in headers:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    read = response.read()
    connection.close()
    return response, read


def cookie(page: PageServer) -> str:
    return f"{page.gate.cookie}={page.gate._secret}"


def raw(page: PageServer, sent: bytes) -> bytes:
    """What comes back for these very bytes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=5) as connection:
        connection.sendall(sent)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def head(page: PageServer, *lines: str, first: str = "GET / HTTP/1.1", host: str | None = None) -> bytes:
    """The bytes of a request with our cookie."""
    own = [first, f"Host: {host or f'127.0.0.1:{page.port}'}", f"Cookie: {cookie(page)}", "Connection: close"]
    return "\r\n".join([*own, *lines, "", ""]).encode("latin-1")


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
