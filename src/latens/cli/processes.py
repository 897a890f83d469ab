"""`--processes N`: the same command in N processes of this machine, or as one of those that something else started.

This module starts them and looks after them; `latens.training.group` is what they do together.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from latens.cli.context import Context
from latens.errors import LatensError, PeerError, UsageError
from latens.io.compilation import gpus
from latens.io.places import COORDINATOR, CORES, MOST, PARENT, PROCESS, PROCESSES, THREADS, cores, place_of, threads
from latens.io.terminal import print_json, say

if TYPE_CHECKING:  # jax is imported only where there are several processes
    from latens.training.group import Group
else:
    Group = Any

GRACE = 10.0
"""Seconds in which process 0 may end by itself where another one ended: it writes a checkpoint."""
_POLL = 0.05
_LAST = 3.0
"""Seconds in which the others may, and process 0 after SIGTERM, before they are killed."""


def begin(context: Context) -> "Group | None":
    """Meet the other processes of this call, where something started it as one of several."""
    # returns: the group; None where this process is one alone, or is to start the others.
    args = context.args
    place = place_of(args.coordinator, args.processes, args.process, os.environ)
    if place is None:
        return None
    stay()
    from latens.training.group import join

    if place.number:
        args.quiet, args.json, args.watch = True, False, False

    def speak(error: LatensError) -> None:
        say("\n".join((f"error: {f'{error.where}: ' if error.where else ''}{error.message}", error.fix)))
        if context.json:
            print_json({"error": error.as_dict()})

    return join(place, speak)


def stay() -> None:
    """Keep this process on the cores that the command which started it gave it."""
    if CORES in os.environ and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in os.environ[CORES].split(",")})


def same_threads(count: Any) -> None:
    """Let XLA cut its work into as many threads as when the work began, on whatever cores: its bits are promised."""
    if type(count) is int and 1 <= count <= MOST and "jax" not in sys.modules:
        os.environ.setdefault(THREADS, str(count))


def launch(context: Context) -> int:
    """Start this command in several processes of this machine, and end when they have ended."""
    count = context.args.processes
    mine = shares(count, "--processes")
    place_of(f"127.0.0.1:{(port := _free_port())}", count, 0, {})  # refuses what cannot be
    words = [sys.executable, "-m", "latens.cli.main", *context.argv]
    common = {COORDINATOR: f"127.0.0.1:{port}", PROCESSES: str(count), PARENT: str(os.getpid())}
    common[THREADS] = str(threads())  # in each as in one alone, which has all cores
    with contextlib.ExitStack() as stack:
        heard: list[IO[bytes] | None] = [None]
        heard += [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count - 1)]
        environs = [{**common, PROCESS: str(number), **own} for number, own in enumerate(mine)]
        outputs = [(None if err is None else subprocess.DEVNULL, err) for err in heard]
        with started(context, words, environs, outputs, GRACE + _LAST, lambda children, _: _end(children)) as children:
            first = _wait(context, children)
        codes = [child.returncode for child in children]
        if context.signals.received is not None:  # process 0 has said so
            return 128 + context.signals.received
        if first is None:
            return 0
        code = codes[first] if codes[first] > 0 else 128 - codes[first]
        if (said := heard[first]) is not None and codes[0] <= 0:
            _repeat(said, first)
        if codes[0] < 0:  # process 0 says why all ended, unless it was ended itself
            how = f"was ended by {signal.Signals(-codes[first]).name}" if codes[first] < 0 else f"ended with {code}"
            fix = "Go on with `latens resume`, with any number of processes."
            error = PeerError(f"process {first} {how}.", where="--processes", fix=fix)
            error.exit_code = code
            raise error
        return code


def _wait(context: Context, children: Sequence[subprocess.Popen[Any]]) -> int | None:
    """The number of the process that failed first, when all have ended or had their time; None where none failed."""
    first: int | None = None
    handed, since = False, 0.0
    while any(child.poll() is None for child in children):
        if context.signals.received is not None and not handed:
            handed = True
            for child in children:
                child.send_signal(context.signals.received)
        failed = [number for number, child in enumerate(children) if child.poll() not in (None, 0)]
        if first is None and failed:
            # Those who end because another one did say so by their code.
            first, since = _cause(children, failed), time.monotonic()
        if first is not None and time.monotonic() - since > (GRACE if children[0].poll() is None else _LAST):
            break
        time.sleep(_POLL)
    failed = [number for number, child in enumerate(children) if child.poll() not in (None, 0)]
    # A process that another one's end took with it may end by a signal as well: the one seen first is the cause.
    own = first is not None and children[first].returncode != PeerError.exit_code
    return first if own else _cause(children, failed) if failed else None


def _cause(children: Sequence[subprocess.Popen[Any]], failed: Sequence[int]) -> int:
    own = [number for number in failed if children[number].returncode != PeerError.exit_code]
    return own[0] if own else failed[0]


def _end(children: Sequence[subprocess.Popen[Any]]) -> None:
    """End what is still there, stopped processes too: those but the first write nothing."""
    for number, child in enumerate(children):
        if child.poll() is None and number:
            child.kill()
        elif child.poll() is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_LAST)
            child.kill()
    for child in children:
        child.wait()


@contextlib.contextmanager
def started(
    context: Context, words: Sequence[str], environs: Sequence[Mapping[str, str]],
    outputs: Sequence[tuple[Any, Any]], seconds: float, end: Callable[[list[Any], float], None] | None = None,
) -> Iterator[list[subprocess.Popen[Any]]]:  # fmt: skip
    """Start a command once for each environment, and end those that are still there afterwards."""
    # outputs: stdout and stderr of each; seconds: how long they may write checkpoints before they are killed, by `end`.
    with context.signals.deferred():
        context.signals.more = seconds
        children: list[subprocess.Popen[Any]] = []
        try:
            for own, (out, err) in zip(environs, outputs):
                # A session of its own: Ctrl-C reaches this process alone, which hands it on once.
                environ = {**os.environ, **own}
                children.append(subprocess.Popen(words, env=environ, start_new_session=True, stdout=out, stderr=err))
            yield children
        finally:
            (end or end_children)(children, seconds)


def end_children(children: Sequence[subprocess.Popen[Any]], seconds: float) -> None:
    """End processes that are still there: they may write checkpoints first."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        child.terminate()
    last = time.monotonic() + seconds
    for child in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, last - time.monotonic()))
        child.kill()
        child.wait()


def _repeat(heard: IO[bytes], number: int) -> None:
    """The last lines of a process whose words went nowhere."""
    heard.seek(0)
    lines = heard.read().decode(errors="replace").strip().splitlines()[-20:]
    if lines:
        say("\n".join((f"process {number}:", *lines)))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def shares(count: int, flag: str) -> list[dict[str, str]]:
    """Find the variables that give every process its own cores and GPU."""
    mine, found_gpus = cores(), gpus()
    if count > len(mine):
        what = f"{count} {flag.lstrip('-')} would share {len(mine)} cores."
        raise UsageError(what, where=flag, fix=f"Use {len(mine)} at the most on this machine.")
    if found_gpus and count > len(found_gpus):
        what = f"{count} {flag.lstrip('-')} would share {len(found_gpus)} GPUs."
        raise UsageError(what, where=flag, fix=f"Use {len(found_gpus)}, or JAX_PLATFORMS=cpu.")
    size = len(mine) // count
    found = [{CORES: ",".join(map(str, mine[size * i : size * (i + 1)]))} for i in range(count)]
    return [share | ({"CUDA_VISIBLE_DEVICES": found_gpus[i]} if found_gpus else {}) for i, share in enumerate(found)]
