"""Deep models of pictures: levels at every size from the top down, and pixels that depend on one another."""

from dataclasses import replace

from msgspec.structs import replace as replace_struct

from latens.config import VAEConfig
from latens.data import Dataset
from latens.recipes.parts import ConfiguredParts, bind
from latens.recipes.pictures import for_hierarchy
from latens.recipes.plan import RECIPE, resolve

OF_TWO_LEVELS = {"features": 8, "block": 2, "neighbour_units": 16, "rows": 4, "sides": 5}
"""Options of the likelihood of pixels of two levels, chosen on validation pictures of binarised MNIST."""


def _resolve(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    parts = bind(config)
    found, reasons = for_hierarchy(parts, data)
    config, others = resolve(parts.having(found), data)
    return config, [*reasons, *others]


def _resolve_pixels(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    parts = bind(config)
    config = parts.config
    family = config.likelihood.family
    if data.schema.kind == "binary" or config.data.binarize != "none":
        # The same head for two levels; networks of pictures with many levels are no default for these.
        kind, options = "dense" if config.network.kind == "auto" else config.network.kind, config.likelihood.options
        if family == "autoregressive-logistics":
            family, options = "autoregressive-bernoulli", OF_TWO_LEVELS | options
        config = replace_struct(
            config,
            likelihood=replace_struct(config.likelihood, family=family, options=options),
            network=replace_struct(config.network, kind=kind),
        )
    config, reasons = resolve(parts.having(config), data)
    if family.startswith("autoregressive-"):
        reasons = [f"likelihood: {family}, of each pixel given the latents and those before it that are near", *reasons]
    return config, reasons


_DEEP = replace(RECIPE, resolve=_resolve)
RECIPES = {"pixel-vae": replace(RECIPE, resolve=_resolve_pixels), "ladder-conv": _DEEP, "very-deep-vae": _DEEP}
"""What these recipes begin with."""
