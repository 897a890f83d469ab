"""Tempered sequential Monte Carlo: against closed forms and sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from asked import at
from checks import agrees
from evidence_fixtures import Linear10, TwoHumps, covers, log_p_of_humps, log_p_of_linear, rows_of_linear

from latens.data.batches import as_batch
from latens.errors import ConfigError
from latens.evaluation import sequential_monte_carlo
from latens.evaluation.evidence.sequential import resampled


def test_systematic_resampling_keeps_whole_parts() -> None:
    """A weight of w N gives floor(w N) or one more copies, and w N on the average."""
    share = np.array([0.43, 0.05, 0.32, 0.2])
    draws = jax.vmap(lambda key: resampled(jnp.arange(4), jnp.log(jnp.asarray(share)), key=key))
    copies = (np.asarray(draws(jax.random.split(jax.random.key(0), 2000)))[:, :, None] == np.arange(4)).sum(1)
    assert np.all((copies >= np.floor(4 * share)) & (copies <= np.ceil(4 * share)))
    agrees(copies, 4 * share)


def test_sequential_monte_carlo_finds_log_p_of_a_linear_gaussian_model() -> None:
    batch = rows_of_linear(20)
    options = {"num_leapfrog": 3, "num_moves": 1, "batch_size": 20}
    found = at(sequential_monte_carlo, Linear10(), batch, num_samples=512, key=jax.random.key(1), **options)
    exact = log_p_of_linear(batch.x)
    assert covers(found, exact).sum() >= 18
    assert np.max(found.row_errors) < 0.2


@pytest.mark.parametrize("schedule", ["adaptive", "sigmoid"])
def test_runs_have_the_mean_p_of_x(schedule: str) -> None:
    """A prior with two modes, two runs of 16 particles: E[Z] = p(x) for 400 rows, though each estimate is poor."""
    x = np.tile(np.array([[2.0, 0.0]], np.float32), (400, 1))
    options = {"schedule": schedule, "num_temperatures": 6, "num_moves": 1, "num_leapfrog": 2, "batch_size": 400}
    batch = as_batch(x, row_id=np.arange(400))
    found = at(sequential_monte_carlo, TwoHumps(), batch, num_samples=32, num_runs=2, key=jax.random.key(0), **options)
    exact = log_p_of_humps(x[:1])[0]
    agrees(np.exp(found.rows - exact), 1.0)
    # The errors are those that equal rows show.
    assert 0.7 < np.std(np.exp(found.rows - exact)) / np.mean(np.exp(found.rows - exact) * found.row_errors) < 2.0


def test_one_run_has_no_error_and_is_refused() -> None:
    batch = as_batch(np.zeros((1, 2), np.float32))
    for wrong in ({"num_runs": 1}, {"num_samples": 8}, {"threshold": 1.0}):
        with pytest.raises(ConfigError, match="at least 2 runs"):
            at(sequential_monte_carlo, TwoHumps(), batch, key=jax.random.key(0), **wrong)
