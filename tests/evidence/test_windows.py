"""The Gaussian of windows: an autoregression whose truth is known, and rows of no order."""

import numpy as np
from checks import close
from scipy import stats

from latens.evidence.series_baseline import _autoregression, fit_window


def windows(rows: int, times: int = 12, period: int = 0, seed: int = 0) -> np.ndarray:
    """Windows of two series, of which each time depends on the one before it, or on that of a period before."""
    rng, lag = np.random.default_rng(seed), period or 1
    slopes = np.array([[0.6, 0.2], [0.0, 0.9 if period else 0.5]])
    x = np.zeros((rows * times + 200, 2))
    for t in range(lag, len(x)):
        x[t] = slopes @ x[t - lag] + rng.normal(size=2) @ np.array([[1.0, 0.5], [0.0, 0.4]])
    return x[200:].reshape(rows, times, 2) + np.arange(times)[:, None]


def exact(times: int = 12) -> np.ndarray:
    """The covariance of windows without a period."""
    slopes, root = np.array([[0.6, 0.2], [0.0, 0.5]]), np.array([[1.0, 0.5], [0.0, 0.4]])
    still = np.linalg.solve(np.eye(4) - np.kron(slopes, slopes), (root.T @ root).ravel()).reshape(2, 2)
    made = np.zeros((times, 2, times, 2))
    for s in range(times):
        for t in range(s, times):
            made[t, :, s] = np.linalg.matrix_power(slopes, t - s) @ still
            made[s, :, t] = made[t, :, s].T
    return made.reshape(2 * times, 2 * times)


def test_the_covariance_of_an_autoregression():
    """Slopes and noise of all times together: near the truth, and a density that is as high as its own to 1 %."""
    x, truth = windows(4000), exact()
    close(_autoregression(x - x.mean(axis=0), (1,)), truth, rtol=0, atol=0.1)
    made, fresh = fit_window(windows(300)), windows(500, seed=1).reshape(500, -1)
    true = stats.multivariate_normal(np.repeat(np.arange(12.0), 2), truth).logpdf(fresh)
    assert made.lags[0] == 1
    assert made.share >= 0.9
    assert 0.0 < np.mean(true - made.log_prob(fresh)) < 0.15
    close(made.log_prob(fresh[:5]), stats.multivariate_normal(made.mean, made.covariance).logpdf(fresh[:5]), rtol=1e-8)


def test_a_period_is_found():
    assert 6 in fit_window(windows(200, times=20, period=6)).lags


def test_rows_without_an_order_keep_their_covariance():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(16, 16))
    made = fit_window((rng.normal(size=(600, 16)) @ root).reshape(600, 8, 2))
    assert made.share <= 0.4


def test_any_number_of_factors_is_the_same_gaussian():
    """Factors and what they leave add up; the posterior of factors has no correlations; units do not matter."""
    x = windows(200)
    made = fit_window(x)
    for count in (3, 30):
        found = made.factors(count)
        close(found.weight @ found.weight.T + found.noise[0], made.covariance, rtol=0, atol=1e-9)
        assert found.noise.shape == (1, 24, 24)
        inner = found.weight.T @ np.linalg.solve(found.noise[0], found.weight)
        close(inner, np.diag(np.diagonal(inner)), rtol=0, atol=1e-6 * inner.max())
        close(found.log_prob(x.reshape(200, -1)), made.log_prob(x.reshape(200, -1)), rtol=1e-7)
    wide, unit = fit_window(x * np.array([1.0, 1000.0])), np.tile([1.0, 1000.0], 12)
    close(wide.covariance, made.covariance * unit[:, None] * unit, rtol=1e-6)
    spread = np.sqrt(np.diagonal(exact()))
    assert wide.latents == made.latents == np.sum(np.linalg.eigvalsh(exact() / (spread[:, None] * spread)) > 1.0)
