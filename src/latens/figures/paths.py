"""Paths through a latent space, and pictures of it rotated so that they fit: arrays in, arrays out."""

from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import numbers

PathKind = Literal["linear", "spherical"]


def _ends(start: ArrayLike, end: ArrayLike, num: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = numbers(start, "start", ndim=1).astype(float), numbers(end, "end", ndim=1).astype(float)
    if a.shape != b.shape:
        raise DataError(f"from {len(a)} units to {len(b)}.", where="end", fix="Give two points of one latent space.")
    if num < 2:
        raise DataError(f"num must be 2 or more, not {num}.", where="num", fix="Ask for 2 or more.")
    return a, b


def linear_path(start: ArrayLike, end: ArrayLike, num: int) -> Shaped[np.ndarray, "num n"]:
    """Make a straight path between two points; both ends exactly."""
    # $z_t = (1 - t) z_0 + t z_1$ at even t from 0 to 1.
    a, b = _ends(start, end, num)
    t = np.linspace(0.0, 1.0, num)[:, None]
    return np.where(t < 1.0, (1.0 - t) * a + t * b, b)


def spherical_path(start: ArrayLike, end: ArrayLike, num: int) -> Shaped[np.ndarray, "num n"]:
    r"""Make a path between two points along an arc."""
    # $z_t = r_t \frac{\sin((1-t)\omega)\, u_0 + \sin(t\omega)\, u_1}{\sin\omega}$ with unit vectors $u_0, u_1$ at the
    # angle $\omega$, and lengths $r_t = (1 - t)|z_0| + t|z_1|$.
    # It keeps to the lengths that a Normal prior gives in many dimensions, where a straight line passes close to 0.
    # Straight where an end is 0 or both point the same way; opposite ends have no one shortest arc, and the one through
    # the dimension that the start uses least is taken.
    # Source: White, Sampling generative networks, 2016.
    a, b = _ends(start, end, num)
    long, short = np.linalg.norm(a), np.linalg.norm(b)
    if long == 0 or short == 0:
        return linear_path(a, b, num)
    u, v = a / long, b / short
    t = np.linspace(0.0, 1.0, num)[:, None]
    # Of nearly parallel vectors the cosine has lost its digits; the two distances have not.
    omega = 2.0 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    if omega < 1e-8:
        return linear_path(a, b, num)
    if np.pi - omega < 1e-8:
        side = np.zeros_like(u)
        side[int(np.argmin(np.abs(u)))] = 1.0
        side -= (side @ u) * u
        norm = np.linalg.norm(side)
        if norm < 1e-8:  # one unit alone has no way around
            return linear_path(a, b, num)
        directions = np.cos(t * np.pi) * u + np.sin(t * np.pi) * side / norm
    else:
        directions = (np.sin((1.0 - t) * omega) * u + np.sin(t * omega) * v) / np.sin(omega)
    path = ((1.0 - t) * long + t * short) * directions
    path[0], path[-1] = a, b
    return path


def path_between(points: ArrayLike, num: int, kind: PathKind, *, closed: bool = False) -> Shaped[np.ndarray, "steps n"]:
    """Make a path through all points in order; every stop once."""
    stops = numbers(points, "points", ndim=2).astype(float)
    if len(stops) < 2:
        raise DataError("a path needs two points or more, and one was given.", where="points", fix="Give two or more.")
    path = linear_path if kind == "linear" else spherical_path
    pairs = [*pairwise(stops), *([(stops[-1], stops[0])] if closed else [])]
    legs = [path(a, b, num + 1)[:-1] for a, b in pairs]
    return np.concatenate(legs if closed else [*legs, stops[-1:]])


def medoid(points: ArrayLike) -> Shaped[np.ndarray, " n"]:
    """Find the point with the least sum of distances to all others; of several such points the first.

    Args:
        points: Points of shape (k, n), at least one.

    Returns:
        One of them, of shape (n,).

    Raises:
        DataError: There is no point, or one is not finite.
    """
    given = numbers(points, "points", ndim=2).astype(float)
    return given[int(np.argmin(np.linalg.norm(given[:, None] - given, axis=-1).sum(1)))]


def random_walk(
    start: ArrayLike, num: int, *, rng: np.random.Generator, step: float = 0.25
) -> Shaped[np.ndarray, "num n"]:
    r"""Make a random walk that never leaves a standard Normal prior."""
    # $z_{t+1} = \sqrt{1 - s^2}\, z_t + s\, \epsilon_t$ with $\epsilon \sim N(0, I)$. Each point of a walk that starts
    # in a standard Normal is a sample of it.
    z = numbers(start, "start", ndim=1).astype(float)
    if not 0.0 < step <= 1.0 or num < 1:
        what = f"{num} points at a step of {step}."
        raise DataError(what, where="step", fix="Use 0 < step <= 1, and 1 point or more.")
    path = np.empty((num, len(z)))
    for i in range(num):
        path[i] = z
        z = np.sqrt(1.0 - step**2) * z + step * rng.standard_normal(len(z))
    return path


def align(points: ArrayLike, reference: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    r"""Rotate or mirror points about 0 so that they come as close to reference points as they can."""
    # $\min_R \sum_i |z_i R - w_i|^2$ over orthogonal R (Procrustes). Nothing is moved or stretched, and a standard
    # Normal prior looks the same from every side, so a latent space that was rotated tells the same.
    # Source: Schonemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika, 1966.
    from scipy.linalg import orthogonal_procrustes

    z, w = numbers(points, "points", ndim=2).astype(float), numbers(reference, "reference", ndim=2).astype(float)
    if z.shape != w.shape:
        raise DataError(
            f"shape {z.shape} differs from {w.shape}.", where="reference", fix="Give the same rows of both."
        )
    rotation, _ = orthogonal_procrustes(z, w)
    return z @ rotation, rotation


def in_log_time(steps: ArrayLike, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Place frames between snapshots of a training, even in log(1 + step)."""
    known = numbers(steps, "steps", ndim=1).astype(float)
    if len(known) < 2 or (np.diff(known) <= 0).any() or num < 2:
        raise DataError("the steps must rise, and be 2 or more.", where="steps", fix="Sort them, each once.")
    place = np.log1p(known)
    at = np.linspace(place[0], place[-1], num)
    index = np.clip(np.searchsorted(place, at, side="right") - 1, 0, len(place) - 2)
    return index, np.clip((at - place[index]) / (place[index + 1] - place[index]), 0.0, 1.0)
