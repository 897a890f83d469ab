"""Rows that are sequences of steps: their columns, the time between two steps, and where each step came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from msgspec import Meta, Struct

from latens.data.columns_and_conditions import Column, Condition, Name
from latens.kinds.tables.dtypes import DAY, series_of

LONGEST = 2**16
"""Steps of a row at the most."""

TimeUnit: TypeAlias = Literal["", "seconds", "days", "months"]
"""What times are counted in: seconds or days since 1970, months of the calendar, or nothing, for plain numbers."""

_SPANS: dict[str, tuple[tuple[int, str, str], ...]] = {
    "seconds": ((DAY, "day", "d"), (3600, "hour", "h"), (60, "minute", "min"), (1, "second", "s")),
    "days": ((7, "week", "w"), (1, "day", "d")),
    "months": ((12, "year", " years"), (3, "quarter", " quarters"), (1, "month", " months")),
}

_Count: TypeAlias = Annotated[int, Meta(ge=1, le=LONGEST)]


class Step(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The time between two steps of a sequence, and how times are written."""

    size: Annotated[float, Meta(gt=0, le=1e12)] = 1.0  # how much time it is, in `unit`
    unit: TimeUnit = ""
    day: Annotated[int, Meta(ge=0, le=28)] = 0  # of months the day of the month that times are; 0 for the last one
    whole: bool = True  # whether times are whole numbers
    zone: Annotated[str, Meta(max_length=100)] = ""  # the time zone of dates; empty for none

    @property
    def told(self) -> str:
        """The step in words: "1 hour", "15 minutes", "0.5"."""
        count, name, _ = self._counted
        return f"{count:g} {name}{'s' * (count != 1)}".strip() if name else f"{count:g}"

    @property
    def typed(self) -> str:
        """The step as it is typed: "1h", "15min", "0.5"."""
        count, _, short = self._counted
        return f"{count:g}{short}"

    @property
    def _counted(self) -> tuple[float, str, str]:
        """How many of a unit it is, and that unit."""
        found = next((one for one in _SPANS.get(self.unit, ()) if self.size % one[0] == 0 or one[0] == 1), (1, "", ""))
        return self.size / found[0], found[1], found[2]

    def times(self, start: float | Float[np.ndarray, " n"], k: Int[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """Give the times of steps that are counted from a first one, as they are written."""
        # start: the time of the first step, in `unit`; or one for each of `k`.
        # returns: text where times have a zone; else dates, whole numbers or fractions.
        numbers = np.asarray(start, np.float64) + self.size * np.asarray(k, np.float64)
        if self.unit == "months":
            numbers = days_of(np.round(numbers).astype(np.int64), self.day).astype(np.float64)
        if not self.unit:
            digits = 9 - int(np.floor(np.log10(max(self.size, 1e-300))))
            return np.round(numbers).astype(np.int64) if self.whole else np.round(numbers, max(0, min(15, digits)))
        written = "s" if self.unit == "seconds" else "D"
        if self.zone:
            return series_of(numbers, f"Datetime[ms, {self.zone}]").dt.strftime("%Y-%m-%d %H:%M:%S%:z").to_numpy()
        return np.round(numbers).astype(np.int64).astype(f"datetime64[{written}]")


def days_of(months: Int[np.ndarray, " n"], day: int) -> Int[np.ndarray, " n"]:
    """Give the days since 1970 of a day of some months; day 0 is the last one of each."""
    first = (months + (day == 0)).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first + day - 1


class Sequences(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the rows of a long table are: sequences of steps, each with the same columns."""

    # the columns, with the shift and scale of their observed training cells
    columns: Annotated[tuple[Column, ...], Meta(min_length=1)]
    step: Step = Step()
    sequence: Name | None = None  # the column that says which sequence a line is of; None for a single series
    time: Name | None = None  # the column with the times; None where steps follow each other as lines do
    window: _Count | None = None  # steps of rows that are windows of longer sequences; None for whole sequences
    stride: _Count | None = None  # steps between the starts of two windows of training
    # the lengths of the buckets that training rows are sorted into, the stored length last
    edges: Annotated[tuple[_Count, ...], Meta(max_length=64)] = ()
    # columns that the model is told at every step and does not model, `cond["inputs"]` of a batch
    inputs: Annotated[tuple[Condition, ...], Meta(max_length=1000)] = ()


def wrong_sequences(schema: Any) -> tuple[str, str] | None:
    """What is wrong with the sequences of a file, for rows of its shape."""
    if schema.sequences is None:
        return None if schema.world is None else ("world", "is of rows that are sequences alone")
    if wrong := _wrong(schema.sequences, schema.shape, schema.kind):
        return "sequences", wrong
    return None if schema.columns is None else ("columns", "are those of its sequences, where rows are steps")


def _wrong(found: Sequences, shape: tuple[int, ...], kind: str) -> str:
    names = [one.name for one in found.columns]
    told = [*names, *(one.name for one in found.inputs)]
    if len(shape) != 2 or shape[0] > LONGEST or shape[1] != len(names):
        return f"of {len(names)} columns do not match rows of shape {shape}"
    if kind not in ("real", "binary"):
        return f"hold numbers, or 0 and 1, not {kind!r}"
    if len(set(told)) != len(told):
        return "name a column twice"
    if found.edges and (found.edges[-1] != shape[0] or any(one >= other for one, other in pairwise(found.edges))):
        return f"have edges {found.edges[:8]} that do not rise to {shape[0]}"
    if found.window is not None and found.window > shape[0]:
        return f"have windows of {found.window} steps, and rows of {shape[0]}"
    if any(one.values and one.usual not in range(one.width) for one in found.inputs):
        return "have an input without a usual value"
    return ""


@dataclass(frozen=True, eq=False)
class Places:
    """Where the steps of rows stand in the long table that they came from; an index takes rows."""

    sequence: Shaped[np.ndarray, " n"]  # the id of the sequence of each row
    first: Int[np.ndarray, " n"]  # the number of a row's first step within its sequence, from 0
    start: Float[np.ndarray, " n"]  # the time of that step, in the unit of the schema's `Step`
    count: Int[np.ndarray, " n"]  # how many steps each row has before padding
    last: Bool[np.ndarray, " n"]  # whether a row ends with its sequence
    line: Int[np.ndarray, "n steps"]  # the line of the table of each step; -1 where the table has none

    def __getitem__(self, rows: np.ndarray | slice) -> "Places":
        return Places(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def held(self) -> Bool[np.ndarray, "n steps"]:
        """Which steps are of the sequence, and not padding."""
        return np.arange(self.line.shape[1]) < self.count[:, None]


def lengths(mask: Bool[np.ndarray, "n steps d"] | None, steps: int, rows: int) -> Int[np.ndarray, " n"]:
    """Count the steps of each row up to the last one with an observed cell."""
    if mask is None:
        return np.full(rows, steps)
    return np.where(mask.any(2), np.arange(1, steps + 1), 0).max(1)


def named_steps(found: Sequences, places: Places, which: Bool[np.ndarray, "n steps"]) -> dict[str, np.ndarray]:
    """Name some steps of rows by sequence and time, for a long table: row by row, in order of their steps."""
    # The columns are called as in the table that was read, else "sequence" and "step".
    row, at = np.nonzero(which)
    several = found.sequence is not None or len(set(places.sequence.tolist())) > 1
    made = {found.sequence or "sequence": places.sequence[row]} if several else {}
    return {**made, found.time or "step": found.step.times(places.start[row], at)}


def long_table(
    found: Sequences, places: Places, which: Bool[np.ndarray, "n steps"], x: Shaped[np.ndarray, "n steps d"]
) -> dict[str, np.ndarray]:
    """Write some steps of rows as a long table: sequence, time, then a column for each number of a step."""
    values: Mapping[str, np.ndarray] = {one.name: x[which][:, j] for j, one in enumerate(found.columns)}
    return {**named_steps(found, places, which), **values}


def nearest_the_centre(places: Places) -> Bool[np.ndarray, "n steps"]:
    """Of steps that several windows hold, the one in the window that it is most in the middle of; others all."""
    row, at = np.nonzero(places.held)
    _, of = np.unique(places.sequence, return_inverse=True)
    far = np.abs(at - (places.count[row] - 1) / 2)
    step = places.first[row] + at
    order = np.lexsort((row, far, step, of[row]))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(step[order]) != 0) | (np.diff(of[row][order]) != 0)
    chosen = np.zeros(places.line.shape, bool)
    chosen[row[order[first]], at[order[first]]] = True
    return chosen
