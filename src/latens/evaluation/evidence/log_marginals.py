"""log p(x) of many rows, each with the error of its own draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from latens.evaluation.estimate import Estimate, median
from latens.evaluation.evidence.diagnostics import TRUSTED_K, tail_length

MARGIN = 1.4
"""What errors of draws are multiplied with: 1.96 of them then cover 93 % and more (`benchmarks/coverage.py`)."""

SLOW = 0.75
"""Where a doubling of the draws leaves this part of the rise of the one before, what is lacking is not known."""

HEAVY = 0.75
"""So is it where Pareto k is above this, averaged over rows by the variance of their weights."""

_PRIOR_RATIO, _PRIOR_ROWS, _ENOUGH = 0.85, 40, 20
"""The ratio of rises is drawn to this one, as if by so many rows more; a row counts in full from this tail on."""

_LEAST_RATIO, _LEAST_ROWS = 0.5, 20
"""The same for what is lacking at least: the ratio of weights of finite variance, which is the smallest."""

_FEW, _WIDE = 10, 0.2
"""Nor is it known where fewer rows speak than this, and their errors are above this (nats)."""

_ROW_MARGIN = 1.1
"""What the error of a single row is multiplied with, for the same coverage."""

_UNSEEN = 0.005
"""An error below this is not printed (nats), and so never unknown."""


class DrawSums(NamedTuple):
    """Sums over rows of weight w that the error of their draws is made of; the sums of parts add up to those of all."""

    draws: float  # draws (or runs) of each row, a whole number
    weight: float  # of w
    squares: float  # of (w e)^2, e the error of a row in nats
    variance: float  # of v = w e^2
    variance_squares: float  # of v^2
    heavy: float  # of v k, k the Pareto k of a row, where it has one
    with_k: float  # of v, where it has one
    rise: float  # of w times the rise from half of the draws to all, in nats; NaN where nobody knows
    first_rise: float  # the same from an eighth to a quarter; NaN for fewer than 8 draws, as those that follow
    second_rise: float  # from there to a half
    third_rise: float  # from there to all

    @classmethod
    def total(cls, parts: Sequence["DrawSums"]) -> "DrawSums":
        """Add parts up."""
        return cls(parts[0].draws, *(math.fsum(values) for values in zip(*(part[1:] for part in parts))))

    @classmethod
    def of_json(cls, values: Sequence[float | None]) -> "DrawSums":
        """The sums that `to_json` gave."""
        return cls(*(math.nan if value is None else value for value in values))

    def to_json(self) -> list[float | None]:
        """The sums in their order, None where nobody knows one."""
        return [None if math.isnan(value) else float(value) for value in self]

    @property
    def monte_carlo_error(self) -> float:
        """The standard error of the mean over just these rows: of the draws, not of the choice of rows (nats)."""
        return float(np.sqrt(self.squares) / self.weight)

    @property
    def draws_error(self) -> float:
        """What the draws may make the mean wrong by, in nats; infinite where it is not known."""
        ratio, unknown = self.decay
        error = MARGIN * self._lacking(ratio)
        return float("inf") if unknown and error >= _UNSEEN else error

    @property
    def lacks(self) -> float:
        """The `draws_error` before its margin, in nats: where that is infinite, about so much or more is lacking."""
        ratio, unknown = self.decay
        return self._lacking(self._ratio(_LEAST_RATIO, _LEAST_ROWS) if unknown else ratio)

    def _lacking(self, ratio: float) -> float:
        last = self.rise if np.isnan(self.third_rise) else self.third_rise
        last = 0.0 if np.isnan(last) else last / self.weight
        return float(np.hypot(2.0 * ratio * self.monte_carlo_error, last * ratio / (1.0 - ratio)))

    @property
    def decay(self) -> tuple[float, bool]:
        """Which part of a rise the next doubling of the draws leaves, and whether what is lacking is not known."""
        if not np.isfinite(self.variance) or self.variance <= 0:
            return (0.5, False) if self.variance == 0 else (_PRIOR_RATIO, True)
        wide = self.variance / self.weight > _WIDE**2
        heavy = self.heavy > HEAVY * self.with_k
        ratio, rows = self._measured
        return self._ratio(_PRIOR_RATIO, _PRIOR_ROWS), bool(heavy or ratio > SLOW or (rows < _FEW and wide))

    @property
    def _measured(self) -> tuple[float, float]:
        """The ratio of rises as it was measured, and how many rows speak for it; 0.5 and 0 where none does."""
        earlier, later = self.first_rise + self.second_rise, self.second_rise + self.third_rise
        if np.isnan(earlier + later) or not 0 < self.variance < np.inf:
            return 0.5, 0.0
        ratio = float(np.clip(later / max(earlier, 1e-30 * self.weight), 0.5, 0.95))
        rows = self.variance**2 / self.variance_squares * min(tail_length(int(self.draws)) / _ENOUGH, 1.0)
        return ratio, float(rows)

    def _ratio(self, prior: float, as_if: float) -> float:
        """The measured ratio, drawn to another one as if by so many rows more."""
        ratio, rows = self._measured
        return (ratio * rows + prior * as_if) / (rows + as_if)


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
        rises: The rises from an eighth of the samples to a quarter, to a half, to all, shape (B, 3), nats.
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
    rises: np.ndarray | None = None

    def interval(self, level: float = 0.99) -> tuple[np.ndarray, np.ndarray]:
        """A confidence interval of log p(x) of each row, by the row's own error and what all rows say of their tails.

        The lower end is Student's t times 1.1 times the error below the estimate. The upper end lies further away, by
        how slowly the bound still rises and by the row's own Pareto k, and is infinite where the row is a lower bound
        by an unknown amount: where that is so of the mean over rows, where its k is above 0.7, or where its error is
        as large as the weight itself. Without `rises` the interval is Student's t times the error to both sides.

        Args:
            level: Confidence level, in (0, 1).

        Returns:
            Lower and upper ends, each of shape (B,), nats.
        """
        from scipy import stats

        wide = stats.t.ppf(0.5 + level / 2, self.degrees) * self.row_errors
        if self.rises is None:
            return self.rows - wide, self.rows + wide
        ratio, open_ended = self.sums.decay
        k = np.nan_to_num(np.asarray(self.pareto_k, np.float64), nan=0.0)
        share = _ROW_MARGIN * wide * np.maximum(2.0 * ratio, 1.0 / (1.0 - np.clip(k - 0.4, 0.0, 0.5)))
        unknown = (open_ended & (self.row_errors >= _UNSEEN)) | (k > TRUSTED_K) | (share > 0.95)
        upper = np.where(unknown, np.inf, self.rows - np.log1p(-np.minimum(share, 0.95)))
        return self.rows - _ROW_MARGIN * wide, upper

    @cached_property
    def sums(self) -> DrawSums:
        """The sums over rows that the error of the draws is made of."""
        weight = np.ones(len(self.rows)) if self.weight is None else np.asarray(self.weight, np.float64)
        error, k = np.asarray(self.row_errors, np.float64), np.asarray(self.pareto_k, np.float64)
        variance = weight * error**2
        own = ((weight * error) ** 2, variance, variance**2, np.nan_to_num(variance * k), variance[~np.isnan(k)])
        rise = float("nan") if self.rise is None else float(weight @ np.asarray(self.rise, np.float64))
        rises = np.full(3, np.nan) if self.rises is None else weight @ np.asarray(self.rises, np.float64)
        return DrawSums._make((self.degrees + 1, *(np.sum(values) for values in (weight, *own)), rise, *rises))

    @property
    def monte_carlo_error(self) -> float:
        """The standard error of the mean over just these rows: of the draws, not of the choice of rows (nats)."""
        return self.sums.monte_carlo_error

    @property
    def mean_rise(self) -> float:
        """By how much the mean over rows lies above that of half of the draws (nats); NaN where nobody knows."""
        return float(self.sums.rise / self.sums.weight)

    @property
    def draws_error(self) -> float:
        r"""What the samples may be wrong by, in nats: their Monte Carlo error together with what they still lack.

        $1.4\sqrt{(2\rho e)^2 + b^2}$, e the `monte_carlo_error` and b what the mean over rows still lacks. A bound from
        K samples has risen by r over that from K/2, and every doubling is taken to leave the part $\rho$ of the rise of
        the one before: $b = r\rho/(1 - \rho)$. With weights of finite variance $\rho$ falls to 1/2. It is measured over
        all rows, and drawn to 0.85 as if by 40 rows more: where few samples or few rows speak, errors are rather too
        large. b does not become less with more rows.

        What is lacking is not known where $\rho$ is above 0.75, where Pareto k is (averaged over rows by the variance
        of their weights), or where fewer than ten rows speak and their errors are above 0.2. The error is then
        infinite, and the number a lower bound by an unknown amount. An error below 0.005, which is not printed, is
        never unknown.

        Returns:
            The error in nats; infinite where it is not known.
        """
        return self.sums.draws_error

    @property
    def lacks(self) -> float:
        """The `draws_error` before its margin, in nats: where that is infinite, about so much or more is lacking.

        The ratio of rises is then drawn to 1/2, as if by 20 rows more, so that rather too little is said.

        Returns:
            What is lacking in nats.
        """
        return self.sums.lacks

    def estimate(self) -> Estimate:
        """Give the mean over rows.

        Returns:
            The mean in nats: `standard_error` is of the choice of rows, `draws_error` of the samples.
        """
        found = Estimate.of(self.rows, num_samples=self.num_samples, protocol=self.protocol, weight=self.weight)
        return found.with_draws_error(self.draws_error, self.lacks)

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
