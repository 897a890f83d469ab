"""The loop: budgets, resuming, ways back from bad steps, what is evaluated, and rows that stay on disk."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest
from training_fixtures import assert_same_bits, leaves, make_data, make_model, run, stage

from latens.data import Preparation, load
from latens.errors import DivergedError
from latens.objectives import ELBO
from latens.training import Budget
from latens.training.loop import pad_rows
from latens.training.step import make_program, once_known


def by_hand(data, model, steps, batch_size, seed, optimizer, objective):
    """The same training written plainly: one jitted step after another."""
    from latens.trainable import partition_trainable

    trainable, static = partition_trainable((model, objective))
    state, key = optimizer.init(trainable), jax.random.fold_in(jax.random.key(seed), 0)
    per_epoch = -(-len(data.subset("train")) // batch_size)
    for step in range(steps):
        epoch, at = divmod(step, per_epoch)
        ids = data.order(seed, epoch)[at * batch_size : (at + 1) * batch_size]
        draw_key = jax.random.split(jax.random.fold_in(key, step))[1]
        batch = data.rows(ids)
        batch = eqx.tree_at(lambda b: b.x, batch, jnp.asarray(batch.x, jnp.float32))

        def loss(trainable, batch=batch, draw_key=draw_key, step=step):
            model, objective = eqx.combine(trainable, static)
            return objective(model, batch, key=draw_key, step=jnp.array(step))[0]

        updates, state = optimizer.update(jax.jit(jax.grad(loss))(trainable), state, trainable)
        trainable = optax.apply_updates(trainable, updates)
    return eqx.combine(trainable, static)[0]


def test_the_loop_takes_the_steps_of_plain_training():
    data, model = make_data(), make_model()
    result = run(data, model, [stage(Budget(steps=9))], validate=False)
    expected = by_hand(data, model, 9, 16, 3, optax.adam(1e-2), ELBO())
    for a, b in zip(leaves(result.model), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)
    assert result.snapshot.loop.step == 9


def test_a_snapshot_stays_what_it_was_while_the_training_goes_on():
    kept = []
    run(callbacks=[lambda event: kept.append((event.snapshot.loop, replace(event.snapshot.loop)))])
    assert len({then.total for _, then in kept}) > 2
    assert all(now == then for now, then in kept)


def test_chunks_do_not_change_the_result():
    assert_same_bits(run().model, run(chunk_steps=3).model)


@pytest.mark.parametrize(("budget", "steps"), [(Budget(epochs=2, steps=7), 7), (Budget(epochs=0.5), 3)])
def test_the_first_limit_ends_a_stage(budget, steps):
    # 90 training rows in batches of 16 are 6 steps an epoch.
    result = run(stages=[stage(budget)])
    assert result.snapshot.loop.step == steps
    assert result.snapshot.loop.stopped_because == "budget"


def test_minutes_end_a_stage_at_a_chunk():
    result = run(stages=[stage(Budget(minutes=1e-9))])
    assert (result.snapshot.loop.step, result.snapshot.loop.stopped_because) == (4, "minutes")


def test_patience_counts_validations_without_a_gain_and_the_best_is_returned():
    # Steps so large that validation gets worse soon.
    result = run(stages=[stage(Budget(epochs=200, patience=3), learning_rate=0.5)])
    values = [record["validation_elbo"] for record in result.history]
    best = int(np.argmax(values))
    assert len(values) == best + 4
    assert result.snapshot.loop.best_step == result.history[best]["step"]
    assert result.snapshot.loop.best_value == values[best]
    _, static = eqx.partition((make_model(), ELBO()), eqx.is_array)
    assert_same_bits(result.model, eqx.combine(result.snapshot.best, static)[0])


class Bad(ELBO):
    """An ELBO whose loss is NaN, or whose gradient alone is, at some steps."""

    at: tuple[int, ...] = eqx.field(static=True, default=())
    gradient_only: bool = eqx.field(static=True, default=False)

    def __call__(self, model, batch, *, key, step):
        loss, metrics = ELBO(self.kl)(model, batch, key=key, step=step)
        is_bad = jnp.isin(step, jnp.array(self.at, jnp.int32))
        leaf = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))[0].sum()
        if self.gradient_only:
            # sqrt has an infinite slope at 0: the value stays right, the gradient is NaN.
            return loss + jnp.sqrt(jnp.where(is_bad, leaf * 0.0, 1.0)) - jnp.where(is_bad, 0.0, 1.0), metrics
        return jnp.where(is_bad, jnp.nan, loss), metrics


def test_a_skipped_step_changes_no_parameter():
    # The last step is bad: the result is that of one step less.
    short = run(stages=[stage(Budget(steps=8))], validate=False)
    skipped = run(stages=[stage(Budget(steps=9), Bad(at=(8,)))], validate=False)
    for a, b in zip(leaves(short.model), leaves(skipped.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_training_that_stays_bad_ends_with_a_diagnosis():
    with pytest.raises(DivergedError, match=r"step 7 on: the first bad number is in objective"):
        run(stages=[stage(Budget(epochs=3), Bad(at=tuple(range(5, 100))))], chunk_steps=100)


def test_steps_that_are_all_bad_are_not_skipped_for_ever():
    # One step a chunk: each bad one alone would pass as a single bad step.
    with pytest.raises(DivergedError, match="step 3 on"):
        run(stages=[stage(Budget(epochs=3), Bad(at=tuple(range(100))))], chunk_steps=1)


def test_half_the_learning_rate_is_tried_once():
    factors = []
    with pytest.raises(DivergedError):
        run(
            stages=[stage(Budget(epochs=3), Bad(at=tuple(range(100))))],
            callbacks=[lambda e: factors.append(e.record["learning_rate_factor"]) if e.kind == "bad-chunk" else None],
        )
    assert factors == [1.0, 0.5]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what XLA does on a CPU")
@pytest.mark.parametrize(
    "options",
    [
        {"name": "adam", "clip_value": 5.0},
        {"name": "adamw", "schedule": "schedule-free", "b1": 0.0, "weight_decay": 0.1},
    ],
    ids=lambda options: options["name"],
)
def test_a_compiled_step_copies_no_weights(options):
    """Weights and the optimiser's arrays are moved where they lie: they are copied at the loop's start alone."""
    one, data = stage(Budget(steps=3), **options), make_data()
    program = make_program(make_model(), one.objective, one.optimizer, Preparation())
    batches = pad_rows(data, np.arange(48), 3, 16)
    state = program.init(jax.random.key(0))
    lowered = eqx.filter_jit(program.chunk.function).lower(state, batches, jnp.asarray(3), jnp.asarray(np.inf))
    loop, entry = lowered.compile().compiled.as_text().split("ENTRY ")
    shapes = {leaf.shape for leaf in leaves(state.trainable) if leaf.ndim == 2}
    assert shapes == {(6, 8), (8, 4), (2, 8), (8, 6)}
    for rows, columns in shapes:
        assert f"f32[{rows},{columns}]" in loop
        copies = re.compile(rf" = f32\[{rows},{columns}\]\S* copy\(")
        assert copies.search(entry) is not None
        assert copies.search(loop) is None


def test_a_factor_of_a_half_is_half_a_step():
    one, data = stage(Budget(steps=1), name="sgd", learning_rate=0.1), make_data()
    program = make_program(make_model(), one.objective, one.optimizer, Preparation())
    start = program.init(jax.random.key(0))
    batches, once, limit = pad_rows(data, np.arange(16), 1, 16), jnp.asarray(1), jnp.asarray(np.inf)
    full, _ = program.chunk(start, batches, once, limit)
    slow = eqx.tree_at(lambda s: s.learning_rate_factor, start, jnp.float32(0.5))
    half, _ = program.chunk(slow, batches, once, limit)
    for a, b, c in zip(leaves(start.trainable), leaves(full.trainable), leaves(half.trainable), strict=True):
        assert np.abs(b - a).max() > 1e-5
        np.testing.assert_allclose(c, a + 0.5 * (b - a), atol=1e-7)


@pytest.mark.parametrize("entry", [1.5, -0.0, np.nan, np.inf, -np.inf])
def test_a_number_that_waits_is_the_same_number(entry):
    """Whatever it waits for: half a learning rate stays one beside gradients that are not finite, or empty, or none."""
    gradients = {"weight": jnp.full((2, 3), entry), "none": jnp.zeros((0, 3)), "bias": jnp.array(-entry)}
    assert float(jax.jit(once_known)(gradients, jnp.float32(0.5))) == 0.5
    assert float(once_known({}, jnp.float32(0.5))) == 0.5


def test_rounds_of_several_epochs_take_the_same_steps() -> None:
    """What is done between steps changes none of them, also where the last batch of an epoch is short."""
    from latens.config import override
    from latens.estimators.frames import as_dataset
    from latens.fitting import prepare, train
    from latens.recipes import get_recipe

    rows = as_dataset(np.random.default_rng(0).normal(size=(70, 3)), None, validation_fraction=0.2)
    small = {"network.hidden": 8, "posterior.latent_dim": 2, "training.epochs": 10, "training.batch_size": 16}

    def states(every: int) -> tuple[bytes, list[dict]]:
        given = small | {"training.validate_every": every, "training.patience": None}
        _, result = train(prepare(override(get_recipe("default").config, given), rows))
        arrays = jax.tree.leaves((result.snapshot.state.trainable, result.snapshot.state.opt_state))
        return b"".join(np.asarray(array).tobytes() for array in arrays), result.history

    (once, each), (several, rounds) = states(1), states(every := 5)
    assert several == once
    assert [record["epoch"] for record in rounds] == [every * i for i in range(1, 10 // every + 1)]
    assert [r["validation_elbo"] for r in rounds] == [r["validation_elbo"] for r in each[every - 1 :: every]]
    mean = np.mean([record["train_elbo"] for record in each[:every]])
    assert rounds[0]["train_elbo"] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "steps", "every"), [(20, 200, 100), (40, 400, 50), (110, 20_000, 25), (9000, 20_000, 2)]
)
def test_the_default_budget_suits_small_data(rows: int, steps: int, every: int) -> None:
    from latens.estimators.frames import as_dataset
    from latens.fitting import prepare
    from latens.recipes import get_recipe

    x = np.random.default_rng(0).normal(size=(rows, 5))
    made = prepare(get_recipe("default").config, as_dataset(x, None, validation_fraction=0.1))
    assert made.stages()[0].budget.total_steps(made.settings.steps_per_epoch(len(made.data.subset("train")))) == (
        pytest.approx(steps, rel=0.01)
    )
    assert made.settings.validate_every == every


def test_the_objective_before_the_first_step_is_that_of_its_batch():
    seen = []
    logged = run(callbacks=[lambda event: seen.append((event.kind, event.record))], log_every=1, chunk_steps=1)
    (kind, start), *others = seen
    first = next(record for kind, record in others if kind == "chunk")
    assert kind == "start"
    assert {**first, "event": "start", "step": 0, "epoch": 0.0} == start
    # It is only looked at: the training is the same, bit for bit.
    plain = run(chunk_steps=1)
    assert_same_bits(logged.model, plain.model)
    assert logged.history == plain.history


def test_rows_on_disk_train_to_the_bits_of_the_rows_in_memory(tmp_path: Path) -> None:
    x = (np.random.default_rng(0).random((700, 6)) < 0.3).astype(np.uint8)
    pl.DataFrame({f"c{i}": x[:, i] for i in range(6)}).write_csv(tmp_path / "rows.csv")
    options = {"stages": [stage(Budget(epochs=2.5))], "chunk_steps": 7, "validate_every": 2}
    there, memory = load(tmp_path / "rows.csv", stream=True), load(tmp_path / "rows.csv", stream=False)
    assert isinstance(there.x, np.memmap)
    a, b = run(there, make_model((6,)), **options), run(memory, make_model((6,)), **options)
    assert_same_bits(a.model, b.model)
    assert_same_bits(a.snapshot.state, b.snapshot.state)
    assert a.history == b.history


PEAK = """
import resource, sys
from training_fixtures import run, stage, make_model
from latens.data import load
from latens.training import Budget

data = load(sys.argv[1], stream=True)
run(data, make_model((784,)), stages=[stage(Budget(steps=1200))], batch_size=128, chunk_steps=20, validate=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_is_that_of_few_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.npy"
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(rows, 784))  # a sparse file of zeros
        words = [sys.executable, "-c", PEAK, str(path)]
        support = str(Path(__file__).parents[1] / "support")
        paths = os.pathsep.join([support, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        env = {**os.environ, "PYTHONPATH": paths}
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, env=env)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    # 1.2 GB of rows, of which an epoch goes through nearly a seventh.
    assert peak(1_500_000) - peak(15_000) < 2**28
