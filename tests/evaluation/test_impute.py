"""Missing cells: imputation and masked log p(x) against a Gaussian model, where both have a formula."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import integrate, stats

from latens.data.batches import as_batch
from latens.distributions import Affine, Bernoulli, DiagonalNormal, StandardNormal
from latens.errors import ConfigError
from latens.evaluation import Rows, impute, log_marginal
from latens.models import AbstractLatentModel, Conditional, LatentModel, NormalHead, SelfMasking, Standardise
from latens.networks import Dense

pytest_plugins = ("cli_fixtures",)

W = np.array([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.0], [0.7, 0.4]])
MU, SIGMA = np.array([0.1, -0.2, 0.3, 1.0]), 0.6
COVARIANCE = W @ W.T + SIGMA**2 * np.eye(4)
X = np.array([[0.5, -1.0, 1.2, 0.3], [2.0, 0.4, -0.7, 1.9], [0.0, 0.0, 0.0, 0.0]], np.float32)
MASK = np.array([[True, False, True, False], [False, True, True, True], [False, False, False, False]])


class Gaussian(AbstractLatentModel):
    """x = Wz + mu + sigma e; the proposal is the posterior of complete rows with zeros in the gaps: a bad one."""

    def prior(self, *, cond=None, key=None):
        return StandardNormal((2,))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(jnp.asarray(W, jnp.float32) @ z + jnp.asarray(MU, jnp.float32), jnp.log(SIGMA))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        assert mask is not None
        return DiagonalNormal(0.2 * jnp.where(mask, x, 0.0)[:2], jnp.zeros(2))


def conditional(x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the missing cells given the observed ones, from the joint Normal."""
    seen, gone = np.flatnonzero(mask), np.flatnonzero(~mask)
    gain = COVARIANCE[np.ix_(gone, seen)] @ np.linalg.inv(COVARIANCE[np.ix_(seen, seen)]) if len(seen) else None
    if gain is None:
        return MU, COVARIANCE
    mean = MU[gone] + gain @ (x[seen] - MU[seen])
    return mean, COVARIANCE[np.ix_(gone, gone)] - gain @ COVARIANCE[np.ix_(seen, gone)]


def batch(rows: np.ndarray = X, mask: np.ndarray = MASK):
    given = np.where(mask, rows, np.nan).astype(np.float32)  # what is hidden must not matter, not even as NaN
    return as_batch(given, mask=jnp.asarray(mask), row_id=np.arange(len(rows), dtype=np.uint32))


def test_the_imputation_is_the_conditional_mean() -> None:
    runs = 24
    found = [impute(Rows(Gaussian(), batch(), key=jax.random.key(seed)), num_samples=3000).mean for seed in range(runs)]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(runs)
    for row in range(len(X)):
        expected, _ = conditional(X[row].astype(np.float64), MASK[row])
        gone = ~MASK[row]
        assert (error[row, gone] < 0.02).all()
        # Self-normalised weights are biased by about 1/K times a spread of order 1.
        assert np.all(np.abs(mean[row, gone] - expected) < 5 * error[row, gone] + 5e-4)
        assert np.array_equal(found[0][row, MASK[row]], X[row, MASK[row]])


def test_draws_come_from_the_conditional_distribution() -> None:
    found = impute(Rows(Gaussian(), batch()), num_samples=4000, num_draws=400)
    assert found.draws.shape == (3, 400, 4)
    for row in range(len(X)):
        mean, covariance = conditional(X[row].astype(np.float64), MASK[row])
        draws = found.draws[row][:, ~MASK[row]]
        # 400 draws choose among weighted z: their effective number is smaller by what the weights repeat.
        spread = np.sqrt(np.diag(covariance) * (1 / 400 + 1 / found.effective[row]))
        assert np.all(np.abs(draws.mean(0) - mean) < 5 * spread)
        variance = np.diag(covariance)
        assert np.all(np.abs(draws.var(0) - variance) < 5 * variance * np.sqrt(2 / 400 + 2 / found.effective[row]))
        assert np.all(found.draws[row][:, MASK[row]] == X[row, MASK[row]])


def test_draws_are_the_same_where_no_mean_is_asked_for() -> None:
    both = impute(Rows(Gaussian(), batch(), key=jax.random.key(3)), num_samples=1000, num_draws=5)
    alone = impute(Rows(Gaussian(), batch(), key=jax.random.key(3)), num_samples=1000, num_draws=5, mean=False)
    assert alone.mean is None
    for row in range(len(X)):
        expected, covariance = conditional(X[row].astype(np.float64), MASK[row])
        error = np.sqrt(np.diag(covariance) / both.effective[row])
        assert np.all(np.abs(both.mean[row, ~MASK[row]] - expected) < 5 * error)
    close(alone.draws, both.draws, rtol=1e-6, atol=1e-6)
    close(alone.effective, both.effective, rtol=1e-5, atol=0)


def test_masked_log_p_is_the_marginal_of_the_observed_cells() -> None:
    values = np.stack(
        [log_marginal(Rows(Gaussian(), batch(), key=jax.random.key(seed)), num_samples=4000) for seed in range(16)]
    )
    for row in range(len(X)):
        seen = np.flatnonzero(MASK[row])
        exact = (
            stats.multivariate_normal(MU[seen], COVARIANCE[np.ix_(seen, seen)]).logpdf(X[row, seen].astype(float))
            if len(seen)
            else 0.0
        )
        ratios = np.exp(values[:, row].astype(np.float64) - exact)  # the estimate of p itself has no bias
        assert abs(ratios.mean() - 1) < 5 * ratios.std(ddof=1) / np.sqrt(len(ratios)) + 1e-5


