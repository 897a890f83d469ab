"""Errors that say what went wrong, where, and what to do about it; and text that others wrote, as it is shown.

Needs only the standard library.
"""

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

# Marks that change the direction of the text after them; the joiners that Persian or emoji need are no such marks.
_DIRECTIONS = frozenset((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SPAN = re.compile(r"-\d+ days \+\d\d:\d\d:\d\d(\.\d{1,9})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WRITTEN = re.compile(r"[+-][$£€¥]? ?\d[\d.,'\u2019 \u00a0\u202f\u2009]*[^\W\d_]{0,10}[%°€$£¥]?")
"""A number with its marks and unit, and nothing that could be run."""


def visible(text: object, *, keep: str = "") -> str:
    r"""Text whose control characters, line ends and marks of direction are spelled out, `\x1b` or `\u202e`."""
    words = str(text)
    # A printable text may still hold a mark of direction, but only among characters beyond ASCII.
    if words.isprintable() and words.isascii():
        return words
    steers = lambda c: unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or ord(c) in _DIRECTIONS  # noqa: E731
    return "".join(c if c in keep or not steers(c) else ascii(c)[1:-1] for c in words)


def spreadsheet_text(text: str) -> str:
    """A text as it is written into a CSV file, with an apostrophe before what a spreadsheet would run as a formula."""
    # Numbers, also with a unit, and spans of time never get one. It is the remedy for "CSV injection" of
    # the Open Worldwide Application Security Project: for text that begins with `=`, `+`, `-`, `@`, a tab or a carriage
    # return.
    plain = any(form.fullmatch(text) for form in (_NUMBER, _SPAN, _WRITTEN))
    return f"'{text}" if text.startswith(_FORMULA) and not plain else text


def number(value: Any, digits: int = 2) -> str:
    """Write a number for people, with a true minus sign; small ones keep three figures."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return "—"
    size = abs(value)
    shown = f"{value:,.{digits}f}" if size >= 0.1 or value == 0 else f"{value:.3g}"
    return _signed(shown)


def with_digits(value: Any, error: Any = None) -> tuple[str, str]:
    """Write a value and its standard error with the digits that the error leaves: 2.18 and 0.02."""
    # The error has one figure, two where the first is a 1, and the value as many decimal places; without an error a
    # whole number has none, and others have two.
    sure = isinstance(error, int | float) and math.isfinite(error) and error > 0
    if value is None or not math.isfinite(value) or not sure:
        whole = isinstance(value, int | float) and math.isfinite(value) and value == round(value)
        return number(value, 0 if whole else 2), "—"
    first = math.floor(math.log10(error))
    places = 1 - first if f"{error:e}"[0] == "1" else -first
    places = min(6, max(0, places))
    return _signed(f"{value:,.{places}f}"), f"{error:,.{places}f}"


def _signed(shown: str) -> str:
    """With a true minus sign, and none before a zero."""
    shown = shown if any(digit in shown for digit in "123456789") else shown.removeprefix("-")
    return shown.replace("-", "\N{MINUS SIGN}")


def duration(seconds: float) -> str:
    """Write a time with the precision that one remembers: 11 s, 12 min, 2.4 h."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class LatensError(Exception):
    """An error with a remedy.

    `code` is a stable name for programs, `exit_code` the command's exit status.

    Args:
        message: What went wrong, in a full sentence.
        where: The file, column or option that it is about; "" for none.
        fix: What to type or change, in a full sentence; "" for none.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message, self.where, self.fix = message, where, fix

    def __reduce__(self):
        return (_rebuild, (type(self), self.message, self.where, self.fix))

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return visible(f"{text} {self.fix}" if self.fix else text)

    def as_dict(self) -> dict[str, str]:
        """The error as plain values, for programs.

        Returns:
            `code`, `message`, `where` and `fix`.
        """
        return {"code": self.code, "message": self.message, "where": self.where, "fix": self.fix}


def _rebuild(kind: type[LatensError], message: str, where: str, fix: str) -> LatensError:
    return kind(message, where=where, fix=fix)


class UsageError(LatensError, ValueError):
    """The command or call was written wrongly."""

    code, exit_code = "usage", 2


class DataError(LatensError, ValueError):
    """The data cannot be read or used as asked."""

    code, exit_code = "data", 3


class ConfigError(LatensError, ValueError):
    """An option, recipe or version does not fit."""

    code, exit_code = "config", 4


class ModelFileError(LatensError, ValueError):
    """A model file is unsafe or corrupt."""

    code, exit_code = "model-file", 5


class RunFolderError(LatensError, OSError):
    """A run folder is in use, not empty, or not a run folder."""

    code, exit_code = "run-folder", 6


class ResourceError(LatensError, OSError):
    """Disk, memory or a permission is missing."""

    code, exit_code = "resource", 7


class DivergedError(LatensError, ArithmeticError):
    """Training became non-finite and every way back was used up."""

    code, exit_code = "diverged", 8


def refuse_other(value: object, kind: type | tuple[type, ...], where: str, fix: str) -> None:
    """Refuse what is of another kind than is asked for."""
    if not isinstance(value, kind):
        names = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
        raise UsageError(f"a {type(value).__name__} is not a {names}.", where=where, fix=fix)


def nearest(name: object, valid: Iterable[str], more: Iterable[str] = ()) -> str:
    """A sentence that names the nearest valid word, or all of them but `more`: "Did you mean 'beta'?"."""
    choices = sorted(valid)
    close = difflib.get_close_matches(name, [*choices, *more], n=1) if isinstance(name, str) else []
    return f"Did you mean {close[0]!r}?" if close else f"Valid: {', '.join(choices) or 'none'}."
