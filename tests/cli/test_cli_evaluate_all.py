"""`latens evaluate --all`: all metrics that applies, a reason for each that does not, and report.json."""

import contextlib
import io
import json
from typing import Any, NamedTuple

import numpy as np
import pytest
from cli_fixtures import SMALL, Result, latens, run_folder  # noqa: F401

from latens.cli.main import main
from latens.config import override
from latens.data import Dataset, load
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.trained.metric_functions import measure_all
from latens.trained.metrics import MADE, METRICS
from latens.trained.sample_sets import SampleSets, precision_recall_density_coverage
from latens.trained.trained_model import TrainedModel

FIELDS = {"value", "standard_error", "draws_error", "num_samples", "n", "unit", "seed", "seconds", "protocol", "bound",
          "untrusted_rows"}  # fmt: skip
NAMES = {
    "elbo", "log_marginal", "log_likelihood", "kl", "active_units", "mutual_information", "total_correlation",
    "dimensionwise_kl", "approximation_gap", "amortisation_gap", "precision", "recall", "density", "coverage",
    "frechet_distance", "two_sample_accuracy",
    "generalisation_gap", "effective_sample_size", "pareto_k",
    "log_likelihood_gain",
}  # fmt: skip


OTHER_ROWS = {"the rows are not text", "the model has no latent for every step"}


class Everything(NamedTuple):
    result: Result
    json: dict[str, Any]


@pytest.fixture(scope="module")
def everything(run_folder) -> Everything:  # noqa: F811
    """One call of the command, with both streams caught, and the file that it leaves."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["evaluate", str(run_folder), "--all", "--num-samples", "30", "--seed", "2"])
    return Everything(
        Result(code, out.getvalue(), err.getvalue()), json.loads((run_folder / "report.json").read_text())
    )


def test_every_number_has_its_error_and_protocol(everything):
    assert everything.result.code == 0
    metrics = everything.json["metrics"]
    assert set(metrics) >= NAMES
    for name, metric in metrics.items():
        assert set(metric) == FIELDS, name
        assert metric["seed"] == 2
        assert metric["protocol"], name
        assert metric["seconds"] is not None
    # What is not there has a reason, and nothing is both.
    left_out = everything.json["left_out"]
    assert not set(left_out) & set(metrics)
    scores = [row.name for row in METRICS.values() if "known factors" in row.needs]
    unknown = dict.fromkeys(scores, "the factors are not known")
    of_others = {name: why for name, why in left_out.items() if why in OTHER_ROWS}
    assert set(of_others.values()) == OTHER_ROWS
    known = {name: why for name, why in left_out.items() if name not in of_others}
    assert known == unknown
    made = {name for names in MADE.values() for name in names if not METRICS[name].beside}
    assert made <= set(metrics) | set(left_out)


def test_the_numbers_are_those_of_their_functions(everything, run_folder):  # noqa: F811
    metrics = {name: metric["value"] for name, metric in everything.json["metrics"].items()}
    parts = metrics["total_correlation"] + metrics["dimensionwise_kl"]
    assert parts == pytest.approx(metrics["aggregate_kl"], abs=1e-6)
    assert metrics["elbo"] == pytest.approx(metrics["log_likelihood"] - metrics["kl"], abs=1e-6)
    trained, data = TrainedModel.load(run_folder / "model.safetensors"), load("digits")
    test, train = data.subset("test"), data.subset("train")
    sets = SampleSets(trained, data, test, 2)
    np.testing.assert_array_equal(sets.rows, data.x[test])
    np.testing.assert_array_equal(sets.train, data.x[train])
    assert (sets.samples.min(), sets.samples.max()) == (0, 16)
    features = sets.features
    expected = precision_recall_density_coverage(data.x[test], sets.samples[:198], features=features, seed=2)
    assert {name: metrics[name] for name in expected} == pytest.approx({n: e.value for n, e in expected.items()})
    gap, wide = metrics["generalisation_gap"], everything.json["metrics"]["generalisation_gap"]["standard_error"]
    assert abs(gap) < 5 * wide + 3.0  # three epochs: nothing is learned by heart yet


def untrained(data: Dataset, recipe: str = "default", **settings: object) -> tuple[TrainedModel, Dataset]:
    small = {name.replace("__", "."): value for name, value in settings.items()}
    experiment = prepare(override(get_recipe(recipe).config, small), data)
    return experiment.trained(experiment.new_model()), experiment.data


def test_an_autoencoder_has_codes_and_no_evidence():
    trained, data = untrained(load("digits"), "mlq-autoencoder", posterior__latent_dim=2)
    found = measure_all(trained, data, data.subset("test"))
    assert {"log_likelihood"} <= set(found.metrics)
    assert found.left_out["mutual_information"] == "an autoencoder has no posterior but a point"
    assert found.left_out["precision"].startswith("an autoencoder has no prior to sample from")
    assert found.findings == ()


def test_weights_and_missing_cells_leave_samples_out():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    small = {"network__hidden": [8], "posterior__latent_dim": 2}
    trained, data = untrained(load(x, weight=np.arange(200) % 3 + 1.0), **small)
    left_out = measure_all(trained, data, data.subset("test"), num_samples=5, only=("precision",)).left_out
    assert left_out["precision"] == "rows with weights are not compared with samples, which have none"
    trained, data = untrained(load(np.where(rng.random(x.shape) < 0.1, np.nan, x), missing="nan"), **small)
    found = measure_all(trained, data, data.subset("test"), num_samples=5, only=("coverage", "mutual_information"))
    assert found.left_out["coverage"] == "rows with missing cells have no distances"
    assert "mutual_information" in found.metrics
