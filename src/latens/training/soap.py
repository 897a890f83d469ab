"""SOAP: Adam in the eigenbasis of Shampoo's averages."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from latens.errors import ConfigError
from latens.typing import Array, Float, Int


class Side(NamedTuple):
    """The statistics of one side of a gradient matrix G."""

    average: Float[Array, "n n"]  # the average of G G' (or G'G), shape (n, n)
    basis: Float[Array, "n n"]  # its eigenvectors when last they were found, shape (n, n)


Sides = tuple[Side | None, Side | None]


class SoapState(NamedTuple):
    """The state of SOAP: moments in the rotated basis, and the statistics of each matrix's sides."""

    step: Int[Array, ""]  # the steps taken, shape ()
    first: list[Array]  # first moment of each array
    second: list[Array]  # second moment of each array
    sides: list[Sides]  # a pair of sides, or None, for each array


def soap(
    learning_rate: float | Callable[[Any], Any],
    *,
    b1: float = 0.9,
    b2: float = 0.98,
    decay: float = 0.99,
    epsilon: float = 1e-8,
    largest: float = 256,
    average_every: float = 4,
    basis_every: float = 50,
) -> optax.GradientTransformation:
    """Adam in a basis in which the gradients' second moments are nearly diagonal, for networks of dense layers."""
    # With $L, R$ the averages of $G G^T$ and $G^T G$ of a matrix and $Q_L, Q_R$ their eigenvectors, Adam steps $Q_L^T G
    # Q_R$, and its result is rotated back. It differs from the paper for small networks on a CPU: averages take every
    # few gradients; the first moment is kept in the rotated basis, so that a step rotates one array there and one back;
    # averages take a gradient before it is rotated, and have a `decay` of their own; eigenvectors are found anew, where
    # the paper takes a step of QR; what is scaled is kept within 1, since in a new basis the second moments are old
    # ones.
    # Source: Vyas et al. (2024), arXiv 2409.11321, algorithm 3.
    for name, value in {"largest": largest, "average_every": average_every, "basis_every": basis_every}.items():
        if value < 1 or value != int(value):
            what = f"{name} must be a whole number above 0, not {value}."
            raise ConfigError(what, where="optimizer.options")
    rate = learning_rate if callable(learning_rate) else lambda step: learning_rate

    def init(params: Any) -> Any:
        def side(array: Array, axis: int) -> Side | None:
            if array.ndim != 2 or array.shape[axis] > largest:
                return None
            identity = jnp.eye(array.shape[axis], dtype=array.dtype)
            return Side(jnp.zeros_like(identity), identity)

        arrays = jax.tree.leaves(params)
        zeros = [jnp.zeros_like(array) for array in arrays]
        return SoapState(jnp.zeros((), jnp.int32), zeros, zeros, [(side(a, 0), side(a, 1)) for a in arrays])

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        arrays, tree = jax.tree.flatten(updates)
        step = state.step + 1
        kept = decay**average_every

        def averaged(sides: list[Sides]) -> list[Sides]:
            found = []
            for gradient, (left, right) in zip(arrays, sides):
                if left is not None:
                    left = Side(kept * left.average + (1 - kept) * gradient @ gradient.T, left.basis)
                if right is not None:
                    right = Side(kept * right.average + (1 - kept) * gradient.T @ gradient, right.basis)
                found.append((left, right))
            return found

        def refreshed(of: tuple[list[Sides], list[Array]]) -> tuple[list[Sides], list[Array]]:
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

        def of_one(m: Array, v: Array, pair: Sides) -> Array:
            scaled = (m / (1 - b1**step)) / (jnp.sqrt(v / (1 - b2**step)) + epsilon)
            scaled = jnp.clip(scaled, -1.0, 1.0).astype(m.dtype)
            return jnp.asarray(-rate(state.step), m.dtype) * back(scaled, pair)

        steps = [of_one(m, v, pair) for m, v, pair in zip(first, second, sides)]
        return jax.tree.unflatten(tree, steps), SoapState(step, first, second, sides)

    return optax.GradientTransformation(init, update)


def turned(array: Array, pair: Sides) -> Array:
    """Rotate an array into the eigenbasis of its sides."""
    left, right = pair
    array = array if left is None else left.basis.T @ array
    return array if right is None else array @ right.basis


def back(array: Array, pair: Sides) -> Array:
    """Rotate an array back, which is the inverse of `turned`."""
    left, right = pair
    array = array if left is None else left.basis @ array
    return array if right is None else array @ right.basis.T
