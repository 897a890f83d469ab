"""Sums of parts against the estimate of all rows at once."""

import math
from typing import Any

import numpy as np
import pytest
from paths import GOLDEN

from latens.data import load
from latens.errors import ConfigError, DataError
from latens.evaluation import Estimate
from latens.measure.core import measure
from latens.measure.sums import combined, part_sums, refuse_sums
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
    found = combined([part_sums(trained, data, np.arange(12), num_samples=4, seed=2)], seed=2)
    expected = measure(trained, data, np.arange(12), num_samples=4, seed=2)
    assert set(found) == {"log_marginal", "elbo", "log_likelihood", "kl", "log_likelihood_gain"}
    for name, estimate in found.items():
        np.testing.assert_allclose(estimate.value, expected[name].value, rtol=1e-12)
        np.testing.assert_allclose(estimate.standard_error, expected[name].standard_error, rtol=1e-9)
        assert (estimate.protocol, estimate.seed, estimate.n) == (expected[name].protocol, 2, 12)


def test_a_classifier_has_no_sums() -> None:
    with pytest.raises(ConfigError, match="is a sum over rows"):
        refuse_sums(TrainedModel.load(GOLDEN / "format-1-classifier.safetensors"))
