"""Options that do nothing beside the others: they are refused, so that nobody believes to have changed something."""

from collections.abc import Callable
from typing import Any

from latens.config import Config, VAEConfig
from latens.errors import ConfigError


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
    return "beside posterior.kind=deterministic" if config.posterior.kind == "deterministic" else ""


def _scale_floor(config: VAEConfig) -> str:
    return _posterior(config) or ("" if config.posterior.scale == "softplus" else "unless posterior.scale=softplus")


def _hidden(config: VAEConfig) -> str:
    return "" if config.network.hidden or config.network.decoder_hidden else "without hidden layers"


_IDLE: dict[str, Callable[[VAEConfig], str]] = {
    "likelihood.scale": _family("normal"),
    "likelihood.fixed_scale": _fixed_scale,
    "likelihood.scale_floor": _learned_scale,
    "likelihood.probability_floor": _family("bernoulli"),
    "posterior.scale": _posterior,
    "posterior.scale_floor": _scale_floor,
    "data.threshold": lambda c: "" if c.data.binarize == "threshold" else "unless data.binarize=threshold",
    "network.activation": _hidden,
    "network.drop_probability": _hidden,
}
"""Option -> what it would stand beside without effect, or "" where it has one."""


def refuse_idle(config: Config, defaults: Config) -> None:
    """Refuse an option that was set to something else than the recipe's own and has no effect.

    **Arguments:** `config` resolved; `defaults` the recipe's. **Raises:** ConfigError naming what it stands beside.
    """
    if not isinstance(config, VAEConfig):
        return
    for name, beside in _IDLE.items():
        part, option = name.split(".")

        def value(c: Any, part: str = part, option: str = option) -> Any:
            return getattr(getattr(c, part), option)

        if value(config) != value(defaults) and (why := beside(config)):
            raise ConfigError(f"this option has no effect {why}.", where=name, fix="Leave it out.")
