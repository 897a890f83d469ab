"""Optimisers: by name, with schedules, clipping and averaging, or several, each for its group of arrays."""

import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from latens.config import option_hint
from latens.errors import ConfigError, nearest
from latens.typing import Array, Float, Int, PyTree, checked_later


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
    return optax.chain(
        scale_by_adam(b1, b2, eps, eps_root),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


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


_OF_OPTAX = "adabelief adagrad adamax amsgrad lamb lion nadam nadamw novograd radam rmsprop sgd yogi"
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation] | Optimizer] = {
    **{name: getattr(optax, name) for name in _OF_OPTAX.split()},
    "adam": adam,
    "adamw": adamw,
}
"""The names that a configuration may use, each with its own constants unless `options` say otherwise.

An `Optimizer` is one that was given as an object.
"""


@checked_later
def make_optimizer(
    name: str = "adam",
    *,
    learning_rate: float = 1e-3,
    schedule: Literal["constant", "cosine", "schedule-free"] = "constant",
    warmup_steps: int = 0,
    total_steps: int | None = None,
    clip_value: float | None = None,
    clip_norm: float | None = None,
    **options: Any,
) -> Optimizer:
    """Make an optimiser from its name and its options.

    Gradients are clipped by value, then by global norm; weight decay acts on weights, not on biases or scales. Layers
    of more than 4096 inputs take smaller steps (`slow_where_wide`), except under "sgd".

    Args:
        name: Of an optax optimiser (Adam and AdamW are our own).
        learning_rate: Above 0.
        schedule: "constant", "cosine" (to 0 at `total_steps`) or "schedule-free" (on top of the named optimiser, which
            should have no momentum of its own).
        warmup_steps: Steps of a linear warm-up before the schedule.
        total_steps: Steps of the training; needed by "cosine".
        clip_value: Largest absolute value of an entry of the gradient; None does not clip.
        clip_norm: Largest global norm of the gradient; None does not clip.
        **options: The optimiser's own options (`b1`, `weight_decay`, `decay`, ...).

    Returns:
        The optimiser.

    Raises:
        ConfigError: For an unknown name or option, or a cosine without an end or within its warm-up.

    Source: schedule-free: Defazio et al. (2024), arXiv 2405.15682.
    """
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise ConfigError(f"there is no optimiser {name!r}.", where="optimizer.name", fix=nearest(name, OPTIMIZERS))
    if learning_rate <= 0:
        raise ConfigError(f"the learning rate must be above 0, not {learning_rate}", where="optimizer.learning_rate")
    if schedule == "cosine" and total_steps is None:
        raise ConfigError(
            "a cosine schedule needs its end.", where="optimizer.schedule", fix="Give the budget in epochs or steps."
        )
    if schedule == "cosine" and total_steps is not None and 0 < total_steps <= warmup_steps:
        raise ConfigError(
            f"the budget of {total_steps} steps ends within the warm-up of {warmup_steps}.",
            where="optimizer.warmup_steps",
            fix="A shorter warm-up (optimizer.warmup_steps) or a longer budget.",
        )
    rate = _rate(learning_rate, schedule, warmup_steps, total_steps)
    make = OPTIMIZERS[name]
    if isinstance(make, Optimizer):
        what = f"the optimiser {name!r} is an object, with a learning rate of its own."
        raise ConfigError(what, where="optimizer.name", fix="Use it as it is.")
    takes = [taken for taken in inspect.signature(make).parameters if taken != "learning_rate"]
    if "mask" in takes:
        options.setdefault("mask", _weights_only)
    try:
        inner = make(rate, **options)
    except TypeError as error:
        named = [taken for taken in takes if taken != "mask"]
        unknown = next((option for option in options if option not in takes), None)
        what = f"{name} has no option {unknown!r}." if unknown else f"{name} does not take these options: {error}"
        fix = option_hint("optimizer", unknown, named) if unknown else f"It takes {', '.join(named)}."
        if unknown == "weight_decay":
            fix += " Weights decay under adamw, and objective.l2 adds their squares to the loss."
        raise ConfigError(what, where=f"optimizer.{unknown or 'options'}", fix=fix) from None
    clips = [] if clip_value is None else [optax.clip(clip_value)]
    clips += [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    optimizer = from_optax(optax.chain(*clips, inner))
    optimizer = optimizer if name == "sgd" else slow_where_wide(optimizer)
    return schedule_free(optimizer, rate) if schedule == "schedule-free" else optimizer


WIDE = 4096
"""Inputs of a layer from which on its weights take smaller steps."""


def slow_where_wide(inner: Optimizer) -> Optimizer:
    r"""The same optimiser whose steps of the weights of a dense layer of n > 4096 inputs are multiplied by 4096 / n."""
    # Where every weight takes a step of about the same size, whatever its gradient, and inputs go together as pixels
    # do, the outputs of the layer move by n times that: pictures of 256 x 256 x 3 cells would diverge in the first
    # steps. The rule 1 / n is that of Yang et al. (2022), "Tensor Programs V", arXiv 2203.03466, for weights under
    # Adam.

    def of_one(path: jax.tree_util.KeyPath, delta: Array) -> Any:
        named = path and getattr(path[-1], "name", "") == "weight"
        wide = named and delta.ndim == 2 and delta.shape[0] > WIDE
        return delta * (WIDE / delta.shape[0]) if wide else delta

    def update(gradients: PyTree, state: PyTree, params: PyTree, factor: float | Array = 1.0) -> tuple[PyTree, Any]:
        deltas, state = inner.update(gradients, state, params, factor)
        return jax.tree_util.tree_map_with_path(of_one, deltas), state

    return Optimizer(inner.init, update, inner.evaluate)


def _weights_only(params: PyTree) -> PyTree:
    """True for the arrays named `weight`: biases and scales are not pulled to 0."""
    return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "name", "") == "weight", params)


def _rate(learning_rate: float, schedule: str, warmup_steps: int, total_steps: int | None) -> float | optax.Schedule:
    if schedule == "cosine":
        assert total_steps is not None
        # No step is taken at rate 0.
        start = learning_rate / max(warmup_steps, 1)
        return optax.warmup_cosine_decay_schedule(start, learning_rate, warmup_steps, max(total_steps, 1))
    if warmup_steps:
        # One step in, for the same reason.
        return lambda step: learning_rate * jnp.minimum(1.0, (jnp.asarray(step) + 1) / warmup_steps)
    return learning_rate


class ScheduleFreeState(NamedTuple):
    """The state of schedule-free averaging."""

    inner: PyTree  # the inner optimiser's state
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

    def update(
        gradients: PyTree, state: ScheduleFreeState, params: PyTree, factor: float | Array = 1.0
    ) -> tuple[PyTree, Any]:
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
