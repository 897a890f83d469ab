"""What columns of a mixed table may be where others are fixed: the page's questions, and the model's answers."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

import equinox as eqx
import jax
import msgspec
import numpy as np
from jaxtyping import Shaped
from msgspec import Meta, Struct

from latens.data.schema import Schema
from latens.errors import DataError, visible
from latens.evidence.estimate import finite
from latens.explorer.guard import Refused
from latens.explorer.page_columns import grid
from latens.kinds.tables.columns import ColumnType
from latens.models import AbstractLatentModel
from latens.predictive.conditional_samples import Conditions, GivenShares, conditions_of, shares_given
from latens.predictive.forecasting import QUANTILES
from latens.runtime.atomic import plain, to_json
from latens.trained.cell_scores import quantile
from latens.trained.trained_model import TrainedModel

MOST_COLUMNS = 256
"""Columns of a table that the page asks about, the first ones."""
MOST_QUESTION = 64 * 1024
"""Bytes of a question."""
BINS = 24
"""Bars of a number's histogram, at the most."""
OUTER = 0.01
"""Share of the training rows in the first bar, and in the last one, where a number has more cells than bars."""

_PLAIN = re.compile(r"-?\d+(\.\d+)?\Z")
"""A number as questions write it."""

Answer = Callable[[bytes], bytes]
"""What POST `given` computes: JSON of JSON; a question that is none is `Refused`."""

_Place = Annotated[int, Meta(ge=0, lt=MOST_COLUMNS)]
_Value = Annotated[int, Meta(ge=0)] | Annotated[str, Meta(max_length=60)]


class Question(Struct, forbid_unknown_fields=True):
    """What is fixed: places of columns, each with the code of a name, or with a number or date as text."""

    given: Annotated[list[tuple[_Place, _Value]], Meta(max_length=MOST_COLUMNS)]  # pairs of a place and a value
    # the stored cells of a row, null where one is missing, some of which `given` changes; None: of no row
    row: Annotated[list[Annotated[float, Meta(ge=0)] | None], Meta(max_length=65536)] | None = None


def whatif_columns(trained: TrainedModel) -> list[dict[str, Any]] | None:
    """Describe the columns that can be fixed, and what they are when nothing is."""
    schema: Schema = trained.schema
    types = schema.column_types
    if not types or trained.preparation.classes or trained.classes or trained.is_point:
        return None
    if not _has_density(trained.model, len(types)):
        return None
    pairs = list(zip(schema.columns or (), types))[:MOST_COLUMNS]
    return [{"name": column.name, "kind": one.kind, **_described(one)} for column, one in pairs]


def _has_density(model: AbstractLatentModel, columns: int) -> bool:
    """Whether q(z | x) has a density everywhere, as weights of draws of the prior need."""
    row, mask = np.zeros(columns, np.float32), np.zeros(columns, bool)
    posterior = eqx.filter_eval_shape(lambda x, m: model.posterior(x, cond=None, mask=m), row, mask)
    return bool(getattr(posterior, "density_elsewhere", False))


def _described(one: ColumnType) -> dict[str, Any]:
    if one.named:
        return {"levels": list(one.values), "training": _by_name(np.asarray(one.shares), one)}
    edges = edges_of(one)
    found = {**grid(one), "input": _input(one), "choices": texts_of(one, cells_of_choices(one))}
    found["edges"] = texts_of(one, edges[:-1])
    found["training"] = masses(np.asarray(one.shares), one, edges).tolist()
    return found


def _input(one: ColumnType) -> str:
    """The kind of box in which a column's value is typed."""
    if one.kind == "date" and not one.form and one.dtype != "Time":
        return "date" if one.days else "datetime-local"
    return "number" if one.kind == "number" else "text"


def cells_of_choices(one: ColumnType) -> Shaped[np.ndarray, " n"]:
    """The cells of a number that its slider goes through: the ends and the percentiles of the training rows."""
    shares = np.asarray(one.shares)[None]
    return np.unique([0.0, *(float(quantile(shares, one, k / 100)[0]) for k in range(1, 100)), one.size - 1.0])


def _by_name(shares: np.ndarray, one: ColumnType) -> list[float]:
    """The probability of each name; those of a segment are alike."""
    return np.repeat(shares / np.asarray(one.widths), one.widths).tolist()


def texts_of(one: ColumnType, cells: Shaped[np.ndarray, " n"]) -> list[str]:
    """Write cells of a number or a date; dates in ISO 8601, times of the zone's own clocks."""
    values = one.texts(np.asarray(cells, np.float64))
    if one.kind != "date" or one.form or one.dtype == "Time":
        return values
    return [value[:10] if one.days else value[:19].replace(" ", "T") for value in values]


def edges_of(one: ColumnType) -> np.ndarray:
    """Cut the grid of a number into the bars of a histogram: a cell each, or all of one width."""
    if one.size <= BINS:
        return np.arange(one.size + 1.0)
    shares = np.asarray(one.shares)[None]
    low, high = (float(quantile(shares, one, q)[0]) for q in (OUTER, 1.0 - OUTER))
    return np.unique([0.0, *np.round(np.linspace(low, high + 1.0, BINS - 1)), float(one.size)])


def masses(shares: Shaped[np.ndarray, " segments"], one: ColumnType, edges: np.ndarray) -> Shaped[np.ndarray, " bars"]:
    """The probability of each bar, where all cells of a segment are alike."""
    return np.diff(np.interp(edges, [*one.starts, one.size], [0.0, *np.cumsum(shares)]))


