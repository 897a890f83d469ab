"""Several modalities: experts made one, and what a missing modality must not touch."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP
from checks import close
from multimodal_fixtures import X, exact, row, rows

from latens.config import override
from latens.data import Column, Schema, load
from latens.distributions import Blocks, DiagonalNormal, Joined, Product, StandardNormal, log_prob
from latens.errors import ConfigError
from latens.fitting import prepare
from latens.models import Experts, LatentModel, product_of_normals
from latens.objectives import StratifiedELBO, SubsetELBO
from latens.recipes import get_recipe
from latens.recipes.posteriors import ExpertsOptions, blocks_of

# Posteriors


def test_a_product_of_very_narrow_experts_is_finite():
    """Precisions of e^100 overflow float32; equal ones halve the variance."""
    narrow = DiagonalNormal(jnp.array([[1.0], [3.0]]), jnp.full((2, 1), -50.0))
    both = product_of_normals(narrow, jnp.array([True, True]), with_prior=True)
    close(both.loc, [2.0])
    close(both.log_scale, [-50.0 - 0.5 * np.log(2.0)])


# Bounds


@pytest.mark.parametrize("rule", ["product", "mixture", "mixture-of-products"])
def test_a_missing_modality_reaches_neither_value_nor_gradient(rule):
    model, objective = exact(rule=rule, shift=0.2), StratifiedELBO("iwae", 2)
    trained, rest = eqx.partition(model, eqx.is_inexact_array)

    @jax.jit
    def run(hidden):
        batch = rows(2, "a", "b", mask={"a": True, "b": False})
        batch = dataclasses.replace(batch, x={**batch.x, "b": jnp.full_like(batch.x["b"], hidden)})

        def loss(t):
            found, metrics = objective(eqx.combine(t, rest), batch, key=jax.random.key(0), step=STEP)
            return found, metrics["bound"][0] / 2

        return jax.value_and_grad(loss, has_aux=True)(trained)

    ((loss, bound), gradient), other = run(jnp.nan), run(7.0)
    for one, two in zip(jax.tree.leaves((loss, gradient)), jax.tree.leaves((other[0][0], other[1]))):
        close(one, two, rtol=0, atol=0)
    assert not any(
        np.any(leaf) for leaf in jax.tree.leaves((gradient.encoder.encoders["b"], gradient.decoder.decoders["b"]))
    )
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient.encoder.encoders["a"].network.bias))
    # A mixture has the expert of a alone, drawn in the same places; a product is the same one without b.
    alone = exact(("a",), rule, shift=0.2)
    close(bound, objective(alone, rows(2, "a"), key=jax.random.key(0), step=STEP)[1]["bound"][0] / 2, rtol=1e-5)


def test_one_array_and_a_dict_are_the_same_model():
    """Blocks that do not lie side by side: cells of a, b and again a."""
    blocks = Blocks(("b", "a"), ((1, 2, 3), (0, 4)))
    as_dict, as_array = exact(), exact(blocks=blocks)
    x, z = blocks.join(row("a", "b")), jnp.array([0.3, -0.8])
    close(x, [X["a"][0], *X["b"], X["a"][1]])
    one, two = as_dict.posterior(row("a", "b")), as_array.posterior(x)
    close(one.loc, two.loc)
    apart, whole = as_dict.likelihood(z), as_array.likelihood(z)
    assert isinstance(apart, Product)
    assert isinstance(whole, Joined)
    close(whole.log_prob(x), apart.log_prob(row("a", "b")))
    close(whole.mean(), blocks.join(apart.mean()))
    mask = jnp.array([True, False, True, False, True])
    close(log_prob(whole, x, mask), log_prob(apart, row("a", "b"), blocks.split(mask)))
    close(log_prob(whole, x, mask), jnp.sum(jnp.where(mask, whole.log_prob_terms(x), 0.0)))


# What is refused, and how a row is split


def test_what_does_not_fit_is_refused():
    batch, key = rows(2, "a", "b"), jax.random.key(0)
    parts = exact().encoder.encoders
    plain = LatentModel(StandardNormal((2,)), parts["a"], parts["a"])
    for make, what in (
        (lambda: Experts({str(i): parts["a"] for i in range(11)}, "mixture-of-products"), "11 modalities"),
        (lambda: Experts(parts, blocks=Blocks(("a",), ((0,),))), "differ"),
        (lambda: exact().posterior({}), "none of a, b"),
        (lambda: SubsetELBO(random_subsets=-1), "of 0 or more, not -1"),
        (lambda: StratifiedELBO()(plain, batch, key=key, step=STEP), "no encoder for each"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=what):
            make()
    with pytest.raises(ValueError, match="exactly one"):
        Blocks(("a", "b"), ((0, 1), (1, 2)))


def test_a_row_is_split_by_names_or_into_parts():
    names = ("image.a", "text.x", "image.b")
    table = Schema((3,), "real", columns=tuple(Column(name) for name in names))
    picture = Schema((5, 4), "levels", 17)
    found = [
        blocks_of(table, ExpertsOptions()),
        blocks_of(picture, ExpertsOptions()),
        blocks_of(picture, ExpertsOptions(split="columns", parts=4)),
    ]
    assert [b.names for b in found] == [("image", "text"), ("part0", "part1"), ("part0", "part1", "part2", "part3")]
    assert [b.places for b in found] == [((0, 2), (1,)), ((0, 1, 2), (3, 4)), ((0,), (1,), (2,), (3,))]
    for schema, options in (
        (picture, {"split": "names"}),
        (picture, {"split": "channels"}),
        (table, {"parts": 4, "split": "rows"}),
    ):
        with pytest.raises(ConfigError):
            blocks_of(schema, ExpertsOptions(**options))


@pytest.mark.parametrize("rule", ["mixture", "mixture-of-products"])
def test_a_mixture_is_refused_where_its_draws_would_lack_a_gradient(rule):
    parts = {"posterior": "experts", "posterior.rule": rule, "network.hidden": 4, "training.steps": 1}
    with pytest.raises(ConfigError, match="Mixture") as refused:
        prepare(override(get_recipe("iwae").config, parts), load("digits"))
    assert "stratified-elbo" in refused.value.fix
