"""Annealed importance sampling: against closed forms, quadrature and a Kalman filter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from asked import at
from checks import close
from evidence_fixtures import CELLS, COVARIANCE, MU, Linear10, covers, log_p_of_linear, rows_of_linear
from scipy import stats

from latens.data.dataset import Batch, as_batch
from latens.distributions import Bernoulli, Deterministic, DiagonalNormal, StandardNormal, UniformSphere
from latens.distributions.chain import Chain
from latens.errors import ConfigError, UsageError
from latens.evidence import ModelRows, annealed_importance_sampling
from latens.evidence.annealing import run_chains, sigmoid_schedule
from latens.models import AbstractLatentModel


def test_the_schedule_is_the_sigmoid_of_the_paper() -> None:
    betas = np.asarray(sigmoid_schedule(10))
    raw = 1 / (1 + np.exp(-4 * (np.arange(11) / 5 - 1)))
    close(betas, (raw - raw[0]) / (raw[-1] - raw[0]))
    assert (betas[0], betas[5], betas[10]) == (0.0, pytest.approx(0.5), 1.0)


def test_chains_have_keys_of_their_own_however_many_run_at_once() -> None:
    chain = lambda key: (jax.random.normal(key), jax.random.uniform(key))  # noqa: E731
    for count, at_once in ((2, 3), (4, 3), (6, 3), (3, 3)):
        found = run_chains(chain, count, at_once, key=jax.random.key(1))
        alone = [jax.random.normal(jax.random.fold_in(jax.random.key(1), k)) for k in range(count)]
        close(found.log_weights, alone)


def test_annealing_finds_log_p_of_a_linear_gaussian_model() -> None:
    batch = rows_of_linear(20)
    options = {"num_samples": 300, "num_leapfrog": 3, "batch_size": 20, "chains_at_once": 300}
    found = at(annealed_importance_sampling, Linear10(), batch, num_temperatures=24, key=jax.random.key(1), **options)
    exact = log_p_of_linear(batch.x)
    assert covers(found, exact).sum() >= 18
    assert np.max(found.row_errors) < 0.3
    # Better than as many draws that are not annealed from the prior.
    assert "of the moves accepted" in found.protocol
    acceptance = float(found.protocol.split("a move, ")[1].split(" ")[0])
    assert abs(acceptance - 0.65) < 0.1


A, Q, R, STEPS = 0.9, 0.5, 0.4, 4


class StateSpace(AbstractLatentModel):
    """z_t = A z_(t-1) + Q e, x_t = z_t + R e: a tuple of four latents, each given the one before."""

    def prior(self, *, cond=None, key=None):
        after = lambda z: DiagonalNormal(A * z, jnp.full(1, float(np.log(Q))))  # noqa: E731
        return Chain(StandardNormal((1,)), (after,) * (STEPS - 1))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(jnp.concatenate(z), jnp.full(STEPS, float(np.log(R))))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        return self.prior()


def test_a_chain_of_latents_against_its_joint_normal() -> None:
    x = np.array([[0.3, -0.2, 0.9, 1.4], [2.0, 1.5, 0.1, -1.0]], np.float32)
    covariance = np.zeros((STEPS, STEPS))
    for i in range(STEPS):
        covariance[i, i] = 1.0 if i == 0 else A**2 * covariance[i - 1, i - 1] + Q**2
        for j in range(i):
            covariance[i, j] = covariance[j, i] = A ** (i - j) * covariance[j, j]
    exact = stats.multivariate_normal(np.zeros(STEPS), covariance + R**2 * np.eye(STEPS)).logpdf(x)
    found = annealed_importance_sampling(
        ModelRows(StateSpace(), as_batch(x)), num_samples=400, num_temperatures=60, num_leapfrog=3
    )
    assert np.all(covers(found, exact, 0.9999))
    assert np.max(np.abs(found.rows - exact)) < 0.1


class Odd(AbstractLatentModel):
    """Latents that cannot move freely."""

    latents: object

    def prior(self, *, cond=None, key=None):
        return self.latents

    def likelihood(self, z, *, cond=None, key=None):
        return StandardNormal((2,))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        return Deterministic(jnp.zeros(3))


def test_what_cannot_move_is_refused_with_the_way_out() -> None:
    batch, key = as_batch(np.zeros((1, 2), np.float32)), jax.random.key(0)
    with pytest.raises(ConfigError, match=r"whole numbers have no slope.*importance_sampling"):
        annealed_importance_sampling(ModelRows(Odd(Bernoulli(jnp.zeros(3))), batch, key=key))
    with pytest.raises(ConfigError, match=r"UniformSphere prior do not fill.*importance_sampling"):
        annealed_importance_sampling(ModelRows(Odd(UniformSphere(3)), batch, key=key))
    with pytest.raises(UsageError, match=r"num_temperatures: must be a whole number of 1 or more, not 0"):
        annealed_importance_sampling(ModelRows(Odd(StandardNormal((3,))), batch, key=key), num_temperatures=0)


def test_missing_cells_are_left_out() -> None:
    """log p of the observed half of a row is that of its marginal."""
    batch = rows_of_linear(2)
    seen = np.arange(CELLS) % 2 == 0
    x = jnp.where(jnp.asarray(seen), batch.x, jnp.nan)
    masked = ModelRows(Linear10(), Batch(x, batch.row_id, mask=jnp.asarray(np.tile(seen, (2, 1)))))
    exact = stats.multivariate_normal(MU[seen], COVARIANCE[np.ix_(seen, seen)]).logpdf(np.asarray(batch.x)[:, seen])
    found = annealed_importance_sampling(masked, num_samples=300, num_temperatures=24, num_leapfrog=3)
    assert np.all(covers(found, exact, 0.9999))
    assert np.max(np.abs(found.rows - exact)) < 0.3
