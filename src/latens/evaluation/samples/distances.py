"""How far samples are from rows as a whole: the Frechet distance of two Normals."""

import numpy as np

from latens.evaluation.samples.quality import Features, featured
from latens.evidence.estimate import GROUPS, Estimate, jackknife
from latens.io.process import counted


@counted(groups=1)
def frechet_distance(
    rows: np.ndarray, samples: np.ndarray, *, features: Features | None = None, groups: int = GROUPS, seed: int = 0
) -> Estimate:
    r"""The Frechet distance of rows and samples: the distance of two Normals with their means and covariances.

    $|\mu_1-\mu_2|^2 + \mathrm{tr}\left(C_1 + C_2 - 2(C_1^{1/2} C_2 C_1^{1/2})^{1/2}\right)$ of rows and samples.

    The squared 2-Wasserstein distance of the two Normals with their means and covariances, in squared units of the
    features. It sees these moments and nothing else, and is biased upwards in small sets: compare only numbers made
    from as many rows and samples. Comparable with published FIDs only on the features of those (the pool layer of one
    certain Inception network).

    Args:
        rows: Held-out rows, shape (n, *x).
        samples: Samples of the model, shape (m, *x).
        features: Function that both sets are compared by; None compares the rows themselves.
        groups: Groups of the jackknife.
        seed: Seed of these groups.

    Returns:
        The estimate, in squared units of the features.

    Source: Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017,
    arXiv 1706.08500.
    """
    rows, samples = featured(rows, samples, features)
    found = jackknife(lambda a, b: {"value": _frechet(a, b)}, rows, samples, groups=groups, seed=seed)
    protocol = f"squared 2-Wasserstein distance of two Normals, {len(samples)} samples against {len(rows)} rows"
    return Estimate(*found["value"], len(samples), len(rows), unit="squared units", protocol=protocol, seed=seed)


def frechet_of_moments(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """The Frechet distance between two Normals from their moments, their squared 2-Wasserstein distance."""
    # With C = V diag(s) V', the root is symmetric and its square has the eigenvalues wanted; no complex numbers appear.
    value, vector = np.linalg.eigh(covariance)
    root = (vector * np.sqrt(np.maximum(value, 0.0))) @ vector.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_covariance @ root), 0.0)).sum()
    shift = float(np.sum((mean - other_mean) ** 2))
    return max(0.0, float(shift + np.trace(covariance) + np.trace(other_covariance) - 2.0 * cross))


def _frechet(rows: np.ndarray, samples: np.ndarray) -> float:
    moments = [(x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (rows, samples)]
    return frechet_of_moments(*moments[0], *moments[1])
