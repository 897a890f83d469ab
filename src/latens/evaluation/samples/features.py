"""What samples are compared by when the user gives no features of their own: nothing to download, nothing to train."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from latens.evidence.estimate import as_rows
from latens.io.process import counted

MOST_FEATURES = 32


@dataclass(frozen=True)
class PrincipalFeatures:
    """Rows by their principal components among training rows, and by how much these leave out.

    Args:
        mean: Mean of each feature of the rows, shape (D,).
        scale: What each is divided by, shape (D,).
        components: Principal directions, shape (d, D).
        unit: Root mean variance of the components, by which all are divided.
        rest: Whether a last feature is the length of what the components leave out.
        logarithm: Whether x is first transformed to sign(x) log(1 + abs(x)), for counts.
    """

    mean: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    unit: float
    rest: bool
    logarithm: bool

    def __call__(self, rows: Shaped[np.ndarray, "n *x"]) -> Shaped[np.ndarray, "n d"]:
        """Compute the features of rows."""
        centred = (_matrix(rows, self.logarithm) - self.mean) / self.scale
        found = centred @ self.components.T
        if self.rest:
            left = np.sqrt(np.maximum(np.sum(centred**2, axis=1) - np.sum(found**2, axis=1), 0.0))
            found = np.concatenate([found, left[:, None]], axis=1)
        return found / self.unit


@counted(most=1)
def principal_features(
    train: np.ndarray, *, standardise: bool = False, logarithm: bool = False, most: int = MOST_FEATURES, seed: int = 0
) -> PrincipalFeatures:
    """Find the first principal components of training rows, in one common unit: distances stay those of the data.

    Their variances average 1 over the training rows, so that a kernel of fixed width suits them and a model that gave
    the mean row only would have a Frechet distance of d. Where rows have more features than components are kept, one
    feature more is the length of what is left out, so that a sample is far from the rows also where these never vary.

    What they can say: whether samples have the shapes and shares of the data, feature by feature and together. What
    they cannot: whether people would find them alike (a picture moved by one pixel is far away). For that give features
    of your own, such as a classifier's last layer.

    Args:
        train: Training rows, shape (n, *x).
        standardise: Whether to divide each feature by its standard deviation, for columns in their own units.
        logarithm: Whether to take sign(x) log(1 + abs(x)) first, for counts.
        most: Largest number d of components.
        seed: Seed of a randomised decomposition of many features.

    Returns:
        The function from rows to features.

    Source: Pearson, On lines and planes of closest fit, Philosophical Magazine, 1901; scikit-learn's `PCA`.
    """
    from sklearn.decomposition import PCA

    rows = _matrix(train, logarithm)
    mean = rows.mean(0)
    # The rounding of a mean is no spread: what does not vary keeps its unit.
    varies = np.ptp(rows, axis=0) > 0
    scale = np.where(varies, rows.std(0), 1.0) if standardise else np.ones(rows.shape[1])
    scale = np.where(scale > 0, scale, 1.0)
    centred = (rows - mean) / scale
    count = min(most, rows.shape[1], len(rows) - 1)
    found = PCA(count, random_state=seed).fit(centred)
    unit = float(np.sqrt(found.explained_variance_.mean()))
    return PrincipalFeatures(
        mean, scale, np.asarray(found.components_), unit if unit > 0 else 1.0, count < rows.shape[1], logarithm
    )


def _matrix(rows: np.ndarray, logarithm: bool) -> np.ndarray:
    matrix = as_rows(rows, at_least=1)
    # A Normal on log(1 + x) may fall below 0, that is to a count below 0: as far below as it is above.
    return np.sign(matrix) * np.log1p(np.abs(matrix)) if logarithm else matrix
