"""Rows that are copies of others, bit by bit, and pictures that look like others: saved again, or in another size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from latens.data.batches import hash_rows
from latens.data.sparse import SparseRows

HASHED = 2**20
"""Numbers that are hashed at a time."""
SIDE, BLOCK = 16, 2048
"""Pixels along a side on which pictures are compared first, and pictures that are compared with all at a time."""
LEAST_SIDE, MOST_PICTURES = 32, 20_000
"""Pictures that are smaller, or more, are not compared."""
LINES = 20
"""Pairs of pictures that are said, each on a line."""
LUMA = (0.299, 0.587, 0.114)
"""The shares of red, green and blue in a grey pixel (ITU-R BT.601), as picture programs take them."""
ALIKE, NEARLY, APART, FLAT = 0.99, 0.95, 20.0, 6.0
"""Least correlation of the small pictures and of the whole ones, the levels by which pixels may differ in the mean
square, and those that a picture must vary by to be told from another."""
COLOURLESS, IN_GREY = 2.0, 0.98
"""Levels by which the colours of a black-and-white picture may differ in the mean, as JPEG leaves them, and the least
correlation with the greys of one in colour: more than of two in colour, since colours cannot tell them apart."""


def copies_of(x: Any) -> list[tuple[int, int]]:
    """Find the rows that are exact copies of an earlier row, each with the first such row."""
    step = max(1, HASHED // max(1, x.shape[1])) if isinstance(x, SparseRows) else max(len(x), 1)
    ids = np.concatenate([hash_rows(x[start : start + step]) for start in range(0, len(x), step)])
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    # Equal ids are only candidates (32 bits collide); the bytes decide.
    first: dict[bytes, int] = {}
    found = []
    for row in np.unique(np.concatenate([order[again], order[again + 1]])).tolist():
        if (one := first.setdefault(x[row].tobytes(), row)) != row:
            found.append((row, one))
    return found


def lookalikes(x: Shaped[np.ndarray, "n h w *c"]) -> list[tuple[int, int]]:
    """Find the pictures of 256 levels that look like an earlier one, each with the first such picture."""
    if min(x.shape[1:3]) < LEAST_SIDE or not 1 < len(x) <= MOST_PICTURES:
        return []
    small = _centred(_small(x))
    sizes = np.sqrt(np.mean(np.square(small), axis=1))
    small /= np.maximum(sizes, 1e-6)[:, None] * np.sqrt(small.shape[1])
    found: list[tuple[int, int]] = []
    for start in range(0, len(x), BLOCK):
        close = small[start : start + BLOCK] @ small[: start + BLOCK].T > ALIKE
        for row, other in np.argwhere(close).tolist():
            row += start
            vary = min(sizes[row], sizes[other]) > FLAT
            if other < row and (not found or found[-1][0] != row) and vary and _same(x[row], x[other]):
                found.append((row, other))
    return found


def likeness(one: Shaped[np.ndarray, "h w *c"], other: Shaped[np.ndarray, "h w *c"]) -> float:
    """The correlation of the greys of two pictures."""
    greys = (x.astype(np.float64) if x.ndim == 2 else _grey(x.astype(np.float64)) for x in (one, other))
    first, second = (_centred(x.reshape(1, -1))[0] for x in greys)
    return float(first @ second / max(np.sqrt(first @ first * (second @ second)), 1e-30))


def pairs_in_words(pairs: Sequence[tuple[int, int]], names: Any, most: int = 5, *, lines: bool = False) -> str:
    """What follows a colon: the first few pairs by name, b.jpg (of a.jpg), and how many there are more."""
    # lines: each on a line of its own, where there are several.
    apart = "\n  " if lines and len(pairs) > 1 else " "
    said = (apart if apart != " " else ", ").join(f"{names[row]} (of {names[first]})" for row, first in pairs[:most])
    more = f"{apart}and {len(pairs) - most} more (latens check DATA --out FILE.csv lists all)"
    return f"{apart}{said}{more if len(pairs) > most else ''}"


def _small(x: Shaped[np.ndarray, "n h w *c"]) -> Float[np.ndarray, "n pixels"]:
    """Grey pictures of a few pixels, each the mean of those that it stands for."""
    rows, columns = (np.linspace(0, size, SIDE + 1).astype(int)[:-1] for size in x.shape[1:3])
    made = []
    for start in range(0, len(x), BLOCK):
        grey = x[start : start + BLOCK].astype(np.float32)
        grey = grey if grey.ndim == 3 else _grey(grey)
        sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=1), columns, axis=2)
        heights, widths = (np.diff([*at, size]) for at, size in zip((rows, columns), x.shape[1:3]))
        made.append((sums / (heights[:, None] * widths)).reshape(len(grey), -1))
    return np.concatenate(made)


def _centred(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    return x - x.mean(axis=1, keepdims=True)


def _grey(x: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w"]:
    """How bright pictures are: black-and-white copies of colours have the same."""
    return x @ np.asarray(LUMA, x.dtype) if x.shape[-1] == 3 else x.mean(axis=-1)


def _colourless(x: np.ndarray) -> bool:
    """Whether a picture that could have colours has none."""
    return bool(np.mean(np.abs(x - x.mean(axis=-1, keepdims=True))) < COLOURLESS)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures are one that was saved twice: in all their pixels alike, and of the same colours or none."""
    both, least = np.stack([one, other]).astype(np.float64), NEARLY
    if both.ndim == 4 and _colourless(both[0]) != _colourless(both[1]):
        both, least = _grey(both), IN_GREY
    both = both.reshape(2, -1)
    away = np.sqrt(np.mean(np.square(both[0] - both[1])))
    first, second = _centred(both)
    return bool(away < APART and first @ second > least * np.sqrt(first @ first * (second @ second)))
