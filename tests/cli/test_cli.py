"""Every command as a user types it: what it finds, what it writes, and that it is what the library finds."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import FIT, SMALL, Result

from latens import evidence
from latens.config import override
from latens.data import load
from latens.fitting import prepare
from latens.recipes import RECIPES, get_recipe
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)

# --- training and its end ---


def test_fit_says_what_it_found(latens: Callable[..., Result], tmp_path: Path) -> None:
    folder = tmp_path / "a run é"
    result = latens(*FIT, "--out", folder, "--json")
    value = result.json
    assert result.code == 0
    info = json.loads((folder / "run.json").read_text())
    model = TrainedModel.load(folder / "model.safetensors")
    assert value["metrics"] == info["metrics"]
    assert info["state"] == "done"
    assert value["step"] == info["step"] == model.facts["steps"] == 33
    stored = {name: m["value"] for name, m in model.facts["metrics"].items()}
    assert stored == {name: m["value"] for name, m in value["metrics"].items()}
    last = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()][-1]
    assert last["step"] == 33
    assert f"{value['metrics']['log_marginal']['value']:.2f} ± " in result.err
    assert "\x1b" not in result.err
    assert result.err.splitlines()[-1] == f"next     latens sample '{folder}' -n 64 --out new.png"
    assert "likelihood: categorical, because every cell is one of 17 levels" in (folder / "log.txt").read_text()


def test_evaluate_is_the_library(latens: Callable[..., Result], run_folder: Path) -> None:
    value = latens("evaluate", run_folder, "--json", "--num-samples", 20).json
    trained, data = TrainedModel.load(run_folder / "model.safetensors"), load("digits")
    batch = trained.batch(data, data.subset("test"))
    rows = evidence.log_marginal(trained.rows(batch), num_samples=20)
    found = value["metrics"]["log_marginal"]
    assert found["value"] == pytest.approx(rows.mean(dtype=np.float64), abs=1e-9)
    assert found["standard_error"] == pytest.approx(rows.std(dtype=np.float64, ddof=1) / np.sqrt(198), abs=1e-6)
    assert (found["num_samples"], found["n"], found["unit"], found["seed"]) == (20, 198, "nats", 0)
    assert found["seconds"] > 0
    assert value["data"]["split"] == "test"
    assert value["data"]["held_out"] is True
    assert value["model"]["parameters"] == trained.num_parameters
    text = latens("evaluate", run_folder, "--num-samples", 20)
    rows_error, draws_error = found["standard_error"], found["draws_error"]
    said = f"{found['value']:.2f} ± {rows_error:.2f} (rows) ± {draws_error:.2f} (draws) nats"
    assert f"log p(x)      at least {said}" in text.out
    assert "a model of independent pixels by" in text.out


def test_evaluate_other_rows_uses_all(latens: Callable[..., Result], run_folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", load("digits").x[:30])
    value = latens("evaluate", run_folder, tmp_path / "some.npy", "--json", "--num-samples", 5).json
    assert (value["data"]["split"], value["metrics"]["elbo"]["n"]) == ("all", 30)
    assert value["data"]["held_out"] is None  # nobody can know
    assert "gain_over_independent" not in value["metrics"]  # the training rows are not these


# --- rows and latents ---


def test_decode_of_encoded_is_reconstruct(latens: Callable[..., Result], run_folder: Path, tmp_path: Path) -> None:
    latens("encode", run_folder, "digits", "--out", tmp_path / "z.csv")
    latens("reconstruct", run_folder, "digits", "--mean", "--out", tmp_path / "r.npz")
    value = latens("decode", run_folder, tmp_path / "z.csv", "--out", tmp_path / "x.npz", "--json").json
    assert value["shape"] == [1797, 8, 8]
    with np.load(tmp_path / "x.npz") as decoded, np.load(tmp_path / "r.npz") as there:
        assert np.allclose(decoded["x"], there["x"], atol=1e-4)
        assert np.array_equal(decoded["row_id"], there["row_id"])
        assert 0 <= there["x"].min() < there["x"].max() <= 16  # in the units of the data


def test_sample(latens: Callable[..., Result], run_folder: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    found = {}
    for name, flags in {"a": (), "b": (), "seed": ("--seed", 1), "mean": ("--mean",)}.items():
        assert latens("sample", run_folder, "-n", 5, *flags, "--out", tmp_path / f"{name}.npz").code == 0
        with np.load(tmp_path / f"{name}.npz") as file:
            found[name] = dict(file)
    assert np.array_equal(found["a"]["x"], found["b"]["x"])
    assert not np.array_equal(found["a"]["z"], found["seed"]["z"])
    assert np.array_equal(found["a"]["z"], found["mean"]["z"])
    assert np.array_equal(found["a"]["x"], np.round(found["a"]["x"]))  # draws are whole numbers, means are not
    assert not np.array_equal(found["mean"]["x"], np.round(found["mean"]["x"]))
    for command in (("sample", run_folder, "-n", 9), ("reconstruct", run_folder, "digits")):
        done = latens(*command, "--out", tmp_path / "grid.png")
        assert done.code == 0
        assert ("of the test set" in done.out + done.err) == (command[0] == "reconstruct")
        assert imread(tmp_path / "grid.png").shape[1] >= 3 * 112


def test_pictures_have_means_and_noise_where_it_is_asked_for(latens: Callable[..., Result], tmp_path: Path) -> None:
    from matplotlib.image import imread

    rows = np.random.default_rng(0).integers(0, 256, (20, 16, 16), np.uint8)
    np.save(tmp_path / "x.npy", rows)
    data = load(rows)
    small = {"network.kind": "dense", "network.hidden": [4], "posterior.latent_dim": 2, "training.steps": 1}
    experiment = prepare(override(get_recipe("default").config, small), data)
    model, shown = experiment.trained(experiment.new_model()).save(tmp_path / "model.safetensors"), {}
    for command in (("sample", model, "-n", 2), ("reconstruct", model, tmp_path / "x.npy")):
        for name, flags in {"still": (), "mean": ("--mean",), "noise": ("--no-mean",)}.items():
            assert latens(*command, *flags, "--out", tmp_path / f"{name}.png").code == 0
            shown[name] = imread(tmp_path / f"{name}.png")
        assert np.array_equal(shown["still"], shown["mean"])
        assert not np.array_equal(shown["noise"], shown["mean"])


def test_sample_without_a_name(
    latens: Callable[..., Result], run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [latens("sample", run_folder, "-n", 2, "--json").json["out"] for _ in range(3)]
    assert names == ["samples.png", "samples-2.png", "samples-3.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_figures_and_info(latens: Callable[..., Result], run_folder: Path, tmp_path: Path) -> None:
    files = latens("report", run_folder, "--only", "figures", "--out", tmp_path / "figures", "--json").json["files"]
    names = {Path(file).name for file in files}
    assert {"training.png", "training.svg", "training.csv", "reconstructions.png", "units.csv"} <= names
    assert all(Path(file).stat().st_size > 20 for file in files)
    value = latens("info", run_folder, "--json").json
    trained = TrainedModel.load(run_folder / "model.safetensors")
    counted = sum(np.prod(a["shape"], dtype=int) for a in value["model"]["arrays"] if a["trained"])
    assert counted == value["model"]["parameters"] == trained.num_parameters
    assert value["run"]["state"] == "done"
    file = latens("info", run_folder / "model.safetensors")
    assert re.search(r"encoder.standardise.shift.value +8 x 8 +float32 +fixed", file.out)


def test_looking_around(latens: Callable[..., Result]) -> None:
    listed = latens("info", "recipes", "--json").json["recipes"]
    assert [recipe["name"] for recipe in listed] == list(RECIPES)
    assert all(recipe["summary"] and recipe["source"] for recipe in listed)
    parts = latens("info", "parts", "--json").json["parts"]
    assert parts["objective"]["iwae"]["options"] == {"num_samples": 50, "gradient": "plain"}
    assert parts["prior"]["vamp"]["options"] == {"components": 500, "learned": True}
    assert parts["likelihood"]["poisson"] == {"data": ["levels", "counts"], "options": {}}
    report = latens("check", "digits", "--json").json
    assert (report["rows"], report["shape"], report["levels"]) == (1797, [8, 8], 17)
    assert "categorical" in latens("check", "digits").out
    health = latens("info", "machine", "--json").json
    assert health["versions"] == latens("--version").out.strip()
    for shell in ("bash", "zsh", "fish"):
        assert "num-samples" in latens("--print-completion", shell).out
    script = (
        latens("--print-completion", "bash").out
        + "COMP_WORDS=(latens ev) COMP_CWORD=1; _shtab_latens; echo ${COMPREPLY[0]}"
    )
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert shown.stdout.strip() in ("evaluate", "")  # no programmable completion in some builds of bash


def test_demo(latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = latens("demo", "--steps", 22, *SMALL, "--json")
    value = result.json
    assert value["run"] == "runs/demo"
    assert value["step"] == 22
    # Plain words: what it learned, what to see in each picture, what to type next; the rest is in the log.
    assert "independent pixels: " in result.err
    assert "See what is lost between the rows and what the model makes of them." in result.err
    following = [f"latens {name} runs/demo" for name in ("explore", "report", "evaluate")]
    told = [line.strip() for line in result.err.splitlines()][-3:]
    assert [line.split("  ")[0] for line in told] == following
    for word in ("latent_dim", "ELBO", "Pareto", "weight decay"):
        assert word not in result.err
    assert "likelihood: categorical" in Path("runs/demo/log.txt").read_text()
    assert all(Path(path).is_file() for path in value["figures"])
    assert "runs/demo/figures/reconstructions.png" in value["figures"]
    assert latens("demo", "--steps", 11, *SMALL, "--dry-run", "--json").json["run"] == "runs/demo-2"


# --- warnings ---


def test_numbers_that_are_not_held_out(latens: Callable[..., Result], tmp_path: Path) -> None:
    value = latens("fit", "digits", "--recipe", "tiao", "--epochs", 1, "--out", tmp_path / "run", "--json").json
    assert {w["name"] for w in value["warnings"]} >= {"not-held-out", "cross-entropy"}
    assert value["held_out"] is False
    assert "log_marginal" not in value["metrics"]
    assert "not log p(x)" in value["metrics"]["cross_entropy_bound"]["protocol"]
