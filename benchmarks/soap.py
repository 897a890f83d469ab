"""SOAP: Adam in the eigenbasis of Shampoo's averages, after Vyas et al. (2024), arXiv 2409.11321.

For small dense networks on a CPU: of a matrix only sides of at most `largest` rows are turned (a side of 784 pixels is
not), averages take every fourth gradient, and the first moment is kept in the turned basis, so that a step turns one
array there and one back. Eigenvectors are found anew, where the paper takes a step of QR. What is scaled is kept within
1: in a new basis the second moments are old ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Side(NamedTuple):
    """Of one side of a matrix: the average of G G' (or G'G), and its eigenvectors when last they were found."""

    average: jax.Array
    basis: jax.Array


class SoapState(NamedTuple):
    """Moments in the turned basis; a pair of sides, or None, for each array."""

    step: jax.Array
    first: list[jax.Array]
    second: list[jax.Array]
    sides: list[tuple[Side | None, Side | None]]


def soap(
    rate: Callable[[Any], Any],
    *,
    b1: float = 0.9,
    b2: float = 0.98,
    decay: float = 0.99,
    epsilon: float = 1e-8,
    largest: int = 256,
    average_every: int = 4,
    basis_every: int = 50,
) -> optax.GradientTransformation:
    """Adam's update of the turned gradient, turned back. Before the tenth step the basis is the identity.

    **Arguments:** `rate` a schedule; `decay` of the averages, a step (the first ten steps each count as four).
    """

    def init(params: Any) -> SoapState:
        def side(array: jax.Array, axis: int) -> Side | None:
            if array.ndim != 2 or array.shape[axis] > largest:
                return None
            return Side(jnp.zeros((array.shape[axis],) * 2), jnp.eye(array.shape[axis]))

        arrays = jax.tree.leaves(params)
        zeros = [jnp.zeros_like(array) for array in arrays]
        return SoapState(jnp.zeros((), jnp.int32), zeros, zeros, [(side(a, 0), side(a, 1)) for a in arrays])

    def update(grads: Any, state: SoapState, params: Any = None) -> tuple[Any, SoapState]:
        arrays, tree = jax.tree.flatten(grads)
        step = state.step + 1
        kept = decay**average_every

        def averaged(sides: list) -> list:
            found = []
            for gradient, (left, right) in zip(arrays, sides):
                if left is not None:
                    left = Side(kept * left.average + (1 - kept) * gradient @ gradient.T, left.basis)
                if right is not None:
                    right = Side(kept * right.average + (1 - kept) * gradient.T @ gradient, right.basis)
                found.append((left, right))
            return found

        def refreshed(of: tuple[list, list]) -> tuple[list, list]:
            sides, first = of
            eigenvectors = lambda s: None if s is None else Side(s.average, jnp.linalg.eigh(s.average)[1])  # noqa: E731
            new = [(eigenvectors(left), eigenvectors(right)) for left, right in sides]
            return new, [turned(back(m, old), basis) for m, old, basis in zip(first, sides, new)]

        often = (step % average_every == 0) | (step <= 10)
        sides = jax.lax.cond(often, averaged, lambda same: same, state.sides)
        seldom = (step % basis_every == 0) | (step == 10)
        sides, first = jax.lax.cond(seldom, refreshed, lambda same: same, (sides, state.first))
        gradients = [turned(gradient, pair) for gradient, pair in zip(arrays, sides)]
        first = [b1 * m + (1 - b1) * g for m, g in zip(first, gradients)]
        second = [b2 * v + (1 - b2) * g * g for v, g in zip(state.second, gradients)]

        def of_one(m: jax.Array, v: jax.Array, pair: tuple) -> jax.Array:
            scaled = (m / (1 - b1**step)) / (jnp.sqrt(v / (1 - b2**step)) + epsilon)
            return -rate(state.step) * back(jnp.clip(scaled, -1.0, 1.0), pair)

        updates = [of_one(m, v, pair) for m, v, pair in zip(first, second, sides)]
        return jax.tree.unflatten(tree, updates), SoapState(step, first, second, sides)

    return optax.GradientTransformation(init, update)


def turned(array: jax.Array, pair: tuple[Side | None, Side | None]) -> jax.Array:
    """An array in the eigenbasis of its sides."""
    left, right = pair
    array = array if left is None else left.basis.T @ array
    return array if right is None else array @ right.basis


def back(array: jax.Array, pair: tuple[Side | None, Side | None]) -> jax.Array:
    """The inverse of `turned`."""
    left, right = pair
    array = array if left is None else left.basis @ array
    return array if right is None else array @ right.basis.T
