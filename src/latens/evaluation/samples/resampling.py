"""Standard errors of numbers that two whole sets make together: leave out a part of both, and look how they move."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Shaped

from latens.errors import DataError

GROUPS = 20
"""Parts of a jackknife: its standard errors are then good to about a sixth."""

REPEATS = 40
"""Parts that `subsample` draws: its standard errors are good to about a ninth."""


def as_rows(values: Shaped[np.ndarray, "n *x"], name: str = "rows", *, at_least: int = 2) -> Shaped[np.ndarray, "n d"]:
    """Flatten rows to a float64 matrix."""
    rows = np.asarray(values)
    if rows.ndim < 1 or len(rows) < at_least:
        raise DataError(f"{len(rows) if rows.ndim else 0} {name}, at least {at_least} are needed.", where=name)
    matrix = rows.reshape(len(rows), -1).astype(np.float64)
    if not np.all(np.isfinite(matrix)):
        raise DataError(f"{name} hold NaN or infinity.", where=name, fix="Leave those rows out first.")
    return matrix


def same_width(rows: np.ndarray, samples: np.ndarray) -> None:
    """Check that two sets of rows have as many features each."""
    if rows.shape[1] != samples.shape[1]:
        what = f"rows of {rows.shape[1]} numbers and samples of {samples.shape[1]}."
        raise DataError(what, where="samples", fix="Both must come from the same columns, pixels or features.")


def jackknife(
    statistic: Callable[..., Mapping[str, float]], *sets: np.ndarray, groups: int = GROUPS, seed: int = 0
) -> dict[str, tuple[float, float]]:
    r"""Estimate the standard error of statistics by leaving out a part of every set in turn."""
    # Every set is cut at random into G parts of nearly one size. With $\theta_g$ the statistic without part g of every
    # set, the standard error is $\sqrt{\frac{G-1}{G}\sum_g(\theta_g - \bar\theta)^2}$. For smooth statistics.
    # Source: Efron & Stein, The jackknife estimate of variance, Annals of Statistics, 1981.
    groups = min(groups, *(len(rows) for rows in sets))
    rng = np.random.default_rng(seed)
    part = [rng.permutation(np.arange(len(rows)) % groups) for rows in sets]
    whole = statistic(*sets)
    left = [statistic(*(rows[p != g] for rows, p in zip(sets, part))) for g in range(groups)]
    found = {}
    for name, value in whole.items():
        without = np.array([each[name] for each in left], np.float64)
        spread = float(np.sqrt((groups - 1) / groups * np.sum((without - without.mean()) ** 2)))
        found[name] = (float(value), spread if groups > 1 else float("nan"))
    return found


def subsample(
    statistic: Callable[..., Mapping[str, float]],
    *sets: np.ndarray,
    share: float = 0.25,
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    r"""Estimate the standard error of statistics from parts of every set, drawn without replacement."""
    # With s the standard deviation of the statistic over parts of a share r, the error is $s\sqrt{r/(1-r)}$: exact for
    # means. For statistics of nearest neighbours a bootstrap fails (a repeated row is its own neighbour), and a
    # jackknife states too much (each row that is left out moves all its neighbours: 1.6 times for precision and
    # recall); parts that overlap little state at most $1/\sqrt{1-r}$ too much, but for shares near 0 or 1 that depend
    # on n: parts are then farther from that end than the whole, and vary more.
    # Source: Politis & Romano, Large sample confidence regions based on subsamples, Annals of Statistics, 1994.
    whole = statistic(*sets)
    if not share < 1.0:
        return {name: (float(value), float("nan")) for name, value in whole.items()}
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(repeats):
        parts = (rows[rng.permutation(len(rows))[: max(2, round(share * len(rows)))]] for rows in sets)
        drawn.append(statistic(*parts))
    scale = np.sqrt(share / (1.0 - share))
    return {
        name: (float(value), float(scale * np.std([each[name] for each in drawn], ddof=1)))
        for name, value in whole.items()
    }
