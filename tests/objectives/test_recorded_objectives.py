"""Every objective of the table on one batch, its number, metrics and gradients: as recorded."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP
from records import meets_record
from tables import OBJECTIVES
from test_objectives import model_for

from latens.data.batches import Batch
from latens.objectives import run_objective
from latens.trees import partition_trainable

GROUPS = 8


def run(name):
    model, batch = model_for(name)
    mask = jnp.asarray(np.random.default_rng(1).uniform(size=batch.x.shape) < 0.8)
    weight = jnp.asarray([1.0, 2.0, 0.0, 1.0])
    if name.startswith(("Perceptual", "Stratified", "Subset", "Aligned")):
        mask = None
    batch = Batch(batch.x, batch.row_id, mask, weight, batch.cond, batch.label)
    trainable, rest = partition_trainable((model, OBJECTIVES[name]()))

    def loss(trainable):
        model, objective = eqx.combine(trainable, rest)
        value, metrics, *_ = run_objective(objective, model, batch, key=jax.random.key(0), step=STEP, training=True)
        return value, metrics

    (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(trainable)
    return (
        value,
        metrics,
        [jnp.sum(leaf * jnp.cos(jnp.arange(leaf.size).reshape(leaf.shape))) for leaf in jax.tree.leaves(gradient)],
    )


@pytest.mark.parametrize("group", range(GROUPS))
def test_objectives_are_as_recorded(group):
    names = list(OBJECTIVES)[group::GROUPS]
    found = jax.jit(lambda: {name: run(name) for name in names})()
    for name in names:
        meets_record(f"objective {name}", found[name])
