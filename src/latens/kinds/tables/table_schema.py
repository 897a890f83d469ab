"""Tables with columns of several kinds: their schema, rows as it stores them, and the frame that these stand for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Shaped

from latens.data.infer import check_columns, check_shape, find_missing, store
from latens.data.mapped import change, on_disk, parts_of
from latens.data.row_fields import Raw, without_columns
from latens.data.schema import TINY, Column, Schema
from latens.errors import DataError
from latens.kinds.base import Stored
from latens.kinds.counts.sparse import SparseRows
from latens.kinds.tables.columns import (
    FURTHEST,
    MOST_CATEGORIES,
    MOST_NAMES,
    MOST_TEXT,
    SELDOM,
    ColumnType,
    FrameColumn,
    category_type,
    number_type,
    unknown_category,
)
from latens.kinds.tables.derived import LEFT_OUT, Declared, Derived, apart, check_declared, with_computed, with_derived
from latens.kinds.tables.dtypes import DAY
from latens.kinds.tables.infer_columns import coded, known_as

if TYPE_CHECKING:
    from latens.data.dataset import Dataset
    from latens.data.loading import IncomingRows


LIKE_ID = 0.95
"""Share of different texts among those of a column from which on they are like ids."""
MOST_NAMED = 5
"""Rows that an error or a note names."""
_COMMA = re.compile(r"[-+]?\d+,\d+")


def table_schema(
    x: Float[np.ndarray, "n columns"],
    train: Bool[np.ndarray, " n"],
    names: Sequence[str],
    kinds: Mapping[int, FrameColumn],
    where: str,
    declared: Mapping[str, Declared] | None = None,
) -> Schema:
    """Give each column of a table a type, of its training rows; ids and free text are left out, and what is said so."""
    check_shape(x.shape[1:], names, where)
    rows = train if np.any(train) else np.ones(len(x), bool)
    columns, types, ignored = [], [], []
    for i, name in enumerate(names):
        cells = np.concatenate([part[:, i] for _, part in parts_of(x)])
        said, found, seen = (declared or {}).get(name, Declared()), kinds[i], ~np.isnan(cells)
        values = cells[rows & seen]
        if leave_out(values, found, said) is not None:
            _refuse_many(name, values, found, said, where)
            ignored.append(name)
            continue
        columns.append(Column(name))
        every = cells[seen]
        types.append(category_type(values, found) if found.named else _number(name, values, every, found, where))
    if not columns:
        whys = [
            leave_out(x[rows & ~np.isnan(x[:, i]), i], kinds[i], (declared or {}).get(n)) for i, n in enumerate(names)
        ]
        reasons = "; ".join(f"{name}: {why}" for name, why in zip(names[:5], whys))
        raise DataError(f"has no column that can be modelled ({reasons}).", where=where, fix="Give other columns.")
    return Schema((len(columns),), "mixed", columns=tuple(columns), types=tuple(types), ignored=tuple(ignored) or None)


def _refuse_many(name: str, values: np.ndarray, found: FrameColumn, said: Declared, where: str) -> None:
    """Refuse names that were declared, and are too many."""
    if said.named and len(values):
        what = f"column {name!r} is declared as {said.kind} and has {len(found.values):,} categories."
        most = MOST_NAMES if said.kind == "category" else MOST_CATEGORIES
        fix = f'At most {most:,} are modelled: join rare ones, or declare it as "{LEFT_OUT}".'
        raise DataError(what, where=where, fix=fix)


def _number(name: str, values: np.ndarray, every: np.ndarray, found: FrameColumn, where: str) -> ColumnType:
    low, high = float(values.min()), float(values.max())
    fix = f"Leave such cells empty, rescale it, or leave it out: --column {name}='{LEFT_OUT}'."
    if max(-low, high) > FURTHEST:
        what = f"column {name!r} reaches from {low:g} to {high:g}; numbers of a table lie within {FURTHEST:g}."
        raise DataError(what, where=where, fix=fix)
    if low < high and max(-low, high) < TINY:
        what = f"column {name!r} varies from {low:g} to {high:g}, which single precision takes as 0."
        raise DataError(what, where=where, fix="Multiply this column by a constant.")
    try:
        return number_type(values, every, found)
    except OverflowError as error:
        what = f"column {name!r} has a range that float64 does not count: {error}."
        raise DataError(what, where=where, fix=fix) from None


def leave_out(values: np.ndarray, found: FrameColumn, said: Declared | None = None) -> str | None:
    """Say why a column of a mixed table is not modelled."""
    if said is not None and said.kind == LEFT_OUT:
        return "left out, as declared"
    distinct, rows = len(np.unique(values)), len(values)
    if distinct == 0:
        return "no training row has a value"
    named = said is not None and said.named
    if found.named and distinct > 20 and distinct >= LIKE_ID * rows and not named:
        if all(map(_COMMA.fullmatch, found.values)):
            return "its cells have a decimal comma, with which --decimal-comma reads numbers"
        return f"{'every' if distinct == rows else 'nearly every'} row has another text, like an id"
    if len(found.values) <= MOST_CATEGORIES:
        return None
    most = MOST_CATEGORIES if found.ordered else MOST_NAMES
    if len(found.values) > most:
        return f"{len(found.values):,} different texts, more than {most:,}"
    if sum(map(len, found.values)) > MOST_TEXT:
        return f"{len(found.values):,} different texts, of more than {MOST_TEXT:,} letters in all"
    counts = np.bincount(np.unique(values, return_inverse=True)[1])
    if 2 * counts[counts < SELDOM].sum() > rows and not named:
        return f"{distinct:,} different texts, most rows with one that came fewer than {SELDOM} times, like free text"
    return None


def stored_columns(
    x: Float[np.ndarray, "n columns"],
    names: Sequence[str],
    kinds: Mapping[int, FrameColumn],
    schema: Schema,
    where: str,
    unseen: list[tuple[int, int, str]] | None = None,
    row_names: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Turn the columns of a frame, read as a schema knows them, into the cells that it stores, columns by name."""
    # A number beyond those of the training rows counts as the outermost of them, and how far it lies beyond is told. A
    # name that no training row had counts as one of those that came least often, in a column where rare names share a
    # probability.
    # unseen: takes the cells of names that the schema lacks, which then count as missing; None: they are refused.
    # row_names: what an error calls the rows; None: their positions.
    # returns: rows in the schema's order as codes and places on grids, where they were observed (None: everywhere),
    # and by how many steps of its grid each number is below (negative) or above those of the training rows.
    wanted = schema.names
    check_columns(names, wanted, schema, where)
    order = [list(names).index(name) for name in wanted]
    given = x[:, order]
    shown = ~np.isnan(given)
    cells, outside = np.zeros(given.shape, np.float32), np.zeros(given.shape, np.float32)
    refused: list[tuple[int, int, str]] = []
    for i, (place, kind) in enumerate(zip(order, schema.column_types)):
        seen = shown[:, i].copy()
        values = given[seen, i]
        if not len(values):
            continue
        if kind.named:
            codes, words = _codes(values, kinds[place], kind)
            strange = np.flatnonzero(codes < 0)
            cells[seen, i] = np.where(codes < 0, len(kind.values) - 1.0 if kind.starts else 0.0, codes)
            rows = np.flatnonzero(seen)[strange]
            found = [(row, i, words[at]) for row, at in zip(rows.tolist(), strange.tolist())]
            if unseen is not None:
                unseen += found
            elif not kind.starts:
                refused += found
            if not kind.starts:
                shown[rows, i] = False
            continue
        placed = np.round(kind.place(values))
        inside = np.clip(placed, 0, kind.size - 1)
        far = np.finfo(np.float32).max
        cells[seen, i], outside[seen, i] = inside, np.clip(placed - inside, -far, far)
    if refused:
        known = {name: kind.values for name, kind in zip(wanted, schema.column_types)}
        named = np.arange(len(x)) if row_names is None else row_names
        raise _unknown_names([(named[row], wanted[i], str(value)) for row, i, value in refused], known, where)
    return cells, None if shown.all() else shown, outside


