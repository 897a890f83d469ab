"""Typed, frozen configuration: what a run is made of, as plain values that fit into JSON."""

import re
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from latens.errors import ConfigError, nearest

Width: TypeAlias = Annotated[int, Meta(ge=1, le=65536)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**40)]
Probability: TypeAlias = Annotated[float, Meta(ge=0.0, lt=1.0)]
Positive: TypeAlias = Annotated[float, Meta(gt=0.0, le=1e30)]
NotNegative: TypeAlias = Annotated[float, Meta(ge=0.0, le=1e30)]
Widths: TypeAlias = Annotated[tuple[Width, ...], Meta(max_length=64)]

Option: TypeAlias = bool | int | float | str | Annotated[tuple[int, ...], Meta(max_length=64)]
Options: TypeAlias = Annotated[dict[Annotated[str, Meta(max_length=64)], Option], Meta(max_length=32)]


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One part of a configuration."""


class NetworkConfig(Part, frozen=True):
    """Encoder and decoder of one kind; the encoder's hidden widths are mirrored unless `decoder_hidden` is given.

    `spectral_norm` divides each weight matrix of the decoder by its largest singular value.
    """

    kind: Literal["dense", "conv", "residual", "recurrent"] = "dense"
    hidden: Widths | None = None
    decoder_hidden: Widths | None = None
    level_hidden: Widths = (100, 100)
    activation: str = "relu"
    initializer: str = "he-normal"
    encoder_output_activation: str = "identity"
    decoder_output_activation: str = "identity"
    drop_probability: Probability = 0.0
    weight_drop_probability: Probability = 0.0
    spectral_norm: bool = False


class PriorConfig(Part, frozen=True):
    """p(z) by name, with the options of its row (`latens recipes --parts`).

    "auto" is the prior that matches the posterior's support.
    """

    kind: str = "auto"
    options: Options = {}


class PosteriorConfig(Part, frozen=True):
    """q(z|x) by name, with the options of its row; where it has scales, as `log-scale`, `log-variance` or `softplus`.

    `levels`: the sizes of further levels of latents above the first.
    """

    kind: str = "normal"
    options: Options = {}
    levels: Annotated[tuple[Width, ...], Meta(max_length=8)] = ()
    latent_dim: Width | None = None
    scale: Literal["auto", "log-scale", "log-variance", "softplus"] = "auto"
    scale_floor: NotNegative = 1e-6


class LikelihoodConfig(Part, frozen=True):
    """p(x|z). `scale` of a Normal: one learned ("shared"), one a feature ("feature"), from the network, or fixed.

    `missing`: whether a cell may be missing because of its own value ("self-masking"), which is then modelled.
    """

    family: str = "auto"
    scale: Literal["shared", "feature", "network", "fixed"] = "feature"
    fixed_scale: Positive = 1.0
    scale_floor: NotNegative = 1e-3
    probability_floor: Probability = 0.0
    output_bias: Literal["data", "zero"] = "data"
    missing: Literal["at-random", "self-masking"] = "at-random"


class DataConfig(Part, frozen=True):
    """What the model sees of a row, and which rows validate ("test" is not held out, and reports say so).

    `dequantize` adds uniform noise to whole numbers under a density, so that its integral bounds their probability.
    `labelled`: how many labels of training rows are kept, as many of each class; the others are hidden.
    """

    binarize: Literal["none", "threshold", "stochastic"] = "none"
    threshold: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.5
    dequantize: bool = True
    validation: Literal["split", "test"] = "split"
    labelled: Count | None = None


class LabelConfig(Part, frozen=True):
    """What labels are for: nothing, a "condition" that every part reads, or to be predicted where they are missing
    ("predict", from x: M2; "predict-codes", from the codes of a first VAE: M1+M2).

    A condition has one prior ("shared") or a Normal for each "class". `class_prior` is p(y) of a predicted label, and
    `share` the part of each batch that has labels. `hidden` and `latent_dim` are of M2 on codes.
    """

    kind: Literal["none", "condition", "predict", "predict-codes"] = "none"
    prior: Literal["shared", "class"] = "shared"
    class_prior: Literal["uniform", "learned"] = "uniform"
    share: Probability = 0.1
    hidden: Widths = (500,)
    latent_dim: Width = 50


class ObjectiveConfig(Part, frozen=True):
    """What is minimised, by name, with the options of its class. `beta_warmup_epochs` raises beta linearly from 0."""

    name: str = "elbo"
    beta_warmup_epochs: NotNegative = 0.0
    options: Options = {}


class CriticOptimizerConfig(Part, frozen=True):
    """The optimiser of what an objective trains beside the model: critics, multipliers, learned baselines.

    Never averaged, and decayed only where `options` say so. `learning_rate` None is the model's, 0 holds them still.
    """

    name: str = "adam"
    learning_rate: NotNegative | None = None
    clip_value: Positive | None = None
    clip_norm: Positive | None = None
    options: dict[str, float | bool] = {}


class OptimizerConfig(Part, frozen=True):
    """An optimiser by name (ours or optax's) with its `options`, a schedule, a warm-up and clipping of gradients."""

    name: str = "adam"
    learning_rate: Positive = 1e-3
    schedule: Literal["constant", "cosine", "schedule-free"] = "constant"
    warmup_steps: Annotated[int, Meta(ge=0)] = 0
    clip_value: Positive | None = None
    clip_norm: Positive | None = None
    options: dict[str, float | bool] = {}
    critic: CriticOptimizerConfig = CriticOptimizerConfig()


class TrainingConfig(Part, frozen=True):
    """The budget (the first limit ends it), the batch and the grid between steps; None is decided from the data.

    `validate_every` so many epochs the model is validated and recorded (None: after each).
    `patience`: how many epochs in a row may bring no gain before training stops early, whatever the budget; "auto"
    is decided from the number of steps an epoch has, None switches early stopping off.
    `drop_last` leaves out the rows of an epoch that do not fill a batch. `pretrain_epochs` is the budget of a first
    stage, in recipes that have one (None: the same budget as the last). `snapshots`: about how many models are kept.
    """

    epochs: Positive | None = None
    steps: Count | None = None
    minutes: Positive | None = None
    patience: Count | Literal["auto"] | None = "auto"
    validate_every: Annotated[int, Meta(ge=1, le=100000)] | None = None
    batch_size: Annotated[int, Meta(ge=1, le=2**20)] | None = None
    drop_last: bool = False
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    chunk_steps: Annotated[int, Meta(ge=1, le=100000)] | None = None
    pretrain_epochs: Positive | None = None
    plots_every: Count | None = None
    snapshots: Annotated[int, Meta(ge=2, le=1000)] | None = None


class VAEConfig(Part, frozen=True, tag="vae", tag_field="kind"):
    """Everything that makes a variational autoencoder and its training."""

    recipe: str = "default"
    network: NetworkConfig = NetworkConfig()
    prior: PriorConfig = PriorConfig()
    posterior: PosteriorConfig = PosteriorConfig()
    likelihood: LikelihoodConfig = LikelihoodConfig()
    data: DataConfig = DataConfig()
    label: LabelConfig = LabelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()


class DensityConfig(Part, frozen=True):
    """A density for every class: one Gaussian, or a mixture fitted by variational inference or by EM.

    `reg_covar` is added to every variance. `rows_per_class`: the most rows a mixture sees; None is decided from the
    data.
    """

    kind: Literal["gaussian", "mixture"] = "gaussian"
    reg_covar: Positive = 1e-3
    components: Annotated[int, Meta(ge=1, le=1000)] = 10
    inference: Literal["variational", "em"] = "variational"
    max_iterations: Annotated[int, Meta(ge=1, le=100000)] = 100
    rows_per_class: Count | None = None


class ClassifierTrainingConfig(Part, frozen=True):
    """A closed-form fit: only the seed of the mixtures' starts."""

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


class ClassifierConfig(Part, frozen=True, tag="bayes-classifier", tag_field="kind"):
    """Everything that makes a Bayes classifier with one density a class."""

    recipe: str
    density: DensityConfig = DensityConfig()
    data: DataConfig = DataConfig()
    training: ClassifierTrainingConfig = ClassifierTrainingConfig()


Config: TypeAlias = VAEConfig | ClassifierConfig
AnyConfig = TypeVar("AnyConfig", bound=VAEConfig | ClassifierConfig)


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as plain values."""
    return msgspec.to_builtins(config)


def from_json(value: Any) -> Config:
    """A configuration from parsed JSON. **Raises:** ConfigError that names the part and option."""
    try:
        return msgspec.convert(value, Config)
    except msgspec.ValidationError as error:
        what = f"the configuration does not fit: {str(error)[:300]}."
        fix = "Bring the entry back to what latens wrote, or start a new run."
        raise ConfigError(what, where="configuration", fix=fix) from None


def unfit(value: Any, error: msgspec.ValidationError, hint: Any, *, where: str) -> ConfigError:
    """The refusal of an option's value, which says what was given and what is allowed (`hint`, its type)."""
    words, found = _literals(hint), _EXPECTED.match(str(error))
    if words and str(error).startswith(("Invalid enum value", "Expected `str`")):
        return ConfigError(f"there is no {str(value)[:100]!r}.", where=where, fix=nearest(str(value), words))
    if found is None:
        return ConfigError(f"{str(value)[:100]!r} does not fit: {str(error)[:300]}.", where=where)
    allowed = " or ".join(_KINDS.get(kind, kind) for kind in found["kinds"].split(" | ")) + (found["bound"] or "")
    return ConfigError(f"it must be {allowed}, not {str(value)[:100]!r}.", where=where, fix=f"Give {allowed}.")


def _literals(hint: Any) -> list[str]:
    """The words that a type allows."""
    if get_origin(hint) is Literal:
        return [word for word in get_args(hint) if isinstance(word, str)]
    return [word for arm in get_args(hint) for word in _literals(arm)]


_EXPECTED = re.compile(r"Expected `(?P<kinds>[^`]+)`(?P<bound> [><]=? \S+?)?(?:, got `[^`]+`)?(?: - at `[^`]*`)?$")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a word",
    "bool": "true or false",
    "null": "none",
    "array": "a list",
}

