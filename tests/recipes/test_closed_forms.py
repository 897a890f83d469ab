"""What a model begins with: the tree that is its rival, and none where there is none to count."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from latens.models.heads.tree import BINS, TreeHead

import latens
from latens.config import TrainingConfig, override
from latens.data import Preparation
from latens.data.dataset import training_rows
from latens.evaluation.evidence.tree import MOST_BINS, fit_tree
from latens.models import Conditional
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import is_short, start_alone, started_from
from latens.recipes.building.plan import resolve, starting
from latens.recipes.building.recipe import build_new
from latens.recipes.parts.bound import bind


def table(rows: int, columns: int) -> pd.DataFrame:
    """Names of which each is that of the column before it in three rows of four."""
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 3, rows)]
    for _ in range(columns - 1):
        made.append(np.where(rng.random(rows) < 0.75, made[-1], rng.integers(0, 3, rows)))
    return pd.DataFrame({f"c{j}": np.array(["a", "b", "c"])[column] for j, column in enumerate(made)})


def begun(frame: pd.DataFrame, **settings: object) -> tuple[latens.Dataset, TreeHead]:
    """The head of a model before its first step, and the data."""
    data = latens.load_data(frame)
    config, _ = resolve(override(get_recipe("default").config, settings), data)
    model = build_new(get_recipe("default"), data.schema, bind(config), key=jax.random.key(0))
    return data, started_from(model, data, Preparation()).decoder.head


def tree_of(model: Any) -> Any:
    """The decoder of the counted tree alone."""
    found = start_alone(model)
    assert found is not None
    return found[0].decoder


def test_training_begins_with_half_of_the_counted_ratios() -> None:
    """p(x) at the start is that of a tree with half of each log ratio; the counted ones stay beside it."""
    data, head = begun(table(300, 4))
    tree, x = head(jnp.zeros(head.num_outputs)), data.x[data.subset("test")]
    counted = head.counted.value
    assert float(jnp.abs(counted).max()) > 0.1
    np.testing.assert_allclose(tree.log_ratios, 0.5 * counted, atol=1e-6)
    switch = () if head.by is None else (None, int(head.by.value), np.asarray(head.tree_of.value))
    half = TreeHead(data.schema.types, head.most, head.num_trees).with_tree(
        *(np.asarray(one) for one in (head.parents.value, head.order.value, 0.5 * counted)), *switch
    )
    other = half(jnp.zeros(half.num_outputs))
    np.testing.assert_allclose(jax.jit(jax.vmap(tree.log_prob))(x), jax.jit(jax.vmap(other.log_prob))(x), atol=1e-5)


def test_the_start_is_the_rival() -> None:
    data, head = begun(table(300, 4))
    x, mask, weight = training_rows(data)
    made = fit_tree(x, mask, data.schema.types or (), weight=weight)
    assert head.parents.value.tolist() == made.parents.tolist()
    assert sum(p != j for j, p in enumerate(made.parents)) == 3
    test = data.x[data.subset("test")]
    head = eqx.tree_at(lambda h: h.more, head, jnp.zeros_like(head.more))
    tree = head(jnp.zeros(head.num_outputs))
    found = np.asarray(jax.jit(jax.vmap(tree.log_prob))(test))
    assert np.allclose(found, made.log_prob(test), atol=1e-4)


@pytest.mark.parametrize("network", [{}, {"network.hidden": []}, {"network": "residual"}])
def test_the_model_has_its_tree_before_the_first_step(network: dict) -> None:
    """log p(x | z) of every z, with numbers, names and gaps; the gradient reaches the last weights."""
    rng, frame = np.random.default_rng(1), table(200, 3)
    frame["size"] = np.round(rng.normal((frame.c0 == "a") * 2.0, 1.0), 2)
    frame["price"] = np.exp(0.5 * frame["size"] + 0.1 * rng.standard_normal(200))
    data = latens.load_data(frame.mask(rng.random(frame.shape) < 0.1), label="none")
    config, _ = resolve(override(get_recipe("default").config, network), data)
    model = build_new(get_recipe("default"), data.schema, bind(config), key=jax.random.key(0))
    model = starting(data.schema, config)(model, data)
    x, mask, weight = training_rows(data)
    made = fit_tree(x, mask, data.schema.types or (), weight=weight)
    test = data.subset("test")
    x, mask = np.where(data.mask[test], data.x[test], 0), data.mask[test]

    @eqx.filter_jit
    def at(decoder: Conditional, z: jax.Array) -> jax.Array:
        return jax.jit(jax.vmap(decoder(z).log_prob_observed))(x, mask)

    codes = jnp.asarray(3.0 * rng.standard_normal((3, config.posterior.latent_dim or 1)), jnp.float32)
    for z in codes:
        assert np.allclose(at(tree_of(model), z), made.log_prob(x, mask), atol=1e-4)
        np.testing.assert_array_equal(at(model.decoder, z), at(model.decoder, codes[0]))
    slope = eqx.filter_grad(lambda decoder: at(decoder, codes[0]).sum())(model.decoder)
    last = slope.network.output if network.get("network") else slope.network.layers[-1]
    assert float(jnp.abs(last.weight).max()) > 0.0


@pytest.mark.parametrize(("columns", "kind"), [(MOST_BINS // BINS, "tree"), (MOST_BINS // BINS + 1, "table")])
def test_a_table_too_wide_to_count_pairs_has_no_tree(columns: int, kind: str) -> None:
    data = latens.load_data(table(30, columns))
    assert resolve(get_recipe("default").config, data)[0].likelihood.family == kind


def test_no_start_is_what_was() -> None:
    data = latens.load_data(table(60, 3))
    config = override(get_recipe("default").config, {"start": "none"})
    assert resolve(config, data)[0].likelihood.family == "table"


@pytest.mark.parametrize(
    ("training", "rows", "short"),
    [({"steps": 78, "batch_size": 128}, 1000, True), ({"steps": 79, "batch_size": 128}, 1000, False),
     ({"epochs": 9.9}, 1000, True), ({"epochs": 10.0}, 1000, False), ({"epochs": 2.9}, 10_000, True),
     ({"epochs": 3.0}, 10_000, False), ({"steps": 1, "minutes": 1.0}, 1000, False)],
)  # fmt: skip
def test_short_trainings_keep_the_whole_tree(training: dict[str, Any], rows: int, short: bool) -> None:
    """A hundred draws of each of a tenth of the rows, at most 300, are more than its steps see."""
    assert is_short(TrainingConfig(**training), rows) is short


def test_a_short_training_begins_at_the_whole_tree() -> None:
    data = latens.load_data(table(200, 3))
    for steps, part in ((10, 1.0), (1000, 0.5)):
        config, _ = resolve(override(get_recipe("default").config, {"training.steps": steps}), data)
        model = build_new(get_recipe("default"), data.schema, bind(config), key=jax.random.key(0))
        head = starting(data.schema, config)(model, data).decoder.head
        ratios = head(jnp.zeros(head.num_outputs)).log_ratios
        np.testing.assert_allclose(ratios, part * head.counted.value, atol=1e-6)
