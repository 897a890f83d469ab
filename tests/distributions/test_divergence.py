"""Every divergence in closed form against quadrature or a sum over all events, its slopes, and what is sampled."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from jax.flatten_util import ravel_pytree
from scipy import stats
from tables import LEVELS, LOC, LOG_SCALE, LOGITS, DistributionRow
from tables_family import CUTS, SCALE, logs, real
from tables_family import LOC as PLACES
from tables_joint import AXIS, FACTOR, plane, sphere

import latens.distributions as ld
from latens.distributions.divergence import _CLOSED_FORMS
from latens.errors import ConfigError

KINKED = {"interval": (-60.0, 60.0)}


def _normal(loc: float = 0.0, log_scale: float = 0.0) -> ld.DiagonalNormal:
    return ld.DiagonalNormal(*real(LOC + loc, LOG_SCALE + log_scale))


def _full(shift: float = 0.0) -> ld.FullNormal:
    return ld.FullNormal(*real(PLACES[:2] + shift, FACTOR + shift))


def _diagonal(shift: float = 0.0) -> ld.DiagonalNormal:
    return ld.DiagonalNormal(*real(PLACES[:2] + shift), *logs(SCALE[:2] + shift))


def _standard(shift: float = 0.0) -> ld.StandardNormal:
    return ld.StandardNormal((2,))


Pair = tuple[Callable[[], Any], Callable[[], Any], Any]

PAIRS: dict[str, Pair] = {
    # By variable: how the first of the two is integrated or summed.
    "Normal || standard": (_normal, lambda: ld.StandardNormal((3,)), {}),
    "Normal || Normal": (_normal, lambda: _normal(0.4, -0.2), {}),
    "Normal || Normal of one scale": (_normal, lambda: ld.DiagonalNormal(*real(np.zeros(3), 0.3)), {}),
    "standard || standard": (lambda: ld.StandardNormal((3,)), lambda: ld.StandardNormal((3,)), {}),
    "Bernoulli": (lambda: ld.Bernoulli(*real(LOGITS)), lambda: ld.Bernoulli(*real(LOGITS[::-1].copy())), {"levels": 2}),
    "Categorical": (
        lambda: ld.Categorical(*real(LEVELS)),
        lambda: ld.Categorical(*real(np.roll(LEVELS, 1, axis=1) - 0.3)),
        {"levels": 4},
    ),
    "Ordinal || Categorical": (
        lambda: ld.Ordinal(*real(PLACES, CUTS)),
        lambda: ld.Categorical(*real(np.arange(12.0).reshape(3, 4) % 5)),
        {"levels": 4},
    ),
    "Laplace": (
        lambda: ld.Laplace(*real(np.array([0.0, -1.2])), *logs(SCALE[:2])),
        lambda: ld.Laplace(*real(np.array([0.0, 0.4])), *logs(SCALE[1:])),
        KINKED,
    ),
    "Poisson": (
        lambda: ld.Poisson(*logs(np.array([1.5, 2.0, 5.0]))),
        lambda: ld.Poisson(*logs(np.array([2.5, 1.2, 3.0]))),
        {"levels": 60},
    ),
    # Of whole events: the points that cover them.
    "full || full": (_full, lambda: _full(0.2), plane),
    "full || diagonal": (_full, lambda: _diagonal(0.2), plane),
    "full || standard": (_full, _standard, plane),
    "diagonal || full": (_diagonal, lambda: _full(0.2), plane),
    "standard || full": (_standard, lambda: _full(0.2), plane),
    "standard || diagonal": (_standard, lambda: _diagonal(0.2), plane),
    "von Mises-Fisher": (lambda: ld.VonMisesFisher(*real(AXIS), *logs(3.7)), lambda: ld.UniformSphere(3), sphere),
    "uniform sphere": (lambda: ld.UniformSphere(3), lambda: ld.UniformSphere(3), sphere),
}


def test_every_closed_form_is_registered_and_meets_its_integral_with_its_slopes(float64: None) -> None:
    made = {name: (make_q(), make_p(), grid) for name, (make_q, make_p, grid) in PAIRS.items()}
    assert set(_CLOSED_FORMS) <= {(type(q), type(p)) for q, p, _ in made.values()}

    def everything(q: Any, p: Any, grid: Any) -> dict:
        whole = callable(grid)
        events, weights = grid() if whole else DistributionRow(lambda: q, np.log, **grid).points(q.shape)
        log_q, log_p = (jax.vmap(d.log_prob if whole else d.log_prob_terms)(jnp.asarray(events)) for d in (q, p))
        integral = jnp.sum(jnp.exp(log_q) * (log_q - log_p) * weights, axis=0)
        theta, rebuild = ravel_pytree((q, p))
        steps = 1e-5 * jnp.eye(theta.size)
        points = jnp.concatenate([theta[None], theta + steps, theta - steps])
        values, slopes = jax.lax.map(jax.value_and_grad(lambda t: ld.kl(*rebuild(t))), points)
        found = ld.kl(q, p) if whole else ld.kl_terms(q, p)
        difference = (values[1 : theta.size + 1] - values[theta.size + 1 :]) / 2e-5
        return {"kl": (found, integral), "sum": (values[0], found.sum()), "slopes": (slopes[0], difference)}

    found = jax.jit(lambda: {name: everything(*pair) for name, pair in made.items()})()
    for name, parts in found.items():
        for what, (value, expected) in parts.items():
            tolerance = {"rtol": 2e-6, "atol": 1e-7} if what == "slopes" else {"rtol": 1e-7, "atol": 1e-8}
            np.testing.assert_allclose(value, expected, **tolerance, err_msg=f"{name}, {what}")
        q = made[name][0]
        if (type(q), type(q)) in _CLOSED_FORMS:
            close(ld.kl(q, q), 0.0, atol=1e-12)


def test_far_logits_scales_and_concentrations() -> None:
    """log(1 / sigma(-1e4)) = 1e4; a scale of e^-20 costs 20 - 1/2; e^20 costs e^40 / 2 - 20.5.

    On a sphere, KL = (m - 1)/2 (log kappa - log 2 pi - 1) + log area + O(1/kappa), here with kappa 1e5 and m = 5.
    """
    far = jnp.asarray([1e4, -1e4])
    close(ld.kl_terms(ld.Bernoulli(far), ld.Bernoulli(-far)), [1e4, 1e4])
    close(ld.kl_terms(ld.Categorical(far[None]), ld.Categorical(-far[None])), [2e4])
    narrow_and_wide = ld.DiagonalNormal(jnp.zeros(2), jnp.asarray([-20.0, 20.0]))
    close(ld.kl_terms(narrow_and_wide, ld.StandardNormal((2,))), [19.5, np.exp(40.0) / 2 - 20.5])
    expected = 2 * (np.log(1e5) - np.log(2 * np.pi) - 1) + np.log(8 * np.pi**2 / 3)
    close(ld.kl(ld.VonMisesFisher(jnp.ones(5), jnp.log(1e5)), ld.UniformSphere(5)), expected, rtol=1e-5)


def test_discrete_pairs_are_enumerated_and_columns_add_up(float64: None) -> None:
    """Different families with the same values, by variable; a mixture of whole events over all of them."""
    grades, classes = (make() for make in PAIRS["Ordinal || Categorical"][:2])
    assert ld.kl_method(grades, classes) == "enumeration"
    assert ld.has_closed_form(grades, classes)
    pixels = ld.DiscretisedLogistic(*real(np.zeros((1, 2))), *logs(np.full((1, 2), 0.3)), levels=9)
    same = ld.VariableMixture(*real(np.zeros((1, 2))), pixels)
    close(ld.kl(same, ld.DiscretisedLogistic(*real(np.zeros(1)), *logs(np.full(1, 0.3)), levels=9)), 0.0, atol=1e-12)
    coins = ld.Mixture(*real(np.zeros(2)), jax.vmap(ld.Bernoulli)(jnp.asarray([[30.0, 30.0], [-30.0, -30.0]])))
    assert ld.kl_method(coins, ld.Bernoulli(jnp.zeros(2))) == "enumeration"
    close(ld.kl(coins, ld.Bernoulli(jnp.zeros(2))), np.log(2.0), rtol=1e-9)  # two equal coins: one bit is known of two
    many = ld.Mixture(*real(np.zeros(2)), jax.vmap(ld.Bernoulli)(jnp.zeros((2, 13))))
    assert ld.kl_method(many, ld.Bernoulli(jnp.zeros(13))) == "Monte Carlo"
    assert ld.kl_method(grades, ld.Categorical(jnp.zeros((3, 5)))) == "Monte Carlo"
    q = ld.Product({"b": ld.Poisson(*logs(np.full(1, 3.0))), "a": grades})
    p = ld.Product({"a": classes, "b": ld.Poisson(*logs(np.full(1, 1.5)))})
    assert ld.kl_method(q, p) == "enumeration"
    close(ld.kl_terms(q, p), [ld.kl(grades, classes), 3.0 * np.log(2.0) - 1.5], rtol=1e-9)
    assert ld.kl_method(q, ld.Product({"a": classes})) == "Monte Carlo"


def test_all_else_is_sampled_and_says_so_with_its_error() -> None:
    """Of 300 estimates from 50 samples each: their spread is the mean standard error within 10 %."""
    q, p = ld.StandardNormal((1,)), ld.Laplace(jnp.zeros(1), jnp.zeros(1))
    assert ld.kl_method(q, p) == "Monte Carlo"
    assert not ld.has_closed_form(q, p)
    one = jax.jit(lambda key: ld.estimate_kl(q, p, key=key, num_samples=50))
    found = jax.vmap(one)(jax.random.split(jax.random.key(3), 300))
    close(np.std(found.value), np.mean(found.standard_error), rtol=0.1)
    nodes = np.linspace(-12, 12, 100_001)
    log_q, log_p = stats.norm.logpdf(nodes), stats.laplace.logpdf(nodes)
    expected = np.sum(np.exp(log_q) * (log_q - log_p)) * (nodes[1] - nodes[0])
    assert abs(np.mean(found.value) - expected) < 5 * np.std(found.value) / np.sqrt(300)
    key = jax.random.key(2)
    close(ld.kl(q, p, key=key, num_samples=2), ld.estimate_kl(q, p, key=key, num_samples=2).value)
    with pytest.raises(ConfigError, match=r"no closed form here.*give kl a key"):
        ld.kl(q, p)
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        ld.estimate_kl(q, p, key=key, num_samples=1)
    exact = ld.estimate_kl(q, q)
    assert (float(exact.value), float(exact.standard_error), exact.method) == (0.0, 0.0, "closed form")
    moved = ld.Affine(ld.StandardNormal((1,)), jnp.zeros(1), jnp.ones(1))
    with pytest.raises(ConfigError, match=r"KL\(Affine \|\| StandardNormal\).*ELBO\(kl='sampled'\)"):
        ld.kl(moved, q)
