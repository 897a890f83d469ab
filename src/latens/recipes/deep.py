"""Deep models of pictures: levels at every size from the top down, and pixels that depend on one another."""

from dataclasses import replace
from typing import Any

from msgspec.structs import replace as replace_struct

from latens.config import LikelihoodConfig, NetworkConfig, OptimizerConfig, PosteriorConfig, VAEConfig
from latens.data import Dataset
from latens.recipes.building.pictures import for_hierarchy
from latens.recipes.building.plan import NETWORK, recipe, resolve
from latens.recipes.building.recipe import Recipe

PIXELS = LikelihoodConfig(family="autoregressive-logistics")

OF_TWO_LEVELS = {"features": 8, "block": 2, "neighbour_units": 16, "rows": 4, "sides": 5}
"""Options of the likelihood of pixels of two levels, chosen on validation pictures of binarised MNIST."""


def _resolve(config: VAEConfig, data: Dataset) -> tuple[VAEConfig, list[str]]:
    config, reasons = for_hierarchy(config, data)
    config, others = resolve(config, data)
    return config, [*reasons, *others]


def _deep(name: str, summary: str, source: str, use_when: str, blocks: int, **parts: Any) -> Recipe:
    network = NetworkConfig(kind="conv", activation="silu", blocks=blocks)
    optimizer = OptimizerConfig(
        name="adamw",
        learning_rate=2e-3,
        schedule="schedule-free",
        warmup_steps=100,
        clip_norm=200.0,
        options={"b1": 0.0, "b2": 0.99},
    )
    posterior = PosteriorConfig(kind="top-down", latent_dim=4)
    made = recipe(name, summary, source, use_when, network=network, optimizer=optimizer, posterior=posterior, **parts)
    return replace(made, resolve=_resolve)


def _resolve_pixels(config: VAEConfig, data: Dataset) -> tuple[VAEConfig, list[str]]:
    family = config.likelihood.family
    if data.schema.kind == "binary" or config.data.binarize != "none":
        # The same head for two levels; networks of pictures with many levels are no default for these.
        kind, options = "dense" if config.network.kind == "auto" else config.network.kind, config.likelihood.options
        if family == PIXELS.family:
            family, options = "autoregressive-bernoulli", OF_TWO_LEVELS | options
        config = replace_struct(
            config,
            likelihood=replace_struct(config.likelihood, family=family, options=options),
            network=replace_struct(config.network, kind=kind),
        )
    config, reasons = resolve(config, data)
    if family.startswith("autoregressive-"):
        reasons = [f"likelihood: {family}, of each pixel given the latents and those before it that are near", *reasons]
    return config, reasons


RECIPES = (
    replace(
        recipe(
            "pixel-vae",
            "pixels that depend on their neighbours before them, and latents for the rest",
            "Gulrajani et al. (2017), arXiv 1611.05013; Chen et al. (2017), arXiv 1611.02731",
            "the data are pictures, and log p(x) and sharp samples count for more than the time of one sample",
            network=replace_struct(NETWORK, kind="auto"),
            likelihood=PIXELS,
        ),
        resolve=_resolve_pixels,
    ),
    _deep(
        "ladder-conv",
        "a convolutional ladder: one level of latents at each size of a picture, from the top down",
        "Sonderby et al. (2016), arXiv 1602.02282; Vahdat & Kautz (2020), arXiv 2007.03898",
        "the data are pictures and you want a hierarchy",
        1,
    ),
    _deep(
        "very-deep-vae",
        "three levels of latents at each size of a picture, from the top down",
        "Child (2021), arXiv 2011.10650; Vahdat & Kautz (2020), arXiv 2007.03898",
        "the data are pictures, and there are hours or an accelerator",
        3,
    ),
)
