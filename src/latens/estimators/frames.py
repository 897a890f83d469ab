"""Arrays, frames and long tables as rows of a model, and back with their dtypes.

A frame may bring labels, weights and conditions by the names of columns.
"""

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped
from msgspec import structs
from numpy.typing import ArrayLike

from latens.data import load
from latens.data.checks import lost_digits
from latens.data.conditions import GIVEN, arrays_of, learned, plain_name, vectors
from latens.data.dataset import Dataset, hash_rows
from latens.data.infer import cell_name, conform, fill, infer_schema, store
from latens.data.loading import IncomingRows
from latens.data.row_fields import TRAIN, VALIDATION, LackingColumn, row_keys
from latens.data.schema import Schema
from latens.errors import DataError, UsageError, nearest
from latens.kinds import Guessed, Kind, kind_of, kind_of_rows
from latens.kinds.counts.anndata import is_annotated
from latens.kinds.steps.long_tables import lines_of
from latens.kinds.steps.sequences import nearest_the_centre
from latens.kinds.tables.derived import hidden_in
from latens.kinds.tables.frame import Frame, as_rows, is_frame, is_pandas, like, to_pandas, with_cells
from latens.kinds.tables.table_schema import as_frame, in_units
from latens.trained.inputs import RowsLike


def coming(X: RowsLike, schema: Schema | None, unknown: str, **said: Any) -> IncomingRows:
    """Read rows of text, or of a frame, as `latens.read` does."""
    rows = IncomingRows(Guessed(X, **said), schema, unknown, False, {}, "X")
    rows.plan()
    rows.read()
    rows.raw.names = None  # an index is no id of a row
    return rows


def dataset_of(rows: IncomingRows, validation_fraction: float) -> Dataset:
    """Turn rows that were read into a data set, of which a share validates."""
    rows.identify()
    rows.split = split_of_few(rows.n, validation_fraction)
    made = rows.dataset(kind_of_rows(rows).store(rows))
    if made.kept is not None:
        warnings.warn(made.notes[-1], UserWarning, stacklevel=4)
    return replace(made, row_id=hash_rows(made.x))


def as_named(X: Any, names: Sequence[str] | None) -> pl.DataFrame:
    """An array of numbers as a frame."""
    names = names or [f"x{i}" for i in range(X.shape[1])]
    return pl.DataFrame({name: X[:, i] for i, name in enumerate(names)}, nan_to_null=True)


def with_filled(
    X: Any, data: Dataset, filled: Shaped[np.ndarray, "n columns"], gone: Shaped[np.ndarray, "n columns"]
) -> Any:
    """Fill in the gaps of a frame that are to be filled, whose other cells and dtypes stay."""
    made = as_frame(filled, data.schema, data.outside)
    return _with_gaps(X, made, hidden_in(X, made.columns, data.schema, gone))


def _with_gaps(X: Any, made: pl.DataFrame, gone: Shaped[np.ndarray, "n columns"]) -> Any:
    """Put cells into the gaps of a frame, whose dtypes stay."""
    if not is_pandas(X):
        return with_cells(X, made, gone)
    table: Any = X.copy()
    titles = {str(name): name for name in table.columns}
    for name, hidden in zip(made.columns, gone.T):
        if not hidden.any():
            continue
        column = table[titles[name]]
        own = None if not column.notna().any() else column.dtype  # a column without a cell says nothing
        values = to_pandas(made[name].filter(pl.Series(hidden)), own)
        if own is None:
            column = column.astype(values.dtype if values.dtype.kind in "fmM" else object)
        column = column.copy()
        column.iloc[np.flatnonzero(hidden)] = values.array
        table[titles[name]] = column
    return table


def array_with_filled(
    X: RowsLike, names: Sequence[str] | None, data: Dataset, filled: Shaped[np.ndarray, "n columns"], gone: np.ndarray
) -> Shaped[np.ndarray, "n columns"]:
    """Fill in the gaps of an array whose columns have types."""
    made, types = np.array(X, np.float64), data.schema.column_types
    names = names or [f"x{i}" for i in range(made.shape[1])]
    values = in_units(filled, types)
    for j, (name, one) in enumerate(zip(data.schema.names, types)):
        named = one.series(filled[gone[:, j], j]).cast(pl.Float64, strict=False).to_numpy() if one.named else None
        made[gone[:, j], list(names).index(name)] = values[gone[:, j], j] if named is None else named
    return made


