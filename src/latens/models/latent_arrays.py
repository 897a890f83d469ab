"""Latents as plain numbers: what a decoder is given of them, and what is written about a row."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution, Categorical, Product, RelaxedOneHot
from latens.typing import Array, Float, PyTree


class SideBySide(eqx.Module):
    """Any latent as one vector: its leaves flattened, whole numbers as one-hot vectors.

    Real numbers stay as they are, so that probabilities may stand in for choices.

    Args:
        choices: How many values a whole number may have, from 0.
    """

    choices: int = eqx.field(static=True, default=0)

    def __call__(self, z: PyTree) -> Float[Array, " n"]:
        """Make one vector of a latent."""
        leaves = [
            leaf if eqx.is_inexact_array(leaf) else jax.nn.one_hot(leaf, self.choices) for leaf in jax.tree.leaves(z)
        ]
        return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])


class Direction(eqx.Module):
    """The direction of a vector.

    A point of the sphere stays itself, a mean inside it becomes its mean direction.
    """

    def __call__(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """Divide a vector by its length."""
        return z / jnp.sqrt(jnp.sum(z**2) + 1e-12)


class Shares(eqx.Module):
    """Proportions from any numbers, by softmax: the topics of a document."""

    def __call__(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """Map a vector to the simplex."""
        return jax.nn.softmax(z)


def as_code(distribution: AbstractDistribution, event: PyTree) -> Array:
    """An event as one array of numbers.

    Args:
        distribution: The distribution that the event belongs to.
        event: One event of it.

    Returns:
        Categorical values as one-hot vectors, levels and columns one after the other, anything else as it is.
    """
    if isinstance(distribution, Categorical):
        return jax.nn.one_hot(event, distribution.logits.shape[-1])
    if isinstance(distribution, Product):
        return _flat([as_code(part, event[name]) for name, part in sorted(distribution.parts.items())])
    return _flat(jax.tree.leaves(event)) if isinstance(event, tuple) else event


def mean_code(distribution: AbstractDistribution) -> Array:
    """The mean of `as_code`.

    Args:
        distribution: A distribution of latents.

    Returns:
        Of categorical variables their probabilities (of relaxed ones those of the variable they stand for), of a
        hierarchy and of a flow where it goes without noise; else the mean.
    """
    if isinstance(distribution, Categorical):
        return distribution.probabilities()
    if isinstance(distribution, RelaxedOneHot):
        return jax.nn.softmax(distribution.logits)
    if isinstance(distribution, Product):
        return _flat([mean_code(part) for _, part in sorted(distribution.parts.items())])
    with_mean: Any = distribution
    mean = with_mean.mean()
    return _flat(jax.tree.leaves(mean)) if isinstance(mean, tuple) else mean


def _flat(parts: list[Array]) -> Float[Array, " n"]:
    return jnp.concatenate([part.reshape(-1) for part in parts])
