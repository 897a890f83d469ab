"""The vocabulary of shapes and units used in every signature.

| letter | meaning |
|---|---|
| `B` | rows of a batch |
| `K` | samples drawn for each row (`num_samples`) |
| `*x` | the shape of one observed event, e.g. `28 28` |
| `*z` | the shape of one latent event, e.g. `2` |

Densities, models and networks are written for one event; `jax.vmap` adds `B` and `K`.
Every log density, divergence and bound is in nats, summed over the event, unless its name says otherwise.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped, UInt32

AnyArray: TypeAlias = Array | np.ndarray
"""A JAX array, or a NumPy array on its way to become one."""

Nats: TypeAlias = Float[Array, ""]
"""One number in nats (natural logarithm)."""

Key: TypeAlias = PRNGKeyArray
"""A typed JAX key of shape (); always keyword-only, used once."""

Cond: TypeAlias = dict[str, Any] | None
"""Named arrays that a row is conditioned on, or None."""

Mask: TypeAlias = PyTree | None
"""True where a row is observed, as a row is; None: everywhere."""

Step: TypeAlias = Int[Array, ""]
"""The number of the training step, of shape ()."""

Function = TypeVar("Function", bound=Callable[..., Any])


def checked_later(function: Function) -> Function:
    """A function whose annotations are for readers, editors and static checkers; it looks at its arguments itself."""
    # `typing.no_type_check` would hide them from static checkers too.
    function.__no_type_check__ = True  # pyright: ignore[reportFunctionMemberAccess]
    return function


__all__ = [
    "AnyArray", "Array", "Bool", "Cond", "Float", "Int", "Key", "Mask", "Nats", "PyTree", "Shaped", "Step", "UInt32",
    "checked_later",
]  # fmt: skip
