"""The posteriors and priors by name: their heads and options, where latents lie, and what a decoder sees of one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from latens import distributions as d
from latens import models as m
from latens.config import ConfigSection, Positive, PosteriorConfig, PriorConfig, VAEConfig, Width
from latens.data import Schema
from latens.data.schema import restricted
from latens.distributions import AbstractDistribution, Blocks, StandardNormal
from latens.distributions.chain import Autoregressive, Inverse, Scaled, Stack, Transformed
from latens.errors import ConfigError
from latens.models import AbstractHead, AbstractModelPrior, ByModality, ClassPrior, Experts, LatentModel, NormalHead
from latens.recipes.part_tables import PartRow
from latens.recipes.state_space_parts import StepOptions, state_space_model, step_schema, top_down_model
from latens.trainable import Frozen
from latens.typing import Key

MOST = 16


class ExpertsOptions(ConfigSection, frozen=True):
    """How the experts of several modalities are made one, and how a row is split into modalities."""

    # how the experts are made one (see `latens.models.Experts`)
    rule: Literal["product", "mixture", "mixture-of-products"] = "product"
    # how a row is split: by the `names` of its columns up to the first "." (or "_"), or into `parts` equal ones along
    # its `rows` (the first axis), `columns` or `channels`; "auto" is by names where every one has a ".", else by rows
    split: Literal["auto", "names", "rows", "columns", "channels"] = "auto"
    # into how many equal parts a row is split, 2 to 16, where it is not split by names
    parts: Annotated[int, Meta(ge=2, le=MOST)] = 2


def by_part(
    build: Callable[..., LatentModel], schema: Schema, config: VAEConfig, options: ExpertsOptions, *, key: Key
) -> tuple[Experts, ByModality]:
    """Encoder and decoder of a model of several modalities, each modality with networks as `build` makes them."""
    if config.posterior.levels:
        raise ConfigError("models of several modalities have one level.", where="posterior.levels",
                          fix="Leave it as it is, or use another posterior.")  # fmt: skip
    blocks = blocks_of(schema, options)
    plain = replace(
        config,
        posterior=replace(config.posterior, kind="normal", options={}),
        prior=PriorConfig(kind="standard-normal"),
        label=replace(config.label, prior="shared"),
    )
    made = {
        name: build(_part_of(schema, blocks, places), plain, key=jax.random.fold_in(key, i))
        for i, (name, places) in enumerate(zip(blocks.names, blocks.places))
    }
    encoders, decoders = {n: m.encoder for n, m in made.items()}, {n: m.decoder for n, m in made.items()}
    return Experts(encoders, options.rule, blocks), ByModality(decoders, blocks)


def blocks_of(schema: Schema, options: ExpertsOptions) -> Blocks:
    """Which features of a row belong to which modality."""
    names = schema.names
    split = options.split
    if split == "auto":
        split = "names" if names and all("." in name for name in names) else "rows"
    if split == "names":
        mark = "." if all("." in name for name in names) else "_"
        groups: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            groups.setdefault(name.split(mark)[0], []).append(place)
        if not 2 <= len(groups) <= MOST:
            what = f"the names of the columns have {len(groups)} different beginnings, and modalities are 2 to {MOST}."
            raise ConfigError(what, where="posterior.split", fix="Name columns as image.a, text.a, or use rows.")
        return Blocks(tuple(groups), tuple(tuple(places) for places in groups.values()))
    axis = ("rows", "columns", "channels").index(split)
    if axis >= len(schema.shape) or schema.shape[axis] < options.parts:
        what = f"rows of data of shape {schema.shape} are not {options.parts} parts by {split}."
        raise ConfigError(what, where="posterior.split", fix="Use --set posterior.split=rows, or fewer parts.")
    pieces = np.array_split(np.arange(schema.shape[axis]), options.parts)
    return Blocks(
        tuple(f"part{i}" for i in range(options.parts)), tuple(tuple(map(int, piece)) for piece in pieces), axis
    )


def _part_of(schema: Schema, blocks: Blocks, places: tuple[int, ...]) -> Schema:
    shape = (*schema.shape[: blocks.axis], len(places), *schema.shape[blocks.axis + 1 :])
    return restricted(schema, shape, places)


Support = Literal["vector", "sphere", "coins", "choices", "relaxed", "codes"]
"""Where the latents lie; a prior and a posterior must agree."""

Shape: TypeAlias = tuple[int, ...]
Choices: TypeAlias = Annotated[int, Meta(ge=2, le=65536)]
Temperature: TypeAlias = Annotated[float, Meta(gt=0.0, le=100.0)]
GroupSize = Annotated[int, Meta(ge=1, le=65536)]
NumCodes = Annotated[int, Meta(ge=2, le=65536)]


@dataclass(frozen=True)
class Posterior(PartRow):
    """One row of the table of posteriors."""

    what: str  # the posterior in a few words
    # makes the head from the shape of a latent, the configuration, the options and a key
    make: Callable[..., AbstractHead]
    prior: str  # the name of the prior that belongs to it
    support: Support = "vector"  # where the latents lie
    # the shape of one latent, from `latent_dim` and the options
    shape: Callable[[int, Any], Shape] = lambda n, options: (n,)
    # makes, from the options, the function that gives the decoder's input of a latent; None where that is the latent
    # itself
    sees: Callable[[Any], Callable[[Any], Any] | None] = lambda options: None
    scaled: bool = False
    stacks: bool = False  # whether levels of a hierarchy can be of this kind
    # builds the whole model from schema, configuration, head of the likelihood, what is done to a row first, options of
    # the networks and key, where encoder and decoder are one; else None
    whole: Callable[..., Any] | None = None
    # gives, from the schema of a row, that of what the likelihood's head is of
    one: Callable[[Schema], Schema] = lambda schema: schema
    reads_inputs: bool = False  # whether what is told at every step is read
    # makes encoder and decoder of a row that is several modalities; else None
    by_part: Callable[..., tuple[Any, Any]] | None = None
    # what the number of latent dimensions is a multiple of, from the options
    group: Callable[[Any], int] = lambda options: 1
    is_point: bool = False  # whether it is a point, of a plain autoencoder
    head: type[AbstractHead] | None = None  # the class of the head, where every option is one of its fields; else None

    @property
    def latent(self) -> Shape:
        """The shape of one latent (of the first level)."""
        assert self.config.latent_dim is not None
        return self.shape(self.config.latent_dim, self.read)

    @property
    def size(self) -> int:
        """How many numbers one latent of the first level has."""
        return math.prod(self.latent)

    @property
    def group_size(self) -> int:
        """What the number of latent dimensions is a multiple of."""
        return self.group(self.read)

    def made(self, latent: Shape, *, key: Key) -> AbstractHead:
        """The head over latents of this shape."""
        return self.make(latent, self.config, self.read, key=key)


class FlowOptions(ConfigSection, frozen=True):
    """Autoregressive flows after a Normal."""

    layers: Annotated[int, Meta(ge=1, le=64)] = 2  # the number of flows
    width: Width = 64  # the hidden width of each
    context_size: Annotated[int, Meta(ge=0, le=4096)] = 16  # how many further outputs of the encoder every flow reads


class PlanarOptions(ConfigSection, frozen=True):
    """Planar flows after a Normal."""

    layers: Annotated[int, Meta(ge=1, le=64)] = 8  # the number of flows


class ChoiceOptions(ConfigSection, frozen=True):
    """Categorical latents."""

    choices: Choices = 10  # the number of categories of each


class RelaxedOptions(ConfigSection, frozen=True):
    """Relaxed categorical latents."""

    choices: Choices = 10  # the number of categories of each
    temperature: Temperature = 2.0 / 3.0  # the temperature of the relaxation; near 0 the latents are near one-hot


class VectorOptions(ConfigSection, frozen=True):
    """Groups of latent dimensions at the nearest of some learned vectors."""

    codes: NumCodes = 256  # the number of vectors
    code_dim: GroupSize = 4  # how many latent dimensions a vector has
    # whether the vectors are moving averages of what is nearest to them, rather than trained by gradient
    averaged: bool = False
    # the share of a moving average that stays at every step; for `averaged` vectors
    decay: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.99
    # below which part of the average use an `averaged` vector is put at a group of the batch
    reset_below: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05


class ScalarOptions(ConfigSection, frozen=True):
    """Every latent dimension rounded to a few levels."""

    # the number of levels of each latent dimension of a group
    grid: Annotated[tuple[Annotated[int, Meta(ge=3, le=1000)], ...], Meta(min_length=1, max_length=16)] = (8, 5, 5, 5)


def _normal(shape: tuple[int, ...], config: PosteriorConfig) -> NormalHead:
    """The Normal that a configuration says, with its kind of scale."""
    if config.scale == "auto":
        raise ConfigError("the configuration is not resolved.", where="posterior.scale", fix="Name a scale.")
    return NormalHead(shape, config.scale, config.scale_floor)


def _flow(kind: Literal["iaf", "planar"]) -> Callable[..., AbstractHead]:
    def make(shape: tuple[int, ...], config: PosteriorConfig, options: Any, key: Key) -> AbstractHead:
        sizes = {"width": getattr(options, "width", 1), "context_size": getattr(options, "context_size", 0)}
        return m.flow_head(_normal(shape, config), kind, layers=options.layers, **sizes, key=key)

    return make


def _on_sphere(kind: Callable[..., AbstractHead]) -> Callable[..., AbstractHead]:
    def make(shape: tuple[int, ...], config: PosteriorConfig, options: object, key: Key) -> AbstractHead:
        if shape[0] < 2:
            what = f"a posterior of a sphere needs posterior.latent_dim of 2 or more, not {shape[0]}."
            raise ConfigError(what, where="posterior.latent_dim", fix="Add --set posterior.latent_dim=2.")
        return kind(shape)

    return make


def _each(n: int, options: Any) -> Shape:
    return (n, options.choices)


def _vectors(shape: tuple[int, ...], config: PosteriorConfig, options: VectorOptions, key: Key) -> m.CodeHead:
    given: dict[str, Any] = {"decay": options.decay, "reset_below": options.reset_below} if options.averaged else {}
    quantiser = m.VectorQuantiser.create(
        options.code_dim, codes=options.codes, averaged=options.averaged, key=key, **given
    )
    return m.CodeHead(shape, quantiser)


_SPHERE: Any = {"prior": "uniform-sphere", "support": "sphere", "sees": lambda options: m.Direction()}
_CODES: Any = {"prior": "uniform-codes", "support": "codes", "group": lambda options: options.code_dim}

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
        lambda s, c, o, key: m.FullNormalHead(_normal(s, c)),
        "standard-normal",
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
        "a point: a plain autoencoder", lambda s, c, o, key: m.DeterministicHead(s), "standard-normal", is_point=True
    ),
    "von-mises-fisher": Posterior("a direction, von Mises-Fisher", _on_sphere(m.VonMisesFisherHead), **_SPHERE),
    "bernoulli": Posterior(
        "coins, without reparameterisation", lambda s, c, o, key: m.BernoulliHead(s), "fair-coins", "coins", stacks=True
    ),
    "categorical": Posterior(
        "choices, without reparameterisation; the decoder sees them one-hot",
        lambda s, c, o, key: m.CategoricalHead(s[:1], o.choices),
        "uniform-choices",
        "choices",
        _each,
        lambda options: m.SideBySide(options.choices),
        options=ChoiceOptions,
    ),
    "concrete": Posterior(
        "relaxed one-hot choices (Concrete, Gumbel-softmax)",
        lambda s, c, o, key: m.ConcreteHead(s, o.temperature),
        "uniform-concrete",
        "relaxed",
        _each,
        options=RelaxedOptions,
    ),
    "logistic-normal": Posterior(
        "shares as the softmax of a Normal",
        lambda s, c, o, key: _normal(s, c),
        "logistic-normal",
        sees=lambda options: m.Shares(),
        scaled=True,
    ),
    "experts": Posterior(
        "a Normal from each part of a row (parts may be missing), combined by product, mixture or both",
        lambda s, c, o, key: _normal(s, c),
        "standard-normal",
        options=ExpertsOptions,
        scaled=True,
        by_part=by_part,
    ),
    "vq": Posterior(
        "groups of units at the nearest of some learned vectors", _vectors, options=VectorOptions, **_CODES
    ),
    "fsq": Posterior(
        "every unit rounded to a few levels",
        lambda s, c, o, key: m.CodeHead(s, m.ScalarQuantiser(o.grid)),
        options=ScalarOptions,
        **_CODES | {"group": lambda options: len(options.grid)},
    ),
    "top-down": Posterior(
        "levels of pictures at every size, from the top down, in networks that prior and likelihood share; "
        "posterior.latent_dim is the channels of each",
        lambda s, c, o, key: _normal(s, c),
        "standard-normal",
        whole=top_down_model,
    ),
    "steps": Posterior(
        "a latent for every step of a row, each given those before it; posterior.latent_dim is the size of one",
        lambda s, c, o, key: _normal(s, c),
        "standard-normal",
        options=StepOptions,
        whole=state_space_model,
        one=step_schema,
        reads_inputs=True,
    ),
}
"""What `posterior.kind` may be."""


def whole_groups(latent_dim: int, group: int) -> int:
    """The least number of latent dimensions in whole groups that is no smaller."""
    return math.ceil(latent_dim / group) * group


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


def _flow_prior(latent: tuple[int, ...], x: tuple[int, ...], *, layers: int, width: int, key: Key) -> Transformed:
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
    "flow": Prior("trained autoregressive flows of a standard Normal", _flow_prior, options=FlowPriorOptions),
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
