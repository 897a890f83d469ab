"""The column that tells points apart: numbers by their parts, over strengths, and no column by chance."""

import numpy as np
import pytest

from latens.evaluation.latents.telling import LEAST_SHARE, PARTS, between, parts_of, telling, widest


def test_parts_hold_like_many_rows_and_gaps_none() -> None:
    values = np.append(np.arange(800.0), [np.nan] * 5)
    codes = parts_of(values)
    assert codes is not None
    assert (codes[-5:] == -1).all()
    assert np.bincount(codes[:-5]).tolist() == pytest.approx([100] * PARTS, abs=1)
    assert parts_of(np.ones(9)) is None
    assert parts_of(np.full(9, np.nan)) is None
    codes = parts_of(np.array([0.0] * 90 + [1.0] * 10))  # a column of two values is two parts
    assert codes is None or np.unique(codes[:90]).size == 1


def test_the_strongest_column_is_found_over_strengths_and_none_by_chance() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(600, 2))
    chance = rng.integers(0, 5, 600)
    for strength, told in ((0.0, False), (0.1, False), (1.0, True), (3.0, True)):
        codes = parts_of(strength * points[:, 0] + rng.normal(size=600))
        assert codes is not None
        assert telling([chance, None, codes], points) == (2 if told else None)
        assert (between(codes, points) > LEAST_SHARE) is told
    assert telling([], points) is None
    assert telling([None], points) is None


def test_the_widest_directions_are_those_of_most_variance_whatever_the_axes() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(400, 4)) * [5.0, 0.1, 3.0, 1.0]
    turned = points @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    for one in (points, turned):
        found = np.sort(widest(one).var(axis=0))
        exact = np.sort(np.linalg.eigvalsh(np.cov(points.T, bias=True)))[-2:]
        np.testing.assert_allclose(found, exact, rtol=1e-9)
    assert widest(points[:, :1]).shape == (400, 1)
