"""What objectives make of draws that are given: by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from tables import conjugate_pair

from latens.data.dataset import Batch
from latens.objectives import ELBO, Draws, elbo

RANDOM = np.random.default_rng(0)
LOG_P, KL = RANDOM.normal(size=(2, 3)), RANDOM.uniform(0.1, 2.0, size=(2, 3, 4))
WEIGHT = np.array([1.0, 3.0, 0.0])
ROWS = Batch(jnp.zeros((3, 1)), jnp.arange(3, dtype=jnp.uint32), weight=jnp.asarray(WEIGHT, jnp.float32))


@pytest.mark.parametrize(
    ("bits", "group", "capacity"), [(0.0, 1, None), (1.0, 1, None), (1.0, 2, None), (2.5, 2, None), (0.0, 1, 9.0)]
)
def test_the_kl_of_levels_is_its_mean_over_draws(monkeypatch, bits, group, capacity):
    log_p, kl = (jnp.asarray(part, jnp.float32) for part in (LOG_P, KL))
    given = Draws(jnp.zeros((2, 3, 1)), log_p, log_p, log_p, {}, kl)
    monkeypatch.setattr(elbo, "draw", lambda *args, **options: given)
    objective = ELBO(num_samples=2, beta=2.0, free_bits=bits, free_bits_group=group, capacity=capacity)
    loss, metrics = objective(conjugate_pair(), ROWS, key=jax.random.key(0), step=jnp.asarray(0))
    by_level = KL.mean(axis=0)
    close(metrics["kl"][0], by_level.sum(axis=1) @ WEIGHT)
    close(metrics["elbo"][0], (LOG_P.mean(axis=0) - by_level.sum(axis=1)) @ WEIGHT)
    groups = np.average(by_level, axis=0, weights=WEIGHT).reshape(-1, group).sum(axis=1)
    penalty = np.maximum(groups, bits).sum() if capacity is None else abs(groups.sum() - capacity)
    close(loss, -np.average(LOG_P.mean(axis=0), weights=WEIGHT) + 2.0 * penalty)
