"""How often each value of each column of a table comes, found in one pass, and the types that follow from it."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.clocks import nearest_day
from latens.data.columns import MOST_DECIMALS, WHOLE, TextColumn, fits_decimals
from latens.data.dates import DAY, dated, zone_offsets
from latens.data.declared import LEFT_OUT, Declared
from latens.data.formats.tables import decimal_beside, said_of
from latens.data.infer import find_missing
from latens.data.mixed import Values, beyond_count, leave_out, notes_of, typed_schema, written_notes
from latens.data.raw import Raw
from latens.data.rows import MISSING_NAMES
from latens.data.schema import Schema
from latens.data.streams.statistics import Moments, digest_of_arrays
from latens.data.streams.typed import Cells
from latens.data.words import Coded, Words, only_gaps, read_column
from latens.errors import DataError

MOST_VALUES = 2**18
"""Distinct numbers of a column that are counted each by itself; more are counted in bins of like width."""

MOST_WORDS = 2**20
"""Distinct texts of a column; more are free text, or ids."""


class Numbers:
    """How often each number of a column comes: over all rows, and over the training rows."""

    # Beyond `MOST_VALUES` distinct ones they are counted in bins, the narrowest of a width that is a power of two of
    # which there are no more, whatever the order of the rows; a bin stands for the least of its numbers.

    def __init__(self) -> None:
        self.values, self.counts = np.zeros(0), np.zeros((2, 0), np.int64)
        self.least, self.most, self.width = np.inf, -np.inf, 0.0
        self.whole, self.fits = True, np.ones(MOST_DECIMALS + 1, bool)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, values: Shaped[np.ndarray, " n"], train: np.ndarray) -> None:
        """Count the numbers of a block."""
        own, which = np.unique(values.astype(np.float64), return_inverse=True)
        if not len(own):
            return
        if train.any():
            self.least = min(self.least, float(values[train].min()))
            self.most = max(self.most, float(values[train].max()))
        self.whole = self.whole and bool(np.all(own == np.floor(own)) and np.all(np.abs(own) < WHOLE))
        for decimals in np.flatnonzero(self.fits).tolist():
            self.fits[decimals] = fits_decimals(own, decimals)
        every = np.bincount(which)
        self._waiting.append((own, np.stack([every, np.bincount(which, train).astype(np.int64)])))
        if sum(len(one) for one, _ in self._waiting) > MOST_VALUES:
            self._join()

    def _join(self) -> None:
        values = np.concatenate([self.values, *(one for one, _ in self._waiting)])
        counts = np.concatenate([self.counts, *(one for _, one in self._waiting)], axis=1)
        self._waiting = []
        self.values, which = np.unique(values, return_inverse=True)
        self.counts = _summed(counts, which, len(self.values))
        if self.width or len(self.values) > MOST_VALUES:
            self._bin()

    def _bin(self) -> None:
        """Widen the bins until there are few enough; a narrower width than that of fewer numbers would have more."""
        narrow = max(float(np.diff(self.values).min()), float(np.abs(self.values).max()) * 2.0**-60)
        width = self.width or 2.0 ** np.floor(np.log2(narrow))
        while len(starts := np.flatnonzero(np.diff(np.floor(self.values / width), prepend=-np.inf))) > MOST_VALUES:
            width *= 2.0
        which = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(self.values))))
        self.values, self.counts = self.values[starts], _summed(self.counts, which, len(starts))
        self.width = width

    def counted(self, *, trains: bool) -> tuple[np.ndarray, np.ndarray]:
        """Give the numbers that came."""
        # returns: the numbers, rising; and how often each comes, of all rows and of training rows (all where none
        # trains).
        self._join()
        values, counts = self.values, self.counts if trains else self.counts[[0, 0]]
        at = np.flatnonzero(counts[1])
        if self.width and trains and len(at):  # the least and the largest of training rows are known
            values = values.copy()
            values[at[0]] = self.least
            if values[at[-1]] < self.most:
                values = np.insert(values, at[-1] + 1, self.most)
                counts = np.insert(counts, at[-1] + 1, 1, axis=1)
                counts[:, at[-1]] -= 1
        return values, counts

    def step(self) -> float | None:
        """The precision that the numbers were recorded with where not all of them are known."""
        # returns: 1 for whole numbers, a power of ten, 0 where no decimals fit; None where each number is known.
        fits = np.flatnonzero(self.fits)
        return None if not self.width else 1.0 if self.whole else float(f"1e-{fits[0]}") if len(fits) else 0.0


def _summed(counts: np.ndarray, which: np.ndarray, size: int) -> np.ndarray:
    made = np.zeros((2, size), np.int64)
    for row, own in zip(made, counts):
        np.add.at(row, which, own)
    return made


class Texts:
    """How often each text of a column comes, in the order in which they came."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        self.many = False
        """Whether there were too many to count."""

    def add(self, words: list[str], every: np.ndarray, train: np.ndarray) -> None:
        """Count the texts of a block."""
        if self.many:  # the first ones say what they are like
            return
        for word, *own in zip(words, every.tolist(), train.tolist()):
            found = self.counts.setdefault(word, [0, 0])
            found[0], found[1] = found[0] + own[0], found[1] + own[1]
        self.many = len(self.counts) > MOST_WORDS


