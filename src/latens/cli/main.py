"""The command `latens`: what runs, and what becomes of errors and signals. Imports nothing heavy: `--help` is instant.

Ctrl-C and SIGTERM: the first stops at the next safe place, at the latest after four seconds; the second at once.
"""

import argparse
import contextlib
import gc
import importlib
import importlib.util
import io
import logging
import os
import select
import shlex
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

from latens.cli.arguments import parse, parser
from latens.cli.context import Context, run_verb
from latens.commands.base import verbs
from latens.errors import LatensError, ResourceError, UsageError, visible
from latens.runtime.atomic import as_resource_error
from latens.runtime.compilation import compute_in_full_precision, jax_settings, refuse_little_space
from latens.runtime.terminal import Waiting, json_text, print_json, put, say

TRAINING = ("fit", "resume", "demo", "check", "sweep")
"""Commands beside the verbs that may be silent for a while."""
HOMES = {"check": "info", "explore": "info", "demo": "fit", "resume": "fit"}
"""The files of commands that have none of their own name."""

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; may be called many times in a process.

    Args:
        argv: The words after `latens`; None takes those of the process.

    Returns:
        The exit code.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    context = Context(argparse.Namespace(json="--json" in argv, debug="--debug" in argv), argv, Signals())
    context.signals.last_words = lambda number: _last_words(context, number)
    with context.signals:
        try:
            return _run_and_report(context)
        except KeyboardInterrupt as stop:  # while another error was being reported
            return getattr(stop, "exit_code", 130)


def _run_and_report(context: Context) -> int:
    try:
        code = _run(context)
        if sys.stdout is not None:
            put("", end="")
        return code
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). Python would complain once more when it flushes at exit.
        _discard_stdout()
        return 0
    except Stopped as stop:
        return _report_stop(context, stop.number)
    except KeyboardInterrupt:
        return _report_stop(context, 2)
    except LatensError as error:
        return _report(context, error, error.as_dict(), error.exit_code)
    except Exception as error:
        lacking = as_resource_error(error) or _without_platform()
        if lacking is not None:
            return _report(context, lacking, lacking.as_dict(), lacking.exit_code)
        return _report_bug(context, error)


def _run(context: Context) -> int:
    try:
        context.args = parse(context.argv)
    except SystemExit as leave:  # --help has printed
        return int(leave.code or 0)
    if context.args.version:
        from latens.cli.info import version_line

        put(version_line())
        return 0
    if context.args.command is None:
        put(parser().format_help().rstrip())
        return 0
    refuse_little_space()
    compute_in_full_precision()
    for number, path in enumerate(context.args.imports):
        _import(path, number)
    verb = verbs().get(context.args.command)
    silent = verb is not None or context.args.command in TRAINING or bool(getattr(context.args, "export", None))
    drawn = silent and context.terminal and not context.quiet
    with Waiting(context.args.command, getattr(context.args, "minutes", None)) if drawn else contextlib.nullcontext():
        if verb is not None:
            return run_verb(verb, context)
        home = HOMES.get(context.args.command, context.args.command)
        module = importlib.import_module(f"latens.cli.{home}")
        return getattr(module, context.args.command)(context) or 0


def _import(path: str, number: int) -> None:
    """Execute a file that registers the user's own parts."""
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path!r}.", where="--import", fix="Give the path of a Python file.")
    spec = importlib.util.spec_from_file_location(f"latens_parts_{number}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path!r} is not a Python file.", where="--import", fix="Give a file that ends in .py.")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    beside = str(Path(path).resolve().parent)
    sys.path.append(beside)  # last, so that no neighbour takes the name of a package
    try:
        spec.loader.exec_module(module)
    except LatensError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        what = f"{type(error).__name__} in line {lines[-1] if lines else '?'}: {str(error)[:300].rstrip('.')}."
        raise UsageError(what, where=f"--import {path}", fix="`--debug` shows the traceback.") from error
    finally:
        sys.path.remove(beside)


def _report(context: Context, error: BaseException, fields: dict[str, str], code: int) -> int:
    """The error in words on stderr and, with `--json`, as one object on stdout."""
    say(_in_words(context, error, fields, code))
    if context.json:
        try:
            print_json({"error": fields})
        except BrokenPipeError:
            _discard_stdout()
        except ResourceError:
            pass  # it is what is being reported
    if isinstance(error, ResourceError):
        _discard_stdout()  # what could not be written there would be tried once more at the end
    return code


