"""What the columns or pixels of a data set are, told from the data; and data brought into the form a model expects."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped
from msgspec.structs import replace
from numpy.typing import DTypeLike

from latens.data.columns_and_conditions import MAX_NAME, MAX_SCALE, MAX_SHIFT, MIN_SCALE, Column
from latens.data.mapped import change, few, parts_of, places, take
from latens.data.row_fields import Raw
from latens.data.schema import MAX_CELLS, TINY, Kind, Schema, scaling
from latens.errors import DataError, nearest
from latens.kinds import kind_of
from latens.kinds.base import Stored
from latens.kinds.counts.sparse import SparseRows, columns_of
from latens.kinds.steps.sequences import Sequences

if TYPE_CHECKING:
    from latens.data.loading import IncomingRows

_CHUNK = 2**19
MOST_MEASURED = 2**18
"""Rows that means and deviations of columns are taken of, where there are more: those of the smallest hash."""
ROUNDING, DIGITS = 1e-14, 4
"""The relative width that rounding in double precision gives a constant column, and how many steps of single
precision a column has to vary by."""


def find_missing(
    raw: Raw, names: Shaped[np.ndarray, " n"], missing: str | None, where: str
) -> Shaped[np.ndarray, " n *x"] | None:
    """Find which cells were observed; infinities are refused, and so is NaN unless `missing` is "nan"."""
    if raw.x.dtype.kind != "f":
        return None
    if isinstance(raw.x, SparseRows):
        return _all_stored(raw.x, raw.columns, where)
    gaps, at, count = False, None, 0
    for start, part in parts_of(raw.x):
        finite = np.isfinite(part)
        if finite.all():
            continue
        gaps, bad = True, ~finite if missing is None else np.isinf(part)
        if at is None and bad.any():
            first, *cell = (int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
            at = (start + first, *cell)
        count += int(bad.sum())
    if at is not None:
        value = raw.x[at]
        what = "NaN (a missing value)" if np.isnan(value) else f"{value}"
        row = f"row {at[0]}" if names[at[0]] == at[0] else f"row {at[0]} (id {names[at[0]].item()!r})"
        raise DataError(
            f"holds {what}; {count} such cell{'s' if count > 1 else ''} in all.",
            where=f"{where}, {row}, {cell_name(at[1:], raw.columns)}",
            fix="Treat NaN cells as missing with --missing nan, or fill them in."
            if np.isnan(value)
            else "Replace infinite values by numbers (or by NaN, with --missing nan).",
        )
    return change(np.isfinite, raw.x) if gaps else None


def _all_stored(x: SparseRows, columns: Sequence[str] | None, where: str) -> None:
    """Refuse NaN and infinity among the cells that a sparse matrix stores; the others are 0."""
    stored = x.matrix.data
    bad = np.flatnonzero(~np.isfinite(stored))
    if len(bad):
        row, column = x.place(int(bad[0]))
        what = f"holds {stored[bad[0]]}; {len(bad)} such cell{'s' if len(bad) > 1 else ''} in all."
        fix = "A sparse matrix has no missing cells: give finite numbers, or a dense table with --missing nan."
        raise DataError(what, where=f"{where}, row {row}, {cell_name((column,), columns)}", fix=fix)


def infer_schema(
    x: np.ndarray | SparseRows,
    train_mask: np.ndarray,
    names: Sequence[str] | None = None,
    *,
    observed: np.ndarray | None = None,
    where: str = "data",
    counts: bool | None = False,
) -> Schema:
    """Infer the schema of rows: the kind of their values, their levels and the scales of their columns.

    - only 0 and 1 (or yes and no): "binary";
    - whole numbers 0..255 in uint8 or in arrays with more than one axis a row: "levels", 256 of them where the
      largest is above 16, else largest + 1;
    - fractions in [0, 1] in arrays with more than one axis a row: "unit";
    - a table of whole numbers of 0 or more with a long tail (see `long_tail`): "counts", unless `counts` is False;
    - anything else: "real". Tables then get `columns`, whose shift and scale are the mean and standard deviation of
      the observed values of the training rows (in float64; scale 1 for columns that do not vary), for counts those
      of log(1 + x).

    Args:
        x: The rows, shape (n, *shape), finite where observed.
        train_mask: True for training rows, shape (n,).
        names: Names of the columns of a table.
        observed: True where a value was observed, shape of `x`; None for everywhere.
        where: How an error names the data.
        counts: None recognises counts, True asks for them, False never sees any.

    Returns:
        The schema.

    Raises:
        DataError: Beyond the bounds of a schema, and where `counts` is True and the values are none.
    """
    # A data set without training rows (one row, say) is described by the rows it has.
    rows = train_mask if np.any(train_mask) else np.ones(len(x), bool)
    shape = tuple(int(n) for n in x.shape[1:])
    check_shape(shape, names, where)
    kind, levels = _kind(x, shape, Extent.of(x, observed), observed, counts, where)
    found = Schema(shape, kind, levels=levels)
    if found.standardised and len(shape) > 1:
        shift, scale = _moments(x, rows, observed)
        if not abs(shift) <= MAX_SHIFT or scale > MAX_SCALE:
            raise DataError(f"cells are too large (mean {shift:g}, sd {scale:g}).", where=where, fix="Rescale them.")
        return replace(found, shift=shift, scale=scale if scale >= MIN_SCALE else 1.0)
    made = None if names is None or len(shape) > 1 else tuple(map(Column, names))
    if found.standardised:
        titles = names if names is not None else [f"x{i}" for i in range(math.prod(shape))]
        moments = _by_column(x, rows, observed, log=found.cells.logged)
        made = tuple(_column(name, *one, where) for name, one in zip(titles, moments))
    return replace(found, columns=made)


def sequence_schema(
    x: Shaped[np.ndarray, "n steps d"],
    train_mask: np.ndarray,
    sequences: Sequences,
    observed: np.ndarray | None,
    where: str,
) -> Schema:
    """Infer the schema of rows that are sequences: 0 and 1 alone are "binary", other numbers "real"."""
    shape, names = (x.shape[1], x.shape[2]), [column.name for column in sequences.columns]
    check_shape(shape, names, where)
    cells = Extent.of(x, observed)
    if cells.whole and cells.low >= 0 and cells.high <= 1:
        return Schema(shape, "binary", sequences=sequences)
    rows = train_mask if np.any(train_mask) else np.ones(len(x), bool)
    flat = None if observed is None else observed.reshape(-1, shape[1])
    moments = _by_column(x.reshape(-1, shape[1]), np.repeat(rows, shape[0]), flat, log=False)
    columns = tuple(_column(name, *one, where) for name, one in zip(names, moments))
    return Schema(shape, "real", sequences=replace(sequences, columns=columns))


def check_shape(shape: tuple[int, ...], names: Sequence[str] | None, where: str) -> None:
    """Refuse rows beyond the bounds of a schema."""
    if np.prod(shape, dtype=np.float64) > MAX_CELLS:
        what = f"a row of shape {shape} has more than {MAX_CELLS} cells."
        raise DataError(what, where=where, fix="Use smaller rows.")
    if names is not None and any(len(name) > MAX_NAME for name in names):
        raise DataError(f"a column name is longer than {MAX_NAME} characters.", where=where, fix="Shorten it.")


class Extent:
    """What is known of observed cells: the least and the largest, whether all are whole, and how long their tail is."""

    # The tail is looked at only where `tail` says so.

    def __init__(self, *, tail: bool = False) -> None:
        self.tail, self.size, self.low, self.high, self.whole = tail, 0, np.inf, -np.inf, True
        self.total, self.above, self.top = 0.0, 0, 0

    @classmethod
    def of(cls, x: "np.ndarray | SparseRows", observed: np.ndarray | None = None, *, tail: bool = False) -> "Extent":
        """Look at the observed cells of rows."""
        found = cls(tail=tail)
        for part in _observed(x, observed):
            found.add(part)
        return found

    def add(self, cells: np.ndarray) -> None:
        """Look at more cells."""
        if not cells.size:
            return
        self.size += cells.size
        self.whole = self.whole and (cells.dtype.kind in "biu" or bool(np.all(cells == np.floor(cells))))
        high = float(cells.max())
        self.low = min(self.low, float(cells.min()))
        if high > self.high:
            self.high, self.top = high, 0
        if self.tail and self.whole:
            self.top += int(np.count_nonzero(cells == self.high))
            self.total += float(cells.sum(dtype=np.float64))
            self.above += int(np.count_nonzero(cells))

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest cell; 0 where there is none."""
        return (self.low, self.high) if self.size else (0.0, 0.0)

    @property
    def long_tail(self) -> bool:
        """Whether whole numbers of 0 or more look like counts, not like a scale that ends somewhere."""
        # The largest is above 16 and above 5 times the mean of those above 0, and at most one in 1000 of these is as
        # large: grey pixels, ages and percentages have no such tail, and scales that end (255) pile up there.
        return self.high > 16 and self.high * self.above > 5 * self.total and self.top <= max(1, self.above // 1000)


def _kind(
    x: np.ndarray | SparseRows, shape: tuple[int, ...], cells: Extent, observed: np.ndarray | None, counts: bool | None,
    where: str,
) -> tuple[Kind, int | None]:  # fmt: skip
    (low, high), picture = cells.ends, len(shape) > 1
    if counts:
        if picture or not cells.whole or low < 0:
            holds = f"{'cells' if cells.whole else 'fractions'} from {low:g} to {high:g}"
            what = f"holds {f'rows of shape {shape}' if picture else holds}, not a table of counts."
            raise DataError(what, where=where, fix="Leave out --counts.")
        return "counts", None
    if cells.whole and low >= 0 and high <= 1:
        return "binary", None
    if cells.whole and (picture or x.dtype == np.uint8) and low >= 0 and high <= 255:
        return "levels", 256 if high > 16 else int(high) + 1
    if picture and low >= 0 and high <= 1:
        return "unit", None
    may = not picture and counts is None and cells.whole and low >= 0
    return "counts" if may and Extent.of(x, observed, tail=True).long_tail else "real", None


def _column(name: str, mean: float, deviation: float, ends: tuple[float, float], where: str) -> Column:
    """Make a column that is standardised by its mean and standard deviation, of values between two ends."""
    if not (abs(mean) <= MAX_SHIFT and deviation <= MAX_SCALE):
        what = f"column {name!r} is too large (mean {mean:g}, sd {deviation:g})."
        raise DataError(what, where=where, fix="Rescale this column.")
    if ends[0] != ends[1] and deviation < MIN_SCALE and max(map(abs, ends)) < TINY:
        what = f"column {name!r} varies from {ends[0]:g} to {ends[1]:g}, which single precision takes as 0."
        raise DataError(what, where=where, fix="Multiply this column by a constant.")
    most = max(map(abs, ends))
    rounded = ends[1] - ends[0] <= ROUNDING * most
    if not rounded and deviation < DIGITS * np.spacing(np.float32(min(most, MAX_SHIFT))):
        what = f"column {name!r} varies by {deviation:g} around {mean:.10g}: single precision keeps none of its digits."
        raise DataError(what, where=where, fix="Subtract a constant from this column.")
    with np.errstate(over="ignore"):
        # What float32 cannot tell apart does not vary: its rounding would be blown up to unit size.
        flat = rounded or np.float32(ends[0]) == np.float32(ends[1])
    return Column(name, mean, 1.0 if flat or deviation < MIN_SCALE else deviation)


def fill(
    x: np.ndarray | SparseRows, observed: np.ndarray | None, train: Shaped[np.ndarray, " n"], schema: Schema
) -> Any:
    """Replace missing values by the mean of the column's observed training values (0 where there is none)."""
    if observed is None:
        return x
    if (centre := standard_centre(schema)) is not None:
        return change(lambda x, seen: np.where(seen, x, centre), x, observed)
    rows = train if train.any() else np.ones_like(train)
    total, count = np.zeros(x.shape[1:]), np.zeros(x.shape[1:], np.int64)
    for start, part in parts_of(x):
        own = slice(start, start + len(part))
        seen = observed[own][rows[own]]
        total, count = total + np.where(seen, part[rows[own]], 0).sum(0, dtype=np.float64), count + seen.sum(0)
    mean = total / np.maximum(count, 1)
    mean = np.round(mean) if schema.cells.whole else mean
    return change(lambda x, seen: np.where(seen, x, mean), x, observed)


def standard_centre(schema: Schema) -> np.ndarray | None:
    """Give what stands for missing cells of standardised columns: their shift, which is of the training data."""
    if not schema.standardised:
        return np.zeros(schema.shape) if kind_of(schema).ends else None
    if schema.scaled is None:
        return None
    centre = np.asarray(scaling(schema)[0])
    return np.round(np.expm1(centre)) if schema.cells.logged else centre


def dtype_of_numbers(schema: Schema) -> np.dtype:
    """Give the type that cells are kept in: uint8 (uint16 above 256 levels), else float32."""
    if not (schema.cells.whole and schema.cells.pixel):
        return np.dtype(np.float32)
    return np.dtype(np.uint8 if schema.num_values <= 256 else np.uint16)


def store(x: np.ndarray | SparseRows, schema: Schema, where: str = "data") -> Any:
    """Convert rows to the type they are kept in."""
    dtype = kind_of(schema).dtype(schema)
    with np.errstate(over="ignore"):
        stored = _as_type(x, dtype)
    if dtype.kind != "f":
        return stored
    cells = stored.matrix.data if isinstance(stored, SparseRows) else stored
    for start, part in parts_of(cells):
        if np.isfinite(part).all():
            continue
        first, *cell = (int(i) for i in np.argwhere(~np.isfinite(part))[0])
        at = x.place(start + first) if isinstance(x, SparseRows) else (start + first, *cell)
        what = f"{x[at]!s} is too large for float32 (3.4e38)."
        fix = "Rescale this column."
        raise DataError(what, where=f"{where}, row {at[0]}, {cell_name(at[1:], schema.columns)}", fix=fix)
    return stored


def _as_type(x: np.ndarray | SparseRows, dtype: DTypeLike) -> Any:
    if isinstance(x, SparseRows):
        return x.astype(dtype)
    if isinstance(x, np.memmap) and x.dtype == dtype and x.flags.c_contiguous:
        return x
    return change(lambda part: np.ascontiguousarray(part, dtype), x)


def conform(
    x: np.ndarray | SparseRows, names: Sequence[str] | None, schema: Schema, observed: np.ndarray | None = None,
    where: str = "data",
) -> tuple[Any, np.ndarray | None]:  # fmt: skip
    """Bring rows into the order that a model's schema asks for, and check them against it."""
    # Named columns are put in the schema's order; every observed value must be of the schema's kind.
    wanted = None if schema.columns is None else [column.name for column in schema.columns]
    if names is not None and wanted is not None and list(names) != wanted:
        check_columns(names, wanted, schema, where)
        order = [list(names).index(name) for name in wanted]
        chosen = lambda part: part[:, order]  # noqa: E731
        x = x.columns_at(order) if isinstance(x, SparseRows) else change(chosen, x)
        observed = None if observed is None else change(chosen, observed)
    if x.shape[1:] != schema.shape:
        what = f"has rows of shape {x.shape[1:]}, the model was trained on {schema.shape}."
        raise DataError(what, where=where, fix="Give data of the same shape.")
    seen = Extent.of(x, observed)
    (low, high), cells = seen.ends, schema.cells
    if (low < 0 and not cells.real) or high > cells.high or (cells.whole and not seen.whole):
        what = f"has cells from {low:g} to {high:g}; the model was trained on cells that are each {cells.words}."
        fix = "Scale them like the training data (MinMaxScaler: clip=True)."
        fix = "Cut them at a threshold: X > 0.5." if cells.high == 1.0 and cells.whole else fix
        raise DataError(what, where=where, fix=fix)
    if observed is not None:
        kind_of(schema).refuse_holes(observed, where)
    return x, observed


def store_numbers(rows: "IncomingRows", seen: np.ndarray | None = None) -> Stored:
    """Store rows that are alike in all their columns."""
    # seen: which cells are there beside what is NaN; None: all.
    raw, where = rows.raw, rows.where
    observed = find_missing(raw, rows.names, "nan" if raw.kinds is not None else rows.missing, where)
    observed = seen if observed is None else observed if seen is None else observed & seen
    x: Any = raw.x
    if rows.schema is None:
        with np.errstate(over="ignore", invalid="ignore"):  # numbers that overflow are refused there in words
            found = infer_schema(x, rows.trains, raw.columns, observed=observed, where=where, counts=rows.counts)
        found = rows.told(found)
    else:
        found = rows.schema
        refuse_names(rows)
        x, observed = conform(x, raw.columns, found, observed, where)
    raw.x = x = x if observed is None else fill(x, observed, rows.trains, found)  # what was read is let go
    return Stored(store(x, found, where), found, observed)


def refuse_names(rows: "IncomingRows") -> None:
    """Refuse columns of text or dates for a model of numbers."""
    raw = rows.raw
    named = (i for i, one in (raw.kinds or {}).items() if one.kind != "number" and not np.isnan(raw.x[:, i]).all())
    place = next(named, None)
    if place is not None:
        name = raw.columns[place] if raw.columns else f"x{place}"
        fix = f"Leave it out, or name it with --label {name} or --id {name}."
        raise DataError(f"column {name!r} holds text; the model was trained on numbers.", where=rows.where, fix=fix)


def check_columns(given: Sequence[str], wanted: Sequence[str], schema: Schema, where: str) -> None:
    """Refuse rows that lack columns of a model, or have others than it knows."""
    lacking = next((name for name in wanted if name not in given), None)
    if lacking is not None:
        hint = nearest(lacking, given) if len(given) <= 1000 else ""
        raise DataError(f"lacks the column {lacking!r} the model was trained on.", where=where, fix=hint)
    # Beside a filled column `latens impute --interval` writes how sure it is.
    beside = {f"{name}{end}" for name in (*wanted, *(schema.ignored or ())) for end in (".low", ".high", ".p")}
    extra = [name for name in given if name not in (*wanted, *(schema.ignored or ())) and name not in beside]
    if extra:
        what = f"has columns the model does not know: {', '.join(map(repr, extra[:5]))}."
        raise DataError(what, where=where, fix="Leave them out, or name them with --label or --id.")


def cell_name(cell: Sequence[int], columns: Sequence[Column | str] | None) -> str:
    """Name a feature or pixel of a row for an error: "column 'age'", "column 3" or "pixel (3, 4)"."""
    if len(cell) > 1:
        return f"cell {tuple(cell)}"
    if columns is None:
        return f"column {cell[0]}"
    column = columns[cell[0]]
    return f"column {column.name if isinstance(column, Column) else column!r}"


def whole_columns(x: np.ndarray | SparseRows, observed: np.ndarray | None = None) -> np.ndarray:
    """Say for each feature whether every observed value is a whole number of 0 or more."""
    good = np.ones(x.shape[1:], bool)
    step = max(1, _CHUNK // max(1, good.size))
    for start in range(0, len(x), step):
        part = x[start : start + step]
        fits = (part >= 0) & (part == np.floor(part))
        good &= (fits if observed is None else fits | ~observed[start : start + step]).all(0)
    return good


def _by_column(
    x: np.ndarray | SparseRows, train: np.ndarray, observed: np.ndarray | None, *, log: bool
) -> Iterator[tuple[float, float, tuple[float, float]]]:
    rows = places(train, True)
    if not isinstance(x, SparseRows) and len(rows) > MOST_MEASURED:
        rows = few(rows, max(2**14, min(MOST_MEASURED, 2**26 // x.shape[1])))
        observed = None if observed is None else take(observed, rows)
        x, rows = take(x, rows), np.arange(len(rows))
    for i, column in enumerate(columns_of(x)):
        values = column[rows]
        if observed is not None:
            values = values[observed[rows, i]]
        values = np.log1p(values.astype(np.float64)) if log else values.astype(np.float64)
        # What overflows is refused afterwards.
        with np.errstate(over="ignore", invalid="ignore"):
            shift = float(values.mean()) if values.size else 0.0
            scale = float(values.std()) if values.size else 1.0
            ends = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
        yield shift, scale, ends


def _observed(x: np.ndarray | SparseRows, observed: np.ndarray | None) -> Iterator[np.ndarray]:
    if isinstance(x, SparseRows):
        yield from x.cells()
        return
    for start, part in parts_of(x):
        yield part if observed is None else part[observed[start : start + len(part)]]


def _moments(x: np.ndarray | SparseRows, rows: np.ndarray, observed: np.ndarray | None) -> tuple[float, float]:
    """Mean and standard deviation of all observed training cells together, in chunks and float64."""
    total, squares, count = 0.0, 0.0, 0
    keep = None if rows.all() else np.broadcast_to(rows.reshape(-1, *(1,) * (x.ndim - 1)), x.shape)
    seen = observed if keep is None else keep if observed is None else keep & observed
    parts = (part for part in _observed(x, seen) if part.size)
    first = next(parts, np.zeros(1))
    pilot = float(first.reshape(-1)[0])  # near the mean, so that squares do not cancel
    for part in itertools.chain([first], parts):
        values = part.astype(np.float64) - pilot
        total, squares, count = total + values.sum(), squares + (values**2).sum(), count + values.size
    mean = total / max(count, 1)
    spread = float(np.sqrt(max(squares / max(count, 1) - mean**2, 0.0)))
    return pilot + float(mean), spread


def with_classes(schema: Schema, classes: tuple[str, ...] | None) -> Schema:
    """Give a schema the names of its classes."""
    if (longest := max(map(len, classes or ()), default=0)) > MAX_NAME:
        raise DataError(f"a label has {longest} characters, of {MAX_NAME} at most.", where="y", fix="Shorten it.")
    return schema if classes is None else replace(schema, classes=classes)
