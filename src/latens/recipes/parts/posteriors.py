"""The posteriors by name: their heads, the prior each goes with by nature, and what a decoder sees of a latent."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax.numpy as jnp
from msgspec import Meta

from latens.config import Part, PosteriorConfig, Width
from latens.errors import ConfigError
from latens.models import (
    AbstractHead,
    BernoulliHead,
    CategoricalHead,
    ConcreteHead,
    DeterministicHead,
    Direction,
    DirichletHead,
    FullNormalHead,
    JointHead,
    LaplaceHead,
    LogisticHead,
    LowRankNormalHead,
    NormalHead,
    PositiveHead,
    PowerSphericalHead,
    RelaxedBernoulliHead,
    Shares,
    SideBySide,
    StraightThroughHead,
    StudentTHead,
    Tangent,
    VonMisesFisherHead,
    WrappedNormalHead,
    flow_head,
)
from latens.recipes.parts.modalities import ExpertsOptions, by_part
from latens.recipes.parts.model_posteriors import model_posteriors
from latens.recipes.parts.options import lookup, read_options
from latens.recipes.parts.posterior_row import Choices, Posterior, Shape, Temperature
from latens.recipes.parts.quantised_posteriors import CODES
from latens.typing import Key


class RankOptions(Part, frozen=True):
    """A Normal whose covariance is diagonal plus of low rank."""

    rank: Annotated[int, Meta(ge=1, le=4096)] = 2


class FlowOptions(Part, frozen=True):
    """Autoregressive flows after a Normal."""

    layers: Annotated[int, Meta(ge=1, le=64)] = 2  # the number of flows
    width: Width = 64  # the hidden width of each
    context_size: Annotated[int, Meta(ge=0, le=4096)] = 16  # how many further outputs of the encoder every flow reads


class PlanarOptions(Part, frozen=True):
    """Planar flows after a Normal."""

    layers: Annotated[int, Meta(ge=1, le=64)] = 8  # the number of flows


class CoinOptions(Part, frozen=True):
    """Relaxed Bernoulli latents."""

    temperature: Temperature = 0.5  # the temperature of the relaxation; near 0 the latents are near 0 or 1


class ChoiceOptions(Part, frozen=True):
    """Categorical latents."""

    choices: Choices = 10  # the number of categories of each


class RelaxedOptions(Part, frozen=True):
    """Relaxed categorical latents."""

    choices: Choices = 10  # the number of categories of each
    temperature: Temperature = 2.0 / 3.0  # the temperature of the relaxation; near 0 the latents are near one-hot


class JointOptions(Part, frozen=True):
    """Relaxed categorical latents beside a Normal."""

    variables: Annotated[int, Meta(ge=1, le=4096)] = 1  # the number of categorical latents
    choices: Choices = 10  # the number of categories of each
    temperature: Temperature = 2.0 / 3.0  # the temperature of the relaxation; near 0 the latents are near one-hot


def _normal(shape: tuple[int, ...], config: PosteriorConfig) -> NormalHead:
    if config.scale == "auto":
        raise ConfigError("the configuration is not resolved.", where="posterior.scale", fix="Name a scale.")
    return NormalHead(shape, config.scale, config.scale_floor)


def _heavy(kind: Callable[..., AbstractHead], **given: Any) -> Callable[..., AbstractHead]:
    return lambda s, c, o, key: kind(shape=s, scale=_normal(s, c).scale, scale_floor=c.scale_floor, **given)


def _flow(kind: Literal["iaf", "planar"]) -> Callable[..., AbstractHead]:
    def make(shape: tuple[int, ...], config: PosteriorConfig, options: Any, key: Key) -> AbstractHead:
        sizes = {"width": getattr(options, "width", 1), "context_size": getattr(options, "context_size", 0)}
        return flow_head(_normal(shape, config), kind, layers=options.layers, **sizes, key=key)

    return make


def _low_rank(shape: tuple[int, ...], config: PosteriorConfig, options: RankOptions, key: Key) -> AbstractHead:
    if options.rank >= shape[0]:
        what = f"the rank ({options.rank}) must be smaller than the number of latent dimensions ({shape[0]})."
        raise ConfigError(what, where="posterior.rank", fix="Lower posterior.rank, or use --set posterior=full-normal.")
    return LowRankNormalHead(normal=_normal(shape, config), rank=options.rank)  # pyright: ignore[reportCallIssue]


def _on_sphere(kind: Callable[..., AbstractHead]) -> Callable[..., AbstractHead]:
    def make(shape: tuple[int, ...], config: PosteriorConfig, options: Any, key: Key) -> AbstractHead:
        _at_least_two(shape[0], "a sphere")
        return kind(shape)

    return make


def _shares(shape: tuple[int, ...], config: PosteriorConfig, options: Any, key: Key) -> AbstractHead:
    _at_least_two(shape[0], "shares")
    return DirichletHead(shape)


def _at_least_two(size: int, what: str) -> None:
    if size < 2:
        message = f"a posterior of {what} needs posterior.latent_dim of 2 or more, not {size}."
        raise ConfigError(message, where="posterior.latent_dim", fix="Add --set posterior.latent_dim=2.")


def _joint(shape: dict[str, tuple[int, ...]], config: PosteriorConfig, options: JointOptions, key: Key) -> AbstractHead:
    parts: dict[str, AbstractHead] = {
        "choice": ConcreteHead(shape["choice"], options.temperature),
        "real": _normal(shape["real"], config),
    }
    return JointHead(parts=parts)  # pyright: ignore[reportCallIssue]


def _each(n: int, options: Any) -> Shape:
    return (n, options.choices)


_SPHERE = {"prior": "uniform-sphere", "support": "sphere", "sees": lambda options: Direction()}

POSTERIORS: dict[str, Posterior] = {
    "normal": Posterior(
        "a Normal with independent units",
        lambda s, c, o, key: _normal(s, c),
        "standard-normal",
        scaled=True,
        stacks=True,
    ),
    "full-normal": Posterior(
        "a Normal with all correlations",
        lambda s, c, o, key: FullNormalHead(normal=_normal(s, c)),  # pyright: ignore[reportCallIssue]
        "standard-normal",
        scaled=True,
        stacks=True,
    ),
    "low-rank-normal": Posterior(
        "a Normal with a few common directions", _low_rank, "standard-normal", options=RankOptions, scaled=True
    ),
    "laplace": Posterior("independent Laplace units", _heavy(LaplaceHead), "laplace", scaled=True, stacks=True),
    "logistic": Posterior("independent logistic units", _heavy(LogisticHead), "logistic", scaled=True, stacks=True),
    "student-t": Posterior(
        "independent Student-t units, their degrees of freedom trained",
        lambda s, c, o, key: _heavy(StudentTHead, raw_df=jnp.zeros(()))(s, c, o, key),
        "student-t",
        scaled=True,
        stacks=True,
    ),
    "iaf": Posterior(
        "inverse autoregressive flows after a Normal", _flow("iaf"), "standard-normal", options=FlowOptions, scaled=True
    ),
    "planar": Posterior(
        "planar flows after a Normal", _flow("planar"), "standard-normal", options=PlanarOptions, scaled=True
    ),
    "deterministic": Posterior(
        "a point: a plain autoencoder",
        lambda s, c, o, key: DeterministicHead(s),
        "standard-normal",
        stacks=True,
        is_point=True,
    ),
    "von-mises-fisher": Posterior("a direction, von Mises-Fisher", _on_sphere(VonMisesFisherHead), **_SPHERE),
    "power-spherical": Posterior("a direction, power spherical", _on_sphere(PowerSphericalHead), **_SPHERE),
    "poincare": Posterior(
        "a Normal wrapped onto the Poincare ball; the decoder sees tangent coordinates",
        lambda s, c, o, key: WrappedNormalHead(normal=_normal(s, c)),  # pyright: ignore[reportCallIssue]
        "wrapped-normal",
        "ball",
        sees=lambda options: Tangent(),
        scaled=True,
    ),
    "bernoulli": Posterior(
        "coins, without reparameterisation", lambda s, c, o, key: BernoulliHead(s), "fair-coins", "coins", stacks=True
    ),
    "categorical": Posterior(
        "choices, without reparameterisation; the decoder sees them one-hot",
        lambda s, c, o, key: CategoricalHead(s[:1], o.choices),
        "uniform-choices",
        "choices",
        ChoiceOptions,
        _each,
        lambda options: SideBySide(options.choices),
    ),
    "relaxed-bernoulli": Posterior(
        "relaxed coins",
        lambda s, c, o, key: RelaxedBernoulliHead(s, o.temperature),
        "relaxed-coins",
        "relaxed coins",
        CoinOptions,
    ),
    "concrete": Posterior(
        "relaxed one-hot choices (Concrete, Gumbel-softmax)",
        lambda s, c, o, key: ConcreteHead(s, o.temperature),
        "uniform-concrete",
        "relaxed",
        RelaxedOptions,
        _each,
    ),
    "straight-through": Posterior(
        "one-hot choices with the gradient of relaxed ones",
        lambda s, c, o, key: StraightThroughHead(s, o.temperature),
        "uniform-one-hot",
        "one-hot",
        RelaxedOptions,
        _each,
    ),
    "logistic-normal": Posterior(
        "shares as the softmax of a Normal",
        lambda s, c, o, key: _normal(s, c),
        "logistic-normal",
        sees=lambda options: Shares(),
        scaled=True,
    ),
    "gamma": Posterior("positive units, Gamma", lambda s, c, o, key: PositiveHead(s), "gamma", "positive", stacks=True),
    "dirichlet": Posterior("shares, Dirichlet", _shares, "dirichlet", "shares"),
    "joint": Posterior(
        "a Normal beside relaxed one-hot choices",
        _joint,
        "joint",
        "joint",
        JointOptions,
        lambda n, o: {"choice": (o.variables, o.choices), "real": (n,)},
        lambda options: SideBySide(),
        scaled=True,
    ),
    "experts": Posterior(
        "a Normal from each part of a row, any of which may be missing, made one: by product, mixture or both",
        lambda s, c, o, key: _normal(s, c),
        "standard-normal",
        options=ExpertsOptions,
        scaled=True,
        by_part=by_part,
    ),
    **{name: Posterior(**row) for name, row in CODES.items()},
    **model_posteriors(_normal),
}
"""What `posterior.kind` may be."""


def posterior_of(config: PosteriorConfig) -> Posterior:
    """The row of the table that a configuration names."""
    return lookup(POSTERIORS, config.kind, "posterior.kind")


def posterior_head(config: PosteriorConfig, latent: Shape, *, key: Key) -> AbstractHead:
    """The head of a posterior over latents of this shape."""
    row = posterior_of(config)
    return row.make(latent, config, read_options(row.options, config.options, "posterior"), key=key)