def _stored_by_parts(
    x: Float[np.ndarray, "n columns"],
    given: tuple[Sequence[str], Mapping[int, FrameColumn], Schema, str],
    unseen: list[tuple[int, int, str]] | None,
    row_names: np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Do what `stored_columns` does, of rows on disk into files."""
    width = len(given[2].names)

    def parts() -> Iterator[np.ndarray]:
        for start, part in parts_of(x):
            own: list[tuple[int, int, str]] | None = None if unseen is None else []
            cells, shown, outside = stored_columns(part, *given, own, row_names[start : start + len(part)])
            if unseen is not None:
                unseen.extend((start + row, i, word) for row, i, word in own or ())
            seen = np.ones_like(cells) if shown is None else shown
            yield np.concatenate([cells, outside, seen], axis=1, dtype=np.float32)

    made = on_disk(parts(), len(x))
    cells, outside = (change(lambda part, at=at: part[:, at : at + width], made) for at in (0, width))
    shown = change(lambda part: part[:, 2 * width :] > 0, made)
    return cells, None if all(part.all() for _, part in parts_of(shown)) else shown, outside


def _unknown_names(cells: Sequence[tuple[Any, str, str]], known: Mapping[str, Sequence[str]], where: str) -> DataError:
    """The error for names that no training row had: by row, column and name."""
    _, column, value = cells[0]
    error = unknown_category(value, column, known[column], where)
    rows = dict.fromkeys(str(row) for row, _, _ in cells)
    one = {str(row): f"row {row} ({column} {value[:40]!r})" for row, column, value in reversed(cells)}
    listed = ", ".join(one[row] for row in list(rows)[:MOST_NAMED])
    more = f" and {len(rows) - MOST_NAMED:,} more" if len(rows) > MOST_NAMED else ""
    what = f"{error.message} {len(rows):,} {'row has' if len(rows) == 1 else 'rows have'} such a name: {listed}{more}."
    choice = "Or --unknown missing treats the cells as missing, and --unknown skip leaves the rows out."
    return DataError(what, where=where, fix=f"{error.fix} {choice}")


def _codes(values: np.ndarray, found: FrameColumn, kind: ColumnType) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a column in the order of a schema, -1 for a name that it lacks; and the name of each cell."""
    known, codes = {value: code for code, value in enumerate(kind.values)}, values.astype(np.int64)
    return np.array([known.get(value, -1) for value in found.values], np.float32)[codes], np.array(
        found.values, object
    )[codes]


def with_absent(raw: Raw, schema: Schema) -> None:
    """Add the columns that a table lacks, in place, every cell of them missing."""
    if raw.columns is None or raw.kinds is None:
        return
    lacking = [name for name in schema.names if name not in raw.columns]
    raw.kinds = raw.kinds | {len(raw.columns) + i: FrameColumn() for i in range(len(lacking))}
    raw.x = np.concatenate([raw.x, np.full((len(raw.x), len(lacking)), np.nan)], axis=1)
    raw.columns = (*raw.columns, *lacking)


def known_columns(schema: Schema) -> dict[str, Any]:
    """How to read columns as those of a model."""
    return {"declared": known_as(dict(zip(schema.names, schema.column_types)), schema.ignored or ())}


def notes_of(
    raw: Raw, schema: Schema, beyond: str, rows: np.ndarray, declared: Mapping[str, Declared] | None = None
) -> tuple[str, ...]:
    """Say which columns are left out and why, which are wide, and which cells lie beyond the training rows."""
    made, columns = [], list(raw.columns or ())
    for name in schema.ignored or ():
        if name in columns and raw.kinds is not None:
            values = raw.x[rows, columns.index(name)]
            why = leave_out(values[~np.isnan(values)], raw.kinds[columns.index(name)], (declared or {}).get(name))
            made.append(f"Column {name!r} is not modelled: {why or 'nor was it in the training data'}.")
    for name, one in zip(schema.names, schema.column_types):
        if one.strides:
            half = max(one.strides) * one.step / 2
            ends = " to ".join(one.texts(np.array([0, one.size - 1])))
            made.append(f"Column {name!r} is wide ({ends}): its rare values are rounded to within {half:g}.")
    return (*made, beyond) if beyond else tuple(made)


def beyond_words(outside: np.ndarray) -> str:
    """Say how many cells lie beyond the numbers of the training rows; "" of none."""
    beyond = int(np.count_nonzero(outside))
    lie = "1 cell lies" if beyond == 1 else f"{beyond} cells lie"
    said = f"{lie} beyond the numbers of the training rows, and counted as the outermost of these."
    return said if beyond else ""


def as_frame(x: Shaped[np.ndarray, "n columns"], schema: Schema, outside: np.ndarray | None = None) -> pl.DataFrame:
    """Write stored rows of a table as a frame of Polars, with the dtypes that its columns had.

    Args:
        x: The stored cells, of shape (n, columns); NaN for none.
        schema: The schema of the table.
        outside: By how many steps of its grid each cell is beyond what is stored, of shape (n, columns); None: by none.

    Returns:
        A frame with the columns of the schema.

    Examples:
        >>> from latens.data import load
        >>> size = pl.Series("size", ["S", "M", "L"] * 50, dtype=pl.Enum(["S", "M", "L"]))
        >>> data = load(pl.DataFrame([size]))
        >>> as_frame(data.x, data.schema)["size"].max()
        'L'
    """
    cells = np.asarray(x, np.float64)
    beyond = [None] * x.shape[1] if outside is None else list(outside.T)
    types = schema.column_types
    numbers = [one.numbers(column, more) for one, column, more in zip(types, cells.T, beyond)]
    made = pl.DataFrame([one.written(own).alias(name) for name, one, own in zip(schema.names, types, numbers)])
    return with_computed(made, schema, numbers)


def in_units(x: Shaped[np.ndarray, "n columns"], types: Sequence[ColumnType]) -> np.ndarray:
    """Stored rows as numbers in the units of their columns."""
    # Categories stay codes, dates become days since 1970, times of the day and durations are seconds.
    made = np.array(x, np.float64) if types else x
    for i, one in enumerate(types):
        if not one.named:
            made[:, i] = one.value(made[:, i]) / (DAY if one.kind == "date" and not one.days else 1)
    return made


def store_table(rows: "IncomingRows") -> Stored:
    """Store a table: codes of names, and places on the grids of numbers and dates."""
    every, derived = _with_column_types(rows)
    raw, where = rows.raw, rows.where
    observed = find_missing(raw, rows.names, "nan", where)  # a gap in a table of several kinds is a gap
    said = rows.declared if rows.schema is None else None
    if rows.schema is None:
        with np.errstate(over="ignore", invalid="ignore"):
            found = table_schema(raw.x, rows.trains, raw.columns or (), raw.kinds or {}, where, said)
    else:
        found = rows.schema
    found = rows.told(with_derived(found, derived, every, where))
    strange: list[tuple[int, int, str]] | None = None if rows.unknown == "error" else []
    given = (raw.columns or (), raw.kinds or {}, found, where)
    if isinstance(raw.x, np.memmap):
        x, observed, outside = _stored_by_parts(raw.x, given, strange, rows.names)
    else:
        x, observed, outside = stored_columns(raw.x, *given, strange, rows.names)
    raw.notes += notes_of(raw, found, beyond_words(outside), np.flatnonzero(rows.trains), said)
    raw.x = x
    return Stored(store(x, found, where), found, observed, outside, tuple(strange or ()))


def _with_column_types(rows: "IncomingRows") -> tuple[tuple[str, ...], list[Derived]]:
    """Give each column what it holds, in place, and take derived columns out; the names that there were, and these."""
    raw, where, asked = rows.raw, rows.where, rows.asked
    if raw.x.ndim != 2:
        what = f"has rows of shape {raw.x.shape[1:]}, which are not columns."
        raise DataError(what, where=where, fix=f"Leave out --{'typed' if asked.columns is None else 'column'}.")
    if isinstance(raw.x, SparseRows):
        what = f"is a sparse matrix of {raw.x.shape[0]} rows and {raw.x.shape[1]} columns, which get no types."
        raise DataError(what, where=where, fix="Leave out --typed, or give fewer columns as a dense table.")
    raw.columns = raw.columns or tuple(f"x{i}" for i in range(raw.x.shape[1]))
    if raw.kinds is None:  # of a source that knows numbers alone
        frame = pl.DataFrame({name: raw.x[:, i] for i, name in enumerate(raw.columns)}, nan_to_null=True)
        raw.x, raw.kinds = coded(frame, rows.roles.declared or {}, where)
    if asked.columns is not None:
        check_declared(raw.columns, rows.declared or {}, where)
    if rows.partial and rows.schema is not None:
        with_absent(raw, rows.schema)
    every, derived, about = raw.columns, list[Derived](), ()
    if rows.derived:
        called = [f"row {name}" for name in rows.names]
        derived, about = apart(rows.derived, every, raw.x, raw.kinds or {}, called, where)
    known = derived if rows.schema is None else rows.schema.derived or ()
    rows.raw = without_columns(raw, [one.name for one in known])
    rows.raw.notes += about
    return every, derived


def report_table(dataset: "Dataset") -> dict[str, Any]:
    """What each column of a table holds."""
    return {"columns": [_column(dataset, i) for i in range(len(dataset.schema.column_types))]}


def _column(dataset: "Dataset", place: int) -> dict[str, Any]:
    """What one column of a mixed table holds: its kind, an example of its values, and how many are missing."""
    schema, mask = dataset.schema, dataset.mask
    one = schema.column_types[place]
    top = int(np.argmax(one.shares))
    if one.named:
        order = " in order" if one.kind == "ordinal" else ""
        values = f"{one.num_values} categories{order}"
        if one.widths[top] == 1:
            values += f"; {one.values[one.firsts[top]]!r} in {one.shares[top]:.0%}"
        rare = sum(width for width in one.widths if width > 1)
        values += f"; {rare} rare ones share a probability" if rare else ""
    else:
        low, high = one.texts(np.array(_ends(dataset, place) or (0, one.size - 1)))
        values = f"{low} to {high}"
        if one.widths[top] == 1:
            values += f"; {one.texts(np.array([one.starts[top]]))[0]} in {one.shares[top]:.0%}"
    return {
        "name": schema.names[place],
        "kind": one.kind,
        "dtype": one.dtype,
        "values": values,
        "missing": 0 if mask is None else int(np.sum(~mask[:, place])),
    }


def _ends(dataset: "Dataset", place: int) -> tuple[float, float] | None:
    """The least and the greatest cell of a column in the training rows; None where these stay on disk or have none."""
    from latens.data.checks import training_rows

    x, mask = training_rows(dataset)
    if not isinstance(x, np.ndarray):
        return None
    own = x[:, place] if mask is None else x[mask[:, place], place]
    return (float(own.min()), float(own.max())) if len(own) else None
