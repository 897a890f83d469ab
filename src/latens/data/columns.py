"""Columns of a table by kind: what a cell of each may be, and which number it is stored as."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
from jaxtyping import Shaped
from msgspec import Meta, Struct

from latens.data.dates import written_times
from latens.data.durations import CODES, as_spans
from latens.data.writings import Writing
from latens.errors import DataError, nearest
from latens.text import span_texts

ColumnKind: TypeAlias = Literal["category", "ordinal", "number", "date", "duration"]
"""A category is one of some names, an ordinal one of names that have an order; a number lies on a grid of its own; a
date is a number of days or seconds, a duration one of the coarsest unit in which it is whole."""

Unit: TypeAlias = Literal["days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"]
"""What a duration is counted in."""

MOST_CATEGORIES = 1000
"""Of a column with more names the rare ones share a probability, by how often each came."""
MOST_NAMES, MOST_TEXT, MOST_OWN = 2**16, 2**21, 900
"""Names of a column at the most, their letters in all, and how many have a probability of their own where others
share."""
MOST_CELLS = 2**24
"""Steps of a number's grid at the most: what float32 counts exactly."""
PIECES = 64
"""Into how many parts of like mass the rows of a number that hardly repeats are cut."""
HEAVY = 1 / 128
"""A value that so many rows have has a segment of its own."""
FAR = 5
"""How many times as wide as what is next to it a gap is that ends an outermost segment."""
OCCURRING = 0.995
"""Share of the training rows from which on values with a segment of their own are all that a column holds."""
ROUND, ROUND_ROWS, ROUND_VALUES = (10_000.0, 5000.0, 1000.0, 500.0, 100.0, 50.0, 10.0), 100, 50
"""Round numbers that a column may be recorded in, and the rows and the different numbers that can say so."""
FEWEST_SINGLE = 10
"""Numbers of few rows from which on these say whether such numbers come again."""
ALL_HEAVY = 256
"""Up to so many distinct values that each came `OFTEN` times on average, each has a segment of its own."""
OFTEN = 20
"""A value has a segment of its own only where it came so often."""
MOST_DECIMALS = 9
"""Decimals that are looked for in numbers."""
SELDOM = 5
"""A column of many names is free text where most rows have one that came fewer times."""
FURTHEST = 1e300
"""How far from 0 a number of a table may lie, so that the width of its range and of its grid is finite too."""
WHOLE = 2**53
"""Beyond this float64 does not hold every whole number."""


