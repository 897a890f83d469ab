"""Posteriors that use the model itself, positive latents, and a smoother loss."""

from latens.config import LikelihoodConfig, ObjectiveConfig, PosteriorConfig
from latens.recipes.building.plan import recipe

RECIPES = (
    recipe(
        "hamiltonian-vae",
        "three tempered leapfrog steps on the model's own density after the encoder's draw",
        "Caterini, Doucet & Sejdinovic (2018), arXiv 1805.11328",
        "you want a posterior that follows the decoder and can pay some of its gradients for each draw",
        posterior=PosteriorConfig(kind="hamiltonian", scale="softplus"),
    ),
    recipe(
        "riemannian-hamiltonian-vae",
        "one tempered leapfrog step under a metric trained with the model; slow",
        "Chadebec, Mantoux & Allassonniere (2020), arXiv 2010.11518",
        "there are few rows, and latents between them should follow the shape of the data",
        posterior=PosteriorConfig(kind="riemannian", scale="softplus", options={"steps": 1, "centroids": 10}),
    ),
    recipe(
        "ladder-vae",
        "two levels whose posterior comes from the top down and shares the prior's networks",
        "Sonderby, Raiko, Maaloe, Sonderby & Winther (2016), arXiv 1602.02282",
        "you want a hierarchy whose upper level stays in use",
        posterior=PosteriorConfig(kind="ladder", scale="softplus", levels=(16,)),
    ),
    recipe(
        "gamma-vae",
        "Gamma latents, drawn with implicit gradients, under a Gamma prior",
        "Figurnov, Mohamed & Mnih (2018), arXiv 1805.08498",
        "a code should say how much of something there is: positive numbers",
        posterior=PosteriorConfig(kind="gamma"),
    ),
    recipe(
        "log-cosh-vae",
        "a hyperbolic secant likelihood: the log-cosh loss with its constant, as a density",
        "Chen, Chen & Zhang (2019), 'Log hyperbolic cosine loss improves variational auto-encoder'",
        "errors are Normal nearby and some are larger",
        likelihood=LikelihoodConfig(family="hyperbolic-secant"),
        posterior=PosteriorConfig(scale="softplus"),
    ),
    recipe(
        "renyi-divergence",
        "Renyi's divergence of order 1/2 from posterior to prior in the place of the KL",
        "Knoblauch, Jewson & Damoulas (2019), arXiv 1904.02063; Gil, Alajaji & Linder (2013)",
        "you want to try other divergences: objective.divergence=reverse-kl, alpha or chi-square too",
        posterior=PosteriorConfig(scale="softplus"),
        objective=ObjectiveConfig(options={"divergence": "renyi", "order": 0.5}),
    ),
)
