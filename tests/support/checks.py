"""How tests compare numbers: within rounding, within standard errors, with finite differences."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def close(actual: object, expected: object, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def agrees(samples: object, expected: object, sigmas: float = 5.0, other_error: float = 0.0) -> None:
    """The mean over the first axis lies within 5 of its own standard errors of `expected`."""
    samples = np.asarray(samples, np.float64)
    error = np.hypot(samples.std(axis=0, ddof=1) / np.sqrt(len(samples)), other_error)
    # A sample without spread must meet the number to rounding.
    assert np.all(np.abs(samples.mean(axis=0) - expected) <= sigmas * error + 1e-6), (samples.mean(axis=0), error)


def finite_difference(f: Callable[[jax.Array], jax.Array], theta: jax.Array, h: float = 1e-5) -> np.ndarray:
    """Central differences of a scalar function, one column for each entry; meant for double precision."""
    theta, steps = np.asarray(theta), h * np.eye(theta.size)
    values = jax.jit(lambda points: jax.lax.map(f, points))(np.concatenate([theta + steps, theta - steps]))
    above, below = np.asarray(values).reshape(2, -1)
    return (above - below) / (2 * h)


def public(room: Any, kind: type) -> set[str]:
    """The names of a room's public classes of a kind that can be made."""
    return {
        name
        for name, value in vars(room).items()
        if inspect.isclass(value) and issubclass(value, kind) and not name.startswith("Abstract")
    }
