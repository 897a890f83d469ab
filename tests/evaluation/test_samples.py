"""Samples against rows: tiny sets by hand, identical sets, dropped modes, and closed forms of known distributions."""

import itertools
import math

import numpy as np
import pytest
from scipy import linalg, stats

from latens.errors import DataError, UsageError
from latens.evaluation import (
    classifier_two_sample_test,
    frechet_distance,
    precision_recall_density_coverage,
    principal_features,
)
from latens.evaluation.sample_quality import frechet_of_moments
from latens.evidence.estimate import jackknife, subsample


def expected_coverage(n, m, num_neighbours):
    """None of the k points nearest to a row may be a sample, of n - 1 rows and m samples in any order."""
    i = np.arange(1, num_neighbours + 1)
    return float(1.0 - np.prod((n - i) / (n + m - i)))


def values(found):
    return {name: estimate.value for name, estimate in found.items()}


def test_nearest_neighbours_by_hand():
    # Radii (k = 1): rows 1, 1, 2, 4, 50; samples 3, 3, 16.5.
    rows, samples = np.array([0.0, 1.0, 3.0, 7.0, -50.0]), np.array([0.5, 3.5, 20.0])
    found = precision_recall_density_coverage(rows, samples, num_neighbours=1)
    # 0.5 is in the balls of 0 and 1; 3.5 in those of 3 and 7; 20 in none. 7 is 13 from 20, so it could be a sample.
    expected = {"precision": 2 / 3, "density": 4 / 3, "coverage": 4 / 5, "recall": 4 / 5}
    assert values(found) == pytest.approx(expected)
    assert all(math.isnan(e.standard_error) for e in found.values())  # too few for parts of them
    assert {(e.n, e.num_samples) for e in found.values()} == {(5, 3)}
    moved = precision_recall_density_coverage(3 * rows - 1, 3 * samples - 1, num_neighbours=1)
    assert values(moved) == values(found)


def test_identical_sets_have_known_values():
    rows = np.random.default_rng(0).normal(size=(60, 3))
    for k in (1, 5):
        found = precision_recall_density_coverage(rows, rows[::-1], num_neighbours=k)
        # Every ball holds its own row and k others.
        expected = {"precision": 1.0, "recall": 1.0, "density": (k + 1) / k, "coverage": 1.0}
        assert values(found) == pytest.approx(expected)
    assert frechet_distance(rows, rows[::-1]).value == pytest.approx(0.0, abs=1e-12)


def test_dropped_modes_are_what_recall_and_coverage_miss():
    rng = np.random.default_rng(1)
    mode = np.arange(100) % 5
    rows = 100.0 * np.eye(5)[mode] + rng.normal(size=(100, 5))
    found = values(precision_recall_density_coverage(rows, rows[mode < 3], num_neighbours=3))
    assert found["precision"] == 1.0
    assert found["recall"] == found["coverage"] == 3 / 5
    turned = values(precision_recall_density_coverage(rows[mode < 3], rows, num_neighbours=3))
    assert (turned["precision"], turned["coverage"]) == (3 / 5, 1.0)


def test_coverage_and_density_of_one_distribution_are_known():
    by_hand = [order.index("sample") == 0 for order in set(itertools.permutations(["row"] * 2 + ["sample"] * 2))]
    assert expected_coverage(3, 2, 1) == pytest.approx(np.mean(by_hand))
    rng = np.random.default_rng(2)
    repeats = []
    for _ in range(200):
        found = precision_recall_density_coverage(
            rng.normal(size=(40, 2)), rng.normal(size=(30, 2)), num_neighbours=3, repeats=2
        )
        repeats.append([found["density"].value, found["coverage"].value])
    mean, error = np.mean(repeats, axis=0), np.std(repeats, axis=0, ddof=1) / math.sqrt(200)
    assert np.all(np.abs(mean - [1.0, expected_coverage(40, 30, 3)]) < 5 * error)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    rows = np.random.default_rng(3).normal(size=37)
    value, error = jackknife(lambda x: {"mean": x.mean()}, rows, groups=37)["mean"]
    assert (value, error) == pytest.approx((rows.mean(), rows.std(ddof=1) / math.sqrt(37)))
    # Nine of 36 rows: the mean of a part has the variance s^2 (1/9 - 1/36); 4000 of them show it to 1 / sqrt(8000).
    rows = rows[:36]
    value, error = subsample(lambda x: {"mean": x.mean()}, rows, repeats=4000)["mean"]
    assert error == pytest.approx(rows.std(ddof=1) / 6, rel=5 / math.sqrt(8000))
    assert math.isnan(subsample(lambda x: {"mean": x.mean()}, rows, share=1.0)["mean"][1])


def test_standard_errors_are_those_of_repetition():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(60):
        rows, samples = rng.normal(size=(160, 4)), rng.normal(size=(160, 4)) * 1.4 + 0.5
        each = precision_recall_density_coverage(rows, samples)
        each |= {"frechet": frechet_distance(rows, samples)}
        found.append([(e.value, e.standard_error) for e in each.values()])
    spread = np.std(np.array(found)[:, :, 0], axis=0, ddof=1)
    stated = np.sqrt(np.mean(np.array(found)[:, :, 1] ** 2, axis=0))
    # Spreads of 60 are known to a tenth. Parts of a quarter may state 1.15 times too much.
    assert np.all((stated / spread > 0.65) & (stated / spread < 1.15 / 0.65)), stated / spread


