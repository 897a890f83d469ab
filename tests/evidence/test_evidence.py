"""log p(x), the ELBO and codes: against models whose answers are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from latens.data import Preparation
from latens.data.batches import as_batch
from latens.distributions import DiagonalNormal, StandardNormal
from latens.evaluation import (
    Estimate,
    Rows,
    active_units,
    decode,
    elbo_parts,
    encode,
    independent_baseline,
    log_marginal,
    reconstruct,
    sample_prior,
)
from latens.models import AbstractLatentModel

# Reference: W, mu and sigma of a linear-Gaussian model with two latent units and three observed variables.
W = np.array([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.0]], np.float32)
MU = np.array([0.1, -0.2, 0.3], np.float32)
SIGMA = 0.6
X = np.array([[0.5, -1.0, 1.2]], np.float32)
LOG_P = -3.29470103429
POSTERIOR_MEAN = np.array([0.574935053, -0.610887157])
POSTERIOR_COVARIANCE = np.array([[0.241870465, -0.006449879], [-0.006449879, 0.160171997]])


class LinearGaussian(AbstractLatentModel):
    """x = Wz + mu + sigma e, with the posterior's exact mean and a diagonal covariance."""

    w: jax.Array
    mu: jax.Array

    def prior(self, *, cond=None, key=None):
        return StandardNormal((self.w.shape[1],))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(self.w @ z + self.mu, jnp.full(self.mu.shape, jnp.log(SIGMA)))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        precision = self.w.T @ self.w / SIGMA**2 + jnp.eye(self.w.shape[1])
        mean = jnp.linalg.solve(precision, self.w.T @ (x - self.mu) / SIGMA**2)
        # The best diagonal: the inverse of the precision's diagonal.
        return DiagonalNormal(mean, -0.5 * jnp.log(jnp.diag(precision)))


def linear_gaussian():
    return LinearGaussian(jnp.asarray(W), jnp.asarray(MU))


def many_rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 2)) @ W.T + MU + SIGMA * rng.standard_normal((n, 3))).astype(np.float32)


def exact_log_p(x):
    return stats.multivariate_normal(MU, W @ W.T + SIGMA**2 * np.eye(3)).logpdf(np.asarray(x, np.float64))


def test_log_marginal_is_the_evidence_of_a_linear_gaussian_model():
    assert exact_log_p(X[0]) == pytest.approx(LOG_P, abs=1e-6)
    values = [
        log_marginal(Rows(linear_gaussian(), as_batch(X), key=jax.random.key(seed)), num_samples=20_000)[0]
        for seed in range(10)
    ]
    error = np.std(values, ddof=1) / np.sqrt(10)
    assert abs(np.mean(values) - LOG_P) < 5 * error + 1e-5
    assert error < 0.002


def test_the_bound_of_the_best_diagonal_posterior():
    # Reference: -3.29523823552, 0.0005372 below log p.
    parts = elbo_parts(Rows(linear_gaussian(), as_batch(X)), num_samples=200_000)
    assert parts["elbo"][0] == pytest.approx(-3.29523823552, abs=2e-3)
    assert parts["elbo"][0] == pytest.approx(parts["log_likelihood"][0] - parts["kl"][0], abs=1e-5)


@pytest.mark.parametrize("samples_per_chunk", [1, 7, 64, 1000])
def test_chunks_of_samples_do_not_change_the_value(samples_per_chunk):
    batch, key = as_batch(many_rows(20)), jax.random.key(4)
    whole = log_marginal(Rows(linear_gaussian(), batch, key=key, samples_per_chunk=64), num_samples=64)
    parts = log_marginal(Rows(linear_gaussian(), batch, key=key, samples_per_chunk=samples_per_chunk), num_samples=64)
    np.testing.assert_allclose(parts, whole, rtol=2e-6)


def test_order_and_batches_of_rows_do_not_change_the_value():
    rows, key = many_rows(40), jax.random.key(1)
    order = np.random.default_rng(0).permutation(40)
    values = log_marginal(Rows(linear_gaussian(), as_batch(rows), key=key), num_samples=10)
    permuted = log_marginal(Rows(linear_gaussian(), as_batch(rows[order]), key=key, batch_size=7), num_samples=10)
    np.testing.assert_allclose(permuted, values[order], rtol=2e-6)


