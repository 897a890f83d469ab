"""Factors and constants of few digits, by which a column follows others in nearly all rows."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

ALMOST, SEEN = 0.9, 5
"""The share of the rows with all columns in which numbers must agree, and the rows that must be left of these."""
MOST_SCALED, MOST_DIGITS = 20_000, 6
"""Rows that say a factor, and the digits that it has at the most."""
TURNS, NEAR = 6, 3.0
"""How often a plane is laid through the rows that are nearest to it, and how many of their usual distances away these
lie at the most."""
ALIKE, WIDE = 0.995, 0.3
"""The correlation of two columns beyond which they are one; and how far from a plane half of the rows lie, beside how
far from their median, where it is looked at no further."""
HAIR = 1e-9
"""How far a factor is moved from the end of its range, as part of itself."""
SHARE = 2.0
"""How many roundings of the target a term makes up in its usual spread, at the least."""


def short_factor(y: Float[np.ndarray, " n"], base: Float[np.ndarray, " n"], within: float) -> float:
    """The factor with the fewest digits, or divided by, with which most rows agree; 0 where it must have many."""
    some = np.flatnonzero(np.isfinite(y) & (np.abs(base) > 0))[:MOST_SCALED]
    low, high = ((y[some] + side * within) / np.abs(base[some]) * np.sign(base[some]) for side in (-1, 1))
    low, high = np.minimum(low, high), np.maximum(low, high)
    ends = np.concatenate([low, high])
    order = np.argsort(ends, kind="stable")
    depth = np.cumsum(np.where(order < len(low), 1, -1))
    at = int(depth.argmax())
    if at + 1 >= len(order) or depth[at] < ALMOST * len(some):
        return 0.0
    least, most = ends[order[at]], ends[order[at + 1]]
    for digits in range(1, MOST_DIGITS + 1):
        middle = 0.5 * (least + most)
        for found in (float(f"{middle:.{digits}g}"), 1.0 / float(f"{1.0 / middle:.{digits}g}")):
            if least <= found <= most:
                return _inside(found, float(least), float(most))
    return 0.0


def _inside(factor: float, least: float, most: float) -> float:
    """The factor, a hair from the end of its range on which it lies: halves are rounded as the rows have them."""
    # 4.5 bar are 65.25 psi at 14.5 a bar. Where the rows have 65.3 for it, that is where 14.5 and a hair is.
    hair = HAIR * abs(factor)
    if factor.is_integer() or most - least <= 4.0 * hair:
        return factor
    return float(min(max(factor, least + hair), most - hair))


def straight(y: Float[np.ndarray, " n"], base: Float[np.ndarray, " n"]) -> Iterator[tuple[float, float]]:
    """The slopes and constants, in ever more digits, of the line through most of the rows; none through nothing."""
    seen = np.isfinite(y) & np.isfinite(base)
    y, base = y[seen], base[seen]
    if len(np.unique(base)) < SEEN or len(np.unique(y)) < SEEN:
        return
    # Half of the rows beside the other half, in the order of the base: the median slope, which few mistakes move.
    order = np.argsort(base, kind="stable")
    low, high = order[: len(order) // 2], order[-(len(order) // 2) :]
    far = base[high] > base[low]
    if not far.any():
        return
    slope = float(np.median((y[high] - y[low])[far] / (base[high] - base[low])[far]))
    left = np.abs(y - slope * base - np.median(y - slope * base))
    near = left <= 2.0 * np.median(left) + 1e-12
    if slope == 0 or len(np.unique(base[near])) < 2:
        return
    slope = float(np.polyfit(base[near], y[near], 1)[0])
    size = 10.0 ** np.floor(np.log10(abs(slope)))
    for digits in range(4):
        factor = float(f"{round(slope / size, digits) * size:.12g}")
        own = float(np.median(y - factor * base))
        for bound in (own, -factor * float(np.round(-own / factor, 2)) if factor else own):
            short = float(f"{bound:.{max(1, 1 + int(np.log10(max(abs(bound), 1e-9)) + 3))}g}")
            if factor and abs(short) > 1e-9 * np.abs(y).max():
                yield factor, short


def plane(
    y: Float[np.ndarray, " n"], bases: Float[np.ndarray, "n k"], within: float
) -> tuple[tuple[float, ...], float] | None:
    """The factors of some columns and a constant, of few digits, of the plane in which most rows lie; None without."""
    seen = np.isfinite(y) & np.isfinite(bases).all(axis=1)
    y, bases = y[seen], bases[seen]
    if len(y) < 10 * SEEN or not (bases.std(axis=0) > 0).all():
        return None
    if np.abs(np.triu(np.corrcoef(bases.T), 1)).max() > ALIKE:
        return None
    middle, spread = np.median(bases, axis=0), bases.std(axis=0)
    design = np.column_stack([(bases - middle) / spread, np.ones(len(y))])
    near, found, left = np.ones(len(y), bool), np.zeros(design.shape[1]), np.zeros(len(y))
    for _ in range(TURNS):  # mistakes lie far off, and leave one after the other
        found, *_ = np.linalg.lstsq(design[near], y[near], rcond=1e-6)
        left = np.abs(y - design @ found)
        if np.median(left) > WIDE * np.median(np.abs(y - np.median(y))):
            return None
        near = left <= NEAR * np.median(left) + 1e-12
        if near.sum() < 5 * SEEN:
            return None
    if np.median(left) > within or (np.abs(found[:-1]) < SHARE * within).any():
        return None
    exact = found[:-1] / spread
    for digits in range(1, MOST_DIGITS):
        factors = tuple(float(f"{factor:.{digits}g}") for factor in exact)
        constant = shortest(y - bases @ factors, within)
        if np.mean(np.abs(y - bases @ factors - constant) <= within + 1e-9 * np.abs(y)) >= np.mean(left <= within):
            return factors, constant
    return None


def shortest(rest: Float[np.ndarray, " n"], within: float) -> float:
    """The number of fewest digits that as many lie near by as by their median."""
    rest = rest[np.isfinite(rest)]
    middle = float(np.median(rest))
    near = lambda one: np.count_nonzero(np.abs(rest - one) <= within * (1.0 + 1e-6))  # noqa: E731
    short = (float(f"{middle:.{digits}g}") for digits in range(1, MOST_DIGITS))
    if near(0.0) >= near(middle):
        return 0.0
    return next((one for one in short if near(one) >= near(middle)), middle)
