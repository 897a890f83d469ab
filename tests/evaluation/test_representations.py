"""Probes, neighbours, clusters and pictures of codes whose numbers are known."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from latens.errors import DataError, UsageError
from latens.evaluation.latents.representations import (
    cluster_agreement,
    linear_probe_accuracy,
    nearest_neighbour_accuracy,
    representation,
    trustworthiness,
)


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


def test_clusters_of_separate_classes_agree_with_them() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(600) % 3
    codes = 20.0 * np.eye(3)[label] + rng.normal(size=(600, 3))
    found = cluster_agreement(codes, label, seed=0)
    assert {name: round(e.value, 12) for name, e in found.items()} == {
        "kmeans_accuracy": 1.0,
        "kmeans_nmi": 1.0,
        "kmeans_rand_index": 1.0,
    }
    # Two of three classes in one cluster, 200, 240 and 160 rows: matched are 200 + 240, and I = H(cluster).
    label = np.repeat(np.arange(3), (200, 240, 160))
    merged = np.minimum(label, 1)
    found = cluster_agreement(20.0 * np.eye(2)[merged] + 0.1 * rng.normal(size=(600, 2)), label, clusters=2, seed=0)
    own, both = (stats.entropy(np.bincount(groups)) for groups in (label, merged))
    assert found["kmeans_accuracy"].value == pytest.approx(440 / 600)
    assert found["kmeans_nmi"].value == pytest.approx(2 * both / (own + both))
    assert found["kmeans_rand_index"].value == pytest.approx(adjusted_rand_score(label, merged))
    # The error for given clusters is the binomial one; of ten groups it is known to a quarter.
    exact = np.sqrt(440 / 600 * 160 / 600 / 600)
    assert found["kmeans_accuracy"].standard_error == pytest.approx(exact, rel=0.75)


def test_unlabelled_rows_are_clustered_and_not_scored() -> None:
    codes, label = two_normals(300, 30.0)
    hidden = np.where(np.arange(300) < 100, -1, label)
    found = cluster_agreement(codes, hidden, seed=0)
    assert (found["kmeans_accuracy"].n, found["kmeans_accuracy"].value) == (200, pytest.approx(1.0))


def test_trustworthiness_in_closed_form() -> None:
    """Points on a line. The picture that shows them as they are invents nothing; at random it is about one half."""
    line = np.random.default_rng(1).uniform(size=(200, 1))
    same = trustworthiness(line, np.concatenate([2.0 * line, 0.0 * line], axis=1), neighbours=4, seed=0)
    assert (same.value, same.standard_error) == (1.0, 0.0)
    rng = np.random.default_rng(0)
    draws = [trustworthiness(rng.normal(size=(100, 2)), rng.normal(size=(100, 2)), seed=0).value for _ in range(30)]
    # A random neighbour's rank among n - 1 is uniform: the sum of r - k over r > k has mean (n-1-k)(n-k) / 2(n-1).
    n, k = 100, 5
    exact = 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * n * k * (n - 1 - k) * (n - k) / (2 * (n - 1))
    assert abs(np.mean(draws) - exact) < 5 * np.std(draws, ddof=1) / np.sqrt(30)


def test_trustworthiness_of_many_rows_uses_some() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 3))
    found = trustworthiness(rows, rows[:, :2], most_rows=100, seed=0)
    assert found.n == 100
    with pytest.raises(UsageError, match="for the same rows"):
        trustworthiness(rows, rows[:10, :2], seed=0)
    with pytest.raises(UsageError, match="90 neighbours among 100"):
        trustworthiness(rows, rows[:, :2], neighbours=90, most_rows=100, seed=0)


def test_all_numbers_of_a_representation() -> None:
    codes, label = two_normals(200, 30.0)
    found = representation(codes, label, seed=0)
    assert set(found) == {
        *("linear_probe_accuracy", "nearest_neighbour_accuracy", "kmeans_accuracy", "kmeans_nmi", "kmeans_rand_index")
    }
    assert all(estimate.value == pytest.approx(1.0) and estimate.seed == 0 for estimate in found.values())
