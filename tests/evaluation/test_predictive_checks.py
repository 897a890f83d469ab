"""Predictive checks: p-values by hand, exact under the null hypothesis, small for a model that is wrong."""

import numpy as np
import pytest

from latens.errors import DataError
from latens.evaluation import STATISTICS, predictive_checks


def test_by_hand():
    rows = np.array([[1.0, 2.0], [3.0, 0.0]])
    replicates = [rows + shift for shift in (-1.0, 0.0, 2.0)]
    found = predictive_checks(rows, replicates, statistics={"sum": lambda x: float(x.sum())})["sum"]
    # Sums 2, 6, 14 beside 6: with the data among four, two are as small and three as large.
    assert (found.observed, found.mean, found.num_replicates) == (6.0, pytest.approx(22 / 3), 3)
    assert found.p_value == 1.0
    assert found.standard_deviation == pytest.approx(np.std([2, 6, 14], ddof=1))
    above = predictive_checks(rows, [rows - 1.0] * 19, statistics={"mean": STATISTICS["mean"]})["mean"]
    assert above.p_value == pytest.approx(2 * 1 / 20)


def test_every_statistic_is_what_it_says():
    x = np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 5.0], [4.0, 5.0, 5.0], [0.0, 7.0, 5.0]])
    found = {name: function(x) for name, function in STATISTICS.items()}
    assert found["mean"] == pytest.approx(42 / 12)
    assert found["standard_deviation"] == pytest.approx((np.std(x[:, 0]) + np.std(x[:, 1])) / 3)
    assert found["zeros"] == 2 / 12
    assert (found["quantile_05"], found["quantile_50"], found["quantile_95"]) == pytest.approx((0.0, 4.5, 5.9))
    assert found["correlation"] == pytest.approx(abs(np.corrcoef(x[:, 0], x[:, 1])[0, 1]))
    assert found["row_mean_spread"] == pytest.approx(np.std([2.0, 10 / 3, 14 / 3, 4.0]))


def test_p_values_are_uniform_where_the_model_is_right():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(400):
        found = predictive_checks(rng.normal(size=(20, 3)), rng.normal(size=(19, 20, 3)))
        p_values.append([found[name].p_value for name in ("mean", "standard_deviation", "correlation", "quantile_95")])
    for level in (0.1, 0.3, 0.6):  # multiples of 2 / 20: exact
        deviation = 5 * np.sqrt(level * (1 - level) / 400)
        assert np.all(np.abs(np.mean(np.array(p_values) <= level + 1e-9, axis=0) - level) < deviation)


def test_a_wrong_spread_is_found_and_a_right_mean_is_not():
    rng = np.random.default_rng(1)
    found = predictive_checks(rng.normal(size=(200, 3)), 0.7 * rng.normal(size=(99, 200, 3)))
    assert found["standard_deviation"].p_value == found["quantile_95"].p_value == 2 / 100
    assert found["mean"].p_value > 2 / 100


def test_what_cannot_be_checked_is_refused():
    rows = np.ones((4, 2))
    with pytest.raises(DataError, match="no replicated"):
        predictive_checks(rows, [])
    with pytest.raises(DataError, match="a replicate of 3 rows for 4"):
        predictive_checks(rows, [rows[:3]])
    with pytest.raises(DataError, match="'bad' is not finite"):
        predictive_checks(rows, [rows], statistics={"bad": lambda x: float("inf")})
