"""The explorer's local server over a real socket: paths, methods, bodies and clients that it refuses."""

import json

import numpy as np
import pytest
from server_fixtures import FILES, HOSTILE, ask, head, raw, status

from latens.errors import ResourceError
from latens.explorer.server import DecodeEndpoint, PageServer

pytest_plugins = ("server_fixtures",)

# --- what is refused ---

OUTSIDE = [
    "/../pyproject.toml", "/app/../../pyproject.toml", "/%2e%2e/pyproject.toml", "/%2e%2e%2fpyproject.toml",
    "/..%5cpyproject.toml", "/..\\pyproject.toml", "/app\\main.js", "/etc/passwd", "//etc/passwd",
    "/app/main.js%00.png", "/app/main.js/", "/app//main.js", "/./app/main.js", "/app%2fmain.js", "/APP/MAIN.JS",
    "/app", "/C:/Windows/win.ini", "/~root/.bashrc", "http://127.0.0.1/app/main.js", "app/main.js", "*",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_only_the_names_of_the_page_lead_anywhere(page: PageServer, path: str) -> None:
    answer = raw(page, head(page, first=f"GET {path} HTTP/1.1"))
    assert status(answer) == 404
    assert answer.endswith(b"\r\n\r\nthere is no such file on this page\n")


@pytest.mark.parametrize("path", [b"/\x00", b"/app/\x00main.js", b"/\xff\xfe", b"/\x01"])
def test_bytes_that_are_no_address_lead_nowhere(page: PageServer, path: bytes) -> None:
    assert status(raw(page, head(page).replace(b"GET / ", b"GET " + path + b" "))) in (400, 404)


def test_names_from_data_never_become_files_or_headers(page: PageServer) -> None:
    for name in (HOSTILE, "../x", "a b", "a\r\nSet-Cookie: x=1", "/etc/passwd", "", "a/../b", ".hidden", "a//b", "é"):
        with pytest.raises(ValueError, match="is not a name of a file"):
            PageServer({name: b""})
    answer = raw(page, head(page, first=f"GET /{HOSTILE.replace(' ', '')} HTTP/1.1"))
    assert status(answer) == 404
    assert b"onerror" not in answer
    response, body = ask(page, "/data/manifest.json")
    assert response.headers["Content-Type"] == "application/json"  # with nosniff: never read as a page
    assert json.loads(body)["columns"] == [HOSTILE]


def test_a_refusal_repeats_nothing_of_what_was_asked(page: PageServer) -> None:
    lines = (b"<script>alert(1)</script> / HTTP/1.1", b"GET /<script> HTTP/9.9", b"\x16\x03\x01\x02", b"<script>")
    for line in lines:
        assert b"<script>" not in raw(page, line + b"\r\n\r\n")
    assert b"<script>" not in raw(page, head(page, "X-<script>: 1", first="GET /<script> HTTP/1.1"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"])
def test_what_is_there_can_only_be_read(page: PageServer, method: str) -> None:
    before = {name: page.files.get(name) for name in FILES}
    answer = raw(
        page, head(page, f"Origin: http://127.0.0.1:{page.port}", "Content-Length: 0", first=f"{method} / HTTP/1.1")
    )
    assert status(answer) in (405, 501)
    assert {name: page.files.get(name) for name in FILES} == before


def test_reading_computes_nothing(page: PageServer) -> None:
    assert ask(page, "/decode")[0].status == 404  # GET
    assert ask(page, "/decode", "HEAD")[0].status == 404
    with PageServer(FILES) as still:
        assert ask(still, "/decode", "POST", np.ones(2, "<f4").tobytes())[0].status == 404


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"", {}, 400),
        (bytes(4), {}, 400),
        (bytes(9), {}, 400),
        (np.array([np.nan, 0], "<f4").tobytes(), {}, 400),
        (np.array([np.inf, 0], "<f4").tobytes(), {}, 400),
        (bytes(8), {"Content_Type": "application/json"}, 415),
        (bytes(8), {"Content_Type": "text/plain"}, 415),
        (bytes(8), {"Content_Type": None}, 415),
        (bytes(8), {"Content_Length": "-8"}, 411),
        (bytes(8), {"Content_Length": "8x"}, 411),
        (bytes(8), {"Content_Length": "9" * 100}, 411),
        (bytes(8), {"Content_Length": "٨"}, 411),
        (None, {}, 411),
        (bytes(2**20 + 8), {}, 413),
        (None, {"Content_Length": str(10**11)}, 413),
    ],
)
def test_latents_that_cannot_be_are_refused(page: PageServer, body: bytes, headers: dict, expected: int) -> None:
    if "٨" in headers.values():
        headers = {"Content_Length": "٨".encode().decode("latin-1")}
    response, answer = ask(page, "/decode", "POST", body, **headers)
    assert response.status == expected
    assert 0 < len(answer) < 200
    assert response.headers["Connection"] == "close"


def test_the_largest_body_that_is_taken(page: PageServer) -> None:
    response, body = ask(page, "/decode", "POST", bytes(2**20))
    assert (response.status, len(body)) == (200, 2**20 // 8 * 12)


def test_bodies_without_one_length_are_refused(page: PageServer) -> None:
    origin = f"Origin: http://127.0.0.1:{page.port}"
    first = "POST /decode HTTP/1.1"
    chunked = head(page, origin, "Transfer-Encoding: chunked", first=first) + b"0\r\n\r\n"
    assert status(raw(page, chunked)) == 400
    assert status(raw(page, head(page, origin, "Content-Length: 8", "Content-Length: 0", first=first))) == 400
    both = head(page, origin, "Content-Length: 4", "Transfer-Encoding: chunked", first=first) + b"0\r\n\r\n"
    assert status(raw(page, both)) == 400
    assert status(raw(page, head(page, "Content-Length: 5") + b"hello")) == 400  # GET with a body


def test_a_refused_body_is_not_read_as_the_next_request(page: PageServer) -> None:
    inner = head(page, first="GET /app/main.js HTTP/1.1")
    outer = head(page, f"Content-Length: {len(inner)}", first="GET / HTTP/1.1").replace(b"Connection: close\r\n", b"")
    answer = raw(page, outer + inner)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert status(answer) == 400


def test_heads_that_are_too_long_are_refused(page: PageServer) -> None:
    assert status(raw(page, head(page, first=f"GET /{'a' * 70000} HTTP/1.1"))) == 414
    assert status(raw(page, head(page, f"X-Long: {'a' * 70000}"))) == 431
    assert status(raw(page, head(page, *(f"X-{i}: 1" for i in range(200))))) == 431


def test_a_model_that_fails_says_so_and_no_more() -> None:
    def fails(latents: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
        raise ValueError(f"{HOSTILE} /home/somebody")

    with PageServer(FILES, decoder=DecodeEndpoint(2, fails)) as page:
        response, body = ask(page, "/decode", "POST", np.ones(2, "<f4").tobytes())
        assert (response.status, body) == (500, b"the model did not compute this\n")
        assert ask(page, "/app/main.js")[0].status == 200


def test_it_listens_to_this_machine_only_and_says_when_a_port_is_taken(page: PageServer) -> None:
    assert page._http.server_address[0] == "127.0.0.1"
    with pytest.raises(ResourceError, match=f"port {page.port} cannot be listened on"):
        PageServer(FILES, port=page.port)
    with pytest.raises(ResourceError, match="port 99999"):
        PageServer(FILES, port=99999)
