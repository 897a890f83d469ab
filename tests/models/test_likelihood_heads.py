"""Heads of counts, positive numbers, fractions and pixels: what the outputs mean, and where training starts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import special
from tables import linear_dense
from tables_heads import LIKELIHOOD_HEADS

from latens.config import LikelihoodConfig, VAEConfig
from latens.data import Schema
from latens.errors import ConfigError
from latens.models import AffineHead, BernoulliHead, Conditional, NormalHead, SquashedHead
from latens.recipes.parts import bind
from latens.trainable import Frozen, count_parameters

MEAN = np.array([0.1, 0.5, 0.97])


@pytest.mark.parametrize("name", LIKELIHOOD_HEADS)
def test_a_decoder_starts_at_the_mean_of_the_data(name):
    head = LIKELIHOOD_HEADS[name]()
    part = Conditional(linear_dense(2, head.num_outputs), head).with_output_bias(MEAN)
    start = part(jnp.asarray([3.0, -1.0]))
    close(start.mean(), MEAN, rtol=2e-5)
    assert start.sample(key=jax.random.key(0)).shape == (3,)


@pytest.mark.parametrize("name", ["LaplaceHead", "StudentTHead"])
def test_squashed_locations(name):
    """1 / (1 + e^-r) of the outputs, the scales as they were; a decoder starts at the data's mean."""
    inner = LIKELIHOOD_HEADS[name]()
    outputs = jnp.asarray([0.0, -2.0, 30.0, 0.5, 1.0, -1.0])
    squashed, free = SquashedHead(inner)(outputs), inner(outputs)
    close(squashed.mean(), [0.5, 1 / (1 + np.e**2), 1.0])
    close(squashed.log_scale, free.log_scale, rtol=0, atol=0)
    head, bias = SquashedHead(inner).started(MEAN, variance=np.full(3, 0.04))
    plain, other = inner.started(MEAN, variance=np.full(3, 0.04))
    close(head(jnp.asarray(bias, jnp.float32)).mean(), MEAN)
    close(head(jnp.asarray(bias, jnp.float32)).log_scale, plain(jnp.asarray(other, jnp.float32)).log_scale)


SQUASHINGS = {
    "sigmoid": special.expit,
    "probit": special.ndtr,
    "cauchit": lambda r: 0.5 + np.arctan(r) / np.pi,
    "softsign": lambda r: (1 + r / (1 + np.abs(r))) / 2,
}


@pytest.mark.parametrize("squash", SQUASHINGS)
def test_squashings_of_means_and_of_probabilities(squash, float64):
    """Every squashing as its formula, of a Normal's means and a Bernoulli's probabilities, and with digits far out."""
    outputs = np.array([0.0, -0.7, 2.5])
    expected = SQUASHINGS[squash](outputs)
    for inner in (NormalHead((3,)), BernoulliHead((3,))):
        head = SquashedHead(inner, squash)
        close(head(jnp.asarray([*outputs, 0.1, 0.2, 0.3][: head.num_outputs])).mean(), expected, rtol=1e-12)
        started, bias = head.started(MEAN, variance=np.full(3, 0.04))
        close(started(jnp.asarray(bias)).mean(), MEAN, rtol=1e-9)
    far = {"sigmoid": 1e3, "probit": 40.0, "cauchit": 1e9, "softsign": 1e9}[squash]
    chance = SquashedHead(BernoulliHead((1,)), squash)
    low = float(chance(jnp.asarray([-far])).log_prob(jnp.ones(1)))
    tail = {"sigmoid": -1e3, "probit": special.log_ndtr(-40.0), "cauchit": -np.log(np.pi * 1e9)}
    assert low == pytest.approx(tail.get(squash, -np.log(2e9 + 2)), rel=1e-9)
    slope = jax.grad(lambda r: chance(r).mean()[0])(jnp.zeros(1))
    middle = {"sigmoid": 0.25, "probit": 1 / np.sqrt(2 * np.pi), "cauchit": 1 / np.pi, "softsign": 0.5}
    close(slope, [middle[squash]], rtol=1e-9)


