"""Missing cells: imputation and masked log p(x) against a Gaussian model with a formula, and draws by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import stats

from latens.data.dataset import as_batch
from latens.distributions import DiagonalNormal, StandardNormal
from latens.evidence import ModelRows, log_marginal
from latens.models import AbstractLatentModel, LatentModel
from latens.predictive import impute
from latens.predictive.missing_cells import WeighedDraws, _impute, given_observed

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


def test_the_mean_is_that_of_the_joint_normal() -> None:
    both = impute(ModelRows(Gaussian(), batch(), key=jax.random.key(3)), num_samples=1000, num_draws=5)
    for row in range(len(X)):
        expected, covariance = conditional(X[row].astype(np.float64), MASK[row])
        error = np.sqrt(np.diag(covariance) / both.effective[row])
        assert np.all(np.abs(both.mean[row, ~MASK[row]] - expected) < 5 * error)
    still = impute(ModelRows(Gaussian(), batch(), key=jax.random.key(3)), num_samples=100, num_draws=50, noise=False)
    away = still.draws[2] - MU  # of a row without observed cells: means are in the plane that W spans
    close(away @ np.linalg.pinv(W).T @ W.T, away, rtol=0, atol=1e-5)


def test_masked_log_p_is_the_marginal_of_the_observed_cells() -> None:
    values = np.stack(
        [log_marginal(ModelRows(Gaussian(), batch(), key=jax.random.key(seed)), num_samples=4000) for seed in range(16)]
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
    key = jax.random.key(3)
    whole = impute(ModelRows(Gaussian(), batch(), key=key, samples_per_chunk=60), num_samples=60, num_draws=5)
    parts = impute(ModelRows(Gaussian(), batch(), key=key, samples_per_chunk=7), num_samples=60, num_draws=5)
    jax.tree.map(lambda one, other: close(one, other, rtol=1e-4, atol=1e-4), whole, parts)
    order = np.array([2, 0, 1])
    turned = eqx.tree_at(lambda b: b, batch(), jax.tree.map(lambda leaf: leaf[order], batch()))
    permuted = impute(ModelRows(Gaussian(), turned, key=key, samples_per_chunk=60), num_samples=60, num_draws=5)
    close(permuted.mean, whole.mean[order], rtol=1e-4, atol=1e-4)
    close(permuted.draws, whole.draws[order], rtol=1e-4, atol=1e-4)


WEIGHTS = np.array([[1.0, 0.5], [3.0, 2.0], [4.0, 0.0], [2.0, 1.5]])
VALUES = np.array([[1.0, -1.0], [2.0, 5.0], [0.0, 100.0], [-3.0, 2.0]])
IDS = jnp.array([7, 9], jnp.uint32)


def after(parts, draws):
    return jax.jit(lambda: _after(parts, draws))()


def _after(parts, draws):
    nothing = jnp.full(2, -jnp.inf)
    state = WeighedDraws(nothing, nothing, jnp.zeros(2), jnp.full((2, draws), -jnp.inf), jnp.zeros((2, draws)))
    with np.errstate(divide="ignore"):
        log_weight, first = np.log(WEIGHTS), 0
    for count in parts:
        own = slice(first, first + count)
        values = jnp.asarray(VALUES[own])
        state = state.with_draws(jnp.asarray(log_weight[own]), values, values, first, IDS, jax.random.key(1))
        first += count
    return state


@pytest.mark.parametrize("parts", [(4,), (1, 3)])
def test_a_mean_is_that_of_the_weights_in_one_part_or_in_two(parts):
    state = after(parts, 0)
    close(state.mean, (WEIGHTS * VALUES).sum(axis=0) / WEIGHTS.sum(axis=0))
    close(state.total, np.log(WEIGHTS.sum(axis=0)))
    close(state.effective, WEIGHTS.sum(axis=0) ** 2 / (WEIGHTS**2).sum(axis=0))


def test_choices_are_by_weight_whatever_the_parts():
    one, two = after((4,), 400), after((1, 3), 400)
    np.testing.assert_array_equal(one.chosen, two.chosen)
    for row in (0, 1):
        shares = WEIGHTS[:, row] / WEIGHTS[:, row].sum()
        found = np.array([np.mean(np.asarray(one.chosen[row]) == value) for value in VALUES[:, row]])
        assert np.all(np.abs(found - shares) <= 4 * np.sqrt(shares * (1 - shares) / 400))


def noise_of(z, **how):
    return DiagonalNormal(jnp.broadcast_to(z, (2,)), jnp.zeros(2))


PAIR = LatentModel(StandardNormal((1,)), lambda x, **how: DiagonalNormal(x[:1], jnp.log(jnp.full(1, 2.0))), noise_of)
"""z ~ N(0, 1), x | z ~ N(z, 1) in each of two columns, and a proposal of N(x, 4) of the first."""


def test_the_noise_of_a_gap_is_not_the_one_that_chose_its_latent():
    """The first latent lies apart from the second, and is chosen by noise of its own stream."""
    x, key, hidden = np.full((3000, 2), 2.5, np.float32), jax.random.key(5), jnp.zeros((3000, 2), bool)
    batch, nothing = as_batch(x, mask=hidden, row_id=np.arange(3000, dtype=np.uint32)), lambda *given: jnp.zeros(())

    def both():
        state, _ = given_observed(nothing, PAIR, batch, key, num_samples=2, num_draws=1, samples_per_chunk=2)
        return state.chosen[:, 0, 0], _impute(PAIR, batch, key, 2, 1, 2, True, nothing)[1][:, 0, 0]

    chosen, drawn = jax.jit(both)()
    assert abs(np.corrcoef(chosen, drawn - chosen)[0, 1]) < 5 / np.sqrt(3000)
