"""Probes and neighbours of codes whose numbers are known."""

import numpy as np
import pytest
from scipy import stats

from latens.errors import DataError, UsageError
from latens.evaluation.latents.representations import linear_probe_accuracy, nearest_neighbour_accuracy


def two_normals(n: int, distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of standard Normals in three dimensions whose means are `distance` apart along the first."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    codes = rng.normal(size=(n, 3))
    codes[:, 0] += distance * label
    return codes, label


def test_a_linear_probe_reaches_the_best_line() -> None:
    """No classifier is right more often than Phi(distance / 2), and a line is that classifier."""
    codes, label = two_normals(4000, 2.0)
    found = linear_probe_accuracy(codes, label, seed=0)
    best = stats.norm.cdf(1.0)
    assert abs(found.value - best) < 5 * found.standard_error
    assert found.standard_error == pytest.approx(np.sqrt(best * (1 - best) / 4000), rel=0.05)
    assert (found.n, found.unit) == (4000, "accuracy")


def test_codes_without_labels_in_them_are_at_chance() -> None:
    codes, label = two_normals(3000, 0.0)
    for score in (linear_probe_accuracy, nearest_neighbour_accuracy):
        found = score(codes, label, seed=0)
        assert abs(found.value - 0.5) < 5 * found.standard_error


def test_neighbours_see_what_no_line_does() -> None:
    """A ring around a disc: neighbours are always right, a line is right on at most the larger class and a bit."""
    rng = np.random.default_rng(0)
    label = np.arange(1000) % 2
    radius, angle = np.where(label, 3.0, 1.0 * np.sqrt(rng.uniform(size=1000))), rng.uniform(0, 2 * np.pi, 1000)
    codes = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    assert nearest_neighbour_accuracy(codes, label, seed=0).value == pytest.approx(1.0)
    # A line that cuts the ring off the disc has at most arccos(1/3) / pi of the ring on its side.
    assert linear_probe_accuracy(codes, label, seed=0).value < 0.5 + np.arccos(1 / 3) / (2 * np.pi) + 0.05


def test_one_neighbour_in_closed_form() -> None:
    """Equal codes of two classes, 3 to 1: of 300 of 320 rows at the same place most have the frequent label."""
    label = np.tile([0, 0, 0, 1], 100)
    codes = np.zeros((400, 1))
    assert nearest_neighbour_accuracy(codes, label, neighbours=300, seed=0).value == pytest.approx(0.75)


def test_rows_without_a_label_and_rare_classes_are_left_out() -> None:
    codes, label = two_normals(200, 8.0)
    more = np.concatenate([codes, np.full((14, 3), 50.0)])
    found = linear_probe_accuracy(more, np.concatenate([label, np.full(10, -1), np.full(4, 7)]), seed=0)
    assert (found.n, found.value) == (200, pytest.approx(1.0))
    with pytest.raises(DataError, match="fewer than two classes"):
        linear_probe_accuracy(codes, np.zeros(200, int), seed=0)
    with pytest.raises(UsageError, match="labels float64"):
        linear_probe_accuracy(codes, label.astype(float), seed=0)
