"""How far a code moves before the picture that it decodes to, or its class, is another."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from latens.data import Dataset
from latens.evidence.batched import ModelRows
from latens.latents.codes import decode, encode
from latens.trained.sample_sets import some
from latens.trained.trained_model import TrainedModel

MOST = 6.0
"""The farthest that a code is moved: as wide as nearly all of a standard Normal."""

_STEPS, _DIRECTIONS, _ROWS, _CENTRES = 24, 8, 50, 1000


class Reach(NamedTuple):
    """Distances in z, shape (rows, directions), infinite beyond `MOST`; `label` is None without classes."""

    picture: np.ndarray
    label: np.ndarray | None


def reach(
    pictured: Callable[[np.ndarray], np.ndarray],
    codes: np.ndarray,
    labels: np.ndarray | None,
    directions: np.ndarray,
    *,
    rows: int = _ROWS,
    steps: int = _STEPS,
) -> Reach:
    """Move the first codes along unit vectors, up to the first change of what they decode to."""
    # A picture is another once it is half as far from its start as two rows' pictures typically are; its class is that
    # of the nearest mean of the pictures of a class.
    start = pictured(codes)
    pairs = np.sqrt(((start[:rows, None] - start[None, :rows]) ** 2).sum(-1))
    # Above 0, so that a decoder whose picture never changes has no reach that ends.
    half = max(0.5 * float(np.median(pairs[np.triu_indices(len(pairs), 1)])), np.finfo(float).tiny)
    known = np.zeros(0) if labels is None else np.unique(labels[labels >= 0])
    centres = None
    if labels is not None and len(known) > 1:
        centres = np.stack([start[labels == one].mean(0) for one in known])
    own = None if centres is None else _squares(start[:rows], centres).argmin(1)
    at = MOST * np.linspace(0.0, 1.0, steps + 1) ** 2  # finer where most changes are
    picture, other = [], []
    for distance in at:
        moved = codes[:rows, None] + distance * directions
        now = pictured(moved.reshape(-1, codes.shape[1])).reshape(len(moved), len(directions), -1)
        picture.append(np.sqrt(((now - start[:rows, None]) ** 2).sum(-1)) - half)
        if centres is not None and own is not None:
            squares = _squares(now.reshape(-1, now.shape[-1]), centres).reshape(*now.shape[:2], -1)
            mine = np.take_along_axis(squares, own[:, None, None], axis=2)
            rest = np.where(np.arange(len(centres)) == own[:, None, None], np.inf, squares)
            other.append(mine[..., 0] - rest.min(-1))
    return Reach(_first(np.stack(picture), at), _first(np.stack(other), at) if other else None)


def _squares(pictures: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.stack([((pictures - one) ** 2).sum(-1) for one in centres], axis=-1)


def _first(level: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Where a level first reaches 0, on a straight line between two steps; infinite where it does not."""
    after = np.argmax(level[1:] >= 0.0, axis=0)  # the step before the change
    low, high = (np.take_along_axis(level, (after + more)[None], axis=0)[0] for more in (0, 1))
    share = -low / np.where(high > low, high - low, 1.0)
    return np.where(
        (level[1:] >= 0.0).any(0), at[after] + (at[after + 1] - at[after]) * np.clip(share, 0.0, 1.0), np.inf
    )


def reach_of(trained: TrainedModel, data: Dataset, positions: np.ndarray, seed: int) -> Reach:
    """The reach of some of the rows at `positions`, at their posterior means, in directions drawn at random."""
    chosen = some(positions, _CENTRES, seed)
    key, model = jax.random.key(seed), trained.model
    codes = encode(ModelRows(model, trained.batch(data, chosen), key, trained.preparation))["mean"]
    size = int(np.prod(codes.shape[1:]))
    directions = np.random.default_rng(seed).normal(size=(_DIRECTIONS, size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def pictured(z: np.ndarray) -> np.ndarray:
        pictures = decode(model, z.reshape(len(z), *codes.shape[1:]).astype(np.float32))
        return np.asarray(pictures, np.float64).reshape(len(z), -1)

    labels = None if data.label is None else data.label[chosen]
    flat = codes.reshape(len(codes), -1).astype(np.float64)
    first = np.random.default_rng(seed).permutation(len(flat))  # of all classes, where rows are in their order
    return reach(pictured, flat[first], None if labels is None else labels[first], directions)
