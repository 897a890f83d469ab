"""A label as a condition: what the model sees of it, what its parts read, and a prior for each class."""

import dataclasses

from latens.config import VAEConfig
from latens.data import Preparation, Schema
from latens.errors import ConfigError
from latens.models import ClassPrior
from latens.models.semi_supervised import LABEL
from latens.parts import likelihoods
from latens.parts.posterior_row import Shape


def preparation(schema: Schema, config: VAEConfig) -> Preparation:
    """What the model sees of a stored row and its label. **Raises:** ConfigError where they do not fit."""
    found = likelihoods.preparation(schema, config)
    if config.label.kind != "condition":
        return found
    return dataclasses.replace(found, classes=num_classes(schema, config))


def num_classes(schema: Schema, config: VAEConfig) -> int:
    """How many classes the labels have. **Raises:** ConfigError where there are fewer than two."""
    classes = schema.classes or ()
    if len(classes) < 2:
        raise ConfigError(
            f"labels are asked for, and the data have {len(classes) or 'none'} of them.",
            where=f"label.kind={config.label.kind}",
            fix="Name their column with --label NAME, or use --set label=none.",
        )
    return len(classes)


def conditions(schema: Schema, config: VAEConfig) -> tuple[tuple[str, ...], int]:
    """The conditions that encoder and decoder read, and how many numbers these are.

    **Raises:** ConfigError where labels are to be predicted: other recipes build such models.
    """
    if config.label.kind in ("predict", "predict-codes"):
        raise ConfigError("this recipe predicts no labels.", where="label.kind", fix="Use --recipe m2 or m1-m2.")
    if config.label.kind == "none":
        return (), 0
    return (LABEL,), num_classes(schema, config)


def class_prior(config: VAEConfig, latent: Shape, classes: int) -> ClassPrior | None:
    """A Normal for each class, where the configuration asks for one.

    **Raises:** ConfigError where there is another prior to replace.
    """
    if not classes or config.label.prior == "shared":
        return None
    if config.prior.kind != "standard-normal" or config.posterior.levels:
        raise ConfigError(
            f"a Normal for each class takes the place of a {config.prior.kind} prior.",
            where="label.prior",
            fix="Leave prior.kind as it is and use one level, or --set label.prior=shared.",
        )
    assert isinstance(latent, tuple)  # only then the prior was a standard Normal
    return ClassPrior.create(classes, latent)