class Column:
    """What is known of one column after some blocks."""

    def __init__(self, name: str, said: Declared, where: str) -> None:
        self.name, self.said, self.where = name, said, where
        self.numbers, self.texts = Numbers(), Texts()
        self.gaps, self.nothing, self.kind, self.zone = 0, 0, "", ""
        self.order: dict[str, None] | None = None

    def add(self, values: Any, train: np.ndarray, where: str) -> np.ndarray | None:
        """Count the cells of a block."""
        # returns: the numbers of the block, NaN where a cell is missing; None for names, dates and text.
        gone = np.isnan(only_gaps(values, MISSING_NAMES))  # `none` may turn out to be a name
        self.gaps += int(np.count_nonzero(gone))
        if self.said.kind == LEFT_OUT:
            return None
        if isinstance(values, Words):
            self.kind = "text"
            self._count([word.strip() for word in values.words], values.codes, gone, train)
            return None
        if isinstance(values, Coded):
            self.kind, numbers = values.text.written, values.numbers
            if values.text.resolution:
                what = f"column {self.name!r} has durations, which rows that stay on disk cannot have."
                fix = f'Write them as numbers or as text ("90 min"), or declare the column as "{LEFT_OUT}".'
                raise DataError(what, where=where, fix=fix)
            if values.text.values and self.kind == "text":
                if values.text.ordered:
                    self.order = (self.order or {}) | dict.fromkeys(values.text.values)
                self.kind = "names"
                codes = np.where(gone, 0, numbers).astype(np.int64)
                self._count(list(values.text.values), codes, gone, train)
                return None
        elif values.dtype.kind == "b":
            self.kind, numbers = "bool", values.astype(np.float64)
        else:
            self.kind = "number"
            numbers = values if self.said.named else read_column(values, self.said, self.name, where)[0]
        find_missing(Raw(numbers[:, None], columns=(self.name,)), np.arange(len(numbers)), "nan", where)
        own = numbers[~gone]
        if isinstance(values, Coded) and self.kind in ("D", "s"):
            own, self.zone = _seconds(own, values.text), values.text.zone
        self.numbers.add(own, train[~gone])
        return numbers if self.kind == "number" else None

    def _count(self, words: list[str], codes: np.ndarray, gone: np.ndarray, train: np.ndarray) -> None:
        every = np.bincount(codes[~gone], minlength=len(words))
        own = np.bincount(codes[train & ~gone], minlength=len(words))
        kept = np.flatnonzero(every)
        self.texts.add([words[code] for code in kept.tolist()], every[kept], own[kept])

    def found(self, *, trains: bool, beside: Callable[[], str] = str) -> Values:
        """Give what the type of the column follows from: what the same rows in memory would say."""
        if self.kind in ("text", "names"):
            words, counts = list(self.texts.counts), np.array(list(self.texts.counts.values()), np.int64).T
            if not words:
                return Values(self.name, np.zeros(0), np.zeros(0), None)
            counts = counts if trains else counts[[0, 0]]
            if self.texts.many:
                return self._too_many(words)
            if self.kind == "names":
                kept = sorted(words) if self.order is None else list(self.order)
                place = {word: float(code) for code, word in enumerate(kept)}
                codes = np.array([place[word] for word in words])
                values: Any = Coded(codes, TextColumn(tuple(kept), ordered=self.order is not None))
                if not self._as_it_came(values):
                    values = Words(words, np.arange(len(words)), counts[0].tolist())
            else:
                values = Words(words, np.arange(len(words)), counts[0].tolist())
            return self._read(values, counts, None, beside)
        if not self.kind:
            return Values(self.name, np.zeros(0), np.zeros(0), None)
        numbers, counts = self.numbers.counted(trains=trains)
        if self.kind == "bool":
            text = TextColumn(("False", "True"), "bool")
            return self._read(Coded(numbers, text) if self.gaps else numbers.astype(bool), counts, None)
        if self.kind == "number":
            return self._read(numbers, counts, self.numbers.step())
        numbers, unit = dated(numbers, self.zone)
        values = Coded(numbers.astype(np.float64), TextColumn((), unit, self.zone))
        if not self._as_it_came(values):
            values = Words(values.words(), np.arange(len(numbers)), counts[0].tolist())
        return self._read(values, counts, self.numbers.step())

    def _as_it_came(self, values: Coded) -> bool:
        """Whether nothing else is said of names or dates than their source says of them; else they are read as text."""
        own = "ordinal" if values.text.ordered else "category" if values.text.values else "date"
        return self.said.kind in (None, own) and not self.said.values and self.said.zone in ("", values.text.zone)

    def _read(self, values: Any, counts: np.ndarray, step: float | None, beside: Callable[[], str] = str) -> Values:
        numbers, found = read_column(values, self.said, self.name, self.where, beside=beside)
        order = np.argsort(numbers, kind="stable")[: np.count_nonzero(~np.isnan(numbers))]
        self.nothing = int(counts[0].sum() - counts[0, order].sum())
        numbers, (of_every, of) = numbers[order], counts[:, order]
        kept = of > 0
        return Values(self.name, numbers[kept], numbers, found, of[kept], of_every, step)

    def _too_many(self, words: list[str]) -> Values:
        """Text that is not counted to its end: left out, unless it looks like numbers or dates."""
        found = read_column(Words(words, np.arange(len(words))), self.said, self.name, self.where)[1]
        if found is None or not found.values:
            what = f"column {self.name!r} has more than {MOST_WORDS:,} different numbers or dates, written as text."
            fix = f'Write them as numbers or timestamps, or declare the column as "{LEFT_OUT}".'
            raise DataError(what, where=self.where, fix=fix)
        codes = np.arange(len(words), dtype=np.float64)
        return Values(self.name, codes, codes, found)


