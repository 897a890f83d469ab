"""Options that do nothing beside the others: they are refused, so that nobody believes to have changed something."""

from collections.abc import Callable
from typing import Any

from latens.config import Config, VAEConfig
from latens.errors import ConfigError
from latens.recipes.building.plan import make_objective
from latens.recipes.building.recipe import Size
from latens.recipes.parts.posteriors import posterior_of
from latens.trees import count_parameters


def _family(*names: str) -> Callable[[VAEConfig], str]:
    return lambda c: "" if c.likelihood.family in names else f"under a {c.likelihood.family} likelihood"


def _learned_scale(config: VAEConfig) -> str:
    if config.likelihood.family != "normal":
        return f"under a {config.likelihood.family} likelihood"
    return "where the scale is fixed" if config.likelihood.scale == "fixed" else ""


def _fixed_scale(config: VAEConfig) -> str:
    if config.likelihood.family != "normal":
        return f"under a {config.likelihood.family} likelihood"
    return "" if config.likelihood.scale == "fixed" else "unless likelihood.scale=fixed"


def _posterior(config: VAEConfig) -> str:
    return "" if posterior_of(config.posterior).scaled else f"beside posterior.kind={config.posterior.kind}"


def _scale_floor(config: VAEConfig) -> str:
    return _posterior(config) or ("" if config.posterior.scale == "softplus" else "unless posterior.scale=softplus")


def _critic(config: VAEConfig) -> str:
    own = count_parameters(make_objective(config, Size(1, 1), 1))
    return "" if own else f"beside {config.objective.name}, which trains nothing of its own"


def _hidden(config: VAEConfig) -> str:
    return "" if config.network.hidden or config.network.decoder_hidden else "without hidden layers"


def _map(config: VAEConfig) -> str:
    on_map = config.network.kind == "conv" and posterior_of(config.posterior).support == "codes"
    return "" if on_map else f"beside {config.posterior.kind} latents and {config.network.kind} networks"


def _label(*kinds: str) -> Callable[[VAEConfig], str]:
    return lambda c: "" if c.label.kind in kinds else f"where label.kind={c.label.kind}"


_IDLE: dict[str, Callable[[VAEConfig], str]] = {
    "likelihood.scale": _family("normal"),
    "likelihood.fixed_scale": _fixed_scale,
    "likelihood.scale_floor": _learned_scale,
    "likelihood.probability_floor": _family("bernoulli"),
    "posterior.scale": _posterior,
    "posterior.scale_floor": _scale_floor,
    "data.threshold": lambda c: "" if c.data.binarize == "threshold" else "unless data.binarize=threshold",
    "optimizer.critic": _critic,
    "data.labelled": _label("predict", "predict-codes"),
    "label.prior": _label("condition"),
    "label.class_prior": _label("predict", "predict-codes"),
    "label.share": _label("predict", "predict-codes"),
    "label.hidden": _label("predict-codes"),
    "label.latent_dim": _label("predict-codes"),
    "network.map": _map,
    "network.activation": _hidden,
    "network.drop_probability": _hidden,
}
"""Option -> what it would stand beside without effect, or "" where it has one."""


def refuse_idle(config: Config, defaults: Config) -> None:
    """Refuse an option that was set to something else than the recipe's own and has no effect."""
    if not isinstance(config, VAEConfig):
        return
    for name, beside in _IDLE.items():
        part, option = name.split(".")

        def value(c: Any, part: str = part, option: str = option) -> Any:
            return getattr(getattr(c, part), option)

        if value(config) != value(defaults) and (why := beside(config)):
            raise ConfigError(f"this option has no effect {why}.", where=name, fix=f"Remove --set {name}=...")
