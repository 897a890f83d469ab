"""What the columns or pixels of a data set are, told from the data; and data brought into the form a model expects."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped
from msgspec.structs import replace

from latens.data.columns import TextColumn
from latens.data.declared import Declared
from latens.data.mixed import mixed_schema
from latens.data.raw import Raw
from latens.data.schema import MAX_CELLS, MAX_NAME, MAX_SCALE, MAX_SHIFT, MIN_SCALE, TINY, Column, Kind, Schema
from latens.data.sparse import SparseRows, columns_of
from latens.errors import DataError, nearest

_CHUNK = 2**19


def find_missing(
    raw: Raw, names: Shaped[np.ndarray, " n"], missing: str | None, where: str
) -> Shaped[np.ndarray, "n *x"] | None:
    """Find which cells were observed; infinities are refused, and so is NaN unless `missing` is "nan"."""
    # missing: "nan" where NaN says that a value is missing; None refuses NaN.
    if raw.x.dtype.kind != "f":
        return None
    if isinstance(raw.x, SparseRows):
        return _all_stored(raw.x, raw.columns, where)
    finite = np.isfinite(raw.x)
    if finite.all():
        return None
    bad = ~finite if missing is None else np.isinf(raw.x)
    if bad.any():
        at = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        value, count = raw.x[at], int(bad.sum())
        what = "NaN (a missing value)" if np.isnan(value) else f"{value}"
        row = f"row {at[0]}" if names[at[0]] == at[0] else f"row {at[0]} (id {names[at[0]].item()!r})"
        raise DataError(
            f"holds {what}; {count} such cell{'s' if count > 1 else ''} in all.",
            where=f"{where}, {row}, {cell_name(at[1:], raw.columns)}",
            fix="Treat NaN cells as missing with --missing nan, or fill them in."
            if np.isnan(value)
            else "Replace infinite values by numbers (or by NaN, with --missing nan).",
        )
    return finite


def _all_stored(x: SparseRows, columns: Sequence[str] | None, where: str) -> None:
    """Refuse NaN and infinity among the cells that a sparse matrix stores; the others are 0."""
    stored = x.matrix.data
    bad = np.flatnonzero(~np.isfinite(stored))
    if len(bad):
        row, column = x.place(int(bad[0]))
        raise DataError(
            f"holds {stored[bad[0]]}; {len(bad)} such cell{'s' if len(bad) > 1 else ''} in all.",
            where=f"{where}, row {row}, {cell_name((column,), columns)}",
            fix="A sparse matrix has no missing cells: give finite numbers, or a dense table with --missing nan.",
        )


def infer_schema(
    x: Any,
    train_mask: np.ndarray,
    names: Sequence[str] | None = None,
    *,
    observed: np.ndarray | None = None,
    where: str = "data",
    counts: bool | None = False,
    texts: Mapping[int, TextColumn] | None = None,
    declared: Mapping[str, Declared] | None = None,
) -> Schema:
    """Infer the schema of rows: the kind of their values, their levels and the scales of their columns.

    - a table with columns of text or dates, or one that is asked for it: "mixed", with a type for each column;
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
        texts: What the columns of text stand for, by position; None for a table whose columns are alike.
        declared: What is said of the columns of a table of several kinds, by name.

    Returns:
        The schema.

    Raises:
        DataError: Beyond the bounds of a schema, and where `counts` is True and the values are none.
    """
    shape: tuple[int, ...] = tuple(int(n) for n in x.shape[1:])
    if np.prod(shape, dtype=np.float64) > MAX_CELLS:
        raise DataError(
            f"a row of shape {shape} has more than {MAX_CELLS} cells.", where=where, fix="Use smaller rows."
        )
    if names is not None and any(len(name) > MAX_NAME for name in names):
        raise DataError(f"a column name is longer than {MAX_NAME} characters.", where=where, fix="Shorten it.")
    if texts is not None:
        names = names or [f"x{i}" for i in range(x.shape[1])]
        return mixed_schema(x, train_mask, names, observed, texts, where, declared)
    columns = tuple(Column(name) for name in names) if names is not None and len(shape) == 1 else None
    low, high = value_range(x, observed)
    whole = x.dtype.kind in "biu" or _every(x, observed, lambda v: v == np.floor(v))
    titles = names if names is not None else [f"x{i}" for i in range(x.shape[1])]
    kind, levels = kind_of(
        shape, x.dtype, low, high, whole=whole, counts=counts, tail=lambda: long_tail(x, observed, high), where=where
    )
    if kind == "real" and len(shape) > 1:
        shift, scale = _moments(x, train_mask, observed, where)
        return Schema(shape, kind, shift=shift, scale=scale)
    if kind in ("real", "counts"):
        columns = _standardise(x, train_mask, titles, observed, where, log=kind == "counts")
    return Schema(shape, kind, levels=levels, columns=columns)


def kind_of(
    shape: tuple[int, ...],
    dtype: np.dtype,
    low: float,
    high: float,
    *,
    whole: bool,
    counts: bool | None,
    tail: Callable[[], bool],
    where: str,
) -> tuple[Kind, int | None]:
    """Decide what cells hold from what is known of all of them, as `infer_schema` says."""
    # counts: none recognises counts, True asks for them, False never sees any.
    picture = len(shape) > 1
    if counts:
        if picture or not whole or low < 0:
            what = (
                f"rows of shape {shape}" if picture else f"{'cells' if whole else 'fractions'} from {low:g} to {high:g}"
            )
            raise DataError(f"holds {what}, not a table of counts.", where=where, fix="Leave out --counts.")
        return "counts", None
    if whole and low >= 0 and high <= 1:
        return "binary", None
    if whole and (picture or dtype == np.uint8) and low >= 0 and high <= 255:
        return "levels", 256 if high > 16 else int(high) + 1
    if picture and low >= 0 and high <= 1:
        return "unit", None
    return "counts" if not picture and counts is None and whole and low >= 0 and tail() else "real", None


def long_tail(x: np.ndarray | SparseRows, observed: np.ndarray | None, high: float) -> bool:
    """Say whether whole numbers of 0 or more look like counts, not like a scale that ends somewhere."""
    # The largest is above 16 and above 5 times the mean of those above 0, and at most one in 1000 of these is as large:
    # grey pixels, ages and percentages have no such tail, and scales that end (255) pile up there.
    # observed: true where a value was observed; None for everywhere.
    total, above, top = 0.0, 0, 0
    for part in _observed(x, observed):
        total += float(part.sum(dtype=np.float64))
        above += int(np.count_nonzero(part))
        top += int(np.count_nonzero(part == high))
    return high > 16 and high * above > 5 * total and top <= max(1, above // 1000)


def fill(x: Any, observed: np.ndarray | None, train: Shaped[np.ndarray, " n"], schema: Schema) -> Any:
    """Replace missing values by the mean of the column's observed training values (0 where there is none)."""
    # observed: true where a value was observed; None for everywhere.
    if observed is None or schema.kind == "mixed":  # whose gaps hold the first cell
        return x
    if schema.standardised and schema.columns is not None:
        # Of the data the schema was made from, which for a trained model are its training data.
        centre = np.array([column.shift for column in schema.columns])
        return np.where(observed, x, np.round(np.expm1(centre)) if schema.kind == "counts" else centre)
    rows = train if train.any() else np.ones_like(train)
    count = observed[rows].sum(0)
    total = np.where(observed, x, 0)[rows].sum(0, dtype=np.float64)
    mean = total / np.maximum(count, 1)
    if schema.kind in ("binary", "levels"):
        mean = np.round(mean)
    return np.where(observed, x, mean)


