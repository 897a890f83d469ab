"""A label as a condition: what the model sees of it, and what its parts read."""

from msgspec.structs import replace

from latens.config import VAEConfig
from latens.data import Preparation, Schema
from latens.errors import ConfigError
from latens.models.semi_supervised import LABEL
from latens.recipes.parts import likelihoods


def preparation(schema: Schema, config: VAEConfig) -> Preparation:
    """What the model sees of a stored row and its label."""
    found = likelihoods.preparation(schema, config)
    if config.label.kind != "condition":
        return found
    return replace(found, classes=num_classes(schema, config))


def num_classes(schema: Schema, config: VAEConfig) -> int:
    """How many classes the labels have."""
    classes = schema.classes or ()
    if len(classes) < 2:
        raise ConfigError(
            f"labels are asked for, and the data have {len(classes) or 'none'} of them.",
            where=f"label.kind={config.label.kind}",
            fix="Name their column with --label NAME, or use --set label=none.",
        )
    return len(classes)


def conditions(schema: Schema, config: VAEConfig) -> tuple[tuple[str, ...], int]:
    """The conditions that encoder and decoder read, and how many numbers these are."""
    # returns: the names of the conditions, and the length of the one-hot vector; () and 0 without labels.
    if config.label.kind in ("predict", "predict-codes"):
        raise ConfigError("this recipe predicts no labels.", where="label.kind", fix="Use --recipe m2 or m1-m2.")
    if config.label.kind == "none":
        return (), 0
    return (LABEL,), num_classes(schema, config)
