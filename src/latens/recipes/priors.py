"""The priors by name: where their latents lie, their options, and how they start."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from msgspec import Meta

from latens import distributions as d
from latens import models as m
from latens.config import ConfigSection, Positive, Width
from latens.distributions import AbstractDistribution, StandardNormal
from latens.distributions.bijections import Autoregressive, Inverse, Scaled, Stack
from latens.distributions.chain import Transformed
from latens.models import AbstractModelPrior, ClassPrior
from latens.recipes.part_tables import PartRow
from latens.recipes.posteriors import Support, Temperature
from latens.trainable import Frozen
from latens.typing import Key


class MixtureOptions(ConfigSection, frozen=True):
    """A trained mixture of Normals."""

    components: int = 10  # the number of components


class VampOptions(ConfigSection, frozen=True):
    """The average posterior of pseudo-inputs."""

    components: int = 500  # the number of pseudo-inputs
    learned: bool = True  # whether they are trained; else they stay the rows at which they start


class TemperatureOptions(ConfigSection, frozen=True):
    """A relaxed discrete prior."""

    temperature: Temperature = 0.5  # the temperature of the relaxation; near 0 the latents are near discrete


class ConcentrationOptions(ConfigSection, frozen=True):
    """A symmetric Dirichlet, or the Normal whose softmax is near one."""

    concentration: Positive = 1.0  # the concentration of every component


class TransformerOptions(ConfigSection, frozen=True):
    """A causal transformer over codes that depend on all before them."""

    layers: Annotated[int, Meta(ge=1, le=64)] = 2  # the number of blocks
    width: Width = 128  # the number of units of each place, a multiple of `heads`
    heads: Annotated[int, Meta(ge=1, le=64)] = 4  # the number of attentions in a block
    # the number of codes that are drawn at once, a divisor of the number of codes
    together: Annotated[int, Meta(ge=1)] = 1


class FlowPriorOptions(ConfigSection, frozen=True):
    """Trained autoregressive flows of a standard Normal."""

    layers: Annotated[int, Meta(ge=1, le=64)] = 2  # the number of flows
    width: Width = 64  # the hidden width of each


class FlowMatchingOptions(ConfigSection, frozen=True):
    """A velocity that carries noise to latents."""

    width: Width = 256  # the units of each of its two hidden layers
    steps: Annotated[int, Meta(ge=1, le=1000)] = 20  # the steps of its solver
    # of models that read labels: 1 samples as trained, above 1 nearer to what tells the class from the others
    guidance: Annotated[float, Meta(ge=0.0, le=100.0)] = 1.0


@dataclass(frozen=True)
class Prior(PartRow):
    """One row of the table of priors."""

    what: str  # the prior in a few words
    # makes the prior from the shape of a latent (of codes: their head), the shape of a row, a key and the options: a
    # distribution (its arrays are trained) or an `AbstractModelPrior`
    make: Callable[..., AbstractDistribution | AbstractModelPrior]
    # where its latents lie; "any" where it takes the support of the posterior; "given" where it is an object of the
    # user's, which knows
    support: Support | str = "vector"
    # makes one that reads the label, from the number of classes and what `make` takes; None: no such prior
    by_class: Callable[..., AbstractModelPrior | ClassPrior] | None = None


def _fixed(make: Callable[..., AbstractDistribution]) -> Callable[..., m.FixedPrior]:
    return lambda latent, x, *, key, **options: m.FixedPrior(Frozen(make(latent, **options)))


def _logistic_normal(latent: tuple[int, ...], concentration: float) -> d.DiagonalNormal:
    """Srivastava & Sutton (2017), section 3.2: of a symmetric Dirichlet, variance (1 - 1/K)/a for every unit."""
    (topics,) = latent
    variance = max(1.0 - 1.0 / topics, 1e-6) / concentration
    return d.DiagonalNormal(jnp.zeros(latent), jnp.full(latent, 0.5 * math.log(variance)))


def _flow(latent: tuple[int, ...], x: tuple[int, ...], *, layers: int, width: int, key: Key) -> Transformed:
    flows = tuple(Autoregressive.create(latent[0], 0, width, key=k) for k in jax.random.split(key, layers))
    # Backwards: a density, which every training step needs, is one pass; a draw is one pass for each unit.
    # Flows only shrink; scales of their own let them fit codes of any size.
    return Transformed(StandardNormal(latent), Scaled(Inverse(Stack(flows)), jnp.zeros(latent), jnp.zeros(latent)))


PRIORS: dict[str, Prior] = {
    "standard-normal": Prior(
        "a standard Normal",
        lambda latent, x, *, key: StandardNormal(latent),
        by_class=lambda classes, latent, x, *, key: ClassPrior.create(classes, latent),
    ),
    "full-normal": Prior(
        "a trained Normal with all correlations",
        lambda latent, x, *, key: d.FullNormal(jnp.zeros(latent), jnp.zeros(latent * 2)),
    ),
    "mixture": Prior("a trained mixture of Normals", m.MixturePrior.create, options=MixtureOptions),
    "full-mixture": Prior(
        "a trained mixture of Normals with all correlations", m.FullMixturePrior.create, options=MixtureOptions
    ),
    "vamp": Prior("the average posterior of pseudo-inputs", m.VampPrior.create, "any", options=VampOptions),
    "flow": Prior("trained autoregressive flows of a standard Normal", _flow, options=FlowPriorOptions),
    "flow-matching": Prior(
        "a velocity that carries noise to latents",
        m.FlowMatching.create,
        by_class=lambda classes, latent, x, **given: m.FlowMatching.create(latent, x, classes=classes, **given),
        options=FlowMatchingOptions,
    ),
    "logistic-normal": Prior(
        "the Normal whose softmax is near a Dirichlet", _fixed(_logistic_normal), options=ConcentrationOptions
    ),
    "uniform-sphere": Prior(
        "uniform directions", lambda latent, x, *, key: d.UniformSphere(latent[0]), support="sphere"
    ),
    "fair-coins": Prior("coins of probability 1/2", _fixed(lambda s: d.Bernoulli(jnp.zeros(s))), support="coins"),
    "coins": Prior(
        "coins of trained probabilities", lambda latent, x, *, key: d.Bernoulli(jnp.zeros(latent)), support="coins"
    ),
    "uniform-choices": Prior(
        "equally likely choices", _fixed(lambda s: d.Categorical(jnp.zeros(s))), support="choices"
    ),
    "choices": Prior(
        "choices of trained probabilities",
        lambda latent, x, *, key: d.Categorical(jnp.zeros(latent)),
        support="choices",
    ),
    "transformer": Prior(
        "codes that depend on all before them, by attention",
        m.TransformerCodePrior.create,
        "codes",
        lambda classes, head, x, **given: m.TransformerCodePrior.create(head, x, classes=classes, **given),
        options=TransformerOptions,
    ),
    "uniform-codes": Prior("every code alike", lambda latent, x, *, key: m.CodePrior(), support="codes"),
    "uniform-concrete": Prior(
        "relaxed one-hot choices, equally likely",
        _fixed(lambda s, temperature: d.RelaxedOneHot(jnp.zeros(s), jnp.log(jnp.asarray(temperature)))),
        "relaxed",
        options=TemperatureOptions,
    ),
}
"""What `prior.kind` may be."""
