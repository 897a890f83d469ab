"""What may not change a number: units of columns, order of rows and columns, weights for repeated rows, the seed.

The model is transformed exactly beside the data (its input weights and outputs reordered, its units changed), so every
number must come out again up to rounding. Where one does not, `WHY_NOT` says why, and how near it must stay.
"""

import dataclasses
import math
from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
import pytest
from msgspec import structs

from latens.config import override
from latens.data import Dataset, load
from latens.evidence import Estimate
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from latens.trained.metric_functions import measure_all
from latens.trained.sample_sets import principal_features
from latens.trained.trained_model import TrainedModel

ROWS, COLUMNS = 170, 4
SCALE = np.array([1.0, 1e3, 1e-3, 1.0])
SHIFT = np.array([0.0, 0.0, 0.0, 5.0])
DENSITIES = ("log_marginal", "elbo", "log_likelihood")
"""Densities of rows with columns in other units: these are lower by the logarithm of the units' product."""

DRAWS = (
    *("recall", "density", "coverage", "precision", "frechet_distance"),
    *("two_sample_accuracy", "two_sample_p_value"),
)

WHY_NOT: dict[str, dict[tuple[str, ...], str]] = {
    "units": {},
    "rows": {DRAWS: "neighbours and halves are drawn by the places of rows"},
    "columns": {DRAWS: "every column of a sample has noise of its own, drawn by its place"},
    "weights": {},
}
LEFT_OUT_OF_WEIGHTS = (*DRAWS, "precision_of_rows", "gain_over_gaussian")
"""With weights these are not measured."""


class Subject(NamedTuple):
    trained: TrainedModel
    data: Dataset


