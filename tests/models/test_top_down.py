"""Deep hierarchies: KL, bound and log p(x) of a linear-Gaussian one are exact; one way down gives what three would."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from jax.flatten_util import ravel_pytree
from scipy import stats

from latens.config import override
from latens.data import load
from latens.data.dataset import Batch
from latens.distributions import kl
from latens.evidence import ModelRows
from latens.fitting import prepare
from latens.latents.decomposition import level_kl
from latens.models import Block, Conditional, Meet, SharedScaleNormalHead, TopDownDecoder, TopDownModel, TopDownNormals
from latens.objectives import ELBO, draw
from latens.recipes import get_recipe
from latens.recipes.build import build
from latens.trainable import Frozen

SHAPE = (3, 2)
SMALL = {"network.hidden": [2], "posterior.latent_dim": 1, "training.steps": 1}


def model(recipe: str = "ladder-conv", shape: tuple[int, ...] = SHAPE, **settings: object) -> TopDownModel:
    """A model of small pictures of real numbers, every weight of which was moved, in JAX's present precision."""
    rows = np.random.default_rng(0).normal(size=(40, *shape))
    made = prepare(override(get_recipe(recipe).config, {**SMALL, **settings}), load(rows))
    new = build(made.data.schema, made.config, key=jax.random.key(0))
    random = np.random.default_rng(1)
    moved = lambda leaf: jnp.asarray(leaf + 0.2 * random.normal(size=leaf.shape), float)  # noqa: E731
    return jax.tree.map(lambda leaf: moved(leaf) if eqx.is_inexact_array(leaf) else leaf, new)


def linear() -> TopDownModel:
    """Without activations, and with scales that no state moves: a linear-Gaussian model of two levels."""
    made = model(**{"network.activation": "identity"})

    def still(block: eqx.Module, columns: slice) -> eqx.Module:
        where = lambda b: b.network.last.weight  # noqa: E731
        return eqx.tree_at(where, block, where(block).at[:, columns].set(0.0))

    blocks = tuple(still(block, slice(1, 2)) for block in made.decoder.blocks)
    meetings = tuple(still(meeting, slice(1, 2)) for meeting in made.encoder.meetings)
    return eqx.tree_at(lambda m: (m.decoder.blocks, m.encoder.meetings), made, (blocks, meetings))


def affine(function, like) -> tuple[np.ndarray, np.ndarray]:
    """Offset and matrix of a function of a tree that is affine."""
    flat, unravel = ravel_pytree(jax.tree.map(jnp.zeros_like, like))
    both = lambda v: ravel_pytree(function(unravel(v)))[0]  # noqa: E731
    matrix = np.asarray(jax.jacfwd(both)(flat))
    close(both(flat + 1.7), np.asarray(both(flat)) + 1.7 * matrix.sum(axis=1))  # it is affine
    return np.asarray(both(flat)), matrix


def gaussian_kl(mean, factor, other_mean, other_factor) -> float:
    """KL of N(mean, F F') from N(other, G G')."""
    whitened = np.linalg.solve(other_factor, np.column_stack([factor, mean - other_mean]))
    logs = np.linalg.slogdet(other_factor)[1] - np.linalg.slogdet(factor)[1]
    return 0.5 * ((whitened**2).sum() - len(mean)) + logs


class Map(eqx.Module):
    """A linear map of the channels of one point."""

    weight: np.ndarray = eqx.field(converter=np.asarray)
    bias: np.ndarray = eqx.field(converter=np.asarray)

    def __call__(self, point):
        return point @ self.weight + self.bias


def test_a_decoder_of_three_levels_takes_the_last_latent_first():
    """Weights 1, 10 and 100 from the top down: 1 * 3 + 10 * 2 + 100 * 1."""
    blocks = tuple(Block(Map([[0.0] * 3], [0.0] * 3), Map([[weight]], [0.0]), None, 1) for weight in (1.0, 10.0, 100.0))
    part = Conditional(Map([[1.0]], [0.0]), SharedScaleNormalHead((1,), Frozen(jnp.zeros(()))))
    decoder = TopDownDecoder(jnp.zeros((1, 1, 1)), blocks, lambda state: 0.0 * state, part)
    z = tuple(jnp.full((1, 1, 1), value) for value in (1.0, 2.0, 3.0))
    assert float(decoder(z).mean()[0]) == 123.0


