"""Several processes that train one model: who leads, what they agree on, and how all end where one does.

A process alone is the lead of a group of one. In a group of many everything between two chunks of steps happens in
every process alike; what looks at a clock, a signal or a disk happens in the lead or is agreed on, once a chunk. A
thread in every process tells the others that it lives and looks after them: where one ends, hangs or falls silent, all
end, with one sentence, and the lead writes the last whole state first.

JAX's own ways are not enough for this: where a process ends, the others wait in a sum for ever, or are aborted. What
the processes tell one another goes through a store of texts, which the lead holds.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import numpy as np

from latens.errors import ConfigError, LatensError, PeerError, ResourceError
from latens.io.places import PARENT, Place
from latens.io.store import Remote, Store
from latens.io.terminal import say

_log = logging.getLogger(__name__)

SECONDS = {"LATENS_JOIN_SECONDS": 120.0, "LATENS_PEER_SECONDS": 20.0, "LATENS_CHUNK_SECONDS": 600.0}
"""Variables of the environment and what counts without them: how long processes wait for one another at the start, how
long one may be silent, and how long a chunk of steps may take at least (and 20 times as long as those before it)."""

_POLL = 0.5
"""Seconds from one sign of life to the next."""
_GRACE = 3.0
"""Seconds in which the others may read why a process ends."""
_STORE = "latens/watch/"


def seconds(name: str) -> float:
    """A time limit."""
    text = os.environ.get(name)
    if text is None:
        return SECONDS[name]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e6:
        raise ConfigError(f"{text!r} is not a number of seconds above 0.", where=name, fix="Leave it unset.")
    return value


class Group:
    """The processes that train one model, as one of them sees it; by itself, a process alone."""

    number, count = 0, 1

    @property
    def lead(self) -> bool:
        """Whether this process writes the run folder and is told of events."""
        return self.number == 0

    def agree(self, value: Any) -> Any:
        """Give every process the value of the lead."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Give every process the values of all; nobody goes on before everybody came."""
        return [value]

    def same(self, facts: dict[str, Any]) -> None:
        """Refuse processes that differ."""
        everywhere = self.gather(facts)
        for name in facts:
            others = {number: found.get(name) for number, found in enumerate(everywhere)}
            other = next((number for number, found in others.items() if found != others[0]), None)
            if other is not None:
                what = f"{name} is {others[0]} in process 0 and {others[other]} in process {other}."
                raise ConfigError(what, where="--processes", fix="Start all processes alike, on machines of one kind.")

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Mark a chunk of steps, in which all processes add their sums."""
        yield

    def rescue(self, save: Callable[[str], None]) -> None:
        """Say what the lead does before it ends because another process did."""

    def finish(self) -> None:
        """Part in peace: all processes come here, and go on alone."""

    def leave(self, message: str) -> None:
        """Tell the others that this process ends with an error."""


class Joined(Group):
    """One of several processes."""

    # `speak`: Tells of an error that ends the process from outside of its main thread.

    def __init__(self, number: int, count: int, speak: Callable[[LatensError], None], store: Store) -> None:
        self.number, self.count, self._speak, self._store = number, count, speak, store
        self._limit, self._chunk = seconds("LATENS_PEER_SECONDS"), seconds("LATENS_CHUNK_SECONDS")
        self._turn = 0
        self._usual: float | None = None
        self._since: float | None = None
        self._save: Callable[[str], None] = lambda why: None
        self._parent = os.getppid() if PARENT in os.environ else None
        self._trouble, self._parted = threading.Event(), threading.Event()
        threading.Thread(target=self._watch, name="latens-group", daemon=True).start()

    def agree(self, value: Any) -> Any:
        self._turn += 1
        name = f"latens/agree/{self._turn}/"
        if self.lead:
            self._store.set(name, json.dumps(value))
            self._store.delete(f"latens/agree/{self._turn - 64}/")
            return value
        return json.loads(self._get(name))

    def gather(self, value: Any) -> list[Any]:
        turn = self._turn + 1
        try:
            self._store.set(f"latens/each/{turn}/{self.number}", json.dumps(value))
        except OSError as error:
            self._lost(error)
        found = [self._get(f"latens/each/{turn}/{number}") for number in range(self.count)] if self.lead else []
        found = self.agree([json.loads(text) for text in found])
        if self.lead:
            self._store.delete(f"latens/each/{turn}/")
        return found

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Mark a chunk of steps: the time that it takes is watched, and errors of the others' are told apart."""
        began = self._since = time.monotonic()
        try:
            yield
        except Exception as error:
            self._since = None
            if _of_peers(error):
                self._lost(error)
            raise
        # The first chunk compiles, and says nothing of the others.
        took, self._since = time.monotonic() - began, None
        self._usual = 0.0 if self._usual is None else max(self._usual, took)

    def rescue(self, save: Callable[[str], None]) -> None:
        self._save = save

    def finish(self) -> None:
        """Wait for all, and part: from here on this process is one alone."""
        self.gather("finished")
        self._parted.set()
        _joined.clear()
        jax.distributed.shutdown()  # it waits for all, who then need the store no more
        self._store.close()

    def leave(self, message: str) -> None:
        if self._parted.is_set():
            return
        self._parted.set()
        with contextlib.suppress(Exception):
            self._say(self.number, message)
            began = time.monotonic()
            # The store is the lead's: it stays until the others have read it.
            while self.lead and time.monotonic() - began < _GRACE:
                if len(self._store.under(f"{_STORE}read-")) >= self.count - 1:
                    break
                time.sleep(0.05)

    # --- the store ---

    def _get(self, name: str) -> str:
        try:
            while (text := self._store.get(name, _POLL)) is None:
                pass
            return text
        except OSError as error:
            self._lost(error)

    def _say(self, number: int | None, message: str) -> None:
        """Tell the others that a process ended, unless another end was told of before."""
        with contextlib.suppress(Exception):
            self._store.set(f"{_STORE}failed", json.dumps({"process": number, "message": message}), keep=True)

    def _lost(self, error: Exception) -> NoReturn:
        """Another process is gone, as far as this thread sees: the one that watches finds out which, and ends."""
        _log.warning("an exchange with the other processes failed: %s", str(error).split("\n")[0][:300])
        self._trouble.set()
        time.sleep(self._limit + _GRACE)
        raise PeerError(f"an exchange with the other processes failed: {str(error)[:200]}.") from error

    # --- the watch ---

    def _watch(self) -> None:
        began = time.monotonic()
        beats: dict[int, tuple[str, float]] = dict.fromkeys(range(self.count), ("", began))
        count, last, silent = 0, began, 0
        while not self._parted.wait(_POLL):
            now, count = time.monotonic(), count + 1
            if now - last > min(self._limit / 2, 2 * _POLL):  # it was this process that slept, as while it compiles
                beats = {number: (beat, now) for number, (beat, _) in beats.items()}
            last = now
            try:
                self._store.set(f"{_STORE}beat-{self.number}", str(count))
                found = self._store.under(_STORE)
                silent = 0
            except Exception:
                silent += 1
                if silent == 2:  # JAX's client mostly aborts before
                    self._end("process 0, where all meet, ended without a word (was it killed?)")
                continue
            if f"{_STORE}failed" in found:
                said = json.loads(found[f"{_STORE}failed"])
                who = "" if said["process"] is None else f"process {said['process']} ended: "
                self._end(f"{who}{said['message']}")
            for number, (beat, _) in beats.items():
                if (text := found.get(f"{_STORE}beat-{number}", "")) != beat:
                    beats[number] = (text, now)
            if why := self._fault({number: now - since for number, (_, since) in beats.items()}, now):
                self._say(None, why)
                self._end(why)

    def _fault(self, silences: dict[int, float], now: float) -> str:
        """Why all have to end: a process is silent or hangs, or the command that started it is gone; or ""."""
        allowed = 4 * _POLL if self._trouble.is_set() else self._limit
        others = {number: silence for number, silence in silences.items() if number != self.number}
        if others:
            number = max(others, key=lambda one: others[one])
            if (silence := others[number]) > allowed:
                return f"process {number} has not answered for {silence:.0f} seconds (was it killed?)"
        chunk, usual = self._since, self._usual
        most = max(self._chunk, 20.0 * usual) if usual is not None else 6.0 * self._chunk
        if chunk is not None and now - chunk > most:
            return f"a chunk of steps has taken {now - chunk:.0f} seconds in process {self.number}"
        if self._parent is not None and os.getppid() != self._parent:
            return "the command that started the processes ended"
        return ""

    def _end(self, why: str) -> None:
        """End this process: its main thread may wait in a sum, where nothing reaches it."""
        if self._parted.is_set():
            return
        with contextlib.suppress(Exception):
            self._store.set(f"{_STORE}read-{self.number}", "1")
        with contextlib.suppress(Exception):
            self._save(why)
        with contextlib.suppress(Exception):
            fix = "Go on with `latens resume`, with any number of processes."
            self._speak(PeerError(f"{why.rstrip('.')}.", fix=fix))
        if self.lead:  # the store ends with it
            time.sleep(2 * _POLL)
        os._exit(PeerError.exit_code)


