"""log p(x) of many rows, each with the error of its own draws."""

from dataclasses import dataclass, replace

import numpy as np

from latens.evaluation.estimate import Estimate, median
from latens.evaluation.evidence.diagnostics import TRUSTED_K


@dataclass(frozen=True)
class LogMarginals:
    """An estimate of log p(x) for each of B rows, and what its samples say about it.

    Args:
        rows: The estimates, shape (B,), nats.
        row_errors: Their Monte Carlo standard errors, shape (B,), nats.
        num_samples: Samples for each row.
        protocol: How it was done, in words.
        effective_sample_size: Of the weights, shape (B,).
        pareto_k: Of the weights, shape (B,).
        degrees: Degrees of freedom that the errors have (samples, or runs, minus 1).
        weight: How often each row counts, shape (B,).
        rise: By how much the estimate lies above that of half of the samples, shape (B,), nats.
        smoothed: The estimate with Pareto-smoothed weights, shape (B,), nats.
    """

    rows: np.ndarray
    row_errors: np.ndarray
    num_samples: int
    protocol: str
    effective_sample_size: np.ndarray
    pareto_k: np.ndarray
    degrees: int
    weight: np.ndarray | None = None
    rise: np.ndarray | None = None
    smoothed: np.ndarray | None = None

    def interval(self, level: float = 0.99) -> tuple[np.ndarray, np.ndarray]:
        """A confidence interval of each row: Student's t times the row's own error.

        It speaks of the samples alone: the mean over many runs, not log p(x), where the estimator is a bound that is
        not yet tight.

        Args:
            level: Confidence level, in (0, 1).

        Returns:
            Lower and upper ends, each of shape (B,), nats.
        """
        from scipy import stats

        wide = stats.t.ppf(0.5 + level / 2, self.degrees) * self.row_errors
        return self.rows - wide, self.rows + wide

    @property
    def monte_carlo_error(self) -> float:
        """The standard error of the mean over just these rows: of the draws, not of the choice of rows (nats)."""
        return float(np.sqrt(np.sum((self._share * self.row_errors) ** 2)))

    @property
    def mean_rise(self) -> float:
        """By how much the mean over rows lies above that of half of the draws (nats); NaN where nobody knows."""
        return float("nan") if self.rise is None else float(np.sum(self._share * self.rise))

    @property
    def draws_error(self) -> float:
        r"""What the samples may be wrong by, in nats: their Monte Carlo error together with what they still lack.

        $\sqrt{e^2 + b^2}$, e the `monte_carlo_error`, b the `mean_rise`. A bound from K samples falls short by about
        $\mathrm{Var}(w)/(2 K \bar w^2)$ in every row, and from K/2 samples by twice as much: what it has risen by is
        about what it still lacks, as long as the weights have a variance. This part does not become less with more
        rows.

        Returns:
            The error in nats.
        """
        rise = self.mean_rise
        return self.monte_carlo_error if np.isnan(rise) else float(np.hypot(self.monte_carlo_error, rise))

    @property
    def _share(self) -> np.ndarray:
        share = np.ones(len(self.rows)) if self.weight is None else np.asarray(self.weight, np.float64)
        return share / share.sum()

    def estimate(self) -> Estimate:
        """Give the mean over rows.

        Returns:
            The mean in nats: `standard_error` is of the choice of rows, `draws_error` of the samples.
        """
        found = Estimate.of(self.rows, num_samples=self.num_samples, protocol=self.protocol, weight=self.weight)
        return replace(found, draws_error=self.draws_error)

    def estimates(self, name: str = "log_marginal") -> dict[str, Estimate]:
        """Give the means over rows by name, with what the weights say of them.

        Args:
            name: Name of the estimate.

        Returns:
            The estimate in nats under its name, the same from Pareto-smoothed weights (`log_marginal_smoothed`, where
            there is a tail), and of its weights `effective_sample_size` and `pareto_k`: the medians over rows, with the
            worst row in words.
        """
        size, k = np.asarray(self.effective_sample_size, np.float64), np.asarray(self.pareto_k, np.float64)
        nan, n = float("nan"), len(self.rows)
        found = {name: self.estimate()}
        words = f"of {self.num_samples} draws, the median over rows; the smallest is {size.min():.1f}"
        found["effective_sample_size"] = Estimate(median(size, self.weight), nan, self.num_samples, n, "draws", words)
        if not np.isnan(k).all():
            bad = int(np.sum(k > TRUSTED_K))
            words = f"the median over rows; the largest is {k.max():.2f}, and {bad} of {n} rows are above {TRUSTED_K}"
            if self.smoothed is not None:
                note = f"{self.protocol}; Pareto-smoothed weights: less noise, but no bound of log p(x)"
                options = {"num_samples": self.num_samples, "protocol": note, "weight": self.weight}
                found[f"{name}_smoothed"] = Estimate.of(self.smoothed, **options)
            found["pareto_k"] = Estimate(median(k, self.weight), nan, self.num_samples, n, "k", words)
        return found
