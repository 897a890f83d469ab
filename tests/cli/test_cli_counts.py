"""Counts from a file to a model and back: a Normal of log(1 + x), said so everywhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import SMALL, Result

from latens.data import load
from latens.evaluation import independent_baseline
from latens.report.page import metric_name
from latens.workflow.trained import TrainedModel

pytest_plugins = ("cli_fixtures",)


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.gamma(0.5, 8.0, size=(400, 1)) * np.array([0.5, 1.0, 2.0, 4.0]))
    np.save(tmp_path / "counts.npy", x)
    return tmp_path / "counts.npy"


def test_counts_are_named_and_modelled_as_logarithms(
    latens: Callable[..., Result], counts: Path, tmp_path: Path
) -> None:
    assert "counts" in latens("check", counts).out
    result = latens("fit", counts, "--epochs", 2, *SMALL, "--out", tmp_path / "run", "--json")
    assert "density of log(1 + x), not of the counts; " in result.json["metrics"]["log_marginal"]["protocol"]
    shown = latens("evaluate", tmp_path / "run", "--num-samples", 20).out
    assert "log p(log(1 + x))  " in shown
    assert "log p(log(1 + x) | z)  " in shown
    trained = TrainedModel.load(tmp_path / "run" / "model.safetensors")
    assert metric_name("log_marginal", trained) == "log p(log(1 + x))"
    assert (trained.schema.kind, trained.preparation.log1p) == ("counts", True)
    assert trained.data_units(np.log1p(np.array([0.0, 3.0, 80.0])), mean=True) == pytest.approx([0.0, 3.0, 80.0])
    assert latens("sample", tmp_path / "run", "-n", 4, "--out", tmp_path / "s.npz").code == 0
    plain = latens("fit", counts, "--no-counts", "--epochs", 1, *SMALL, "--out", tmp_path / "plain", "--json")
    assert "own units" in plain.json["metrics"]["log_marginal"]["protocol"]
    assert not TrainedModel.load(tmp_path / "plain" / "model.safetensors").preparation.log1p


@pytest.mark.parametrize("family", ["poisson", "negative-binomial", "zero-inflated-negative-binomial"])
def test_likelihoods_of_counts_give_probabilities_of_the_counts(
    latens: Callable[..., Result], counts: Path, tmp_path: Path, family: str
) -> None:
    flags = ("--set", f"likelihood={family}", "--epochs", 3, "--num-samples", 20)
    result = latens("fit", counts, *SMALL, *flags, "--out", tmp_path / "run", "--json")
    assert result.code == 0, result.err
    metrics = result.json["metrics"]
    assert metrics["log_marginal"]["protocol"].startswith("importance sampling")
    # 4 counts a row: nats of the row over 4 log 2.
    bits = -metrics["log_marginal"]["value"] / (4 * np.log(2))
    assert metrics["bits_per_dimension"]["value"] == pytest.approx(bits, rel=1e-6)
    gain = metrics["gain_over_independent"]
    assert "a negative binomial each" in gain["protocol"]
    assert "a model of independent columns by" in latens("evaluate", tmp_path / "run", "--num-samples", 20).out
    data = load(np.load(counts))
    independent = independent_baseline(data.x[data.subset("train")], data.x[data.subset("test")], "counts").mean()
    assert gain["value"] == pytest.approx(metrics["log_marginal"]["value"] - independent, abs=1e-6)
    assert latens("sample", tmp_path / "run", "-n", 50, "--out", tmp_path / "s.npz").code == 0
    with np.load(tmp_path / "s.npz") as file:
        assert np.array_equal(file["x"], np.round(file["x"]))
        assert file["x"].min() >= 0
