"""Options of the ELBO: capacity, free bits of groups."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bound_checks import evaluate
from checks import close
from metric_checks import average
from tables import MODELS

from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.objectives import ELBO


def test_capacity_is_a_target_for_the_divergence():
    model, batch = MODELS["binary pixels"]()
    metrics = evaluate(ELBO(), model, batch)[1]
    kl, log_likelihood = average(metrics, "kl"), average(metrics, "log_likelihood")
    for target in (0.0, 0.5 * kl, 2 * kl):
        loss, other = evaluate(ELBO(beta=30.0, capacity=float(target)), model, batch)
        close(loss, -log_likelihood + 30.0 * abs(kl - target))
        close(other["elbo"], metrics["elbo"])
    scheduled = ELBO(beta=30.0, capacity=optax.linear_schedule(0.0, 4.0, 20))
    close(evaluate(scheduled, model, batch)[0], -log_likelihood + 30.0 * abs(kl - 1.0))


def test_neighbouring_units_share_their_free_bits():
    """Two and two, by the mean over rows that count: the last counts nothing."""
    units = np.array([[0.1, 2.0, 0.3, 0.05], [0.5, 1.0, 0.9, 0.15], [9.0, 9.0, 9.0, 9.0]])
    rows = Batch(jnp.zeros((3, 1)), jnp.arange(3, dtype=jnp.uint32), weight=jnp.asarray([3.0, 1.0, 0.0]))
    neighbours = np.average(units, axis=0, weights=[3, 1, 0]).reshape(2, 2).sum(axis=1)
    found = ELBO(free_bits=1.0, free_bits_group=2)._free_bits(jnp.asarray(units, jnp.float32), rows)
    close(found, np.maximum(neighbours, 1.0).sum())
    with pytest.raises(ConfigError, match="groups of 3 do not divide 4 units"):
        ELBO(free_bits=1.0, free_bits_group=3)._free_bits(jnp.asarray(units, jnp.float32), rows)
