"""Values of the family: scipy and numpyro in double precision, the reference page, and single precision far out."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from checks import close
from scipy import special, stats
from tables import DISTRIBUTIONS
from tables_family import CUTS, DF, EXTRA, LOC, RATE, SCALE, THETA, logs, real
from tables_joint import JOINT, MEANS, SCALES, SHARES, TRIL

from latens.distributions import (
    Bernoulli,
    DiscretisedLogistic,
    NegativeBinomial,
    Ordinal,
    Poisson,
    RelaxedOneHot,
    StudentT,
    ZeroInflated,
)
from latens.distributions.special import (
    log_bessel_scaled,
    log_count_remainder,
    log_gamma_ratio,
    stirling_error,
)

ORDERED = CUTS[0] + np.concatenate([[0.0], np.cumsum(np.exp(CUTS[1:]))])

NUMPYRO = {
    "Laplace": lambda: numpyro.Laplace(LOC, SCALE),
    "Logistic": lambda: numpyro.Logistic(LOC, SCALE),
    "StudentT": lambda: numpyro.StudentT(DF, LOC, SCALE),
    "Poisson": lambda: numpyro.Poisson(RATE),
    "NegativeBinomial": lambda: numpyro.NegativeBinomial2(RATE, THETA),
    "ZeroInflated of a NegativeBinomial": lambda: numpyro.ZeroInflatedNegativeBinomial2(
        RATE, THETA, gate=special.expit(EXTRA)
    ),
    "Ordinal": lambda: numpyro.OrderedLogistic(LOC, ORDERED),
    "FullNormal": lambda: numpyro.MultivariateNormal(LOC[:2], scale_tril=TRIL),
    "Mixture": lambda: numpyro.MixtureSameFamily(
        numpyro.CategoricalLogits(jnp.asarray(SHARES)), numpyro.Normal(MEANS, SCALES).to_event(1)
    ),
}


@pytest.mark.parametrize("name", NUMPYRO)
def test_log_prob_and_mean_meet_numpyro(name, getkey, float64):
    ours, theirs = (DISTRIBUTIONS | JOINT)[name].make(), NUMPYRO[name]()
    events = jax.jit(jax.vmap(lambda key: ours.sample(key=key)))(jax.random.split(getkey(), 20))
    terms = getattr(ours, "log_prob_terms", ours.log_prob)
    close(jax.jit(jax.vmap(terms))(events), theirs.log_prob(events), rtol=1e-9)
    if name != "Ordinal":  # numpyro gives none
        close(ours.mean(), theirs.mean, rtol=1e-9)


def test_the_reference_page(float64):
    counts = NegativeBinomial(*logs(np.array([3.0]), np.array([2.0])))
    close(counts.log_prob(jnp.array([4.0])), -2.26644604638, rtol=1e-10)
    zeros = ZeroInflated(counts, *real(special.logit(np.array([0.3]))))
    close(zeros.log_prob(jnp.array([0.0])), -0.886731929633, rtol=1e-10)
    concrete = RelaxedOneHot(*logs(np.array([0.7, 0.2, 0.1]), 0.5))
    close(concrete.log_prob(jnp.array([0.6, 0.3, 0.1])), -0.317659821368, rtol=1e-10)
    pixel = DiscretisedLogistic(*real(np.zeros(1)), *logs(np.array([0.1])))
    close(pixel.log_prob(jnp.array([128])), -3.93233807221, rtol=1e-10)


LARGE = np.array([1e-3, 0.5, 7.9, 8.1, 1e3, 1e6])


@pytest.mark.parametrize(
    "terms",
    [
        lambda a: Poisson(jnp.log(a)).log_prob_terms(jnp.round(a + jnp.sqrt(a))),
        lambda a: StudentT(jnp.zeros(6, a.dtype), jnp.zeros(6, a.dtype), jnp.log(a)).log_prob_terms(jnp.ones_like(a)),
    ],
    ids=["Poisson", "StudentT"],
)
def test_large_parameters_keep_single_precision(terms):
    """Log densities of order 10 that are differences of terms of order 1e7: single meets double precision to 1e-5.

    For the Poisson to 2e-3: half an ulp of the logarithm of a rate of a million moves the count by half a deviation.
    """
    single = jnp.asarray(LARGE, jnp.float32)
    value = terms(single)
    with jax.enable_x64(True):
        close(value, terms(jnp.asarray(np.asarray(single, np.float64))), rtol=1e-5, atol=1e-5)


def test_counts_far_out_meet_scipy(float64):
    """Counts up to a million, means from 1e-3 to 1e6, dispersions up to 1e9, where a Poisson is the limit."""
    count, mean = (a.ravel() for a in np.meshgrid([0.0, 1.0, 9.0, 500.0, 1e6], [1e-3, 1.0, 700.0, 1e6]))
    close(Poisson(*logs(mean)).log_prob_terms(jnp.asarray(count)), stats.poisson.logpmf(count, mean), rtol=1e-9)
    for theta in (0.01, 3.0, 1e4):
        expected = stats.nbinom.logpmf(count, theta, 1 / (1 + mean / theta))
        ours = NegativeBinomial(*logs(mean, theta)).log_prob_terms(jnp.asarray(count))
        close(ours, expected, rtol=1e-7, atol=1e-7)
    near = np.abs(count - mean) < 10 * np.sqrt(mean + 1)
    limit = NegativeBinomial(*logs(mean, 1e14)).log_prob_terms(jnp.asarray(count))
    close(np.asarray(limit)[near], stats.poisson.logpmf(count, mean)[near], rtol=1e-6)


def test_counts_in_single_precision():
    """A count of 10 000 under means around it, within 2e-5 (the terms are of order 1e5)."""
    mean, count = np.array([9900.0, 10000.0, 10100.0]), np.full(3, 10000.0)
    ours = Poisson(jnp.log(jnp.asarray(mean))).log_prob_terms(jnp.asarray(count))
    rounded = np.exp(np.asarray(jnp.log(jnp.asarray(mean)), np.float64))  # the rate that the rounded logarithm means
    close(ours, stats.poisson.logpmf(count, rounded), rtol=2e-5)
    ours = NegativeBinomial(jnp.log(jnp.asarray(mean)), jnp.log(jnp.full(3, 50.0))).log_prob_terms(jnp.asarray(count))
    close(ours, stats.nbinom.logpmf(count, 50.0, 50.0 / (50.0 + rounded)), rtol=2e-5)


OUTSIDE = [
    (Poisson(jnp.zeros(3)), [-1.0, 0.5, 1.0], -1.0),
    (NegativeBinomial(jnp.zeros(3), jnp.zeros(3)), [-1.0, 0.5, 1.0], -2 * np.log(2)),
    (ZeroInflated(Poisson(jnp.zeros(3)), jnp.zeros(3)), [-1.0, 0.5, 1.0], -1.0 - np.log(2)),
    (Ordinal(jnp.zeros(3), jnp.zeros(1)), [-1, 2, 1], -np.log(2)),
    (DiscretisedLogistic(jnp.zeros(3), jnp.zeros(3), levels=2), [-1, 2, 1], -np.log(2)),
]


@pytest.mark.parametrize(("distribution", "event", "inside"), OUTSIDE, ids=lambda v: type(v).__name__)
def test_outside_the_support_is_impossible(distribution, event, inside):
    """Minus infinity there, the density beside it, and a gradient that is the one of the possible part."""
    event = jnp.asarray(event)
    close(distribution.log_prob_terms(event), [-np.inf, -np.inf, inside])
    gradient = jax.jit(jax.grad(lambda d: jnp.sum(d.log_prob_terms(event))))(distribution)
    only = jax.jit(jax.grad(lambda d: d.log_prob_terms(event)[2]))(distribution)
    jax.tree.map(lambda a, b: close(a, b, rtol=0, atol=0), gradient, only)


def test_relaxed_variables_are_functions_of_uniform_noise():
    """Over an even grid of noise: each choice as often as its probability."""
    u = (jnp.arange(200) + 0.5) / 200
    pairs = jnp.stack(jnp.meshgrid(u, u), axis=-1).reshape(-1, 2)
    logits, temperature = jnp.log(jnp.array([0.7, 0.3])), jnp.log(jnp.array(0.5))
    soft = jax.jit(jax.vmap(RelaxedOneHot(logits, temperature).from_uniform))(pairs)
    close(soft.sum(-1), jnp.ones(len(pairs)), rtol=1e-6)
    close(np.mean(soft.argmax(-1) == 0), 0.7, rtol=0, atol=2e-3)


def test_student_has_no_mean_at_one_degree_of_freedom():
    close(StudentT(jnp.ones(2), jnp.zeros(2), jnp.log(jnp.array([1.0, 1.5]))).mean(), [np.nan, 1.0])


def test_special_functions(float64):
    z = np.array([1e-6, 0.1, 1.0, 7.999, 8.001, 30.0, 1e5])
    plain = special.gammaln(z) - (z - 0.5) * np.log(z) + z - 0.5 * np.log(2 * np.pi)
    close(stirling_error(jnp.asarray(z)), plain, rtol=1e-9, atol=1e-9)
    close(log_gamma_ratio(jnp.asarray(z), 0.5), special.gammaln(z + 0.5) - special.gammaln(z), rtol=1e-9, atol=1e-9)
    count = np.array([0.0, 1.0, 7.0, 8.0, 150.0])
    expected = special.gammaln(count + 1) - special.xlogy(count, count) + count
    close(log_count_remainder(jnp.asarray(count)), expected, rtol=1e-9)


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 4.5, 24.0, 127.0])
def test_bessel_function_of_any_order(order, float64):
    """Against scipy's, and its slope against 1 - I(order + 1)/I(order), also where series and expansion meet."""
    x = np.array([1e-3, 0.1, 1.0, 10.0, 24.0, 25.1, 60.0, 600.0])
    x = x[special.ive(order, x) > 1e-290]
    scaled = special.ive(order, x)
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda y: log_bessel_scaled(order, y))))(jnp.asarray(x))
    close(values, order * np.log(x) - np.log(scaled), rtol=1e-10, atol=1e-10)
    close(slopes, 1 - special.ive(order + 1, x) / scaled, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("size", [5, 40])
def test_slopes_of_the_cross_entropy(size, getkey):
    """x - sigmoid(l) by the logits, l by the pixels, -p (1 - p) on the diagonal of the second derivative."""
    logits, event = 3.0 * jax.random.normal(getkey(), (size,)), jax.random.uniform(getkey(), (size,))
    p = 1.0 / (1.0 + np.exp(-np.asarray(logits, np.float64)))

    def value(logits, event):
        return Bernoulli(logits).log_prob(event)

    x = np.asarray(event, np.float64)
    close(value(logits, event), np.sum(x * np.log(p) + (1 - x) * np.log1p(-p)), rtol=1e-5)
    close(jax.jit(jax.grad(value))(logits, event), x - p, atol=1e-6)
    close(jax.jit(jax.grad(value, 1))(logits, event), logits, rtol=1e-6)
    close(jax.jit(jax.hessian(value))(logits, event), -np.diag(p * (1 - p)), atol=1e-6)
    whole = jax.jit(jax.grad(lambda logits: value(logits, jnp.zeros(size))))(logits)
    close(whole, -p, atol=1e-6)
