"""`latens sweep --workers N`: processes of this machine that share the runs of a sweep, each on cores of its own.

They need no word from one another: a run that is left is trained by who gets its lock first.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from latens.cli.context import Context
from latens.cli.processes import end_children, shares
from latens.cli.sweep_runs import announce
from latens.errors import PeerError
from latens.io.places import THREADS, threads
from latens.io.signals import HANDLED
from latens.runs.sweep import Job, Plan

WORKER = "LATENS_SWEEP_WORKER"
"""The variable by which a process knows that it is a worker; it holds the number of the process that looks after it."""

_POLL, _GRACE = 0.1, 8.0
"""Seconds between looks, and those in which workers may write checkpoints before they are killed."""


def run_workers(context: Context, folder: Path, plan: Plan) -> None:
    """Start the workers, tell what they have done, and end when they have ended."""
    given = shares(context.args.workers, "--workers")
    imports = [word for path in context.args.imports for word in ("--import", path)]
    words = [sys.executable, "-m", "latens.cli.main", "sweep", str(folder), "--quiet", *imports]
    common = {WORKER: str(os.getpid()), THREADS: str(threads())}  # the threads of one process: bits depend on them
    with context.signals.deferred():
        context.signals.more = _GRACE
        children: list[subprocess.Popen[Any]] = []
        try:
            for share in given:
                # A session of its own: Ctrl-C reaches this process alone, which hands it on once.
                own = {**os.environ, **common, **share}
                children.append(subprocess.Popen(words, env=own, start_new_session=True, stdout=subprocess.DEVNULL))
            _wait(context, children, folder, plan)
        finally:
            end_children(children, _GRACE)
    context.signals.check()
    failed = [number for number, child in enumerate(children) if child.returncode != 0]
    if failed:
        first = min(failed, key=lambda number: children[number].returncode < 0)  # a word before a kill of ours
        code = children[first].returncode
        what = f"worker {first} ended with exit code {code if code > 0 else 128 - code}."
        error = PeerError(what, where="--workers", fix=f"Go on with `{context.again}`.")
        error.exit_code = code if code > 0 else 128 - code
        raise error


def _wait(context: Context, children: list[subprocess.Popen[Any]], folder: Path, plan: Plan) -> None:
    """Wait for the workers, or for the first that fails; runs are told as they are done."""
    from latens.workflow.sweep import rounds

    told = {job.rows for jobs in rounds(plan, folder) for job in jobs if job.rows.exists()}
    handed = False

    def tell() -> None:
        new: list[Job] = [job for jobs in rounds(plan, folder) for job in jobs if job.rows not in told]
        for job in new:
            if job.rows.exists():
                told.add(job.rows)
                announce(context, folder, plan, job)

    while any(child.poll() is None for child in children):
        if context.signals.received is not None and not handed:
            handed = True
            for child in children:
                child.send_signal(context.signals.received)
        if any(child.poll() not in (None, 0) for child in children) and not handed:
            break
        tell()
        time.sleep(_POLL)
    tell()


def stop_with_parent() -> None:
    """Stop this worker, as SIGTERM does, where the process that looks after it is gone."""
    parent = int(os.environ[WORKER])

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), HANDLED[-1])

    threading.Thread(target=watch, name="latens-parent", daemon=True).start()
