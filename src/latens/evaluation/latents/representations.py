"""Labels that codes tell, by a linear probe and by neighbours."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from latens.errors import DataError, UsageError
from latens.evaluation.estimate import Estimate
from latens.evaluation.samples.resampling import as_rows
from latens.io.process import counted


@counted(folds=2)
def linear_probe_accuracy(
    codes: np.ndarray, label: np.ndarray, *, folds: int = 5, penalty: float = 1.0, seed: int
) -> Estimate:
    r"""How often a linear classifier of the codes names the label, cross-validated.

    A high value says that a line reads the labels off, not that the model set them apart by itself; a low one says
    only that a line cannot. Chance is the share of the most frequent label.

    **Protocol:** codes standardised (on the fitting rows), multinomial logistic regression with penalty
    $\frac{\lambda}{2}\sum w^2$ on the summed loss, `folds` stratified folds, each row scored once by a classifier that
    has not seen it. The error is that of rows; that folds share fitting rows is not in it.

    Args:
        codes: Usually posterior means, shape (n, *z).
        label: Whole numbers, below 0 where there is none, shape (n,). Such rows, and classes with fewer rows than
            folds, are left out.
        folds: Stratified folds.
        penalty: $\lambda$.
        seed: Seed of the folds.

    Returns:
        The accuracy with its error, from 0 to 1.

    Raises:
        DataError: Where fewer than two classes are left.

    Source: Alain & Bengio (2017), arXiv 1610.01644.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1.0 / penalty, max_iter=1000))
    return _cross_validated(classifier, codes, label, folds, seed, f"logistic regression, penalty {penalty:g}")


@counted(neighbours=1, folds=2)
def nearest_neighbour_accuracy(
    codes: np.ndarray, label: np.ndarray, *, neighbours: int = 5, folds: int = 5, seed: int
) -> Estimate:
    """How often most of the nearest codes (Euclidean, unscaled) have the row's own label, cross-validated.

    It sees any shape of class, and the scale of units: a unit of noise with a large scale hides the others.

    **Protocol:** `folds` stratified folds; the `neighbours` nearest rows of the other folds vote, ties go to the
    lower label.

    Args:
        codes: Usually posterior means, shape (n, *z).
        label: Whole numbers, below 0 where there is none, shape (n,).
        neighbours: Rows that vote.
        folds: Stratified folds.
        seed: Seed of the folds.

    Returns:
        The accuracy with its error, from 0 to 1.

    Raises:
        DataError: Where fewer than two classes are left.

    Source: Cover & Hart (1967).
    """
    from sklearn.neighbors import KNeighborsClassifier

    words = f"{neighbours} nearest neighbours"
    return _cross_validated(KNeighborsClassifier(neighbours), codes, label, folds, seed, words)


def _labelled(codes: np.ndarray, label: np.ndarray, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and labels of the rows of classes with so many rows."""
    z, y = as_rows(codes, "codes"), np.asarray(label)
    if y.shape != (len(z),) or y.dtype.kind not in "iu":
        message = f"labels {y.dtype} of shape {y.shape} for {len(z)} codes."
        raise UsageError(message, where="label", fix="Give one whole number a row, below 0 where there is none.")
    counts = np.bincount(y[y >= 0]) if (y >= 0).any() else np.zeros(1, int)
    kept = (y >= 0) & (counts[np.maximum(y, 0)] >= at_least)
    if len(np.unique(y[kept])) < 2:
        message = f"fewer than two classes have {at_least} rows with a label."
        raise DataError(message, where="label", fix="Give more rows, or fewer folds.")
    return z[kept], np.unique(y[kept], return_inverse=True)[1]


def _cross_validated(
    classifier: Any, codes: np.ndarray, label: np.ndarray, folds: int, seed: int, words: str
) -> Estimate:
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    z, y = _labelled(codes, label, folds)
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Classes that a line separates perfectly have no finite best weights without a penalty.
        warnings.filterwarnings("ignore", message="lbfgs failed to converge")
        said = cross_val_predict(classifier, z, y, cv=cut)
    protocol = f"{words}, {folds} stratified folds, {len(np.unique(y))} classes"
    return replace(Estimate.of(said == y, num_samples=1, protocol=protocol), unit="accuracy", seed=seed)
