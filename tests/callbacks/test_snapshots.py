"""Models kept on the way: at the steps promised, as training had them then, and without moving a bit of it."""

import jax
import numpy as np
import pytest
from cli_fixtures import SMALL

from latens.callbacks.snapshots import Snapshots, kept_steps, load_snapshots, snapshots_of
from latens.config import override
from latens.data import load
from latens.errors import RunFolderError
from latens.io.safetensors import tree_to_arrays
from latens.recipes import get_recipe
from latens.runs.folder import RunFolder
from latens.trained.experiment import prepare, train
from latens.trained.trained_model import TrainedModel
from latens.training import Interrupted, Pause
from latens.training.stages import snapshot_steps

pytest_plugins = ("cli_fixtures",)

STEPS = (0, 1, 3, 6, 16, 40)


def experiment_of(**settings):
    small = {"network.hidden": [8], "posterior.latent_dim": 2, "training.batch_size": 50, "training.chunk_steps": 7}
    return prepare(override(get_recipe("default").config, small | {"training.steps": 40} | settings), load("digits"))


def arrays_of(model):
    return {name: np.asarray(array) for name, array in tree_to_arrays(model).items()}


@pytest.fixture(scope="module")
def every_step(tmp_path_factory):
    """The model after every step of a training that keeps nothing, and its end."""
    seen = {}

    def keep(event):
        if event.kind in ("start", "boundary"):
            seen[event.snapshot.loop.total] = arrays_of(event.model())

    _, result = train(experiment_of(**{"training.chunk_steps": 1}), callbacks=[keep])
    return seen, arrays_of(result.snapshot.state)


def test_steps_are_even_in_the_logarithm():
    assert snapshot_steps(6, 10_000) == (0, 1, 10, 100, 1000, 10_000)
    assert snapshot_steps(6, 40) == STEPS
    assert snapshot_steps(24, 5) == (0, 1, 2, 3, 4, 5)
    assert snapshot_steps(2, 1) == (0, 1)
    for total in (7, 100, 12_345):
        steps = snapshot_steps(24, total)
        assert steps[0] == 0
        assert steps[-1] == total
        late = np.diff(np.log(steps[-6:]))
        np.testing.assert_allclose(late, np.log(total) / 22, atol=1.0 / steps[-6])
    # Of a training without a known end the grid goes on in the same ratio: here half a decade.
    assert {1, 3, 10, 32, 100, 1000, 10**6, 10**9} <= set(snapshot_steps(14, None))


def test_kept_models_are_those_of_their_steps_and_training_is_the_same(tmp_path, every_step):
    seen, end = every_step
    experiment = experiment_of(**{"training.snapshots": 6})
    keeper = Snapshots(tmp_path, experiment)
    _, result = train(experiment, callbacks=[keeper])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{step:09d}.safetensors" for step in STEPS]
    for step in STEPS:
        kept = TrainedModel.load(tmp_path / f"{step:09d}.safetensors")
        assert kept.facts["steps"] == step
        found = arrays_of(kept.model)
        assert found.keys() == seen[step].keys()
        for name, array in found.items():
            np.testing.assert_array_equal(array, seen[step][name], err_msg=f"{step} {name}")
    state = arrays_of(result.snapshot.state)
    assert state.keys() == end.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, end[name], err_msg=name)


def test_a_resumed_run_keeps_the_same_files(tmp_path):
    experiment = experiment_of(**{"training.snapshots": 6})
    files = []
    for name, limit in (("whole", None), ("halved", 10)):

        def stop(event, limit=limit):
            return Pause("enough") if limit and event.snapshot.loop.total >= limit else None

        with RunFolder.create(tmp_path / name, "latens fit", {}, {}, 0) as run:
            callbacks = [*snapshots_of(run, experiment), stop]
            if limit is None:
                train(experiment, run=run, callbacks=callbacks)
            else:
                with pytest.raises(Interrupted):
                    train(experiment, run=run, callbacks=callbacks)
                assert [step for step, _ in kept_steps(run.path)] == [0, 1, 3, 6]
                train(experiment, run=run, callbacks=snapshots_of(run, experiment), resume=True)
            run.set_state("done")
        files.append({path.name: path.read_bytes() for _, path in kept_steps(tmp_path / name)})
    assert sorted(files[0]) == [f"{step:09d}.safetensors" for step in STEPS]
    assert files[0] == files[1]


def test_the_command_keeps_them_where_asked(tmp_path, latens):
    folder = tmp_path / "run"
    argv = ("fit", "digits", "--steps", "16", *SMALL, "--out", folder, "--quiet")
    assert latens(*argv, "--snapshots", "4").code == 0
    assert [step for step, _ in kept_steps(folder)] == [0, 1, 4, 16]
    models = load_snapshots(folder)
    key = jax.random.key(0)
    assert [step for step, _ in models] == [0, 1, 4, 16]
    # The last one is the model that was kept, as 16 steps are one epoch and its validation the best.
    z = np.asarray(jax.random.normal(key, (4, 3)))
    last, kept = (t.model.decoder.network for t in (models[-1][1], TrainedModel.load(folder / "model.safetensors")))
    np.testing.assert_array_equal(jax.vmap(last)(z), jax.vmap(kept)(z))
    assert RunFolder.open(folder, lock=False).config["training"]["snapshots"] == 4


def test_without_any_the_remedy_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="--snapshots"):
        load_snapshots(tmp_path)
