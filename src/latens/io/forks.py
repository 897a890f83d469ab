"""The process that computes. A copy of it made by a fork has none of its threads, and would wait for them for ever."""

import os

from latens.errors import UsageError

_computing: int | None = None


def check_process() -> None:
    """Note that this process computes, or refuse where it is a fork of one that did.

    Raises:
        UsageError: This is a child of `os.fork`, such as a worker of `multiprocessing` with the method "fork".
    """
    global _computing
    if _computing is None:
        _computing = os.getpid()
    elif _computing != os.getpid():
        raise UsageError(
            "this process was forked from one that had computed with JAX, whose threads a fork does not copy.",
            where=f"process {os.getpid()}",
            fix='Start workers afresh: multiprocessing.get_context("spawn"), or joblib, which does so by itself; or '
            "fork before the first fit, load or call of a model.",
        )
