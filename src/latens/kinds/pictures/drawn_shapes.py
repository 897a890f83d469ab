"""Images of one shape on black whose factors are known: position, size, angle and form; drawn on the fly."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from latens.data.dataset import Dataset
from latens.data.row_fields import Raw
from latens.errors import UsageError

FACTORS = ("form", "colour", "size", "angle", "x", "y")
"""What varies, in the order of the columns."""

FORMS = ("square", "ellipse", "heart")

LEVELS = (3, 1, 6, 40, 32, 32)
"""How many values each factor takes: as many as in dSprites."""
TOTAL = math.prod(LEVELS)
"""737 280 pictures in all."""

RADIUS = 0.22
"""Of the picture's width: how far the largest shape reaches from its centre."""

SMALLEST = 0.5
"""The smallest size, as a share of the largest."""

KNOWN_ROWS, KNOWN_RESOLUTION, KNOWN_TURN = 10_000, 32, 0.25
"""What the data set called `shapes` holds."""

_FINE = 4
"""Points along each side of a pixel at which is asked whether they lie inside: 17 levels of grey at an edge."""

_GREY = np.round(np.linspace(0.0, 255.0, _FINE**2 + 1)).astype(np.uint8)

_HEART = 1.4244
"""How far the curve (u^2 + v^2 - 1)^3 = u^2 v^3 reaches from the origin."""

_POINTS = 2**22
"""Points asked at once, which bounds the memory."""


class Shapes(NamedTuple):
    """Images and the factors that they show."""

    x: np.ndarray  # pixels, uint8 of shape (n, resolution, resolution)
    factors: np.ndarray  # number of each factor's value, int64 of shape (n, 6), columns as in `FACTORS`
    # number of the combination, int64 of shape (n,), from which `factors_of` tells the factors again
    row_id: np.ndarray


def shapes(
    factors: Shaped[np.ndarray, "n 6"] | int, *, resolution: int = 64, turn: float = 1.0, seed: int = 0
) -> Shapes:
    """Draw squares, ellipses and hearts with known factors, like dSprites but when asked for and without steps."""
    # A pixel is the share of it that the shape covers (asked at 16 points). Sizes go evenly from 1/2 to 1, angles
    # evenly from 0 to below `turn` full turns, positions evenly over the places where the largest shape still fits.
    # The same factors give the same image, on any machine.
    # factors: whole numbers of shape (n, 6), columns as in `FACTORS`, or how many combinations to draw at random.
    # turn: 1 goes round as dSprites does, where a square looks the same four times; 0.25 shows every angle once.
    # Source: Matthey, Higgins, Hassabis & Lerchner (2017), "dSprites".
    drawn = isinstance(factors, int | np.integer)
    chosen = factors_of(np.random.default_rng(seed).choice(TOTAL, factors, replace=False)) if drawn else factors
    chosen = np.asarray(chosen, np.int64)
    if chosen.ndim != 2 or chosen.shape[1] != len(FACTORS) or ((chosen < 0) | (chosen >= LEVELS)).any():
        fix = f"Values go from 0 to below {dict(zip(FACTORS, LEVELS))}."
        raise UsageError("a factor has no such value.", where="factors", fix=fix)
    x = _GREY[_covered(chosen, resolution, turn)]
    return Shapes(x, chosen, np.asarray(np.ravel_multi_index(tuple(chosen.T), LEVELS), np.int64))


def factors_of(row_id: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, "n 6"]:
    """Tell the factors of images by the number of their combination: of the data set `shapes`, by its `names`.

    Args:
        row_id: Numbers of combinations, shape (n,).

    Returns:
        The factors, int64 of shape (n, 6).

    Examples:
        >>> factors_of(shapes(np.array([[2, 0, 3, 7, 31, 0]]), resolution=8).row_id)
        array([[ 2,  0,  3,  7, 31,  0]])
    """
    return np.stack(np.unravel_index(np.asarray(row_id), LEVELS), axis=1).astype(np.int64)


