"""Annealing from a proposal to log p(x): exact models, schedules, chains, and proposals by their density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from asked import at
from checks import agrees, close
from evidence_fixtures import CELLS, COVARIANCE, MU, PRECISION, Linear10, covers, log_p_of_linear, rows_of_linear
from scipy import stats

from latens.data.dataset import Batch, as_batch
from latens.distributions import Bernoulli, Deterministic, DiagonalNormal, StandardNormal, UniformSphere
from latens.distributions.chain import Chain
from latens.errors import ConfigError, UsageError
from latens.evidence import LogMarginals, ModelRows, annealed_importance_sampling, importance_sampling
from latens.evidence.annealing import run_chains, sigmoid_schedule
from latens.evidence.importance import row_numbers
from latens.evidence.log_marginals import heavy_by_chance
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


NOISE = 0.3


class Folded(AbstractLatentModel):
    """x | z ~ N(|z|, 0.3): two modes, of which the encoder has the right one, as narrow as `scale` says."""

    scale: jax.Array

    def prior(self, *, cond=None, key=None):
        return DiagonalNormal(jnp.zeros(1), jnp.zeros(1))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(jnp.abs(z), jnp.full(1, float(np.log(NOISE))))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        variance = 1 / (1 + NOISE**-2)
        return DiagonalNormal(x * variance / NOISE**2, jnp.log(self.scale * np.sqrt(variance)) * jnp.ones(1))


def exact(x):
    z = np.linspace(-12.0, 12.0, 20_001)
    joint = stats.norm(np.abs(z), NOISE).pdf(x[:, None]) * stats.norm.pdf(z)
    return np.log(np.trapezoid(joint, z, axis=1))


@pytest.mark.parametrize(("scale", "draws"), [(1.0, 100), (0.3, 100), (0.3, 1000)])
def test_errors_cover_log_p_where_q_has_one_of_two_modes(scale: float, draws: int) -> None:
    """In 200 repeats of 25 rows, or nothing but "at least" is said; before, log 2 was missing."""
    x = np.tile(np.abs(np.random.default_rng(0).normal(size=25)), 200).astype(np.float32)
    batch = as_batch(x[:, None], row_id=np.arange(5000))
    found = at(importance_sampling, Folded(jnp.asarray(scale)), batch, num_samples=draws, key=jax.random.key(1))
    names = ("rows", "row_errors", "effective_sample_size", "pareto_k", "rises")
    miss, errors = np.zeros((2, 200))
    for i in range(200):
        own = {name: getattr(found, name)[25 * i : 25 * (i + 1)] for name in names}
        one = LogMarginals(num_samples=draws, protocol="", degrees=draws - 1, **own)
        miss[i], errors[i] = abs(one.rows.mean() - exact(x[:25]).mean()), one.draws_error
    covered, printed = miss <= 1.96 * errors, np.isfinite(errors)
    assert covered.mean() >= 0.93
    # A dozen draws of the prior do not say how much they lack; a hundred do.
    assert printed.mean() < 0.1 if draws == 100 else printed.mean() > 0.5 and covered[printed].mean() >= 0.93
    assert np.mean(miss) < (0.2 if draws == 100 else 0.03)


def test_the_mean_weight_is_p_of_x(float64) -> None:
    """100,000 estimates of few draws: a share that is off by a tenth shows, as do draws of another density."""
    row = np.asarray(rows_of_linear(1, seed=4).x, np.float64)
    batch = as_batch(np.tile(row, (100_000, 1)), row_id=np.arange(100_000))
    p = np.exp(log_p_of_linear(row)[0])
    for draws in (7, 12):
        found = at(importance_sampling, Linear10(), batch, num_samples=draws, key=jax.random.key(0))
        agrees(np.exp(found.rows) / p, 1.0)
    # No draw but those of q counts in the ELBO, which lacks the correlations of the posterior.
    lacks = 0.5 * (np.log(np.diag(PRECISION)).sum() - np.linalg.slogdet(PRECISION)[1])
    numbers = at(row_numbers, Linear10(), batch, num_samples=draws, key=jax.random.key(0))
    agrees(numbers.elbo, np.log(p) - lacks)


def test_more_rows_than_chance_are_heavy() -> None:
    """Of 100 rows of 1000 draws at most 13; then nothing but "at least" is said, in JSON too, and no error."""
    assert heavy_by_chance(1000, 100) == pytest.approx(12.8, abs=0.5)
    for heavy, bound in ((12, ""), (14, "at least")):
        k = np.where(np.arange(100) < heavy, 0.75, 0.4)
        rises = np.tile([0.04, 0.02, 0.01], (100, 1))
        given = (np.full(100, -3.0), np.full(100, 0.1), 1000, "made", np.full(100, 90.0), k, 999, None)
        found = LogMarginals(*given, rises).estimate()
        said = found.to_json()
        assert (said["bound"], said["untrusted_rows"]) == (bound or None, heavy)
        assert (said["standard_error"] is None) is bool(bound)
        assert (str(found) == "at least -3.00 nats") is bool(bound)
