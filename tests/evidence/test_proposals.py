"""Draws of q, of a wider q and of the prior weighed together: against quadrature, a closed form, and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from asked import at
from checks import agrees
from evidence_fixtures import PRECISION, Linear10, log_p_of_linear, rows_of_linear
from scipy import stats

from latens.data.dataset import as_batch
from latens.distributions import DiagonalNormal
from latens.evidence import LogMarginals, importance_sampling
from latens.evidence.importance import heavy_by_chance, row_numbers
from latens.models import AbstractLatentModel

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
