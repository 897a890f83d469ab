"""Every column given the other cells of its row, by one set of draws: Bayes' rule over all it may be."""

from dataclasses import replace

import numpy as np
import pandas as pd

import latens
from latens.config import override
from latens.predictive.missing_cells import log_observed
from latens.recipes import get_recipe
from latens.trained.cell_scores import given_rest
from latens.trained.trained_model import TrainedModel


def trained() -> tuple[latens.Dataset, TrainedModel]:
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], 300)
    colour = np.where(rng.uniform(size=300) < 0.7, np.where(kind == "a", "red", "blue"), "green")
    size = np.where(rng.uniform(size=300) < 0.8, np.where(kind == "a", "S", "L"), "M").astype(object)
    size[:20] = None
    data = latens.read(pd.DataFrame({"kind": kind, "colour": colour, "size": size}), label="none")
    config = override(get_recipe("default").config, {"training.steps": 40, "posterior.latent_dim": 1})
    return data, latens.trained.train(latens.trained.prepare(config, data))[0]


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
