"""The numbers that can be typed, and flags of several commands. Imports nothing heavy: `--help` is instant."""

import argparse
from collections.abc import Sequence
from typing import Any

from latens.errors import UsageError
from latens.verbs.kernel import number, whole

port, seeds = whole(1024, 65535), whole(0, 2**32 - 1)
positive = number(5e-324, 1.7976931348623157e308, "a number above 0")


def run_and_data(command: argparse.ArgumentParser) -> None:
    """Add RUN and the optional DATA."""
    command.add_argument("run", metavar="RUN")
    command.add_argument("data", metavar="DATA", nargs="?", help="default: the data of the run")


def seed(command: Any, of: str, default: int | None = 0) -> None:
    """Add --seed."""
    command.add_argument("--seed", type=seeds, default=default, metavar="S", help=f"{of} (default 0)")


def dry_run(command: Any, what: str = "write nothing, say what would be done") -> None:
    """Add --dry-run."""
    command.add_argument("--dry-run", action="store_true", help=what)


def theme(command: argparse.ArgumentParser) -> None:
    """Add --theme."""
    command.add_argument("--theme", choices=("light", "dark"), default="light", help="colours (default light)")


def refuse_twice(argv: Sequence[str], command: argparse.ArgumentParser) -> None:
    """Refuse a flag that is typed twice, of which argparse keeps the last, unless it collects them or has no value."""
    typed: dict[str, str] = {}
    for word in argv[: argv.index("--") if "--" in argv else None]:
        flag = word.split("=")[0]
        action = command._option_string_actions.get(flag)
        if action is None or isinstance(action, argparse._AppendAction):
            continue
        former = typed.setdefault(action.dest, "")
        if former and (former != flag or action.nargs != 0):
            same = f"{flag} is given twice, and takes one value."
            what = same if former == flag else f"{former} and {flag} contradict each other."
            raise UsageError(what, where=flag, fix="Leave one of them out.")
        typed[action.dest] = flag
