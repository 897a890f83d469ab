"""What several processes agree on, and when one ends all: three threads with one store."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import pytest

from latens.errors import ConfigError, PeerError
from latens.io.store import Remote, Store
from latens.training import group as groups
from latens.training.fit import asked_by
from latens.training.group import ALONE, Joined, seconds
from latens.training.plan import Pause


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Joined]]:
    """Three members of a group, none of which watches the others; the lead serves the store."""
    monkeypatch.setattr(Joined, "_watch", lambda self: None)
    address = ("127.0.0.1", *(store := Store()).serve("127.0.0.1"))
    stores = [store, Remote(*address, 5.0), Remote(*address, 5.0)]
    yield [Joined(number, 3, print, store) for number, store in enumerate(stores)]
    store.close()


def everywhere(members: list[Joined], work: Callable[[Joined], Any]) -> list[Any]:
    """What every member gives, each in a thread of its own; an error as a value."""

    def one(member: Joined) -> Any:
        try:
            return work(member)
        except ConfigError as error:
            return error

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(one, members))


def test_a_process_alone_agrees_with_itself() -> None:
    assert (ALONE.lead, ALONE.count, ALONE.number) == (True, 1, 0)
    assert ALONE.agree(3.5) == 3.5
    assert ALONE.gather([1]) == [[1]]
    ALONE.same({"a": 1})
    assert groups.group() is ALONE


def test_the_lead_decides_and_all_are_heard(three: list[Joined]) -> None:
    assert [member.lead for member in three] == [True, False, False]
    assert everywhere(three, lambda member: member.agree(0.1 + member.number)) == [0.1, 0.1, 0.1]
    assert everywhere(three, lambda member: member.gather(10 * member.number)) == [[0, 10, 20]] * 3
    for turn in range(70):  # what was agreed on long ago is forgotten
        assert everywhere(three, lambda member, turn=turn: member.agree(turn)) == [turn] * 3
    assert len(three[0]._store.under("")) == 64


def test_processes_that_differ_are_refused_by_name(three: list[Joined]) -> None:
    found = everywhere(three, lambda member: member.same({"same": 1, "the version of jax": f"0.{member.number // 2}"}))
    assert [str(error) for error in found] == [
        "--processes: the version of jax is 0.0 in process 0 and 0.1 in process 2. "
        "Start all processes alike, on machines of one kind."
    ] * 3
    assert everywhere(three, lambda member: member.same({"same": 1})) == [None] * 3


def test_a_reason_to_stop_in_any_process_is_one_in_all() -> None:
    asked = asked_by([[], [(False, "enough")], [(True, "signal 15")]])
    assert [(str(reason), type(reason)) for reason in asked] == [("enough", str), ("signal 15", Pause)]


def test_who_is_silent_or_hangs_ends_all(three: list[Joined], monkeypatch: pytest.MonkeyPatch) -> None:
    member = three[1]
    member._limit, member._chunk, now = 20.0, 600.0, 10_000.0
    assert member._fault({0: 0.4, 1: 0.0, 2: 19.9}, now) == ""
    assert member._fault({0: 0.4, 1: 0.0, 2: 20.1}, now) == "process 2 has not answered for 20 seconds (was it killed?)"
    member._trouble.set()  # a sum failed: whoever is silent now was the cause
    assert "process 2 has not answered for 3 seconds" in member._fault({0: 0.4, 1: 0.0, 2: 2.6}, now)
    member._trouble.clear()
    member._since = now - 3000.0  # the first chunk compiles
    assert member._fault({}, now) == ""
    assert member._fault({}, now + 700.0) == "a chunk of steps has taken 3700 seconds in process 1"
    member._usual = 10.0
    assert member._fault({}, now) == "a chunk of steps has taken 3000 seconds in process 1"
    member._usual = 200.0  # twenty times as long is allowed
    assert member._fault({}, now) == ""
    member._since, member._parent = None, 1
    monkeypatch.setattr("os.getppid", lambda: 7)
    assert member._fault({}, now) == "the command that started the processes ended"


def test_an_error_of_a_sum_is_that_of_the_other_process(three: list[Joined], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(PeerError, match="an exchange with the other processes failed"), three[0].together():
        raise ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")
    assert three[0]._trouble.is_set()
    with pytest.raises(ValueError, match="a bug"), three[1].together():
        raise ValueError("a bug")
    assert not three[1]._trouble.is_set()
    with three[2].together():
        pass
    assert three[2]._usual == 0.0


def test_the_first_end_is_the_one_that_is_told(three: list[Joined]) -> None:
    for member in three[1:]:
        member.leave(f"the error of {member.number}")
    assert three[0]._store.under("") == {"latens/watch/failed": '{"process": 1, "message": "the error of 1"}'}


@pytest.mark.parametrize("text", ["soon", "0", "-3", "inf", "nan"])
def test_a_limit_that_is_no_time_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seconds("LATENS_PEER_SECONDS") == 20.0
    monkeypatch.setenv("LATENS_PEER_SECONDS", text)
    with pytest.raises(ConfigError, match="is not a number of seconds above 0"):
        seconds("LATENS_PEER_SECONDS")
    monkeypatch.setenv("LATENS_PEER_SECONDS", "2.5")
    assert seconds("LATENS_PEER_SECONDS") == 2.5


def test_what_jax_has_for_processes_is_where_it_is_looked_for() -> None:
    assert not jax.distributed.is_initialized()
    assert "jax_enable_preemption_service" in jax.config.values


def test_where_the_lead_is_gone_an_exchange_ends_at_once(three: list[Joined], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    three[0]._store.close()
    with pytest.raises(PeerError, match="an exchange with the other processes failed"):
        three[1].agree(None)
    assert three[1]._trouble.is_set()
    with pytest.raises(PeerError, match="an exchange with the other processes failed"):
        three[2].gather(None)
