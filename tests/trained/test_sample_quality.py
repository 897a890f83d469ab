"""Samples against rows: tiny sets by hand, identical sets, dropped modes, and closed forms of known distributions."""

import math

import numpy as np
import pytest
from scipy import stats

from latens.errors import DataError, UsageError
from latens.evidence.estimate import jackknife, subsample
from latens.trained.sample_sets import (
    classifier_two_sample_test,
    frechet_distance,
    precision_recall_density_coverage,
    principal_features,
)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    rows = np.random.default_rng(3).normal(size=37)
    value, error = jackknife(lambda x: {"mean": x.mean()}, rows, groups=37)["mean"]
    assert (value, error) == pytest.approx((rows.mean(), rows.std(ddof=1) / math.sqrt(37)))
    # Nine of 36 rows: the mean of a part has the variance s^2 (1/9 - 1/36); 4000 of them show it to 1 / sqrt(8000).
    rows = rows[:36]
    value, error = subsample(lambda x: {"mean": x.mean()}, rows, repeats=4000)["mean"]
    assert error == pytest.approx(rows.std(ddof=1) / 6, rel=5 / math.sqrt(8000))
    assert math.isnan(subsample(lambda x: {"mean": x.mean()}, rows, share=1.0)["mean"][1])


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