def test_neither_chunks_nor_order_change_what_is_imputed() -> None:
    whole = impute(Rows(Gaussian(), batch(), key=jax.random.key(3), samples_per_chunk=60), num_samples=60, num_draws=5)
    parts = impute(Rows(Gaussian(), batch(), key=jax.random.key(3), samples_per_chunk=7), num_samples=60, num_draws=5)
    jax.tree.map(lambda one, other: close(one, other, rtol=1e-4, atol=1e-4), whole, parts)
    order = np.array([2, 0, 1])
    turned = eqx.tree_at(lambda b: b, batch(), jax.tree.map(lambda leaf: leaf[order], batch()))
    permuted = impute(
        Rows(Gaussian(), turned, key=jax.random.key(3), samples_per_chunk=60), num_samples=60, num_draws=5
    )
    close(permuted.mean, whole.mean[order], rtol=1e-4, atol=1e-4)
    close(permuted.draws, whole.draws[order], rtol=1e-4, atol=1e-4)


# Cells that hide themselves

SLOPE, BIAS = np.array([2.0, -1.0]), np.array([-0.5, 0.3])


def hidden(slope: float, bias: float, mean: float, scale: float, power: int) -> float:
    """E[x^power p(missing | x)] over x ~ N(mean, scale), by SciPy's quadrature."""
    value = lambda x: x**power * stats.norm.pdf(x, mean, scale) / (1 + np.exp(-slope * x - bias))  # noqa: E731
    return integrate.quad(value, mean - 10 * scale, mean + 10 * scale)[0]


def test_the_mask_of_cells_that_hide_themselves_has_its_probability() -> None:
    shift, scale = np.array([1.0, -2.0], np.float32), np.array([0.5, 3.0], np.float32)
    model = SelfMasking(jnp.asarray(SLOPE), jnp.asarray(BIAS), Standardise(shift, scale))
    loc, sigma = np.array([0.3, -0.4]), np.array([0.8, 0.5])
    inner = DiagonalNormal(jnp.asarray(loc, jnp.float32), jnp.log(jnp.asarray(sigma, jnp.float32)))
    likelihood = Affine(inner, jnp.asarray(shift), jnp.asarray(scale))
    mask, x = jnp.array([True, False]), jnp.array([0.7, jnp.nan])
    gone = hidden(SLOPE[1], BIAS[1], loc[1], sigma[1], 0)
    seen = -np.log1p(np.exp(SLOPE[0] * (0.7 - 1.0) / 0.5 + BIAS[0]))
    assert float(model(likelihood, x, mask)) == pytest.approx(seen + np.log(gone), abs=2e-5)
    mean = hidden(SLOPE[1], BIAS[1], loc[1], sigma[1], 1) / gone
    assert float(model.missing_mean(likelihood)[1]) == pytest.approx(-2.0 + 3.0 * mean, abs=2e-5)
    draws = jax.vmap(lambda k: model.missing_sample(likelihood, key=k))(jax.random.split(jax.random.key(0), 4000))
    second = hidden(SLOPE[1], BIAS[1], loc[1], sigma[1], 2) / gone
    error = 3.0 * np.sqrt((second - mean**2) / 4000)
    assert abs(float(draws[:, 1].mean()) - (-2.0 + 3.0 * mean)) < 5 * error + 0.01  # 64 candidates: a bias of 1/64
    slopes = jax.grad(lambda m: m(likelihood, x, mask))(model)
    for i, h in ((0, 0.01), (1, 0.01)):
        at = lambda d: float(eqx.tree_at(lambda m: m.slope, model, model.slope.at[i].add(d))(likelihood, x, mask))  # noqa: E731, B023
        assert float(slopes.slope[i]) == pytest.approx((at(h) - at(-h)) / (2 * h), abs=2e-3)


def test_a_model_of_the_mask_imputes_what_hides_itself() -> None:
    """One cell, no latent that matters: E[x | missing] of N(0, 1) under self-masking, and p(mask) itself."""
    decoder = Conditional(lambda z: jnp.zeros(2), NormalHead((1,)))
    encoder = Conditional(Dense([1, 2], key=jax.random.key(0)), NormalHead((1,)))
    masking = SelfMasking(jnp.array([2.0]), jnp.array([-0.5]))
    model = LatentModel(StandardNormal((1,)), encoder, decoder, masking)
    rows = as_batch(np.zeros((1, 1), np.float32), mask=jnp.zeros((1, 1), bool))
    gone = hidden(2.0, -0.5, 0.0, 1.0, 0)
    found = impute(Rows(model, rows, key=jax.random.key(1)), num_samples=50)
    assert float(found.mean[0, 0]) == pytest.approx(hidden(2.0, -0.5, 0.0, 1.0, 1) / gone, abs=1e-5)
    # Weighted by q: exact in expectation only, so many draws.
    assert float(log_marginal(Rows(model, rows, key=jax.random.key(2)), num_samples=20000)[0]) == pytest.approx(
        np.log(gone), abs=0.02
    )
    with pytest.raises(ConfigError, match="normal likelihood"):
        masking.missing_mean(Bernoulli(jnp.zeros(1)))


# From the face

LINE = np.array([1.0, -2.0, 0.5])
