"""Estimates from several completed tables as one, with an error that knows of the gaps."""

from typing import Any, NamedTuple

import numpy as np

from latens.data.rows import refuse_masked
from latens.errors import LatensError, UsageError
from latens.typing import checked_later


class Pooled(NamedTuple):
    r"""An estimate from M completed tables, every field of the shape of one estimate."""

    estimate: np.ndarray  # the mean of the M estimates, in their unit
    variance: np.ndarray  # its total variance $T = \bar U + (1 + 1/M) B$, in the unit squared
    within: np.ndarray  # the mean $\bar U$ of the M variances: what the error would be without gaps
    between: np.ndarray  # the variance B of the M estimates: what the gaps leave open
    degrees: np.ndarray  # the degrees of freedom of Student's t; infinite where nothing limits them
    missing: np.ndarray  # the share $(1 + 1/M) B / T$ of the variance that is due to the gaps, in [0, 1]
    low: np.ndarray  # the lower end of the confidence interval, in the unit of the estimates
    high: np.ndarray


@checked_later
def pool(estimates: Any, variances: Any, *, level: float = 0.95, degrees: float = np.inf) -> Pooled:
    r"""Pool the estimates of M completed tables by Rubin's rules.

    The variance is $T = \bar U + (1 + 1/M) B$, and the interval that of Student's t with
    $\nu = (1/\nu_M + 1/\nu_{obs})^{-1}$ degrees of freedom, where $\nu_M = (M - 1) / \lambda^2$,
    $\lambda = (1 + 1/M) B / T$ and $\nu_{obs} = (1 - \lambda)\, \nu_0 (\nu_0 + 1) / (\nu_0 + 3)$.

    Args:
        estimates: What the analysis of each table gave, of shape (M, ...), M at least 2.
        variances: The squared standard error of each, of the same shape.
        level: The probability of the confidence interval, in (0, 1).
        degrees: The degrees of freedom $\nu_0$ that the analysis has of a table without gaps, above 0: of a mean n - 1,
            of a regression n less its coefficients; infinite for many rows.

    Returns:
        The pooled estimate with its parts and its interval.

    Raises:
        UsageError: Fewer than 2 tables, unequal shapes, numbers that are not finite, a negative variance, or an option
            out of its bounds.

    Examples:
        >>> found = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
        >>> float(found.estimate), round(float(found.variance), 3), round(float(found.degrees), 3)
        (2.0, 1.833, 3.781)

    Source: Rubin (1987), "Multiple Imputation for Nonresponse in Surveys", section 3.1; Barnard & Rubin (1999) for the
    degrees of freedom.
    """
    from scipy.stats import t

    found, errors = _numbers(estimates, "estimates"), _numbers(variances, "variances")
    level, degrees = float(_numbers(level, "level", ())), float(_numbers(degrees, "degrees", ()))
    if found.ndim == 0 or len(found) < 2:
        what = f"the estimates of {0 if found.ndim == 0 else len(found)} tables do not show how far they differ."
        raise UsageError(what, where="estimates", fix="Give those of 2 completed tables or more, along the first axis.")
    if errors.shape != found.shape:
        what = f"the variances have the shape {errors.shape}, and the estimates {found.shape}."
        raise UsageError(what, where="variances", fix="Give one variance for each estimate.")
    for name, values in (("estimates", found), ("variances", errors)):
        if not np.isfinite(values).all():
            raise UsageError("a number is NaN or infinite.", where=name, fix="Leave out what has no finite estimate.")
    if (errors < 0).any():
        what = f"a variance is {errors.min():g}."
        raise UsageError(what, where="variances", fix="Give squared standard errors, 0 or more.")
    if not 0.0 < level < 1.0:
        raise UsageError(f"must lie between 0 and 1, and is {level!r}.", where="level", fix="Give for example 0.95.")
    if not degrees > 0.0:
        raise UsageError(f"must be above 0, and is {degrees!r}.", where="degrees", fix="Give for example n - 1.")
    m = len(found)
    estimate, within, between = found.mean(0), errors.mean(0), found.var(0, ddof=1)
    extra = (1.0 + 1.0 / m) * between
    variance = within + extra
    missing = np.divide(extra, variance, out=np.zeros_like(extra), where=variance > 0)
    # As sums of inverses: without gaps, or with many rows, one of them is 0.
    inverse = missing**2 / (m - 1)
    if np.isfinite(degrees):
        observed = (1.0 - missing) * degrees * (degrees + 1.0) / (degrees + 3.0)
        inverse = inverse + np.divide(1.0, observed, out=np.full_like(observed, np.inf), where=observed > 0)
    freedom = np.divide(1.0, inverse, out=np.full_like(inverse, np.inf), where=inverse > 0)
    quantile = t.ppf(0.5 + 0.5 * level, np.where(freedom > 0, freedom, 1.0))
    half = np.where(freedom > 0, quantile, np.inf) * np.sqrt(variance)
    return Pooled(estimate, variance, within, between, freedom, missing, estimate - half, estimate + half)


def _numbers(values: Any, where: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    try:
        refuse_masked(values, where)
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, LatensError):
            raise
        what = f"{values!r:.100} holds no numbers, or rows of unequal length."
        raise UsageError(what, where=where, fix=_PLAIN) from None
    if shape is not None and found.shape != shape:
        raise UsageError(f"{values!r:.100} is not one number.", where=where, fix=_PLAIN)
    return found


_PLAIN = "Give plain numbers, for example np.asarray(values, float)."