def _of_peers(error: Exception) -> bool:
    """Whether an error is that of an exchange between processes."""
    words = ("gloo", "nccl", "peer", "coordination", "collective", "connection", "socket")
    return any(word in str(error).lower() for word in words)


ALONE = Group()
_joined: list[Joined] = []


def group() -> Group:
    """The group of this process."""
    return _joined[0] if _joined else ALONE


def join(place: Place | None = None, speak: Callable[[LatensError], None] = lambda error: say(str(error))) -> Group:
    """Meet the other processes, before anything is computed."""
    # place: where this process stands; None where `jax.distributed` is initialised already, as in a notebook.
    if not _joined:
        if place is not None:
            _meet(place, speak)
        number, count = jax.process_index(), jax.process_count()
        where, fix = f"process {number}", "Are all ports open between their machines?"
        try:
            with _in_time(count, where, fix, speak), _without_stdout():
                _add_once()
                store = _shared_store(place)
        except Exception as error:
            what = f"the processes met, and cannot exchange numbers ({str(error)[:200].rstrip('.')})."
            raise ResourceError(what, where=where, fix=fix) from error
        _joined.append(Joined(number, count, speak, store))
    return _joined[0]


def _shared_store(place: Place | None) -> Store:
    """The store of the lead, whose address goes to the others as a sum does."""
    from jax.experimental import multihost_utils

    store, told = Store(), b""
    if jax.process_index() == 0:
        host = _own_name() if place is None else place.coordinator.rpartition(":")[0].strip("[]")
        told = json.dumps([host, *store.serve(host)]).encode()
    said = multihost_utils.broadcast_one_to_all(np.frombuffer(told.ljust(512), np.uint8))
    if jax.process_index() == 0:
        return store
    found = Remote(*json.loads(bytes(np.asarray(said))), patience=seconds("LATENS_PEER_SECONDS") / 2)
    found.under(_STORE)  # what cannot be reached is found here
    return found


