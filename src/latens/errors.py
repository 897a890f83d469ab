"""Errors that say what went wrong, where, and what to do about it."""

import difflib
from collections.abc import Iterable

from latens.text import visible


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