def known_shapes() -> Raw:
    """Draw the data set `shapes`: 10 000 different images of 32 x 32 pixels, 0 or 1; the form is the label."""
    # A pixel is 1 where more than half of it is covered, as dSprites has no grey either: log p(x) is then a
    # probability. Angles go over a quarter turn, so that every angle of every form looks different.
    found = shapes(KNOWN_ROWS + 200, resolution=KNOWN_RESOLUTION, turn=KNOWN_TURN, seed=0)
    lit = (found.x > 127).astype(np.uint8)
    # Without grey a few neighbours of 40 angles are the same picture; of those the first one stays.
    _, first = np.unique(np.packbits(lit.reshape(len(lit), -1), axis=1), axis=0, return_index=True)
    kept = np.sort(first)[:KNOWN_ROWS]
    return Raw(lit[kept], found.factors[kept, 0], names=found.row_id[kept], classes=FORMS)


def known_factors(data: Dataset) -> Shaped[np.ndarray, "n 6"] | None:
    """Tell the factors of the rows of the data set `shapes`.

    Args:
        data: The data set, or rows of it.

    Returns:
        The number of each factor's level, from 0, in the order of `FACTORS`. None: the rows are of other data.
    """
    if data.name != "shapes" or data.label is None or data.names.dtype.kind != "i":
        return None
    if data.names.min() < 0 or data.names.max() >= TOTAL:
        return None
    factors = factors_of(data.names)
    return factors if np.array_equal(factors[:, 0], data.label) else None  # else a file of the same name


def _even(index: np.ndarray, count: int, low: float, high: float) -> np.ndarray:
    return low + (high - low) * (index / (count - 1))


def _covered(factors: np.ndarray, resolution: int, turn: float) -> np.ndarray:
    """How many of a pixel's 16 points lie inside the shape, uint8 (n, resolution, resolution)."""
    radius = RADIUS * _even(factors[:, 2], LEVELS[2], SMALLEST, 1.0)
    angle = 2.0 * math.pi * turn * factors[:, 3] / LEVELS[3]
    centre = [_even(factors[:, column], LEVELS[column], RADIUS, 1.0 - RADIUS) for column in (4, 5)]
    # Only a window around the shape is looked at: a fifth of the picture.
    side = min(resolution, math.ceil(2.0 * RADIUS * resolution) + 2)
    corner = [np.clip(np.floor((at - RADIUS) * resolution).astype(int), 0, resolution - side) for at in centre]
    fine = (np.arange(side * _FINE) + 0.5) / _FINE
    out = np.zeros((len(factors), resolution, resolution), np.uint8)
    step = max(1, _POINTS // len(fine) ** 2)
    for start in range(0, len(factors), step):
        rows = slice(start, start + step)
        across, down = (
            (((c[rows, None] + fine) / resolution - at[rows, None]) / radius[rows, None]).astype(np.float32)
            for c, at in zip(corner, centre)
        )
        cos, sin = (f(angle[rows]).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
        u = across[:, None, :] * cos + down[:, :, None] * sin
        v = down[:, :, None] * cos - across[:, None, :] * sin
        inside = np.empty(u.shape, bool)
        for form in range(len(FORMS)):
            of = factors[rows, 0] == form
            inside[of] = _inside(form, u[of], v[of])
        parts = inside.reshape(len(inside), side, _FINE, side, _FINE).sum((2, 4), dtype=np.uint8)
        for i, part in enumerate(parts, start):
            x, y = corner[0][i], corner[1][i]
            out[i, y : y + side, x : x + side] = part
    return out


def _inside(form: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points lie in a shape that reaches to distance 1; v points down, as rows of a picture do."""
    if form == 0:
        return np.maximum(np.abs(u), np.abs(v)) <= np.float32(math.sqrt(0.5))
    if form == 1:
        return u * u + np.float32(4.0) * v * v <= 1.0
    u, v = np.float32(_HEART) * u, np.float32(-_HEART) * v
    return (u * u + v * v - 1.0) ** 3 <= u * u * v**3
