"""Factors in closed form against densities of whole covariances, and what is left of colours."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy.stats import multivariate_normal, norm
from threadpoolctl import threadpool_limits

from latens.evidence import factors
from latens.evidence.factors import FOLDS, Factors, fit_factors, gaussian_baseline, latent_gains, principal
from latens.models import PixelHead


def of_factors(rows: int, cells: int, factors: int, seed: int = 0) -> np.ndarray:
    """Rows of a few factors of unlike sizes, with noise of one."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((factors, cells)) * np.linspace(3.0, 1.0, factors)[:, None]
    return rng.standard_normal((rows, factors)) @ weight + rng.standard_normal((rows, cells)) + 5.0


def covariance(made: Factors) -> np.ndarray:
    """W W' and what is left, in blocks."""
    groups, size = made.noise.shape[:2]
    found = made.weight @ made.weight.T
    for at in range(groups):
        place = slice(at * size, (at + 1) * size)
        found[place, place] += made.noise[at]
    return found


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("rows", [40, 7])
def test_density_and_posterior_of_factors(rows, group):
    """Against the whole covariance: log p(x), p(z | x) without correlations, the variance of every cell as it is."""
    x = of_factors(rows, 12, 3)
    made = fit_factors(x, 3, group=group)
    whole = covariance(made)
    close(made.log_prob(x), multivariate_normal(x.mean(axis=0), whole).logpdf(x), rtol=1e-9)
    given = made.weight.T @ np.linalg.inv(whole)
    close(made.encoder.T, given, rtol=0, atol=1e-9)
    close(np.eye(3) - given @ made.weight, np.diag(1.0 / made.precision), rtol=0, atol=1e-9)
    if rows == 40:
        sample = np.cov(x.T, bias=True).reshape(12 // group, group, 12 // group, group)
        blocks = whole.reshape(sample.shape)
        for at in range(len(sample)):
            close(blocks[at, :, at], sample[at, :, at], rtol=1e-9)


def test_noise_that_is_given_or_common():
    """Tipping and Bishop: the mean of the variances that are left, W of what is above it."""
    x = of_factors(60, 6, 2)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    common, fixed = fit_factors(x, 2, common=True), fit_factors(x, 2, scale=2.0)
    close(common.variance, np.full(6, values[2:].mean()), rtol=1e-9)
    close(np.sort(np.linalg.eigvalsh(covariance(common)))[::-1][:2], values[:2], rtol=1e-9)
    close(fixed.variance, np.full(6, 4.0), rtol=1e-12)
    close(np.sum(fixed.weight**2), np.sum(np.maximum(values[:2] - 4.0, 0.0)), rtol=1e-9)


def test_held_out_density_by_number_of_factors():
    x = of_factors(400, 10, 3)
    gains = latent_gains(x, 9)
    held = np.arange(400) % FOLDS == 0
    mean, cov = x[~held].mean(axis=0), np.cov(x[~held].T, bias=True)
    values, vectors = np.linalg.eigh(cov)
    for count in (0, 3, 9):
        kept = vectors[:, ::-1][:, :count]
        left = values[::-1][count:].mean()
        ppca = kept @ np.diag(values[::-1][:count] - left) @ kept.T + left * np.eye(10)
        close(gains[count], multivariate_normal(mean, ppca).logpdf(x[held]).mean(), rtol=1e-9)
    assert gains.argmax() == 3


def test_components_from_a_random_subspace(monkeypatch):
    """As by all eigenvalues, and the same ones twice."""
    monkeypatch.setattr(factors, "EXACT", 30)
    x = of_factors(150, 120, 4).astype(np.float32)
    made, again = principal(x, 4), principal(x, 4)
    _, sizes, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    close(made.variances, sizes[:4] ** 2 / len(x), rtol=1e-3)
    close(np.abs(np.sum(made.directions * right[:4].T, axis=0)), np.ones(4), rtol=1e-3)
    assert np.array_equal(made.directions, again.directions)
    assert made.directions.shape == (120, 4)


def test_threads_change_no_bit():
    """A process of a group has a share of the cores, and begins with the bits of one that has all of them."""
    x = of_factors(700, 300, 5).astype(np.float32)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            made = fit_factors(x, 32, group=3)
            found.append(b"".join(np.ascontiguousarray(part).tobytes() for part in (*made, latent_gains(x, 40))))
    assert found[0] == found[1]


def test_gaussian_of_columns_in_their_own_units():
    """A change of units changes the density by that change alone, and a column that never varies does no harm."""
    x = of_factors(300, 5, 2)
    unit = np.array([1.0, 1e3, 1e-3, 7.0, 1.0])
    plain, count = gaussian_baseline(x[50:], x[:50])
    scaled, same = gaussian_baseline(x[50:] * unit, x[:50] * unit)
    assert count == same
    close(scaled, plain - np.sum(np.log(unit)), rtol=0, atol=1e-6)
    for moving in (x, x[:, :0]):
        train, test = np.c_[moving[50:], np.full(250, 3.0)], np.c_[moving[:50], np.full(50, 3.0)]
        assert np.all(np.isfinite(gaussian_baseline(train, test)[0]))


def test_no_factors_of_noise():
    """Independent columns: nothing gains, and the density is that of a Normal a column."""
    x = np.random.default_rng(6).standard_normal((200, 8)) * 3.0 + 1.0
    found, count = gaussian_baseline(x[50:], x[:50])
    assert count == 0
    close(found, norm(x[50:].mean(0), x[50:].std(0)).logpdf(x[:50]).sum(1), rtol=1e-9)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_colours_start_at_what_is_left(channels):
    """Variances and covariances of the channels of a pixel, in levels."""
    rng = np.random.default_rng(0)
    root = 12.0 * (np.eye(channels) + 0.2 * rng.standard_normal((6, channels, channels)))
    left = root @ np.swapaxes(root, 1, 2)
    shape = (2, 3, channels) if channels > 1 else (2, 3)
    head, outputs = PixelHead(shape, components=1).started_around(np.full(shape, 120.0), left)
    one: Any = head(jnp.asarray(outputs, jnp.float32))
    if channels == 1:
        close(one.moments()[1].reshape(6, 1, 1), left, rtol=0.03)
    else:
        close(one.moments()[1].reshape(left.shape), left, rtol=0.03, atol=0.01 * left.max())
        close(one.moments()[0], 120.0, rtol=0.01)
