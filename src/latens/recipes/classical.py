"""The classical family of latent Gaussian models and belief networks, with an encoder trained beside them."""

from typing import Any

from latens.config import (
    DataConfig,
    LikelihoodConfig,
    NetworkConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PosteriorConfig,
    PriorConfig,
)
from latens.recipes.building.plan import recipe
from latens.recipes.building.recipe import Recipe

_LINEAR = NetworkConfig(hidden=(), level_hidden=(), initializer="glorot-uniform")
_TANH = NetworkConfig(hidden=(50,), level_hidden=(50,), activation="tanh", initializer="glorot-uniform")
# Without decay or averaging: the optimum is that of the likelihood itself.
_ADAM = OptimizerConfig(name="adam", learning_rate=1e-2, schedule="cosine")
_BITS = {"likelihood": LikelihoodConfig(family="bernoulli"), "data": DataConfig(binarize="stochastic")}


def _factors(name: str, summary: str, source: str, use_when: str, **parts: Any) -> Recipe:
    """Linear in both directions; the exact posterior is a Normal with correlations, linear in x."""
    chosen = {"network": _LINEAR, "posterior": PosteriorConfig(kind="full-normal", scale="softplus"), **parts}
    return recipe(name, summary, source, use_when, optimizer=_ADAM, **chosen)


def _belief(name: str, summary: str, source: str, use_when: str, *, levels: Any = (), objective: Any) -> Recipe:
    return recipe(
        name,
        summary,
        source,
        use_when,
        network=_LINEAR,
        posterior=PosteriorConfig(kind="bernoulli", levels=levels),
        prior=PriorConfig(kind="coins"),
        objective=objective,
        optimizer=_ADAM,
        **_BITS,
    )


RECIPES = (
    _factors(
        "probabilistic-pca",
        "a linear decoder with one noise for all columns: at the optimum the principal components",
        "Tipping & Bishop (1999), 'Probabilistic principal component analysis'",
        "you want principal components with a density, or a yardstick for everything else",
        likelihood=LikelihoodConfig(family="normal", scale="shared"),
    ),
    _factors(
        "factor-analysis",
        "a linear decoder with a noise for each column",
        "Rubin & Thayer (1982), 'EM algorithms for ML factor analysis'",
        "columns are measured with noise of their own and share a few causes",
        likelihood=LikelihoodConfig(family="normal", scale="feature"),
    ),
    _factors(
        "logistic-factor-analysis",
        "a linear decoder to the logits of bits",
        "Bartholomew (1980), 'Factor analysis for categorical data'; Tipping (1999)",
        "columns are yes or no and share a few causes",
        **_BITS,
    ),
    recipe(
        "nonlinear-factor-analysis",
        "independent factors through one hidden layer of 50 tanh units, a noise for each column",
        "Lappalainen & Honkela (2000), 'Bayesian nonlinear independent component analysis by multi-layer perceptrons'",
        "columns share a few causes and bend with them",
        network=_TANH,
        posterior=PosteriorConfig(scale="softplus"),
        likelihood=LikelihoodConfig(family="normal", scale="feature"),
        optimizer=_ADAM,
    ),
    recipe(
        "nonlinear-gaussian-belief-network",
        "two levels of Normal units, each given the one above through tanh units",
        "Frey & Hinton (1999), 'Variational learning in nonlinear Gaussian belief networks'",
        "causes have causes of their own and the columns are real",
        network=_TANH,
        posterior=PosteriorConfig(scale="softplus", levels=(8,)),
        likelihood=LikelihoodConfig(family="normal", scale="feature"),
        optimizer=_ADAM,
    ),
    _belief(
        "sigmoid-belief-network",
        "one level of bits with trained probabilities, bits given them by logistic units",
        "Neal (1992), 'Connectionist learning of belief networks'; Mnih & Gregor (2014), arXiv 1402.0030",
        "both causes and columns are yes or no",
        objective=ObjectiveConfig(name="score-function", options={"num_samples": 10, "kl": "analytic"}),
    ),
    _belief(
        "helmholtz-machine",
        "two levels of bits, generation and recognition trained in turn by wake-sleep",
        "Dayan, Hinton, Neal & Zemel (1995), 'The Helmholtz machine'; Hinton et al. (1995), Science 268",
        "you study where variational autoencoders come from",
        levels=(8,),
        objective=ObjectiveConfig(name="wake-sleep"),
    ),
)