_CHOICES = ("kind", "name", "family")
"""The option that says which thing a part is: `network=conv` is `network.kind=conv`."""


def override(config: AnyConfig, settings: dict[str, Any]) -> AnyConfig:
    """The configuration with `part.option` names set to new values (strings are read as JSON where they can be).

    What a part is (`objective=iwae`) is set before its options, in whatever order they come: a new choice leaves none
    of the former one's.

    **Raises:** ConfigError naming the nearest valid part, option or value.
    """
    values = to_json(config)
    for name, value in sorted(settings.items(), key=lambda item: not _chooses(item[0])):
        part, dot, option = name.partition(".")
        parts = {key for key, v in values.items() if isinstance(v, dict)}
        if part not in parts:
            raise ConfigError(f"the configuration has no part {part!r}.", where=name, fix=nearest(part, parts))
        if not dot:
            option = next((choice for choice in _CHOICES if choice in values[part]), "")
            if not option:
                fix = f"Write {part}.OPTION=VALUE; the options are {', '.join(values[part])}."
                raise ConfigError(f"{part} has several options, and none was named.", where=name, fix=fix)
        if option in _CHOICES and value != values[part].get(option) and "options" in values[part]:
            values[part]["options"] = {}  # those of what was there before
        head, _, rest = option.partition(".")
        if head not in values[part] and "options" in values[part] and head.isidentifier() and not rest:
            head, rest = "options", head
        if head not in values[part]:
            raise ConfigError(f"{part} has no option {option!r}.", where=name, fix=nearest(head, values[part]))
        if rest:
            if not isinstance(values[part][head], dict):
                raise ConfigError(f"{part}.{head} has no options of its own.", where=name, fix=f"Leave out .{rest}.")
            values[part][head] = {**values[part][head], rest: read_value(value)}
        else:
            values[part][head] = read_value(value)
            if values[part][head] is None and value is not None and _fits(config, part, {**values[part], head: value}):
                values[part][head] = value  # the word "none" itself, where it is one of the choices
        try:
            msgspec.convert(values[part], type(getattr(config, part)))
        except msgspec.ValidationError as error:
            number = values[part][head]
            one = {**values[part], head: [number]}
            if isinstance(number, int | float) and not isinstance(number, bool) and _fits(config, part, one):
                values[part] = one
                continue
            hint = get_type_hints(type(getattr(config, part)), include_extras=True)[head]
            raise unfit(value, error, hint, where=name) from None
    return msgspec.convert(values, type(config))


def _chooses(name: str) -> bool:
    _, dot, option = name.partition(".")
    return not dot or option in _CHOICES


def _fits(config: VAEConfig | ClassifierConfig, part: str, values: dict[str, Any]) -> bool:
    """Whether a part may have these values."""
    try:
        msgspec.convert(values, type(getattr(config, part)))
    except msgspec.ValidationError:
        return False
    return True


def read_value(text: Any) -> Any:
    """What a user typed after `=`: JSON where it is JSON, `500,500` as a list, `none` as null, else text."""
    if not isinstance(text, str):
        return list(text) if isinstance(text, tuple) else text
    if text.lower() in ("none", "null"):
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        pass
    if "," in text:
        return [read_value(item.strip()) for item in text.split(",") if item.strip()]
    return {"true": True, "false": False}.get(text.lower(), text)
