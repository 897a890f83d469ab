"""Coins and choices as latents: relaxed ones, which pass gradients, and true ones, which need other gradients."""

from typing import Any

from latens.config import ObjectiveConfig, OptimizerConfig, PosteriorConfig
from latens.recipes.building.plan import recipe
from latens.recipes.building.recipe import Recipe

_ADAM = OptimizerConfig(name="adam", learning_rate=1e-3)


def _of(
    name: str,
    summary: str,
    source: str,
    use_when: str,
    kind: str,
    objective: str,
    posterior: Any = None,
    **options: Any,
) -> Recipe:
    chosen = PosteriorConfig(kind=kind, options=posterior or {})
    named = ObjectiveConfig(name=objective, options=options)
    return recipe(name, summary, source, use_when, posterior=chosen, objective=named, optimizer=_ADAM)


RECIPES = (
    _of(
        "gumbel-softmax",
        "relaxed choices among 10 by Gumbel noise, under a relaxed uniform prior",
        "Jang, Gu & Poole (2017), arXiv 1611.01144; Maddison, Mnih & Teh (2017), arXiv 1611.00712",
        "you want choices as codes and gradients of low variance",
        "concrete",
        "elbo",
    ),
    _of(
        "straight-through",
        "true choices among 10 whose gradient is that of relaxed ones",
        "Jang, Gu & Poole (2017), arXiv 1611.01144, section 2.2",
        "the decoder must see true choices and a biased gradient is no harm",
        "straight-through",
        "elbo",
    ),
    _of(
        "binary-concrete",
        "relaxed coins, under relaxed fair coins",
        "Maddison, Mnih & Teh (2017), arXiv 1611.00712, appendix B",
        "you want bits as codes and gradients of low variance",
        "relaxed-bernoulli",
        "elbo",
    ),
    _of(
        "joint-vae",
        "a Normal beside one relaxed choice among 10, the KL held at 10 nats",
        "Dupont (2018), arXiv 1804.00104, with one capacity for both groups",
        "the data have kinds and, within a kind, degrees",
        "joint",
        "elbo",
        {"variables": 1, "choices": 10},
        beta=30.0,
        capacity=10.0,
    ),
    _of(
        "categorical-vae",
        "true choices among 10 by the score function with leave-one-out baselines, 5 draws",
        "Kool, van Hoof & Welling (2019), 'Buy 4 REINFORCE samples, get a baseline for free!'",
        "you want choices as codes and an unbiased gradient",
        "categorical",
        "score-function",
        num_samples=5,
        kl="analytic",
    ),
    _of(
        "nvil",
        "coins by the score function with a trained baseline that sees the row",
        "Mnih & Gregor (2014), arXiv 1402.0030",
        "you want bits as codes and have time for one draw a row only",
        "bernoulli",
        "score-function",
        num_samples=1,
        baseline="learned",
    ),
    _of(
        "vimco",
        "coins; the importance-weighted bound by the score function, each draw's baseline from the others, 5 draws",
        "Mnih & Rezende (2016), arXiv 1602.06725",
        "you want bits as codes and a tight bound",
        "bernoulli",
        "vimco",
        num_samples=5,
    ),
    _of(
        "reweighted-wake-sleep",
        "coins; encoder and decoder by self-normalised importance weights of 10 draws",
        "Bornschein & Bengio (2015), arXiv 1406.2751",
        "draws have no gradient and the encoder should cover the posterior",
        "bernoulli",
        "reweighted-wake-sleep",
        num_samples=10,
    ),
)
