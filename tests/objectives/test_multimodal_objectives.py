"""Bounds over sets of modalities: each equals the evidence, or quadrature, of a model where that is known."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP
from checks import agrees, close
from multimodal_fixtures import by_row, exact, log_p, rows
from scipy import stats
from tables import linear

from latens.data.dataset import Batch
from latens.distributions import StandardNormal
from latens.models import ByModality, Conditional, Experts, LatentModel, NormalHead, SharedScaleNormalHead
from latens.objectives import ELBO, StratifiedELBO, SubsetELBO
from latens.trainable import Frozen


@pytest.mark.parametrize("shown", ["ab", "a", "b"])
def test_the_bound_at_the_exact_posterior_is_the_evidence(shown):
    """Without any spread, as p(x, z)/q(z | x) is p(x) for every z."""
    batch = rows(3, "a", "b", mask={name: name in shown for name in "ab"})
    bound = by_row(StratifiedELBO("iwae"), exact(), batch, "bound")
    close(bound, np.full(3, log_p(*shown)), rtol=1e-5, atol=1e-4)
    agrees(by_row(ELBO(), exact(), rows(2000, "a", "b", mask={n: n in shown for n in "ab"}), "elbo"), log_p(*shown))


def test_the_subset_bound_sums_all_each_and_random_pairs():
    """Every term is the evidence of its subset at the exact posterior; one of the three pairs is drawn by the row."""
    model, objective = exact("abc"), SubsetELBO(random_subsets=1, num_samples=2)
    pairs = [log_p(*pair) for pair in itertools.combinations("abc", 2)]
    singles = [log_p(name) for name in "abc"]
    batch = rows(2000, "a", "b", "c")
    agrees(-by_row(objective, model, batch), log_p("a", "b", "c") + sum(singles) + np.mean(pairs))
    agrees(by_row(objective, model, batch, "elbo"), log_p("a", "b", "c"))
    agrees(by_row(objective, model, batch, "unimodal_elbo"), np.mean(singles))
    # Where one is missing its own term is that of nothing, 0, and the others are of what is left.
    without = rows(2000, "a", "b", mask={"a": True, "b": False})
    agrees(-by_row(SubsetELBO(), exact(), without), 2 * log_p("a"))


def on_a_line(rule):
    """One latent, one cell in each modality, and experts that do not look at it."""
    encoders = {
        "a": Conditional(linear(np.zeros((1, 2)), np.array([0.8, np.log(0.5)])), NormalHead((1,))),
        "b": Conditional(linear(np.zeros((1, 2)), np.array([-0.3, np.log(0.9)])), NormalHead((1,))),
    }
    decoders = {
        name: Conditional(linear(np.array([[w]]), np.zeros(1)), SharedScaleNormalHead((1,), Frozen(jnp.zeros(()))))
        for name, w in (("a", 1.0), ("b", -0.6))
    }
    return LatentModel(StandardNormal((1,)), Experts(encoders, rule), ByModality(decoders))


LINE = Batch({"a": jnp.full((4000, 1), 1.2), "b": jnp.full((4000, 1), 0.4)}, jnp.arange(4000, dtype=jnp.uint32))
GRID = np.linspace(-9.0, 9.0, 1801)


def quadrature(bound, components, counts=(1.0, 1.0)):
    """The three bounds of a mixture of equal shares, by sums over a grid; of two draws for "iwae"."""
    step = GRID[1] - GRID[0]
    q = np.stack([stats.norm.pdf(GRID, m, s) for m, s in components])
    log_prior = stats.norm.logpdf(GRID)
    log_likelihood = counts[0] * stats.norm.logpdf(1.2, GRID, 1) + counts[1] * stats.norm.logpdf(0.4, -0.6 * GRID, 1)
    if bound == "components":
        return np.mean([np.sum(d * (log_likelihood + log_prior - np.log(d + 1e-300))) * step for d in q])
    ratio = log_likelihood + log_prior - np.log(q.mean(axis=0))
    if bound == "elbo":
        return np.mean(q @ ratio * step)
    coarse = slice(None, None, 6)
    pair = np.logaddexp(ratio[coarse, None], ratio[None, coarse]) - np.log(2.0)
    return np.mean([np.sum(np.outer(d[coarse], d[coarse]) * pair) * (6 * step) ** 2 for d in q])


@pytest.mark.parametrize("bound", ["elbo", "components", "iwae"])
def test_a_stratified_bound_meets_quadrature(bound):
    objective = StratifiedELBO(bound, num_samples=2)
    single = [(0.8, 0.5), (-0.3, 0.9)]
    agrees(by_row(objective, on_a_line("mixture"), LINE, "bound"), quadrature(bound, single))
    agrees(by_row(objective, on_a_line("mixture"), LINE, "elbo"), quadrature("elbo", single))
    precision = 1 / 0.25 + 1 / 0.81
    product = ((0.8 / 0.25 - 0.3 / 0.81) / precision, precision**-0.5)
    found = -by_row(objective, on_a_line("mixture-of-products"), LINE)
    agrees(found, quadrature(bound, [*single, product]))


@pytest.mark.parametrize("bound", ["elbo", "components", "iwae"])
def test_a_stratified_gradient_meets_quadrature(bound):
    """By the mean of one expert: through its draws, and through the density of the mixture."""
    model = on_a_line("mixture")
    place = lambda m: m.encoder.encoders["a"].network.bias  # noqa: E731

    def loss(bias, one):
        moved = eqx.tree_at(place, model, bias)
        single = jax.tree.map(lambda v: v[None], one)
        return StratifiedELBO(bound, num_samples=2)(moved, single, key=jax.random.key(5), step=STEP)[0]

    gradients = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(place(model), LINE)
    h = 1e-3
    above, below = (quadrature(bound, [(0.8 + d, 0.5), (-0.3, 0.9)]) for d in (h, -h))
    agrees(-gradients[:, 0], (above - below) / (2 * h))


# A missing modality, and modalities of one array
