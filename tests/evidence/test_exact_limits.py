"""Limits and small parts of the evaluation: what is refused, and what is just allowed."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from latens.distributions import Bernoulli, DiagonalNormal
from latens.distributions.divergence import estimate_kl
from latens.distributions.special import log_bessel_scaled
from latens.errors import ConfigError
from latens.evidence import Estimate
from latens.evidence.log_marginals import LogMarginals
from latens.objectives import CIWAE, IWAE, MIWAE, PIWAE, Renyi


def test_a_divergence_in_closed_form_is_the_sum_over_variables():
    q, p = DiagonalNormal(jnp.array([1.0, 2.0]), jnp.zeros(2)), DiagonalNormal(jnp.zeros(2), jnp.zeros(2))
    found = estimate_kl(q, p)
    assert float(found.value) == pytest.approx(2.5)
    assert float(found.standard_error) == 0.0
    coins = estimate_kl(Bernoulli(jnp.zeros(3)), Bernoulli(jnp.full(3, np.log(3.0))))
    assert float(coins.value) == pytest.approx(3 * np.log(4 / (2 * np.sqrt(3))))


@pytest.mark.parametrize("order", [0.5, 1.5, 4.0])
def test_a_bessel_function_at_zero_is_its_limit(order):
    """I(x) / (x / 2)^order goes to 1 / Gamma(order + 1)."""
    at, near = (float(log_bessel_scaled(order, jnp.asarray(x))) for x in (0.0, 1e-3))
    assert at == pytest.approx(near, abs=2e-3)


@pytest.mark.parametrize("make", [IWAE, MIWAE, PIWAE, CIWAE])
def test_an_importance_bound_takes_one_sample_and_not_none(make):
    make(num_samples=1)
    with pytest.raises(ConfigError, match="num_samples must be a whole number of 1 or more, not 0"):
        make(num_samples=0)


def test_averages_and_orders_are_checked():
    for make in (MIWAE, PIWAE):
        make(num_samples=2, num_averages=1)
        with pytest.raises(ConfigError, match="num_averages must be a whole number of 1 or more, not 0"):
            make(num_samples=2, num_averages=0)
    with pytest.raises(ConfigError, match="num_samples"):
        Renyi(0.5, 0)


def test_the_means_over_rows_are_by_their_weights():
    errors, ones = np.array([0.3, 0.4]), np.ones(2)
    found = LogMarginals(np.array([-5.0, -7.0]), errors, 10, "", ones, ones, 9)
    rises = np.array([[0.4, 0.3, 0.2], [0.9, 0.8, 0.6]])
    assert dataclasses.replace(found, rises=rises).sums.third_rise == pytest.approx(0.8)
    assert found.sums.monte_carlo_error == pytest.approx(0.25)
    assert found.estimate().value == pytest.approx(-6.0)
    weighted = LogMarginals(found.rows, errors, 10, "", ones, ones, 9, weight=np.array([3.0, 1.0]))
    assert weighted.sums.monte_carlo_error == pytest.approx(np.hypot(0.75 * 0.3, 0.25 * 0.4))
    assert weighted.estimate().value == pytest.approx(-5.5)


def test_an_estimate_says_why_it_has_no_error():
    assert str(Estimate(-5.0, float("nan"), 1, 1)) == "-5.00 nats (one row: no standard error)"
    assert str(Estimate(-5.0, float("nan"), 1, 7)) == "-5.00 nats (no standard error)"
    assert str(Estimate(-5.0, 0.25, 1, 7)) == "-5.00 ± 0.25 nats"
