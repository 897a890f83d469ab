"""What a frame brings beside its rows: labels, weights, conditions by the names of columns; long tables, AnnData."""

from collections.abc import Mapping, Sequence
from dataclasses import replace as replaced
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from msgspec import structs
from numpy.typing import ArrayLike

from latens.data import TRAIN, VALIDATION, Dataset, Schema, load
from latens.data.conditions import GIVEN, arrays_of, learned, plain_name, vectors
from latens.data.row_fields import LackingColumn
from latens.errors import DataError, UsageError, nearest
from latens.kinds import Kind
from latens.kinds.counts.anndata import is_annotated
from latens.kinds.steps.long_tables import lines_of
from latens.kinds.steps.sequences import nearest_the_centre
from latens.kinds.tables.frame import Frame, as_rows, is_frame, is_pandas
from latens.trained.inputs import RowsLike

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
    return replaced(data, schema=structs.replace(data.schema, conditions=known), cond=cond)


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
            data = load(replaced(X, **beside), name="X", schema=schema)
        except LackingColumn:  # which new rows may lack
            if schema is None:
                raise
            data = load(replaced(X, **{"label": None, "weight": None, **beside}), name="X", schema=schema)
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
    return replaced(data, split=np.where((data.split == VALIDATION) & bool(keeps), VALIDATION, TRAIN).astype(np.uint8))


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
