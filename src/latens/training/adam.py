"""Adam with one division for each entry, since a step spends most of its time outside of matrix products here."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from latens.errors import ConfigError
from latens.typing import Array, PyTree


def scale_by_adam(b1: float, b2: float, eps: float, eps_root: float) -> optax.GradientTransformation:
    r"""Scale gradients by Adam's averages of the gradient and of its square."""
    # Gradients $g$ become $\hat m / (\sqrt{\hat v + \epsilon_0} + \epsilon)$, where $m, v$ are the averages of $g$ and
    # $g^2$ and hats divide by $1 - b^t$: numbers are divided, where optax divides every entry, and $1 - b^t$ keeps its
    # digits where b is near 1. Without momentum (`b1` = 0) the first average is the gradient, and is not kept.
    # Source: Kingma & Ba (2015), arXiv 1412.6980.
    for name, rate in {"b1": b1, "b2": b2}.items():
        if isinstance(rate, int | float) and not 0 <= rate < 1:
            raise ConfigError(f"{name} must be at least 0 and below 1, not {rate}.", where="optimizer.options")
    momentum = not isinstance(b1, int | float) or b1 != 0

    def init(params: PyTree) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros if momentum else (), zeros)

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, Any]:
        count = state.count + 1
        first = jax.tree.map(lambda g, m: (1 - b1) * g + b1 * m, updates, state.mu) if momentum else ()
        second = jax.tree.map(lambda g, v: (1 - b2) * g**2 + b2 * v, updates, state.nu)
        unbias_first = -1 / jnp.expm1(count * log(b1)) if momentum else jnp.ones(())
        unbias_second = -1 / jnp.expm1(count * log(b2))

        def of_one(m: Array, v: Array) -> Any:
            root = jnp.sqrt(unbias_second.astype(v.dtype) * v + eps_root)
            return unbias_first.astype(m.dtype) * m / (root + eps)

        scaled = jax.tree.map(of_one, first if momentum else updates, second)
        return scaled, optax.ScaleByAdamState(count, first, second)

    return optax.GradientTransformation(init, update)


def log(rate: float | Array) -> Any:
    """The logarithm of a decay rate, in double precision for a number: near 1 the value 1 - b would lose its digits."""
    if not isinstance(rate, int | float):
        return jnp.log(rate)
    return math.log(rate) if rate else -math.inf


def adam(
    learning_rate: float | Callable[[Any], Any],
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> optax.GradientTransformation:
    """Adam with the argument names and the values of optax."""
    # Source: Kingma & Ba (2015), arXiv 1412.6980.
    return optax.chain(scale_by_adam(b1, b2, eps, eps_root), optax.scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: float | Callable[[Any], Any],
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
    mask: Callable[[PyTree], PyTree] | None = None,
) -> optax.GradientTransformation:
    """Adam whose weight decay does not pass through the averages."""
    # Source: Loshchilov & Hutter (2019), arXiv 1711.05101.
    # mask: which arrays decay, as optax has it; None for all.
    return optax.chain(
        scale_by_adam(b1, b2, eps, eps_root),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )
