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
ALIKE, NEARLY, APART, FLAT = 0.99, 0.95, 20.0, 6.0
"""Least correlation of the small pictures and of the whole ones, the levels by which pixels may differ in the mean
square, and those that a picture must vary by to be told from another."""


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


def pairs_in_words(pairs: Sequence[tuple[int, int]], names: Any, most: int = 5) -> str:
    """The first few pairs by name: b.jpg (of a.jpg), d.jpg (of c.jpg), ..."""
    said = ", ".join(f"{names[row]} (of {names[first]})" for row, first in pairs[:most])
    return f"{said}, ..." if len(pairs) > most else said


def _small(x: Shaped[np.ndarray, "n h w *c"]) -> Float[np.ndarray, "n pixels"]:
    """Grey pictures of a few pixels, each the mean of those that it stands for."""
    rows, columns = (np.linspace(0, size, SIDE + 1).astype(int)[:-1] for size in x.shape[1:3])
    made = []
    for start in range(0, len(x), BLOCK):
        grey = x[start : start + BLOCK].astype(np.float32)
        grey = grey if grey.ndim == 3 else grey.mean(axis=3)
        sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=1), columns, axis=2)
        heights, widths = (np.diff([*at, size]) for at, size in zip((rows, columns), x.shape[1:3]))
        made.append((sums / (heights[:, None] * widths)).reshape(len(grey), -1))
    return np.concatenate(made)


def _centred(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    return x - x.mean(axis=1, keepdims=True)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures are one that was saved twice: in all their pixels alike, and of the same colours."""
    both = np.stack([one, other]).astype(np.float64).reshape(2, -1)
    away = np.sqrt(np.mean(np.square(both[0] - both[1])))
    first, second = _centred(both)
    return bool(away < APART and first @ second > NEARLY * np.sqrt(first @ first * (second @ second)))
