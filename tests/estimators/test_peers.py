"""Estimators against scikit-learn's, and against closed forms, where these coincide."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from latens import VAE, GenerativeClassifier

CLASSES = np.array(["a", "b", "c"])


def _three(columns: int, seed: int, scale: Any = 1.0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of three Gaussians of unequal frequency, in any unit."""
    rng = np.random.default_rng(seed)
    of = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
    mixing, centre = rng.normal(size=(3, columns, columns)) + np.eye(columns), 2.0 * rng.normal(size=(3, columns))
    x = np.einsum("nij,nj->ni", mixing[of], rng.normal(size=(300, columns))) + centre[of]
    return x * scale + offset, CLASSES[of]


TINY = 1e-9
"""The least that is added to a variance changes nothing here."""


@pytest.mark.parametrize(("columns", "scale", "offset"), [(1, 1.0, 5.0), (2, [0.5, 20.0], 0.0), (5, 1.0, 10.0)])
def test_a_gaussian_a_class_is_quadratic_discriminant_analysis(columns, scale, offset):
    x, y = _three(columns, columns, scale, offset)
    found = GenerativeClassifier(reg_covar=TINY, random_state=0).fit(x, y)
    peer = QuadraticDiscriminantAnalysis(solver="eigen", covariance_estimator=EmpiricalCovariance()).fit(x, y)
    np.testing.assert_allclose(found.predict_proba(x), peer.predict_proba(x), atol=1e-4)
    np.testing.assert_allclose(found.log_prior_, np.log(peer.priors_), rtol=1e-6)
    if columns == 1:  # one column is independent of all others
        naive = GaussianNB(var_smoothing=0).fit(x, y)
        np.testing.assert_allclose(found.predict_proba(x), naive.predict_proba(x), atol=1e-4)
        np.testing.assert_allclose(found.log_joint(x), naive.predict_joint_log_proba(x), rtol=1e-4, atol=1e-4)


def test_classes_of_one_shape_are_linear_discriminant_analysis():
    # The second class is the first one moved: one covariance, which both find exactly.
    first, _ = _three(3, 1)
    x = np.concatenate([first, first + np.array([3.0, -1.0, 0.5])])
    y = np.repeat(["a", "b"], len(first))
    found = GenerativeClassifier(reg_covar=TINY, random_state=0).fit(x, y)
    peer = LinearDiscriminantAnalysis(solver="lsqr").fit(x, y)
    np.testing.assert_allclose(found.predict_proba(x), peer.predict_proba(x), atol=1e-4)


def test_bayes_rule_reaches_the_exact_error():
    # N(-1, 1) and N(1, 1), equally frequent: no rule errs less than Phi(-1), and the true one errs as often.
    rng = np.random.default_rng(0)
    y = np.arange(20_000) % 2
    x = (rng.normal(size=20_000) + 2.0 * y - 1.0)[:, None]
    found = GenerativeClassifier(reg_covar=TINY, random_state=0).fit(x, y)
    error, exact = float(np.mean(found.predict(x) != y)), float(stats.norm.cdf(-1.0))
    assert abs(error - exact) < 4 * np.sqrt(exact * (1 - exact) / len(x))


@pytest.mark.parametrize("make", [lambda: VAE(1, hidden=(4,), steps=1), GenerativeClassifier], ids=["vae", "bayes"])
def test_columns_that_single_precision_cuts_are_said(make):
    # Probabilities were wrong by 0.24 without a word: cells of 1e6 differ by 0.06 at the least.
    x, y = _three(1, 0, offset=1e6)
    with pytest.warns(UserWarning, match="Column 'x0' varies by .* around .*: float32 keeps few of its digits"):
        make().fit(x, y)


# --- intervals ---
