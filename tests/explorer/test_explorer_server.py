"""The explorer's local server over a real socket: what it gives, and to whom."""

from http.client import HTTPConnection

import numpy as np
import pytest
from server_fixtures import FILES, ask, cookie, doubled, head, raw, status

from latens.explorer import guard
from latens.explorer.server import DecodeEndpoint, PageServer

pytest_plugins = ("server_fixtures",)

# --- what it gives ---


def test_the_token_in_the_address_becomes_a_cookie_for_this_site_only(page: PageServer) -> None:
    path = page.url.removeprefix(f"http://127.0.0.1:{page.port}")
    response, body = ask(page, path, Cookie=None)
    assert (response.status, body) == (303, b"")
    assert response.headers["Location"] == "./"  # the token leaves the address bar
    value, *attributes = response.headers["Set-Cookie"].split("; ")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert page.gate.token not in value
    response, body = ask(page, "/", Cookie=f"other=1; {value}")
    assert (response.status, body) == (200, FILES["index.html"])


def test_files_are_given_as_they_are_with_their_kind(page: PageServer) -> None:
    kinds = {"app/main.js": "text/javascript; charset=utf-8", "data/manifest.json": "application/json"}
    kinds |= {"index.html": "text/html; charset=utf-8", "data/mean.bin": "application/octet-stream"}
    for name, kind in kinds.items():
        response, body = ask(page, f"/{name}")
        assert (response.status, response.headers["Content-Type"], body) == (200, kind, FILES[name])
        response, body = ask(page, f"/{name}", "HEAD")
        assert (response.status, body) == (200, b"")
        assert int(response.headers["Content-Length"]) == len(FILES[name])


def test_every_answer_carries_the_headers_that_fence_the_page_in(page: PageServer) -> None:
    for path, more in (("/", {}), ("/nowhere", {}), ("/", {"Cookie": None}), (f"/?token={page.gate.token}", {})):
        response, _ = ask(page, path, **more)
        rules = dict(rule.partition(" ")[::2] for rule in response.headers["Content-Security-Policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["Server"] == "latens"


def test_latents_are_decoded_as_float32_either_way(page: PageServer) -> None:
    z = np.array([[0.5, -1.25], [3.0, 1e-3]], "<f4")
    response, body = ask(page, "/decode", "POST", z.tobytes())
    expected = [[1.0, -2.5, -1.0], [6.0, np.float32(2e-3), -1.0]]
    assert response.headers["Content-Type"] == "application/octet-stream"
    np.testing.assert_array_equal(np.frombuffer(body, "<f4").reshape(2, 3), np.array(expected, np.float32))


def test_a_conditional_model_reads_the_class_after_each_latent() -> None:
    with PageServer(FILES, decoder=DecodeEndpoint(2, doubled, classes=3)) as page:
        rows = np.array([[0.5, 1.0, 2.0], [0.5, 1.0, 0.0]], "<f4")
        response, body = ask(page, "/decode", "POST", rows.tobytes())
        assert response.status == 200
        assert np.frombuffer(body, "<f4").reshape(2, 3)[:, 2].tolist() == [2.0, 0.0]
        for wrong in (3.0, -1.0, 0.5):
            response, _ = ask(page, "/decode", "POST", np.array([0.5, 1.0, wrong], "<f4").tobytes())
            assert response.status == 400


def test_several_requests_go_over_one_connection(page: PageServer) -> None:
    connection = HTTPConnection("127.0.0.1", page.port, timeout=5)
    z = np.ones(2, "<f4").tobytes()
    headers = {"Cookie": cookie(page), "Origin": f"http://127.0.0.1:{page.port}"}
    kind = {"Content-Type": "application/octet-stream"}
    for _ in range(3):
        connection.request("GET", "/app/main.js", headers=headers)
        assert connection.getresponse().read() == FILES["app/main.js"]
        used = connection.sock
        connection.request("POST", "/decode", z, {**headers, **kind})
        assert len(connection.getresponse().read()) == 12
        assert connection.sock is used
    connection.close()


# --- who is refused ---


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}",
             "[::1]:{port}", "0.0.0.0:{port}", "localhost:{port}.evil.example", "LOCALHOST@evil:{port}", ""],
)  # fmt: skip
def test_a_name_that_was_made_to_resolve_to_us_is_refused(page: PageServer, host: str) -> None:
    host = host.format(port=page.port)
    for path in ("/", f"/?token={page.gate.token}"):
        response, _ = ask(page, path, Host=host)
        assert (response.status, response.headers["Set-Cookie"]) == (403, None)
    response, _ = ask(page, "/decode", "POST", np.ones(2, "<f4").tobytes(), Host=host, Origin=f"http://{host}")
    assert response.status == 403


