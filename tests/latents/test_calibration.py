"""Simulation-based calibration: ranks, ties, bins and coverage by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from latens.distributions import Bernoulli, DiagonalNormal, FullNormal
from latens.errors import UsageError
from latens.evaluation import simulation_based_calibration
from latens.latents.calibration import _judged, _ranks
from latens.models import AbstractLatentModel

W = np.array([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.0]], np.float32)
SIGMA = 0.6


class Linear(AbstractLatentModel):
    """x = Wz + sigma e with its exact posterior; `scale` makes that too narrow or too wide, `shift` moves it."""

    scale: jax.Array
    shift: jax.Array

    def prior(self, *, cond=None, key=None):
        return DiagonalNormal(jnp.asarray(cond["at"]), jnp.zeros(2))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(jnp.asarray(W) @ z, jnp.full(3, jnp.log(SIGMA)))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        precision = np.linalg.inv(W.T @ W / SIGMA**2 + np.eye(2)).astype(np.float32)
        factor = np.linalg.cholesky(precision).astype(np.float32)
        deviation = jnp.sqrt(jnp.diag(jnp.asarray(precision)))
        mean = jnp.asarray(precision @ W.T / SIGMA**2) @ x + self.shift * deviation
        lower = jnp.tril(jnp.asarray(factor), -1) * self.scale
        return FullNormal(mean, lower + jnp.diag(jnp.log(jnp.diag(jnp.asarray(factor)) * self.scale)))


class Coin(AbstractLatentModel):
    """A coin with p = 0.3 seen through N(z, 1): the exact posterior is a coin again, of which `faith` is a multiple."""

    faith: jax.Array

    def prior(self, *, cond=None, key=None):
        return Bernoulli(jnp.full(1, jnp.log(0.3 / 0.7)))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(z, jnp.zeros(1))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        return Bernoulli(self.faith * (x - 0.5) + jnp.log(0.3 / 0.7))


def test_what_gives_no_even_bins_is_refused():
    model = Linear(jnp.ones(()), jnp.zeros(()))
    with pytest.raises(UsageError, match="and is 50"):
        simulation_based_calibration(model, num_draws=50, key=jax.random.key(0))
    with pytest.raises(UsageError, match="too few for 20 bins"):
        simulation_based_calibration(model, num_rows=50, key=jax.random.key(0))


def test_ranks_are_judged_by_hand():
    """Two units and 39 draws: bins of two ranks, and the outer 5 % on each side are ranks below 2 and above 37."""
    ranks = np.stack([np.arange(120) % 40] * 2, axis=1)
    ranks[:14, 1] = 0
    found = _judged(ranks, 39)
    counts = np.array([[np.sum((unit >= 2 * k) & (unit < 2 * k + 2)) for k in range(20)] for unit in ranks.T])
    p_value = stats.chi2.sf(((counts - 6) ** 2 / 6).sum(axis=1), 19)
    np.testing.assert_allclose(found.p_value, p_value, rtol=1e-9)
    inside = (ranks > 1) & (ranks < 38)
    np.testing.assert_allclose(found.coverage, inside.mean(axis=0))
    np.testing.assert_allclose(found.coverage[0], 0.9)
    coverage, least = found.estimates["posterior_coverage"], found.estimates["calibration_p_value"]
    assert (coverage.value, coverage.n, coverage.num_samples) == (pytest.approx(inside.mean()), 120, 39)
    assert coverage.standard_error == pytest.approx(stats.sem(inside.mean(axis=1)))
    assert least.value == pytest.approx(2 * p_value.min())
    assert 0.01 < least.value < 1.0


def test_a_rank_counts_draws_below_and_shares_ties():
    """Of z among draws of its own posterior, with the keys of its row; equal ones are ordered at random."""
    model, cond = Linear(jnp.asarray(1.3), jnp.asarray(0.2)), {"at": np.arange(202.0, dtype=np.float32).reshape(-1, 2)}
    found = simulation_based_calibration(model, num_rows=101, num_draws=19, cond=cond, key=jax.random.key(0)).ranks
    for i in (0, 7, 99, 100):  # the last one is in another program
        rank, key = found[i], jax.random.fold_in(jax.random.key(0), i)
        latent_key, event_key, draw_key, _ = jax.random.split(key, 4)
        z = model.prior(cond={"at": cond["at"][i]}).sample(key=latent_key)
        posterior = model.posterior(model.likelihood(z).sample(key=event_key))
        draws = np.stack([posterior.sample(key=jax.random.fold_in(draw_key, k)) for k in range(19)])
        np.testing.assert_array_equal(rank, (draws < np.asarray(z)).sum(axis=0))
    tied = np.asarray(_ranks(Coin(jnp.asarray(0.0)), jax.random.split(jax.random.key(1), 3000), None, 19))[:, 0]
    # A posterior that is the prior: each rank is as likely as another.
    counts = np.bincount(tied, minlength=20)
    assert len(counts) == 20
    assert stats.chisquare(counts).pvalue > 1e-4
