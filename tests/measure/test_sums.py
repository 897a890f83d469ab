"""Sums of parts against the estimate of all rows at once."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from paths import GOLDEN

from latens.data import load
from latens.errors import ConfigError, DataError
from latens.evaluation import Estimate, LogMarginals
from latens.evaluation.evidence.log_marginals import DrawSums
from latens.io.json import to_json
from latens.workflow.measurement import measure
from latens.workflow.sums import combined, part_sums, refuse_sums
from latens.workflow.trained import TrainedModel


def sums(rows: np.ndarray, weight: np.ndarray) -> dict[str, dict[str, Any]]:
    """What a part says of rows, summed by `math.fsum`."""
    terms = {"w": weight, "w2": weight**2, "wr": weight * rows, "w2r": weight**2 * rows, "w2r2": (weight * rows) ** 2}
    about = {"n": len(rows), "unit": "nats", "protocol": "by hand", "num_samples": 3}
    return {"log_marginal": {name: math.fsum(values) for name, values in terms.items()} | about}


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_give_the_weighted_mean_and_its_error(weighted: bool) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(-90.0, 7.0, 1000)
    weight = random.integers(0, 4, 1000).astype(float) if weighted else np.ones(1000)
    expected = Estimate.of(rows, num_samples=3, protocol="by hand", weight=weight)
    for cuts in ([], [10], [1, 500, 999]):
        found = combined([sums(r, w) for r, w in zip(np.split(rows, cuts), np.split(weight, cuts))])["log_marginal"]
        np.testing.assert_allclose(found.value, expected.value, rtol=1e-14)
        np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=1e-10)
        assert (found.n, found.num_samples, found.protocol) == (1000, 3, "by hand")


def test_large_terms_that_cancel_are_lost_nowhere() -> None:
    """A plain sum of these totals in this order gives 0."""
    rows = [np.array([1e16]), np.array([1.0]), np.array([-1e16])]
    assert combined([sums(one, np.ones(1)) for one in rows])["log_marginal"].value == 1.0 / 3.0


def test_one_row_has_no_error_and_rows_without_weight_no_mean() -> None:
    assert math.isnan(combined([sums(np.ones(1), np.ones(1))])["log_marginal"].standard_error)
    with pytest.raises(DataError, match="the weights of all 2 rows that are measured are 0"):
        combined([sums(np.ones(2), np.zeros(2))])


def test_a_part_sums_what_is_measured() -> None:
    trained = TrainedModel.load(GOLDEN / "format-1-table.safetensors")
    x = np.random.default_rng(0).normal(size=(12, 3))
    data = load(x, schema=trained.schema, weight=np.arange(12) % 3)
    parts = [part_sums(trained, data, np.arange(12)[part], num_samples=4, seed=2) for part in (slice(6), slice(6, 12))]
    found = combined([json.loads(to_json(part)) for part in parts], seed=2)
    expected = measure(trained, data, np.arange(12), num_samples=4, seed=2)
    assert set(found) == {"log_marginal", "elbo", "log_likelihood", "kl", "log_likelihood_gain"}
    for name, estimate in found.items():
        np.testing.assert_allclose(estimate.value, expected[name].value, rtol=1e-12)
        np.testing.assert_allclose(estimate.standard_error, expected[name].standard_error, rtol=1e-9)
        assert (estimate.protocol, estimate.seed, estimate.n) == (expected[name].protocol, 2, 12)
        assert (estimate.draws_error is None) == (name != "log_marginal")
    of_draws = [(one["log_marginal"].draws_error, one["log_marginal"].at_least) for one in (found, expected)]
    np.testing.assert_allclose(*of_draws, rtol=1e-6)
    assert of_draws[0][1] > 0.01


def marginals(n: int, k: float) -> LogMarginals:
    """Rows with errors, rises and weights made up."""
    random = np.random.default_rng(0)
    error, weight = random.gamma(2.0, 0.05, n), random.integers(1, 4, n).astype(float)
    rises = np.stack([error / 5, error / 7, error / 9], axis=1)
    whys = {"weight": weight, "rise": error / 9, "rises": rises}
    return LogMarginals(error, error, 100, "by hand", error, np.full(n, k), 99, **whys)


def part_of(whole: LogMarginals, part: slice) -> LogMarginals:
    """Some of the rows."""
    arrays = {name: value[part] for name, value in vars(whole).items() if isinstance(value, np.ndarray)}
    return replace(whole, **arrays)


def test_parts_give_the_error_over_draws_of_all_rows() -> None:
    """Of sums by hand, with weights: the error of all rows, finite and infinite."""
    for heavy in (0.3, 1.2):
        whole = marginals(60, heavy)
        cuts = (slice(0, 10), slice(10, 11), slice(11, 60))
        parts = [part_of(whole, cut).sums.to_json() for cut in cuts]
        found = DrawSums.total([DrawSums.of_json(part) for part in parts])
        np.testing.assert_allclose((found.draws_error, found.lacks), (whole.draws_error, whole.lacks), rtol=1e-12)
        assert whole.weight is not None
        share = whole.weight / whole.weight.sum()
        expected = np.sqrt(np.sum((share * whole.row_errors) ** 2))
        assert found.monte_carlo_error == pytest.approx(expected, rel=1e-12)
        assert math.isinf(found.draws_error) == (heavy > 1)


def test_a_classifier_has_no_sums() -> None:
    with pytest.raises(ConfigError, match="is a sum over rows"):
        refuse_sums(TrainedModel.load(GOLDEN / "format-1-classifier.safetensors"))
