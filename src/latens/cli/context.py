"""What every command is given, any verb as a command, and signals. Imports nothing heavy.

Ctrl-C and SIGTERM: the first stops at the next safe place, at the latest after four seconds; the second at once.
"""

import argparse
import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, cast

from latens.commands.base import Call, Command, DryRun, ModelCommand, Work, arguments_of, finished, refuse
from latens.errors import visible
from latens.io.terminal import doing, print_json, put, say, with_record

HANDLED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name))

PATIENCE = 4.0
"""Seconds that a first signal waits for a safe place: to compile, or a step of a large model, may take minutes."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to stop; `exit_code` is 130 for SIGINT, 143 for SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number, self.exit_code = number, 128 + number


class Signals:
    """A signal within the block raises `Stopped`, or waits inside `deferred()`; a second one ends the process."""

    # Where the block has not been left `PATIENCE` seconds after the first signal, the process ends too. Outside of the
    # main thread, where Python delivers no signals, nothing is installed.
    # `received`: The number of the first signal, or None.
    # `last_words`: A function of a signal's number that gives what is written to stderr and to stdout before the
    # process ends so.

    def __init__(self) -> None:
        self.received: int | None = None
        self.last_words: Callable[[int], tuple[str, str]] = lambda number: ("", "")
        self._deferred = 0
        self._before: dict[int, Any] = {}
        self._writing: socket.socket | None = None
        self._old_fd = -1

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a first signal wait: whoever works inside looks at `received` between two pieces of work."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    def check(self) -> None:
        """Raise what a signal asked for while it had to wait."""
        if self.received is not None:
            raise Stopped(self.received)

    def __enter__(self) -> "Signals":
        if threading.current_thread() is not threading.main_thread():
            return self
        reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for number in HANDLED:
            # A shell starts background jobs with SIGINT ignored; that is to stay so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        threading.Thread(target=_watch, args=(reading, self), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._writing is not None:
            signal.set_wakeup_fd(self._old_fd)
            self._writing.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            if not self._deferred:
                raise Stopped(number)


def _watch(reading: socket.socket, signals: Signals) -> None:
    """End the process where a signal waits too long, without Python's handlers."""
    # Python runs these between byte codes of the main thread, which a compilation may keep away for minutes; the
    # numbers of signals written to this socket by the interpreter itself arrive at once. Only this thread closes its
    # end: closed by another one, its number might already be that of a new socket when this thread wakes up, and it
    # would wait there until the time is over, and end a process that nobody interrupted.
    first, deadline = 0, 0.0
    with reading:
        while True:
            try:
                reading.settimeout(max(deadline - time.monotonic(), 0.001) if first else None)
                numbers = reading.recv(64)
            except TimeoutError:
                with contextlib.suppress(Exception):  # whatever it is, the process ends
                    for descriptor, text in zip((2, 1), signals.last_words(first)):
                        _write(descriptor, text)
                _exit(first)
            except OSError:
                return
            if not numbers:
                return
            for number in numbers:
                if number in HANDLED and first:
                    _exit(number)
                elif number in HANDLED:
                    first, deadline = number, time.monotonic() + PATIENCE


def _exit(number: int) -> NoReturn:
    with contextlib.suppress(Exception):
        if sys.stderr is not None and sys.stderr.isatty():
            _write(2, "\x1b[?25h\n")  # a progress bar hides the cursor
    os._exit(128 + number)


def _write(descriptor: int, text: str) -> None:
    """Past Python's buffers, whose lock the main thread may hold, and only where somebody reads."""
    # Windows selects among sockets alone.
    if text and (sys.platform == "win32" or select.select([], [descriptor], [], 0.0)[1]):
        os.write(descriptor, text.encode(errors="backslashreplace"))


@dataclass
class Context:
    """One call of the command."""

    args: argparse.Namespace
    argv: Sequence[str]  # the words as typed
    signals: Signals = field(default_factory=Signals)  # what turns signals into an orderly stop
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
