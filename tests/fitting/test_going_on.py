"""Going on with a finished model: with a larger budget bit by bit as if it had been so from the start, or from its
weights on other rows."""

import json
import subprocess
import sys

import numpy as np
import pytest

import latens
from latens import VAE, Autoencoder
from latens.cli.main import main
from latens.config import override
from latens.data import load
from latens.errors import DataError
from latens.fitting import prepare, train
from latens.recipes import get_recipe

X = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
SMALL = ("--set", "network.hidden=8", "--set", "posterior.latent_dim=2", "--num-samples", "2", "--quiet")


@pytest.fixture
def rows(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return tmp_path / "x.npy"


def fitted(rows, out, *words):
    assert main(["fit", str(rows), "--out", str(out), *SMALL, *map(str, words)]) == 0
    return (out / "model.safetensors").read_bytes()


def records(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == "epoch"]


@pytest.mark.parametrize(
    "chosen",
    [
        (),
        ("--recipe", "iwae-5", "--set", "optimizer.name=adam", "--set", "optimizer.schedule=constant"),
        ("--recipe", "student-t-vae", "--set", "training.keep=last"),
    ],
)
def test_a_larger_budget_is_as_if_it_had_been_so_from_the_start(tmp_path, rows, chosen):
    # 8 steps make an epoch: the first budget ends within one, where the run was validated and ended.
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = latens.TrainedModel.from_bytes(fitted(rows, whole, "--steps", 29, *chosen))
    fitted(rows, parts, "--steps", 13, *chosen)
    assert main(["resume", str(parts), "--steps", "29", "--quiet"]) == 0
    found = latens.load(parts)
    assert found.facts["steps"] == expected.facts["steps"] == 29
    assert [a.tobytes() for a in arrays(found)] == [a.tobytes() for a in arrays(expected)]
    assert [r["step"] for r in records(parts)] == [r["step"] for r in records(whole)]
    assert [r.get("validation_elbo") for r in records(parts)] == [r.get("validation_elbo") for r in records(whole)]


def arrays(trained):
    import equinox as eqx
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(trained.model, eqx.is_inexact_array))]


def test_a_kill_in_between_changes_nothing(tmp_path, rows):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = latens.TrainedModel.from_bytes(fitted(rows, whole, "--steps", 40))
    fitted(rows, parts, "--steps", 13)
    script = (
        "import os, sys\n"
        "from latens.training.loop import _StageRun\n"
        "own = _StageRun.emit\n"
        "def emit(self, kind, record):\n"
        "    own(self, kind, record)\n"
        "    if kind == 'epoch' and self.loop.step >= 24:\n"
        "        os.kill(os.getpid(), 9)\n"
        "_StageRun.emit = emit\n"
        "from latens.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, "resume", str(parts), "--steps", "40", "--quiet"])
    assert killed.returncode == -9
    assert main(["resume", str(parts), "--quiet"]) == 0
    assert [a.tobytes() for a in arrays(latens.load(parts))] == [a.tobytes() for a in arrays(expected)]


def test_a_budget_below_what_was_done_and_a_cosine_are_refused(tmp_path, rows, capsys):
    fitted(rows, tmp_path / "run", "--steps", 13)
    before = {file: file.read_bytes() for file in sorted((tmp_path / "run").rglob("*")) if file.is_file()}
    assert main(["resume", str(tmp_path / "run"), "--steps", "7"]) == 2
    assert "7 steps are asked for, and 13 were done" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in sorted((tmp_path / "run").rglob("*")) if file.is_file()} == before
    cosine = ("optimizer.schedule=cosine", "optimizer.name=adam", "optimizer.warmup_steps=2")
    fitted(rows, tmp_path / "cosine", "--steps", 13, *(word for option in cosine for word in ("--set", option)))
    assert main(["resume", str(tmp_path / "cosine"), "--steps", "20"]) == 4
    assert "ended with its budget" in capsys.readouterr().err


def test_weights_are_started_from(tmp_path, rows, capsys):
    first = tmp_path / "first"
    fitted(rows, first, "--steps", 30)
    # At a rate that moves nothing, the weights are those it started from.
    still = ("--set", "optimizer.learning_rate=1e-30", "--set", "optimizer.schedule=constant", "--steps", "1")
    words = ["fit", str(rows), "--from", str(first), "--out", str(tmp_path / "second"), "--quiet", *still]
    assert main([*words, "--set", "objective=iwae", "--num-samples", "2"]) == 0
    one, two = latens.load(first), latens.load(tmp_path / "second")
    assert np.allclose(one.encode(X), two.encode(X), atol=1e-6)
    assert two.config.objective.name == "iwae"
    assert two.facts["started_from"]["steps"] == 30
    assert two.facts["started_from"]["config"]["objective"]["name"] == "elbo"
    capsys.readouterr()
    assert main([*words[:4], "--set", "network.hidden=9", "--out", str(tmp_path / "third")]) == 4
    told = capsys.readouterr().err
    assert "has decoder.network.layers.0.bias of shape (8,)" in told
    assert "has decoder.network.layers.0.bias of shape (9,)" in told
    assert not (tmp_path / "third").exists()


