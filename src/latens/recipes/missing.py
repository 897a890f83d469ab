"""Rows with missing cells: trained on what is observed, and able to say what is not."""

from latens.config import LikelihoodConfig, NetworkConfig, ObjectiveConfig, OptimizerConfig, PosteriorConfig
from latens.recipes.building.plan import recipe

_PARTS = {
    "network": NetworkConfig(activation="tanh", initializer="glorot-uniform", hidden=(128, 128)),
    "posterior": PosteriorConfig(scale="softplus"),
    "objective": ObjectiveConfig(name="iwae", options={"num_samples": 20}),
    "optimizer": OptimizerConfig(name="adam", learning_rate=1e-3),
}

RECIPES = (
    recipe(
        "miwae-missing",
        "importance-weighted bound of the observed cells, 20 draws",
        "Mattei & Frellsen (2019), arXiv 1812.02633",
        "cells are missing and you want them filled in (latens impute)",
        likelihood=LikelihoodConfig(family="normal"),
        **_PARTS,
    ),
    recipe(
        "not-miwae",
        "the same with a model of the mask: a cell may be missing because of its own value",
        "Ipsen, Mattei & Frellsen (2021), arXiv 2006.12871",
        "large or small values are the ones that are missing",
        likelihood=LikelihoodConfig(family="normal", missing="self-masking"),
        **_PARTS,
    ),
)