def test_frechet_is_the_distance_of_two_normals():
    mean, other = np.array([0.3, -1.0]), np.array([1.0, 0.5])
    covariance, wide = np.array([[2.0, 0.6], [0.6, 1.0]]), np.array([[1.0, -0.4], [-0.4, 3.0]])
    cross = np.trace(np.real(linalg.sqrtm(covariance @ wide)))
    exact = np.sum((mean - other) ** 2) + np.trace(covariance) + np.trace(wide) - 2 * cross
    assert frechet_of_moments(mean, covariance, other, wide) == pytest.approx(exact, abs=1e-12)
    # N((1, -0.5), diag(0.25, 4)) and N(0, I): the squared 2-Wasserstein distance of the reference page without its KL.
    diagonal = frechet_of_moments(np.array([1.0, -0.5]), np.diag([0.25, 4.0]), np.zeros(2), np.eye(2))
    assert diagonal == pytest.approx(1.25 + 0.5**2 + 1.0**2)
    rng = np.random.default_rng(5)
    rows, samples = (rng.multivariate_normal(m, c, 20_000) for m, c in ((mean, covariance), (other, wide)))
    found = frechet_distance(rows, samples)
    assert abs(found.value - exact) < 5 * found.standard_error
    assert found.standard_error < 0.05 * exact
    singular = frechet_of_moments(np.zeros(2), np.diag([1.0, 0.0]), np.zeros(2), np.diag([0.0, 1.0]))
    assert singular == pytest.approx(2.0)


def test_a_classifier_knows_what_differs_and_no_more():
    rows = np.random.default_rng(7).normal(size=(8, 2))
    found = classifier_two_sample_test(rows, rows + 100.0)
    assert found["two_sample_accuracy"].value == 1.0
    # Of the 70 ways to share out the labels of eight held-out rows, one.
    assert found["two_sample_p_value"].value == pytest.approx(1 / math.comb(8, 4))
    rng = np.random.default_rng(8)
    repeats = [classifier_two_sample_test(rng.normal(size=(60, 2)), rng.normal(size=(60, 2))) for _ in range(300)]
    p_values = np.array([each["two_sample_p_value"].value for each in repeats])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p_values <= level) < level + 5 * math.sqrt(level * (1 - level) / 300)
    accuracy = np.array([each["two_sample_accuracy"].value for each in repeats])
    assert abs(accuracy.mean() - 0.5) < 5 * accuracy.std(ddof=1) / math.sqrt(300)
    # The best rule between N(0, 1) and N(2, 1) is right with probability Phi(1).
    from sklearn.linear_model import LogisticRegression

    far = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 1)) + 2.0
    best = classifier_two_sample_test(*far, classifier=LogisticRegression())["two_sample_accuracy"]
    assert abs(best.value - stats.norm.cdf(1.0)) < 5 * best.standard_error


def test_the_default_features_keep_distances():
    rng = np.random.default_rng(9)
    train = rng.normal(size=(50, 2, 3)) * [1.0, 4.0, 0.2]
    features = principal_features(train)
    matrix = features(train)
    assert np.var(matrix, axis=0, ddof=1).mean() == pytest.approx(1.0)
    flat = train.reshape(50, -1)
    ratio = np.linalg.norm(matrix[1:] - matrix[0], axis=1) / np.linalg.norm(flat[1:] - flat[0], axis=1)
    np.testing.assert_allclose(ratio, 1 / features.unit, rtol=1e-10)
    mean_only = np.repeat(train.mean(0, keepdims=True), 50, axis=0)
    assert frechet_distance(train, mean_only, features=features).value == pytest.approx(6.0)
    few = principal_features(train, most=2)
    assert few(train).shape == (50, 3)
    outside = (train[:1] + 7.0).reshape(1, -1) - few.mean
    left = np.linalg.norm(outside - outside @ few.components.T @ few.components)
    assert few(train[:1] + 7.0)[0, 2] == pytest.approx(left / few.unit)
    equal = principal_features(train * [1.0, 10.0, 100.0], standardise=True)
    np.testing.assert_allclose(
        np.abs(equal(train * [1.0, 10.0, 100.0])), np.abs(principal_features(train, standardise=True)(train))
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: precision_recall_density_coverage(x[:1], x), DataError, "1 rows"),
        (lambda x: precision_recall_density_coverage(x, x[:, :1]), DataError, "rows of 2 numbers and samples of 1"),
        (lambda x: precision_recall_density_coverage(x, x, num_neighbours=9), UsageError, "9 neighbours among 9 rows"),
        (lambda x: frechet_distance(x, np.where(x > 5, np.nan, x)), DataError, "NaN"),
        (lambda x: classifier_two_sample_test(x[:3], x), DataError, "too few"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(np.arange(18.0).reshape(9, 2))