@cache
def subject() -> Subject:
    """A small model of two correlated groups of rows, with labels."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, ROWS)
    z = rng.normal(size=(ROWS, 2)) + 2.0 * label[:, None]
    x = z @ rng.normal(size=(2, COLUMNS)) + 0.3 * rng.normal(size=(ROWS, COLUMNS))
    small = {"network.hidden": [8], "posterior.latent_dim": 2, "training.steps": 60}
    experiment = prepare(override(get_recipe("default").config, small), load(x, label=label))
    return Subject(train(experiment)[0], experiment.data)


def known(trained: TrainedModel, data: Dataset) -> Subject:
    """The model, as one that was trained on these data."""
    return Subject(dataclasses.replace(trained, schema=data.schema).with_facts(fingerprint=data.fingerprint), data)


def moved(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """The rows at these positions, with all that belongs to them."""
    fields = ("x", "row_id", "names", "split", "label", "weight", "mask")
    led = {name: value[rows] for name in fields if (value := getattr(dataset, name)) is not None}
    return dataclasses.replace(dataset, **led)


def in_other_units() -> Subject:
    trained, data = subject()
    assert data.schema.columns is not None
    columns = tuple(
        structs.replace(c, shift=c.shift * a + b, scale=c.scale * a)
        for c, a, b in zip(data.schema.columns, SCALE, SHIFT)
    )
    schema = structs.replace(data.schema, columns=columns)
    where = lambda m: (m.encoder.standardise, m.decoder.head)  # noqa: E731
    units = [np.array([getattr(c, name) for c in columns], np.float32) for name in ("shift", "scale")]
    parts = [eqx.tree_at(lambda p: (p.shift.value, p.scale.value), part, units) for part in where(trained.model)]
    model = eqx.tree_at(where, trained.model, parts)
    x = (data.x.astype(np.float64) * SCALE + SHIFT).astype(np.float32)
    return known(dataclasses.replace(trained, model=model), dataclasses.replace(data, x=x, schema=schema))


def rows_reversed() -> Subject:
    trained, data = subject()
    return known(trained, moved(data, np.arange(ROWS)[::-1]))


def columns_reordered() -> Subject:
    trained, data = subject()
    order = np.array([2, 0, 3, 1])
    assert data.schema.columns is not None
    schema = structs.replace(data.schema, columns=tuple(data.schema.columns[i] for i in order))

    def led(m: Any) -> tuple[Any, ...]:
        """Every array that is led by the columns."""
        head, last = m.decoder.head, m.decoder.network.layers[-1]
        inputs = (m.encoder.network.layers[0].weight, m.encoder.standardise.shift.value)
        return (
            *inputs,
            m.encoder.standardise.scale.value,
            head.shift.value,
            head.scale.value,
            head.head.log_scale,
            last.bias,
        )

    model = eqx.tree_at(led, trained.model, [array[order] for array in led(trained.model)])
    last = lambda m: m.decoder.network.layers[-1].weight  # noqa: E731
    model = eqx.tree_at(last, model, last(model)[:, order])
    changed = dataclasses.replace(data, x=np.ascontiguousarray(data.x[:, order]), schema=schema)
    return known(dataclasses.replace(trained, model=model), changed)


def weighted() -> tuple[Subject, Subject]:
    """Rows with weights 1 and 2, and each row so many times, with its id."""
    trained, data = subject()
    weight = 1.0 + (np.arange(ROWS) % 3 == 0)
    return (
        known(trained, dataclasses.replace(data, weight=weight.astype(np.float32))),
        known(trained, moved(data, np.repeat(np.arange(ROWS), weight.astype(int)))),
    )


def numbers(of: Subject, seed: int = 0, only: tuple[str, ...] | None = None) -> dict[str, Estimate]:
    found = measure_all(of.trained, of.data, of.data.subset("test"), num_samples=30, seed=seed, only=only)
    units = {f"unit {u['unit']} {name}": u[name] for u in found.units for name in ("kl", "variance")}
    numbers = {name: Estimate(value, float("nan"), 1, 1) for name, value in units.items() if value is not None}
    return found.metrics | numbers


@cache
def plain() -> dict[str, Estimate]:
    return numbers(subject())


def compared(kind: str, first: dict[str, Estimate], second: dict[str, Estimate], change: float = 0.0) -> None:
    """Every number of both; `change` is what densities gain."""
    assert set(first) == set(second)
    apart = {name: reason for names, reason in WHY_NOT[kind].items() for name in names}
    wrong = {}
    for name, one in first.items():
        two, expected = second[name].value, one.value + (change if name in DENSITIES else 0.0)
        if name in apart:
            error = math.hypot(one.standard_error, second[name].standard_error)
            fine = math.isnan(error) or abs(two - expected) <= 4.0 * error + 1e-9
        else:
            fine = two == pytest.approx(expected, rel=1e-3, abs=2e-4)
        if not fine:
            wrong[name] = (expected, two, one.standard_error)
    assert not wrong


def test_the_units_of_columns() -> None:
    compared("units", plain(), numbers(in_other_units()), -float(np.sum(np.log(SCALE))))


def test_the_order_of_rows() -> None:
    compared("rows", plain(), numbers(rows_reversed()))


def test_the_order_of_columns() -> None:
    compared("columns", plain(), numbers(columns_reordered()))


def test_a_weight_is_a_row_so_many_times() -> None:
    first, second = (numbers(each) for each in weighted())
    assert not set(first) & set(LEFT_OUT_OF_WEIGHTS)
    kept = {name: value for name, value in second.items() if name not in LEFT_OUT_OF_WEIGHTS}
    compared("weights", first, kept)


def test_features_of_a_column_that_never_varies() -> None:
    """Its rounding is no unit: 0.1 has a mean that is another number in the last place."""
    rows = np.random.default_rng(0).normal(size=(50, 2))
    rows[:, 1] = 0.1
    features = principal_features(rows, standardise=True)
    assert features.scale[1] == 1.0
    near = features(np.array([[0.0, 0.1], [0.0, 0.2]]))
    assert np.linalg.norm(near[1] - near[0]) < 1.0
