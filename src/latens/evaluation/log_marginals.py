"""log p(x) of many rows, each with the error of its own draws."""

from dataclasses import dataclass

import numpy as np

from latens.evaluation.diagnostics import TRUSTED_K
from latens.evaluation.estimate import Estimate


@dataclass(frozen=True)
class LogMarginals:
    """An estimate of log p(x) for each of B rows, and what its draws say about it.

    **Arguments:** `rows` (B,) nats; `row_errors` (B,) their Monte Carlo standard errors; `num_samples` draws a row;
    `protocol` how, in words; `effective_sample_size` and `pareto_k` (B,) of the weights; `degrees` of freedom that
    the errors have (draws, or runs, minus 1); `weight` (B,) how often each row counts.
    """

    rows: np.ndarray
    row_errors: np.ndarray
    num_samples: int
    protocol: str
    effective_sample_size: np.ndarray
    pareto_k: np.ndarray
    degrees: int
    weight: np.ndarray | None = None

    def interval(self, level: float = 0.99) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends (B,) of each row's interval, in nats: Student's t times the row's own error.

        It speaks of the draws alone: the mean over many runs, not log p(x), where the estimator is a bound that is
        not yet tight.
        """
        from scipy import stats

        wide = stats.t.ppf(0.5 + level / 2, self.degrees) * self.row_errors
        return self.rows - wide, self.rows + wide

    @property
    def monte_carlo_error(self) -> float:
        """The standard error of the mean over just these rows: of the draws, not of the choice of rows (nats)."""
        share = np.ones(len(self.rows)) if self.weight is None else np.asarray(self.weight, np.float64)
        return float(np.sqrt(np.sum((share / share.sum() * self.row_errors) ** 2)))

    def estimate(self) -> Estimate:
        """The mean over rows; its error is of the choice of rows and holds that of the draws too."""
        note = f"{self.protocol}; error of the draws alone {self.monte_carlo_error:.2g}"
        return Estimate.of(self.rows, num_samples=self.num_samples, protocol=note, weight=self.weight)

    def estimates(self, name: str = "log_marginal") -> dict[str, Estimate]:
        """`log_marginal`, and of its weights `effective_sample_size` and `pareto_k`: the medians over rows, with
        the worst row in words."""
        size, k = np.asarray(self.effective_sample_size, np.float64), np.asarray(self.pareto_k, np.float64)
        nan, n = float("nan"), len(self.rows)
        found = {name: self.estimate()}
        words = f"of {self.num_samples} draws, the median over rows; the smallest is {size.min():.1f}"
        found["effective_sample_size"] = Estimate(float(np.median(size)), nan, self.num_samples, n, "draws", words)
        if not np.isnan(k).all():
            bad = int(np.sum(k > TRUSTED_K))
            words = f"the median over rows; the largest is {k.max():.2f}, and {bad} of {n} rows are above {TRUSTED_K}"
            found["pareto_k"] = Estimate(float(np.median(k)), nan, self.num_samples, n, "k", words)
        return found
