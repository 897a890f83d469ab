"""A configuration bound to its parts: what it names is looked up once, and what these are together is made of them."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeVar

from msgspec import structs

from latens.config import Config, VAEConfig
from latens.data import Preparation, Schema
from latens.data.conditions import GIVEN
from latens.distributions import AbstractDistribution
from latens.errors import ConfigError, nearest
from latens.kinds import kind_of
from latens.models import AbstractModelPrior, ClassPrior, CodeHead
from latens.models.semi_supervised import LABEL
from latens.objectives import AbstractObjective
from latens.recipes.likelihoods import LIKELIHOODS, Likelihood
from latens.recipes.part_tables import OBJECTIVES, bound
from latens.recipes.posteriors import POSTERIORS, PRIORS, Posterior, Prior, Shape
from latens.typing import Key

Trained = TypeVar("Trained")


@dataclass(frozen=True, eq=False)
class ConfiguredParts:
    """What a configuration names, each with its options read; looked up when it is first asked for, and never again."""

    config: VAEConfig

    @cached_property
    def posterior(self) -> Posterior:
        """The row of the posterior."""
        return bound(POSTERIORS, self.config.posterior.kind, self.config.posterior, "posterior.kind")

    @cached_property
    def prior(self) -> Prior:
        """The row of the prior."""
        # "auto": of a file that was written before priors were.
        kind = self.config.prior.kind
        return bound(PRIORS, self.posterior.prior if kind == "auto" else kind, self.config.prior, "prior.kind")

    @cached_property
    def likelihood(self) -> Likelihood:
        """The row of the likelihood."""
        return bound(LIKELIHOODS, self.config.likelihood.family, self.config.likelihood, "likelihood.family")

    @cached_property
    def objective(self) -> type[AbstractObjective] | AbstractObjective:
        """The class of the objective, or the user's own object."""
        name = self.config.objective.name
        if name not in OBJECTIVES:
            own = "If it is your own, give it (objective=...) or register it; the command takes --import FILE.py."
            what = f"there is no objective {name!r} here."
            raise ConfigError(what, where="objective.name", fix=f"{nearest(name, OBJECTIVES)} {own}")
        return OBJECTIVES[name]

    def __reduce__(self) -> Any:
        # The rows hold functions, which cannot be pickled; another process looks them up.
        return ConfiguredParts, (self.config,)

    def having(self, config: VAEConfig) -> "ConfiguredParts":
        """The parts of another configuration; those that it names as this one does are not looked up again."""
        made = ConfiguredParts(config)
        for part, choice in (("posterior", "kind"), ("prior", "kind"), ("likelihood", "family"), ("objective", "name")):
            old, new, row = getattr(self.config, part), getattr(config, part), vars(self).get(part)
            kept = (getattr(old, choice), old.options) == (getattr(new, choice), new.options)
            if row is not None and kept and getattr(new, choice) != "auto":
                vars(made)[part] = row if part == "objective" else replace(row, config=new)
        return made


def bind(config: Config | ConfiguredParts, known: ConfiguredParts | None = None) -> ConfiguredParts:
    """The parts that a configuration names; what is known of a former one is taken over."""
    if isinstance(config, ConfiguredParts):
        return config
    assert isinstance(config, VAEConfig)
    return ConfiguredParts(config) if known is None else known.having(config)


def with_parts(trained: Trained, parts: object) -> Trained:
    """A trained model with the parts of its configuration, which it would bind when it is first asked for them."""
    if isinstance(parts, ConfiguredParts):
        vars(trained)["parts"] = parts
    return trained


def preparation(schema: Schema, config: VAEConfig | ConfiguredParts) -> Preparation:
    """What the model sees of a stored row and its label, and what becomes of it in a training batch."""
    parts = bind(config)
    config, likelihood = parts.config, parts.likelihood
    family, data = config.likelihood.family, config.data
    for name in ("shift", "flip"):
        if getattr(data, name) and len(schema.shape) not in (2, 3):
            what = f"only pictures can be moved and mirrored, and these are rows of shape {schema.shape}."
            fix = "Give an array of shape (n, height, width), or leave it out."
            raise ConfigError(what, where=f"data.{name}", fix=fix)
    if schema.kind not in likelihood.kinds:
        own = kind_of(schema).likelihood
        raise ConfigError(
            f"the likelihood {family} needs {' or '.join(likelihood.kinds)} data; these are {schema.kind}.",
            where="likelihood.family",
            fix=f"Use --set likelihood.family={own[0]}."
            if own
            else "Use --set likelihood.family=normal, or "
            + ("scale the data to [0, 1]." if "unit" in likelihood.kinds else "give whole numbers from 0."),
        )
    if data.binarize != "none" and likelihood.sees != "yes-no":
        raise ConfigError(
            f"binarised data need a bernoulli likelihood, not {family}.", where="data.binarize", fix="Use bernoulli."
        )
    if family == "autoregressive-bernoulli" and schema.cells.grey and data.binarize == "none":
        what = f"pixels of {schema.levels} levels are not yes or no, and each is given to those after it."
        fix = "Use --set data.binarize=stochastic, or --set likelihood=autoregressive-logistics."
        raise ConfigError(what, where="likelihood.family", fix=fix)
    hide = data.hide if data.hide is not None else kind_of(schema).defaults.hide
    found = partial(Preparation, hide=hide, shift=data.shift or 0, flip=data.flip)
    made = _seen(found, schema, parts)
    made = structs.replace(made, depth=True) if likelihood.depth else made
    return structs.replace(made, classes=num_classes(schema, config)) if config.label.kind == "condition" else made


