"""Networks with numbers in every array, made without compiling their first weights, and their flat parameters."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from checks import close


def filled(make: Callable[..., Any], *arguments: Any, seed: int = 0, dtype: Any = np.float32, **options: Any) -> Any:
    """The network `make(..., key=...)` with Normal numbers of standard deviation 0.3 in all its arrays, biases too."""
    rng = np.random.default_rng(seed)
    skeleton = eqx.filter_eval_shape(lambda: make(*arguments, **options, key=jax.random.key(0)))
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)  # noqa: E731
    draw = lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape), dtype) if is_shape(leaf) else leaf  # noqa: E731
    return jax.tree.map(draw, skeleton)


def parameters(make: Callable[..., Any], *arguments: Any, **options: Any) -> list[tuple[int, ...]]:
    """The shapes of a network's arrays, without making it."""
    skeleton = eqx.filter_eval_shape(lambda: make(*arguments, **options, key=jax.random.key(0)))
    return [leaf.shape for leaf in jax.tree.leaves(skeleton) if isinstance(leaf, jax.ShapeDtypeStruct)]


def check_batching(network: Callable[[jax.Array], jax.Array], rows: np.ndarray, expected: np.ndarray) -> None:
    """Row by row (eagerly and compiled) and all at once, from shaped and from flat rows: the expected numbers."""
    close(network(jnp.asarray(rows[0])), expected[0], atol=1e-5)
    compiled = jax.jit(lambda row: network(row))  # a module itself has no hash
    looped = np.stack([compiled(jnp.asarray(row)) for row in rows])
    close(looped, expected, atol=1e-5)
    close(jax.jit(lambda batch: jax.vmap(network)(batch))(jnp.asarray(rows.reshape(len(rows), -1))), looped, atol=1e-6)
