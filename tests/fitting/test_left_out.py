"""Single cells given the others: Bayes' rule over all they may be, how odd they are, and what is filled in."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from msgspec import structs

import latens
from latens.config import override
from latens.kinds.tables.columns import FrameColumn, number_type
from latens.predictive.missing_cells import log_observed
from latens.recipes import get_recipe
from latens.trained.cell_scores import given_rest, p_values, point
from latens.trained.trained_model import TrainedModel


def trained() -> tuple[latens.Dataset, TrainedModel]:
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], 300)
    colour = np.where(rng.uniform(size=300) < 0.7, np.where(kind == "a", "red", "blue"), "green")
    size = np.where(rng.uniform(size=300) < 0.8, np.where(kind == "a", "S", "L"), "M").astype(object)
    size[:20] = None
    data = latens.read(pd.DataFrame({"kind": kind, "colour": colour, "size": size}), label="none")
    config = override(get_recipe("default").config, {"training.steps": 40, "posterior.latent_dim": 1})
    return data, latens.fitting.train(latens.fitting.prepare(config, data))[0]


def by_enumeration(model: TrainedModel, data: latens.Dataset, rows: np.ndarray) -> list[np.ndarray]:
    """p(x_j = s, the others) for every s, normalised."""
    found = []
    for j, one in enumerate(data.schema.types or ()):
        x, mask = np.array(data.x), np.ones(data.x.shape, bool) if data.mask is None else np.array(data.mask)
        mask[:, j], each = True, []
        for first in one.firsts:
            x[:, j] = first
            asked = replace(data, x=x.copy(), mask=mask)
            each.append(log_observed(model.rows(model.batch(asked, rows), seed=5), num_samples=20_000))
        shares = np.exp(np.array(each).T - np.max(each, axis=0)[:, None])
        found.append(shares / shares.sum(axis=1, keepdims=True))
    return found


def test_each_cell_given_the_others_is_bayes_rule() -> None:
    data, model = trained()
    rows = np.arange(12)  # the first have gaps
    found = given_rest(model, data, rows, num_samples=20_000, seed=1)
    marginal = [np.asarray(one.shares) for one in data.schema.types or ()]
    for shares, exact, alone in zip(found, by_enumeration(model, data, rows), marginal, strict=True):
        np.testing.assert_allclose(shares, exact, atol=0.02)
        assert np.abs(exact - alone).max() > 0.2  # the others do say something


def test_what_a_cell_is_does_not_say_what_it_is_given_the_others() -> None:
    """Its own value cancels: with another one the same comes out."""
    data, model = trained()
    rows = np.arange(20, 40)
    x = np.array(data.x)
    x[:, 1] = (x[:, 1] + 1) % len(data.schema.types[1].firsts)  # pyright: ignore[reportOptionalSubscript]
    one, other = (given_rest(model, each, rows, num_samples=20_000)[1] for each in (data, replace(data, x=x)))
    np.testing.assert_allclose(one, other, atol=0.02)


rng = np.random.default_rng(0)
RAM = number_type(v := rng.choice([4.0, 8.0, 16.0, 32.0], 400, p=[0.2, 0.4, 0.3, 0.1]), v, FrameColumn(dtype="Int64"))


@pytest.mark.parametrize("tiny", [1e-3, 1e-9, 1e-18])
def test_both_tails_have_digits(tiny):
    three = structs.replace(RAM, low=0.0, starts=(0, 1, 2), size=3, shares=(0.2, 0.3, 0.5))
    # The probability of a cell at least so far out, twice: the shares add up to more than 1 by rounding.
    shares = np.array([[tiny, 0.5, 0.5 + 1e-8], [0.5 + 1e-8, 0.5, tiny]])
    found = p_values(shares, three, np.array([0.0, 2.0]))
    np.testing.assert_allclose(found, 2 * tiny, rtol=1e-12)
    assert p_values(np.array([[0.2, 0.6, 0.2]]), three, np.array([1.0])) == 1.0


def test_within_a_segment_cells_are_alike():
    wide = structs.replace(RAM, low=0.0, starts=(0, 4), size=8, shares=(0.5, 0.5))
    shares = np.array([[0.6, 0.4]] * 8)
    # Cells of 0.15 and 0.10: P(X <= 0) = 0.15, P(X >= 7) = 0.1, P(X <= 3) = 0.6 and P(X >= 3) = 0.55.
    found = p_values(shares, wide, np.arange(8.0))
    np.testing.assert_allclose(found, [0.3, 0.6, 0.9, 1.0, 0.8, 0.6, 0.4, 0.2], atol=1e-12)


DAYS = structs.replace(
    number_type(v := np.arange(0.0, 400.0), v, FrameColumn(dtype="Int64")), kind="date", dtype="Date", low=19_000.0,
    starts=(0, 100, 200, 300), size=400, shares=(0.25,) * 4,
)  # fmt: skip


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.1, 0.4, 0.4, 0.1), 199.0),
        ((0.52, 0.0, 0.0, 0.48), 96.0),
        ((0.3, 0.0, 0.0, 0.7), 328.0),
        ((0.25, 0.5, 0.2, 0.05), 149.0),
    ],
)
def test_a_date_is_the_median_and_a_number_the_mean(shares: tuple[float, ...], expected: float) -> None:
    found = point(np.array([shares, shares]), DAYS)
    np.testing.assert_allclose(found, expected)
    number = structs.replace(DAYS, kind="number", dtype="Int64")
    middles = np.array([49.5, 149.5, 249.5, 349.5])
    np.testing.assert_allclose(point(np.array([shares]), number), np.array(shares) @ middles)
