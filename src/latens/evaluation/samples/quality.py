"""Samples against rows by nearest neighbours: are they like the rows, and are all rows like some of them?"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Shaped

from latens.errors import UsageError
from latens.evidence.estimate import REPEATS, Estimate, as_rows, same_width, subsample
from latens.io.process import counted

Features = Callable[[np.ndarray], np.ndarray]
"""From rows (n, *x) to features (n, d)."""

_CELLS = 2**22
"""Distances held at once: 32 MB."""


@counted(num_neighbours=1, repeats=1)
def precision_recall_density_coverage(
    rows: np.ndarray,
    samples: np.ndarray,
    *,
    num_neighbours: int = 5,
    features: Features | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Precision, recall, density and coverage of samples, by balls that reach the k-th nearest neighbour.

    How samples lie among rows. Around each row is a closed ball that just reaches its k-th nearest other row.

    - `precision`: the share of samples inside the ball of any row (1: every sample lies where rows lie);
    - `recall`: the share of rows inside the ball of any sample, these made from samples (1: every row could be one);
    - `density`: the mean over samples of the number of balls around rows that hold it, over k. 1 for samples of the
      same distribution; above 1 where they crowd in the middle. Outliers among the rows count little;
    - `coverage`: the share of rows whose ball holds at least one sample; low where a kind of row is never made.

    For rows and samples of one distribution without ties, whatever it is, E density = 1. The four agree with the
    published programs but for ties, which they count as outside: in data with few levels every distance is tied.

    Args:
        rows: Held-out rows, shape (n, *x).
        samples: Samples of the model of the same columns in comparable units, shape (m, *x).
        num_neighbours: k.
        features: Function that both sets are compared by; None compares the rows themselves.
        repeats: How many parts standard errors come from: quarters of both sets, or larger parts, so that each has 4 k
            rows (NaN where there are none): of fewer every ball holds most others, and all parts look alike. Where
            parts never differ, the error is that of a share of n rows.
        seed: Seed of these parts.

    Returns:
        The four scores by name, with their errors.

    Raises:
        DataError: For too few rows.
        UsageError: For more neighbours than there are.

    Source: Kynkaanniemi et al., Improved precision and recall metric for assessing generative models, 2019, arXiv
    1904.06991; Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020, arXiv 2002.09797.
    """
    rows, samples = featured(rows, samples, features)
    least = min(len(rows), len(samples))
    if not 1 <= num_neighbours < least:
        what = f"{num_neighbours} neighbours among {least} rows."
        raise UsageError(what, where="num_neighbours", fix=f"Use 1 to {least - 1}, or more rows.")

    def statistic(rows: np.ndarray, samples: np.ndarray) -> dict[str, float]:
        return _shares(rows, samples, num_neighbours)

    share = max(0.25, 4 * num_neighbours / least)
    found = subsample(statistic, rows, samples, share=share, repeats=repeats, seed=seed)
    for name, (value, error) in found.items():
        if error == 0.0 and name != "density":
            n = len(samples) if name == "precision" else len(rows)
            inner = (n * value + 0.5) / (n + 1)
            found[name] = value, float(np.sqrt(inner * (1 - inner) / n))
    words = {
        "precision": "share of samples within the ball of any row",
        "recall": "share of rows within the ball of any sample",
        "density": f"mean number of balls of rows around a sample, over {num_neighbours}",
        "coverage": "share of rows with a sample in their ball",
    }
    how = f"; balls reach neighbour {num_neighbours}, {len(samples)} samples against {len(rows)} rows"
    return {
        name: Estimate(*found[name], len(samples), len(rows), unit="" if name == "density" else "share",
                       protocol=what + how, seed=seed)
        for name, what in words.items()
    }  # fmt: skip


def featured(rows: np.ndarray, samples: np.ndarray, features: Features | None) -> tuple[np.ndarray, np.ndarray]:
    """Turn rows and samples into float64 matrices of the same width."""
    # features: function that both are passed through; None takes the rows themselves.
    if features is not None:
        rows, samples = features(np.asarray(rows)), features(np.asarray(samples))
    rows, samples = as_rows(rows, "rows"), as_rows(samples, "samples")
    same_width(rows, samples)
    return rows, samples


def _shares(rows: np.ndarray, samples: np.ndarray, k: int) -> dict[str, float]:
    radius, own = _radii(rows, k), _radii(samples, k)
    balls, within, covered = np.zeros(len(samples)), np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for part, distance in distances(rows, samples):
        inside = distance <= radius[part, None]
        balls += inside.sum(0)
        covered[part] = inside.any(1)
        within[part] = (distance <= own).any(1)
    return {
        "precision": float(np.mean(balls > 0)),
        "recall": float(np.mean(within)),
        "density": float(np.mean(balls) / k),
        "coverage": float(np.mean(covered)),
    }


def _radii(rows: np.ndarray, k: int) -> np.ndarray:
    """The distance of each row to its k-th nearest other row."""
    # The nearest of all is the row itself, at distance 0.
    return np.concatenate([np.partition(distance, k, axis=1)[:, k] for _, distance in distances(rows, rows)])


def distances(rows: Shaped[np.ndarray, "n d"], others: Shaped[np.ndarray, "m d"]) -> Iterator[tuple[slice, np.ndarray]]:
    """Compute Euclidean distances from rows to all others, a part at a time, so that memory stays bounded."""
    from scipy.spatial.distance import cdist

    step = max(1, _CELLS // max(1, len(others)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        yield part, cdist(rows[part], others)
