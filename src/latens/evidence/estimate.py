"""A number with its error: what every evaluation returns."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.errors import DataError, DivergedError

UNKNOWN = ("a lower bound, by an unknown amount", "an upper bound, by an unknown amount")
"""What is said of a mean whose draws do not tell by how much it is too low, or too high."""


def shares(weight: Shaped[np.ndarray, " n"] | None, n: int) -> Shaped[np.ndarray, " n"]:
    """Turn the weights of rows into shares that sum to 1, in double precision."""
    weight = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    return weight / weight.sum()


def median(values: Shaped[np.ndarray, " n"], weight: Shaped[np.ndarray, " n"] | None = None) -> float:
    """The median of values that count as often as their weights say; NaN where one of them is NaN."""
    values = np.asarray(values, np.float64)
    if weight is None or np.isnan(values).any():
        return float(np.median(values))
    order = np.argsort(values)
    below = np.cumsum(np.asarray(weight, np.float64)[order])
    # Half of the weight may end between two values: the middle of them, as where rows are repeated.
    at = np.searchsorted(below, below[-1] / 2, side="left"), np.searchsorted(below, below[-1] / 2, side="right")
    return float(0.5 * (values[order][at[0]] + values[order][at[1]]))


@dataclass(frozen=True)
class Estimate:
    """A mean over rows with the standard error of that mean.

    Args:
        value: The mean, in `unit`.
        standard_error: Its standard error from the spread between rows, in `unit`.
        num_samples: Number of posterior samples for each row.
        n: Number of rows.
        unit: Unit of the value, "nats" unless told.
        protocol: What was done, in words.
        seed: Seed of the samples.
        seconds: How long it took.
        draws_error: What a limited number of samples may be wrong by beside the standard error, in `unit`; None where
            it was not measured, infinite where the value is a lower bound by an unknown amount, and minus infinity
            where it is such an upper bound.
        at_least: Of an infinite `draws_error`, what the draws do tell: about so much is lacking, or more.
        untrusted_rows: Of how many rows Pareto k is above 0.7; None where nobody knows.
    """

    value: float
    standard_error: float
    num_samples: int
    n: int
    unit: str = "nats"
    protocol: str = ""
    seed: int | None = None
    seconds: float | None = None
    draws_error: float | None = None
    at_least: float | None = None
    untrusted_rows: int | None = None

    @property
    def bound(self) -> str:
        """What is said of a bound by an unknown amount, which has no error: "at least" or "at most"; else ""."""
        error = self.draws_error or 0.0
        return ("at least", "at most")[error < 0] if math.isinf(error) else ""

    @classmethod
    def of(cls, rows: np.ndarray, *, num_samples: int, protocol: str, weight: np.ndarray | None = None) -> "Estimate":
        """Estimate the (weighted) mean of one value for each row, with its error from the spread between rows.

        The mean is sum(w r)/sum(w).

        Args:
            rows: One value for each row, shape (n,).
            num_samples: Number of posterior samples for each row.
            protocol: What was done, in words.
            weight: Weights of the rows, shape (n,); None for all alike.

        Returns:
            The estimate.
        """
        rows = np.asarray(rows, np.float64)
        n = len(rows)
        share = shares(weight, n)
        value = float(np.sum(share * rows))
        spread = float(np.sqrt(np.sum(share**2 * (rows - value) ** 2) * n / (n - 1))) if n > 1 else float("nan")
        return cls(value, spread, num_samples, n, protocol=protocol)

    def with_draws_error(self, error: float, at_least: float | None = None) -> "Estimate":
        """The same estimate with the error of its samples; the protocol says where that is not known.

        Args:
            error: The error, in `unit`; plus or minus infinity where it is not known, as in `draws_error`.
            at_least: What is lacking at least, where the error is not known.

        Returns:
            The estimate.
        """
        words = f"{self.protocol}; {UNKNOWN[error < 0]}" if np.isinf(error) else self.protocol
        return replace(self, draws_error=error, at_least=at_least, protocol=words)

    def to_json(self) -> dict[str, Any]:
        """Give the fields as plain values that JSON can hold.

        Returns:
            Values by field.
        """
        return {
            "value": self.value,
            "bound": self.bound or None,
            "standard_error": None if self.bound or np.isnan(self.standard_error) else self.standard_error,
            "draws_error": None if self.bound else self.draws_error,
            "untrusted_rows": self.untrusted_rows,
            "num_samples": self.num_samples,
            "n": self.n,
            "unit": self.unit,
            "protocol": self.protocol,
            "seed": self.seed,
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        draws = 0.0 if self.draws_error is None else self.draws_error
        value, errors = f"{self.value:.2f}", f"± {self.standard_error:.2f}"
        if self.bound:
            return f"{self.bound} {value} {self.unit}"
        if np.isnan(self.standard_error):
            return f"{value} {self.unit} ({'one row: ' * (self.n == 1)}no standard error)"
        if draws >= 0.005:
            return f"at least {value} {errors} (rows) ± {draws:.2f} (draws) {self.unit}"
        return f"{value} {errors} {self.unit}"


GROUPS = 20
"""Parts of a jackknife: its standard errors are then good to about a sixth."""

REPEATS = 40
"""Parts that `subsample` draws: its standard errors are good to about a ninth."""


def as_rows(values: Shaped[np.ndarray, " n *x"], name: str = "rows", *, at_least: int = 2) -> Shaped[np.ndarray, "n d"]:
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


_FIX = (
    "The weights of the model are too large for its precision, or these rows lie far outside of those it was trained "
    "on: `latens info` shows the model, `latens check` the rows."
)


def finite(values: np.ndarray, what: str, *, where: str = "model", minus_infinity: bool = False) -> np.ndarray:
    r"""Refuse values that are NaN or infinite, and return them where all are finite.

    Args:
        values: Numbers of any shape, with the rows as leading axis.
        what: What they are called in the message.
        where: The file or model that the message names.
        minus_infinity: Whether $-\infty$ may be among them: the logarithm of a probability of 0.

    Returns:
        The values.

    Raises:
        DivergedError: With the number of rows that hold NaN or infinity, and the first of them.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fc":
        return values
    good = np.asarray(np.isfinite(array))
    if minus_infinity:
        good |= np.isneginf(array)
    if good.all():
        return values
    bad = np.asarray(~good.reshape(len(array) if array.ndim else 1, -1).all(axis=1))
    message = f"{what}: {int(bad.sum())} of {bad.size} rows hold NaN or infinity, row {int(bad.argmax())} is the first."
    raise DivergedError(message, where=where, fix=_FIX)
