"""What a model leaves at the edge of a gap, carried on into it: the smoothest field that agrees with what is seen."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse.linalg import splu

LEAST = 1e-6
"""The pull towards zero of a field that fills from the edge alone: beside no seen pixel it is zero."""


class Carry(NamedTuple):
    """Residuals of neighbouring pixels as a smooth field and noise."""

    # $r = u + e$ with $p(u) \propto e^{-u^T (L + k I) u / 2}$: L is the Laplacian of the grid of pixels, so that
    # $u^T L u$ is the sum of squared differences of neighbours.

    pull: float  # k, towards zero; its length is $1 / \sqrt{k}$ pixels
    noise: float = 0.0  # the variance of e: what a pixel does not share with its neighbours


CARRIES = tuple(Carry(pull, noise) for noise in (0.0, 1.0, 10.0) for pull in (LEAST, 1e-3, 1e-2, 1e-1))
"""Those that are tried: of long and of short reach, of no noise and of much."""


class Field:
    """The field of a carry in pictures of which the same pixels are seen."""

    # $E[u \mid r_{seen}] = (L + k I + S)^{-1} S\,r$ with S the precision of e where a pixel is seen. Without noise u is
    # r where it is seen, and elsewhere the solution of $(L + k I)\,u = 0$ beside it: at k = 0 the harmonic one.
    # seen: true where a pixel is seen, shape (h, w).
    # Source: Gaussian Markov random fields: Rue & Held (2005), chapter 2.

    def __init__(self, seen: Bool[np.ndarray, "h w"], carry: Carry) -> None:
        height, width = seen.shape
        self.shape, self.seen, self.carry = seen.shape, seen.reshape(-1), carry
        slopes = sparse.vstack(
            [
                sparse.kron(_differences(height), sparse.identity(width)),
                sparse.kron(sparse.identity(height), _differences(width)),
                np.sqrt(carry.pull) * sparse.identity(height * width),
            ]
        )
        free = np.ones(seen.size, bool) if carry.noise else ~self.seen
        self.slopes = slopes.tocsc()[:, free]  # u^T (L + k I) u is the square of these
        self.precision = self.seen[free] / carry.noise if carry.noise else np.zeros(free.sum())
        self.beside = None if carry.noise else (self.slopes.T @ slopes.tocsc()[:, self.seen]).tocsr()
        self.free = free
        inner = (self.slopes.T @ self.slopes + sparse.diags(self.precision)).tocsc()
        self.solver = splu(inner, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}) if free.any() else None

    def mean(self, residual: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n h w"]:
        """The field given residuals where they are seen; where they are hidden they are not looked at."""
        flat = np.where(self.seen, residual.reshape(len(residual), -1), 0.0).astype(np.float64).T
        found = flat.copy()
        if self.solver is not None:
            right = self.precision[:, None] * flat if self.beside is None else -(self.beside @ flat[self.seen])
            found[self.free] = self.solver.solve(np.ascontiguousarray(right))
        return found.T.reshape(residual.shape)

    def draws(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n h w"]:
        """Draws of what is not known of r where it is hidden, and zero where it is seen."""
        found = np.zeros((self.seen.size, count))
        if self.solver is not None:
            right = self.slopes.T @ rng.standard_normal((self.slopes.shape[0], count))
            right += np.sqrt(self.precision)[:, None] * rng.standard_normal((len(self.precision), count))
            found[self.free] = self.solver.solve(np.ascontiguousarray(right))
            found += np.sqrt(self.carry.noise) * rng.standard_normal(found.shape)
        found[self.seen] = 0.0
        return found.T.reshape(count, *self.shape)


def carried(
    residual: Float[np.ndarray, "n h w c"], seen: Bool[np.ndarray, "n h w c"], carry: Carry | None
) -> Float[np.ndarray, "n h w c"]:
    """The field of each channel of each picture; without a carry zero."""
    found = np.zeros(residual.shape)
    for field, rows, channel in fields(seen, carry):
        found[rows, ..., channel] = field.mean(residual[rows, ..., channel])
    return found


def fields(seen: Bool[np.ndarray, "n h w c"], carry: Carry | None) -> list[tuple[Field, np.ndarray, int]]:
    """One field for each mask that channels of pictures have, with the rows that have it and the channel."""
    found: list[tuple[Field, np.ndarray, int]] = []
    if carry is None:
        return found
    made: dict[bytes, Field] = {}
    for channel in range(seen.shape[-1]):
        groups: dict[bytes, list[int]] = {}
        for row, mask in enumerate(seen[..., channel]):
            groups.setdefault(mask.tobytes(), []).append(row)
        for name, rows in groups.items():
            if name not in made:
                made[name] = Field(seen[rows[0], ..., channel], carry)
            found.append((made[name], np.array(rows), channel))
    return found


def noise_of(
    seen: Bool[np.ndarray, "n h w c"], carry: Carry, root: Float[np.ndarray, "c c"], count: int,
    seeds: list[list[int]],
) -> Float[np.ndarray, "n m h w c"]:  # fmt: skip
    """Draws of what a carry leaves open, M of each picture, mixed among channels by a root of their covariance."""
    found = np.zeros((len(seen), count, *seen.shape[1:]))
    for field, rows, channel in fields(seen, carry):
        for row in rows:
            rng = np.random.default_rng([*seeds[row], channel])
            found[row, ..., channel] = field.draws(rng, count)
    return found @ root.T


def filled_from_edge(
    x: Float[np.ndarray, "n h w c"], seen: Bool[np.ndarray, "n h w c"]
) -> Float[np.ndarray, "n h w c"]:
    """Fill each channel by the smoothest surface from the edge of the gap; of one row it is a straight line."""
    count = np.maximum(seen.sum(axis=(1, 2), keepdims=True), 1)
    middle = np.where(seen, x, 0.0).sum(axis=(1, 2), keepdims=True) / count
    return np.where(seen, x, middle + carried(x - middle, seen, Carry(LEAST)))


def _differences(size: int) -> sparse.spmatrix:
    """Differences of neighbours along an axis."""
    return sparse.eye(size - 1, size, k=1) - sparse.eye(size - 1, size)
