"""Objectives and draws, compiled as tests ask for them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens import objectives
from latens.data.dataset import Batch
from latens.models import LatentModel
from latens.objectives import AbstractObjective, run_objective

STEP = jnp.asarray(5)
LOG_P, BEST_ELBO = -1.82801212348, -2.0439385332
"""log p(x) and the bound of the conjugate pair at x = 1.5, q = N(0.5, 1)."""


def draw(model: LatentModel, batch: Batch, **options: Any) -> objectives.Draws:
    """`latens.objectives.draw`, compiled."""
    return eqx.filter_jit(lambda m, b: objectives.draw(m, b, **options))(model, batch)


def evaluate(objective: AbstractObjective, model: LatentModel, batch: Batch, seed: int = 0) -> tuple:
    """The number to minimise and the metrics, compiled."""
    return eqx.filter_jit(lambda m, b: _run(objective, m, b, seed))(model, batch)[:2]


def loss_of(objective: AbstractObjective, model: LatentModel, batch: Batch, seed: int = 0) -> jax.Array:
    return _run(objective, model, batch, seed)[0]


def _run(objective: AbstractObjective, model: LatentModel, batch: Batch, seed: int) -> tuple:
    return run_objective(objective, model, batch, key=jax.random.key(seed), step=STEP, training=True)


def ids(count, first=10):
    return jnp.arange(first, first + count, dtype=jnp.uint32)


def average(metrics, name):
    return float(metrics[name][0] / metrics[name][1])
