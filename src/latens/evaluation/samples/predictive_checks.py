"""Predictive checks: is a number computed from the data one that the model's own data sets would give?"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from latens.errors import DataError
from latens.evaluation.samples.resampling import as_rows, same_width

Statistic = Callable[[np.ndarray], float]
"""One number from rows (n, d)."""


def _quantile(share: float) -> Statistic:
    return lambda rows: float(np.quantile(rows, share))


def _cell_spread(rows: np.ndarray) -> float:
    return float(np.mean(np.std(rows, axis=0)))


def _correlation(rows: np.ndarray) -> float:
    moving = rows[:, np.ptp(rows, axis=0) > 0]
    if moving.shape[1] < 2:
        return 0.0
    table = np.abs(np.corrcoef(moving, rowvar=False))
    return float((table.sum() - len(table)) / (len(table) * (len(table) - 1)))


def _row_spread(rows: np.ndarray) -> float:
    return float(np.std(np.mean(rows, axis=1)))


STATISTICS: dict[str, Statistic] = {
    "mean": lambda rows: float(np.mean(rows)),
    "standard_deviation": _cell_spread,
    "zeros": lambda rows: float(np.mean(rows == 0)),
    "quantile_05": _quantile(0.05),
    "quantile_50": _quantile(0.5),
    "quantile_95": _quantile(0.95),
    "correlation": _correlation,
    "row_mean_spread": _row_spread,
}
"""Over all cells: the mean, the mean standard deviation of a cell, the share of zeros and three quantiles; the mean
absolute correlation of two cells (cells that never change left out); the standard deviation of the rows' means."""


@dataclass(frozen=True)
class Check:
    """One statistic of the data against its values in data sets that the model makes.

    Args:
        observed: The statistic of the data.
        mean: Its mean over the R replicated data sets.
        standard_deviation: Its standard deviation over them.
        p_value: Two-sided p-value.
        num_replicates: Number R of replicated data sets.
    """

    observed: float
    mean: float
    standard_deviation: float
    p_value: float
    num_replicates: int

    def to_json(self) -> dict[str, Any]:
        """Give the fields as plain values that JSON can hold.

        Returns:
            Values by field.
        """
        return {
            "observed": self.observed,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "p_value": self.p_value,
            "num_replicates": self.num_replicates,
        }


def predictive_checks(
    rows: np.ndarray,
    replicates: Iterable[np.ndarray],
    *,
    statistics: Mapping[str, Statistic] = STATISTICS,
) -> dict[str, Check]:
    r"""Check statistics of the data against data sets that the model makes: a two-sided p-value for each.

    For every statistic T a two-sided p-value, $2\min(P(T_r \le T), P(T_r \ge T))$.

    The data count among the R + 1: $P(T_r \le T) = (1 + \#\{r: T_r \le T\}) / (R + 1)$, and so above; at most 1. If
    rows and replicates come from the same distribution, a p-value of at most a has a probability of at most a (without
    ties exactly a, at multiples of 2 / (R + 1)), for any n and any T.

    The parameters of a trained network are one point, not draws from their posterior: with the training rows as `rows`
    the check would be too kind, so give held-out rows.

    Args:
        rows: Held-out rows, shape (n, *x).
        replicates: R data sets (n, *x) sampled from the model, one by one (a generator keeps memory small).
        statistics: Name -> function of rows (n, d).

    Returns:
        Name -> the check of that statistic.

    Raises:
        DataError: Without replicates, or where a statistic is not finite.

    Source: Gelman, Meng & Stern, Posterior predictive assessment of model fitness via realized discrepancies,
    Statistica Sinica, 1996; Rubin, Annals of Statistics, 1984.
    """
    matrix = as_rows(rows, at_least=1)
    observed = {name: float(function(matrix)) for name, function in statistics.items()}
    drawn: dict[str, list[float]] = {name: [] for name in statistics}
    for replicate in replicates:
        other = as_rows(replicate, "replicates", at_least=1)
        same_width(matrix, other)
        if len(other) != len(matrix):
            raise DataError(f"a replicate of {len(other)} rows for {len(matrix)}.", where="replicates",
                            fix="Draw as many rows: what a statistic does depends on how many there are.")  # fmt: skip
        for name, function in statistics.items():
            drawn[name].append(float(function(other)))
    return {name: _check(name, observed[name], np.array(values)) for name, values in drawn.items()}


def _check(name: str, observed: float, values: np.ndarray) -> Check:
    if not len(values):
        raise DataError("there are no replicated data sets.", where="replicates", fix="Draw at least 19.")
    if not (np.isfinite(observed) and np.all(np.isfinite(values))):
        raise DataError(f"the statistic {name!r} is not finite.", where=name, fix="Leave it out, or mend its function.")
    below, above = (1 + np.sum(values <= observed)), (1 + np.sum(values >= observed))
    p_value = min(1.0, 2.0 * float(min(below, above)) / (len(values) + 1))
    spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return Check(observed, float(values.mean()), spread, p_value, len(values))
