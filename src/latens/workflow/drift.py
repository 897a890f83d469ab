"""Whether new rows have drifted from those that a model was trained on: column by column, and altogether."""

from typing import NamedTuple

import jax
import numpy as np
from msgspec import structs

from latens.config import VAEConfig
from latens.data import Dataset
from latens.data.dataset import rows_at
from latens.errors import ConfigError
from latens.evaluation.samples.moved import Cells, Move, moved
from latens.io.waiting import doing
from latens.workflow.detect import surprises
from latens.workflow.sample_sets import some
from latens.workflow.trained import TrainedModel

MOST_ROWS, MOST_SURPRISES, MOST_COLUMNS = 10_000, 2000, 1000
"""Rows of either side that are compared, and those whose surprise is found (more are drawn at random); columns."""


class Drifted(NamedTuple):
    """What has moved."""

    columns: list[Move]  # those that moved most first
    altogether: Move | None  # the same of how surprising rows are, $-\\log p(x)$ in nats; None where nobody can say
    medians: tuple[float, float]  # the median surprise of usual and of new rows
    words: dict[str, str]  # of each column where it shows most
    rows: tuple[int, int]  # how many usual and new rows were compared
    left_out: tuple[str, ...]  # what was not compared, and why


def drifted(
    trained: TrainedModel,
    usual: Dataset,
    new: Dataset,
    held_out: np.ndarray,
    *,
    num_samples: int = 100,
    seed: int = 0,
) -> Drifted:
    """Compare new rows with usual ones column by column, and how surprising they are with the rows at `held_out`."""
    left_out: list[str] = []
    sides = [rows_at(one, some(np.arange(len(one)), MOST_ROWS, seed)) for one in (usual, new)]
    unseen = _unseen(new, some(np.arange(len(new)), MOST_ROWS, seed))
    cells = _cells_of(sides[0], sides[1], unseen, left_out)
    altogether, medians = None, (float("nan"), float("nan"))
    if not isinstance(trained.config, VAEConfig) or trained.is_point:
        left_out.append("rows altogether: only a model with log p(x) says how likely they are")
    elif not len(held_out):
        left_out.append("rows altogether: the run held none out, and training rows look likelier than new ones")
    else:
        doing("how likely the rows are")
        kept = [some(held_out, MOST_SURPRISES, seed), some(np.arange(len(new)), MOST_SURPRISES, seed)]
        options = {"others": len(kept[0]), "num_samples": num_samples, "key": jax.random.key(seed)}
        pairs = zip((usual, new), kept)
        found = [surprises(trained, data, rows, **options) for data, rows in pairs]
        altogether = moved([Cells("the rows", found[0], found[1])], seed=seed)[0]
        medians = float(np.median(found[0])), float(np.median(found[1]))
    if not cells and altogether is None:
        what = f"nothing can be compared: {'; '.join(left_out)}."
        raise ConfigError(what, where="RUN", fix="Give a model of a table, or one with log p(x).")
    doing("comparing columns")
    moves = moved(cells, seed=seed) if cells else []
    words = {one.name: _words(one, usual, new) for one in moves}
    return Drifted(moves, altogether, medians, words, (len(sides[0]), len(sides[1])), tuple(left_out))


def _cells_of(usual: Dataset, new: Dataset, unseen: dict[tuple[int, int], float], left_out: list[str]) -> list[Cells]:
    """The columns of both sides in the same codes; none of rows that have no columns."""
    schema, cells = usual.schema, []
    if len(schema.shape) != 1 or schema.tokens is not None:
        left_out.append("columns: these rows are no table")
    elif schema.shape[0] > MOST_COLUMNS:
        left_out.append(f"columns: {schema.shape[0]:,} are more than {MOST_COLUMNS:,}")
    else:
        types = schema.types or (None,) * schema.shape[0]
        values = [_values(usual, {}), _values(new, unseen)]
        for j, name in enumerate(_names(usual)):
            kind = types[j]
            names = kind is not None and kind.kind == "category"
            cells.append(Cells(name, values[0][:, j], values[1][:, j], names))
    if usual.label is not None and new.label is not None and schema.classes:
        sides = [np.where(label < 0, np.nan, label) for label in (usual.label, new.label)]
        cells.append(Cells(usual.label_name, sides[0], sides[1], names=True))
    if schema.conditions:
        left_out.append(f"conditions: {', '.join(one.name for one in schema.conditions[:3])}")
    return cells


def _names(data: Dataset) -> list[str]:
    if data.schema.columns is not None:
        return [column.name for column in data.schema.columns]
    return [f"x{j}" for j in range(data.schema.shape[0])]


def _values(data: Dataset, unseen: dict[tuple[int, int], float]) -> np.ndarray:
    """Stored cells, NaN where empty; those beyond the training rows where they lie, new names behind the known."""
    x = np.asarray(data.x[np.arange(len(data))], np.float64)
    shown = np.ones(x.shape, bool) if data.mask is None else np.asarray(data.mask)
    outside = np.zeros(x.shape) if data.outside is None else np.asarray(data.outside, np.float64)
    x = np.where(shown | (outside != 0), x + outside, np.nan)
    for (row, column), code in unseen.items():
        x[row, column] = code
    return x


def _unseen(new: Dataset, kept: np.ndarray) -> dict[tuple[int, int], float]:
    """A code of its own, behind those of the training rows, for each name that no training row had."""
    place = {int(row): i for i, row in enumerate(kept)}
    codes = _new_names(new)
    return {(place[row], j): codes[j, name] for row, j, name in new.unseen if row in place}


def _new_names(new: Dataset) -> dict[tuple[int, str], float]:
    types, codes = new.schema.types or (), {}
    for j, name in sorted({(j, name) for _, j, name in new.unseen}):
        codes[j, name] = float(len(types[j].values) + sum(1 for other, _ in codes if other == j))
    return codes


def _words(one: Move, usual: Dataset, new: Dataset) -> str:
    """Say where the move of a column shows most."""
    if not one.distance:
        return ""
    shares = f"{100 * one.new:.0f} % of new rows, {100 * one.usual:.0f} % of usual ones"
    if np.isnan(one.value):
        return f"empty in {shares}"
    names, schema = _names(usual) if len(usual.schema.shape) == 1 else [], usual.schema
    if one.name not in names:
        return f"{(schema.classes or ())[int(one.value)]!r} in {shares}"
    j = names.index(one.name)
    if schema.types is None:
        return f"above {one.value:.4g} in {shares}"
    kind = schema.types[j]
    if kind.kind == "category":
        fresh = {code: name for (column, name), code in _new_names(new).items() if column == j}
        name = fresh.get(one.value)
        return f"{name!r}, a new name, in {shares}" if name else f"{kind.values[int(one.value)]!r} in {shares}"
    if kind.named:
        return f"above {kind.values[int(one.value)]!r} in {shares}"
    cell = float(np.clip(one.value, 0, kind.cells - 1))
    shifted = structs.replace(kind, low=kind.low + (one.value - cell) * kind.step)
    return f"above {shifted.texts(np.array([cell]))[0]} in {shares}"
