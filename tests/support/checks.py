"""Numbers that a healthy core meets. Tests call them; `test_planted_faults` calls them on wrong copies of the core."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats
from tables import LEVELS, LOC, LOG_SCALE, LOGITS, SCALE, SHIFT, conjugate_pair, dense, linear

from latens.distributions import (
    Affine,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    DiagonalNormal,
    StandardNormal,
    divergence,
)
from latens.models import (
    AffineHead,
    BernoulliHead,
    Conditional,
    ContinuousBernoulliHead,
    NormalHead,
)
from latens.networks import ACTIVATIONS, INITIALIZERS, Dense
from latens.networks import dense as dense_module
from latens.trees import count_parameters


def close(actual: object, expected: object, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def agrees(samples: object, expected: object, sigmas: float = 5.0, other_error: float = 0.0) -> None:
    """The mean over the first axis lies within 5 of its own standard errors of `expected`."""
    samples = np.asarray(samples, np.float64)
    error = np.hypot(samples.std(axis=0, ddof=1) / np.sqrt(len(samples)), other_error)
    # A sample without spread must meet the number to rounding.
    assert np.all(np.abs(samples.mean(axis=0) - expected) <= sigmas * error + 1e-6), (samples.mean(axis=0), error)


def finite_difference(f: Callable[[jax.Array], jax.Array], theta: jax.Array, h: float = 1e-5) -> np.ndarray:
    """Central differences of a scalar function, one column for each entry; meant for double precision."""
    theta, steps = np.asarray(theta), h * np.eye(theta.size)
    values = jax.jit(lambda points: jax.lax.map(f, points))(np.concatenate([theta + steps, theta - steps]))
    above, below = np.asarray(values).reshape(2, -1)
    return (above - below) / (2 * h)


# Densities


def check_normal_density() -> None:
    x, normal = np.array([0.0, 2.5, -1.0]), DiagonalNormal(jnp.asarray(LOC), jnp.asarray(LOG_SCALE))
    close(normal.log_prob(jnp.asarray(x)), stats.norm.logpdf(x, LOC, np.exp(LOG_SCALE)).sum())
    close(StandardNormal((3,)).log_prob(jnp.asarray(x)), stats.norm.logpdf(x).sum())


def check_normal_sample_and_density() -> None:
    normal = DiagonalNormal(jnp.asarray(LOC), jnp.asarray(LOG_SCALE))
    event, value = normal.sample_and_log_prob(key=jax.random.key(0))
    close(value, stats.norm.logpdf(np.asarray(event), LOC, np.exp(LOG_SCALE)).sum())


def check_normal_samples() -> None:
    normal = DiagonalNormal(jnp.asarray(LOC), jnp.asarray(LOG_SCALE))
    z = jax.vmap(lambda k: normal.sample(key=k))(jax.random.split(jax.random.key(0), 10_000))
    agrees(z, LOC)
    agrees((np.asarray(z) - LOC) ** 2, np.exp(2 * LOG_SCALE))


def check_bernoulli_density() -> None:
    x = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    close(
        Bernoulli(jnp.asarray(LOGITS)).log_prob(jnp.asarray(x)), stats.bernoulli.logpmf(x, special.expit(LOGITS)).sum()
    )


def check_784_pixels() -> None:
    close(Bernoulli(jnp.zeros((28, 28))).log_prob(jnp.ones((28, 28))), -543.427389559)


def check_continuous_bernoulli() -> None:
    """The reference page: lambda = 0.3, x = 0.8."""
    density = ContinuousBernoulli(jnp.asarray([special.logit(0.3)]))
    close(density.log_prob(jnp.asarray([0.8])), -0.283925481368)
    close(density.log_prob(jnp.asarray([0.0])) - np.log(0.7), 0.75058775088)
    close(density.mean(), [0.430222501144])


def check_categorical_density() -> None:
    x = jnp.asarray([2, 0, 3])
    close(Categorical(jnp.asarray(LEVELS)).log_prob(x), special.log_softmax(LEVELS, axis=1)[range(3), [2, 0, 3]].sum())


def check_affine_density() -> None:
    x, base_normal = np.array([3.0, -2.2, 8.0]), DiagonalNormal(jnp.asarray(LOC), jnp.asarray(LOG_SCALE))
    units = Affine(base_normal, jnp.asarray(SHIFT), jnp.asarray(SCALE))
    close(units.log_prob(jnp.asarray(x)), stats.norm.logpdf(x, SHIFT + SCALE * LOC, SCALE * np.exp(LOG_SCALE)).sum())


def check_kl_of_normals() -> None:
    """The reference page: 1.75 and 1.04254436112 nats."""
    q = DiagonalNormal(jnp.asarray([1.0, -0.5]), jnp.log(jnp.asarray([0.5, 2.0])))
    close(divergence.kl(q, StandardNormal((2,))), 1.75)
    one, two = (DiagonalNormal(jnp.asarray([m]), jnp.log(jnp.asarray([s]))) for m, s in ((1.0, 0.5), (0.0, 2.0)))
    close(divergence.kl(one, two), 1.04254436112)


def check_kl_of_discrete() -> None:
    """The reference page: 0.296793736125 and 0.0822828785051 nats."""
    three, uniform = Categorical(jnp.log(jnp.asarray([[0.7, 0.2, 0.1]])) + 4.0), Categorical(jnp.zeros((1, 3)))
    close(divergence.kl(three, uniform), 0.296793736125)
    coin, fair = Bernoulli(jnp.asarray([special.logit(0.3)])), Bernoulli(jnp.zeros(1))
    close(divergence.kl(coin, fair), 0.0822828785051)


# Networks and heads


def check_scale_forms() -> None:
    outputs = np.array([0.3, -1.0, 0.4, -2.0])
    expected = {"log-scale": np.exp(outputs[2:]), "log-variance": np.exp(outputs[2:] / 2)}
    expected["softplus"] = np.log1p(np.exp(outputs[2:])) + 1e-6
    for form, scale in expected.items():
        normal = NormalHead((2,), form)(jnp.asarray(outputs))
        close(normal.mean(), outputs[:2])
        close(jnp.exp(normal.log_scale_array()), scale)


def check_output_bias() -> None:
    """With all weights 0, a decoder that starts at the data's mean has exactly that mean."""
    mean = np.array([0.1, 0.5, 0.97])
    for head in (BernoulliHead((3,)), ContinuousBernoulliHead((3,))):
        part = Conditional(linear_dense(2, 3), head).with_output_bias(mean)
        close(part(jnp.asarray([3.0, -1.0])).mean(), mean)