def answers(trained: TrainedModel) -> Answer | None:
    """Make what POST `given` computes for a model: every free column's distribution given those that are fixed."""
    # Of a row with cells changed the other columns are those of another such row, beside `was`, without the change;
    # `moved` is the total variation between both, and `own` the cell of the row.
    # The answer holds `effective` of `draws` draws of z (as `latens sample --where` prints them), `probability` of what
    # is fixed, and `columns`: of each free one its place and `shares` of its names or bars; of a number or date also
    # `mean` (of a date as text) and `quantiles`, as text.
    if whatif_columns(trained) is None:
        return None
    schema: Schema = trained.schema

    def answer(raw: bytes) -> bytes:
        asked = _question(raw)
        changed = _conditions(asked.given, schema)
        fixed = ~np.isinf(changed.low)
        before = None if asked.row is None else _of_row(asked.row, schema)
        conditions = changed if before is None else _over(before, changed)
        found = _shares(trained, conditions)
        was = found if before is None or not fixed.any() else _shares(trained, before)
        columns = []
        for i, (one, shares) in enumerate(zip(schema.column_types[:MOST_COLUMNS], found.columns)):
            if fixed[i]:
                continue
            told = {"column": i, **_distribution(shares, one)}
            if before is not None:
                own = float(before.low[i])
                apart = 0.5 * float(np.abs(shares / shares.sum() - was.columns[i] / was.columns[i].sum()).sum())
                told |= {"was": _distribution(was.columns[i], one), "moved": apart}
                told |= {"own": texts_of(one, np.array([own]))[0] if np.isfinite(own) else ""}
            columns.append(told)
        told = {"effective": found.effective, "draws": found.draws, "columns": columns}
        return to_json(plain({**told, "probability": float(np.exp(found.log_probability))}))

    return answer


def _shares(trained: TrainedModel, conditions: Conditions) -> GivenShares:
    """What each column may be under conditions; the same draws of z for every question."""
    return shares_given(trained.model, conditions, trained.schema.column_types, key=jax.random.key(0))


def _of_row(row: list[float | None], schema: Schema) -> Conditions:
    """The conditions that every cell of a row is as it is."""
    types = schema.column_types
    if len(row) != len(types) or any(cell is not None and cell >= one.num_values for cell, one in zip(row, types)):
        raise Refused(HTTPStatus.BAD_REQUEST, f"a row has {len(types)} stored cells")
    cells = [(-np.inf, np.inf) if cell is None else (float(round(cell)),) * 2 for cell in row]
    low, high = np.array(cells, np.float64).T
    return Conditions(low, high)


def _over(row: Conditions, changed: Conditions) -> Conditions:
    """The conditions of a row with some cells changed."""
    fixed = ~np.isinf(changed.low)
    return Conditions(np.where(fixed, changed.low, row.low), np.where(fixed, changed.high, row.high))


def _question(raw: bytes) -> Question:
    """What was asked; what a question says does not come back in words."""
    try:
        return msgspec.json.decode(raw, type=Question)
    except msgspec.DecodeError:
        raise Refused(HTTPStatus.BAD_REQUEST, 'a question is JSON such as {"given": [[0, 2], [3, "1.5"]]}') from None


def _conditions(given: list[tuple[int, int | str]], schema: Schema) -> Conditions:
    """The conditions that a question asks for."""
    names, types = schema.names, schema.column_types
    asked: dict[str, Any] = {}
    for place, value in given:
        if place >= len(types):
            raise Refused(HTTPStatus.BAD_REQUEST, f"columns are numbered from 0 to {len(types) - 1}")
        name, one = names[place], types[place]
        if name in asked:
            raise Refused(HTTPStatus.BAD_REQUEST, f"column {visible(name)!r} is fixed twice")
        try:
            asked[name] = _named(one, value)
            conditions_of({name: asked[name]}, schema)
        except DataError:
            words = f"column {visible(name)!r} has no such value; it has {_span(one)}"
            raise Refused(HTTPStatus.BAD_REQUEST, words) from None
    return conditions_of(asked, schema)


def _named(one: ColumnType, value: int | str) -> str | float:
    """The name with a code, or the text of a number or a date as it came."""
    if isinstance(value, int) != one.named or (isinstance(value, int) and value >= one.num_values):
        raise DataError("no such value.")
    if isinstance(value, int):
        return one.values[value]
    return value


def _span(one: ColumnType) -> str:
    """What a column may be fixed to, in words."""
    if one.named:
        return f"the names 0 to {one.num_values - 1}"
    steps = "days" if one.days else f"steps of {one.step:g}{'' if one.kind == 'number' else ' seconds'}"
    return f"{' to '.join(texts_of(one, np.array([0, one.size - 1])))} in {steps}"


def _distribution(shares: np.ndarray, one: ColumnType) -> dict[str, Any]:
    """What the page shows of a column."""
    finite(shares, "probabilities of a column")
    if one.named:
        return {"shares": _by_name(shares, one)}
    cells = np.array([quantile(shares[None], one, q)[0] for q in QUANTILES])
    mean = float(shares @ (np.asarray(one.firsts) + 0.5 * (np.asarray(one.widths) - 1)) / shares.sum())
    shown: Any = float(one.value(np.array(mean))) if one.kind == "number" else texts_of(one, np.array([mean]))[0]
    bars = masses(shares, one, edges_of(one)).tolist()
    return {"shares": bars, "mean": shown, "quantiles": texts_of(one, cells)}
