"""`latens evaluate RUN RUN2`: paired differences on the same held-out rows, with intervals; the rest is refused."""

import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from asked import at
from cli_fixtures import latens, run_folder  # noqa: F401
from scipy import stats

from latens import VAE
from latens.cli.main import main
from latens.config import override
from latens.data import load
from latens.errors import ConfigError
from latens.evidence import log_marginal
from latens.fitting import prepare
from latens.predictive.classes import class_log_joint
from latens.recipes import get_recipe
from latens.trained.paired import PairedRows, compare, interval_of
from latens.trained.trained_model import TrainedModel


def untrained(path: Path, **settings: object) -> Path:
    """The file of a model that belongs to the digits and has learned nothing."""
    small = {"network.hidden": [32], "posterior.latent_dim": 3} | {k.replace("__", "."): v for k, v in settings.items()}
    experiment = prepare(override(get_recipe("default").config, small), load("digits"))
    return experiment.trained(experiment.new_model()).save(path)


@pytest.fixture(scope="module")
def weaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("compare") / "weaker.safetensors")


def rows_of(file: Path, seed: int) -> np.ndarray:
    trained, data = TrainedModel.load(file), load("digits")
    batch = trained.batch(data, data.subset("test"))
    options = {"key": jax.random.key(seed), "preparation": trained.preparation}
    return at(log_marginal, trained.model, batch, num_samples=20, **options).astype(np.float64)


def test_the_difference_is_paired_over_the_test_rows(latens, run_folder, weaker):  # noqa: F811
    result = latens("evaluate", weaker, run_folder, "--num-samples", 20, "--seed", 3, "--json")
    assert (result.code, result.json["metric"], result.json["unit"]) == (0, "log_marginal", "nats")
    assert result.json["data"] | {"fingerprint": ""} == {
        "name": "digits", "split": "test", "rows": 198, "held_out": True, "fingerprint": "",
    }  # fmt: skip
    best, other = result.json["models"]
    assert (best["name"], best["minus_best"], other["name"]) == (str(run_folder), None, str(weaker))
    ours, theirs = rows_of(run_folder / "model.safetensors", 3), rows_of(weaker, 3)
    assert best["mean"]["value"] == pytest.approx(ours.mean(), abs=1e-5)
    gap, found = theirs - ours, other["minus_best"]
    error = gap.std(ddof=1) / np.sqrt(198)
    assert (found["value"], found["standard_error"]) == pytest.approx((gap.mean(), error), abs=1e-5)
    low, high = stats.t.interval(0.95, 197, gap.mean(), error)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-4)
    assert found["n"] == 198


def test_the_table_says_who_is_ahead_and_by_how_much(latens, run_folder, weaker):  # noqa: F811
    result = latens("evaluate", weaker, run_folder, "--num-samples", 20)
    verdict, seen, following, _, head, columns, first, second, *unknown = result.out.splitlines()
    amount = r"unknown: log p\(x\) is a lower bound, by (an unknown amount|about \d+\.\d\d nats or more); use"
    assert all(re.match(amount, line) for line in unknown)
    assert bool(unknown) == ("unknown" in first.split() or "unknown" in second.split())
    assert head == "log p(x) of 198 test rows of digits, in nats a row"
    assert " ".join(columns.split()) == "model mean error over rows over draws minus the best 95 % interval"
    assert (first.split()[0], first.split()[-1]) == (str(run_folder), "best")
    assert (second.split()[0], second.split()[-2][:2]) == (str(weaker), "[-")
    assert seen == "Compared on 198 unseen rows."
    assert following == f"Next: latens report {run_folder}"
    assert verdict == f"{run_folder} is significantly better than every other run (over rows; one training each)."
    assert "20 draws a row; seed 0 for every run" in result.err
    assert "not over seeds of training" in result.err


def test_equal_models_are_not_told_apart(latens, run_folder, tmp_path):  # noqa: F811
    twin = shutil.copytree(run_folder, tmp_path / "twin")
    result = latens("evaluate", run_folder, twin, "--num-samples", 2)
    assert result.out.splitlines()[0] == (
        f"{run_folder} is not significantly better than {twin}: the intervals over rows contain 0."
    )
    found = latens("evaluate", run_folder, twin, "--num-samples", 2, "--json").json["models"][1]["minus_best"]
    assert (found["value"], found["low"], found["high"]) == (0.0, 0.0, 0.0)


