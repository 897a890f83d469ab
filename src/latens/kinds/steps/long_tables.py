"""Long tables as rows that are sequences: which lines are of which sequence, their steps, and windows of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from msgspec import structs

from latens.data import TEST, TRAIN, VALIDATION, row_keys, split_by_hash
from latens.data.columns_and_conditions import Column
from latens.data.conditions import (
    GIVEN,
    INPUTS,
    conditions_of_rows,
    input_vectors,
    learned,
    learned_inputs,
    taken_out,
    vectors,
)
from latens.data.infer import check_columns, conform, fill, sequence_schema, store
from latens.data.row_fields import Raw, row_names, split_of, without_columns
from latens.data.schema import Schema
from latens.errors import DataError, ResourceError, UsageError, nearest
from latens.kinds.base import Stored
from latens.kinds.counts.sparse import SparseRows
from latens.kinds.steps.sequences import LONGEST, Places, Sequences
from latens.kinds.steps.times import Grid, Times, grid_of, read_times, refuse_gaps, steps_in
from latens.kinds.tables.columns import FrameColumn
from latens.kinds.tables.derived import LEFT_OUT
from latens.kinds.tables.dtypes import series_of
from latens.kinds.text.vocabulary import chosen_edges
from latens.runtime.file_limits import MAX_BYTES

if TYPE_CHECKING:
    from latens.data.loading import IncomingRows


SINGLE = "-"
"""What --sequence says of a table that is one series."""
PARTS = (0.8, 0.9)
"""Where the validation and the test steps of a series begin that is split by time, as shares of its steps."""


class WindowOptions(NamedTuple):
    """How a long table is to be cut into rows, as it was asked for."""

    sequence: str | None = None  # the column of ids, "-" for a single series
    time: str | None = None
    window: int | str | None = None  # in steps, or as a span of time
    stride: int | str | None = None
    step: float | str | None = None
    inputs: tuple[str, ...] = ()
    longest: int | None = None  # steps that rows are stored at where they are whole sequences

    @property
    def some(self) -> bool:
        """Whether anything was asked for."""
        return any(value is not None and value != () for value in self)


def lines_of(value: object, where: str) -> tuple[Raw, np.ndarray] | None:
    """Give the lines of sequences that come as arrays, and the id of each; None for data of another kind."""
    # Such are a mapping from ids to arrays of shape (steps, columns), and a list of such arrays of unlike length.
    named = isinstance(value, Mapping)
    parts = list(value.values()) if named else value if isinstance(value, list | tuple) else []
    if not parts or not all(getattr(part, "ndim", 0) == 2 for part in parts):
        return None
    arrays, widths = [np.asarray(part) for part in parts], {part.shape[1] for part in parts}
    if not named and len({len(part) for part in arrays}) == 1:
        return None  # rows of one shape, as ever
    names = [str(one) for one in value] if named else list(range(len(arrays)))
    if len(widths) > 1:
        at = next(i for i, part in enumerate(arrays) if part.shape[1] != arrays[0].shape[1])
        what = f"sequence {names[at]!r} has {arrays[at].shape[1]} columns, and {names[0]!r} has {arrays[0].shape[1]}."
        raise DataError(what, where=where, fix="Give every array the shape (steps, columns) with the same columns.")
    for name, part in zip(names, arrays):
        if not len(part):
            raise _empty(name, where)
        if part.dtype.kind not in "biuf":
            what = f"sequence {name!r} holds values of type {part.dtype}, not numbers."
            raise DataError(what, where=where, fix="Turn them into numbers: np.asarray(x, 'float32').")
    titles = getattr(parts[0], "columns", None)
    columns = None if titles is None else tuple(map(str, titles))
    return Raw(np.concatenate(arrays), columns=columns), np.repeat(np.array(names), list(map(len, arrays)))


def _empty(name: object, where: str, why: str = "") -> DataError:
    return DataError(f"sequence {name!r} {why}is of length 0.", where=where, fix="Leave it out.")


def stacked_lines(x: np.ndarray, where: str) -> tuple[Raw, np.ndarray]:
    """Give the lines of rows of shape (steps, columns), and the row of each; a row ends with its last observed step."""
    seen = np.isfinite(x).any(2) if x.dtype.kind == "f" else np.ones(x.shape[:2], bool)
    ends = np.where(seen, np.arange(1, x.shape[1] + 1), 0).max(1)
    if not ends.all():
        raise _empty(int(np.argmin(ends)), where)
    kept = np.arange(x.shape[1]) < ends[:, None]
    return Raw(x[kept]), np.nonzero(kept)[0]


_BESIDE = {
    "row_id": ("--id", "The sequence is the id of a row"),
    "typed": ("--typed", "The steps of sequences are numbers"),
    "counts": ("--counts", "The steps of sequences are numbers"),
    "stream": ("--stream", "Long tables are read into memory"),
    "pieces": ("--pieces", "Rows of text are sequences by themselves"),
}


def refuse_beside(given: Mapping[str, Any], where: str) -> None:
    """Refuse what says nothing of rows that are sequences."""
    for name, value in given.items():
        if value is not None and value is not False:
            flag, why = _BESIDE[name]
            raise UsageError(
                f"rows that are sequences take no {name}.", where=f"{where}, {flag}", fix=f"{why}: leave {flag} out."
            )


@dataclass(frozen=True)
class Folded:
    """The rows of a long table."""

    raw: Raw  # rows of shape (n, steps, columns), NaN where a step or cell is not there
    places: Places
    sequences: Sequences  # without the scales of its columns
    lines: int  # lines of the table

    def by_row(self, values: Shaped[np.ndarray, " lines"], what: str, where: str, fix: str) -> np.ndarray:
        """Give one value for each row, of one for each line; a DataError where they differ within a row."""
        line = self.places.line
        there, first = line >= 0, np.argmax(line >= 0, axis=1)
        own = line[np.arange(len(line)), first]
        found = values[own]
        text = values.dtype.kind not in "biuf"
        same = (values[line] == found[:, None]) | (~text & ((values != values)[line] & (found != found)[:, None]))
        if not np.all(same | ~there):
            row, at = (int(i) for i in np.argwhere(~same & there)[0])
            told = f"{found[row]} and {values[line[row, at]]}"
            said = f"{what} changes within a row, as in rows {int(own[row])} and {int(line[row, at])} ({told})."
            raise DataError(said, where=where, fix=fix)
        return found

    def by_step(self, values: np.ndarray) -> np.ndarray:
        """Give the values of every step, of one for each line; 0 where the table has none."""
        line = self.places.line
        there = (line >= 0).reshape(*line.shape, *(1,) * (values.ndim - 1))
        return np.where(there, values[line], 0)


def fold(raw: Raw, ids: np.ndarray | None, asked: WindowOptions, schema: Schema | None, where: str) -> Folded:
    """Cut a long table into rows that are sequences, or windows of them."""
    # ids: the sequence of each line where no column says so.
    known = None if schema is None else schema.sequences
    if schema is not None and known is None:
        what = f"the model was trained on rows of shape {schema.shape}, not on sequences."
        raise UsageError(what, where="--sequence", fix="Leave out --sequence, --time, --window, --stride and --step.")
    trains = known is None or asked.window is not None  # else rows of other data than the training's own
    table = _Table(raw, where)
    by, time = _columns_of(asked, known, ids is not None)
    names = table.ids(by) if by is not None else np.zeros(len(raw.x), np.int64) if ids is None else ids
    times = Times(None) if time is None else table.times(time)
    values = table.numbers(schema)
    order, ends = _groups(names)
    grid = grid_of(times, order, ends, asked.step, None if known is None else known.step, where)
    found = _Series(names[order[np.array([0, *ends[:-1]])]], order, ends, grid, values)
    found.check(where)
    window = steps_in(asked.window, grid.step, "--window") if trains else known.window if known else None
    stride = steps_in(asked.stride, grid.step, "--stride")
    if window is None and stride is not None:
        raise UsageError("says how windows overlap, and there are none.", where="--stride", fix="Add --window W.")
    if window is not None and stride is None:
        stride = max(1, window // 4) if trains else window
    cuts, split, note = found.windows(window, stride or 1, trains, where) if window else (found.whole(), None, "")
    longest = max(cut.end - cut.begin for cut in cuts)
    steps = window or asked.longest or (longest if schema is None else schema.shape[0])
    if longest > steps:
        name = found.names[next(cut.of for cut in cuts if cut.end - cut.begin > steps)]
        what = f"sequence {name!s:.60} has {longest} steps; the model knows sequences of up to {steps}."
        raise DataError(what, where=where, fix="Cut it into several sequences, or train with --window W.")
    _check_size(len(cuts), steps, values.shape[1], where)
    places = found.places(cuts, steps)
    x = np.where((places.line >= 0)[..., None], values[places.line], np.nan)
    if known is None:
        columns = tuple(map(Column, table.left))
        edges = () if window else chosen_edges(Counter(cut.end - cut.begin for cut in cuts), steps)
        made = Sequences(columns, grid.step, by, time, window, stride if window else None, edges)
    else:
        made = structs.replace(known, sequence=by or known.sequence, time=time or known.time)
    notes = (*raw.notes, *found.notes(places, made, note), *table.notes)
    label = _row_names(found, made, places)
    folded = replace(raw, x=x, names=label, columns=None, kinds=None, notes=notes, split=split)
    return Folded(folded, places, made, len(values))


def _columns_of(asked: WindowOptions, known: Sequences | None, given: bool) -> tuple[str | None, str | None]:
    """The columns of ids and of times."""
    by, time = asked.sequence, asked.time
    if known is not None:
        by, time = by or known.sequence, time or known.time
    if given and by not in (None, SINGLE):
        what = f"{by!r} is not a column: every array is a sequence with its own id."
        raise UsageError(what, where="--sequence", fix="Leave sequence out.")
    return None if by == SINGLE or given else by, None if given else time


class _Table:
    """The columns of a long table, some of which say where a line belongs."""

    def __init__(self, raw: Raw, where: str) -> None:
        self.raw, self.where, self.kinds = raw, where, raw.kinds or {}
        self.titled = raw.columns is not None
        self.columns = list(raw.columns or (f"x{i}" for i in range(raw.x.shape[1])))
        self.left = list(self.columns)  # the columns of numbers
        self.notes: list[str] = []
        self.ids_of: str | None = None  # the column of ids

    def _taken(self, name: str, flag: str) -> tuple[np.ndarray, FrameColumn | None]:
        """A column that is no number of a step."""
        if name not in self.columns:
            hint = nearest(name, self.columns) if len(self.columns) <= 1000 else ""
            hint += " For a single series: --sequence -." * (flag == "--sequence")
            raise DataError(f"has no column {name!r}.", where=f"{self.where}, {flag}", fix=hint)
        if name not in self.left:
            raise UsageError(f"{name!r} is named twice.", where=flag, fix="Name another column.")
        self.left.remove(name)
        self.ids_of = name if flag == "--sequence" else self.ids_of
        place = self.columns.index(name)
        return np.asarray(self.raw.x[:, place]), self.kinds.get(place)

    def ids(self, name: str) -> np.ndarray:
        """The sequence of each line."""
        values, found = self._taken(name, "--sequence")
        values = values.astype(np.float64)
        refuse_gaps(values, f"{name!r}, its sequence", self.where)
        if found is not None and found.named:
            return np.array(found.values)[values.astype(np.int64)]
        if found is not None and found.kind == "date" and not found.form:
            return np.array([str(one) for one in series_of(values, found.dtype).to_list()])
        return values.astype(np.int64) if np.all(values % 1 == 0) else values.astype(str)

    def times(self, name: str) -> Times:
        """The time of each line."""
        values, found = self._taken(name, "--time")
        return read_times(values, found, name, self.where)

    def numbers(self, schema: Schema | None) -> np.ndarray:
        """The numbers of each line."""
        if schema is not None and schema.sequences is not None:
            wanted = [one.name for one in schema.sequences.columns]
            check_columns(self.left, wanted, schema, self.where)
            self.left = wanted
        if not self.left:
            raise DataError("has no column of numbers left.", where=self.where, fix="Name fewer columns.")
        places = [self.columns.index(name) for name in self.left]
        kinds = [self.kinds.get(place) for place in places]
        truths = [name for name, one in zip(self.left, kinds) if one is not None and one.dtype == "Boolean"]
        for name, one in zip(self.left, kinds):
            if one is not None and one.kind != "number" and name not in truths:
                kind = "names" if one.named else f"{one.kind}s"
                first = f" such as {one.values[0]!r:.60}" if one.values else ""
                what = f"column {name!r} holds {kind}{first}; a step of a sequence is numbers."
                fix = f"Use it as a condition: --condition {name}; or remove it from the file."
                if one.named and self.ids_of is None:
                    fix = f"Does it name the sequences? --sequence {name}. {fix}"
                raise DataError(what, where=self.where, fix=fix)
        self.notes += [f"Yes and no in {', '.join(map(repr, truths))} are 1 and 0."] * bool(truths)
        values = self.raw.x[:, places].astype(np.float64)
        bad = np.argwhere(np.isinf(values))
        if len(bad):
            row, at = map(int, bad[0])
            what = f"holds {values[row, at]}; {len(bad)} such cells in all."
            place = f"{self.where}, row {row}, column {self.left[at]!r}"
            raise DataError(what, where=place, fix="Replace infinite values by numbers, or leave the cells empty.")
        return values


def _groups(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines sequence by sequence, in the order in which these come first, and where each ends."""
    _, first, which = np.unique(names, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.argsort(rank[which], kind="stable"), np.cumsum(np.bincount(rank[which]))


class _Cut(NamedTuple):
    """Steps of a sequence that make a row."""

    of: int
    begin: int
    end: int


class _Series:
    """Sequences on steps of like length."""

    def __init__(self, names: np.ndarray, order: np.ndarray, ends: np.ndarray, grid: Grid, values: np.ndarray) -> None:
        self.names, self.order, self.ends, self.grid, self.values = names, order, ends, grid, values
        self.counts = grid.k[ends - 1] + 1

    def check(self, where: str) -> None:
        """Refuse a sequence without an observed cell, and one of too many steps."""
        seen = np.isfinite(self.values).sum(1)[self.order]
        some = np.add.reduceat(seen, np.array([0, *self.ends[:-1]]))
        if not some.all():
            at = int(np.argmin(some))
            raise _empty(self.names[at].item(), where, "has no observed cell: it ")

    def whole(self) -> list[_Cut]:
        """Every sequence as a row."""
        return [_Cut(i, 0, int(count)) for i, count in enumerate(self.counts)]

    def windows(self, window: int, stride: int, trains: bool, where: str) -> tuple[list[_Cut], np.ndarray | None, str]:
        """Every sequence as windows; where they train, with the split of each and what is said of it."""
        every = list(map(int, self.counts))
        if not trains:
            return (
                [_Cut(i, *one) for i, count in enumerate(every) for one in _cover(0, count, window, stride)],
                None,
                "",
            )
        of = split_of(row_keys(self.names))
        if len(set(of.tolist())) == 3:
            cuts = [_Cut(i, *one) for i, count in enumerate(every) for one in _cover(0, count, window, stride)]
            return cuts, of[[cut.of for cut in cuts]], "whole sequences are split"
        parts = [(i, split, a, b) for i, n in enumerate(every) for split, a, b in _by_time(n, window)]
        if len({split for _, split, _, _ in parts}) < 3:
            longest = max(every)
            what = f"no series has three windows of {window} steps, to train, validate and test; one has {longest:,}."
            fix = f"Give a shorter --window: {longest // 3} steps at the most." if longest > 2 else "Give more rows."
            raise DataError(what, where=where, fix=fix)
        cuts, split = [], []
        for i, own, a, b in parts:
            made = [_Cut(i, *one) for one in _cover(a, b, window, stride)]
            cuts, split = [*cuts, *made], [*split, *[own] * len(made)]
        return cuts, np.array(split, np.uint8), "split by time, no window across a split"

    def places(self, cuts: Sequence[_Cut], steps: int) -> Places:
        """Where the steps of rows stand in the table."""
        lines, starts = [], np.array([0, *self.ends[:-1]])
        for count, begin, end in zip(self.counts.tolist(), starts.tolist(), self.ends.tolist()):
            own = np.full(count, -1)
            own[self.grid.k[begin:end]] = self.order[begin:end]
            lines.append(own)
        line = np.full((len(cuts), steps), -1)
        for row, cut in enumerate(cuts):
            line[row, : cut.end - cut.begin] = lines[cut.of][cut.begin : cut.end]
        of, begin, end = (np.array(part) for part in zip(*cuts))
        start = self.grid.start[of] + self.grid.step.size * begin
        return Places(self.names[of], begin, start, end - begin, end == self.counts[of], line)

    def notes(self, places: Places, made: Sequences, note: str) -> list[str]:
        """What is said of the rows."""
        many, total, rows = len(self.counts), int(self.counts.sum()), len(places.count)
        of = f"{many:,} sequences" if many > 1 else "one series"
        step = f" of {made.step.told}" if made.time is not None else ""
        said = [f"{of} with {total:,} steps{step}" + (f" in {made.time!r}" if made.time is not None else "")]
        if gaps := total - len(self.order):
            said.append(f"{gaps:,} step{'s have' if gaps > 1 else ' has'} no line, and count as missing")
        if made.window is not None:
            every = f", one every {made.stride}" if note else ""
            said.append(f"rows are {rows:,} windows of {made.window} steps{every}" + (f"; {note}" if note else ""))
        elif many > 1:
            said.append(f"a row is a sequence of {self.counts.min():,} to {self.counts.max():,} steps")
        return said


def _cover(begin: int, end: int, window: int, stride: int) -> Iterator[tuple[int, int]]:
    """Windows of some steps, the last of which ends where these end."""
    if end - begin <= window:
        yield begin, end
        return
    last = begin
    for last in range(begin, end - window + 1, stride):
        yield last, last + window
    if last + window < end:
        yield end - window, end


def _by_time(count: int, window: int) -> list[tuple[int, int, int]]:
    """The split, the begin and the end of each part of a series; a series that is too short only trains."""
    valid, test = (int(share * count) for share in PARTS)
    if min(test - valid, count - test) < window:
        valid, test = count - 2 * window, count - window
    if valid < window:
        return [(TRAIN, 0, count)]
    return [(TRAIN, 0, valid), (VALIDATION, valid, test), (TEST, test, count)]


def _row_names(found: _Series, made: Sequences, places: Places) -> np.ndarray:
    """The ids of rows: those of the sequences, and of windows the time that they begin at."""
    if made.window is None:
        return places.sequence
    times = [str(one).replace("T", " ") for one in made.step.times(places.start, np.zeros(len(places.start), np.int64))]
    if len(found.names) == 1 and made.sequence is None:
        return np.array(times)
    return np.array([f"{name} {time}" for name, time in zip(places.sequence.tolist(), times)])


def _check_size(rows: int, steps: int, columns: int, where: str) -> None:
    """Refuse rows that no memory holds, or that are longer than a row may be."""
    if steps > LONGEST:
        what = f"a sequence has {steps:,} steps; a row holds {LONGEST:,} at the most."
        raise DataError(what, where=where, fix="Cut it into windows: --window W.")
    if rows * steps * columns * 8 > MAX_BYTES:
        what = f"would be {rows:,} rows of {steps:,} steps and {columns} columns."
        raise ResourceError(what, where=where, fix="Give a larger --stride, or a shorter --window.")


_BY_STEP = "Tell it to the model at every step: --input COLUMN."


def store_steps(rows: "IncomingRows") -> Stored:
    """Store the rows of a long table, which are sequences of steps, or windows of them."""
    where, lines, schema, cut = rows.where, rows.lines, rows.schema, rows.long or WindowOptions()
    gone = tuple(name for name, one in (rows.roles.declared or {}).items() if one.kind == LEFT_OUT)
    raw = without_columns(rows.raw, gone)
    if lines is None and getattr(raw.x, "ndim", 0) == 3:
        lines = stacked_lines(raw.x, where)
        raw = replace(raw, x=lines[0].x)
    if raw.x is None or isinstance(raw.x, SparseRows) or raw.x.ndim != 2 or raw.x.dtype.kind not in "biuf":
        shape = "of text" if raw.x is None else f"of {raw.x.dtype} and shape {raw.x.shape[1:]}"
        what = f"has rows {shape}, which are not lines of a long table."
        raise DataError(what, where=where, fix="Give a table with a line for each step, or arrays by id.")
    condition = rows.asked.condition
    said = conditions_of_rows(raw, condition, schema, len(raw.x), where) if lines is None else {}
    known = schema.inputs if schema is not None else ()
    inner = taken_out(raw, cut.inputs or [one.name for one in known], where)
    folded = fold(raw, None if lines is None else lines[1], cut, schema, where)
    rows.raw = raw = folded.raw
    rows.n = len(raw.x)
    row = {name: folded.by_row(cells, f"the condition {name!r}", where, _BY_STEP) for name, cells in said.items()}
    rows.cells = row if lines is None else conditions_of_rows(raw, condition, schema, rows.n, where)
    rows.names = row_names(np.asarray(raw.names), rows.n, where)
    rows.keys = row_keys(rows.names)
    rows.split = split_by_hash(rows.names) if raw.split is None else raw.split
    rows.conditions = learned(rows.cells, rows.trains, where) if schema is None else schema.conditions
    if rows.conditions:
        rows.cond[GIVEN] = vectors(rows.conditions, rows.cells, where)
    _beside(rows, folded)
    found, observed = folded.sequences, np.isfinite(raw.x)
    observed = None if observed.all() else observed
    if inner:
        trains = np.zeros(folded.places.line.max() + 1, bool)
        trains[folded.places.line[rows.trains]] = True
        found = structs.replace(found, inputs=known or learned_inputs(inner, trains, where))
        rows.cond[INPUTS] = folded.by_step(input_vectors(found.inputs, inner, where)).astype(np.float32)
    if schema is None:
        schema = rows.told(sequence_schema(raw.x, rows.trains, found, observed, where))
        schema = structs.replace(schema, world=rows.world, ignored=gone or None)
    else:
        schema = structs.replace(schema, sequences=found, shape=(raw.x.shape[1], schema.shape[1]))
        conform(raw.x, None, schema, observed, where)
    x = store(fill(raw.x, observed, rows.trains, schema), schema, where)
    return Stored(x, schema, observed, places=folded.places)


def _beside(rows: "IncomingRows", folded: Folded) -> None:
    """Bring labels and weights of lines to rows, in place."""

    def of_rows(role: str, column: np.ndarray | None) -> Any:
        values = rows.given.get(role, column)
        if values is None or (role in rows.given and len(values) == rows.n):
            return values
        if len(values) != folded.lines:
            what = f"has {len(values)} values of {role} for {rows.n} rows of {folded.lines} lines."
            raise DataError(what, where=rows.where, fix="Give one for each row, or one for each line.")
        fix = f"Leave --{role} out, or mend the column."
        return folded.by_row(np.asarray(values), f"the {role}", rows.where, fix)

    made = {"label": of_rows("label", rows.raw.label), "weight": of_rows("weight", rows.raw.weight)}
    rows.raw.label, rows.raw.weight = made["label"], made["weight"]
    rows.given = {role: made.get(role, values) for role, values in rows.given.items()}
