"""The loop: budgets, resuming, ways back from bad steps, and what is evaluated."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from latens.data import Dataset, Preparation, Schema
from latens.distributions import StandardNormal
from latens.errors import ConfigError, DivergedError
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead, SharedScaleNormalHead
from latens.networks import Dense
from latens.objectives import ELBO
from latens.training import Budget, Interrupted, Settings, Snapshot, Stage, fit, make_optimizer


def make_data(n=100, shape=(3, 2), seed=0, validation=10):
    rng = np.random.default_rng(seed)
    x = (rng.random((n, *shape)) < 0.3).astype(np.uint8)
    split = np.zeros(n, np.uint8)
    split[:validation] = 1
    ids = np.arange(n)
    return Dataset(x, Schema(shape, "binary"), ids.astype(np.uint32), ids, split, "made")


def make_model(shape=(3, 2), key=0, **network):
    encoder_key, decoder_key = jax.random.split(jax.random.key(key))
    cells = int(np.prod(shape))
    return LatentModel(
        StandardNormal((2,)),
        Conditional(Dense([cells, 8, 4], key=encoder_key, **network), NormalHead((2,))),
        Conditional(Dense([2, 8, cells], key=decoder_key, **network), BernoulliHead(shape)),
    )


def stage(budget, objective=None, **optimizer):
    return Stage(objective or ELBO(), make_optimizer(**({"name": "adam", "learning_rate": 1e-2} | optimizer)), budget)


def run(data=None, model=None, stages=None, callbacks=(), resume=None, **settings):
    chosen = {"batch_size": 16, "chunk_steps": 4, "seed": 3} | settings
    return fit(
        model or make_model(),
        stages or [stage(Budget(epochs=3))],
        data or make_data(),
        preparation=Preparation(),
        settings=Settings(**chosen),
        callbacks=callbacks,
        resume=resume,
    )


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


def assert_same_bits(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        assert x.tobytes() == y.tobytes()


def by_hand(data, model, steps, batch_size, seed, optimizer, objective):
    """The same training written plainly: one jitted step after another."""
    from latens.trees import partition_trainable

    trainable, static = partition_trainable((model, objective))
    state, key = optimizer.init(trainable), jax.random.fold_in(jax.random.key(seed), 0)
    per_epoch = -(-len(data.subset("train")) // batch_size)
    for step in range(steps):
        epoch, at = divmod(step, per_epoch)
        ids = data.order(seed, epoch)[at * batch_size : (at + 1) * batch_size]
        draw_key = jax.random.split(jax.random.fold_in(key, step), 4)[2]
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


@pytest.mark.parametrize("chunk_steps", [3, 100])
def test_chunks_do_not_change_the_result(chunk_steps):
    assert_same_bits(run().model, run(chunk_steps=chunk_steps).model)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [(Budget(epochs=2), 12), (Budget(steps=7), 7), (Budget(epochs=2, steps=7), 7), (Budget(epochs=0.5), 3)],
)
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
    assert_same_bits(result.model, eqx.combine(result.snapshot.best, make_model_static())[0])


def make_model_static():
    from latens.trees import partition_trainable

    return partition_trainable((make_model(), ELBO()))[1]


def stop_at(step):
    def callback(event):
        return "asked" if event.kind == "boundary" and event.snapshot.loop.step >= step else None

    return callback


@pytest.mark.parametrize("schedule", ["constant", "schedule-free"])
@pytest.mark.parametrize("step", [4, 6, 16])
def test_a_stopped_run_goes_on_bit_for_bit(step, schedule):
    stages = [stage(Budget(epochs=3), schedule=schedule)]
    records = []
    whole = run(stages=stages, callbacks=[lambda e: records.append(e.record) if e.record else None])
    first, rest = [], []
    with pytest.raises(Interrupted) as stopped:
        run(stages=stages, callbacks=[lambda e: first.append(e.record) if e.record else None, stop_at(step)])
    snapshot: Snapshot = stopped.value.snapshot
    again = run(
        stages=stages,
        callbacks=[lambda e: rest.append(e.record) if e.record else None],
        resume=lambda state, best: snapshot,
    )
    assert_same_bits(whole.snapshot.state, again.snapshot.state)
    assert_same_bits(whole.model, again.model)
    assert first + rest == records


def test_resuming_a_finished_stage_changes_nothing():
    whole = run()
    again = run(resume=lambda state, best: whole.snapshot)
    assert_same_bits(whole.model, again.model)
    assert again.snapshot.loop == whole.snapshot.loop


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


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("bad", [(0,), (5,), (17,), (2, 9)])
def test_a_bad_step_is_skipped_and_reported(bad, gradient_only):
    events = []
    objective = Bad(at=bad, gradient_only=gradient_only)
    result = run(
        stages=[stage(Budget(epochs=3), objective)],
        callbacks=[lambda e: events.append(e.record) if e.kind == "bad-chunk" else None],
    )
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves(result.snapshot.state))
    assert [event["first_bad_step"] for event in events] == [step + 1 for step in bad]
    wanted = "gradient" if gradient_only else "objective"
    assert all(wanted in event["terms"] for event in events)
    assert result.snapshot.loop.skipped == len(bad)
    assert float(result.snapshot.state.learning_rate_factor) == 1.0


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


def test_schedule_free_evaluates_the_average():
    optimizer = make_optimizer("sgd", learning_rate=0.1, schedule="schedule-free")
    x = jnp.array(1.0)
    state, z, mean = optimizer.transform.init(x), 1.0, 1.0
    for step in range(1, 6):
        y = float(x)
        updates, state = optimizer.transform.update(jnp.array(2.0 * y), state, x)
        x = x + updates
        # Defazio et al. (2024), equations 3-5 with beta 0.9: gradient at y, z moves, x averages the z.
        z -= 0.1 * 2.0 * y
        mean = (1 - 1 / step) * mean + z / step
        assert float(x) == pytest.approx(0.9 * mean + 0.1 * z, rel=1e-5)
        assert float(optimizer.evaluate(state, x)) == pytest.approx(mean, rel=1e-5)


def test_half_the_learning_rate_moves_the_average_half_as_far():
    """With the factor on the updates and on z, every sequence of schedule-free moves by that share of its step."""
    optimizer = make_optimizer("sgd", learning_rate=0.1, schedule="schedule-free")
    x = jnp.array(1.0)
    state = optimizer.transform.init(x)
    for _ in range(3):
        updates, state = optimizer.transform.update(2.0 * x, state, x)
        x = x + updates
    updates, full = optimizer.transform.update(2.0 * x, state, x)
    half = optimizer.damp(state, full, 0.5)
    before, after = optimizer.evaluate(state, x), optimizer.evaluate(full, x + updates)
    assert float(optimizer.evaluate(half, x + 0.5 * updates)) == pytest.approx(float(0.5 * (before + after)), rel=1e-6)
    assert float(half[-1].z) == pytest.approx(float(0.5 * (state[-1].z + full[-1].z)), rel=1e-6)


def test_decay_pulls_weights_and_not_biases():
    from latens.networks import Linear

    optimizer = make_optimizer("adamw", learning_rate=0.1, weight_decay=0.5)
    layer = Linear(jnp.ones((1, 1)), jnp.ones(1))
    zeros = jax.tree.map(jnp.zeros_like, layer)
    updates, _ = optimizer.transform.update(zeros, optimizer.transform.init(layer), layer)
    assert float(updates.weight[0, 0]) == pytest.approx(-0.05)
    assert float(updates.bias[0]) == 0.0


def test_warmup_rises_in_equal_steps():
    optimizer = make_optimizer("sgd", learning_rate=1.0, warmup_steps=4)
    state = optimizer.transform.init(jnp.zeros(()))
    sizes = []
    for _ in range(6):
        updates, state = optimizer.transform.update(jnp.ones(()), state, jnp.zeros(()))
        sizes.append(-float(updates))
    assert sizes == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_clipping_by_value_and_norm():
    optimizer = make_optimizer("sgd", learning_rate=1.0, clip_value=5.0)
    updates, _ = optimizer.transform.update(jnp.array([9.0, -2.0]), optimizer.transform.init(jnp.zeros(2)))
    assert updates.tolist() == [-5.0, 2.0]
    optimizer = make_optimizer("sgd", learning_rate=1.0, clip_norm=5.0)
    updates, _ = optimizer.transform.update(jnp.array([30.0, -40.0]), optimizer.transform.init(jnp.zeros(2)))
    np.testing.assert_allclose(updates, [-3.0, 4.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "adm"}, "Did you mean 'adam'"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"schedule": "cosine"}, "needs its end"),
        ({"name": "sgd", "beta": 3}, "does not take"),
    ],
)
def test_optimisers_refuse_what_they_cannot_do(arguments, words):
    with pytest.raises(ConfigError, match=words):
        make_optimizer(**arguments)


def test_a_linear_gaussian_model_reaches_the_optimum_of_ppca():
    """Eigenvalues (5, 3, 1, .5, .2), two units: -7.59674171017 nats a row at the maximum (Tipping & Bishop 1999)."""
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((500, 5))
    raw -= raw.mean(0)
    # Rows whose covariance is exactly the diagonal of eigenvalues.
    u, _, _ = np.linalg.svd(raw, full_matrices=False)
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    x = (u * np.sqrt(500) * np.sqrt([5.0, 3.0, 1.0, 0.5, 0.2])) @ rotation
    ids = np.arange(500)
    data = Dataset(
        x.astype(np.float32), Schema((5,), "real"), ids.astype(np.uint32), ids, np.zeros(500, np.uint8), "ppca"
    )
    encoder_key, decoder_key = jax.random.split(jax.random.key(1))
    model = LatentModel(
        StandardNormal((2,)),
        Conditional(Dense([5, 4], key=encoder_key), NormalHead((2,), "softplus")),
        Conditional(Dense([2, 5], key=decoder_key), SharedScaleNormalHead((5,), jnp.zeros(()))),
    )
    optimizer = make_optimizer("adam", learning_rate=0.02, schedule="cosine", total_steps=3000)
    result = run(
        data, model, [Stage(ELBO(num_samples=8), optimizer, Budget(steps=3000))], batch_size=500, chunk_steps=500
    )
    decoder = result.model.decoder
    weight, noise = np.asarray(decoder.network.layers[0].weight, np.float64), float(decoder.head.log_scale)
    mean = np.asarray(decoder.network.layers[0].bias, np.float64)
    covariance = weight.T @ weight + np.exp(2 * noise) * np.eye(5)
    residual = x - mean
    log_p = -0.5 * (
        5 * np.log(2 * np.pi)
        + np.linalg.slogdet(covariance)[1]
        + np.mean(np.sum(residual @ np.linalg.inv(covariance) * residual, axis=1))
    )
    assert log_p == pytest.approx(-7.59674171017, abs=1e-2)
    assert np.exp(2 * noise) == pytest.approx(0.566667, rel=0.03)


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    from latens.experiment import Recorder
    from latens.runs import RunFolder
    from latens.training.checkpoint import save_checkpoint
    from latens.training.fit import loop_to_json

    snapshot = run(stages=[stage(Budget(steps=4))]).snapshot
    with RunFolder.create(tmp_path / "run", "test", {}, {}, 0) as folder:
        recorder = Recorder(folder)
        recorder.checkpoint(snapshot)
        found = recorder.restore(snapshot.state, snapshot.best)
        assert found.loop == snapshot.loop
        assert_same_bits(found.state, snapshot.state)
        loop = {**loop_to_json(snapshot.loop), "metrics_bytes": 0}
        loop["lost"] = loop.pop("lost_chunks")
        save_checkpoint(folder.checkpoints, 5, {"state": snapshot.state, "best": snapshot.best}, loop)
        with pytest.raises(ConfigError, match="another version"):
            recorder.restore(snapshot.state, snapshot.best)
        folder.set_state("done")
