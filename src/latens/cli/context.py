"""What every command is given: its arguments, where words and results go, the signals. Imports nothing heavy."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latens.errors import UsageError
from latens.io.signals import Signals
from latens.io.terminal import print_json, put, say
from latens.text import visible


@dataclass
class Context:
    """One call of the command."""

    args: argparse.Namespace
    argv: Sequence[str]  # the words as typed
    signals: Signals = field(default_factory=Signals)  # what turns signals into an orderly stop
    log: Path | None = None  # log file of the run, as soon as there is one
    stopped: str = ""  # what a signal left, in words
    again: str = ""  # the command that goes on with what a signal stopped, where that is not `latens resume`

    @property
    def json(self) -> bool:
        """Whether `--json` was given."""
        return bool(getattr(self.args, "json", False))

    @property
    def quiet(self) -> bool:
        """Whether `--quiet` was given."""
        return bool(getattr(self.args, "quiet", False))

    def say(self, text: str = "") -> None:
        """Write words to stderr; `--quiet` silences them."""
        if not self.quiet:
            say(text)

    def warn(self, text: str) -> None:
        """Write a warning to stderr that `--quiet` does not silence."""
        say(f"warning: {text}")

    def result(self, value: dict[str, Any], text: str = "") -> None:
        """Write what the command was asked for to stdout, once a call."""
        if self.json:
            print_json(value)
        elif text:
            put(visible(text, keep="\n\t"))

    def done(self, value: dict[str, Any], text: str) -> None:
        """End a command whose result is a file: words to stderr, and with `--json` one object on stdout."""
        self.say(text)
        if self.json:
            print_json(value)

    @property
    def terminal(self) -> bool:
        """Whether stderr is a terminal that shows a progress bar."""
        return bool(sys.stderr.isatty()) and os.environ.get("TERM", "") != "dumb"


def output_path(args: argparse.Namespace, endings: Sequence[str], *inputs: str | None) -> Path:
    """Find where `--out` points."""
    # inputs: paths that must not be written over; None is none.
    listed = ", ".join(endings)
    if not args.out:
        raise UsageError(
            "--out is missing: it says where the result goes.",
            where="--out",
            fix=f"Add --out FILE, with one of: {listed}.",
        )
    path = Path(args.out)
    if path.suffix.lower() not in endings:
        what = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise UsageError(f"{path.name!r} {what}.", where="--out", fix=f"Use one of: {listed}.")
    if path.is_dir():
        raise UsageError("this is a folder.", where=f"--out {path}", fix="Give the name of a file.")
    for name in inputs:
        if name and os.path.exists(name) and path.exists() and os.path.samefile(name, path):
            raise UsageError("this would overwrite the input.", where=f"--out {path}", fix="Choose another name.")
    return path


def free_name(name: str) -> str:
    """The name, or with a number where there is such a file: nothing is written over that was not named."""
    path, number = Path(name), 2
    while path.exists():
        path, number = Path(name).with_stem(f"{Path(name).stem}-{number}"), number + 1
    return str(path)


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Lay out rows of text in columns, two blanks apart."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows), default=0))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def would(context: Context, what: str, out: Path) -> int:
    """Say what a command that writes one file would do (`--dry-run`)."""
    context.say(f"would {what} into {out}; nothing was written")
    context.result({"dry_run": True, "out": str(out), "would": what})
    return 0
