"""An objective that thinks of neither padding nor dropout: the training step thinks of both."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from training_fixtures import make_model, run, stage

from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.objectives import ELBO, AbstractObjective, draw, run_objective
from latens.trainable import partition_trainable
from latens.training import Budget

KEY, STEP = jax.random.key(4), jnp.asarray(0)
X = (np.random.default_rng(0).random((3, 3, 2)) < 0.4).astype(np.float32)


class Naive(AbstractObjective):
    """Minus one draw's log weight of each row."""

    monitor: ClassVar[str] = "mine"

    def __call__(self, model, batch, *, key, step):
        rows = draw(model, batch, num_samples=1, key=key).log_weight[0]
        return -rows, {"mine": rows}


class Bad(Naive):
    """One number too few."""

    def __call__(self, model, batch, *, key, step):
        return jnp.zeros(2), {}


def batch_of(padding=0, junk=np.nan):
    x = np.concatenate([X, np.full((padding, 3, 2), junk, np.float32)])
    weight = np.concatenate([np.ones(3, np.float32), np.zeros(padding, np.float32)])
    return Batch(jnp.asarray(x), jnp.arange(len(x), dtype=jnp.uint32), weight=jnp.asarray(weight) if padding else None)


def outcome(model, batch, objective=None, training=True):
    """The number, the metrics and the gradient by every trained array."""
    trainable, rest = partition_trainable(model)

    def loss(t):
        model = eqx.combine(t, rest)
        return run_objective(objective or Naive(), model, batch, key=KEY, step=STEP, training=training)[:2]

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(trainable)


def test_padding_changes_neither_number_nor_gradient():
    """Bit for bit, whatever padding holds; beside a batch of another length, to a rounding."""
    model = make_model(drop_probability=0.4)
    zeros, *others = (outcome(model, batch_of(5, junk)) for junk in (0.0, np.nan, 1e6))
    for other in others:
        for one, two in zip(jax.tree.leaves(other), jax.tree.leaves(zeros), strict=True):
            assert np.asarray(one).tobytes() == np.asarray(two).tobytes()
    alone = outcome(model, batch_of())
    assert float(zeros[0][1]["mine"][1]) == 3.0
    for one, two in zip(jax.tree.leaves(zeros[0]), jax.tree.leaves(alone[0]), strict=True):
        close(one, two, rtol=3e-7)
    for one, two in zip(jax.tree.leaves(zeros[1]), jax.tree.leaves(alone[1]), strict=True):
        close(one, two, rtol=1e-6, atol=1e-7)


def test_the_number_is_the_mean_of_the_rows():
    model, batch = make_model(), batch_of()
    rows = draw(model, batch, num_samples=1, key=KEY).log_weight[0]
    (loss, metrics), _ = outcome(model, batch)
    close(loss, -np.mean(rows), rtol=1e-6)
    close(metrics["mine"][0], np.sum(rows), rtol=1e-6)


def test_dropout_is_on_in_training_and_off_in_validation():
    dropping, plain, batch = make_model(drop_probability=0.5), make_model(), batch_of(2)
    (training, _), _ = outcome(dropping, batch)
    (validation, _), _ = outcome(dropping, batch, training=False)
    (without, _), _ = outcome(plain, batch)
    assert float(validation) == float(without)
    assert abs(float(training) - float(without)) > 1e-3


def test_it_trains_as_the_objective_that_thinks_of_both():
    """90 rows in batches of 16: the last batch of an epoch is padded."""
    naive, known = (run(stages=[stage(Budget(epochs=2), o)]) for o in (Naive(), ELBO(kl="sampled")))
    for one, two in zip(
        jax.tree.leaves(eqx.filter(naive.model, eqx.is_array)), jax.tree.leaves(eqx.filter(known.model, eqx.is_array))
    ):
        close(one, two, rtol=1e-5, atol=1e-6)
    close(naive.history[-1]["train_mine"], known.history[-1]["train_elbo"], rtol=1e-6)


def test_a_number_that_is_of_no_row_is_refused():
    with pytest.raises(ConfigError, match=r"Bad gives what to minimise in the shape \(2,\).*one value for each row"):
        outcome(make_model(), batch_of(), Bad())