def _in_words(context: Context, error: BaseException, fields: dict[str, str], code: int) -> str:
    word = "stopped" if code in (130, 143) else "error"
    lines = [f"{word}: {fields['where']}: {fields['message']}" if fields["where"] else f"{word}: {fields['message']}"]
    if fields["fix"]:
        lines.append(fields["fix"])
    if context.log is not None and code not in (130, 143) and context.log.exists():
        lines.append(f"The log is {context.log}.")
    lines = [visible(line) for line in lines]  # a name with a line end in it shall not look like a line of ours
    if getattr(context.args, "debug", False):
        lines.insert(0, "".join(traceback.format_exception(error)).rstrip())
    return "\n".join(lines)


def _without_platform() -> ResourceError | None:
    """The error where JAX_PLATFORMS names what is not there: JAX's own is of several types, and may be empty."""
    asked = os.environ.get("JAX_PLATFORMS")
    if not asked or "jax" not in sys.modules:
        return None
    try:
        sys.modules["jax"].devices()
    except Exception as error:
        reason = str(error).split("\n")[0][:200].rstrip(".")
        what = f"JAX finds no such platform{f' ({reason})' if reason else ''}."
        return ResourceError(what, where=f"JAX_PLATFORMS={asked}", fix="Leave it unset, or set it to cpu.")
    return None


def _report_stop(context: Context, number: int) -> int:
    fields = _stop_fields(context, number, context.stopped)
    return _report(context, KeyboardInterrupt(fields["message"]), fields, 128 + number)


def _stop_fields(context: Context, number: int, how: str) -> dict[str, str]:
    what = f"stopped by {'Ctrl-C' if number == 2 else 'SIGTERM'}{how}."
    fields = {"code": "interrupted", "message": what, "where": "", "fix": ""}
    if context.again:
        fields["fix"] = f"Continue with `{context.again}`."
    elif context.log is not None:
        folder = context.log.parent
        fields |= {"where": str(folder), "fix": f"Continue with `latens resume {shlex.quote(str(folder))}`."}
    return fields


def _last_words(context: Context, number: int) -> tuple[str, str]:
    """What goes to stderr and to stdout where a signal ends a process that does not end by itself."""
    fields = _stop_fields(context, number, f"; what was being computed did not end within {PATIENCE:.0f} s")
    words = _in_words(context, KeyboardInterrupt(), fields, 128 + number)
    return f"{words}\n", json_text({"error": fields}) + "\n" if context.json else ""


def _report_bug(context: Context, error: Exception) -> int:
    """Something nobody foresaw: the traceback goes to a log, and the message says where that is."""
    log = context.log
    if log is None or not log.exists():
        log = _crash_log(context.argv, error)
    fields = {
        "code": "bug",
        "message": f"{type(error).__name__}: {str(error)[:500]}",
        "where": f"latens {getattr(context.args, 'command', None) or ''}".strip(),
        "fix": f"{_place(error)}; {f'the traceback is in {log}' if log else '--debug shows the traceback'}.",
    }
    context.log = None
    return _report(context, error, fields, 1)


def _place(error: Exception) -> str:
    """Say whose code an error is of: that of a file which was imported, or latens."""
    package, libraries = Path(__file__).parents[1], (sys.prefix, sys.base_prefix, "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(package):
            break
        if not frame.filename.startswith(libraries):
            return f"The error is in {frame.filename}, line {frame.lineno}"
    return "This is a bug in latens, not in what you typed"


def _crash_log(argv: Sequence[str], error: Exception) -> Path | None:
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} latens {argv!r}\n{''.join(traceback.format_exception(error))}\n"
    try:
        descriptor, name = tempfile.mkstemp(prefix="latens-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return None
    return Path(name)


def _discard_stdout() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a captured stdout has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def entry() -> NoReturn:
    """The console script."""
    # A file opened later shall not get the number of a stream that is closed, and be written to by a library.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lasts
    if jax_settings()["jax_enable_x64"]:
        os.environ["JAX_ENABLE_X64"] = "0"
        say("warning: JAX_ENABLE_X64 is ignored: models are trained and measured in single precision.")
    # A tracing makes millions of objects that stay: the collector would walk them for a tenth of a command's time.
    gc.set_threshold(100_000, 50, 50)
    os.environ["MPLBACKEND"] = "agg"  # pictures are files here: a backend for windows need not be there
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Libraries announce what a user of the command cannot act on (no GPU found, a cache entry written elsewhere).
    logging.getLogger("jax").setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    code = main()
    jax = sys.modules.get("jax")  # which may have found no device
    if code in (130, 143) or (code and jax is not None and jax.distributed.is_initialized()):
        # The interpreter waits for threads before it leaves, and theirs is the computation that was to stop, or that
        # waits for another process.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
    gc.freeze()  # nothing here waits in a cycle to be closed, and a last collection would walk half a million objects
    sys.exit(code)


if __name__ == "__main__":
    entry()
