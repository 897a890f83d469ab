"""Factors of rows with gaps: their density is that of SciPy's Normal, and they are found where cells are missing."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import stats

from latens.evidence.factors import Factors, _posterior, fit_factors, fit_gappy, gappy_gains
from latens.models.conditional import seen_whole
from latens.networks import LinearPath

RNG = np.random.default_rng(0)
SLOPE = RNG.standard_normal((8, 2))
MEAN, NOISE = RNG.standard_normal(8), 0.3 + RNG.random(8)
WHOLE = SLOPE @ SLOPE.T + np.diag(NOISE)


def rows(n: int, share: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(MEAN, WHOLE, size=n)
    return x, rng.random(x.shape) >= share


def log_p(made: Factors, x: np.ndarray, shown: np.ndarray) -> float:
    return float(_posterior(made, np.where(shown, x, 0.0), shown.astype(float))[0].mean())


def test_the_density_and_posterior_of_what_is_observed():
    x, shown = rows(6, 0.4)
    made = Factors(MEAN, SLOPE, NOISE[:, None, None])
    found, mean, covariance = _posterior(made, np.where(shown, x, 0.0), shown.astype(float))
    for row in range(6):
        at = shown[row]
        inner = WHOLE[np.ix_(at, at)]
        assert found[row] == pytest.approx(stats.multivariate_normal(MEAN[at], inner).logpdf(x[row, at]), abs=1e-9)
        close(mean[row], SLOPE[at].T @ np.linalg.solve(inner, (x[row] - MEAN)[at]), rtol=0, atol=1e-9)
        left = np.eye(2) - SLOPE[at].T @ np.linalg.solve(inner, SLOPE[at])
        close(covariance[row], left, rtol=0, atol=1e-9)


def test_it_is_no_less_likely_than_the_truth_or_than_principal_components():
    x, shown = rows(2000, 0.3)
    truth = Factors(MEAN, SLOPE, NOISE[:, None, None])
    found = fit_gappy(x, shown, 2)
    assert log_p(found, x, shown) > log_p(truth, x, shown)
    every = np.ones(x.shape, bool)
    assert log_p(fit_gappy(x, every, 2), x, every) > log_p(fit_factors(x, 2), x, every)
    made = found.weight @ found.weight.T + np.diag(found.variance)
    assert np.abs(made - WHOLE).max() < 5 * np.abs(WHOLE).max() * np.sqrt(2 / (0.49 * 2000))


def test_as_many_factors_as_held_out_rows_ask_for():
    assert int(gappy_gains(*rows(1500, 0.3), most=16).argmax()) == 2


class Decoder(eqx.Module):
    """Rows in a unit of their own, of which a network sees (x - 0.7) / 2."""

    network: LinearPath
    located = (1, 0.7, 2.0)

    @property
    def head(self):
        return self


def test_an_encoder_sees_the_mean_of_what_is_missing_given_the_rest():
    x, shown = rows(5, 0.4)
    path = LinearPath(lambda z: z, SLOPE.T, 1, MEAN, NOISE[:, None, None])
    for row in range(5):
        at, gone = shown[row], ~shown[row]
        gain = np.linalg.solve(WHOLE[np.ix_(at, at)], (x[row] - MEAN)[at])
        expected = np.where(at, x[row], MEAN + WHOLE[:, at] @ gain)
        given = np.where(at, 0.7 + 2.0 * x[row], np.nan)
        found = seen_whole(Decoder(path), jnp.asarray(given, jnp.float32), jnp.asarray(at))
        close(found, 0.7 + 2.0 * expected, rtol=0, atol=1e-4)
        assert gone.any()


def test_without_a_linear_map_nothing_is_filled_in():
    assert seen_whole(None, jnp.zeros(8), jnp.ones(8, bool)) is None
    assert seen_whole(Decoder(LinearPath(lambda z: z, SLOPE.T)), jnp.zeros(8), jnp.ones(8, bool)) is None
    shared = LinearPath(lambda z: z, SLOPE.T, 1, MEAN, np.stack([np.eye(2)] * 4))
    assert seen_whole(Decoder(shared), jnp.zeros(8), jnp.ones(8, bool)) is None
