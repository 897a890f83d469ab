"""A label as a condition: what the model sees of it, what its parts read, and a prior for each class."""

from msgspec.structs import replace

from latens.config import VAEConfig
from latens.data import Preparation, Schema
from latens.errors import ConfigError
from latens.models import ClassPrior
from latens.models.semi_supervised import LABEL
from latens.parts import likelihoods
from latens.parts.posterior_row import Shape


def preparation(schema: Schema, config: VAEConfig) -> Preparation:
    """What the model sees of a stored row and its label.

    Args:
        schema: The schema of the data.
        config: A resolved configuration.

    Returns:
        The preparation; of a model that reads labels with the number of classes.

    Raises:
        ConfigError: Likelihood or labels do not fit the data.
    """
    found = likelihoods.preparation(schema, config)
    if config.label.kind != "condition":
        return found
    return replace(found, classes=num_classes(schema, config))


def num_classes(schema: Schema, config: VAEConfig) -> int:
    """How many classes the labels have.

    Args:
        schema: The schema of the data.
        config: A configuration that asks for labels; the error names its `label.kind`.

    Returns:
        The number of classes, two or more.

    Raises:
        ConfigError: There are fewer than two.
    """
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

    Args:
        schema: The schema of the data.
        config: A resolved configuration.

    Returns:
        The names of the conditions, and the length of the one-hot vector; () and 0 without labels.

    Raises:
        ConfigError: Labels are to be predicted, and other recipes build such models; or there are fewer than two
            classes.
    """
    if config.label.kind in ("predict", "predict-codes"):
        raise ConfigError("this recipe predicts no labels.", where="label.kind", fix="Use --recipe m2 or m1-m2.")
    if config.label.kind == "none":
        return (), 0
    return (LABEL,), num_classes(schema, config)


def class_prior(config: VAEConfig, latent: Shape, classes: int) -> ClassPrior | None:
    """A Normal for each class as prior, where the configuration asks for one.

    Args:
        config: A resolved configuration.
        latent: The shape of one latent.
        classes: The number of classes; 0 for models that read no labels.

    Returns:
        The prior, or None where all classes share one.

    Raises:
        ConfigError: There is another prior than a standard Normal to replace, or more than one level.
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
