"""A store of texts that processes share: what it answers, to whom, and what its end is to those who ask."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from latens.io import store as stores
from latens.io.store import Remote, Store

HOST = "127.0.0.1"


@pytest.fixture
def held() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def address(held: Store) -> tuple[str, int, str]:
    return (HOST, *held.serve(HOST))


@pytest.fixture
def remote(address: tuple[str, int, str]) -> Remote:
    return Remote(*address, 5.0)


@pytest.mark.parametrize("who", ["held", "remote"])
def test_the_four_operations(who: str, held: Store, remote: Remote) -> None:
    store = held if who == "held" else remote
    assert store.get("a/1", 0.0) is None
    store.set("a/1", "one \n \u2713")
    store.set("a/2", "two")
    store.set("b", "three")
    assert (store.get("a/1", 0.0), held.get("a/1", 0.0)) == ("one \n \u2713", "one \n \u2713")
    store.set("a/1", "other", keep=True)
    assert store.under("a/") == {"a/1": "one \n \u2713", "a/2": "two"}
    store.set("a/1", "other")
    store.delete("a/1")
    assert store.under("") == {"a/2": "two", "b": "three"}
    store.delete("a/")
    assert store.under("") == {"b": "three"}


def test_a_get_waits_for_the_text_and_no_longer(held: Store, remote: Remote) -> None:
    began = time.monotonic()
    assert remote.get("late", 0.05) is None
    assert 0.05 <= time.monotonic() - began < 2.0
    threading.Timer(0.05, held.set, ("late", "here")).start()
    began = time.monotonic()
    assert remote.get("late", 30.0) == "here"
    assert time.monotonic() - began < 5.0


def ask(address: tuple[str, int, str], line: bytes) -> bytes:
    """What comes back for a line from somebody else."""
    with socket.create_connection(address[:2], 5.0) as stranger:
        stranger.sendall(line)
        try:
            return stranger.recv(100)
        except ConnectionResetError:
            return b""


def test_who_lacks_the_token_is_not_answered(held: Store, address: tuple[str, int, str]) -> None:
    held.set("secret", "42")
    request = b' ["get", "secret", 0]\n'
    assert ask(address, address[2].encode() + request) == b'"42"\n'
    for token in (b"", b"0" * 32, address[2][:-1].encode(), address[2].upper().encode() + b"x"):
        assert ask(address, token + request) == b""
    with pytest.raises(OSError, match="the store closed the connection"):
        Remote(*address[:2], "0" * 32, 5.0).set("secret", "43")
    assert held.under("") == {"secret": "42"}
    assert len(address[2]) == 32


def test_who_says_nothing_is_let_go(address: tuple[str, int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores._Requests, "timeout", 0.05)
    assert ask(address, b"") == b""


def test_a_line_has_a_most(held: Store, address: tuple[str, int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MOST", 200)
    remote, room = Remote(*address, 5.0), 200 - len(f"{address[2]} {json.dumps(['set', 'a', '', False])}\n")
    remote.set("a", "x" * room)
    with pytest.raises(ValueError, match="a request of 201 bytes is longer than 200"):
        remote.set("a", "y" * (room + 1))
    assert ask(address, f'{address[2]} ["set", "a", "{"z" * 300}"]\n'.encode()) == b""
    assert held.get("a", 0.0) == "x" * room
    held.set("b", "x" * 200)
    with pytest.raises(ConnectionError):
        remote.get("b", 0.0)
    assert remote.get("a", 0.0) == "x" * room


def test_who_waits_is_told_at_once_where_the_store_ends(held: Store) -> None:
    """A store whose process is killed: its sockets are closed."""
    with socket.create_server((HOST, 0)) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Remote(HOST, server.getsockname()[1], "t", 30.0).get, "never", 30.0)
        connection = server.accept()[0]
        connection.recv(100)
        began = time.monotonic()
        connection.close()
        with pytest.raises(ConnectionError):
            asked.result(10.0)
    assert time.monotonic() - began < 5.0
    port = held.serve(HOST)[0]
    held.close()
    with pytest.raises(ConnectionRefusedError):
        Remote(HOST, port, "t", 30.0).set("a", "1")


def test_a_store_that_hangs_is_given_up() -> None:
    with socket.create_server((HOST, 0)) as server:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            Remote(HOST, server.getsockname()[1], "t", 0.05).get("a", 0.05)
        assert 0.1 <= time.monotonic() - began < 5.0


def test_eight_at_once(held: Store, address: tuple[str, int, str]) -> None:
    """Each sets its own and waits for the next one's: nobody who waits keeps another from setting."""

    def one(number: int) -> list[str | None]:
        remote = Remote(*address, 10.0)
        for turn in range(20):
            remote.set(f"{turn}/{number}", str(number * turn))
            assert remote.get(f"{turn}/{(number + 1) % 8}", 10.0) == str((number + 1) % 8 * turn)
        return [remote.get(f"19/{other}", 10.0) for other in range(8)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [[str(19 * other) for other in range(8)]] * 8
    assert len(held.under("")) == 160


def test_threads_of_one_process_do_not_wait_for_one_another(remote: Remote) -> None:
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(remote.get, "a", 20.0)
        time.sleep(0.02)
        remote.set("a", "1")
        assert waits.result(5.0) == "1"


def test_what_is_of_this_machine_alone_is_open_to_it_alone() -> None:
    own, open_to_all = Store(), Store()
    own.serve("localhost")
    open_to_all.serve("node003")
    assert own._server is not None
    assert open_to_all._server is not None
    assert own._server.server_address[0] == HOST
    assert open_to_all._server.server_address[0] in ("::", "0.0.0.0")
    port, token = open_to_all._server.server_address[1], open_to_all._server.token
    Remote(HOST, int(port), token, 5.0).set("a", "1")
    assert open_to_all.get("a", 0.0) == "1"
    own.close()
    open_to_all.close()