def with_numbers(X: Any, filled: Shaped[np.ndarray, "n columns"]) -> Any:
    """Fill in the gaps of a frame of numbers, whose index and other columns stay."""
    if not is_pandas(X):
        X = X.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    made, gone = {}, X.isna().to_numpy() if is_pandas(X) else X.select(pl.all().is_null()).to_numpy()
    for name, kind, cells in zip(X.columns, X.dtypes, filled.T):
        whole = re.match(r"u?int\d+", str(kind).lower())  # a nullable one, that of Arrow, or that of Polars
        ends = np.iinfo(whole[0]) if whole else None
        made[str(name)] = cells if ends is None else np.clip(np.rint(cells), ends.min, ends.max)
    return _with_gaps(X, pl.DataFrame(made), gone)


def ends_like(X: RowsLike, data: Dataset, ends: Shaped[np.ndarray, "n columns"]) -> Any:
    """Ends of intervals, NaN for none, as a frame with the index of another one."""
    types = data.schema.column_types
    numbers = [name for name, one in zip(data.schema.names, types) if one.named or one.kind == "number"]
    named = [name for name, one in zip(data.schema.names, types) if one.named]
    found = kind_of(data.schema).frame(ends, data.schema, data.outside)
    found = pl.DataFrame(np.ascontiguousarray(ends), schema=list(data.schema.names)) if found is None else found
    made = found.select(data.schema.names)
    made = made.with_columns(pl.lit(None).alias(name) for name in named)
    made = made.with_columns(pl.col(name).cast(pl.Float64) for name in numbers)
    if not is_pandas(X):
        return made
    frame = like(made, X.iloc[:0, :0])
    frame.index = X.index
    return frame


def as_fitted(x: Shaped[np.ndarray, " n *x"], schema: Schema, template: Frame | None) -> Any:
    """Write stored rows as strings, or as a frame with the dtypes and names of the one that a model was fitted to."""
    for texts in kind_of(schema).texts(schema, x).values():
        return texts.tolist()
    made = kind_of(schema).frame(x, schema)
    return x if made is None else made if template is None else like(made, template)


LEAST_ROWS_TO_VALIDATE = 50
"""With fewer rows than this all of them train."""


def split_of_few(n: int, validation_fraction: float) -> Shaped[np.ndarray, " n"]:
    """Choose by a hash of their positions the rows that validate; of few rows all train."""
    picked = row_keys(np.arange(n)).astype(np.float64) / 2**32
    fraction = validation_fraction if n >= LEAST_ROWS_TO_VALIDATE else 0.0
    return np.where(picked < fraction, VALIDATION, TRAIN).astype(np.uint8)


