"""NaN and infinity, injected in many places: no number that is saved, evaluated or exported is ever one of them, and
what is said names the place."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cli_fixtures import Result
from jax.experimental import io_callback
from training_fixtures import make_data, run, stage

from latens.data import Preparation
from latens.errors import DivergedError
from latens.fitting import Recorder
from latens.objectives import AbstractObjective
from latens.runs.folder import RunFolder
from latens.runtime.safetensors import read
from latens.trained.trained_model import TrainedModel
from latens.training import Budget, Optimizer

pytest_plugins = ("cli_fixtures",)


class Poisoned(AbstractObjective):
    """An objective in which something is `value` at the steps for which `when` says so."""

    monitor = "elbo"
    inner: AbstractObjective
    place: str = eqx.field(static=True)
    when: Callable[[Any], Any] = eqx.field(static=True)
    value: str = eqx.field(static=True)  # "nan" or a number: settings that are numbers must be finite

    def __call__(self, model: Any, batch: Any, *, key: Any, step: Any) -> tuple[Any, Any]:
        bad = self.when(step)

        def spoilt(x: Any) -> Any:
            return jnp.where(bad, float(self.value), x)

        if self.place == "x":
            batch = eqx.tree_at(lambda b: b.x, batch, batch.x + spoilt(0.0))
        loss, metrics = self.inner(model, batch, key=key, step=step)
        if self.place in metrics:
            metrics[self.place] = (spoilt(metrics[self.place][0]), metrics[self.place][1])
        if self.place == "validation":
            # Only evaluation hides the noise of training: there is no dropout to tell them apart by, but a batch of
            # another size.
            bad_rows = jnp.asarray(batch.row_id.shape[0] != 16)
            metrics = {name: (jnp.where(bad_rows, float(self.value), s), w) for name, (s, w) in metrics.items()}
        if self.place == "objective":
            loss = spoilt(loss)
        if self.place in ("encoder", "decoder"):
            # The slope of a root at 0 is infinite: the value stays right, one part's gradient does not.
            leaf = getattr(model, self.place).network.layers[0].weight.sum()
            loss = loss + jnp.sqrt(jnp.where(bad, leaf * 0.0, 1.0)) - jnp.where(bad, 0.0, 1.0)
        return loss, metrics


def poisoned_optimizer(inner: Optimizer, place: str, at: int, value: float) -> Optimizer:
    """An optimiser whose updates, or one leaf of whose state, become `value` after `at` steps: twice, in the chunk and
    in its replay, so that the step after the one that is left out is a good one."""
    calls = iter([True, True])

    def init(params: Any) -> Any:
        return (inner.init(params), jnp.zeros((), jnp.int32))

    def update(gradients: Any, state: Any, params: Any, factor: Any) -> tuple[Any, Any]:
        updates, new = inner.update(gradients, state[0], params, factor)
        bad = jax.lax.cond(
            state[1] == at,
            lambda: io_callback(lambda: np.bool_(next(calls, False)), jax.ShapeDtypeStruct((), bool)),
            lambda: jnp.array(False),
        )

        def spoil(tree: Any, number: int) -> Any:
            leaves, structure = jax.tree.flatten(tree)
            places = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.ndim > 0]
            leaves[places[number]] = jnp.where(bad, value, leaves[places[number]])
            return jax.tree.unflatten(structure, leaves)

        if place == "update":
            updates = spoil(updates, 0)
        else:
            new = spoil(new, 0 if place == "first state" else -1)
        return updates, (new, state[1] + 1)

    return Optimizer(init, update)


class Case(NamedTuple):
    place: str
    step: int  # the step that is bad; -1: every one
    value: float
    named: str


NAN, INF = float("nan"), float("inf")
IN_TRAINING = {
    "a cell of a batch": Case("x", 5, NAN, "log_likelihood"),
    "log p(x | z)": Case("log_likelihood", 7, NAN, "log_likelihood"), "KL": Case("kl", 0, INF, "kl"),
    "ELBO": Case("elbo", 6, NAN, "elbo"), "the objective, first step": Case("objective", 0, NAN, "objective"),
    "the objective, last step": Case("objective", 17, -INF, "objective"),
    "the objective, huge": Case("objective", 13, 1e30, "objective"),
    "the encoder's gradient": Case("encoder", 12, NAN, "gradient"),
    "the decoder's gradient": Case("decoder", 16, NAN, "gradient"), "an update": Case("update", 9, NAN, "update"),
    "an update, infinite": Case("update", 17, INF, "update"),
    "the optimiser's first state": Case("first state", 3, NAN, "update"),
    "the optimiser's last state": Case("last state", 15, NAN, "update"),
    "every objective": Case("objective", -1, NAN, "objective"), "every gradient": Case("encoder", -1, NAN, "gradient"),
    "every KL": Case("kl", -1, NAN, "kl"), "validation": Case("validation", -1, NAN, "elbo"),
}  # fmt: skip


def assert_finite_files(folder: Path) -> None:
    """Every number in the metrics, checkpoints and model files of a run."""

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            [walk(item) for item in value.values()]
        elif isinstance(value, list):
            [walk(item) for item in value]
        else:
            assert not (isinstance(value, str) and value in ("nan", "inf", "-inf")), value
            assert not isinstance(value, float) or np.isfinite(value)

    for line in (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").exists() else []:
        walk(json.loads(line))
    for path in folder.rglob("*.safetensors"):
        for name, array in read(path)[0].items():
            assert array.dtype.kind != "f" or np.isfinite(array).all(), (path, name)


@pytest.mark.parametrize("name", IN_TRAINING)
def test_in_training(tmp_path: Path, name: str) -> None:
    case = IN_TRAINING[name]
    plain = stage(Budget(steps=18))
    if case.place in ("update", "first state", "last state"):
        poisoned = replace(plain, optimizer=poisoned_optimizer(plain.optimizer, case.place, case.step, case.value))
    else:
        when = (lambda step: step >= 0) if case.step < 0 else (lambda step: step == case.step)
        poisoned = replace(plain, objective=Poisoned(plain.objective, case.place, when, str(case.value)))
    records: list[dict[str, Any]] = []
    with RunFolder.create(tmp_path / "run", "test", {}, {}, 0) as folder:
        callbacks = [lambda event: records.append(event.record), Recorder(folder)]
        try:
            result = run(stages=[poisoned], callbacks=callbacks)
        except DivergedError as error:
            result, message = None, str(error)
        else:
            TrainedModel(result.model, make_data().schema, Preparation()).save(folder.model_file)
        folder.set_state("done")
    assert_finite_files(tmp_path / "run")
    kind = "bad-validation" if case.place == "validation" else "bad-chunk"
    events = [record for record in records if record.get("event") == kind]
    assert case.named in events[0]["terms"]
    if case.step < 0 and kind == "bad-chunk":
        assert result is None
        assert f"not finite from step 1 on: the first bad number is in {case.named}" in message
    elif kind == "bad-chunk":
        assert [event["first_bad_step"] for event in events] == [case.step + 1]
        assert (result.snapshot.loop.step, result.snapshot.loop.skipped) == (18, 1)
    else:
        # What cannot be compared is never the best, and is not among the numbers of the epoch.
        assert (result.snapshot.loop.best_value, result.snapshot.loop.stale) == (None, 3)
        assert not any("validation_elbo" in record for record in result.history)


def test_in_a_cell_of_the_data(latens: Callable[..., Result], tmp_path: Path) -> None:
    for value, word in ((NAN, "NaN"), (INF, "inf"), (-INF, "-inf")):
        x = np.random.default_rng(0).normal(size=(60, 3))
        x[41, 2] = value
        np.save(tmp_path / "x.npy", x)
        error = latens("fit", tmp_path / "x.npy", "--out", tmp_path / "run", "--json").json["error"]
        assert (error["code"], "row 41, column 2" in error["where"]) == ("data", True)
        assert word in error["message"]
        assert not (tmp_path / "run").exists()


def test_in_latents(latens: Callable[..., Result], run_folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "z.npz", z=np.full((3, 3), NAN))
    result = latens("decode", run_folder, tmp_path / "z.npz", "--out", tmp_path / "x.npz", "--json")
    assert (result.code, "latents" in result.json["error"]["message"]) == (3, True)
    assert not (tmp_path / "x.npz").exists()


def test_in_what_is_measured(latens: Callable[..., Result], run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import latens.trained.measurement as measure

    row_numbers = measure.row_numbers

    def spoilt(*args: Any, **options: Any) -> Any:
        numbers = row_numbers(*args, **options)
        rows = numbers.weights.log_mean.copy()
        rows[3] = NAN
        return numbers._replace(weights=numbers.weights._replace(log_mean=rows))

    monkeypatch.setattr(measure, "row_numbers", spoilt)
    result = latens("evaluate", run_folder, "--num-samples", 2, "--json")
    assert (result.code, result.json["error"]["code"]) == (8, "diverged")
    assert "log_marginal is nan for 1 of 198 rows, the first at place 3" in result.json["error"]["message"]
