"""Schedules of the KL's weight by name: `cyclical:4`."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax

from latens.config import ObjectiveConfig
from latens.errors import ConfigError, nearest
from latens.objectives.base import AbstractObjective
from latens.typing import Array

SCHEDULES: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "linear": ("rises in a straight line, and stays", lambda share: jnp.minimum(1.0, share)),
    "cosine": ("rises as half a wave, and stays", lambda share: 0.5 - 0.5 * jnp.cos(math.pi * jnp.minimum(1.0, share))),
    "sigmoid": (
        "rises as an S from 0.0025 to 0.9975",
        lambda share: 1.0 / (1.0 + jnp.exp(6.0 - 12.0 * jnp.minimum(1.0, share))),
    ),
    "cyclical": (
        "rises in the first half of each period, rests in the second, and begins anew",
        lambda share: jnp.minimum(1.0, 2.0 * jnp.mod(share, 1.0)),
    ),
}
"""Name: what the weight does, and its share of beta where `share` of the epochs named is over."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A weight that changes with the step, in the place of the number beta."""

    name: str
    steps: int  # steps in the epochs that were named
    beta: float = 1.0  # the weight at the top

    def __call__(self, step: Array | int) -> Array:
        """Give the weight at a step."""
        return self.beta * SCHEDULES[self.name][1](jnp.asarray(step) / float(self.steps))


def check_schedule(text: str, where: str = "objective.beta") -> tuple[str, float]:
    """Split a name such as `cyclical:4` into its kind and epochs, or refuse it."""
    name, _, epochs = text.partition(":")
    if name not in SCHEDULES:
        what = f"{text!r:.100} is not a number, and there is no schedule {name!r:.50}."
        raise ConfigError(what, where=where, fix=nearest(name, list(SCHEDULES)))
    try:
        value = float(epochs)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        what = f"{text!r:.100} does not say in how many epochs."
        raise ConfigError(what, where=where, fix=f"Write for example {name}:10, with a number above 0.")
    return name, value


def with_beta(objective: AbstractObjective, config: ObjectiveConfig, steps_per_epoch: float) -> Any:
    """Give an objective the warm-up or schedule of its beta that a configuration names."""
    given: Any = config.options.get("beta", 1.0)
    top, scheduled = float(given), config.beta_schedule != "constant"
    if scheduled and config.beta_warmup_epochs:
        what = "beta is given a warm-up and a schedule."
        raise ConfigError(what, where="objective.beta_schedule", fix="Leave one of them out.")
    if scheduled:
        name, epochs = check_schedule(config.beta_schedule)
        return dataclasses.replace(objective, beta=Schedule(name, max(1, round(epochs * steps_per_epoch)), top))
    if config.beta_warmup_epochs:
        steps = max(1, round(config.beta_warmup_epochs * steps_per_epoch))
        return dataclasses.replace(objective, beta=optax.linear_schedule(0.0, top, steps))
    return objective


def without_beta(objective: AbstractObjective, config: ObjectiveConfig) -> Any:
    """Refuse a warm-up or schedule for an objective that has no beta."""
    given = {"beta_warmup_epochs": config.beta_warmup_epochs, "beta_schedule": config.beta_schedule != "constant"}
    if named := [name for name, told in given.items() if told]:
        verb = "warmed up" if config.beta_warmup_epochs else "scheduled"
        what = f"the objective {config.name} has no beta that could be {verb}."
        raise ConfigError(what, where=f"objective.{named[0]}", fix=f"Remove --set objective.{named[0]}=...")
    return objective