def _own_name() -> str:
    """The name by which others find this machine."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:  # a machine without a network
        return "127.0.0.1"
    return name


def _add_once() -> None:
    """Let the processes connect: what cannot be is found here, and gloo's own line does not go to stdout."""
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    mesh, rows = jax.sharding.Mesh(devices, ("all",)), jax.sharding.PartitionSpec("all")
    pairs = [(number, number ^ 1) for number in range(len(devices) - len(devices) % 2)]
    turn = jax.shard_map(lambda value: jax.lax.ppermute(value, "all", pairs), mesh=mesh, in_specs=rows, out_specs=rows)
    given = np.ones(jax.local_device_count(), np.float32)
    ones = jax.make_array_from_process_local_data(jax.sharding.NamedSharding(mesh, rows), given)
    jax.block_until_ready(jax.jit(turn)(ones))


@contextlib.contextmanager
def _without_stdout() -> Iterator[None]:
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _meet(place: Place, speak: Callable[[LatensError], None]) -> None:
    # Else SIGTERM never reaches Python, and no checkpoint is written before the end.
    jax.config.update("jax_enable_preemption_service", False)
    where = f"process {place.number} at {place.coordinator}"
    fix = "Start all of them with the same --coordinator and --processes; is the port free, and open to the others?"
    try:
        with _in_time(place.processes, where, fix, speak):
            jax.distributed.initialize(
                place.coordinator,
                place.processes,
                place.number,
                cluster_detection_method="deactivate",
                initialization_timeout=round(seconds("LATENS_JOIN_SECONDS")) + 60,
                # Ours is shorter, and leaves with a sentence; this one aborts.
                heartbeat_timeout_seconds=max(30, round(3 * seconds("LATENS_PEER_SECONDS"))),
                shutdown_timeout_seconds=10,
            )
    except Exception as error:
        what = f"the processes did not meet ({str(error)[:200].rstrip('.')})."
        raise ResourceError(what, where=where, fix=fix) from error


@contextlib.contextmanager
def _in_time(count: int, where: str, fix: str, speak: Callable[[LatensError], None]) -> Iterator[None]:
    """End this process where the others do not come in time: JAX's own limit would abort it."""
    limit = seconds("LATENS_JOIN_SECONDS")

    def give_up() -> None:
        speak(ResourceError(f"the {count} processes did not meet within {limit:g} seconds.", where=where, fix=fix))
        os._exit(ResourceError.exit_code)

    timer = threading.Timer(limit, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
