"""Latents elsewhere than in a plain vector of independent Normals: correlated, on a sphere, on a ball, as shares."""

from typing import Any

from latens.config import LikelihoodConfig, NetworkConfig, PosteriorConfig, PriorConfig
from latens.recipes.building.plan import NETWORK, recipe
from latens.recipes.building.recipe import Recipe


def _posterior(
    name: str, summary: str, source: str, use_when: str, kind: str, *, parts: Any = None, **options: Any
) -> Recipe:
    posterior = PosteriorConfig(kind=kind, options=options)
    return recipe(name, summary, source, use_when, posterior=posterior, **(parts or {}))


RECIPES = (
    _posterior(
        "hyperspherical-vae",
        "directions as latents: von Mises-Fisher posteriors under a uniform prior on the sphere",
        "Davidson, Falorsi, De Cao, Kipf & Tomczak (2018), arXiv 1804.00891",
        "only the direction of a code should count, in few dimensions",
        "von-mises-fisher",
    ),
    _posterior(
        "power-spherical-vae",
        "directions as latents: power spherical posteriors, drawn without rejection, under a uniform prior",
        "De Cao & Aziz (2020), 'The power spherical distribution'",
        "only the direction of a code should count, in many dimensions too",
        "power-spherical",
    ),
    _posterior(
        "poincare-vae",
        "latents on the Poincare ball: wrapped Normals, the decoder sees tangent coordinates",
        "Mathieu, Le Lan, Maddison, Tomioka & Teh (2019), arXiv 1901.06033; Nagano et al. (2019)",
        "the data branch like a tree and a few latents should show it",
        "poincare",
    ),
    _posterior(
        "full-covariance-vae",
        "a Normal posterior with all correlations between the units",
        "Kingma & Welling (2019), arXiv 1906.02691",
        "units explain each other away and there are few of them",
        "full-normal",
    ),
    _posterior(
        "low-rank-vae",
        "a Normal posterior with two common directions beside the noise of each unit",
        "Ong, Nott & Smith (2018), 'Gaussian variational approximation with a factor covariance structure'",
        "units explain each other away and there are many of them",
        "low-rank-normal",
        rank=2,
    ),
    _posterior(
        "student-t-latents",
        "Student-t units in prior and posterior",
        "Abiri & Ohlsson (2020), 'Variational auto-encoders with Student's t-prior'",
        "some rows lie far from all others and their codes should be free to",
        "student-t",
    ),
    _posterior(
        "dirichlet-vae",
        "shares as latents: Dirichlet posteriors under a Dirichlet prior",
        "Joo, Lee, Park & Moon (2019), arXiv 1901.02739",
        "a row is a mixture of a few things and the code should say how much of each",
        "dirichlet",
    ),
    _posterior(
        "prodlda",
        "topics: shares by the softmax of a Normal near a Dirichlet, from them linearly to log Poisson rates",
        "Srivastava & Sutton (2017), arXiv 1703.01488 (there with a multinomial: Poisson counts given their total)",
        "rows are counts of words and you want topics",
        "logistic-normal",
        parts={
            "network": NetworkConfig(activation=NETWORK.activation, decoder_hidden=()),
            "likelihood": LikelihoodConfig(family="poisson"),
        },
    ),
    recipe(
        "flow-prior",
        "a prior by two autoregressive flows, whose density is one pass",
        "Chen et al. (2017), arXiv 1611.02731",
        "a standard Normal holds the posterior back and a mixture is too coarse",
        prior=PriorConfig(kind="flow"),
        posterior=PosteriorConfig(scale="softplus"),
    ),
)
