"""The process that computes: that it is no fork of one that did, and how much memory it can have."""

import os
from pathlib import Path

from latens.errors import UsageError

_computing: int | None = None


def check_process() -> None:
    """Note that this process computes, or refuse where it is a fork of one that did.

    A fork has none of the threads of its parent, and would wait for them for ever.

    Raises:
        UsageError: This is a child of `os.fork`, such as a worker of `multiprocessing` with the method "fork".
    """
    global _computing
    if _computing is None:
        _computing = os.getpid()
    elif is_fork():
        raise UsageError(
            "this process was forked from one that had computed with JAX, whose threads a fork does not copy.",
            where=f"process {os.getpid()}",
            fix='Start workers afresh: multiprocessing.get_context("spawn"), or joblib, which does so by itself; or '
            "fork before the first fit, load or call of a model.",
        )


def is_fork() -> bool:
    """Whether this process was forked from one that computed."""
    return _computing not in (None, os.getpid())


def free_memory() -> int | None:
    """The memory that a process can have without swapping.

    Returns:
        Bytes; None where the system does not tell.
    """
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
