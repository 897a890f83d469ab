"""Evidence by hand: of a few rows, of models that are known exactly, at its limits, and where a refinement starts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import stats
from tables import MU, SIGMA, W, X, linear_gaussian

from latens.data import Preparation
from latens.data.dataset import as_batch
from latens.distributions import Bernoulli, DiagonalNormal, FullNormal
from latens.distributions.divergence import estimate_kl
from latens.distributions.special import log_bessel_scaled
from latens.errors import ConfigError
from latens.evidence import Estimate, ModelRows, importance, log_marginal
from latens.evidence.importance import LogMarginals, summarise
from latens.evidence.inference_gaps import curved, starting_point
from latens.latents import decode, encode, reconstruct
from latens.objectives import CIWAE, IWAE, MIWAE, PIWAE, Renyi

WEIGHTS = np.array([[1.0, 2.0, 3.0, 6.0], [1.0, 1.0, 1.0, 1.0]])


def test_a_summary_of_four_weights():
    found = summarise(jnp.log(jnp.asarray(WEIGHTS)))
    close(found.log_mean, np.log(WEIGHTS.mean(axis=1)))
    close(found.effective_sample_size, WEIGHTS.sum(axis=1) ** 2 / (WEIGHTS**2).sum(axis=1))
    close(found.error, WEIGHTS.std(axis=1, ddof=1) / 2.0 / WEIGHTS.mean(axis=1))
    close(summarise(jnp.log(jnp.asarray(WEIGHTS[:, :1]))).log_mean, [0.0, 0.0])


@pytest.mark.parametrize("count", [41, 42])
def test_a_stream_of_weights_has_the_summary_of_all_of_them(count, monkeypatch):
    """Chunks of two draws, three of which are kept: two chunks and a draw are left, or none is."""
    monkeypatch.setattr(importance, "_KEPT", 6)
    log_weights = 2.0 * np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    table, other = jnp.asarray(log_weights), jnp.asarray(log_weights**2)

    def draws(first, number):
        parts = [jax.lax.dynamic_slice(of, (first, 0), (number, 3)) for of in (table, other)]
        return parts[0], jnp.stack(parts, axis=1)

    found, means = jax.jit(lambda: importance.stream(draws, 3, count, 2))()
    whole = jax.jit(summarise)(table.T)
    for name in ("log_mean", "error", "effective_sample_size", "pareto_k"):
        close(getattr(found, name), getattr(whole, name), rtol=1e-4)
    close(means, [log_weights.mean(axis=0), (log_weights**2).mean(axis=0)])


LOC, SCALE = np.array([0.5, -1.0, 2.0]), np.array([0.3, 1.0, 2.0])
NORMAL = DiagonalNormal(jnp.asarray(LOC, jnp.float32), jnp.log(jnp.asarray(SCALE, jnp.float32)))
KEY = jax.random.key(0)


def flat(z):
    return z.reshape(-1)


@pytest.mark.parametrize("family", ["own", "diagonal", "full"])
def test_a_normal_starts_as_it_is(family):
    found = starting_point(NORMAL, family, flat, key=KEY)
    assert isinstance(found, FullNormal if family == "full" else DiagonalNormal)
    event = np.array([0.1, 0.2, 0.3])
    close(found.log_prob(jnp.asarray(event, jnp.float32)), stats.norm.logpdf(event, LOC, SCALE).sum())


def test_the_normal_of_a_known_curvature():
    matrix = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]])
    precision = jnp.asarray(matrix, jnp.float32)
    found = curved(lambda z: -0.5 * (z - 1.0) @ precision @ (z - 1.0), NORMAL, key=KEY)
    close(found.loc, LOC)
    event = np.array([0.1, 0.2, 0.3])
    expected = stats.multivariate_normal.logpdf(event, LOC, np.linalg.inv(matrix))
    close(found.log_prob(jnp.asarray(event, jnp.float32)), expected, rtol=1e-3)


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


ROW = X[None].astype(np.float32)
POSTERIOR_MEAN = np.array([0.574935053, -0.610887157])
POSTERIOR_COVARIANCE = np.array([[0.241870465, -0.006449879], [-0.006449879, 0.160171997]])


def many_rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 2)) @ W.T + MU + SIGMA * rng.standard_normal((n, 3))).astype(np.float32)


def test_chunks_of_samples_do_not_change_the_value():
    batch, key = as_batch(many_rows(20)), jax.random.key(4)
    parts = [
        log_marginal(ModelRows(linear_gaussian(), batch, key=key, samples_per_chunk=size), num_samples=64)
        for size in (7, 64, 1000)  # 7 is no whole number of turns of the proposals
    ]
    np.testing.assert_allclose(parts, np.tile(parts[1], (3, 1)), rtol=2e-6)


def test_order_and_batches_of_rows_do_not_change_the_value():
    rows, key = many_rows(40), jax.random.key(1)
    order = np.random.default_rng(0).permutation(40)
    values = log_marginal(ModelRows(linear_gaussian(), as_batch(rows), key=key), num_samples=10)
    permuted = log_marginal(ModelRows(linear_gaussian(), as_batch(rows[order]), key=key, batch_size=7), num_samples=10)
    np.testing.assert_allclose(permuted, values[order], rtol=2e-6)


def test_codes_are_the_exact_posterior():
    codes = encode(ModelRows(linear_gaussian(), as_batch(ROW), preparation=Preparation()))
    np.testing.assert_allclose(codes["mean"][0], POSTERIOR_MEAN, atol=1e-6)
    precision = np.linalg.inv(POSTERIOR_COVARIANCE)
    np.testing.assert_allclose(codes["log_variance"][0], -np.log(np.diag(precision)), atol=1e-5)
    expected = 0.5 * (POSTERIOR_MEAN**2 + 1 / np.diag(precision) - 1 + np.log(np.diag(precision)))
    np.testing.assert_allclose(codes["kl"][0], expected, atol=1e-5)


def test_decoding_and_reconstruction_are_the_linear_maps():
    z = np.array([[1.0, 2.0], [0.0, -1.0]], np.float32)
    np.testing.assert_allclose(decode(linear_gaussian(), z, key=jax.random.key(0)), z @ W.T + MU, rtol=1e-5)
    found = reconstruct(ModelRows(linear_gaussian(), as_batch(ROW), preparation=Preparation()))
    np.testing.assert_allclose(found[0], W @ POSTERIOR_MEAN + MU, rtol=1e-5)
