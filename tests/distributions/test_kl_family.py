"""Divergences of the family: the reference page, quadrature, sums over all values, and samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close, finite_difference
from jax.flatten_util import ravel_pytree
from scipy import stats
from tables_family import CUTS, EXP, LOC, SCALE, SIGMOID, DistributionRow, logs, real
from tables_joint import AXIS, FACTOR, plane, sphere
from test_divergence import PAIRS

from latens.distributions import (
    Bernoulli,
    Categorical,
    DiagonalNormal,
    DiscretisedLogistic,
    FullNormal,
    Laplace,
    Mixture,
    Ordinal,
    Poisson,
    Product,
    StandardNormal,
    StudentT,
    UniformSphere,
    VariableMixture,
    VonMisesFisher,
    estimate_kl,
    has_closed_form,
    kl,
    kl_method,
    kl_terms,
)
from latens.distributions.divergence import _CLOSED_FORMS
from latens.errors import ConfigError

A, B = np.array([1.5, 2.0, 5.0]), np.array([2.5, 1.2, 3.0])
LINE, UNIT, HALF = {}, {"interval": (-60.0, 30.0), "spread": SIGMOID}, {"interval": (-60.0, 6.0), "spread": EXP}
KINKED = {"interval": (-60.0, 60.0)}

BY_VARIABLE = {
    "Laplace": (lambda: Laplace(*real(np.array([0.0, -1.2])), *logs(SCALE[:2])),
                lambda: Laplace(*real(np.array([0.0, 0.4])), *logs(SCALE[1:])), KINKED),
    "Poisson": (lambda: Poisson(*logs(A)), lambda: Poisson(*logs(B)), {"levels": 60}),
}  # fmt: skip


def _full(shift: float = 0.0) -> FullNormal:
    return FullNormal(*real(LOC[:2] + shift, FACTOR + shift))


def _diagonal(shift: float = 0.0) -> DiagonalNormal:
    return DiagonalNormal(*real(LOC[:2] + shift), *logs(SCALE[:2] + shift))


NORMALS = {"full": _full, "diagonal": _diagonal, "standard": lambda shift=0.0: StandardNormal((2,))}
AS_WHOLE = {
    **{
        f"{q} Normal || {p} Normal": (NORMALS[q], lambda p=p: NORMALS[p](0.2), plane)
        for q in NORMALS
        for p in NORMALS
        if {"full", "low rank"} & {q, p} or (q, p) == ("standard", "diagonal")
    },
    "von Mises-Fisher": (lambda: VonMisesFisher(*real(AXIS), *logs(3.7)), lambda: UniformSphere(3), sphere),
    "uniform sphere": (lambda: UniformSphere(3), lambda: UniformSphere(3), sphere),
}
EXACT = {**{k: v[:2] for k, v in BY_VARIABLE.items()}, **{k: v[:2] for k, v in AS_WHOLE.items()}}


def test_every_closed_form_is_tested():
    tested = {(type(pair[0]()), type(pair[1]())) for pair in [*PAIRS.values(), *EXACT.values()]}
    assert set(_CLOSED_FORMS) == tested


@pytest.mark.parametrize("pair", BY_VARIABLE)
def test_by_variable_meets_quadrature(pair, float64):
    make_q, make_p, grid = BY_VARIABLE[pair]
    q, p = make_q(), make_p()
    events, weights = DistributionRow(make_q, np.log, **grid).points(q.mean().shape)
    log_q, log_p = (np.asarray(jax.vmap(d.log_prob_terms)(jnp.asarray(events))) for d in (q, p))
    close(kl_terms(q, p), (np.exp(log_q) * (log_q - log_p) * weights).sum(axis=0), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("pair", AS_WHOLE)
def test_whole_events_meet_quadrature(pair, float64):
    make_q, make_p, points = AS_WHOLE[pair]
    q, p = make_q(), make_p()
    events, weights = points()
    log_q, log_p = (np.asarray(jax.jit(jax.vmap(d.log_prob))(jnp.asarray(events))) for d in (q, p))
    close(kl(q, p), np.sum(np.exp(log_q) * (log_q - log_p) * weights), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("pair", EXACT)
def test_exact_divergences_are_smooth_and_zero_at_themselves(pair, float64):
    q, p = (make() for make in EXACT[pair])
    theta, rebuild = ravel_pytree((q, p))
    value = lambda t: kl(*rebuild(t))  # noqa: E731
    if theta.size:
        close(jax.jit(jax.grad(value))(theta), finite_difference(value, theta), rtol=1e-6, atol=1e-8)
    if (type(q), type(q)) in _CLOSED_FORMS:
        close(kl(q, q), 0.0, atol=1e-12)


def test_the_reference_page(float64):
    flat = np.ones(1)
    page = [
        (kl(Laplace(*real(flat), *logs(0.5)), Laplace(*real(0 * flat), *logs(1.0))), 0.760814822178),
        (kl(Poisson(*logs(3 * flat)), Poisson(*logs(1.5 * flat))), 0.57944154168),
        (kl(VonMisesFisher(jnp.ones(3), *logs(10.0)), UniformSphere(3)), 1.99573231684),
        (kl(VonMisesFisher(jnp.ones(2), *logs(5.0)), UniformSphere(2)), 1.1622339094),
    ]
    close([float(ours) for ours, _ in page], [value for _, value in page], rtol=1e-10)
    close(kl(VonMisesFisher(jnp.ones(3), *logs(0.001)), UniformSphere(3)), 1.6667e-7, rtol=1e-4, atol=1e-12)


def test_concentrated_spheres_in_single_precision():
    """Far out, KL = (m - 1)/2 (log kappa - log 2 pi - 1) + log area + O(1/kappa), here with kappa 1e5 and m = 5."""
    expected = 2 * (np.log(1e5) - np.log(2 * np.pi) - 1) + np.log(8 * np.pi**2 / 3)
    close(jax.jit(kl)(VonMisesFisher(jnp.ones(5), jnp.log(1e5)), UniformSphere(5)), expected, rtol=1e-5)


def test_discrete_pairs_are_enumerated(float64):
    """Different families with the same values, by variable; a mixture of whole events over all of them."""
    grades, classes = Ordinal(*real(LOC, CUTS)), Categorical(*real(np.arange(12.0).reshape(3, 4) % 5))
    assert kl_method(grades, classes) == "enumeration"
    assert has_closed_form(grades, classes)
    q, p = np.exp(np.asarray(grades.log_probabilities())), np.asarray(classes.probabilities())
    close(kl_terms(grades, classes), np.sum(q * np.log(q / p), axis=1), rtol=1e-9)
    pixels = DiscretisedLogistic(*real(np.zeros((1, 2))), *logs(np.full((1, 2), 0.3)), levels=9)
    same = VariableMixture(*real(np.zeros((1, 2))), pixels)
    one = DiscretisedLogistic(*real(np.zeros(1)), *logs(np.full(1, 0.3)), levels=9)
    assert kl_method(same, one) == "enumeration"
    close(kl(same, one), 0.0, atol=1e-12)
    coins = Mixture(*real(np.zeros(2)), jax.vmap(Bernoulli)(jnp.asarray([[30.0, 30.0], [-30.0, -30.0]])))
    fair = Bernoulli(jnp.zeros(2))
    assert kl_method(coins, fair) == "enumeration"
    close(kl(coins, fair), np.log(2.0), rtol=1e-9)  # two equal coins: one bit is known of two
    many = Mixture(*real(np.zeros(2)), jax.vmap(Bernoulli)(jnp.zeros((2, 13))))
    assert kl_method(many, Bernoulli(jnp.zeros(13))) == "Monte Carlo"
    assert kl_method(grades, Categorical(jnp.zeros((3, 5)))) == "Monte Carlo"


def test_products_add_up(float64):
    q = Product({"b": Poisson(*logs(np.full(1, 3.0))), "a": Ordinal(*real(LOC, CUTS))})
    p = Product({"a": Categorical(jnp.zeros((3, 4))), "b": Poisson(*logs(np.full(1, 1.5)))})
    assert kl_method(q, p) == "enumeration"
    close(kl_terms(q, p), [kl(q.parts["a"], p.parts["a"]), 0.57944154168], rtol=1e-9)
    far = Product({"a": p.parts["a"]})
    assert kl_method(q, far) == "Monte Carlo"


@pytest.mark.parametrize(
    ("q", "p", "expected"),
    [
        (StandardNormal((1,)), StudentT(jnp.zeros(1), jnp.zeros(1), jnp.log(jnp.full(1, 5.0))), 0.0333766823506),
    ],
)
def test_all_else_is_sampled_and_says_so(q, p, expected):
    """The reference page, within 5 of its own standard errors, which are those of the spread of the log ratios."""
    found = jax.jit(lambda key: estimate_kl(q, p, key=key, num_samples=20_000))(jax.random.key(1))
    assert found.method == kl_method(q, p) == "Monte Carlo"
    assert not has_closed_form(q, p)
    assert abs(float(found.value) - expected) < 5 * float(found.standard_error) < 0.03
    key = jax.random.key(2)
    close(kl(q, p, key=key, num_samples=10), estimate_kl(q, p, key=key, num_samples=10).value)
    with pytest.raises(ConfigError, match=r"no closed form here.*give kl a key"):
        kl(q, p)
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        estimate_kl(q, p, key=key, num_samples=1)


def test_the_standard_error_is_the_spread_of_the_estimates():
    """Of 300 estimates from 50 samples each: their spread is the mean standard error within 10 %."""
    q, p = StandardNormal((1,)), Laplace(jnp.zeros(1), jnp.zeros(1))
    found = jax.vmap(lambda key: estimate_kl(q, p, key=key, num_samples=50))(jax.random.split(jax.random.key(3), 300))
    close(np.std(found.value), np.mean(found.standard_error), rtol=0.1)
    exact = estimate_kl(q, q)
    assert (float(exact.value), float(exact.standard_error), exact.method) == (0.0, 0.0, "closed form")
    nodes = np.linspace(-12, 12, 100_001)
    density = stats.norm.pdf(nodes) * (nodes[1] - nodes[0])
    expected = np.sum(density * (stats.norm.logpdf(nodes) - stats.laplace.logpdf(nodes)))
    assert abs(np.mean(found.value) - expected) < 5 * np.std(found.value) / np.sqrt(300)