class ColumnType(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the cells of one column of a mixed table are."""

    # A category or an ordinal is stored as its place among `values`; where there are many names the rare ones are in
    # segments, as numbers are, of names that came equally often, and are alike within each. A number is stored as its
    # place on a grid, (x - low) / step, and the grid is cut into segments: values that many rows share have one of
    # their own, the others share segments of like mass. Both are probabilities, so that the nats of columns add up, and
    # a change of units leaves them as they are.

    kind: ColumnKind  # "category", "ordinal", "number", "date" or "duration"
    # the names of a category or an ordinal, in the order of their codes
    values: Annotated[tuple[Annotated[str, Meta(max_length=1000)], ...], Meta(max_length=MOST_NAMES)] = ()
    low: float = 0.0  # the number of the first cell of the grid, in the unit of the column
    step: Annotated[float, Meta(gt=0)] = 1.0  # the distance of two cells of the grid, in the same unit
    # the first cell of each segment, from 0; of names only where some of them share a segment
    starts: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=1000)] = ()
    size: Annotated[int, Meta(ge=0, le=MOST_CELLS)] = 0  # how many cells the grid has
    # the share of the training rows in each category or segment; they sum to 1
    shares: tuple[Annotated[float, Meta(ge=0, le=1)], ...] = ()
    # how a value is written: "text", "bool", "int", "float"; a date's unit "D" or "s"; a duration's `Unit`
    written: Literal["text", "bool", "int", "float", "D", "s"] | Unit = "text"
    # the time zone of dates: days are of its calendar, seconds of UTC; empty for none
    zone: Annotated[str, Meta(max_length=100)] = ""
    # the unit of the dtype that durations have in a frame, "s", "ms", "us" or "ns"; empty for others
    resolution: Literal["", "s", "ms", "us", "ns"] = ""
    writing: Writing | None = None  # how numbers and dates are written; None for plain numbers and ISO 8601

    @property
    def named(self) -> bool:
        """Whether the cells are names."""
        return self.kind in ("category", "ordinal")

    @property
    def count(self) -> int:
        """How many categories or segments there are."""
        return len(self.starts) or len(self.values)

    @property
    def cells(self) -> int:
        """How many cells there are: categories, or cells of the grid."""
        return len(self.values) if self.named else self.size

    @property
    def widths(self) -> tuple[int, ...]:
        """How many cells each segment has; a category has one where none is shared."""
        if self.named and not self.starts:
            return (1,) * len(self.values)
        return tuple(np.diff([*self.starts, self.cells]).tolist())

    @property
    def firsts(self) -> tuple[int, ...]:
        """The first cell of each segment; of a category its code."""
        return self.starts or tuple(range(len(self.values)))

    def log_shares(self, stored: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """The log probability of stored cells by the shares of the training rows alone."""
        which = np.searchsorted(self.firsts, stored, side="right") - 1
        return (np.log(self.shares) - np.log(self.widths))[which]

    def occurring(self, stored: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """The nearest of the few values that a number has: 4, 8, 16 or 32; others as they are."""
        own = np.asarray(self.widths) == 1
        if self.named or np.asarray(self.shares)[own].sum() < OCCURRING:
            return np.asarray(stored)
        # What no row has is a segment too, but with less than a row's share.
        most = np.asarray(self.shares).max(where=own, initial=0.0)
        values = np.asarray(self.firsts, np.float64)[own & (np.asarray(self.shares) > 1e-3 * most)]
        after = np.searchsorted(0.5 * (values[1:] + values[:-1]), np.asarray(stored, np.float64))
        return values[after]

    def decoded(self, stored: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """The values of stored cells."""
        # returns: text, truth values, whole numbers or fractions as the column had them; dates as datetime64, or with a
        # zone as text with its offset; durations as timedelta64; numbers and dates with a writing as text.
        place = np.clip(np.round(np.asarray(stored, np.float64)), 0, max(self.cells, 1) - 1)
        if self.named:
            names = np.array(self.values)[place.astype(np.int64)]
            return names == "True" if self.written == "bool" else names
        number = self.low + place * self.step
        if self.writing is not None:
            digits = decimals_of(self.step)
            each, which = np.unique(number, return_inverse=True)
            return np.array([self.writing.text(one, digits) for one in each.tolist()], dtype=str)[which]
        if self.resolution:
            return as_spans(number, self.written, self.resolution)
        if self.zone:
            return written_times(number, self.written, self.zone)
        if self.written in ("D", "s"):
            return np.round(number).astype(np.int64).astype(f"datetime64[{self.written}]")
        if self.written == "int":
            return np.round(number).astype(np.int64)
        return np.round(number, decimals_of(self.step))

    def texts(self, stored: Shaped[np.ndarray, " n"]) -> list[str]:
        """The values of stored cells in words."""
        values = self.decoded(stored)
        return span_texts(values) if self.resolution else [str(value) for value in values]


def decimals_of(step: float) -> int:
    """How many decimals the numbers of a grid have."""
    return next((d for d in range(16) if round(step, d) == step and step * 10**d > 0.999), 15)


def check_types(types: Sequence[ColumnType]) -> str:
    """What is wrong with the types of a file's columns."""
    for i, one in enumerate(types):
        rising = all(a < b for a, b in zip(one.starts, one.starts[1:]))
        if one.named and (not one.values or len(set(one.values)) != len(one.values) or one.size):
            return f"column {i} has no categories, or one twice"
        segments_fit = bool(one.starts) and one.starts[0] == 0 and rising and one.starts[-1] < one.cells
        if one.kind == "ordinal" and one.starts:
            return f"column {i} has segments, which names in an order have not"
        if (not one.named and one.values) or not (segments_fit or (one.named and not one.starts)):
            return f"column {i} has segments that are none"
        positive = all(share > 0 for share in one.shares)
        if len(one.shares) != one.count or not positive or abs(sum(one.shares) - 1.0) > 1e-6:
            return f"column {i} has other shares than values"
        if not (np.isfinite(one.low) and np.isfinite(one.step) and np.isfinite(one.low + one.step * one.size)):
            return f"column {i} has a grid that is not finite"
        if one.writing is not None and not one.writing.fits(one.kind, (one.low, one.low + one.step * one.size)):
            return f"column {i} is written as none of its kind is"
        if (one.kind == "duration") != (one.written in CODES) or (one.kind == "duration") != bool(one.resolution):
            return f"column {i} has a unit that is none of its kind"
    return ""


class TextColumn(Struct):
    """A column of text, dates or categories as a reader found it: codes into its distinct values."""

    # the distinct values; empty for dates and durations, whose codes are numbers of their unit
    values: tuple[str, ...] = ()
    # "text", "bool", the unit of dates ("D", "s"), or that of durations
    written: Literal["text", "bool", "float", "D", "s"] | Unit = "text"
    zone: str = ""  # the zone of dates; empty for none
    ordered: bool = False  # whether the values have an order, which is theirs here
    resolution: Literal["", "s", "ms", "us", "ns"] = ""  # the unit of the dtype of durations; empty for others
    writing: Writing | None = None  # how numbers and dates are written; None for plain numbers and ISO 8601

    @property
    def kind(self) -> ColumnKind:
        """What the column is told to be."""
        if self.written == "float":
            return "number"
        return "ordinal" if self.ordered else "category" if self.values else "duration" if self.resolution else "date"


def category_type(codes: np.ndarray, found: TextColumn, of: np.ndarray | None = None) -> ColumnType:
    """The type of a column of names."""
    counts = np.bincount(codes.astype(np.int64), of, minlength=len(found.values)) + 0.5
    if len(found.values) > MOST_CATEGORIES:
        return _with_tail(counts.astype(np.int64), found)
    shares = tuple((counts / counts.sum()).tolist())
    kind: ColumnKind = "ordinal" if found.ordered else "category"
    return ColumnType(kind, found.values, shares=shares, written="bool" if found.written == "bool" else "text")


def _with_tail(counts: np.ndarray, found: TextColumn) -> ColumnType:
    """The type of a column of many names, the most frequent first."""
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    own = counts[order]
    apart = (own >= OFTEN) & (np.arange(len(own)) < MOST_OWN)
    # Where more names come often than have a place of their own, those share one that came nearly as often.
    level = np.where(own < OFTEN, own, OFTEN + np.floor(2.0 * np.log2(own / OFTEN)))
    starts = np.flatnonzero(apart | np.append(True, apart[:-1]) | (np.diff(level, prepend=level[0]) != 0))
    masses = np.add.reduceat(own, starts)
    names, shares = tuple(found.values[i] for i in order.tolist()), tuple((masses / masses.sum()).tolist())
    return ColumnType("category", names, starts=tuple(starts.tolist()), shares=shares)


CLOCK_UNITS = {"s": 1.0, "seconds": 1.0, "minutes": 60.0}
CLOCK, BY_CHANCE = (3600.0, 1800.0, 900.0, 600.0, 300.0, 60.0), 1e-6
"""Units of times in seconds; parts of an hour in which these are recorded; how improbable by chance that is."""


def number_type(
    values: np.ndarray,
    every: np.ndarray,
    written: str,
    *,
    step: float | None = None,
    bounds: tuple[float, float] | None = None,
    zone: str = "",
    of: np.ndarray | None = None,
    of_every: np.ndarray | None = None,
    resolution: str = "",
    writing: Writing | None = None,
) -> ColumnType:
    """The grid and the segments of a column of numbers, of its training rows."""
    # Source: Good (1953) for the share of what no training row has.
    # step: the distance of two cells where it was declared; None finds the precision that was recorded.
    # bounds: the least and the largest value where they were declared; None takes those of the training rows.
    # of_every: how often each of `every` comes, where these rise; None: once.
    aligned = written == "float" or step is not None
    if step is None:
        step = 1.0 if written not in ("int", "float") else recorded_step(every, of_every)
    low, high = (float(values.min()), float(values.max())) if bounds is None else bounds
    # A grid that float32 cannot count is made coarser, by powers of ten.
    while (high - low) / step >= MOST_CELLS:
        step *= 10.0
    if aligned:
        low = float(np.floor(low / step + (0.0 if bounds is None else 1e-9))) * step
    size = round((high - low) / step) + 1
    placed = np.clip(np.round((values - low) / step), 0, size - 1).astype(np.int64)
    places, which, counts = np.unique(placed, return_inverse=True, return_counts=True)
    if of is not None:
        counts = np.bincount(which, of).astype(np.int64)
    # What declared bounds add beyond the rows are segments of their own.
    first, last = int(places[0]) if places[0] > 1 else 0, int(places[-1])
    starts, masses = segments(places - first, counts, last - first + 1)
    starts = [start + first for start in starts]
    if first:
        starts, masses = [0, *starts], np.concatenate([[0.0], masses])
    if last + 1 < size:
        starts, masses = [*starts, last + 1], np.append(masses, 0.0)
    # What no row has is as probable as what one row has (Good & Turing).
    empty = masses == 0
    masses = np.where(empty, (np.count_nonzero(counts == 1) + 0.5) / max(empty.sum(), 1), masses)
    shares = tuple((masses / masses.sum()).tolist())
    kind: ColumnKind = "duration" if resolution else "date" if written in ("D", "s") else "number"
    starts = tuple(starts)
    return ColumnType(kind, (), low, step, starts, size, shares, written, zone, resolution, writing)  # type: ignore[arg-type]


def recorded_step(values: np.ndarray, of: np.ndarray | None = None) -> float:
    """The precision that numbers were recorded with: a power of ten that divides them all, of many a round number."""
    # of: how often each of them comes, where they rise; None: once.
    for decimals in range(MOST_DECIMALS + 1):
        if fits_decimals(values, decimals):
            return float(f"1e-{decimals}") if decimals else _whole_step(values)
    low, quarter, three, high = _quantiles(values, of)
    spread = three - quarter if three > quarter else high - low if high > low else abs(high)
    return float(10.0 ** np.floor(np.log10(max(spread, 1e-300) / 1e5)))


def _whole_step(values: np.ndarray) -> float:
    """The round number that many whole numbers are multiples of; 1 where there is none."""
    if len(values) < ROUND_ROWS or np.abs(values).max(initial=0.0) >= WHOLE or len(np.unique(values)) < ROUND_VALUES:
        return 1.0
    return next((size for size in ROUND if not (values % size).any()), 1.0)


def clock_step(times: np.ndarray, written: str, step: float | None = None) -> float | None:
    """The longest usual part of an hour that all times are multiples of, in their unit, or the step that is known."""
    # Different times on a shorter part of an hour are all on a longer one by chance: each with the parts' ratio.
    parts = [one / CLOCK_UNITS.get(written, np.inf) for one in CLOCK]
    fits = [one for one in parts if one > (step or 1.0) and not (times % one).any()] if len(times) else []
    different = len(np.unique(times))
    for longer, shorter in itertools.pairwise([*fits, step or 1.0]):
        if (shorter / longer) ** different <= BY_CHANCE:
            return longer
    return step


def fits_decimals(values: np.ndarray, decimals: int) -> bool:
    """Say whether numbers were recorded with so many decimals at the most."""
    scaled = values * 10.0**decimals
    most = float(np.abs(scaled).max(initial=0.0))  # numbers that are all small are not 0 for that
    rounding = np.maximum(1e-9 * min(1.0, most), 1e-15 * np.abs(scaled))
    return bool(np.all(np.abs(scaled - np.round(scaled)) <= rounding) and np.all(np.abs(scaled) < 2**53))


def _quantiles(values: np.ndarray, of: np.ndarray | None) -> np.ndarray:
    """The least value, the quartiles and the largest; where each comes several times, of as many."""
    shares = np.array([0.0, 0.25, 0.75, 1.0])
    if of is None:
        return np.quantile(values, shares)
    ends = np.cumsum(of)
    at = shares * (ends[-1] - 1)
    below = np.floor(at).astype(np.int64)
    pairs = [values[np.searchsorted(ends, below + i, side="right").clip(max=len(values) - 1)] for i in (0, 1)]
    # Between two neighbours numpy goes from the nearer one.
    part, step = at - below, pairs[1] - pairs[0]
    return np.where(part < 0.5, pairs[0] + step * part, pairs[1] - step * (1 - part))


def segments(places: np.ndarray, counts: np.ndarray, size: int) -> tuple[list[int], np.ndarray]:
    """Cut a grid into segments: of one cell where many rows are, of like mass between."""
    total = counts.sum()
    repeats = len(places) <= ALL_HEAVY and total >= OFTEN * len(places)
    heavy = counts >= max(HEAVY * total, OFTEN)
    if repeats and not _single(counts[~heavy]):
        heavy[:] = True
    per_piece = total / PIECES
    starts: list[int] = []
    edge, mass = 0, 0.0
    for place, count, own in zip(places.tolist(), counts.tolist(), heavy.tolist()):
        if own:
            if edge < place:
                starts.append(edge)  # what lies between, with rows or without
            starts.append(place)
            edge, mass = place + 1, 0.0
        elif mass + count > per_piece and mass > 0:
            starts.append(edge)
            edge, mass = place, count
        else:
            mass += count
    if edge < size:
        starts.append(edge)
    starts = _far_apart(starts, places, heavy)
    which = np.searchsorted(starts, places, side="right") - 1
    return starts, np.bincount(which, counts, len(starts)).astype(np.float64)


def _single(counts: np.ndarray) -> bool:
    """Whether numbers beside the frequent ones are of one row each: what some owe, where most owe nothing."""
    return len(counts) >= FEWEST_SINGLE and bool(counts.sum() < 2 * len(counts))


def _far_apart(starts: list[int], places: np.ndarray, heavy: np.ndarray) -> list[int]:
    """Keep a few cells that lie far from all others out of the segments of these, at either end of a grid."""
    # A segment from 84 to 1440 minutes, of ten rows below 100 and one of 1440, has nine tenths of its samples where
    # hardly any row is.
    if len(starts) < 4:
        return starts
    last = np.flatnonzero(places >= starts[-2])
    if len(last) > 1:
        k = last[np.argmax(np.diff(places[last]))]
        wide = places[k] - starts[-2] + 1
        if places[k + 1] - places[k] > FAR * wide and not heavy[k:].any():
            starts = [*(start for start in starts if start <= places[k]), int(places[k]) + 1]
    first = np.flatnonzero(places < starts[2])
    if len(first) > 1:
        k = first[np.argmax(np.diff(places[first]))]
        wide = starts[2] - places[k + 1]
        if places[k + 1] - places[k] > FAR * wide and not heavy[: k + 2].any():
            starts = [0, int(places[k + 1]), *(start for start in starts if start > places[k + 1])]
    return starts


def unknown_category(value: str, name: str, known: Sequence[str], where: str) -> DataError:
    """Make the error for a category that no training row had."""
    what = f"column {name!r} holds {value[:40]!r}, which no training row had."
    hint = nearest(value, known) if len(known) <= 1000 else ""
    return DataError(what, where=where, fix=f"{hint} Or leave the cell empty: it then counts as missing.")
