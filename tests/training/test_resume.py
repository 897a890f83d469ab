"""A stopped run goes on as if it had not been stopped: in a stage, from stage to stage, and from its checkpoint."""

import equinox as eqx
import jax.numpy as jnp
import pytest
from training_fixtures import assert_same_bits, run, stage

from latens.errors import ConfigError
from latens.training import Budget, Interrupted, Pause, Snapshot, Stage


def stop_at(step):
    def callback(event):
        return Pause("asked") if event.kind == "boundary" and event.snapshot.loop.total >= step else None

    return callback


@pytest.mark.parametrize(("step", "schedule"), [(4, "constant"), (6, "schedule-free"), (16, "schedule-free")])
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
        resume=(0, lambda state, best: snapshot),
    )
    assert_same_bits(whole.snapshot.state, again.snapshot.state)
    assert_same_bits(whole.model, again.model)
    assert first + rest == records


def test_resuming_a_finished_stage_changes_nothing():
    whole = run()
    again = run(resume=(0, lambda state, best: whole.snapshot))
    assert_same_bits(whole.model, again.model)
    assert again.snapshot.loop == whole.snapshot.loop


def shifted(model, data):
    """A start that depends on what the stage before it made: its output bias, moved by the mean of the data."""
    bias = model.decoder.network.layers[-1].bias
    return eqx.tree_at(lambda m: m.decoder.network.layers[-1].bias, model, bias + jnp.float32(data.x.mean()))


@pytest.mark.parametrize("step", [4, 12, 18])
def test_a_run_of_several_stages_goes_on_in_any_of_them(step):
    """Twelve steps, a closed-form stage, then nine more: stopped in either, the bits are those of the whole."""
    closed = Stage(None, None, start=shifted)
    stages = [stage(Budget(epochs=2)), closed, stage(Budget(steps=9), learning_rate=3e-3)]
    records, first, rest = [], [], []
    whole = run(stages=stages, callbacks=[lambda e: records.append(e.record) if e.record else None])
    with pytest.raises(Interrupted) as stopped:
        run(stages=stages, callbacks=[lambda e: first.append(e.record) if e.record else None, stop_at(step)])
    snapshot = stopped.value.snapshot
    again = run(
        stages=stages,
        callbacks=[lambda e: rest.append(e.record) if e.record else None],
        resume=(snapshot.loop.stage, lambda state, best: snapshot),
    )
    assert (whole.snapshot.loop.total, whole.snapshot.loop.stage) == (21, 2)
    assert snapshot.loop.stage == (0 if step < 12 else 2)
    assert_same_bits(whole.snapshot.state, again.snapshot.state)
    assert_same_bits(whole.model, again.model)
    assert first + rest == records
    steps = [record["step"] for record in records if record["event"] == "chunk"]
    assert steps == [4, 6, 10, 12, 16, 18, 21]


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    from latens.fitting import Recorder
    from latens.runs.folder import RunFolder
    from latens.training.checkpoint import save_checkpoint

    snapshot = run(stages=[stage(Budget(steps=4))]).snapshot
    with RunFolder.create(tmp_path / "run", "test", {}, {}, 0) as folder:
        recorder = Recorder(folder)
        recorder.checkpoint(snapshot)
        index, read = recorder.restore()
        found = read(snapshot.state, snapshot.best)
        assert (index, found.loop.total) == (0, 4)
        assert found.loop == snapshot.loop
        assert_same_bits(found.state, snapshot.state)
        folder.info["jax"]["jax_default_prng_impl"] = "rbg"
        with pytest.raises(ConfigError, match=r"began with the random generator 'rbg'.*JAX_DEFAULT_PRNG_IMPL=rbg"):
            recorder.restore()
        del folder.info["jax"]  # a run of before
        assert recorder.restore()[0] == 0
        loop = {**snapshot.loop.to_json(), "metrics_bytes": 0}
        loop["lost"] = loop.pop("lost_chunks")
        save_checkpoint(folder.checkpoints, 5, {"state": snapshot.state, "best": snapshot.best}, loop)
        with pytest.raises(ConfigError, match="another version"):
            recorder.restore()
        folder.set_state("done")
