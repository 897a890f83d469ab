"""`--workers N`: the same command in N processes of this machine, each of which does every N-th part of the work.

They do not speak with one another: a part is the same whoever makes it, and is there whole or not at all.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from latens.cli.context import Context
from latens.cli.processes import shares, started, stay
from latens.errors import LatensError, PeerError
from latens.io.places import PARENT, THREADS, threads, whole
from latens.io.terminal import say
from latens.io.workers import WORKER, Worker

FOLDER = "LATENS_PARTS"
"""Tells workers where what they find of a part goes, where that is no file of the user's."""

AGAIN = "The parts that are written stay: the same command again makes the others."

_POLL = 0.05
_LAST = 6.0
"""Seconds in which workers may end by themselves before they are killed: more than a signal's patience."""


def launch_workers(context: Context, count: int, folder: Path | None = None) -> None:
    """Start this command in several workers of this machine, and wait until all parts are made."""
    # folder: what they are told as the folder of their results; None where `--out` says it.
    given = shares(count, "--workers")
    words = [sys.executable, "-m", "latens.cli.main", *context.argv, "--json", "--quiet"]
    # One thread each, whatever the cores: XLA cuts its work by the number of threads, and last bits depend on that.
    common = {THREADS: os.environ.get(THREADS, "1"), PARENT: str(os.getpid())}
    if folder is not None:
        common[FOLDER] = str(folder)
    own = [{**common, WORKER: f"{number}/{count}", **share} for number, share in enumerate(given)]
    with contextlib.ExitStack() as stack:
        heard = [[stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)] for _ in range(count)]
        with started(context, words, own, [(out, err) for out, err in heard], _LAST) as children:
            failed = _wait(context, children)
        if context.signals.received is not None:
            context.stopped = "; the parts that are written stay"
            context.signals.check()
        if failed is not None:
            raise _error(children[failed].returncode, heard[failed][0], heard[failed][1], failed)


def _wait(context: Context, children: list[subprocess.Popen[Any]]) -> int | None:
    """The number of the worker that failed first; None where all ended well, or a signal came."""
    while context.signals.received is None:
        codes = [child.poll() for child in children]
        failed = [number for number, code in enumerate(codes) if code not in (None, 0)]
        if failed:
            return failed[0]
        if None not in codes:
            return None
        time.sleep(_POLL)
    return None


def _error(code: int, out: IO[bytes], err: IO[bytes], number: int) -> LatensError:
    """The error of a worker, as it told it."""
    if code < 0:
        error = PeerError(f"worker {number} was ended by {signal.Signals(-code).name}.", where="--workers", fix=AGAIN)
        error.exit_code = 128 - code
        return error
    out.seek(0)
    err.seek(0)
    try:
        said = json.loads(out.read())["error"]
        error = LatensError(said["message"], where=said["where"], fix=said["fix"])
        error.code = said["code"]
    except (ValueError, KeyError, TypeError):  # it ended without a word of its own: its last lines say more
        say(err.read().decode(errors="replace").strip()[-2000:])
        error = LatensError(f"worker {number} ended with code {code}.", where="--workers", fix=AGAIN)
    error.exit_code = code
    return error


def begin_launcher() -> None:
    """Leave the accelerators to the workers: this process would take their memory."""
    import jax

    jax.config.update("jax_platforms", "cpu")  # which is read once, when the first of JAX's backends is made


def begin_worker() -> None:
    """Take the cores and the one thread of a worker, before anything is computed."""
    stay()
    if "jax" not in sys.modules:
        os.environ.setdefault(THREADS, "1")


def threads_of(worker: Worker | None) -> int:
    """Count the threads of XLA that compute a part."""
    return (whole(os.environ, THREADS) or 1) if worker is None else threads()


def own_parts(worker: Worker, total: int) -> Iterator[int]:
    """Go through the parts of a worker, for as long as the command that started it lives."""
    for part in worker.parts(total):
        if WORKER in os.environ and str(os.getppid()) != os.environ.get(PARENT):
            raise PeerError("the command that started the workers ended.", where="--workers", fix=AGAIN)
        yield part
