"""Densities, entropies and inverses against formulas that are written once more, each at a point or two."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import special, stats

from latens import distributions
from latens.distributions import (
    AbstractDistribution,
    Bernoulli,
    Categorical,
    Context,
    DiagonalNormal,
    FullNormal,
    Laplace,
    Mixture,
    Poisson,
    Product,
    RelaxedOneHot,
    StandardNormal,
    VariableMixture,
    VonMisesFisher,
    log_prob,
)
from latens.distributions.bijections import Autoregressive
from latens.distributions.special import _DEBYE, _debye_polynomials, log_bessel_scaled
from latens.errors import UsageError
from latens.models.autoregressive_codes import TransformerCodes
from latens.models.quantised import CodePosterior

RANDOM = np.random.default_rng(0)


def test_what_distributions_say_of_their_samples_and_densities():
    """Samples without a path are those of a choice; densities by area are those on spheres, simplices and codes."""
    kinds = {name: one for name, one in vars(distributions).items() if isinstance(one, type)}
    said = lambda one: [base for base in one.__mro__ if isinstance(vars(base).get("has_path"), bool)][:1]  # noqa: E731
    told = {name: one.has_path for name, one in kinds.items() if said(one) not in ([], [AbstractDistribution])}
    choices = {"Mixture", "VariableMixture", "DiscretisedLogistic", "NegativeBinomial", "Poisson", "ZeroInflated"}
    choices |= {
        "Bernoulli",
        "Categorical",
        "Ordinal",
        "Segments",
        "ColourLogistics",
        "Autoregressive",
    }
    choices |= {"TokenSequence"}
    assert {name for name, path in told.items() if not path} == choices
    assert {"VonMisesFisher", "UniformSphere", "RelaxedOneHot"} <= set(told)
    area = {"VonMisesFisher", "UniformSphere", "RelaxedOneHot", "WrappedNormal"}
    area |= {"TokenSequence"}  # rows of codes
    distribution = {n: one for n, one in kinds.items() if issubclass(one, AbstractDistribution)}
    assert {name for name, one in distribution.items() if not one.by_volume} == area
    assert (CodePosterior.has_path, CodePosterior.by_volume) == (True, False)
    assert AbstractDistribution.by_volume
    assert not TransformerCodes.by_volume


def test_a_mixture_of_what_has_no_mean_has_none():
    pair = Mixture(jnp.log(jnp.array([0.25, 0.75])), DiagonalNormal(jnp.array([[0.0], [4.0]]), jnp.zeros((2, 1))))
    close(pair.mean(), [3.0])
    relaxed = jax.jit(jax.vmap(lambda logits: RelaxedOneHot(logits, jnp.zeros(()))))(jnp.zeros((2, 3)))
    with pytest.raises(TypeError, match="RelaxedOneHot has no mean in closed form"):
        Mixture(jnp.zeros(2), relaxed).mean()


def test_moments_of_mixtures_for_each_variable():
    logits, loc, scale = RANDOM.normal(size=(2, 3, 4)), RANDOM.normal(size=(2, 3, 4)), RANDOM.random((2, 3, 4)) + 0.5
    parts = DiagonalNormal(jnp.asarray(loc, jnp.float32), jnp.log(jnp.asarray(scale, jnp.float32)))
    one, weights = VariableMixture(jnp.asarray(logits, jnp.float32), parts), special.softmax(logits, axis=-1)
    mean = (weights * loc).sum(axis=-1)
    found = one.moments()
    close(found[0], mean)
    close(found[1], (weights * (scale**2 + loc**2)).sum(axis=-1) - mean**2, rtol=1e-4)
    close(one.mean(), mean)
    x = RANDOM.normal(size=(2, 3))
    close(
        one.log_prob_terms(jnp.asarray(x, jnp.float32)),
        np.log((weights * stats.norm.pdf(x[..., None], loc, scale)).sum(axis=-1)),
        rtol=1e-4,
    )


def test_several_relaxed_choices_are_independent():
    """Maddison, Mnih & Teh (2017): (n - 1)! tau^(n - 1) prod(p x^(-tau - 1)) / (sum p x^-tau)^n, of each choice."""
    logits, tau = np.array([[0.3, -1.0, 0.5], [2.0, 0.0, 0.1]]), 0.7
    x = np.array([[0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])
    p = np.exp(logits)
    each = 2.0 * tau**2 * np.prod(p * x ** (-tau - 1), axis=1) / np.sum(p * x**-tau, axis=1) ** 3
    one = RelaxedOneHot(jnp.asarray(logits), jnp.log(tau))
    close(one.log_prob(jnp.asarray(x, jnp.float32)), np.log(each).sum(), rtol=1e-4)
    assert one.log_prob(jnp.asarray(x).at[0, 0].set(0.0)) == -np.inf
    drawn = one.from_uniform(jnp.asarray(RANDOM.random((2, 3)), jnp.float32))
    close(drawn.sum(axis=1), [1.0, 1.0])


def test_a_flow_comes_back():
    flow = Autoregressive.create(3, 2, 8, key=jax.random.key(0))
    flow = jax.tree.map(lambda leaf: leaf + 0.3 * RANDOM.normal(size=leaf.shape).astype(np.float32), flow)
    x, context = jnp.asarray([0.5, -1.0, 2.0]), jnp.asarray([1.0, -0.5])
    y, log_det = flow.transform_and_log_det(x, context)
    back, inverse = flow.inverse_and_log_det(y, context)
    close(back, x, atol=1e-5)
    close(inverse, -log_det)
    jacobian = jax.jacobian(lambda one: flow.transform_and_log_det(one, context)[0])(x)
    close(np.linalg.slogdet(np.asarray(jacobian))[1], log_det, rtol=1e-4)
    close(np.triu(jacobian, 1), np.zeros((3, 3)))


@pytest.mark.parametrize("order", [0.0, 0.5, 1.5, 7.0, 40.0, 600.0])
def test_bessel_functions(order, float64):
    x = np.array([0.3, 4.0, 30.0, 500.0])
    with np.errstate(all="ignore"):
        expected = order * np.log(x) - np.log(special.ive(order, x))
    found = jax.jit(jax.vmap(lambda one: log_bessel_scaled(order, one)))(jnp.asarray(x))
    there = np.isfinite(expected)
    close(np.asarray(found)[there], expected[there], rtol=1e-9)
    if order == 600.0:  # of which SciPy has no small arguments: the first terms of the series
        terms = [k * np.log(x[:2] ** 2 / 4) - special.gammaln(k + 1) - special.gammaln(k + 601.0) for k in range(6)]
        close(np.asarray(found)[:2], x[:2] + 600 * np.log(2.0) - special.logsumexp(terms, axis=0), rtol=1e-12)


def test_polynomials_of_the_expansion_for_large_orders():
    """DLMF 10.41.10: u_1 = (3 t - 5 t^3) / 24, u_2 = (81 t^2 - 462 t^4 + 385 t^6) / 1152."""
    found = _debye_polynomials(9)
    close(found[0], np.eye(9)[0])
    close(found[1, :3], [3 / 24, -5 / 24, 0.0])
    close(found[2, :4], [81 / 1152, -462 / 1152, 385 / 1152, 0.0])
    close(found, _DEBYE)


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("kind", [VonMisesFisher])
def test_densities_on_spheres(kind, m):
    """By quadrature over the cosine, whose density has the factor (1 - w^2)^((m - 3) / 2) and the area of a circle."""
    kappa = 2.5
    one = kind(2.0 * jnp.ones(m), jnp.log(kappa))
    angle, weight = np.polynomial.legendre.leggauss(200)
    angle = 0.5 * np.pi * (angle + 1.0)
    area = 2.0 * np.pi ** ((m - 1) / 2) / special.gamma((m - 1) / 2)
    weight = 0.5 * np.pi * weight * area * np.sin(angle) ** (m - 2)
    cosine = np.cos(angle)
    raw = kappa * cosine if kind is VonMisesFisher else kappa * np.log1p(cosine)
    log_p = raw - np.log(np.sum(weight * np.exp(raw)))
    unit, other = np.ones(m) / np.sqrt(m), np.eye(m)[0] - np.ones(m) / m
    other /= np.linalg.norm(other)
    some = [20, 100, 150]
    points = cosine[some, None] * unit + np.sin(angle[some, None]) * other
    close(jax.jit(jax.vmap(one.log_prob))(jnp.asarray(points, jnp.float32)), log_p[some], rtol=1e-4, atol=1e-4)
    close(one.entropy(), -np.sum(weight * np.exp(log_p) * log_p), rtol=1e-4)
    close(one.mean(), np.sum(weight * np.exp(log_p) * cosine) * unit, rtol=1e-4)


def test_columns_of_a_product_draw_the_same_in_any_order():
    parts = {name: DiagonalNormal(jnp.full(2, at), jnp.zeros(2)) for name, at in (("b", 1.0), ("a", -1.0), ("c", 5.0))}
    one, other = Product(parts), Product({name: parts[name] for name in ("c", "a", "b")})
    key = jax.random.key(3)
    for found in (one.sample(key=key), other.sample(key=key)):
        keys = dict(zip("abc", jax.random.split(key, 3)))
        for name, part in parts.items():
            close(found[name], part.sample(key=keys[name]))
    noise = other.sample_noise(key=key)
    for name, own in zip("abc", jax.random.split(key, 3)):
        close(noise[name], parts[name].sample_noise(key=own))
        close(one.from_noise(noise)[name], parts[name].from_noise(noise[name]))


def test_a_network_of_pixels_starts_without_biases():
    made = Context.drawn(1, 3, 5, width=4, rows=1, sides=1, neighbour_units=2, key=jax.random.key(0))
    close(made.output, np.zeros((5, 4)))
    small = [leaf for leaf in jax.tree.leaves(made) if hasattr(leaf, "ndim") and leaf.ndim == 1]
    assert len(small) == 2
    for leaf in small:
        close(leaf, np.zeros(len(leaf)))


@pytest.mark.parametrize(
    "distribution",
    [
        DiagonalNormal(jnp.zeros(3), jnp.zeros(3)), Laplace(jnp.zeros(3), jnp.zeros(3)), Bernoulli(jnp.zeros(3)),
        FullNormal(jnp.zeros(3), jnp.eye(3)), Poisson(jnp.zeros(3)), 
        Categorical(jnp.zeros((3, 2))),
    ],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
@pytest.mark.parametrize("event", [jnp.zeros((5, 3)), np.zeros(1), 0.0])
def test_a_density_of_one_event_takes_one_event(distribution: Any, event: Any) -> None:
    with pytest.raises(UsageError, match=r"is not one event of shape \(3,\)"):
        distribution.log_prob(event)


def test_a_batch_is_not_one_event() -> None:
    normal, batch = StandardNormal((3,)), jnp.zeros((2, 3))
    with pytest.raises(UsageError, match=r"shape \(2, 3\) is not one event of shape \(3,\)"):
        log_prob(normal, batch)
    each = jax.jit(jax.vmap(lambda event: log_prob(normal, event)))(batch)
    np.testing.assert_allclose(each, -1.5 * np.log(2 * np.pi), rtol=1e-6)
    assert float(log_prob(normal, batch[0])) == float(each[0])
