"""What objectives make of draws and of drawn weights, with draws that are given: by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from tables import conjugate_pair

from latens.data.batches import Batch
from latens.io import keys
from latens.objectives import ELBO, Draws, elbo
from latens.objectives.base import AbstractObjective, by_row, run_objective
from latens.trees import AbstractRandomWeights, realise

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


class Noisy(AbstractRandomWeights):
    """A weight to which every step adds noise."""

    weight: jax.Array

    def realise(self, *, key):
        return Noisy(self.weight + jax.random.normal(key, ()))


class Weight(AbstractObjective):
    """The weight of an encoder, for every row."""

    couples_rows = by_row

    def __call__(self, model, batch, *, key, step):
        return jnp.full(3, model.encoder.weight), {}


def test_weights_are_drawn_with_a_key_of_their_own():
    model = eqx.tree_at(lambda m: m.encoder, conjugate_pair(), Noisy(jnp.asarray(2.0)))
    key, step = jax.random.key(3), jnp.asarray(0)
    own = realise(model, key=jax.random.fold_in(key, keys.WEIGHT_DROPOUT))
    close(run_objective(Weight(), model, ROWS, key=key, step=step, training=True)[0], own.encoder.weight)
    close(run_objective(Weight(), model, ROWS, key=key, step=step, training=False)[0], 2.0)