def store(x: Any, schema: Schema, where: str = "data") -> Any:
    """Convert rows to the type they are kept in: uint8 (uint16 above 256 levels), else float32."""
    # float32 is for "unit", "real" and "counts".
    if schema.kind == "mixed":
        return np.ascontiguousarray(x, np.float32)
    if schema.kind in ("binary", "levels"):
        return _as_type(x, np.uint8 if (schema.levels or 2) <= 256 else np.uint16)
    with np.errstate(over="ignore"):
        stored = _as_type(x, np.float32)
    finite = np.isfinite(stored.matrix.data if isinstance(stored, SparseRows) else stored)
    if not finite.all():
        at = tuple(int(i) for i in np.argwhere(~finite)[0])
        at = x.place(at[0]) if isinstance(x, SparseRows) else at
        raise DataError(
            f"{x[at]!s} is too large for float32 (3.4e38).",
            where=f"{where}, row {at[0]}, {cell_name(at[1:], schema.columns)}",
            fix="Rescale this column.",
        )
    return stored


def _as_type(x: Any, dtype: Any) -> Any:
    return x.astype(dtype) if isinstance(x, SparseRows) else np.ascontiguousarray(x, dtype)


def conform(
    x: Any, names: Sequence[str] | None, schema: Schema, observed: np.ndarray | None = None, where: str = "data"
) -> tuple[Any, np.ndarray | None]:
    """Bring rows into the order that a model's schema asks for, and check them against it."""
    # Named columns are put in the schema's order; every observed value must be of the schema's kind.
    # observed: true where a value was observed; None for everywhere.
    wanted = None if schema.columns is None else [column.name for column in schema.columns]
    if names is not None and wanted is not None and list(names) != wanted:
        lacking = next((name for name in wanted if name not in names), None)
        if lacking is not None:
            hint = nearest(lacking, names) if len(names) <= 1000 else ""
            raise DataError(f"lacks the column {lacking!r} the model was trained on.", where=where, fix=hint)
        extra = [name for name in names if name not in wanted]
        if extra:
            raise DataError(
                f"has columns the model does not know: {', '.join(map(repr, extra[:5]))}.",
                where=where,
                fix="Leave them out, or name them with --label or --id.",
            )
        order = [list(names).index(name) for name in wanted]
        x = x.columns_at(order) if isinstance(x, SparseRows) else x[:, order]
        observed = None if observed is None else observed[:, order]
    if x.shape[1:] != schema.shape:
        raise DataError(
            f"has rows of shape {x.shape[1:]}, the model was trained on {schema.shape}.",
            where=where,
            fix="Give data of the same shape.",
        )
    low, high = value_range(x, observed)
    top = {"binary": 1, "levels": (schema.levels or 2) - 1, "unit": 1}.get(schema.kind, np.inf)
    bottom = -np.inf if schema.kind == "real" else 0
    whole = schema.kind in ("unit", "real") or x.dtype.kind in "biu" or _every(x, observed, lambda v: v == np.floor(v))
    if low < bottom or high > top or not whole:
        words = {"binary": "0 or 1", "unit": "within [0, 1]", "counts": "counts (whole numbers of 0 or more)"}
        kind = words.get(schema.kind, f"whole numbers from 0 to {top}")
        raise DataError(
            f"has cells from {low:g} to {high:g}; the model was trained on cells that are {kind}.",
            where=where,
            fix="Scale the data as the training data were.",
        )
    return x, observed


