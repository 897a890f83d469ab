"""Images of one shape on black whose factors are known: position, size, angle, form, colour; drawn on the fly."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from latens.data.dataset import Dataset
from latens.data.raw import Raw
from latens.errors import UsageError

FACTORS = ("form", "colour", "size", "angle", "x", "y")
"""What varies, in the order of the columns."""

FORMS = ("square", "ellipse", "heart")

LEVELS: Mapping[str, int] = {"form": 3, "colour": 1, "size": 6, "angle": 40, "x": 32, "y": 32}
"""How many values each factor takes unless told otherwise: as many as in dSprites, 737 280 pictures in all."""

COLOURS = ((1.0, 0.25, 0.25), (0.3, 0.9, 0.35), (0.35, 0.5, 1.0), (1.0, 0.85, 0.2), (0.9, 0.4, 0.95), (0.3, 0.9, 0.95))
"""Six colours (red, green, blue, yellow, magenta, cyan) as shares of full light."""

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

    x: np.ndarray  # pixels, uint8 of shape (n, resolution, resolution), with colours (n, resolution, resolution, 3)
    factors: np.ndarray  # number of each factor's value, int64 of shape (n, 6), columns as in `FACTORS`
    # number of the combination, int64 of shape (n,), from which `factors_of` tells the factors again
    row_id: np.ndarray


def shapes(
    factors: np.ndarray | int,
    *,
    resolution: int = 64,
    colours: Sequence[tuple[float, float, float]] | None = None,
    levels: Mapping[str, int] | None = None,
    turn: float = 1.0,
    seed: int | None = None,
) -> Shapes:
    """Draw squares, ellipses and hearts with known factors, like dSprites but when asked for and without steps.

    A pixel is the share of it that the shape covers (asked at 16 points), times the colour. Sizes go evenly from 1/2
    to 1, angles evenly from 0 to below `turn` full turns, positions evenly over the places where the largest shape
    still fits; a factor of one value has the middle one. The same factors give the same image, on any machine.

    Args:
        factors: Whole numbers of shape (n, 6), columns as in `FACTORS`, or how many different combinations to draw at
            random (with a `seed`).
        resolution: Height and width in pixels, 4 or more.
        colours: Shares of red, green and blue in [0, 1]; None draws white on black without a third axis.
        levels: How many values factors take, where not as in `LEVELS`.
        turn: 1 goes round as dSprites does, where a square looks the same four times and an ellipse twice; 0.25 shows
            every angle once.
        seed: Seed of random combinations.

    Returns:
        The images with their factors.

    Raises:
        UsageError: For factors or options out of range.

    Examples:
        >>> shapes(np.array([[0, 0, 5, 0, 0, 0]]), resolution=9, levels={"x": 1, "y": 1}).x[0, 4]
        array([  0,   0,   0, 255, 255, 255,   0,   0,   0], dtype=uint8)

    Source: Matthey, Higgins, Hassabis & Lerchner (2017), "dSprites".
    """
    counts = level_counts(levels, colours)
    if resolution < 4:
        raise UsageError(f"resolution must be 4 or more, not {resolution}.", where="resolution", fix="Use 4 or more.")
    if not 0.0 < turn <= 1.0:
        fix = "Use a number above 0, at most 1."
        raise UsageError(f"turn must be above 0 and at most 1, not {turn:g}.", where="turn", fix=fix)
    for colour in colours or ():
        if len(colour) != 3 or not all(0.0 <= part <= 1.0 for part in colour):
            raise UsageError(f"{colour} is not a colour.", where="colours", fix="Give three numbers from 0 to 1 each.")
    chosen = _drawn(factors, counts, seed) if isinstance(factors, int | np.integer) else np.asarray(factors)
    if chosen.ndim != 2 or chosen.shape[1] != len(FACTORS) or chosen.dtype.kind not in "iu":
        fix = f"Give whole numbers of shape (n, {len(FACTORS)}): {', '.join(FACTORS)}."
        raise UsageError(f"factors {chosen.dtype} of shape {chosen.shape}.", where="factors", fix=fix)
    chosen = chosen.astype(np.int64)
    if chosen.size and (chosen.min() < 0 or (chosen >= counts).any()):
        fix = f"Values go from 0 to below {dict(zip(FACTORS, counts.tolist()))}."
        raise UsageError("a factor has no such value.", where="factors", fix=fix)
    x = _covered(chosen, counts, resolution, turn)
    if colours is None:
        x = _GREY[x]
    else:
        # By colour and channel, so that nothing larger than the pictures is ever held.
        light, points = np.asarray(colours, np.float32), x
        x = np.empty((*points.shape, 3), np.uint8)
        for colour, channel in np.ndindex(*light.shape):
            of = chosen[:, 1] == colour
            x[of, ..., channel] = np.round(light[colour, channel] * _GREY).astype(np.uint8)[points[of]]
    return Shapes(x, chosen, np.asarray(np.ravel_multi_index(tuple(chosen.T), tuple(counts)), np.int64))


def level_counts(
    levels: Mapping[str, int] | None = None, colours: Sequence[tuple[float, float, float]] | None = None
) -> Shaped[np.ndarray, "6"]:
    """Count the values that each factor takes."""
    counts = {**LEVELS, "colour": len(colours) if colours else 1, **(levels or {})}
    most = {"form": len(FORMS), "colour": len(colours) if colours else 1}
    for name, count in counts.items():
        if name not in FACTORS or not 1 <= count <= most.get(name, 2**16):
            where, fix = f"levels.{name}", f"{', '.join(FACTORS)} take 1 or more values, forms at most {len(FORMS)}."
            raise UsageError(f"{count} values of {name!r}.", where=where, fix=fix)
    return np.array([counts[name] for name in FACTORS], np.int64)


def factors_of(
    row_id: Shaped[np.ndarray, " n"],
    *,
    colours: Sequence[tuple[float, float, float]] | None = None,
    levels: Mapping[str, int] | None = None,
) -> Shaped[np.ndarray, "n 6"]:
    """Tell the factors of images by the number of their combination: of the data set `shapes`, by its `names`.

    Args:
        row_id: Numbers of combinations, shape (n,).
        colours: The colours that the images were drawn with.
        levels: The levels that the images were drawn with.

    Returns:
        The factors, int64 of shape (n, 6).

    Raises:
        UsageError: For a number beyond the combinations.

    Examples:
        >>> factors_of(shapes(np.array([[2, 0, 3, 7, 31, 0]]), resolution=8).row_id)
        array([[ 2,  0,  3,  7, 31,  0]])
    """
    ids, counts = np.asarray(row_id), level_counts(levels, colours)
    if ids.dtype.kind not in "iu" or (ids.size and (ids.min() < 0 or ids.max() >= counts.prod())):
        fix = "Give the levels and colours they were drawn with."
        raise UsageError(f"numbers of combinations go from 0 to {counts.prod() - 1}.", where="row_id", fix=fix)
    return np.stack(np.unravel_index(ids, tuple(counts)), axis=1).astype(np.int64)


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
    """Tell the factors of the rows of the data set `shapes`."""
    if data.name != "shapes" or data.label is None or data.names.dtype.kind != "i":
        return None
    if data.names.min() < 0 or data.names.max() >= level_counts().prod():
        return None
    factors = factors_of(data.names)
    return factors if np.array_equal(factors[:, 0], data.label) else None  # else a file of the same name


def _drawn(n: int, counts: np.ndarray, seed: int | None) -> np.ndarray:
    total = int(counts.prod())
    if seed is None:
        raise UsageError("factors drawn at random need a seed.", where="seed", fix="Give seed=0, say.")
    if not 1 <= n <= total:
        fix = f"Ask for 1 to {total}."
        raise UsageError(f"there are {total} different pictures, and {n} were asked for.", where="factors", fix=fix)
    ids = np.random.default_rng(seed).choice(total, n, replace=False, shuffle=True)
    return np.stack(np.unravel_index(ids, tuple(counts)), axis=1)


def _even(index: np.ndarray, count: int, low: float, high: float) -> np.ndarray:
    return low + (high - low) * (index / (count - 1) if count > 1 else np.full(index.shape, 0.5))


def _covered(factors: np.ndarray, counts: np.ndarray, resolution: int, turn: float) -> np.ndarray:
    """How many of a pixel's 16 points lie inside the shape, uint8 (n, resolution, resolution)."""
    radius = RADIUS * _even(factors[:, 2], int(counts[2]), SMALLEST, 1.0)
    angle = 2.0 * math.pi * turn * factors[:, 3] / counts[3]
    centre = [_even(factors[:, column], int(counts[column]), RADIUS, 1.0 - RADIUS) for column in (4, 5)]
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
