"""log p(x), the ELBO and codes: against models whose answers are known exactly."""

import jax
import numpy as np
from tables import MU, SIGMA, W, X, linear_gaussian

from latens.data import Preparation
from latens.data.dataset import as_batch
from latens.evidence import ModelRows, log_marginal
from latens.latents import decode, encode, reconstruct

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
