"""Does a model give back its training rows? Samples are held against these and against rows it never saw."""

import numpy as np
from jaxtyping import Shaped

from latens.evaluation.estimate import Estimate
from latens.evaluation.samples.quality import Features, distances
from latens.evaluation.samples.resampling import as_rows, same_width
from latens.io.process import counted


@counted(permutations=1)
def memorisation(
    samples: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    *,
    features: Features | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Test in two ways whether samples copy training rows, each with a permutation p-value.

    Two tests of copying, each with a permutation p-value (one-sided, (1 + as extreme) / (1 + permutations)).

    - `memorisation`: the chance that a sample is nearer to its nearest training row than a held-out row is to its own,
      ties counting half. 1/2 for samples of the data's own distribution; 1 for copies. The p-value exchanges
      samples and held-out rows. Blurred samples, which lie near everything, raise it too: read the second number.
    - `copied_share`: let s be the share of samples whose nearest row among all training and held-out rows is a training
      row, and c the share of training rows among these. It is $(s - c)/(1 - c)$: 0 where it does not matter to the
      model which rows it was trained on, however good or bad its samples are, and 1 where every sample is a copy. The
      p-value exchanges training and held-out rows, so it holds for blurred samples as well.

    Args:
        samples: Samples of the model, shape (m, *x).
        train: Training rows, shape (n, *x).
        held_out: Held-out rows of the same columns, shape (h, *x).
        features: Function that the sets are compared by; None compares the rows themselves.
        permutations: Permutations of each test.
        seed: Seed of these.

    Returns:
        The estimates by name, with their p-values.

    Raises:
        DataError: For fewer than two rows of a kind.

    Source: the first statistic is that of Meehan, Chaudhuri & Dasgupta, A non-parametric test to detect data-copying in
    generative models, AISTATS 2020, arXiv 2004.05675, without its cells.
    """
    given = {"samples": samples, "training rows": train, "held-out rows": held_out}
    if features is not None:
        given = {name: features(np.asarray(x)) for name, x in given.items()}
    samples, train, held_out = (as_rows(x, name) for name, x in given.items())
    same_width(train, samples)
    same_width(train, held_out)
    rng = np.random.default_rng(seed)
    near, far = nearest(samples, train)[0], nearest(held_out, train)[0]
    value, error = _chance(near, far)
    p_value = _exchange_p(near, far, permutations, rng)
    share, share_error, share_p = _copied(samples, train, held_out, permutations, rng)
    sizes = f"{len(samples)} samples, {len(train)} training and {len(held_out)} held-out rows"
    closer = "chance that a sample is nearer to the training rows than a held-out row is (0.5 where none is copied)"
    copied = "excess share of samples whose nearest row is a training row (0 where none is copied, 1 where all are)"
    count = (len(samples), len(held_out))
    nan = float("nan")
    tests = f"one-sided, {permutations} permutations; {sizes}"
    return {
        "memorisation": Estimate(value, error, *count, "probability", f"{closer}; {sizes}", seed),
        "memorisation_p_value": Estimate(p_value, nan, *count, "probability", f"of memorisation, {tests}", seed),
        "copied_share": Estimate(share, share_error, *count, "share", f"{copied}; {sizes}", seed),
        "copied_share_p_value": Estimate(share_p, nan, *count, "probability", f"of copied_share, {tests}", seed),
    }


def nearest(rows: Shaped[np.ndarray, "n d"], others: Shaped[np.ndarray, "m d"]) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest other row of each row."""
    # returns: the Euclidean distance to the nearest other row, and its position (of equally near ones the first), both
    found = [(distance.min(1), distance.argmin(1)) for _, distance in distances(rows, others)]
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])


def _chance(near: np.ndarray, far: np.ndarray) -> tuple[float, float]:
    """P(near < far) + P(near = far) / 2 of two sets of numbers, and its standard error (DeLong et al. 1988)."""
    ordered, other = np.sort(far), np.sort(near)
    above = 1.0 - (np.searchsorted(ordered, near, "left") + np.searchsorted(ordered, near, "right")) / (2 * len(far))
    below = (np.searchsorted(other, far, "left") + np.searchsorted(other, far, "right")) / (2 * len(near))
    error = np.sqrt(above.var(ddof=1) / len(near) + below.var(ddof=1) / len(far))
    return float(above.mean()), float(error)


def _exchange_p(near: np.ndarray, far: np.ndarray, permutations: int, rng: np.random.Generator) -> float:
    from scipy.stats import rankdata

    rank = rankdata(np.concatenate([near, far]))  # the chance falls with the sum of the ranks of `near`
    found = rank[: len(near)].sum()
    sums = np.array([rng.permutation(rank)[: len(near)].sum() for _ in range(permutations)])
    return float((1 + np.sum(sums <= found + 1e-9)) / (1 + permutations))


def _copied(
    samples: np.ndarray, train: np.ndarray, held_out: np.ndarray, permutations: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    # In random order, so that of equal rows no kind is always the first.
    order = rng.permutation(len(train) + len(held_out))
    known = order < len(train)
    which = nearest(samples, np.concatenate([train, held_out])[order])[1]
    times = np.bincount(which, minlength=len(known))
    found, chance = int(times[known].sum()), float(known.mean())
    drawn = np.array([times[rng.permutation(known)].sum() for _ in range(permutations)])
    p_value = float((1 + np.sum(drawn >= found)) / (1 + permutations))
    share = found / len(samples)
    error = float(np.sqrt(share * (1.0 - share) / max(1, len(samples) - 1)))
    return (share - chance) / (1.0 - chance), error / (1.0 - chance), p_value
