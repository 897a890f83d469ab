"""Schedule-free averaging around any optimiser without momentum."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from latens.training.optimizer import Optimizer
from latens.typing import Array, Float, Int, PyTree


class ScheduleFreeState(NamedTuple):
    """The state of schedule-free averaging."""

    inner: Any  # the inner optimiser's state
    step: Int[Array, ""]  # the steps taken, shape ()
    largest_rate: Float[Array, ""]  # the largest learning rate so far, shape ()
    weights: Float[Array, ""]  # sum of the average's weights, shape ()
    z: PyTree  # the sequence that is stepped, in the tree of the parameters


def schedule_free(inner: Optimizer, learning_rate: float | Callable[[Any], Any], beta: float = 0.9) -> Optimizer:
    r"""Put schedule-free averaging around an optimiser, which then needs no decay of its learning rate."""
    # It steps a sequence z, takes gradients at $y = (1 - \beta) z + \beta x$ and evaluates the average x of the z: $z'
    # = z + \Delta$, $x' = (1 - c) x + c z'$ with $\Delta$ the inner optimiser's step at y, and $c$ the share of this
    # step among the weights so far, each the square of the largest rate that was stepped with up to then. Trained and
    # given are the y; x is never stored. Written here as $y' = y + c (z' - y) + (1 - \beta)(1 - c) \Delta$, which is
    # the same: no old z is needed beside the new one, so each sequence is moved where it lies, and nothing is divided
    # by $\beta$ and multiplied again.
    # Source: Defazio et al. (2024), arXiv 2405.15682.
    rate = learning_rate if callable(learning_rate) else lambda step: learning_rate

    def init(params: PyTree) -> ScheduleFreeState:
        zero = jnp.zeros((), jnp.float32)
        copied = jax.tree.map(jnp.copy, params)
        return ScheduleFreeState(inner.init(params), jnp.zeros((), jnp.int32), zero, zero, copied)

    def update(gradients: PyTree, state: ScheduleFreeState, params: PyTree, factor: Any = 1.0) -> tuple[PyTree, Any]:
        deltas, inner_state = inner.update(gradients, state.inner, params, factor)
        largest = jnp.maximum(state.largest_rate, jnp.asarray(rate(state.step), jnp.float32))
        weight = largest**2
        weights = state.weights + weight
        c = jnp.where(weights > 0, weight / weights, 0.0)

        def of_one(y: Array, z: Array, delta: Array) -> Array:
            share = c.astype(y.dtype)
            return share * (z - y) + (1 - beta) * (1 - share) * delta

        z = jax.tree.map(jnp.add, state.z, deltas)
        updates = jax.tree.map(of_one, params, z, deltas)
        return updates, ScheduleFreeState(inner_state, state.step + 1, largest, weights, z)

    def evaluate(state: ScheduleFreeState, params: PyTree) -> PyTree:
        return jax.tree.map(lambda y, z: (y - (1 - beta) * z) / beta, params, state.z)

    return Optimizer(init, update, evaluate)
