"""Ctrl-C and SIGTERM: the first stops at the next safe place, at the latest after four seconds; the second at once.

Needs only the standard library.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn

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
