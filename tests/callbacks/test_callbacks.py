"""Callbacks of a user and those that keep models on the way: reasons to end, what files and copies keep, and when."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from cli_fixtures import SMALL
from paths import GOLDEN
from sklearn.base import clone

from latens import VAE, Autoencoder
from latens.callbacks.snapshots import Snapshots, kept_steps, load_snapshots, name_of, snapshots_of
from latens.config import override
from latens.data import load
from latens.errors import ConfigError, RunFolderError
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from latens.runs.folder import RunFolder
from latens.runtime.safetensors import tree_to_arrays
from latens.trained.trained_model import TrainedModel
from latens.training import Event, Interrupted, Pause
from latens.training.stages import snapshot_steps

OPTIONS: dict[str, Any] = {"hidden": (8,), "epochs": 4, "batch_size": 20, "random_state": 0}
X = np.random.default_rng(0).normal(size=(100, 3))


@pytest.mark.parametrize(("kind", "monitor"), [("elbo", "elbo"), ("iwae", "iwae")])
def test_events_say_what_training_stops_by(kind: str, monitor: str) -> None:
    seen: list[Any] = []
    VAE(2, **OPTIONS | {"epochs": 1}, settings={"objective": kind, "callbacks": [seen.append]}).fit(X)
    assert {event.monitor for event in seen} == {monitor}
    epoch = next(event for event in seen if event.kind == "epoch")
    assert epoch.snapshot.loop.best_value == epoch.record[f"validation_{monitor}"]


@pytest.mark.parametrize("kind", ["chunk", "epoch", "boundary"])
def test_a_reason_ends_training_as_a_budget_of_that_length_does(kind: str) -> None:
    def enough(event: Event) -> str | None:
        return "enough" if event.kind == kind and event.snapshot.loop.total >= 10 else None

    ended = VAE(2, **OPTIONS, settings={"callbacks": [enough]}).fit(X)
    steps = ended.model_.facts["steps"]
    assert ended.model_.facts["stopped_because"] == "enough"
    assert steps == 10
    budget = VAE(2, **{**OPTIONS, "epochs": 2}, settings={"optimizer.schedule": "constant"}).fit(X)
    plain = VAE(2, **OPTIONS, settings={"optimizer.schedule": "constant", "callbacks": [enough]}).fit(X)
    assert np.array_equal(plain.transform(X), budget.transform(X))
    assert plain.history_ == budget.history_


def test_copies_share_callbacks_and_files_hold_none(tmp_path: Path) -> None:
    vae = VAE(2, **OPTIONS, settings={"callbacks": [print_nothing]})
    assert clone(vae).settings["callbacks"] == [print_nothing]
    path = vae.fit(X).save(tmp_path / "vae.safetensors")
    assert "callbacks" not in (VAE.load(path).settings or {})
    assert pickle.loads(pickle.dumps(vae)).settings["callbacks"] == [print_nothing]
    assert np.array_equal(VAE.load(path).transform(X), vae.transform(X))


@pytest.mark.parametrize("wrong", [print, "early-stopping", [3], {"epoch": print}])
def test_what_is_no_list_of_functions_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="list of functions") as refused:
        Autoencoder(2, settings={"callbacks": wrong}).fit(X)
    assert refused.value.where == "callbacks"


def print_nothing(event: Event) -> None:
    """A callback that a pickle finds by its name."""


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


def test_all_are_loaded_in_the_order_of_their_steps(tmp_path):
    names = {12: "mixed", 0: "table", 3: "steps"}
    (tmp_path / "snapshots").mkdir()
    for number, (step, name) in enumerate(names.items()):
        if number < 2:
            with pytest.raises(RunFolderError, match="--snapshots"):
                load_snapshots(tmp_path)
        shutil.copy(GOLDEN / f"format-2-{name}.safetensors", tmp_path / "snapshots" / name_of(step))
    found = load_snapshots(tmp_path)
    assert [step for step, _ in found] == [0, 3, 12]
    for step, trained in found:
        own = TrainedModel.load(GOLDEN / f"format-2-{names[step]}.safetensors")
        jax.tree.map(np.testing.assert_array_equal, arrays_of(trained.model), arrays_of(own.model))