def value_range(x: np.ndarray | SparseRows, observed: np.ndarray | None = None) -> tuple[float, float]:
    """Find the smallest and the largest observed value."""
    # observed: true where a value was observed; None for everywhere.
    if x.size == 0 or (observed is not None and not observed.any()):
        return 0.0, 0.0
    if observed is None:
        return float(x.min()), float(x.max())
    lows = [float(v.min()) for v in _observed(x, observed) if v.size]
    highs = [float(v.max()) for v in _observed(x, observed) if v.size]
    return min(lows), max(highs)


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
    # observed: true where a value was observed; None for everywhere.
    good = np.ones(x.shape[1:], bool)
    step = max(1, _CHUNK // max(1, good.size))
    for start in range(0, len(x), step):
        part = x[start : start + step]
        fits = (part >= 0) & (part == np.floor(part))
        good &= (fits if observed is None else fits | ~observed[start : start + step]).all(0)
    return good


def _standardise(
    x: np.ndarray | SparseRows,
    train_mask: np.ndarray,
    names: Sequence[str],
    observed: np.ndarray | None,
    where: str,
    *,
    log: bool,
) -> tuple[Column, ...]:
    # A data set without training rows (one row, say) is described by the rows it has.
    rows = np.flatnonzero(train_mask) if np.any(train_mask) else np.arange(len(x))
    columns = []
    for i, (name, column) in enumerate(zip(names, columns_of(x))):
        values = column[rows]
        if observed is not None:
            values = values[observed[rows, i]]
        values = np.log1p(values.astype(np.float64)) if log else values.astype(np.float64)
        # What overflows is refused below.
        with np.errstate(over="ignore", invalid="ignore"):
            shift = float(values.mean()) if values.size else 0.0
            scale = float(values.std()) if values.size else 1.0
            ends = (values.min(), values.max()) if values.size else (0.0, 0.0)
        columns.append(column_of(name, shift, scale, ends, where=where))
    return tuple(columns)


def column_of(name: str, mean: float, deviation: float, ends: tuple[float, float], *, where: str) -> Column:
    """Make a column that is standardised by its mean and standard deviation, of values between two ends."""
    if not (abs(mean) <= MAX_SHIFT and deviation <= MAX_SCALE):
        what = f"column {name!r} is too large (mean {mean:g}, sd {deviation:g})."
        raise DataError(what, where=where, fix="Rescale this column.")
    if ends[0] != ends[1] and deviation < MIN_SCALE and max(map(abs, ends)) < TINY:
        what = f"column {name!r} varies from {ends[0]:g} to {ends[1]:g}, which single precision takes as 0."
        raise DataError(what, where=where, fix="Multiply this column by a constant.")
    with np.errstate(over="ignore"):
        # What float32 cannot tell apart does not vary: its rounding would be blown up to unit size.
        flat = np.float32(ends[0]) == np.float32(ends[1])
    return Column(name, mean, 1.0 if flat or deviation < MIN_SCALE else deviation)


def _observed(x: np.ndarray | SparseRows, observed: np.ndarray | None) -> Iterator[np.ndarray]:
    if isinstance(x, SparseRows):
        yield from x.cells()
        return
    step = max(1, _CHUNK // max(1, int(np.prod(x.shape[1:]))))
    for start in range(0, len(x), step):
        part = x[start : start + step]
        yield part if observed is None else part[observed[start : start + step]]


def _every(x: np.ndarray | SparseRows, observed: np.ndarray | None, test: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Whether the test holds for every observed cell; looks no further than the first chunk where it does not."""
    return all(bool(test(part).all()) for part in _observed(x, observed))


def _moments(x: Any, train_mask: np.ndarray, observed: np.ndarray | None, where: str) -> tuple[float, float]:
    """Mean and standard deviation of all observed training cells together, in chunks and float64."""
    rows = train_mask if np.any(train_mask) else np.ones(len(x), bool)
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
    return scaled_by(pilot + float(mean), spread, where)


def scaled_by(mean: float, deviation: float, where: str) -> tuple[float, float]:
    """Give the shift and scale of rows that are no table."""
    if not abs(mean) <= MAX_SHIFT or deviation > MAX_SCALE:
        raise DataError(f"cells are too large (mean {mean:g}, sd {deviation:g}).", where=where, fix="Rescale them.")
    return mean, deviation if deviation >= MIN_SCALE else 1.0


def with_classes(schema: Schema, classes: tuple[str, ...] | None) -> Schema:
    """Give a schema the names of its classes."""
    return schema if classes is None else replace(schema, classes=classes)