def _seconds(numbers: np.ndarray, text: TextColumn) -> np.ndarray:
    """Days, of a block in which there is nothing else, as the seconds of other blocks."""
    if text.written == "s" or not len(numbers):
        return numbers
    seconds = numbers * DAY
    return seconds - zone_offsets(seconds, text.zone, wall=True) if text.zone else seconds


class TypedStatistics:
    """What one pass over a table with columns of several kinds finds."""

    # `declared`: What is said of columns, by name.
    # `every`: What is said of all of them.

    def __init__(self, declared: Mapping[str, Declared], where: str, every: Declared | None = None) -> None:
        self.declared, self.where, self.every = declared, where, every or Declared()
        self.columns: dict[str, Column] = {}
        self.trains, self.spread = False, Moments(0)
        self.notes: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """How many cells are missing."""
        return sum(column.gaps + column.nothing for column in self.columns.values())

    def add(self, cells: Cells, train: Shaped[np.ndarray, " n"], where: str) -> None:
        """Count the rows of a block."""
        self.trains = self.trains or bool(train.any())
        numbers = []
        for name, values in cells.columns.items():
            column = self.columns.setdefault(name, Column(name, said_of(name, self.declared, self.every), self.where))
            own = column.add(values, train, where)
            if not isinstance(values, Coded | Words) and values.dtype.kind != "b":
                numbers.append(np.full(len(train), np.nan) if own is None else own.astype(np.float64))
        x = np.stack(numbers, axis=1)[train] if numbers else np.zeros((int(train.sum()), 0))
        if not self.spread.count.size:
            self.spread = Moments(x.shape[1])
        if len(x):
            self.spread.add(x, ~np.isnan(x))

    def schema(self) -> Schema:
        """Infer the schema, by the rules of `mixed_schema`."""
        texts = {column.name: list(column.texts.counts) for column in self.columns.values()}
        beside = functools.cache(lambda: decimal_beside(texts.values()))
        found = [column.found(trains=self.trains, beside=beside) for column in self.columns.values()]
        self._check_marks(beside)
        schema = typed_schema(found, self.where, self.declared)
        kinds = dict(zip(schema.names, schema.types or ()))
        whys, beyond = {}, 0
        for one in found:
            kind = kinds.get(one.name)
            if kind is None:
                whys[one.name] = leave_out(one.values, one.found, self.declared.get(one.name), one.of)
            elif not kind.named and one.of_every is not None:
                place = np.round((nearest_day(one.every, kind) - kind.low) / kind.step)
                beyond += int(one.of_every[(place < 0) | (place >= kind.size)].sum())
        self.notes = notes_of(
            {name: whys[name] for name in schema.ignored or ()}, beyond_count(beyond)
        ) + written_notes(schema, self.declared)
        return schema

    def _check_marks(self, beside: Callable[[], str]) -> None:
        """Refuse numbers with points, read as they came, beside text with decimal commas: 1.234 may be a thousand."""
        for one in self.columns.values():
            if one.kind == "number" and not one.numbers.whole and one.numbers.fits[3] and beside() == ",":
                what = f"column {one.name!r} has decimal points where others have decimal commas."
                fix = "Say --decimal . or --decimal , (decimal=), or leave out --stream."
                if not self.every.decimal:
                    raise DataError(what, where=self.where, fix=fix)

    def centre(self, schema: Schema) -> np.ndarray:
        """Give what stands in the place of missing values: the first cell."""
        return np.zeros(schema.shape)

    def sortedness(self) -> float:
        """Give the variance of block means over that of rows, a mean over the columns of numbers that vary."""
        return self.spread.sortedness()

    def digest(self, rows_of: np.ndarray) -> str:
        """Hash what was found of all cells."""
        told = [(name, one.kind, one.gaps, list(one.texts.counts.items())) for name, one in self.columns.items()]
        counted = [column.numbers.counted(trains=True) for column in self.columns.values()]
        return digest_of_arrays(repr(told), [rows_of, *(array for pair in counted for array in pair)])
