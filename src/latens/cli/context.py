"""What every command is given: its arguments, where words and results go, the signals. Imports nothing heavy."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