def test_the_estimator_goes_on():
    few = {"latent_dim": 2, "hidden": 8, "steps": 5, "random_state": 0, "learning_rate": 1e-30}
    still = {"optimizer.schedule": "constant"}
    vae = VAE(**few, settings=still | {"warm_start": True}).fit(X)
    before, schema = vae.transform(X), vae.model_.schema
    assert np.allclose(vae.fit(X[:100] * 3 + 1).transform(X), before, atol=1e-6)
    assert vae.model_.schema == schema
    cold = VAE(**few, settings=still).fit(X)
    assert not np.allclose(cold.fit(X[:100] * 3 + 1).transform(X), before, atol=1e-3)
    parts, rows = Autoencoder(latent_dim=2, hidden=8, random_state=0, batch_size=20), X[:, :2] @ X[:2]
    parts.partial_fit(rows[:100])
    one = parts.score(rows)
    for _ in range(10):
        parts.partial_fit(rows[:100]).partial_fit(rows[100:])
    assert parts.model_.facts["steps"] == 10
    assert parts.score(rows) > one + 1.0  # nats a row: two dimensions say all of these
    with pytest.raises((DataError, ValueError), match=r"5 features|columns"):
        parts.partial_fit(X[:, :3])


def test_which_weights_are_kept():
    config = override(
        get_recipe("default").config, {"training.epochs": 200, "training.patience": None, "network.hidden": (64,)}
    )
    rows = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    data = load(rows)
    best, _ = train(prepare(config, data))
    last, result = train(prepare(override(config, {"training.keep": "last"}), data))
    scores = [record["validation_elbo"] for record in result.history]
    assert best.facts["best_step"] == last.facts["best_step"] < best.facts["steps"]
    assert max(scores) > scores[-1]
    # The best weights are the last of a training that ends there.
    until = {"training.keep": "last", "training.epochs": None, "training.steps": best.facts["best_step"]}
    there, _ = train(prepare(override(config, until), data))
    assert [a.tobytes() for a in arrays(best)] == [a.tobytes() for a in arrays(there)]
    assert [a.tobytes() for a in arrays(best)] != [a.tobytes() for a in arrays(last)]
    assert get_recipe("tiao").config.training.keep == "last"
    none = prepare(override(config, {"data.validation": "none"}), data).data
    assert len(none.subset("validation")) == 0
    assert len(none.subset("train")) == len(data.subset("train")) + len(data.subset("validation"))


def test_a_model_is_loaded_by_the_name_of_its_run(tmp_path, rows):
    run = tmp_path / "run"
    fitted(rows, run, "--steps", 3)
    by_file = VAE.load(run / "model.safetensors")
    assert np.array_equal(VAE.load(run).transform(X), by_file.transform(X))
    assert np.array_equal(latens.load(str(run)).encode(X), by_file.transform(X))
    assert VAE.load("pretrained:digits-2d").latent_dim_ == 2
    assert latens.load("pretrained:digits-2d").latent_shape == (2,)
    (run / "model.safetensors").unlink()
    with pytest.raises(latens.LatensError, match="no model yet"):
        latens.load(run)


PICTURES = {
    "default": ("--set", "network.hidden=8,8", "--set", "posterior.latent_dim=2"),
    "ladder-conv": ("--set", "network.hidden=8,8", "--set", "posterior.latent_dim=2"),
    "pixel-vae": ("--set", "likelihood.width=4", "--set", "network.hidden=8", "--set", "posterior.latent_dim=2"),
    "vq-vae-ema": ("--set", "network=auto", "--set", "network.hidden=8,8", "--set", "posterior.codes=8"),
}


@pytest.mark.parametrize("recipe", PICTURES)
def test_models_of_pictures_go_on_bit_for_bit(tmp_path, recipe):
    """Moved pictures, levels, pixels after pixels and averaged codes: 7 steps at once, and 3 and then the others."""
    rows = tmp_path / "x.npy"
    np.save(rows, np.random.default_rng(0).integers(0, 256, (60, 16, 16)).astype(np.uint8))
    still = ("--set", "optimizer.schedule=constant", "--set", "optimizer.warmup_steps=0", "--batch-size", "16")
    words = ("fit", str(rows), "--recipe", recipe, *PICTURES[recipe], *still, "--num-samples", "2", "--quiet")
    assert main([*words, "--steps", "7", "--out", str(tmp_path / "whole")]) == 0
    assert main([*words, "--steps", "3", "--out", str(tmp_path / "parts")]) == 0
    assert main(["resume", str(tmp_path / "parts"), "--steps", "7", "--quiet"]) == 0
    expected, found = latens.load(tmp_path / "whole"), latens.load(tmp_path / "parts")
    assert found.facts["steps"] == expected.facts["steps"] == 7
    assert [a.tobytes() for a in arrays(found)] == [a.tobytes() for a in arrays(expected)]
