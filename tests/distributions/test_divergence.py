"""Closed-form divergences against the reference page, quadrature and sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close, finite_difference
from jax.flatten_util import ravel_pytree
from tables import LEVELS, LOC, LOG_SCALE, LOGITS, DistributionRow

from latens.distributions import (
    Affine,
    Bernoulli,
    Categorical,
    DiagonalNormal,
    StandardNormal,
    has_closed_form,
    kl,
    kl_terms,
)
from latens.errors import ConfigError

OTHER_LEVELS = np.roll(LEVELS, 1, axis=1) - 0.3


def _normal(loc=0.0, log_scale=0.0):
    return DiagonalNormal(jnp.asarray(LOC + loc), jnp.asarray(LOG_SCALE + log_scale))


PAIRS = {
    "Normal || standard Normal": (_normal, lambda: StandardNormal((3,)), None),
    "Normal || Normal": (_normal, lambda: _normal(0.4, -0.2), None),
    "Normal || Normal of one scale": (_normal, lambda: DiagonalNormal(jnp.zeros(3), jnp.asarray(0.3)), None),
    "standard || standard": (lambda: StandardNormal((3,)), lambda: StandardNormal((3,)), None),
    "Bernoulli || Bernoulli": (
        lambda: Bernoulli(jnp.asarray(LOGITS)),
        lambda: Bernoulli(jnp.asarray(LOGITS[::-1].copy())),
        2,
    ),
    "Categorical || Categorical": (
        lambda: Categorical(jnp.asarray(LEVELS)),
        lambda: Categorical(jnp.asarray(OTHER_LEVELS)),
        4,
    ),
}

pairs = pytest.mark.parametrize("pair", PAIRS)


@pairs
def test_meets_quadrature(pair, float64):
    make_q, make_p, levels = PAIRS[pair]
    q, p = make_q(), make_p()
    events, weights = DistributionRow(make_q, np.log, levels=levels).points(q.mean().shape)
    log_q = np.asarray(jax.vmap(q.log_prob_terms)(jnp.asarray(events)))
    log_p = np.asarray(jax.vmap(p.log_prob_terms)(jnp.asarray(events)))
    expected = (np.exp(log_q) * (log_q - log_p) * weights).sum(axis=0)
    close(kl_terms(q, p), expected, atol=1e-9)
    close(kl(q, p), expected.sum())


@pairs
def test_gradient_meets_finite_difference(pair, float64):
    make_q, make_p, _ = PAIRS[pair]
    theta, rebuild = ravel_pytree((make_q(), make_p()))
    value = lambda t: kl(*rebuild(t))  # noqa: E731
    close(jax.grad(value)(theta), finite_difference(value, theta), rtol=1e-6, atol=1e-8)


@pairs
def test_is_zero_against_itself(pair):
    q = PAIRS[pair][0]()
    close(kl_terms(q, q), np.zeros(q.mean().shape))


def test_far_logits_and_scales():
    """log(1 / sigma(-1e4)) = 1e4; a scale of e^-20 costs 20 - 1/2; e^20 costs e^40 / 2 - 20.5."""
    far = jnp.asarray([1e4, -1e4])
    close(kl_terms(Bernoulli(far), Bernoulli(-far)), [1e4, 1e4])
    close(kl_terms(Categorical(far[None]), Categorical(-far[None])), [2e4])
    narrow_and_wide = DiagonalNormal(jnp.zeros(2), jnp.asarray([-20.0, 20.0]))
    close(kl_terms(narrow_and_wide, StandardNormal((2,))), [19.5, np.exp(40.0) / 2 - 20.5])


def test_no_closed_form_is_refused_with_the_way_out():
    q, p = Affine(StandardNormal((1,)), jnp.zeros(1), jnp.ones(1)), StandardNormal((1,))
    assert not has_closed_form(q, p)
    assert has_closed_form(_normal(), StandardNormal((3,)))
    with pytest.raises(ConfigError, match=r"KL\(Affine \|\| StandardNormal\).*ELBO\(kl='sampled'\)"):
        kl(q, p)