def test_two_levels_of_one_number_by_hand(float64):
    """p: z2 ~ N(0.3, e^-0.4), z1 ~ N(0.1 + 0.8 s, e^0.2) with the state s = 0.5 + 1.5 z2; a feature moves q."""
    scales = [float(5 * np.tanh(raw / 5)) for raw in (-0.2, 0.1, -0.7, -0.5)]
    top = Block(Map([[0.0, 0.0, 0.0]], [0.3, -0.2, 0.5]), Map([[1.5]], [0.0]), None, 1)
    low = Block(Map([[0.8, 0.0, 0.0]], [0.1, 0.1, 0.0]), Map([[1.0]], [0.0]), None, 1)
    meetings = (
        Meet(Map([[0.0, 0.0], [0.2, 0.0]], [0.1, -0.7]), 0),
        Meet(Map([[0.25, 0.0], [-0.3, 0.0]], [0.0, -0.5]), 0),
    )
    part = Conditional(Map([[1.0]], [0.0]), SharedScaleNormalHead((1,), Frozen(jnp.zeros(()))))
    decoder = TopDownDecoder(jnp.zeros((1, 1, 1)), (top, low), lambda state: 0.0 * state, part)
    p, q = TopDownNormals(decoder), TopDownNormals(decoder, meetings, (jnp.full((1, 1, 1), 2.0),))

    def joint(mean, scale, offset, slope, own):
        """Mean and factor of (z2, z1) from z2 and z1 given it."""
        return np.array([mean, offset + slope * mean]), np.array([[scale, 0.0], [slope * scale, own]])

    p_joint = joint(0.3, np.exp(scales[0]), 0.1 + 0.8 * 0.5, 0.8 * 1.5, np.exp(scales[1]))
    moved = 0.1 + 0.8 * 0.5 + 0.25 * 0.5 - 0.6
    q_joint = joint(0.8, np.exp(scales[0] + scales[2]), moved, 1.05 * 1.5, np.exp(scales[1] + scales[3]))
    z = (jnp.full((1, 1, 1), -0.4), jnp.full((1, 1, 1), 0.9))
    for own, (mean, factor) in ((p, p_joint), (q, q_joint)):
        close(own.log_prob(z), stats.multivariate_normal.logpdf([0.9, -0.4], mean, factor @ factor.T))
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)  # exact: each level's KL is quadratic in z2
    total = 0.0
    for node, weight in zip(nodes, weights / weights.sum()):
        z2 = 0.8 + np.exp(scales[0] + scales[2]) * node
        walk = q.walk(lambda number, own, z2=z2: own.loc if number else jnp.full((1, 1, 1), z2))
        total += weight * sum(float(kl(own, prior)) for own, prior in zip(walk.own, walk.priors))
    close(total, gaussian_kl(*q_joint, *p_joint))


def test_the_levels_kl_adds_up_to_that_of_the_joint(float64):
    made, x = linear(), jnp.asarray(np.random.default_rng(2).normal(size=SHAPE))
    q, p = made.posterior(x), made.prior()
    noise = q.sample_noise(key=jax.random.key(0))
    joint = gaussian_kl(*affine(q.from_noise, noise), *affine(p.from_noise, noise))
    assert joint > 0.05

    def levels(flat):
        z = q.from_noise(unravel(flat))
        walk = q.walk(lambda number, own: z[-1 - number])
        return jnp.stack([kl(own, prior) for own, prior in zip(walk.own, walk.priors)])

    # Each level's KL given those above is quadratic in the noise, so its mean is exact by its second derivatives.
    zero, unravel = ravel_pytree(jax.tree.map(jnp.zeros_like, noise))
    expected = levels(zero) + 0.5 * jnp.trace(jax.hessian(levels)(zero), axis1=1, axis2=2)
    close(jnp.sum(expected), joint)
    # The same from draws, by the objective's term and by the difference of log densities.
    batch = Batch(jnp.tile(x, (4_000, 1, 1)), jnp.arange(4_000, dtype=jnp.uint32))
    draws = draw(made, batch, num_samples=1, key=jax.random.key(0))
    assert draws.kl is not None
    assert draws.kl.shape == (1, 4_000, 2)
    agrees(draws.kl[0].sum(axis=1), joint)
    agrees((draws.log_posterior - draws.log_prior)[0], joint)
    one = level_kl(ModelRows(made, Batch(x[None], jnp.zeros(1, jnp.uint32))), num_samples=2_000)
    np.testing.assert_allclose([level.value for level in one], np.asarray(expected)[::-1], atol=0.15)