def test_nothing_is_measured_in_a_dry_run(latens, run_folder, weaker):  # noqa: F811
    result = latens("evaluate", run_folder, weaker, "--dry-run", "--json")
    assert (result.code, result.json["dry_run"], result.json["num_samples"]) == (0, True, 1000)
    assert result.json["runs"] == [str(run_folder), str(weaker)]


def test_other_data_and_a_run_named_twice_are_refused(latens, run_folder, tmp_path):  # noqa: F811
    file = tmp_path / "other.safetensors"
    twice = latens("evaluate", run_folder, run_folder, file)
    assert (twice.code, "is named twice" in twice.err) == (2, True)
    rows = latens("evaluate", run_folder, "one.csv", "two.csv")
    assert (rows.code, "only one DATA is possible" in rows.err) == (2, True)
    TrainedModel.load(run_folder / "model.safetensors").with_facts(fingerprint="0123456789abcdef").save(file)
    other = latens("evaluate", run_folder, file)
    assert other.code == 3
    assert "trained on other data, or on another split of them" in other.err


def test_other_representations_are_refused(latens, run_folder, tmp_path):  # noqa: F811
    density = latens("evaluate", run_folder, untrained(tmp_path / "n.safetensors", likelihood__family="normal"),
                     "--num-samples", 2)  # fmt: skip
    assert density.code == 4
    assert "log_marginal, probability of the cells as they are stored" in density.err
    assert "log_marginal, density of (x + u) / 17 with uniform u" in density.err
    grey = untrained(tmp_path / "grey.safetensors", likelihood__family="bernoulli")
    binary = untrained(tmp_path / "b.safetensors", likelihood__family="bernoulli", data__binarize="stochastic")
    refused = latens("evaluate", binary, grey, "--num-samples", 2, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (4, "config")
    assert "log_marginal, cells binarised at random, once" in refused.json["error"]["message"]
    assert "cross_entropy_bound, grey cells under a Bernoulli" in refused.json["error"]["message"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_density_of_yes_and_no_is_no_rival_of_a_probability(dtype, monkeypatch):
    rows = np.random.default_rng(0).integers(0, 2, (60, 6)).astype(dtype)
    probability, density = (VAE(2, steps=1, likelihood=name).fit(rows) for name in ("bernoulli", "normal"))
    words = "p: log_marginal, probability of the cells as they are stored; d: log_marginal, density in the data's own"
    monkeypatch.setattr("latens.trained.paired.per_row", None)  # nothing is measured before
    with pytest.raises(ConfigError, match=words):
        compare({"p": probability, "d": density}, rows, num_samples=2)


def test_accuracies_are_paired_over_labelled_rows(tmp_path):
    models = []
    for name in ("mlq-gaussian", "mlq-mixture"):
        out = tmp_path / name
        assert main(["fit", "digits", "--recipe", name, "--out", str(out), "--quiet"]) == 0
        models.append((name, TrainedModel.load(out / "model.safetensors")))
    data = load("digits")
    test = data.subset("test")
    found = compare(dict(models), data, positions=test)
    hits = {}
    for name, trained in models:
        said = class_log_joint(trained.rows(data, test))
        hits[name] = (said.argmax(1) == data.label[test]).astype(float)
    assert (found.metric, found.unit) == ("accuracy", "accuracy")
    best, other = found.models
    assert best.estimate.value == pytest.approx(max(h.mean() for h in hits.values()))
    gap = hits[other.name] - hits[best.name]
    assert other.difference.estimate.value == pytest.approx(gap.mean())
    assert other.difference.estimate.standard_error == pytest.approx(gap.std(ddof=1) / np.sqrt(len(gap)))


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, held = np.random.default_rng(0), []
    for _ in range(2000):
        hard = 10 * rng.normal(size=8)
        a, b = hard + rng.normal(size=8) - 0.4, hard + rng.normal(size=8)
        gap = interval_of(*(PairedRows("log_marginal", v, 1, "", "") for v in (a, b)), None, 0, "b")
        held.append(gap.low < -0.4 < gap.high)
    assert abs(np.mean(held) - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 2000)
