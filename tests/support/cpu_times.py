"""What each test costs, and which of them `make test` leaves to `make test-more`.

    LATENS_TEST_TIMES=times python -m pytest -p cpu_times -n 2
    python tests/support/cpu_times.py times

The first command writes the processor seconds of every test, those of the processes that it starts too; the second
writes `tests/more.txt` from them.
"""

import fnmatch
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LIST = Path(__file__).parents[1] / "more.txt"
MOST = 0.6
"""Processor seconds of a test from which on it is left to `make test-more`."""

KEPT = (
    "tests/test_planted_faults.py::*",
    "tests/cli/test_cli.py::test_evaluate_is_the_library",
    "tests/cli/test_cli_resume.py::test_kill_then_resume?9--9-44?",
    "tests/io/test_signals.py::test_a_command_that_is_stuck_ends?program*",
    "tests/evaluation/test_importance.py::*",
    "tests/workflow/test_going_on.py::*chosen0*",
    "tests/parts/test_objects.py::*objects0*",
    "tests/recipes/test_recipes_sweep.py::*?default?",
    "tests/test_docs.py::*README*",
)
"""Whole trips and oracles that stay, whatever they cost."""


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


def chosen(times: dict[str, float]) -> list[str]:
    """The tests that cost too much, but for those that are kept."""
    return sorted(
        name
        for name, seconds in times.items()
        if seconds > MOST and not any(fnmatch.fnmatchcase(name, pattern) for pattern in KEPT)
    )


if __name__ == "__main__":
    lines = [json.loads(line) for file in Path(sys.argv[1]).iterdir() for line in file.read_text().splitlines()]
    times = {line[0]: line[1] for line in lines}
    more = chosen(times)
    LIST.write_text("".join(f"{name}\n" for name in more))
    print(f"{len(more)} of {len(times)} tests, {sum(times[n] for n in more):.0f} of {sum(times.values()):.0f} s")
