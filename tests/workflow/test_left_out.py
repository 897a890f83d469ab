"""Every column given the other cells of its row, by one set of draws: Bayes' rule over all it may be."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.evaluation import log_marginal
from latens.recipes import get_recipe
from latens.workflow.cell_scores import given_rest
from latens.workflow.trained import TrainedModel

STEPS = {"default": {"training.steps": 40}, "table-mixture": {"posterior.choices": 3}}


def trained(recipe: str, active: float = 0.0) -> tuple[latens.Dataset, TrainedModel]:
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], 300)
    colour = np.where(rng.uniform(size=300) < 0.7, np.where(kind == "a", "red", "blue"), "green")
    size = np.where(rng.uniform(size=300) < 0.8, np.where(kind == "a", "S", "L"), "M").astype(object)
    size[:20] = None
    data = latens.read(pd.DataFrame({"kind": kind, "colour": colour, "size": size}), label="none")
    model = latens.workflow.train(latens.workflow.prepare(override(get_recipe(recipe).config, STEPS[recipe]), data))[0]
    if active:  # z says something, beside what it began with and against it
        key = jax.random.key(3)
        more = lambda one: one + active * jax.random.normal(key, one.shape)  # noqa: E731
        own = eqx.tree_at(lambda m: m.decoder.head, model.model, replace_fn=lambda h: jax.tree.map(
            lambda leaf: more(leaf) if eqx.is_inexact_array(leaf) and leaf.ndim > 1 else leaf, h))  # fmt: skip
        model = TrainedModel(own, model.schema, model.preparation, model.config, facts={"start": {"kept": False}})
    return data, model


def by_enumeration(model: TrainedModel, data: latens.Dataset, rows: np.ndarray, draws: int) -> list[np.ndarray]:
    """p(x_j = s, the others) for every s, normalised."""
    found = []
    for j, one in enumerate(data.schema.types or ()):
        x, mask = np.array(data.x), np.ones(data.x.shape, bool) if data.mask is None else np.array(data.mask)
        mask[:, j], each = True, []
        for first in one.firsts:
            x[:, j] = first
            asked = replace(data, x=x.copy(), mask=mask)
            each.append(log_marginal(model.rows(model.batch(asked, rows), seed=5), num_samples=draws))
        shares = np.exp(np.array(each).T - np.max(each, axis=0)[:, None])
        found.append(shares / shares.sum(axis=1, keepdims=True))
    return found


@pytest.mark.parametrize(
    ("recipe", "active", "draws", "error"),
    [("table-mixture", 0.0, 3, 2e-5), ("default", 0.0, 20, 2e-5), ("default", 0.5, 4000, 0.03)],
)
def test_each_cell_given_the_others_is_bayes_rule(recipe: str, active: float, draws: int, error: float) -> None:
    data, model = trained(recipe, active)
    rows = np.arange(12)  # the first have gaps
    found = given_rest(model, data, rows, num_samples=draws, seed=1)
    expected = by_enumeration(model, data, rows, draws)
    marginal = [np.asarray(one.shares) for one in data.schema.types or ()]
    for shares, exact, alone in zip(found, expected, marginal, strict=True):
        np.testing.assert_allclose(shares, exact, atol=error)
        assert np.abs(exact - alone).max() > 10 * error or error > 0.01  # the others do say something


def test_what_a_cell_is_does_not_say_what_it_is_given_the_others() -> None:
    """Its own value cancels: with another one the same comes out, exactly where all latents are counted."""
    data, model = trained("table-mixture")
    rows = np.arange(20, 40)
    x = np.array(data.x)
    x[:, 1] = (x[:, 1] + 1) % len(data.schema.types[1].firsts)  # pyright: ignore[reportOptionalSubscript]
    one, other = (given_rest(model, each, rows)[1] for each in (data, replace(data, x=x)))
    np.testing.assert_allclose(one, other, atol=2e-6)
