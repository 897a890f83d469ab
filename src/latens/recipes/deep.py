"""Deep hierarchies of pictures: levels at every size, from the top down."""

from dataclasses import replace
from typing import Any

from latens.building.pictures import for_hierarchy
from latens.building.plan import recipe, resolve
from latens.building.recipe import Recipe
from latens.config import NetworkConfig, OptimizerConfig, PosteriorConfig, VAEConfig
from latens.data import Dataset


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


RECIPES = (
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
