"""What codes are good for: labels by a linear probe and by neighbours, clusters, pictures that can be trusted."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from latens.errors import DataError, UsageError
from latens.evaluation.estimate import Estimate
from latens.evaluation.latents.clusters import matched, normalised_mutual_information
from latens.evaluation.latents.disentanglement import scored
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


@counted(clusters=1, restarts=1)
def cluster_agreement(
    codes: np.ndarray, label: np.ndarray, *, clusters: int | None = None, restarts: int = 10, seed: int
) -> dict[str, Estimate]:
    """How k-means clusters of the codes meet the labels: accuracy, normalised mutual information, Rand index."""
    # The accuracy of the best one-to-one matching, 2 I / (H + H), and the adjusted Rand index (0 in expectation for
    # clusters at random). k-means on unscaled codes looks for round clusters of one size: a low value is no proof that
    # there are none. Rows without a label are clustered too and not scored. Errors by leaving out tenths of the
    # labelled rows, for these clusters.
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    _, known = _labelled(codes, label, 1)
    z, y = as_rows(codes, "codes"), np.asarray(label)
    count = clusters or len(np.unique(known))
    if not 1 <= count <= len(z):
        what = f"clusters must be a number from 1 to the {len(z)} codes, not {count}."
        raise UsageError(what, where="clusters", fix=f"Use 1 to {len(z)}.")
    options: Any = {"n_init": restarts, "random_state": seed}
    cluster = KMeans(count, **options).fit_predict(z)[y >= 0]
    words = f"k-means, {count} clusters, best of {restarts} starts"
    scores = {
        "kmeans_accuracy": (lambda rows: float(matched(known[rows], cluster[rows]).mean()), "accuracy"),
        "kmeans_nmi": (lambda rows: normalised_mutual_information(known[rows], cluster[rows]), "NMI"),
        "kmeans_rand_index": (lambda rows: float(adjusted_rand_score(known[rows], cluster[rows])), "ARI"),
    }
    return {
        name: scored(score, len(known), seed=seed, protocol=words, unit=unit) for name, (score, unit) in scores.items()
    }


@counted(neighbours=1, most_rows=1)
def trustworthiness(
    rows: np.ndarray, picture: np.ndarray, *, neighbours: int = 5, most_rows: int = 2000, seed: int
) -> Estimate:
    r"""Whether neighbours in a picture are neighbours in the data.

    $1 - \frac{2}{nk(2n - 3k - 1)} \sum_i \sum_{j \in U_i} (r(i,j) - k)$, where $U_i$ are the k nearest points of i in
    the picture that are not among its k nearest rows, and $r(i,j)$ is j's rank among the rows nearest to i. 1 where the
    picture invents no neighbour, about 1/2 for a picture at random. It cannot see neighbours that the picture tears
    apart: swap the two arguments for that (continuity).

    Args:
        rows: Rows (n, *x) or codes.
        picture: Points of the same rows in order, shape (n, 2).
        neighbours: k, below n / 2.
        most_rows: Of more rows (n^2 distances) as many are drawn.
        seed: Seed of these rows.

    Returns:
        The score with its error, by leaving out tenths.

    Source: Venna & Kaski (2001); scikit-learn's `trustworthiness`.
    """
    from sklearn.manifold import trustworthiness as of_scikit_learn

    x, y = as_rows(rows, "rows"), as_rows(picture, "picture")
    if len(x) != len(y):
        message = f"{len(x)} rows and a picture of {len(y)}."
        raise UsageError(message, where="picture", fix="Give both for the same rows, in order.")
    if len(x) > most_rows:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(x))[:most_rows])
        x, y = x[chosen], y[chosen]
    if not 1 <= neighbours < 0.45 * len(x):
        message = f"{neighbours} neighbours among {len(x)} rows."
        raise UsageError(message, where="neighbours", fix="Use 1 to below 0.45 times the rows.")

    def score(some: np.ndarray) -> float:
        return float(of_scikit_learn(x[some], y[some], n_neighbors=neighbours))

    return scored(score, len(x), seed=seed, protocol=f"{neighbours} neighbours among {len(x)} rows")


@counted(folds=2)
def representation(codes: np.ndarray, label: np.ndarray, *, folds: int = 5, seed: int) -> dict[str, Estimate]:
    """Compute the scores of codes with labels under their names in reports.

    They are `linear_probe_accuracy`, `nearest_neighbour_accuracy`, `kmeans_accuracy`, `kmeans_nmi` and
    `kmeans_rand_index`.

    Args:
        codes: Usually posterior means, shape (n, *z).
        label: Whole numbers, below 0 where there is none, shape (n,).
        folds: Stratified folds.
        seed: Seed of folds and starts.

    Returns:
        Name -> score with its error.
    """
    return {
        "linear_probe_accuracy": linear_probe_accuracy(codes, label, folds=folds, seed=seed),
        "nearest_neighbour_accuracy": nearest_neighbour_accuracy(codes, label, folds=folds, seed=seed),
        **cluster_agreement(codes, label, seed=seed),
    }
