"""The process that computes: that it is no fork of one that did, and how much memory it can have."""

import functools
import inspect
import numbers
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from latens.errors import ResourceError, UsageError

Function = TypeVar("Function", bound=Callable[..., Any])

_computing: int | None = None


def check_process() -> None:
    """Note that this process computes, or refuse where it is a fork of one that did."""
    # A fork has none of the threads of its parent, and would wait for them for ever.
    global _computing
    if _computing is None:
        _computing = os.getpid()
    elif is_fork():
        raise UsageError(
            "this process was forked from one that had computed with JAX, whose threads a fork does not copy.",
            where=f"process {os.getpid()}",
            fix='Start workers afresh: multiprocessing.get_context("spawn"), or joblib; or '
            "fork before the first fit, load or call of a model.",
        )


def is_fork() -> bool:
    """Whether this process was forked from one that computed."""
    return _computing not in (None, os.getpid())


def threads() -> int:
    """The threads that XLA has in this process, by which it cuts its work: one a core, unless PJRT_NPROC says so."""
    text = os.environ.get("PJRT_NPROC", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(text) if text.isdecimal() and int(text) else cores


def free_memory() -> int | None:
    """The memory that a process can have without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def check_count(n: object, where: str, *, cells: int = 1, least: int = 1) -> int:
    """Check a number that is asked for: a whole number from `least` on, of which `cells` times it fit into memory."""
    n = min(_check_whole(n, least, where, f"Give {least} or more."), 10**15)
    free = free_memory()
    needed = 4 * n * (cells + 2)  # float32, and a random key for each row
    if needed > (2**50 if free is None else free):
        what = f"{n:,} rows take {needed / 2**30:,.0f} GB"
        what += "." if free is None else f", and {free / 2**30:.1f} GB are free."
        raise ResourceError(what, where=where, fix="Ask for fewer rows, several times with seeds of their own.")
    return n


def _check_whole(n: object, least: int, where: str, fix: str) -> int:
    if not isinstance(n, numbers.Integral) or isinstance(n, bool) or n < least:
        raise UsageError(f"must be a whole number of {least} or more, not {n!r:.100}.", where=where, fix=fix)
    return int(n)


def counted(**least: int) -> Callable[[Function], Function]:
    """Check the arguments of these names before a function sees them: whole numbers, none below its least."""

    def checks(function: Function) -> Function:
        taken = inspect.signature(function).parameters
        optional = [name for name in least if taken[name].default is None]

        @functools.wraps(function)
        def call(*values: object, **options: object) -> Any:
            given = dict(zip(taken, values)) | options
            for name, low in least.items():
                n = given.get(name, low)
                if n is None and name in optional:
                    continue
                _check_whole(n, low, name, f"Give {low} or more.")
            return function(*values, **options)

        return cast(Function, call)

    return checks
