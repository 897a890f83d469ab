"""Options that do nothing beside the others: they are refused, so that nobody believes to have changed something."""

from collections.abc import Callable
from typing import Any

from latens.config import ClassifierConfig, Config
from latens.errors import ConfigError
from latens.recipes.building.plan import make_objective
from latens.recipes.building.recipe import Size
from latens.recipes.parts.bound import Parts, bind
from latens.trees import count_parameters


def _family(*names: str) -> Callable[[Parts], str]:
    def beside(parts: Parts) -> str:
        family = parts.config.likelihood.family
        return "" if family in names else f"under a {family} likelihood"

    return beside


def _learned_scale(parts: Parts) -> str:
    config = parts.config
    if config.likelihood.family != "normal":
        return f"under a {config.likelihood.family} likelihood"
    return "where the scale is fixed" if config.likelihood.scale == "fixed" else ""


def _fixed_scale(parts: Parts) -> str:
    config = parts.config
    if config.likelihood.family != "normal":
        return f"under a {config.likelihood.family} likelihood"
    return "" if config.likelihood.scale == "fixed" else "unless likelihood.scale=fixed"


def _posterior(parts: Parts) -> str:
    return "" if parts.posterior.scaled else f"beside posterior.kind={parts.config.posterior.kind}"


def _scale_floor(parts: Parts) -> str:
    return _posterior(parts) or (
        "" if parts.config.posterior.scale == "softplus" else "unless posterior.scale=softplus"
    )


def _critic(parts: Parts) -> str:
    own = count_parameters(make_objective(parts, Size(1, 1), 1))
    return "" if own else f"beside {parts.config.objective.name}, which trains nothing of its own"


def _hidden(parts: Parts) -> str:
    network = parts.config.network
    return "" if network.hidden or network.decoder_hidden else "without hidden layers"


def _map(parts: Parts) -> str:
    config = parts.config
    on_map = config.network.kind == "conv" and parts.posterior.support == "codes"
    return "" if on_map else f"beside {config.posterior.kind} latents and {config.network.kind} networks"


def _label(*kinds: str) -> Callable[[Parts], str]:
    return lambda p: "" if p.config.label.kind in kinds else f"where label.kind={p.config.label.kind}"


_IDLE: dict[str, Callable[[Parts], str]] = {
    "likelihood.scale": _family("normal"),
    "likelihood.fixed_scale": _fixed_scale,
    "likelihood.scale_floor": _learned_scale,
    "likelihood.probability_floor": _family("bernoulli"),
    "posterior.scale": _posterior,
    "posterior.scale_floor": _scale_floor,
    "data.threshold": lambda p: "" if p.config.data.binarize == "threshold" else "unless data.binarize=threshold",
    "optimizer.critic": _critic,
    "data.labelled": _label("predict", "predict-codes"),
    "label.prior": _label("condition"),
    "label.class_prior": _label("predict", "predict-codes"),
    "label.share": _label("predict", "predict-codes"),
    "label.hidden": _label("predict-codes"),
    "label.latent_dim": _label("predict-codes"),
    "network.map": _map,
    "network.linear": lambda p: "" if p.config.start.kind == "closed-form" else "where start=none",
    "network.activation": _hidden,
    "network.drop_probability": _hidden,
}
"""Option -> what it would stand beside without effect, or "" where it has one."""


def refuse_idle(config: Config | Parts, defaults: Config) -> None:
    """Refuse an option that was set to something else than the recipe's own and has no effect."""
    if isinstance(config, ClassifierConfig):
        return
    parts = bind(config)
    for name, beside in _IDLE.items():
        part, option = name.split(".")

        def value(c: Any, part: str = part, option: str = option) -> Any:
            return getattr(getattr(c, part), option)

        if value(parts.config) != value(defaults) and (why := beside(parts)):
            raise ConfigError(f"this option has no effect {why}.", where=name, fix=f"Remove --set {name}=...")