def as_dataset(
    x: Shaped[np.ndarray, "n D"],
    shape: Sequence[int] | None,
    *,
    kinds: Collection[str] = (),
    names: Sequence[str] | None = None,
    validation_fraction: float | None = None,
    schema: Schema | None = None,
) -> Dataset:
    """Turn the rows of a table into a data set whose kind of feature suits the likelihood."""
    # validation_fraction: share of the rows that validates, chosen by a hash of their position. With fewer than 50
    # rows, or with None or 0, all rows train.
    n, split = len(x), split_of_few(len(x), validation_fraction or 0.0)
    rows = x if shape is None else x.reshape(n, *shape)
    observed = observed_cells(rows)
    seen = x if observed is None else x[observed.reshape(x.shape)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    whole = x.dtype.kind in "biu" or bool(np.all(seen == np.floor(seen)))
    if kinds and set(kinds) <= {"binary", "levels"} and whole and observed is None and low >= 0 and high <= 255:
        rows = rows.astype(np.uint8)
    if schema is None:
        titles = None if shape else names
        schema = infer_schema(rows, split == TRAIN, titles, observed=observed, where="X")
        if schema.kind not in kinds and "unit" in kinds and low >= 0 and high <= 1:
            schema = Schema(schema.shape, "unit")
        elif schema.kind not in kinds and "counts" in kinds and shape is None and whole and low >= 0:
            schema = infer_schema(rows, split == TRAIN, titles, observed=observed, where="X", counts=True)
        empty = [] if observed is None or shape else np.flatnonzero(~observed[split == TRAIN].any(axis=0)).tolist()
        hollow = "has no observed value to train on: what is filled in there means nothing. Leave it out."
        for sentence in (*lost_digits(schema), *(f"X, {cell_name((j,), schema.columns)} {hollow}" for j in empty)):
            warnings.warn(sentence, UserWarning, stacklevel=4)
    else:
        conform(rows, None, schema, observed, where="X")
    stored = store(fill(rows, observed, split == TRAIN, schema), schema, "X")
    return Dataset(stored, schema, hash_rows(stored), np.arange(n), split, "X", mask=observed)


def observed_cells(x: np.ndarray) -> np.ndarray | None:
    """Find the values that are observed."""
    missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(0, bool)
    return ~missing if missing.any() else None


ROLES = ("label", "weight", "layer")
"""What later rows bring too."""
_OF_FRAMES = {"label", "weight", "condition", "columns", "typed", "derive"}


class Named(NamedTuple):
    """Columns of a frame that are not modelled, by name, what its columns are, and the layer of AnnData."""

    label: str | None = None
    weight: str | None = None
    layer: str | None = None
    conditions: tuple[str, ...] = ()
    columns: Mapping[str, Any] | None = None
    derive: Sequence[str] | Mapping[str, str] | None = None


def roles_of(X: RowsLike) -> tuple[Any, Named]:
    """The frame of a kind of rows, and the roles of its columns; other rows as they are."""
    if not isinstance(X, Kind):
        return as_rows(X), Named()
    said = {**X.implies, **X.said()}
    named = Named()._replace(**{role: one for role in ROLES if isinstance(one := said.get(role), str)})
    frame = as_rows(X.source)
    unnamed = any(said.get(role) is not getattr(named, role) for role in ROLES)  # an array may stand for a column
    if not is_frame(frame) or said.keys() - _OF_FRAMES or unnamed:
        return X, named
    told, columns = said.get("condition", ()), said.get("columns", {} if said.get("typed") else None)
    conditions = (told,) if isinstance(told, str) else tuple(told)
    return frame, named._replace(conditions=conditions, columns=columns, derive=said.get("derive"))


def without(X: RowsLike, names: Sequence[str]) -> Any:
    """A frame without some columns."""
    if not names or not is_frame(X):
        return X
    return X.drop(columns=[one for one in X.columns if str(one) in names]) if is_pandas(X) else X.drop(names)


def column(X: RowsLike, name: str, what: str) -> np.ndarray:
    """A column of a frame by its name."""
    if not is_frame(X):
        fix = (
            f"Give a pandas or polars frame, or the values themselves: {'y' if what == 'label' else 'sample_weight'}=."
        )
        raise UsageError(f"{name!r} names a column, and X has no names.", where=what, fix=fix)
    titles = {str(one): one for one in X.columns}
    if name not in titles:
        raise DataError(f"has no column {name!r}.", where=f"X, {what}", fix=nearest(name, titles))
    return np.asarray(X[titles[name]])


def apart(X: RowsLike, y: ArrayLike | None, weight: ArrayLike | None, named: Named) -> tuple[Any, Any, Any]:
    """Take label and weight out of a frame where they are columns of it."""
    for what, name, given in (("label", named.label, y), ("weight", named.weight, weight)):
        if name is not None and given is not None:
            other = "y" if what == "label" else "sample_weight"
            raise UsageError(f"is given twice, as {name!r} and as {other}.", where=what, fix=f"Leave {other} out.")
    y = y if named.label is None else column(X, named.label, "label")
    weight = weight if named.weight is None else column(X, named.weight, "weight")
    return without(X, [name for name in (named.label, named.weight) if name is not None]), y, weight


def known_apart(X: RowsLike, y: ArrayLike | None, named: Named, schema: Schema) -> tuple[Any, Any, dict[str, Any]]:
    """The rows of a frame without the label and weight that it may bring, the label, and the cells of conditions."""
    names = [one.name for one in schema.conditions or ()]
    if not is_frame(X):
        if names:
            what = f"the model reads the conditions {', '.join(names)}."
            raise DataError(what, where="X", fix="Give a frame with these columns.")
        return X, y, {}
    present = set(map(str, X.columns))
    if named.label in present and y is None:
        y = column(X, str(named.label), "label")
    own = {name for name in (named.label, named.weight) if name in present}
    lacking = [name for name in names if name not in present]
    if lacking:
        what = f"lacks the column {lacking[0]!r}, a condition that the model reads."
        raise DataError(what, where="X", fix=nearest(lacking[0], present))
    cells = {name: column(X, name, "conditions") for name in names}
    known = set(schema.names)
    return without(X, sorted((own | set(names)) - known)), y, cells


def put_back(X: RowsLike, made: Frame) -> Any:
    """A frame with all of its columns, of which some have other cells now."""
    if not is_frame(X) or len(X.columns) == len(made.columns):
        return made
    return X.assign(**{name: made[name] for name in made.columns}) if is_pandas(X) else X.with_columns(made)


def conditioned(data: Dataset, cells: Mapping[str, Any], fresh: bool) -> Dataset:
    """A data set with conditions, which are learned of its training rows or those of its schema."""
    if not cells:
        return data
    found = arrays_of(cells, len(data), "X")
    known = learned(found, data.split == TRAIN, "X") if fresh else data.schema.conditions or ()
    cond = {**(data.cond or {}), GIVEN: vectors(known, found, "X")}
    return replace(data, schema=structs.replace(data.schema, conditions=known), cond=cond)


def condition_cells(X: RowsLike, asked: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Take the conditions that are asked for out of a frame."""
    cells = {one: column(X, plain_name(one), "conditions") for one in asked}
    return without(X, [plain_name(one) for one in asked]), cells


# --- long tables and cells ---


def is_long(X: RowsLike, schema: Schema | None) -> bool:
    """Whether `load` reads the rows: sequences, cells of AnnData, or rows whose kind says more than a frame has."""
    of_steps = schema is not None and schema.sequences is not None
    return of_steps or isinstance(X, Kind) or is_annotated(X) or lines_of(X, "X") is not None


def long_dataset(
    X: Any, y: ArrayLike | None, weight: ArrayLike | None, named: Named, *, schema: Schema | None,
    validation_fraction: float = 0.0,
) -> Dataset:  # fmt: skip
    """The rows of a long table, arrays of unlike length, or AnnData as a data set."""
    # Some validate where a share of rows is to do so; a model's own training cuts windows by time.
    if isinstance(X, Kind):
        beside = {name: one for name, one in (("label", y), ("weight", weight)) if one is not None}
        try:
            data = load(replace(X, **beside), name="X", schema=schema)
        except LackingColumn:  # which new rows may lack
            if schema is None:
                raise
            data = load(replace(X, **{"label": None, "weight": None, **beside}), name="X", schema=schema)
        return _trained(data, validation_fraction)
    given: dict[str, Any] = {
        "label": named.label if y is None else y,
        "weight": named.weight if weight is None else weight,
    }
    beside: Any = X.obs if is_annotated(X) else X
    if schema is not None and is_frame(beside):
        present = set(map(str, beside.columns))
        given = {role: None if isinstance(name, str) and name not in present else name for role, name in given.items()}
    there = schema is None or not is_annotated(X) or named.layer in X.layers  # other cells may have counts as X
    given |= {"layer": named.layer} if named.layer is not None and there else {}
    return _trained(load(X, name="X", schema=schema, **given), validation_fraction)


def _trained(data: Dataset, validation_fraction: float) -> Dataset:
    """Rows of which some validate where a share of them is to do so, and all others train."""
    keeps = validation_fraction and (data.split == VALIDATION).any()
    return replace(data, split=np.where((data.split == VALIDATION) & bool(keeps), VALIDATION, TRAIN).astype(np.uint8))


def with_filled_steps(X: Any, data: Dataset, filled: Float[np.ndarray, "n steps d"]) -> Any:
    """Rows as they came, with these values in the gaps of their steps; steps without a line are left out."""
    places, schema = data.places, data.schema.steps
    assert places is not None
    hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~data.mask
    chosen = nearest_the_centre(places) & (places.line >= 0)
    line, gone, values = places.line[chosen], hidden[chosen], filled[chosen]
    if is_frame(X):
        made, titles = X, {str(name): name for name in X.columns}
        for j, one in enumerate(schema.columns):
            if gone[:, j].any():
                cells = np.array(made[titles[one.name]].to_numpy(), np.float64)
                cells[line[gone[:, j]]] = values[gone[:, j], j]
                named = {titles[one.name]: cells}
                made = made.assign(**named) if is_pandas(made) else made.with_columns(pl.Series(one.name, cells))
        return made
    if isinstance(X, np.ndarray) and X.ndim == 3:
        made = np.array(X, np.float64)
        row, at = np.nonzero(places.line >= 0)  # rows of an array are not windows
        made[row, at] = np.where(hidden[row, at], filled[row, at], made[row, at])
        return made
    parts = list(X.values()) if isinstance(X, Mapping) else list(X)
    table = np.concatenate([np.array(part, np.float64) for part in parts])
    table[line] = np.where(gone, values, table[line])
    split = np.split(table, np.cumsum([len(part) for part in parts])[:-1])
    return dict(zip(X, split)) if isinstance(X, Mapping) else split
