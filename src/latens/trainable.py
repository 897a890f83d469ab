"""What of a model is trained, and what is fixed."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from latens.typing import AnyArray, PyTree

Method = TypeVar("Method", bound=Callable[..., Any])


def traced_once(method: Method) -> Method:
    """A method of a module that is traced once for all programs that hold it."""
    # What follows a training is a dozen programs of one row's likelihood: tracing it takes longer than running them.
    compiled = eqx.filter_jit(method)

    @functools.wraps(method)
    def call(*args: object, **kwargs: object) -> Any:
        return compiled(*args, **kwargs)

    return cast(Method, call)


def held(values: ArrayLike, dtype: DTypeLike = np.float32, *, trained: bool = False) -> Any:
    """Numbers as an array of a model, made without a compiled program."""
    # Inside of a compiled function what is not trained stays NumPy's, so that the program kept for it holds no data.
    if isinstance(values, Tracer):
        return values.astype(dtype)
    made = np.asarray(values, dtype)
    on_device = jax.device_put(made)
    return made if isinstance(on_device, Tracer) and not trained else on_device


def on_host(array: AnyArray) -> Any:
    """An array as NumPy's, so that what is computed of it is no program of its own; inside of one it stays as it is."""
    return array if isinstance(array, Tracer) else np.asarray(array)


class Frozen(eqx.Module):
    """Arrays that are part of a model and its file, but never trained.

    Args:
        value: An array, or a pytree of arrays.
    """

    value: PyTree


def zeros_of(shapes: PyTree) -> PyTree:
    """Zeros of the shapes and dtypes of a pytree's leaves."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def value_of(array: AnyArray | Frozen) -> Any:
    """An array, whether it is trained or not."""
    return array.value if isinstance(array, Frozen) else array


def said(part: object, fact: str, of: tuple[str, ...]) -> Any:
    """A fact that the class of a part states, of the methods that it has; None where it does not."""
    # What a class says does not hold for one derived from it that writes one of these methods anew.
    for kind in type(part).__mro__:
        if fact in vars(kind):
            return getattr(part, fact)
        if any(name in vars(kind) for name in of):
            return None
    return None


def is_frozen(node: object) -> bool:
    """Whether a node of a pytree is `Frozen`."""
    return isinstance(node, Frozen)


def partition_trainable(tree: PyTree) -> tuple[PyTree, PyTree]:
    """Split a tree in two of the same structure: floating-point arrays outside `Frozen`, and everything else.

    `equinox.combine` puts them together again.

    Args:
        tree: A pytree.

    Returns:
        The tree of what is trained, and the tree of the rest; each has None where the other has a leaf.
    """
    spec = jax.tree.map(lambda leaf: not is_frozen(leaf) and eqx.is_inexact_array(leaf), tree, is_leaf=is_frozen)
    return eqx.partition(tree, spec)


def count_parameters(tree: PyTree) -> int:
    """The number of trained scalars."""
    trainable, _ = partition_trainable(tree)
    return sum(leaf.size for leaf in jax.tree.leaves(trainable))
