"""Verbs called in Python: the same numbers as a command gives, without a file, on rows that are in memory."""

import json
from pathlib import Path

import numpy as np
import pytest

import latens
from latens.errors import DataError, UsageError
from latens.trained.measurement import measure
from latens.trained.metric_functions import held_out_rows
from latens.trained.trained_model import TrainedModel

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str) -> tuple[TrainedModel, np.ndarray]:
    rows = json.loads((GOLDEN / f"format-2-{name}.json").read_text())
    return TrainedModel.load(GOLDEN / f"format-2-{name}.safetensors"), np.array(rows["x"], np.float32)


def of_its_own(trained: TrainedModel, x: np.ndarray) -> tuple[TrainedModel, latens.Dataset]:
    """A model that believes to be trained on these rows."""
    data = latens.read(x, schema=trained.schema)
    return trained.with_facts(fingerprint=data.fingerprint), data


def test_held_out_rows_are_given_as_a_data_set() -> None:
    trained, x = golden("table")
    rows = np.concatenate([x] * (1 + 100 // len(x)))
    usual = rows + np.random.default_rng(0).normal(0, 0.1, rows.shape).astype(np.float32)
    odd = np.concatenate([usual[:2], usual[:1] + 50])
    made = trained.detect(odd, held_out=latens.read(usual, schema=trained.schema), num_samples=4)
    assert made.arrays["flagged"].tolist() == [0, 0, 1]
    assert made.arrays["p_value"][2] == 1 / (len(usual) + 1)
    assert "(the training data cannot be read, so these may include training rows)" in made.text
    with pytest.raises(UsageError, match="DATA is missing"):
        trained.detect(odd)
    assert "VAE.load(path)" in str(pytest.raises(AttributeError, getattr, trained, "transform").value)  # noqa: RUF061


def test_a_model_is_as_good_as_itself() -> None:
    trained, data = of_its_own(*golden("table"))
    made = trained.evaluate([trained, data], num_samples=4)
    first, second = made.value["models"]
    assert (first["name"], second["name"]) == ("the model", "model 2")
    assert (first["minus_best"], second["minus_best"]["value"]) == (None, 0.0)
    assert "the model is not significantly better than model 2" in made.plain[0]
    with pytest.raises(DataError, match="trained on other data"):
        trained.evaluate([trained.with_facts(fingerprint="0"), data])


def test_a_new_prior_is_a_new_model(tmp_path: Path) -> None:
    trained, data = of_its_own(*golden("table"))
    with pytest.warns(UserWarning, match="lower than with the former prior"):
        made = trained.refit(data, prior="normal", num_samples=2)
    assert made.trained is not None
    z = np.zeros((1, *trained.latent_shape), np.float32)
    np.testing.assert_array_equal(made.trained.decode(z), trained.decode(z))
    assert made.trained.config.prior.kind == "full-normal"  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    assert list(tmp_path.iterdir()) == []
    with pytest.warns(UserWarning, match="lower than with the former prior"):
        again = trained.refit(data, prior="normal", num_samples=2, out=str(tmp_path / "new.safetensors"))
    assert again.value["model"] == str(tmp_path / "new.safetensors")
    assert TrainedModel.load(tmp_path / "new.safetensors").to_bytes() == made.trained.to_bytes()
    with pytest.raises(DataError, match="the model was trained on other data"):
        golden("table")[0].refit(data, prior="normal")


def test_a_walk_is_an_array_or_a_file(tmp_path: Path) -> None:
    trained, _ = golden("convolutions")
    made = trained.report(only="animation", name="walk", frames=3)
    assert made.arrays["frames"].dtype == np.uint8
    assert made.arrays["frames"].shape[0] == made.value["frames"] == 3
    trained.report(only="animation", name="walk", frames=3, out=str(tmp_path / "walk.gif"))
    assert (tmp_path / "walk.gif").read_bytes()[:3] == b"GIF"
    with pytest.raises(UsageError, match="animations of the training need a run folder"):
        trained.report(only="animation", name="latent")
    with pytest.raises(UsageError, match=r"'walk.png' ends in '.png'"):
        trained.report(only="animation", name="walk", out="walk.png")


def test_a_model_is_measured_on_rows_in_memory() -> None:
    trained, data = of_its_own(*golden("table"))
    split, rows = held_out_rows(data)
    made = trained.evaluate(data, num_samples=4, seed=1)
    found = measure(trained, data, rows, num_samples=4, seed=1)
    values = {name: (one["value"], one["standard_error"]) for name, one in made.value["metrics"].items()}
    known = {name: one.to_json() for name, one in found.items()}
    assert values == {name: (one["value"], one["standard_error"]) for name, one in known.items()}
    source = {"name": data.name, "split": split, "rows": len(rows), "fingerprint": data.fingerprint}
    assert made.value["data"] == {**source, "held_out": split == "test" and data.held_out}
    assert made.text.startswith(f"the model on {data.name}\n  log p(x)")
    with pytest.raises(UsageError, match="DATA is missing"):
        trained.evaluate()
    with pytest.raises(UsageError, match="0 is not within 1 and"):
        trained.evaluate(data, num_samples=0)
