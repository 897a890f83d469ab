"""Linear Gaussian models reach the optimum of probabilistic PCA, known in closed form (Tipping & Bishop 1999)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_fixtures import run

from latens.data import Dataset, Schema
from latens.distributions import StandardNormal
from latens.models import Conditional, LatentModel, NormalHead, SharedScaleNormalHead
from latens.networks import Dense
from latens.objectives import ELBO
from latens.training import Budget, Stage, make_optimizer


def rows_with(eigenvalues: tuple[float, ...], n: int) -> np.ndarray:
    """Rows (n, 5) whose covariance has exactly these eigenvalues, along directions at random; their mean is 0."""
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((n, 5))
    directions, _ = np.linalg.qr(raw - raw.mean(0))
    return directions * np.sqrt(n) * np.sqrt(eigenvalues) @ np.linalg.qr(rng.standard_normal((5, 5)))[0]


def dataset(x: np.ndarray) -> Dataset:
    ids = np.arange(len(x))
    split = np.zeros(len(x), np.uint8)
    return Dataset(x.astype(np.float32), Schema((5,), "real"), ids.astype(np.uint32), ids, split, "ppca")


def test_a_linear_gaussian_model_reaches_the_optimum() -> None:
    """Eigenvalues (5, 3, 1, .5, .2), two units: -7.59674171017 nats a row at the maximum."""
    x = rows_with((5.0, 3.0, 1.0, 0.5, 0.2), 500)
    encoder_key, decoder_key = jax.random.split(jax.random.key(1))
    model = LatentModel(
        StandardNormal((2,)),
        Conditional(Dense([5, 4], key=encoder_key), NormalHead((2,), "softplus")),
        Conditional(Dense([2, 5], key=decoder_key), SharedScaleNormalHead((5,), jnp.zeros(()))),
    )
    optimizer = make_optimizer("adam", learning_rate=0.02, schedule="cosine", total_steps=3000)
    stage = Stage(ELBO(num_samples=8), optimizer, Budget(steps=3000))
    # Each row twenty times: an epoch is a hundred steps, and the loop goes round 30 times.
    decoder = run(dataset(np.tile(x, (20, 1))), model, [stage], batch_size=100, chunk_steps=500).model.decoder
    weight, noise = np.asarray(decoder.network.layers[0].weight, np.float64), float(decoder.head.log_scale)
    mean = np.asarray(decoder.network.layers[0].bias, np.float64)
    covariance = weight.T @ weight + np.exp(2 * noise) * np.eye(5)
    residual = x - mean
    log_p = -0.5 * (
        5 * np.log(2 * np.pi)
        + np.linalg.slogdet(covariance)[1]
        + np.mean(np.sum(residual @ np.linalg.inv(covariance) * residual, axis=1))
    )
    assert log_p == pytest.approx(-7.59674171017, abs=1e-2)
    assert np.exp(2 * noise) == pytest.approx(0.566667, rel=0.03)
