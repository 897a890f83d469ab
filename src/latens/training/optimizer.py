"""What an optimiser is here: three functions; and several as one, each for its group of arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import optax

from latens.typing import Array, PyTree


class Optimizer(NamedTuple):
    """What is stepped, and what of it is evaluated and saved.

    Args:
        init: `init(params)` gives a state.
        update: `update(gradients, state, params, factor=1.0)` gives the updates to add and the next state; `factor`
            multiplies the learning rate.
        evaluate: `evaluate(state, params)` gives the parameters to evaluate, which differ from `params` for averaging
            methods.
    """

    init: Callable[[PyTree], Any]
    update: Callable[..., tuple[PyTree, Any]]
    evaluate: Callable[[Any, PyTree], PyTree] = lambda state, params: params


def from_optax(transform: optax.GradientTransformation) -> Optimizer:
    """Make an optimiser of an optax transformation, whose updates are multiplied by the factor.

    Args:
        transform: The optax transformation.

    Returns:
        The optimiser.
    """

    def update(
        gradients: PyTree, state: PyTree, params: PyTree = None, factor: float | Array = 1.0
    ) -> tuple[PyTree, Any]:
        updates, state = transform.update(gradients, state, params)
        return jax.tree.map(lambda u: (u * factor).astype(u.dtype), updates), state

    return Optimizer(transform.init, update)


def resting() -> Optimizer:
    """Make an optimiser that moves nothing: a group of arrays is held as it is.

    Returns:
        The optimiser.
    """
    return from_optax(optax.set_to_zero())


def beside_model(params: tuple[PyTree, PyTree]) -> PyTree:
    """Label the arrays "model" and "objective": critics, multipliers and learned baselines belong to the objective.

    Args:
        params: The pair (model, objective).

    Returns:
        The labels, in the tree of the parameters.
    """
    model, objective = params
    return jax.tree.map(lambda _: "model", model), jax.tree.map(lambda _: "objective", objective)


def by_group(groups: dict[str, Optimizer], labels: Callable[[Any], PyTree] = beside_model) -> Optimizer:
    """Give each group of arrays its own optimiser: its own rate, its own clipping by its own norm, its own average.

    It is like `optax.partition`, whose masked leaves an average cannot be evaluated through.

    Args:
        groups: Name of the group -> its optimiser.
        labels: `labels(params)` gives the name of the group of every array, in the tree of the parameters.

    Returns:
        One optimiser for all groups.

    Examples:
        >>> both = by_group({"model": from_optax(optax.sgd(1.0)), "objective": from_optax(optax.sgd(0.1))})
        >>> params, gradients = (jax.numpy.zeros(()),) * 2, (jax.numpy.ones(()),) * 2
        >>> updates, _ = both.update(gradients, both.init(params), params)
        >>> [round(float(update), 3) for update in updates]
        [-1.0, -0.1]
    """

    def split(tree: PyTree, params: PyTree) -> dict[str, PyTree]:
        named = labels(params)
        return {name: eqx.filter(tree, jax.tree.map(lambda label, n=name: label == n, named)) for name in groups}

    def init(params: PyTree) -> dict[str, Any]:
        parts = split(params, params)
        return {name: group.init(parts[name]) for name, group in groups.items()}

    def update(
        gradients: PyTree, state: dict[str, Any], params: PyTree, factor: float | Array = 1.0
    ) -> tuple[PyTree, Any]:
        parts, given = split(params, params), split(gradients, params)
        done = {n: group.update(given[n], state[n], parts[n], factor) for n, group in groups.items()}
        return eqx.combine(*(part for part, _ in done.values())), {n: after for n, (_, after) in done.items()}

    def evaluate(state: dict[str, Any], params: PyTree) -> PyTree:
        parts = split(params, params)
        return eqx.combine(*(group.evaluate(state[name], parts[name]) for name, group in groups.items()))

    return Optimizer(init, update, evaluate)
