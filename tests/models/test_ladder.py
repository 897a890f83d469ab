"""The ladder: Normals meet by precision, level by level, and the exact evidence is met."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import evaluate
from checks import agrees, close
from scipy import stats
from tables import linear

from latens.data.batches import Batch
from latens.distributions import DiagonalNormal, StandardNormal
from latens.errors import ConfigError
from latens.models import (
    Conditional,
    DeterministicHead,
    Downwards,
    FromLowest,
    Ladder,
    LatentModel,
    NormalHead,
    SharedScaleNormalHead,
    combined,
)
from latens.objectives import ELBO, draw
from latens.trees import Frozen

UP1, UP2, DOWN = (0.7, 0.1, -0.4), (0.5, -0.2, -0.1), (0.9, 0.05, -0.6)
"""Slope, offset and log scale of the Normals that x gives to z1 and z2, and z2 to z1."""
NOISE = 0.5


def normal_part(slope: float, offset: float, log_scale: float) -> Conditional:
    return Conditional(linear(np.array([[slope, 0.0]]), np.array([offset, log_scale])), NormalHead((1,)))


def ladder() -> LatentModel:
    """One number a level; features are x itself."""
    features = Conditional(linear(np.ones((1, 1)), np.zeros(1)), DeterministicHead((1,)))
    encoder = Ladder(features, (features,), (normal_part(*UP1), normal_part(*UP2)), "identity")
    head = SharedScaleNormalHead((1,), Frozen(jnp.asarray(np.log(NOISE))))
    decoder = FromLowest(Conditional(linear(np.ones((1, 1)), np.zeros(1)), head))
    return LatentModel(Downwards(StandardNormal((1,)), (normal_part(*DOWN),)), encoder, decoder)


def meeting(x, z2):
    """Mean and scale of q(z1 | z2, x) by hand."""
    means, scales = (UP1[0] * x + UP1[1], DOWN[0] * z2 + DOWN[1]), np.exp([UP1[2], DOWN[2]])
    precision = (1 / scales**2).sum()
    return (means[0] / scales[0] ** 2 + means[1] / scales[1] ** 2) / precision, precision**-0.5


def log_densities(x, z1, z2):
    """(log q, log p) of (z1, z2, x)."""
    log_q = stats.norm.logpdf(z2, UP2[0] * x + UP2[1], np.exp(UP2[2])) + stats.norm.logpdf(z1, *meeting(x, z2))
    log_p = stats.norm.logpdf(z2) + stats.norm.logpdf(z1, DOWN[0] * z2 + DOWN[1], np.exp(DOWN[2]))
    return log_q, log_p + stats.norm.logpdf(x, z1, NOISE)


def test_normals_meet_by_precision(float64):
    one = DiagonalNormal(jnp.asarray([1.0, -2.0]), jnp.log(jnp.asarray([0.5, 3.0])))
    two = DiagonalNormal(jnp.asarray([4.0, 0.5]), jnp.log(jnp.asarray([2.0, 0.1])))
    both = combined(one, two)
    close(both.loc, [(1 / 0.25 + 4 / 4) / (1 / 0.25 + 1 / 4), (-2 / 9 + 0.5 / 0.01) / (1 / 9 + 1 / 0.01)])
    close(jnp.exp(-2 * both.log_scale), [1 / 0.25 + 1 / 4, 1 / 9 + 1 / 0.01])
    # As densities: the product, but for its constant.
    grid = jnp.linspace(-1.0, 2.0, 5)[:, None] * jnp.ones(2)
    terms = [jax.vmap(normal.log_prob_terms)(grid) for normal in (one, two, both)]
    difference = np.asarray(terms[0] + terms[1] - terms[2])
    close(difference, np.broadcast_to(difference[0], difference.shape), atol=1e-10)
    # Nothing known from above: what came from below stays.
    nothing = combined(one, DiagonalNormal(jnp.asarray([7.0, 7.0]), jnp.asarray([300.0, 300.0])))
    close(nothing.loc, one.loc)
    close(nothing.log_scale, one.log_scale)


def test_each_level_meets_the_prior(float64):
    x, z1, z2 = 1.3, -0.4, 0.8
    q = ladder().posterior(jnp.asarray([x]))
    close(q.log_prob((jnp.asarray([z1]), jnp.asarray([z2]))), log_densities(x, z1, z2)[0])
    top = UP2[0] * x + UP2[1]
    close(np.ravel(q.mean()), [meeting(x, top)[0], top])


def test_the_bound_meets_quadrature(float64):
    """E_q[log p - log q] by 40 x 40 Gauss-Hermite points, in 5 standard errors of the objective's own."""
    x, (nodes, weights) = 1.3, np.polynomial.hermite_e.hermegauss(40)
    z2 = UP2[0] * x + UP2[1] + np.exp(UP2[2]) * nodes[:, None]
    mean, scale = meeting(x, z2)
    log_q, log_p = log_densities(x, mean + scale * nodes[None, :], np.broadcast_to(z2, (40, 40)))
    weight = np.outer(weights, weights) / weights.sum() ** 2
    exact = (weight * (log_p - log_q)).sum()
    batch = Batch(jnp.full((4_000, 1), x), jnp.arange(4_000, dtype=jnp.uint32))
    draws = draw(ladder(), batch, num_samples=1, key=jax.random.key(0))
    agrees(draws.log_weight[0], exact)
    metrics = evaluate(ELBO(kl="sampled"), ladder(), batch)[1]
    spread = np.asarray(draws.log_weight).std() / np.sqrt(4_000)
    assert abs(float(metrics["elbo"][0] / metrics["elbo"][1]) - exact) < 5 * spread
    # And the weights are those of the evidence: x ~ N(0.05, 0.9^2 + e^-1.2 + 0.5^2).
    evidence = stats.norm.logpdf(x, DOWN[1], np.sqrt(DOWN[0] ** 2 + np.exp(2 * DOWN[2]) + NOISE**2))
    agrees(np.exp(np.asarray(draws.log_weight[0]) - evidence), 1.0)


def test_the_prior_is_shared():
    """The encoder's term trains the prior's network too: the gradient of q's mean by the prior's weight."""
    model = ladder()

    def mean(weight):
        moved = eqx.tree_at(lambda m: m.prior_part.parts[0].network.weight, model, weight)
        return moved.posterior(jnp.asarray([1.3])).mean()[0][0]

    slope = jax.grad(mean)(model.prior_part.parts[0].network.weight)
    top = UP2[0] * 1.3 + UP2[1]
    share = np.exp(-2 * DOWN[2]) / (np.exp(-2 * DOWN[2]) + np.exp(-2 * UP1[2]))
    close(slope[0, 0], share * top)


def test_a_prior_of_other_levels_is_refused():
    model = ladder()
    flat = LatentModel(StandardNormal((1,)), model.encoder, model.decoder)
    with pytest.raises(ConfigError, match="2 levels needs a prior of as many"):
        flat.posterior(jnp.zeros(1))
