"""Optimisers by name, learning-rate schedules and clipping, as one transform and one rule for evaluation."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from optax import contrib

from latens.errors import ConfigError, nearest
from latens.shapes import PyTree
from latens.training.soap import soap

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    name: getattr(optax, name)
    for name in [
        "adabelief",
        "adagrad",
        "adam",
        "adamax",
        "adamw",
        "amsgrad",
        "lamb",
        "lion",
        "nadam",
        "nadamw",
        "novograd",
        "radam",
        "rmsprop",
        "sgd",
        "yogi",
    ]
} | {"soap": soap}
"""The names that a configuration may use, each with its own constants unless `options` say otherwise."""


class Optimizer(NamedTuple):
    """What is stepped, and what of it is evaluated and saved.

    `evaluate(opt_state, params)` gives the parameters to measure; it differs from `params` for averaging methods.
    """

    transform: optax.GradientTransformation
    evaluate: Callable[[Any, PyTree], PyTree] = lambda opt_state, params: params
    damp: Callable[[Any, Any, Any], Any] = lambda old, new, factor: new
    """Given the optimiser's state before and after a step whose updates are multiplied by a factor: its state then."""


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
    r"""An optimiser from names and numbers.

    **Arguments:** `name` of an optax optimiser, or `soap`, with its own `options` (`b1`, `weight_decay`, `decay`, ...);
    `schedule` "constant", "cosine" (to 0 at `total_steps`) or "schedule-free" (Defazio et al. 2024, on top of the
    named optimiser, which should have no momentum of its own); a linear warm-up over `warmup_steps` goes before each;
    gradients are clipped by value, then by global norm; weight decay acts
    on weights, not on biases or scales.
    **Raises:** ConfigError for an unknown name or option, or a cosine without an end or within its warm-up.
    """
    if name not in OPTIMIZERS:
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
    if options.get("weight_decay"):
        options["mask"] = _weights_only
    try:
        inner = OPTIMIZERS[name](rate, **options)
    except TypeError as error:
        raise ConfigError(f"{name} does not take these options: {error}", where="optimizer.options") from None
    clips = [] if clip_value is None else [optax.clip(clip_value)]
    clips += [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    if schedule != "schedule-free":
        return Optimizer(optax.chain(*clips, inner))
    averaged = contrib.schedule_free(inner, rate, b1=0.9)  # pyright: ignore[reportArgumentType]
    transform = optax.chain(*clips, averaged)

    def evaluate(opt_state: Any, params: PyTree) -> PyTree:
        return contrib.schedule_free_eval_params(opt_state[-1], params)

    def damp(old: Any, new: Any, factor: Any) -> Any:
        # The sequence z moves by the same share as the parameters, so that the average between them stays one.
        z = jax.tree.map(lambda a, b: a + factor * (b - a), old[-1].z, new[-1].z)
        return (*new[:-1], new[-1]._replace(z=z))

    return Optimizer(transform, evaluate, damp)


def resting() -> Optimizer:
    """An optimiser that moves nothing: a group held as it is."""
    return Optimizer(optax.set_to_zero())


def beside_model(params: tuple[PyTree, PyTree]) -> PyTree:
    """The labels "model" and "objective": critics, multipliers and learned baselines belong to the objective."""
    model, objective = params
    return jax.tree.map(lambda _: "model", model), jax.tree.map(lambda _: "objective", objective)


def by_group(groups: dict[str, Optimizer], labels: Callable[[Any], PyTree] = beside_model) -> Optimizer:
    """One optimiser for each group of arrays: its own rate, its own clipping by its own norm, its own average.

    **Arguments:** `groups` name -> optimiser; `labels(params)` the name of the group of every array, in the tree of
    the parameters. Like `optax.partition`, whose masked leaves an average cannot be evaluated through.

    >>> both = by_group({"model": make_optimizer("sgd", learning_rate=1.0),
    ...                  "objective": make_optimizer("sgd", learning_rate=0.1)})
    >>> params = (jnp.array(0.0), jnp.array(0.0))
    >>> updates, _ = both.transform.update((jnp.array(1.0), jnp.array(1.0)), both.transform.init(params), params)
    >>> [round(float(update), 3) for update in updates]
    [-1.0, -0.1]
    """

    def split(tree: PyTree, params: PyTree) -> dict[str, PyTree]:
        named = labels(params)
        return {name: eqx.filter(tree, jax.tree.map(lambda label, n=name: label == n, named)) for name in groups}

    def init(params: PyTree) -> dict[str, Any]:
        parts = split(params, params)
        return {name: group.transform.init(parts[name]) for name, group in groups.items()}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[PyTree, dict[str, Any]]:
        parts, given = split(params, params), split(updates, params)
        done = {n: group.transform.update(given[n], state[n], parts[n]) for n, group in groups.items()}
        return eqx.combine(*(part for part, _ in done.values())), {n: after for n, (_, after) in done.items()}

    def evaluate(state: dict[str, Any], params: PyTree) -> PyTree:
        parts = split(params, params)
        return eqx.combine(*(group.evaluate(state[name], parts[name]) for name, group in groups.items()))

    def damp(old: dict[str, Any], new: dict[str, Any], factor: Any) -> dict[str, Any]:
        return {name: group.damp(old[name], new[name], factor) for name, group in groups.items()}

    return Optimizer(optax.GradientTransformation(init, update), evaluate, damp)


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
