"""Other priors, posteriors, networks and likelihoods under the same bound."""

from typing import Any

from latens.config import LikelihoodConfig, NetworkConfig, PosteriorConfig, PriorConfig
from latens.recipes.building.plan import recipe
from latens.recipes.building.recipe import Recipe

_SOFTPLUS = PosteriorConfig(scale="softplus")


def _prior(name: str, summary: str, source: str, use_when: str, kind: str, **options: Any) -> Recipe:
    prior = PriorConfig(kind=kind, options=options)
    return recipe(name, summary, source, use_when, prior=prior, posterior=_SOFTPLUS)


def _flow(name: str, summary: str, source: str, use_when: str, kind: str, layers: int) -> Recipe:
    posterior = PosteriorConfig(kind=kind, scale="softplus", options={"layers": layers})
    return recipe(name, summary, source, use_when, posterior=posterior)


def _network(name: str, summary: str, source: str, use_when: str, kind: Any) -> Recipe:
    network = NetworkConfig(kind=kind, activation="silu")
    return recipe(name, summary, source, use_when, network=network, posterior=_SOFTPLUS)


def _likelihood(name: str, summary: str, source: str, use_when: str, family: Any) -> Recipe:
    return recipe(name, summary, source, use_when, likelihood=LikelihoodConfig(family=family), posterior=_SOFTPLUS)


RECIPES = (
    _prior(
        "vamp-prior",
        "the average posterior of 500 trained pseudo-inputs as prior",
        "Tomczak & Welling (2018), arXiv 1705.07120",
        "a standard Normal holds the posterior back",
        "vamp",
        components=500,
    ),
    _prior(
        "exemplar-prior",
        "the average posterior of 500 training rows as prior",
        "Norouzi, Fleet & Norouzi (2020), arXiv 2004.04795",
        "you want a flexible prior without further arrays to train",
        "vamp",
        components=500,
        learned=False,
    ),
    _prior(
        "mixture-prior",
        "a trained mixture of 10 Normals as prior",
        "Dilokthanakul et al. (2016), arXiv 1611.02648",
        "the data fall into groups and you want the latents to show them",
        "mixture",
        components=10,
    ),
    _flow(
        "iaf",
        "two inverse autoregressive flows after the encoder's Normal",
        "Kingma et al. (2016), arXiv 1606.04934",
        "the posterior is no diagonal Normal",
        "iaf",
        layers=2,
    ),
    _flow(
        "planar-flow",
        "eight planar flows after the encoder's Normal, their parameters from the encoder",
        "Rezende & Mohamed (2015), arXiv 1505.05770",
        "the latent space is small and the posterior bent",
        "planar",
        layers=8,
    ),
    recipe(
        "two-level",
        "a second level of half as many latents above the first",
        "Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519; Rezende, Mohamed & Wierstra (2014), arXiv 1401.4082",
        "you want a hierarchy, or a better bound than one level gives",
        posterior=PosteriorConfig(scale="softplus", levels=(16,)),
    ),
    _network(
        "conv-vae",
        "strided convolutions and their mirror, 32 and 64 channels",
        "Radford, Metz & Chintala (2016), arXiv 1511.06434, without batch normalisation",
        "the data are images",
        "conv",
    ),
    _network(
        "residual-vae",
        "dense residual blocks",
        "He et al. (2016), arXiv 1603.05027",
        "you want deeper dense networks",
        "residual",
    ),
    _network(
        "recurrent-vae",
        "gated recurrent units along the first axis",
        "Fabius & van Amersfoort (2015), arXiv 1412.6581; Cho et al. (2014), arXiv 1406.1078",
        "rows are sequences of one length",
        "recurrent",
    ),
    _likelihood(
        "laplace-vae",
        "a Laplace likelihood: absolute instead of squared errors, as a density",
        "Kingma & Welling (2014), arXiv 1312.6114",
        "real columns have outliers",
        "laplace",
    ),
    _likelihood(
        "student-t-vae",
        "a Student-t likelihood with trained degrees of freedom",
        "Takahashi et al. (2018), IJCAI, 'Student-t variational autoencoder for robust density estimation'",
        "real columns have far outliers",
        "student-t",
    ),
    _likelihood(
        "logistic-vae",
        "a logistic likelihood",
        "Kingma et al. (2016), arXiv 1606.04934",
        "tails lie between Normal and Laplace",
        "logistic",
    ),
)
