"""What of a model is trained, what is fixed, and what is drawn anew at every step."""

from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu

from latens.typing import Key, PyTree


class Frozen(eqx.Module):
    """Arrays that are part of a model and its file, but never trained.

    Args:
        value: An array, or a pytree of arrays.
    """

    value: Any


class AbstractRandomWeights(eqx.Module):
    """A module whose weights are random during training (weight dropout); resolved once a step, before any vmap."""

    def realise(self, *, key: Key) -> "AbstractRandomWeights":
        """The same module with this step's weights.

        Args:
            key: A JAX random key.

        Returns:
            A module of the same structure.

        Raises:
            TypeError: The class does not say how its weights are drawn.
        """
        raise TypeError(f"{type(self).__name__} draws no weights")


def is_frozen(node: Any) -> bool:
    """Whether a node of a pytree is `Frozen`.

    Args:
        node: Any node.

    Returns:
        True for a `Frozen` one.
    """
    return isinstance(node, Frozen)


def partition_trainable(tree: PyTree) -> tuple[PyTree, PyTree]:
    """Split a tree in two of the same structure: floating-point arrays outside `Frozen`, and everything else.

    `equinox.combine` puts them together again.

    Args:
        tree: Any pytree.

    Returns:
        The tree of what is trained, and the tree of the rest; each has None where the other has a leaf.
    """
    spec = jax.tree.map(lambda leaf: not is_frozen(leaf) and eqx.is_inexact_array(leaf), tree, is_leaf=is_frozen)
    return eqx.partition(tree, spec)


def realise(tree: PyTree, *, key: Key) -> PyTree:
    """Draw the random weights of every module that has some, each with its own key.

    Args:
        tree: Any pytree.
        key: A JAX random key.

    Returns:
        The same tree with the weights of this step.
    """
    is_random = lambda node: isinstance(node, AbstractRandomWeights)  # noqa: E731
    nodes, structure = jtu.tree_flatten(tree, is_leaf=is_random)
    drawn = [n.realise(key=jax.random.fold_in(key, i)) if is_random(n) else n for i, n in enumerate(nodes)]
    return jtu.tree_unflatten(structure, drawn)


def count_parameters(tree: PyTree) -> int:
    """The number of trained scalars.

    Args:
        tree: Any pytree.

    Returns:
        The number of entries of all arrays that are trained.
    """
    trainable, _ = partition_trainable(tree)
    return sum(leaf.size for leaf in jax.tree.leaves(trainable))
