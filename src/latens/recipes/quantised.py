"""Latents that are codes: the bound counts log K nats for each of them."""

from typing import Any

from latens.config import ObjectiveConfig, PosteriorConfig
from latens.recipes.building.plan import recipe
from latens.recipes.building.recipe import Recipe


def _codes(
    name: str, summary: str, source: str, use_when: str, kind: str, objective: dict[str, Any], **options: Any
) -> Recipe:
    chosen = ObjectiveConfig(name="quantised", options=objective)
    posterior = PosteriorConfig(kind=kind, options=options)
    return recipe(name, summary, source, use_when, posterior=posterior, objective=chosen)


RECIPES = (
    _codes(
        "vq-vae",
        "groups of four units at the nearest of 256 vectors, trained by gradient",
        "van den Oord, Vinyals & Kavukcuoglu (2017), arXiv 1711.00937",
        "you want codes to count, store or model by their number",
        "vq",
        {},
    ),
    _codes(
        "vq-vae-ema",
        "the same vectors as moving averages of what they stand for, dead ones put back to use",
        "van den Oord, Vinyals & Kavukcuoglu (2017), arXiv 1711.00937, appendix A.1",
        "codes trained by gradient fall out of use",
        "vq",
        {},
        averaged=True,
    ),
    _codes(
        "residual-vq",
        "four codebooks, each for what those before it leave over",
        "Zeghidour et al. (2021), arXiv 2107.03312; Lee et al. (2022), arXiv 2203.01941",
        "one codebook is too coarse, and a larger one too large",
        "residual-vq",
        {},
    ),
    _codes(
        "fsq",
        "every unit rounded to 8 or 5 levels: 1000 codes for four units, and no codebook",
        "Mentzer et al. (2023), arXiv 2309.15505",
        "you want codes without losses, averages or dead codes to look after",
        "fsq",
        {"commitment": 0.0},
    ),
    _codes(
        "lookup-free",
        "every unit as its sign, kept in use by their entropy",
        "Yu et al. (2023), arXiv 2310.05737",
        "you want very many codes, or bits",
        "lookup-free",
        {"entropy": 0.1},
    ),
)
