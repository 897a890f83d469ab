"""From a configuration to optimisers: one for the model, one for what the objective trains beside it."""

from typing import Any

from msgspec import structs

from latens.config import CriticOptimizerConfig, OptimizerConfig
from latens.errors import ConfigError
from latens.objectives import AbstractObjective
from latens.training import Optimizer, by_group, make_optimizer, resting
from latens.training.optimizers import OPTIMIZERS
from latens.trees import count_parameters

_OWN = {"name", "learning_rate", "schedule", "warmup_steps", "total_steps", "clip_value", "clip_norm", "mask"}


def optimizer_of(config: OptimizerConfig, objective: AbstractObjective, total_steps: int | None) -> Optimizer:
    """The optimiser of (model, objective)."""
    # A critic, a multiplier or a learned baseline is never averaged, and warms up with the model.
    # total_steps: the most steps of the stage, for schedules; None where the budget does not say.
    shared: dict[str, Any] = {"warmup_steps": config.warmup_steps, "total_steps": total_steps}
    model = _made(config, "optimizer", config.learning_rate, schedule=config.schedule, **shared)
    if not count_parameters(objective):
        return model
    critic = config.critic
    rate = config.learning_rate if critic.learning_rate is None else critic.learning_rate
    if rate == 0.0:
        return by_group({"model": model, "objective": resting()})
    schedule = "cosine" if config.schedule == "cosine" else "constant"
    return by_group({"model": model, "objective": _made(critic, "optimizer.critic", rate, schedule=schedule, **shared)})


def _made(config: OptimizerConfig | CriticOptimizerConfig, where: str, rate: float, **given: Any) -> Optimizer:
    found = OPTIMIZERS.get(config.name)
    if isinstance(found, Optimizer):
        plain = structs.replace(type(config)(), name=config.name)
        beside = [f for f in config.__struct_fields__ if f != "critic" and getattr(config, f) != getattr(plain, f)]
        if beside:
            what = f"the optimiser {config.name} was given as an object, which has its own {beside[0]}."
            raise ConfigError(what, where=f"{where}.{beside[0]}", fix="Set it where the object is made.")
        return found
    if taken := _OWN & set(config.options):
        what = f"{min(taken)} is no option of {config.name} itself."
        raise ConfigError(what, where=f"{where}.options", fix=f"Set {where}.NAME.")
    options: dict[str, Any] = {**given, **config.options}
    clips = {"clip_value": config.clip_value, "clip_norm": config.clip_norm}
    return make_optimizer(config.name, learning_rate=rate, **clips, **options)
