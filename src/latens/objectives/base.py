"""What an objective is: a number to minimise, and honest numbers to report."""

import dataclasses
from abc import abstractmethod
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.models import AbstractLatentModel
from latens.typing import Array, Float, Int, Key, Nats, PyTree

Metrics = dict[str, tuple[Nats, Float[Array, ""]]]
"""Name -> (weighted sum over the batch, sum of weights); the mean is formed once, at the edge."""


class AbstractObjective(eqx.Module):
    """`objective(model, batch, *, key, step) -> (number to minimise, metrics)`.

    `monitor` names the metric that early stopping and "best" look at, and `maximise` its direction; it is computed at
    beta 1, without penalties. `critic_sees` says what enters the critic of an objective that has one.
    """

    monitor: ClassVar[str]
    maximise: ClassVar[bool] = True
    critic_sees: ClassVar[tuple[Literal["codes", "row"], ...]] = ("codes",)

    @abstractmethod
    def __call__(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Int[Array, ""]
    ) -> tuple[Nats, Metrics]:
        """The number to minimise (nats, averaged over the batch) and the metrics to report."""

    def with_aux(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Int[Array, ""]
    ) -> tuple[Nats, Metrics, PyTree]:
        """The same two, and what `after_update` needs of this step's work (arrays; no gradient is taken of them)."""
        return *self(model, batch, key=key, step=step), None

    def after_update(
        self, model: AbstractLatentModel, aux: PyTree, *, key: Key, step: Int[Array, ""]
    ) -> "tuple[AbstractLatentModel, AbstractObjective]":
        """Model and objective with what moves without a gradient (moving averages, dead codes) moved by one step.

        Called inside the compiled step, after the optimiser's update, only where a class overrides it. It may change
        arrays in `Frozen` and whole numbers: what the optimiser trains, and may average, is its alone.

        **Arguments:** `aux` what `with_aux` returned for this batch, from the parameters before the update.
        """
        return model, self


def without_padding(batch: Batch) -> Batch:
    """The batch with zeros in rows of weight 0: a NaN there would reach the gradient even through `where`."""
    if batch.weight is None:
        return batch
    counts = batch.weight > 0

    def cleared(leaf: Array) -> Array:
        return jnp.where(counts.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, jnp.zeros_like(leaf))

    return dataclasses.replace(batch, x=jax.tree.map(cleared, batch.x), cond=jax.tree.map(cleared, batch.cond))


def weighted(values: Float[Array, " B"], batch: Batch) -> tuple[Nats, Float[Array, ""]]:
    """(sum of w * value, sum of w): a metric that is right for padded, weighted and sharded batches."""
    weights = batch.weights
    # `where`, not a product alone: what a padded row computes must never matter, not even a NaN.
    return jnp.sum(jnp.where(weights > 0, weights * values, 0.0)), jnp.sum(weights)


def mean(pair: tuple[Nats, Float[Array, ""]]) -> Nats:
    """The mean of a metric pair, 0 for a batch of padding alone."""
    return pair[0] / jnp.where(pair[1] > 0, pair[1], 1.0)


def sum_of_squares(tree: PyTree, form: Literal["weights", "all"] = "weights") -> Nats:
    r"""$\frac12\sum w^2$ over the arrays named `weight`, or over every array."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_inexact_array))
    name = lambda entry: getattr(entry, "name", getattr(entry, "key", ""))  # noqa: E731
    counted = [leaf for path, leaf in leaves if form == "all" or name(path[-1]) == "weight"]
    return sum((0.5 * jnp.sum(leaf**2) for leaf in counted), jnp.zeros(()))


def value_with_gradient(value: Nats, surrogate: Nats) -> Nats:
    """A number whose value is `value` and whose gradient is that of `surrogate`."""
    return surrogate + jax.lax.stop_gradient(value - surrogate)
