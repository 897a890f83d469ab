"""Rules of a table as a model file holds them: a stranger may have written it, so what is none is left out."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

Rule = TypeVar("Rule", bound=tuple)

MOST_RULES = 1000
"""Rules of one kind that are read."""


def rules_in(
    kind: type[Rule], stored: Any, sound: Callable[[Rule], bool] = lambda one: True, most: int = MOST_RULES
) -> tuple[Rule, ...]:
    """The rules of a kind that a file holds: lists of the types of its fields, finite, and sound."""
    rows = stored if isinstance(stored, Sequence) and not isinstance(stored, str) else ()
    return tuple(one for one in (_one(kind, row) for row in rows[:most]) if one is not None and sound(one))


def _one(kind: type[Rule], row: Any) -> Rule | None:
    try:
        one = msgspec.convert(row, kind)
    except (msgspec.ValidationError, TypeError):
        return None
    return one if _finite(one) else None


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