def test_the_bound_rises_with_samples_to_log_p():
    rows = many_rows(4000)
    exact = exact_log_p(rows)
    gaps = []
    for num_samples in (1, 4, 64):
        values = log_marginal(Rows(linear_gaussian(), as_batch(rows)), num_samples=num_samples)
        gaps.append(np.mean(exact - values))
    error = 5 * np.std(exact - values) / np.sqrt(4000)
    assert gaps[0] > gaps[1] > gaps[2] > -error
    assert gaps[2] < 1e-3


def test_codes_are_the_exact_posterior():
    codes = encode(Rows(linear_gaussian(), as_batch(X), preparation=Preparation()))
    np.testing.assert_allclose(codes["mean"][0], POSTERIOR_MEAN, atol=1e-6)
    precision = np.linalg.inv(POSTERIOR_COVARIANCE)
    np.testing.assert_allclose(codes["log_variance"][0], -np.log(np.diag(precision)), atol=1e-5)
    expected = 0.5 * (POSTERIOR_MEAN**2 + 1 / np.diag(precision) - 1 + np.log(np.diag(precision)))
    np.testing.assert_allclose(codes["kl"][0], expected, atol=1e-5)


def test_decoding_and_reconstruction_are_the_linear_maps():
    z = np.array([[1.0, 2.0], [0.0, -1.0]], np.float32)
    np.testing.assert_allclose(decode(linear_gaussian(), z, key=jax.random.key(0)), z @ W.T + MU, rtol=1e-5)
    found = reconstruct(Rows(linear_gaussian(), as_batch(X), preparation=Preparation()))
    np.testing.assert_allclose(found[0], W @ POSTERIOR_MEAN + MU, rtol=1e-5)


def test_draws_from_the_model_have_its_moments():
    z = sample_prior(linear_gaussian(), 20_000, key=jax.random.key(0))
    x = decode(linear_gaussian(), z, key=jax.random.key(1), mean=False)
    covariance = W @ W.T + SIGMA**2 * np.eye(3)
    assert np.all(np.abs(x.mean(0) - MU) < 5 * np.sqrt(np.diag(covariance) / 20_000))
    deviation = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / 20_000)
    assert np.all(np.abs(np.cov(x.T) - covariance) < 5 * deviation)


def test_active_units_are_those_whose_means_move():
    rng = np.random.default_rng(0)
    means = rng.standard_normal((1000, 3)) * np.sqrt([1.0, 0.02, 0.002])
    assert active_units(means).tolist() == [True, True, False]


def test_an_estimate_has_the_error_of_a_mean():
    rows = np.array([1.0, 2.0, 4.0, 9.0])
    estimate = Estimate.of(rows, num_samples=1, protocol="")
    assert estimate.value == 4.0
    assert estimate.standard_error == pytest.approx(np.std(rows, ddof=1) / 2)
    twice = Estimate.of(np.array([1.0, 3.0]), num_samples=1, protocol="", weight=np.array([2.0, 1.0]))
    assert twice.value == pytest.approx(5 / 3)


def test_pictures_of_real_numbers_are_modelled_standardised():
    """Values near 300 train like values near 0: the default recipe beats independent pixels on both, by as much."""
    from latens.config import override
    from latens.data import load
    from latens.recipes import get_recipe
    from latens.workflow.experiment import prepare, train

    rng = np.random.default_rng(0)
    base = (
        rng.standard_normal((300, 2)) @ rng.standard_normal((2, 16)) + 0.3 * rng.standard_normal((300, 16))
    ).reshape(300, 4, 4)
    values = []
    for shift, scale in ((0.0, 1.0), (300.0, 20.0)):
        data = load((shift + scale * base).astype(np.float32))
        assert (data.schema.shift, data.schema.scale) == pytest.approx(
            (float(data.x[data.subset("train")].mean()), float(data.x[data.subset("train")].std())), rel=1e-4
        )
        config = override(get_recipe("default").config, {"training.epochs": 200, "network.hidden": (32,)})
        trained, _ = train(prepare(config, data))
        rows = data.subset("test")
        ours = log_marginal(Rows(trained.model, trained.batch(data, rows)), num_samples=50)
        theirs = independent_baseline(data.x[data.subset("train")], data.x[rows], "real")
        values.append(np.mean(ours + 16 * np.log(scale)))
        assert np.mean(ours - theirs) > 3.0
    assert values[0] == pytest.approx(values[1], abs=0.3)
