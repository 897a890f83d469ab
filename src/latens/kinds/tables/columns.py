"""Columns of a table by kind: what a cell of each may be, and which number it is stored as."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Shaped
from msgspec import Meta, Struct

from latens.errors import DataError, nearest
from latens.kinds.tables.dtypes import dtype_of, is_known, named_series, series_of

if TYPE_CHECKING:
    from latens.data.schema import Schema

ColumnKind: TypeAlias = Literal["category", "ordinal", "number", "date", "duration"]
"""A category is one of some names, an ordinal one of names that have an order; a number lies on a grid of its own; a
date is a number of days since 1970 or of seconds, a time of the day and a duration are numbers of seconds."""

MOST_CATEGORIES = 1000
"""Of a column with more names the rare ones share a probability, by how often each came."""
MOST_NAMES, MOST_TEXT, MOST_OWN = 2**16, 2**21, 900
"""Names of a column at the most, their letters in all, and how many have a probability of their own where others
share."""
MOST_CELLS = 2**24
"""Cells of a number's grid at the most: what float32 counts exactly."""
MOST_STEPS = 2.0**52
"""Steps of a number's grid at the most: what float64 counts exactly."""
PIECES = 64
"""Into how many parts of like mass the rows of a number that hardly repeats are cut."""
HEAVY = 1 / 128
"""A value that so many rows have has a segment of its own."""
FAR = 5
"""How many times as wide as what is next to it a gap is that ends an outermost segment."""
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
MISSING_WORDS = ("?", "-", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", ".")
"""Cells that often mark a missing value."""


class ColumnType(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the cells of one column of a mixed table are."""

    # A category or an ordinal is stored as its place among `values`; where there are many names the rare ones are in
    # segments, as numbers are, of names that came equally often, and are alike within each. A number is stored as its
    # place on a grid, (x - low) / step, and the grid is cut into segments: values that many rows share have one of
    # their own, the others share segments of like mass. Both are probabilities, so that the nats of columns add up, and
    # a change of units leaves them as they are.

    kind: ColumnKind
    # the names of a category or an ordinal, in the order of their codes
    values: Annotated[tuple[Annotated[str, Meta(max_length=1000)], ...], Meta(max_length=MOST_NAMES)] = ()
    low: float = 0.0  # the number of the first cell of the grid, in the unit of the column
    step: Annotated[float, Meta(gt=0)] = 1.0  # the distance of two cells of the grid, in the same unit
    # the first cell of each segment, from 0; of names only where some of them share a segment
    starts: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=1000)] = ()
    size: Annotated[int, Meta(ge=0, le=MOST_CELLS)] = 0  # how many cells the grid has
    # the share of the training rows in each category or segment; they sum to 1
    shares: tuple[Annotated[float, Meta(ge=0, le=1)], ...] = ()
    dtype: Annotated[str, Meta(max_length=100)] = "String"  # the dtype of the column, as `dtypes.name_of` names it
    # where the range is wide, the step at which each segment begins, and one beyond the last; empty: cells are steps
    edges: Annotated[tuple[Annotated[int, Meta(ge=0, le=2**53)], ...], Meta(max_length=1001)] = ()
    # of dates that are text or whole numbers how they are written, in the letters of strftime; empty for others
    form: Annotated[str, Meta(max_length=100)] = ""

    @property
    def named(self) -> bool:
        """Whether the cells are names."""
        return self.kind in ("category", "ordinal")

    @property
    def count(self) -> int:
        """How many categories or segments there are."""
        return len(self.starts) or len(self.values)

    @property
    def num_values(self) -> int:
        """How many values a cell can have: categories, or points of the grid."""
        return len(self.values) if self.named else self.size

    @property
    def widths(self) -> tuple[int, ...]:
        """How many cells each segment has; a category has one where none is shared."""
        if self.named and not self.starts:
            return (1,) * len(self.values)
        return tuple(np.diff([*self.starts, self.num_values]).tolist())

    @property
    def firsts(self) -> tuple[int, ...]:
        """The first cell of each segment; of a category its code."""
        return self.starts or tuple(range(len(self.values)))

    @property
    def days(self) -> bool:
        """Whether numbers are days since 1970."""
        return self.kind == "date" and (self.dtype == "Date" or (bool(self.form) and not has_clock(self.form)))

    @property
    def whole(self) -> bool:
        """Whether all numbers of the column are whole."""
        return float(self.low).is_integer() and float(self.step).is_integer()

    def log_shares(self, stored: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """The log probability of stored cells by the shares of the training rows alone."""
        which = np.searchsorted(self.firsts, stored, side="right") - 1
        return (np.log(self.shares) - np.log(self.widths))[which]

    @property
    def strides(self) -> tuple[float, ...]:
        """How many steps two cells of each segment lie apart where the range is wide; empty: one in all."""
        cells = np.asarray(self.widths) - 1
        return tuple(((np.diff(self.edges) - 1) / np.maximum(cells, 1)).clip(1.0).tolist()) if self.edges else ()

    def _wide(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each segment its first cell, the step at which it begins, and the stride of its cells."""
        return np.asarray(self.starts, np.float64), np.asarray(self.edges[:-1], np.float64), np.asarray(self.strides)

    def value(self, stored: Shaped[np.ndarray, "*n"]) -> Shaped[np.ndarray, "*n"]:
        """The numbers of places on the grid, also between two cells and beyond the ends; NaN stays."""
        place = np.asarray(stored, np.float64)
        if not self.edges:
            return np.asarray(self.low + place * self.step)
        first, before, strides = self._wide()
        inside = np.clip(place, 0, self.size - 1)
        k = np.searchsorted(first, np.nan_to_num(inside), side="right") - 1
        steps = before[k] + np.round((inside - first[k]) * strides[k]) + (place - inside)
        return np.asarray(self.low + steps * self.step)

    def place(self, numbers: Shaped[np.ndarray, "*n"]) -> Shaped[np.ndarray, "*n"]:
        """The places of numbers on the grid, a fraction between two cells; beyond its ends counted in steps."""
        steps = np.asarray((np.asarray(numbers, np.float64) - self.low) / self.step)
        if not self.edges:
            return steps
        first, before, strides = self._wide()
        inside = np.clip(steps, 0, self.edges[-1] - 1)
        k = np.searchsorted(before, np.nan_to_num(inside), side="right") - 1
        found = np.minimum(first[k] + (inside - before[k]) / strides[k], first[k] + np.asarray(self.widths)[k] - 1)
        return np.where(np.isnan(steps), np.nan, found + (steps - inside))

    def numbers(self, stored: Shaped[np.ndarray, " n"], beyond: np.ndarray | None = None) -> np.ndarray:
        """Stored cells as numbers in the unit of the column, of names their codes; NaN stays."""
        # beyond: by how many steps of the grid a cell lies beyond its ends, of shape (n,); None: by none.
        place = np.clip(np.round(np.asarray(stored, np.float64)), 0, max(self.num_values, 1) - 1)
        return place if self.named else self.value(place) + (0.0 if beyond is None else beyond) * self.step

    def written(self, numbers: Shaped[np.ndarray, " n"]) -> pl.Series:
        """What `numbers` gives as a column of the dtype that it came with, null for NaN."""
        if self.named:
            codes = pl.Series(numbers, nan_to_null=True).cast(pl.Int64)
            names = pl.Series(list(self.values), dtype=pl.String).gather(codes)
            return named_series(names, self.dtype, self.values)
        if self.form:
            dates, dtype = series_of(numbers, "Date" if self.days else "Datetime[us]"), dtype_of(self.dtype)
            return dates.cast(dtype) if dtype.is_temporal() else dates.dt.strftime(self.form).cast(dtype, strict=False)
        return series_of(np.round(numbers, decimals_of(self.step)) if self.kind == "number" else numbers, self.dtype)

    def series(self, stored: Shaped[np.ndarray, " n"], beyond: np.ndarray | None = None) -> pl.Series:
        """Stored cells as a column of the dtype that they came with, null where a cell is NaN."""
        return self.written(self.numbers(stored, beyond))

    def texts(self, stored: Shaped[np.ndarray, " n"]) -> list[str]:
        """The values of stored cells in words."""
        values = self.series(stored).to_list()
        if self.kind == "number" and self.whole:
            return [f"{value:.0f}" for value in values]
        return [str(value) for value in values]


def has_clock(form: str) -> bool:
    """Whether dates that are written so have a time of the day."""
    return any(f"%{letter}" in form for letter in "HIMSTRsp")


def decimals_of(step: float) -> int:
    """How many decimals the numbers of a grid have."""
    return next((d for d in range(16) if round(step, d) == step and step * 10**d > 0.999), 15)


def check_types(types: Sequence[ColumnType]) -> str:
    """What is wrong with the types of a file's columns."""
    for i, one in enumerate(types):
        rising = all(a < b for a, b in zip(one.starts, one.starts[1:]))
        if one.named and (not one.values or len(set(one.values)) != len(one.values) or one.size):
            return f"column {i} has no categories, or one twice"
        segments_fit = bool(one.starts) and one.starts[0] == 0 and rising and one.starts[-1] < one.num_values
        if one.kind == "ordinal" and one.starts:
            return f"column {i} has segments, which names in an order have not"
        if (not one.named and one.values) or not (segments_fit or (one.named and not one.starts)):
            return f"column {i} has segments that are none"
        positive = all(share > 0 for share in one.shares)
        if len(one.shares) != one.count or not positive or abs(sum(one.shares) - 1.0) > 1e-6:
            return f"column {i} has other shares than values"
        if not (np.isfinite(one.low) and np.isfinite(one.step) and np.isfinite(one.low + one.step * one.size)):
            return f"column {i} has a grid that is not finite"
        wide = [end - begin for begin, end in zip(one.edges, one.edges[1:])]
        if one.edges and (one.named or len(wide) != len(one.starts) or min(map(int.__sub__, wide, one.widths)) < 0):
            return f"column {i} has other edges than segments"
        if not is_known(one.dtype) or (one.kind == "duration") != one.dtype.startswith("Duration"):
            return f"column {i} has a dtype that is none of its kind"
    return ""


class FrameColumn(Struct, frozen=True):
    """What a column of a frame is: the names that its codes stand for, or numbers of a dtype."""

    values: tuple[str, ...] = ()  # of names the different ones; empty for numbers, dates and durations
    dtype: str = "Float64"
    ordered: bool = False  # whether the names have an order, which is theirs here
    form: str = ""  # of dates that are text or whole numbers how they are written
    named: bool = False  # whether the cells are codes of names

    @property
    def kind(self) -> ColumnKind:
        """What the column is by its dtype."""
        if self.named:
            return "ordinal" if self.ordered else "category"
        own = dtype_of(self.dtype)
        if isinstance(own, pl.Duration):
            return "duration"
        return "date" if self.form or own in (pl.Date, pl.Time) or isinstance(own, pl.Datetime) else "number"


def category_type(codes: np.ndarray, found: FrameColumn) -> ColumnType:
    """The type of a column of names."""
    counts = np.bincount(codes.astype(np.int64), minlength=len(found.values)) + 0.5
    if len(found.values) > MOST_CATEGORIES:
        return _with_tail(counts.astype(np.int64), found)
    return ColumnType(found.kind, found.values, shares=tuple((counts / counts.sum()).tolist()), dtype=found.dtype)


def _with_tail(counts: np.ndarray, found: FrameColumn) -> ColumnType:
    """The type of a column of many names, the most frequent first."""
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    own = counts[order]
    apart = (own >= OFTEN) & (np.arange(len(own)) < MOST_OWN)
    # Where more names come often than have a place of their own, those share one that came nearly as often.
    level = np.where(own < OFTEN, own, OFTEN + np.floor(2.0 * np.log2(own / OFTEN)))
    starts = np.flatnonzero(apart | np.append(True, apart[:-1]) | (np.diff(level, prepend=level[0]) != 0))
    masses = np.add.reduceat(own, starts)
    names, shares = tuple(found.values[i] for i in order.tolist()), tuple((masses / masses.sum()).tolist())
    return ColumnType("category", names, starts=tuple(starts.tolist()), shares=shares, dtype=found.dtype)


CLOCK, BY_CHANCE = (86_400.0, 3600.0, 1800.0, 900.0, 600.0, 300.0, 60.0), 1e-6
"""Seconds that times are recorded in; how improbable by chance that is."""


def number_type(values: np.ndarray, every: np.ndarray, found: FrameColumn) -> ColumnType:
    """The grid and the segments of a column of numbers, of its training rows."""
    # Source: Good (1953) for the share of what no training row has.
    step = recorded_step(every)
    step = clock_step(every, found.dtype, step) if found.kind != "number" and step >= 1.0 else step
    low, high = float(values.min()), float(values.max())
    if (high - low) / step >= MOST_STEPS:
        raise OverflowError(f"{low:g} to {high:g}, and most differ by {step:g}")
    low = float(np.floor(low / step + 1e-9)) * step
    size = round((high - low) / step) + 1
    placed = np.clip(np.round((values - low) / step), 0, size - 1).astype(np.int64)
    places, counts = np.unique(placed, return_counts=True)
    starts, masses = segments(places, counts, size)
    # What no row has is as probable as what one row has (Good & Turing).
    empty = masses == 0
    masses = np.where(empty, (np.count_nonzero(counts == 1) + 0.5) / max(empty.sum(), 1), masses)
    shares, edges = tuple((masses / masses.sum()).tolist()), ()
    if size > MOST_CELLS:
        edges = (*starts, size)
        widths = np.minimum(np.diff(edges), MOST_CELLS // len(starts))
        starts, size = [0, *np.cumsum(widths)[:-1].tolist()], int(widths.sum())
    return ColumnType(found.kind, (), low, step, tuple(starts), size, shares, found.dtype, edges, found.form)


def recorded_step(values: np.ndarray) -> float:
    """The precision that numbers were recorded with: a power of ten that divides them all, of many a round number."""
    for decimals in range(MOST_DECIMALS + 1):
        if fits_decimals(values, decimals):
            return float(f"1e-{decimals}") if decimals else _whole_step(values)
    low, quarter, three, high = np.quantile(values, [0.0, 0.25, 0.75, 1.0])
    spread = three - quarter if three > quarter else high - low if high > low else abs(high)
    return float(10.0 ** np.floor(np.log10(max(spread, 1e-300) / 1e5)))


def _whole_step(values: np.ndarray) -> float:
    """The round number that many whole numbers are multiples of; 1 where there is none."""
    if len(values) < ROUND_ROWS or np.abs(values).max(initial=0.0) >= WHOLE or len(np.unique(values)) < ROUND_VALUES:
        return 1.0
    return next((size for size in ROUND if not (values % size).any()), 1.0)


def clock_step(times: np.ndarray, dtype: str, step: float) -> float:
    """The longest usual span that all times are multiples of, or the step that is known."""
    # Different times on a shorter span are all on a longer one by chance: each with the spans' ratio.
    fits = [one for one in CLOCK if dtype != "Date" and not (times % one).any()] if len(times) else []
    different = len(np.unique(times))
    for longer, shorter in itertools.pairwise([*fits, step]):
        if (shorter / longer) ** different <= BY_CHANCE:
            return longer
    return step


def fits_decimals(values: np.ndarray, decimals: int) -> bool:
    """Say whether numbers were recorded with so many decimals at the most."""
    scaled = values * 10.0**decimals
    most = float(np.abs(scaled).max(initial=0.0))  # numbers that are all small are not 0 for that
    rounding = np.maximum(1e-9 * min(1.0, most), 1e-15 * np.abs(scaled))
    return bool(np.all(np.abs(scaled - np.round(scaled)) <= rounding) and np.all(np.abs(scaled) < 2**53))


def segments(places: np.ndarray, counts: np.ndarray, size: int) -> tuple[list[int], np.ndarray]:
    """Cut a grid into segments: of one cell where many rows are, of like mass between."""
    total = counts.sum()
    repeats = len(places) <= ALL_HEAVY and total >= OFTEN * len(places)
    heavy = counts >= max(HEAVY * total, OFTEN)
    rare = counts[~heavy]  # of one row each: what some owe, where most owe nothing
    if repeats and not (len(rare) >= FEWEST_SINGLE and rare.sum() < 2 * len(rare)):
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


def missing_words(schema: "Schema") -> list[str]:
    """A sentence for each category that often marks a missing cell, with columns that have it."""
    columns = list(zip(schema.names, schema.column_types))
    found = {word: ", ".join([n for n, one in columns if word in one.values][:5]) for word in MISSING_WORDS}
    return [f"{word!r} occurs in {names}: --null {word!r} makes it missing." for word, names in found.items() if names]


def unknown_category(value: str, name: str, known: Sequence[str], where: str, *, cell: bool = True) -> DataError:
    """Make the error for a category that no training row had; a cell of a row may be left empty instead."""
    what = f"column {name!r} holds {value[:40]!r}, which no training row had."
    hint = nearest(value, known) if len(known) <= 1000 else ""
    empty = " Or leave the cell empty: it then counts as missing." if cell else ""
    return DataError(what, where=where, fix=f"{hint}{empty}".strip())
