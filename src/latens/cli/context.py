"""What every command is given, and any verb as a command. Imports nothing heavy."""

import argparse
import os
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from latens.commands.base import Call, Command, DryRun, ModelCommand, Work, arguments_of, finished, refuse
from latens.errors import visible
from latens.runtime.terminal import doing, print_json, put, say, with_record

if TYPE_CHECKING:
    from latens.cli.main import Signals


@dataclass
class Context:
    """One call of the command."""

    args: argparse.Namespace
    argv: Sequence[str]  # the words as typed
    signals: "Signals"  # what turns signals into an orderly stop
    log: Path | None = None  # log file of the run, as soon as there is one
    stopped: str = ""  # what a signal left, in words
    began: float = field(default_factory=time.monotonic)  # when the command did
    callbacks: Sequence[Any] = ()  # functions of a training's events beside those of the command
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

    def detail(self, text: str) -> None:
        """Write words to stderr that only `--verbose` asks for."""
        if getattr(self.args, "verbose", False):
            self.say(text)

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


def run_verb(verb: type[Command], context: Context) -> int:
    """Open the model, load, refuse, say what would be done or do it, write the file and tell of it."""
    from latens.commands._sources import open_model

    args = context.args
    request = verb(**{name: getattr(args, name) for name, *_ in arguments_of(verb) if hasattr(args, name)})
    at = Call(cast(Any, None))
    at.asked = getattr(args, "out", None) or ""
    over = getattr(args, "ray", None)
    files = over is not None and verb.by_row and at.asked != ""
    folder = files and not Path(at.asked).suffix  # a file of results for each of rows
    early = Path(at.asked) if folder else None
    if early is None and verb.takes_out and verb.place is Command.place:
        early = request.place(at)
    own = {name for name, *_ in arguments_of(verb)}
    at = reading_as_typed(open_model(args.run) if issubclass(verb, ModelCommand) else at, context, own)
    refuse(verb, at)
    at.write_to(early or (request.place(at) if verb.takes_out else None))
    if over is None:
        work: Work = request(at)
    else:
        from latens.commands._ray import over_batches, over_files

        work = (over_files if request.by_row else over_batches)(request, at, over)
    what = next(work)
    if args.dry_run:
        return would(context, what, at)
    doing("")
    made = finished(work)
    if verb.endings and at.writes:
        made.write(at.out)
    value = {"out": str(at.out), **made.value} if at.writes else made.value
    # Texts that no file takes are the result.
    printed = verb.prints or (bool(verb.endings) and not at.writes)
    text = f"{at.out}: {made.text}" if verb.endings and not printed else made.text
    (context.result if printed else context.done)(value, with_record(made.plain, text))
    if printed and made.note:
        context.say(made.note)
    for words in made.warnings:
        context.warn(words)
    return made.status


def reading_as_typed(at: Call, context: Context, own: Collection[str] = ()) -> Call:
    """Have a model read rows as the flags of a command say, and warn on stderr; `own` flags say something else."""
    from latens.commands._sources import reading_options

    at.flags = given = vars(context.args)
    at.data, at.unknown = given.get("data"), given.get("unknown", "error")
    at.typed, at.warn, at.say = context.argv, context.warn, context.say
    if given.get("like") is not None:  # then --label is the column of these rows
        own = ()
    reads = {flag: value for flag, value in given.items() if flag not in own}
    at.given = reading_options(reads) if "data" in given or "like" in given else {}
    at.asked = given.get("out") or ""
    if given.get("given"):
        at.tell(given["given"])
    return at


def would(context: Context, what: str | DryRun, at: Call) -> int:
    """Say what a verb would do (`--dry-run`)."""
    if isinstance(what, str):
        what = DryRun(f"{what} into {at.out}; nothing was written", {"out": str(at.out), "would": what})
    context.say(f"would {what.text}")
    context.result({"dry_run": True, **what.value})
    return 0
