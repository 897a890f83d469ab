"""Names that never come together: an invoice and a private customer, a low season and July."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.ordered import dates_of, is_date, shown_dates
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

LEAST_ROWS, MOST_ROWS = 200, 50_000
"""Rows of a table from which on names may never come together, and rows that are looked at."""
MOST_NAMES, MOST_NUMBERS, MOST_PARTS, MOST_PAIRS = 50, 60, 40, 5000
"""Names of a column, different values of a number, columns that are looked at, and pairs that two of them may have."""
BY_CHANCE = 0.01
"""How probable it may be that one of all pairs of independent names is missing."""
PARTS = ("", "month", "year")
"""What of a column is looked at: its names or numbers, or the month or year of its dates."""


class Apart(NamedTuple):
    """Names of two columns that no row has together."""

    first: str
    of_first: str  # one of `PARTS`
    second: str
    of_second: str
    pairs: tuple[tuple[str, str], ...]
    rows: int  # with something in both columns


def found_in(data: Dataset) -> tuple[Apart, ...]:
    """Find the names, few numbers, months and years of a mixed table of which two never come together beyond chance."""
    # Of independent names so many rows would have both that none has with probability $e^{-n_a n_b / n}$.
    x, types = getattr(data, "x", None), data.schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types or len(x) < LEAST_ROWS:
        return ()
    names = data.schema.names
    some = np.sort(np.random.default_rng(0).permutation(len(x))[:MOST_ROWS])
    shown = np.ones((len(some), len(types)), bool) if data.mask is None else np.asarray(data.mask)[some]
    parts: list[tuple[int, str, list[str], np.ndarray]] = []
    dates = dates_of(np.asarray(x)[some], data.schema)
    for k, one in enumerate(types):
        for part in _parts_of(one):
            seen = shown_dates(shown, k, k, names, types)
            words, codes = _coded(one, part, dates[k] if part else np.asarray(x)[some, k], seen)
            if 2 <= len(words) <= (MOST_NUMBERS if one.kind == "number" else MOST_NAMES):
                parts.append((k, part, words, codes))
    found = []
    for a, b, never in never_in([(k, types[k].kind == "number", len(words), codes) for k, _, words, codes in parts]):
        (i, part, words, codes), (j, other, others, own) = parts[a], parts[b]
        pairs = tuple((words[one], others[two]) for one, two in never.tolist())
        found.append(Apart(names[i], part, names[j], other, pairs, int(np.sum((codes >= 0) & (own >= 0)))))
    return tuple(found)


def never_in(
    parts: Sequence[tuple[int, bool, int, Int[np.ndarray, " n"]]],
) -> Iterator[tuple[int, int, Int[np.ndarray, "pairs two"]]]:
    """The places of two parts of different columns, and the codes that they never have together, beyond chance."""
    # parts: of each its column, whether it is a number, how many codes it has, and the code of each row, -1 for none.
    both = [(a, b) for a, b in itertools.combinations(range(min(len(parts), MOST_PARTS)), 2)
            if parts[a][0] != parts[b][0] and not (parts[a][1] and parts[b][1])]  # fmt: skip
    tests = sum(parts[a][2] * parts[b][2] for a, b in both)
    for a, b in both:
        (_, _, size, codes), (_, _, other, own) = parts[a], parts[b]
        seen = (codes >= 0) & (own >= 0)
        counts = np.bincount(codes[seen] * other + own[seen], minlength=size * other).reshape(size, other)
        expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / max(counts.sum(), 1)
        never = np.argwhere((counts == 0) & (expected >= math.log(tests / BY_CHANCE)))
        if 0 < len(never) <= MOST_PAIRS:
            yield a, b, never


def _parts_of(one: ColumnType) -> tuple[str, ...]:
    if one.named:
        return ("",) if not one.starts else ()
    return ("month", "year") if is_date(one) else ("",) if one.kind == "number" else ()


def _coded(
    one: ColumnType, part: str, held: np.ndarray, shown: Bool[np.ndarray, " n"]
) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """What there is of a part of a column, in words, and the place of each row among these; -1 of an empty cell."""
    # held: the stored cells, or the dates in days or seconds.
    dates = np.round(np.asarray(held, np.float64))
    cells = of_dates(dates, "D" if (one.after or one).written == "D" else "s", part) if part else dates
    values, places = np.unique(cells[shown], return_inverse=True)
    codes = np.full(len(dates), -1)
    codes[shown] = places.ravel()
    return [_word(one, value) for value in values.tolist()], codes


def of_dates(numbers: np.ndarray, unit: str, part: str) -> Int[np.ndarray, " n"]:
    """The month, from 1, or the year of days or seconds since 1970."""
    months = numbers.astype(np.int64).astype(f"datetime64[{unit}]").astype("datetime64[M]").astype(np.int64)
    return months // 12 + 1970 if part == "year" else months % 12 + 1


def _word(one: ColumnType, value: float) -> str:
    if one.named:
        return one.values[int(value)] if 0 <= value < len(one.values) else ""
    return f"{one.low + value * one.step:.12g}" if one.kind == "number" else str(int(value))


def placed(rules: Sequence[Apart], schema: Schema) -> Iterator[tuple[Apart, int, int]]:
    """The rules between columns that a table has, and the places of these."""
    names, types = schema.names, schema.types or ()
    for one in rules:
        if one.first in names and one.second in names:
            i, k = names.index(one.first), names.index(one.second)
            if one.of_first in _parts_of(types[i]) and one.of_second in _parts_of(types[k]):
                yield one, i, k


def broken_in(
    rules: Sequence[Apart], schema: Schema, x: np.ndarray, mask: np.ndarray | None = None
) -> Bool[np.ndarray, " n"]:
    """The rows with two names that never come together."""
    wrong, types = np.zeros(len(x), bool), list(schema.types or ())
    names, dates = schema.names, dates_of(np.asarray(x), schema)
    shown = np.ones(np.shape(x), bool) if mask is None else np.asarray(mask)

    def coded(at: int, part: str) -> tuple[list[str], Int[np.ndarray, " n"]]:
        held = dates[at] if part else np.asarray(x)[:, at]
        return _coded(types[at], part, held, shown_dates(shown, at, at, names, types))

    for one, i, k in placed(rules, schema):
        (words, codes), (others, own) = coded(i, one.of_first), coded(k, one.of_second)
        places = ({word: at for at, word in enumerate(each)} for each in (words, others))
        here, there = places
        never = np.zeros((len(words) + 1, len(others) + 1), bool)
        for a, b in one.pairs:
            if a in here and b in there:
                never[here[a], there[b]] = True
        wrong |= never[codes, own]  # an empty cell is the last, and breaks nothing
    return wrong


def read(stored: Any) -> tuple[Apart, ...]:
    """The rules that a model file holds."""
    sound = lambda one: {one.of_first, one.of_second} <= set(PARTS) and one.first != one.second  # noqa: E731
    return rules_in(Apart, stored, lambda one: sound(one) and len(one.pairs) <= MOST_PAIRS)
