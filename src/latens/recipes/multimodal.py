"""Several modalities in one row, any of which may be missing: an encoder and a decoder for each."""

from typing import Any

from latens.config import LikelihoodConfig, ObjectiveConfig, PosteriorConfig
from latens.recipes.building.plan import recipe
from latens.recipes.building.recipe import Recipe


def _recipe(name: str, summary: str, source: str, use_when: str, rule: str, objective: str, **options: Any) -> Recipe:
    # A width that is added up or multiplied must not run away in one expert.
    posterior = PosteriorConfig(kind="experts", scale="softplus", options={"rule": rule})
    return recipe(
        name, summary, source, use_when, posterior=posterior, objective=ObjectiveConfig(name=objective, options=options)
    )


RECIPES = (
    _recipe(
        "mvae",
        "a product of the modalities' experts and the prior, trained on all, on each alone and on a random subset",
        "Wu & Goodman (2018), arXiv 1802.05335",
        "rows have parts of different kinds, some are missing, and each part adds evidence",
        "product",
        "subset-elbo",
    ),
    _recipe(
        "mmvae",
        "a mixture of the modalities' experts, each drawn 10 times, under an importance-weighted bound",
        "Shi, Siddharth, Paige & Torr (2019), arXiv 1911.03393",
        "each part should tell all that is shared, and you want one part from another",
        "mixture",
        "stratified-elbo",
        bound="iwae",
        num_samples=10,
    ),
    _recipe(
        "mopoe",
        "a mixture of the products of experts of all subsets of the modalities",
        "Sutter, Daunhawer & Vogt (2021), arXiv 2105.02470",
        "any subset of few parts may be what is observed",
        "mixture-of-products",
        "stratified-elbo",
        bound="components",
    ),
    _recipe(
        "jmvae",
        "an encoder of all modalities, and one for each that it is drawn to by a tenth of their KL",
        "Suzuki, Nakayama & Matsuo (2016), arXiv 1611.01891",
        "training rows are complete and single parts come later",
        "joint",
        "aligned-elbo",
    ),
    _recipe(
        "mvtcae",
        "a product of experts without the prior, drawn towards each expert by a total correlation of weight 0.9",
        "Hwang, Kim, Hong & Kim (2021), NeurIPS, 'Multi-view representation learning via total correlation objective'",
        "the codes of single parts should be those of the whole",
        "product-of-encoders",
        "aligned-elbo",
        form="total-correlation",
        alpha=0.9,
    ),
    recipe(
        "paired",
        "pictures in two forms, side by side: a mixture of the products of experts of all subsets, Normal cells",
        "Sutter, Daunhawer & Vogt (2021), arXiv 2105.02470",
        "every picture has a pair (`fit SOURCE --pair TARGET`), and you want one from the other (`latens translate`)",
        likelihood=LikelihoodConfig(family="normal"),
        posterior=PosteriorConfig(
            kind="experts", scale="softplus", options={"rule": "mixture-of-products", "split": "columns"}
        ),
        objective=ObjectiveConfig(name="stratified-elbo", options={"bound": "components"}),
    ),
)