def test_localhost_is_another_name_of_ours(page: PageServer) -> None:
    assert ask(page, "/", Host=f"localhost:{page.port}")[0].status == 200
    z = np.ones(2, "<f4").tobytes()
    same = {"Host": f"localhost:{page.port}", "Origin": f"http://localhost:{page.port}"}
    assert ask(page, "/decode", "POST", z, **same)[0].status == 200
    assert ask(page, "/decode", "POST", z, Host=f"localhost:{page.port}")[0].status == 403


def test_no_host_or_two_hosts_are_refused(page: PageServer) -> None:
    assert ask(page, "/", Host=None)[0].status == 403
    assert status(raw(page, head(page, "Host: evil.example"))) == 400
    assert status(raw(page, head(page, f"Origin: http://127.0.0.1:{page.port}", "Origin: http://evil.example"))) == 400


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:{other}",
               "http://127.0.0.1", "http://127.0.0.1:{port}/", "http://127.0.0.1:{port}.evil.example", ""],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(page: PageServer, origin: str) -> None:
    origin = origin.format(port=page.port, other=page.port + 1)
    assert ask(page, "/data/manifest.json", Origin=origin)[0].status == 403
    assert ask(page, "/decode", "POST", np.ones(2, "<f4").tobytes(), Origin=origin)[0].status == 403
    assert ask(page, f"/?token={page.gate.token}", Origin=origin)[0].status == 403


def test_to_decode_one_must_say_where_one_comes_from(page: PageServer) -> None:
    assert ask(page, "/decode", "POST", np.ones(2, "<f4").tobytes(), Origin=None)[0].status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_scripts_and_pictures_of_other_sites_are_refused_by_what_the_browser_says(page: PageServer, site: str) -> None:
    # Every port of 127.0.0.1 is the same *site*, and so would be sent our cookie.
    assert ask(page, "/app/main.js", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0].status == 403
    assert ask(page, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")[0].status == 403
    assert ask(page, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")[0].status == 200
    assert ask(page, "/app/main.js", Sec_Fetch_Site="same-origin")[0].status == 200


@pytest.mark.parametrize(
    "given", [None, "", "latens-1=x", "{name}=", "{name}=wrong", "{name}={token}", "{name}={secret}x"]
)
def test_without_the_cookie_nothing_is_told(page: PageServer, given: str | None) -> None:
    name, secret = cookie(page).split("=", 1)
    value = None if given is None else given.format(name=name, secret=secret, token=page.gate.token)
    answers = [ask(page, path, Cookie=value) for path in ("/", "/data/manifest.json", "/nowhere", "/?other=1")]
    answers.append(ask(page, "/decode", "POST", np.ones(2, "<f4").tobytes(), Cookie=value))
    assert {(response.status, body) for response, body in answers} == {
        (403, b"open the address that latens printed, with its token\n")
    }


@pytest.mark.parametrize("token", ["", "x", "{token}x", "{half}", "%00", "\xe9"])
def test_a_wrong_token_opens_nothing(page: PageServer, token: str) -> None:
    value = token.format(token=page.gate.token, half=page.gate.token[:20])
    answer = raw(page, f"GET /?token={value} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode("latin-1"))
    assert status(answer) == 403
    assert b"set-cookie" not in answer.lower()


def test_tokens_are_long_and_differ() -> None:
    gates = [guard.Gate(port) for port in (1, 1, 2)]
    assert len({secret for gate in gates for secret in (gate.token, gate._secret)}) == 6
    assert min(len(gate.token) for gate in gates) >= 43  # 256 bits
    assert gates[0].cookie != gates[2].cookie  # cookies know no ports