def _seen(found: partial[Preparation], schema: Schema, parts: ConfiguredParts) -> Preparation:
    """The preparation that belongs to what the likelihood sees of a row."""
    sees, data = parts.likelihood.sees, parts.config.data
    if sees == "whole":
        return found()
    if sees == "index":
        return found(integer=True)
    if schema.cells.logged:
        return found(log1p=True)
    if schema.levels is not None and data.dequantize and sees != "yes-no":
        return found(divide=float(schema.levels), dequantize=True)
    divide = schema.cells.high if schema.cells.pixel else 1.0
    return found(divide=divide, binarize=data.binarize, threshold=data.threshold)


def num_classes(schema: Schema, config: VAEConfig) -> int:
    """How many classes the labels have."""
    classes = schema.classes or ()
    if not classes and schema.conditions and config.label.kind == "condition":
        return 0
    if len(classes) < 2:
        raise ConfigError(
            f"labels are asked for, and the data have {len(classes) or 'none'} of them.",
            where=f"label.kind={config.label.kind}",
            fix="Give two classes or more; or name their column with --label NAME; or use --set label=none.",
        )
    return len(classes)


def conditions(schema: Schema, config: VAEConfig) -> tuple[tuple[str, ...], int, int]:
    """The conditions that encoder and decoder read, the number of classes, and the numbers of all others."""
    if config.label.kind == "predict":
        raise ConfigError("this recipe predicts no labels.", where="label.kind", fix="Use --recipe m2.")
    if config.label.kind == "none":
        return (), 0, 0
    width = sum(one.width for one in schema.conditions or ())
    if config.label.kind == "beside":
        return (GIVEN,) * bool(width), 0, width
    classes = num_classes(schema, config)
    return (LABEL,) * bool(classes) + (GIVEN,) * bool(width), classes, width


def prior_part(
    schema: Schema, config: VAEConfig | ConfiguredParts, latent: Shape | CodeHead, *, classes: int = 0, key: Key
) -> AbstractDistribution | AbstractModelPrior | ClassPrior:
    """The prior of latents of this shape (of codes: of this head), without arrays, with trained or with fixed ones."""
    parts = bind(config)
    config, row, posterior = parts.config, parts.prior, parts.posterior
    if row.support not in ("any", "given", posterior.support):
        raise ConfigError(
            f"the latents of a {config.posterior.kind} posterior are not those of a {config.prior.kind} prior: "
            f"{posterior.what}; {row.what}.",
            where="prior.kind",
            fix=f"Use --set prior={posterior.prior}, or leave the prior out.",
        )
    # Rows that stay as they are make a prior of a plain autoencoder after its training: draws of their codes.
    points = posterior.is_point and config.prior.options.get("learned") is not False
    points = points or posterior.support == "codes"
    if row.support == "any" and (points or config.posterior.levels):
        raise ConfigError(
            f"a {config.prior.kind} prior needs a posterior with a density, of one level.",
            where="prior.kind",
            fix=f"Use --set prior={posterior.prior}.",
        )
    given = structs.asdict(row.read)
    if not classes or config.label.prior == "shared":
        return row.make(latent, schema.shape, key=key, **given)
    if row.by_class is None or config.posterior.levels:
        fits = [name for name, other in PRIORS.items() if other.by_class is not None and other.support == row.support]
        levels = bool(config.posterior.levels)
        what = f"there is no {config.prior.kind} prior of each class" + " with levels" * levels
        ways = ["one level"] * levels + [f"prior={' or '.join(fits)}"] * bool(fits and row.by_class is None)
        fix = f"Use {', or '.join((*ways, '--set label.prior=shared'))}."
        raise ConfigError(f"{what}.", where="label.prior", fix=fix)
    return row.by_class(classes, latent, schema.shape, key=key, **given)
