"""Rubin's rules against numbers worked out by hand, and against what must hold of them."""

from math import inf, pi, sqrt, tan

import numpy as np
import pytest

from latens.errors import UsageError
from latens.evaluation.pool import pool

RNG = np.random.default_rng(0)
ESTIMATES, VARIANCES = RNG.normal(size=(5, 4)), RNG.gamma(2.0, 0.2, size=(5, 4))


def test_the_rules_give_the_numbers_worked_out_by_hand():
    # B = 1, (1 + 1/3) B = 4/3, T = 1/2 + 4/3 = 11/6, lambda = 8/11, and 2 / (8/11)^2 degrees of freedom.
    found = pool([1.0, 2.0, 3.0], [0.25, 0.5, 0.75])
    assert found.estimate == pytest.approx(2.0)
    assert found.within == pytest.approx(0.5)
    assert found.between == pytest.approx(1.0)
    assert found.variance == pytest.approx(11 / 6)
    assert found.missing == pytest.approx(8 / 11)
    assert found.degrees == pytest.approx(2 * 121 / 64)
    # Of an analysis with 10: (3/11) 10 (11/13) = 30/13 are observed, and 1 / (32/121 + 13/30) = 3630/2533 are left.
    found = pool([1.0, 2.0, 3.0], [0.25, 0.5, 0.75], degrees=10)
    assert found.degrees == pytest.approx(3630 / 2533)


def test_the_interval_is_that_of_student():
    # With one degree of freedom the quantile is tan(pi (p - 1/2)), with two (2p - 1) / sqrt(2 p (1 - p)).
    one = pool([0.0, 2.0], [0.0, 0.0])
    assert (one.degrees, one.variance, one.missing) == (1.0, 3.0, 1.0)
    assert one.high - 1.0 == pytest.approx(sqrt(3.0) * tan(pi * 0.475))
    assert one.low == pytest.approx(2.0 - one.high)
    two = pool([0.0, 1.0, 2.0], [0.0, 0.0, 0.0], level=0.9)
    assert (two.degrees, two.missing) == (2.0, 1.0)
    assert two.high - 1.0 == pytest.approx(sqrt(4 / 3) * 0.9 / sqrt(2 * 0.95 * 0.05))


def test_tables_that_agree_leave_the_error_of_a_complete_one():
    found = pool([3.0, 3.0], [0.04, 0.04])
    assert (found.between, found.missing, found.degrees) == (0.0, 0.0, inf)
    assert found.high - found.low == pytest.approx(2 * 1.959963984540054 * 0.2)
    few = pool([3.0, 3.0], [0.04, 0.04], degrees=12)
    assert few.degrees == pytest.approx(12 * 13 / 15)  # Barnard and Rubin's, also where nothing is missing
    sure = pool([3.0, 3.0], [0.0, 0.0], degrees=12)
    assert (sure.low, sure.high, sure.variance) == (3.0, 3.0, 0.0)
    # All of the variance is of the gaps, and an analysis of few rows cannot say how much: nothing bounds it.
    lost = pool([0.0, 2.0], [0.0, 0.0], degrees=12)
    assert (lost.degrees, lost.low, lost.high) == (0.0, -inf, inf)


def test_units_and_the_order_of_the_tables_change_nothing_else():
    found = pool(ESTIMATES, VARIANCES, degrees=50)
    turned = pool(ESTIMATES[::-1], VARIANCES[::-1], degrees=50)
    scaled = pool(1000.0 * ESTIMATES - 7.0, 1e6 * VARIANCES, degrees=50)
    for a, b in zip(found, turned):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    for name in ("degrees", "missing"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(found, name), rtol=1e-9)
    for name in ("variance", "within", "between"):
        np.testing.assert_allclose(getattr(scaled, name), 1e6 * getattr(found, name), rtol=1e-9)
    for name in ("estimate", "low", "high"):
        np.testing.assert_allclose(getattr(scaled, name), 1000.0 * getattr(found, name) - 7.0, rtol=1e-9)
    for j in range(4):  # several quantities at once are each for itself
        one = pool(ESTIMATES[:, j], VARIANCES[:, j], degrees=50)
        np.testing.assert_allclose([field[j] for field in found], one, rtol=1e-12)


def test_intervals_of_completions_drawn_right_hold_their_share():
    """A mean of 100 values of which 40 are missing, with draws that know of the mean's and the variance's error."""
    rng, runs, m = np.random.default_rng(1), 20_000, 10
    seen = rng.normal(5.0, 2.0, (60, runs))
    scale = np.sqrt(seen.var(0, ddof=1) * 59 / rng.chisquare(59, (m, runs)))
    centre = seen.mean(0) + scale / np.sqrt(60) * rng.normal(size=(m, runs))
    # The mean and the sum of squares of 40 draws have these distributions.
    mean = centre + scale / np.sqrt(40) * rng.normal(size=(m, runs))
    squares = scale**2 * rng.chisquare(39, (m, runs)) + 59 * seen.var(0, ddof=1)
    squares += 60 * 40 / 100 * (mean - seen.mean(0)) ** 2
    found = pool(0.6 * seen.mean(0) + 0.4 * mean, squares / 99 / 100, degrees=99)
    inside = np.mean((found.low <= 5.0) & (found.high >= 5.0))
    assert inside == pytest.approx(0.95, abs=0.0065)  # 4 standard errors
    assert np.mean(found.missing) == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("estimates", "variances", "options", "named"),
    [
        ([1.0], [1.0], {}, "1 tables"),
        (1.0, 1.0, {}, "0 tables"),
        ([1.0, 2.0], [1.0], {}, "shape"),
        ([1.0, np.nan], [1.0, 1.0], {}, "estimates"),
        ([1.0, 2.0], [1.0, np.inf], {}, "variances"),
        ([1.0, 2.0], [1.0, -0.5], {}, "-0.5"),
        ([1.0, 2.0], [1.0, 1.0], {"level": 1.0}, "level"),
        ([1.0, 2.0], [1.0, 1.0], {"degrees": 0.0}, "degrees"),
    ],
)
def test_what_cannot_be_pooled_is_said(estimates, variances, options, named):
    with pytest.raises(UsageError, match=named):
        pool(estimates, variances, **options)
