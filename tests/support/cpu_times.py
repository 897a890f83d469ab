"""What each test costs, and which of them `make test` leaves to `make test-more` or `make long`.

    LATENS_TEST_TIMES=times python -m pytest -p cpu_times -n 2
    python tests/support/cpu_times.py times

The first command writes the processor seconds of every test, those of the processes that it starts too; the second
writes `tests/left_out.txt` from them.
"""

import fnmatch
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LIST = Path(__file__).parents[1] / "left_out.txt"
MOST, LONGEST = 0.75, 2.0
"""Seconds of a test from which on it is left to `make test-more`, and from which on to `make long`."""

KEPT = (LIST.parent / "kept.txt").read_text().split()
"""Whole trips, oracles and records that stay, whatever they cost."""


NEVER_LONG = (
    "tests/cli/test_photographs.py::*", "tests/test_docs.py::*", "tests/test_notebooks.py::*",
    "tests/test_typed.py::*", "tests/evidence/test_batched.py::*", "tests/fitting/test_going_on.py::*",
    "tests/recipes/test_objects.py::*", "tests/cli/test_cli_resume.py::*", "tests/cli/test_cli_sweep.py::*",
)  # fmt: skip
"""What continuous integration runs, whatever it costs."""


ALWAYS_LONG = ("tests/test_docs.py::test_snippets_run?tutorials?",)
"""What takes minutes, though all others like it are run by continuous integration."""


def spent() -> float:
    """The processor seconds of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Write what a test costs."""
    folder, before = Path(os.environ["LATENS_TEST_TIMES"]), spent()
    yield
    folder.mkdir(exist_ok=True)
    with (folder / str(os.getpid())).open("a") as file:
        file.write(json.dumps([item.nodeid, round(spent() - before, 3)]) + "\n")


def mark_of(name: str, seconds: float) -> str:
    """What leaves a test out of the quick suite: "more", "long", or "" for a test that stays."""
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in KEPT):
        return ""
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in ALWAYS_LONG):
        return "long"
    if seconds > LONGEST and not any(fnmatch.fnmatchcase(name, pattern) for pattern in NEVER_LONG):
        return "long"
    return "more" if seconds > MOST else ""


if __name__ == "__main__":
    lines = [json.loads(line) for file in Path(sys.argv[1]).iterdir() for line in file.read_text().splitlines()]
    costs: dict[str, float] = dict(lines)
    marks = {name: mark_of(name, seconds) for name, seconds in sorted(costs.items())}
    LIST.write_text("".join(f"{mark} {name}\n" for name, mark in marks.items() if mark))
    for kind in ("", "more", "long"):
        names = [name for name, mark in marks.items() if mark == kind]
        print(f"{kind or 'quick'}: {len(names)} tests, {sum(costs[name] for name in names):.0f} s")