def test_log_p_of_a_row_is_met(float64):
    """log N(x) of the linear model against importance weights of the model's own posterior."""
    made, x = linear(), jnp.asarray(np.random.default_rng(2).normal(size=SHAPE))
    noise = made.prior().sample_noise(key=jax.random.key(0))
    offset, to_x = affine(lambda e: made.likelihood(made.prior().from_noise(e)).mean(), noise)
    z = made.prior().sample(key=jax.random.key(0))
    own = made.likelihood(z)
    # The likelihood is a Normal of one scale, in the units of the data: its density at its mean tells the scale.
    terms = np.asarray(own.log_prob_terms(own.mean()))
    variance = np.exp(-2.0 * terms.ravel()) / (2.0 * np.pi)
    evidence = stats.multivariate_normal.logpdf(np.ravel(x), offset, to_x @ to_x.T + np.diag(variance))
    draws = draw(made, Batch(x[None], jnp.zeros(1, jnp.uint32)), num_samples=40_000, key=jax.random.key(1))
    agrees(np.exp(np.asarray(draws.log_weight[:, 0]) - evidence), 1.0)


@pytest.mark.parametrize("recipe", ["ladder-conv", "very-deep-vae"])
def test_one_way_down_gives_what_the_parts_give(float64, recipe):
    made, x = model(recipe, (5, 7, 3)), jnp.asarray(np.random.default_rng(2).normal(size=(5, 7, 3)))
    q, p, key = made.posterior(x), made.prior(), jax.random.key(3)
    joint = made.draw_joint(q, x, key=key)
    z, log_q = q.sample_and_log_prob(key=key)
    close(ravel_pytree(joint.z)[0], ravel_pytree(z)[0])
    close([joint.log_posterior, joint.log_posterior], [log_q, q.log_prob(z)])
    close(joint.log_prior, p.log_prob(z))
    close(joint.log_likelihood, made.likelihood(z).log_prob(x))
    close(made.log_joint(z, x), [joint.log_prior, joint.log_likelihood])
    close(q.log_prob(q.from_noise(q.sample_noise(key=key))), log_q)
    # Nothing of x: the first level is given nothing but itself.
    assert len(z) == len(made.decoder.blocks) == len(joint.kl)
    assert z[-1].shape[:2] == (1, 1)
    assert z[0].shape[:2] == (3, 4)


def test_every_level_starts_at_a_standard_normal_and_q_at_p(float64):
    rows = np.random.default_rng(0).normal(size=(40, 6, 6))
    made = prepare(override(get_recipe("very-deep-vae").config, SMALL), load(rows))
    new = build(made.data.schema, made.config, key=jax.random.key(0))
    walk = new.posterior(jnp.asarray(rows[0])).walk(lambda number, own: own.from_noise(jnp.ones(own.loc.shape)))
    for own, prior in zip(walk.own, walk.priors):
        for normal in (own, prior):
            close(normal.loc, np.zeros(normal.loc.shape))
            close(normal.log_scale, np.zeros(normal.loc.shape))


def test_free_bits_are_those_of_a_level(float64):
    """With more free bits than any level uses, the penalty is their sum, whatever the KL."""
    made, x = model(), jnp.asarray(np.random.default_rng(2).normal(size=(4, *SHAPE)))
    batch = Batch(x, jnp.arange(4, dtype=jnp.uint32))
    loss, metrics = ELBO(free_bits=1e4)(made, batch, key=jax.random.key(0), step=jnp.asarray(0))
    expected = 2e4 - metrics["log_likelihood"][0] / metrics["log_likelihood"][1]
    close(loss, expected)


@pytest.mark.parametrize("temperature", [0.0, 0.4, 1.0, 1.3])
def test_a_temperature_scales_the_joint_of_a_linear_hierarchy(float64, temperature):
    """Every level's noise times t: deviations from the mean of the joint are t times those of an ordinary draw."""
    prior = linear().prior(cond=None)
    key = jax.random.key(3)
    mean, ordinary = (ravel_pytree(event)[0] for event in (prior.mean(), prior.sample(key=key)))
    found = ravel_pytree(prior.sample_at(temperature, key=key))[0]
    close(found, mean + temperature * (ordinary - mean))
    assert np.abs(ordinary - mean).max() > 0.1