def test_a_squashing_that_does_nothing_is_refused():
    schema = Schema((3,), "binary")
    floored = LikelihoodConfig(family="bernoulli", probability_floor=1e-7, squash="probit")
    made = bind(VAEConfig(likelihood=floored)).likelihood.made(schema)
    close(made(jnp.asarray([-1.0, 0.0, 9.0])).mean(), [special.ndtr(-1.0), 0.5, 1 - 1e-7])  # the floor still holds
    with pytest.raises(ConfigError, match="squashed by the sigmoid already"):
        bind(VAEConfig(likelihood=LikelihoodConfig(family="bernoulli", squash="sigmoid"))).likelihood.made(schema)
    counts = VAEConfig(likelihood=LikelihoodConfig(family="poisson", squash="cauchit"))
    with pytest.raises(ConfigError, match="a poisson likelihood of counts data has no means in"):
        bind(counts).likelihood.made(Schema((3,), "counts"))


@pytest.mark.parametrize("name", [n for n in LIKELIHOOD_HEADS if "Discretised" not in n and "ZeroInflated" not in n])
def test_a_shape_of_several_axes_keeps_its_order(name):
    """The same outputs make the same variables, whether the event is a vector or a picture."""
    head = LIKELIHOOD_HEADS[name]()
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=head.num_outputs), jnp.float32)
    flat = head(outputs)
    picture = type(head)(**{**{f.name: getattr(head, f.name) for f in dataclasses.fields(head)}, "shape": (3, 1)})(
        outputs
    )
    close(picture.mean()[:, 0], flat.mean(), rtol=1e-6)


def test_scales_and_their_floors():
    outputs = jnp.asarray([0.0, 0.0, 0.0, -200.0, 0.0, 2.0])
    raw = np.array([-200.0, 0.0, 2.0])
    forms = {"": np.exp(raw), ", log-variance": np.exp(raw / 2), ", softplus": np.logaddexp(0, raw)}
    for form, scale in forms.items():
        close(jnp.exp(LIKELIHOOD_HEADS["LaplaceHead" + form]()(outputs).log_scale), scale + 1e-6, atol=0)


def test_degrees_of_freedom_stay_above_their_floor():
    """2 + log(1 + e^0), and 2 where r is far below."""
    outputs = jnp.zeros(6)
    close(jnp.exp(LIKELIHOOD_HEADS["StudentTHead"]()(outputs).log_df), 2 + np.log(2))
    low = LIKELIHOOD_HEADS["StudentTHead, fixed"]()
    close(jnp.exp(low(outputs).log_df), 2.0)
    assert count_parameters(low) == 0
    assert count_parameters(LIKELIHOOD_HEADS["StudentTHead"]()) == 1


def test_shared_and_own_dispersion():
    """Three shared values are trained with three outputs; six outputs hold their own; a frozen one is neither."""
    shared, own, fixed = (
        LIKELIHOOD_HEADS["NegativeBinomialHead" + kind]() for kind in ("", ", from the network", ", fixed")
    )
    assert [h.num_outputs for h in (shared, own, fixed)] == [3, 6, 3]
    assert [count_parameters(h) for h in (shared, own, fixed)] == [3, 0, 0]
    close(own(jnp.arange(6.0)).log_dispersion, [3.0, 4.0, 5.0])
    close(shared(jnp.zeros(3)).log_dispersion, [0.0, 0.0, 0.0])
    close(fixed(jnp.zeros(3)).log_dispersion, 1.0)
    assert isinstance(fixed.log_dispersion, Frozen)


def test_zero_inflation_starts_with_a_tenth_of_extra_zeros():
    head = LIKELIHOOD_HEADS["ZeroInflatedHead of a PoissonHead"]()
    start = head(jnp.asarray(head.output_bias(MEAN), jnp.float32))
    close(jax.nn.sigmoid(start.logits), np.full(3, 0.1))
    close(start.inner.mean(), MEAN / 0.9)


def test_a_start_in_large_units_is_that_of_small_ones():
    """float32 cannot hold the square of a scale of 1e30; the standardised start has no unit."""
    mean, variance = np.array([2.0, -1.0]), np.array([8.0, 3.0])
    found = []
    for unit in (1.0, 1e30):
        head = AffineHead(NormalHead((2,)), np.array([1.0, 1.0]) * unit, np.array([2.0, 3.0]) * unit)
        found.append(head.started(mean * unit, None, variance * unit**2)[1])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    assert not np.array_equal(found[0][2:], head.head.started(np.zeros(2), None, np.zeros(2))[1][2:])
