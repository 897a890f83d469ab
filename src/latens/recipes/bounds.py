"""Other bounds and other gradients: what is maximised, and how its gradient is estimated."""

from typing import Any

from latens.config import LikelihoodConfig, ObjectiveConfig, OptimizerConfig, PosteriorConfig
from latens.recipes.building.plan import recipe
from latens.recipes.building.recipe import Recipe

_SOFTPLUS = PosteriorConfig(scale="softplus")


def _bound(name: str, summary: str, source: str, use_when: str, objective: str, **options: Any) -> Recipe:
    chosen = ObjectiveConfig(name=objective, options=options)
    return recipe(name, summary, source, use_when, objective=chosen, posterior=_SOFTPLUS)


RECIPES = (
    _bound(
        "iwae",
        "importance-weighted bound with 50 draws",
        "Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519",
        "you want a tighter bound and a better log p(x), and draws are cheap",
        "iwae",
        num_samples=50,
    ),
    _bound(
        "iwae-5",
        "importance-weighted bound with 5 draws",
        "Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519",
        "you want some of the gain of importance weighting at a tenth of its cost",
        "iwae",
        num_samples=5,
    ),
    _bound(
        "dreg",
        "importance-weighted bound with doubly reparameterised gradients, 50 draws",
        "Tucker, Lawson, Gu & Maddison (2019), arXiv 1810.04152",
        "you use many draws and the encoder's gradient gets noisy",
        "iwae",
        num_samples=50,
        gradient="dreg",
    ),
    _bound(
        "sticking-the-landing",
        "the ELBO by a single-draw gradient that vanishes at the exact posterior",
        "Roeder, Wu & Duvenaud (2017), arXiv 1703.09194",
        "the posterior is nearly right and the last noise should go",
        "iwae",
        num_samples=1,
        gradient="stl",
    ),
    _bound(
        "miwae",
        "the mean of 8 importance-weighted bounds of 8 draws",
        "Rainforth et al. (2018), arXiv 1802.04537",
        "you want a tight bound without starving the encoder of signal",
        "miwae",
        num_samples=8,
        num_averages=8,
    ),
    _bound(
        "piwae",
        "the encoder under 8 bounds of 8 draws, the decoder under one of 64",
        "Rainforth et al. (2018), arXiv 1802.04537",
        "you want IWAE's decoder and a well-trained encoder",
        "piwae",
        num_samples=8,
        num_averages=8,
    ),
    _bound(
        "ciwae",
        "half ELBO, half importance-weighted bound of 50 draws",
        "Rainforth et al. (2018), arXiv 1802.04537",
        "you want something between the two bounds",
        "ciwae",
        num_samples=50,
        beta=0.5,
    ),
    _bound(
        "renyi",
        "Renyi's bound with alpha 1/2 and 5 draws",
        "Li & Turner (2016), arXiv 1602.02311",
        "you want a posterior that covers more than KL's does",
        "renyi",
        num_samples=5,
        alpha=0.5,
    ),
    _bound(
        "chi",
        "the encoder under a chi-square upper bound, the model under the importance-weighted one, 50 draws",
        "Dieng et al. (2017), arXiv 1611.00328",
        "the posterior must cover, or you want log p(x) from above as well",
        "chi-upper-bound",
        num_samples=50,
    ),
    _bound(
        "wake-sleep",
        "the decoder awake on data, the encoder asleep on the model's own dreams",
        "Hinton, Dayan, Frey & Neal (1995), Science 268",
        "you study the algorithm that came before",
        "wake-sleep",
    ),
    _bound(
        "score-function",
        "the ELBO by the score function with leave-one-out baselines, 5 draws",
        "Mnih & Gregor (2014), arXiv 1402.0030; Kool, van Hoof & Welling (2019)",
        "you compare with gradients that need no reparameterisation",
        "score-function",
        num_samples=5,
    ),
    _bound(
        "multi-sample",
        "the ELBO with 10 draws a row",
        "Kingma & Welling (2014), arXiv 1312.6114",
        "training is noisy and you have time",
        "elbo",
        num_samples=10,
    ),
    _bound(
        "free-bits",
        "a quarter of a nat that every unit may use freely",
        "Kingma et al. (2016), arXiv 1606.04934",
        "units collapse and you want them used",
        "elbo",
        free_bits=0.25,
    ),
    recipe(
        "kl-warmup",
        "the KL's weight raised from 0 to 1 over 10 epochs",
        "Sonderby et al. (2016), arXiv 1602.02282; Bowman et al. (2016), arXiv 1511.06349",
        "units collapse in the first epochs",
        objective=ObjectiveConfig(beta_warmup_epochs=10.0),
        posterior=_SOFTPLUS,
    ),
    recipe(
        "sigma-vae",
        "the Normal likelihood's scale at its best for each batch",
        "Rybkin, Daniilidis & Levine (2021), arXiv 2006.13202",
        "you would otherwise tune beta for a squared error",
        objective=ObjectiveConfig(name="sigma-vae"),
        likelihood=LikelihoodConfig(family="normal", scale="shared"),
        posterior=_SOFTPLUS,
        optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
    ),
)