def linear_dense(n_in: int, n_out: int) -> Dense:
    zero = dense([n_in, n_out], jax.random.key(0))
    return eqx.tree_at(lambda n: n.layers[0].weight, zero, jnp.zeros((n_in, n_out)))


def check_first_weights() -> None:
    """The standard deviation of 60 000 first weights, within 5 of its standard errors sqrt((kurtosis - 1) / 4n)."""
    n_in, n_out = 300, 200
    laws = {
        "he-normal": (np.sqrt(2 / n_in), 3.0),
        "he-normal-fan-out": (np.sqrt(2 / n_out), 3.0),
        "lecun-normal": (np.sqrt(1 / n_in), 3.0),
        "normal-gain-2": (2 / np.sqrt(n_in), 3.0),
        "xavier-normal": (np.sqrt(2 / (n_in + n_out)), 3.0),
        "glorot-uniform": (np.sqrt(2 / (n_in + n_out)), 1.8),
    }
    assert set(laws) == set(INITIALIZERS)
    for name, (std, kurtosis) in laws.items():
        weight = np.asarray(Dense([n_in, n_out], initializer=name, key=jax.random.key(0)).layers[0].weight)
        assert abs(weight.std() / std - 1) < 5 * np.sqrt((kurtosis - 1) / (4 * weight.size)), name
        assert abs(weight.mean()) < 5 * std / np.sqrt(weight.size), name


def check_activations() -> None:
    x = np.linspace(-4.0, 4.0, 9)
    formulas = {
        "elu": np.where(x > 0, x, np.expm1(x)),
        # The tanh form of GELU, jax's default.
        "gelu": x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        "identity": x,
        "relu": np.maximum(x, 0),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "silu": x / (1 + np.exp(-x)),
        "softplus": np.log1p(np.exp(x)),
        "tanh": np.tanh(x),
    }
    assert set(formulas) == set(ACTIVATIONS)
    for name, expected in formulas.items():
        close(ACTIVATIONS[name](jnp.asarray(x)), expected)


def check_dropout() -> None:
    """Of values 2, a share of 0.3 becomes 0 and the rest 2 / 0.7, so that the mean stays 2."""
    dropped = np.asarray(dense_module._dropout(jnp.full(20_000, 2.0), 0.3, jax.random.key(0)))
    agrees(dropped == 0.0, 0.3)
    agrees(dropped, 2.0)
    close(np.unique(dropped), [0.0, 2.0 / 0.7])


def check_frozen() -> None:
    """One weight and one bias in, two and two out: the frozen shift, scale and log-scale are not trained."""
    pair = conjugate_pair()
    assert count_parameters(pair) == 2 + 2 + 1 + 1
    decoder = Conditional(linear(np.ones((1, 2)), np.zeros(2)), AffineHead(NormalHead((1,)), np.ones(1), np.ones(1)))
    assert count_parameters(decoder) == 2 + 2
