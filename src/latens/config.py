"""Typed, frozen configuration: what a run is made of, as plain values that fit into JSON."""

import contextlib
import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from latens.errors import ConfigError, nearest, refuse_other

Width: TypeAlias = Annotated[int, Meta(ge=1, le=65536)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**40)]
Probability: TypeAlias = Annotated[float, Meta(ge=0.0, lt=1.0)]
Positive: TypeAlias = Annotated[float, Meta(gt=0.0, le=1e30)]
NotNegative: TypeAlias = Annotated[float, Meta(ge=0.0, le=1e30)]
Widths: TypeAlias = Annotated[tuple[Width, ...], Meta(max_length=64)]

Option: TypeAlias = bool | int | float | str | Annotated[tuple[int, ...], Meta(max_length=64)]
Options: TypeAlias = Annotated[dict[Annotated[str, Meta(max_length=64)], Option], Meta(max_length=32)]


class ConfigSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One part of a configuration."""


class NetworkConfig(ConfigSection, frozen=True):
    """Encoder and decoder networks of one kind.

    Args:
        kind: The kind of both networks: dense, conv or recurrent (of text); "auto" is decided from the data.
        hidden: Widths of the encoder's hidden layers; None is decided from the kind and the shape of a row.
        decoder_hidden: Widths of the decoder's hidden layers; None is `hidden` mirrored.
        level_hidden: Hidden widths of the networks between the levels of a hierarchy.
        kernel_size: The size of the kernels of convolutions of stride 2: 3, or 4 for twice the work.
        blocks: How many residual blocks convolutional networks have at each size of the picture.
        map: Whether the latent lies on the smallest picture of convolutional networks; None: where it is made of codes.
        linear: Whether networks add to a linear map, of the principal components; None: where that is the better start.
        activation: The name of the activation of hidden layers.
        initializer: The name of the initialisation of weight matrices.
        encoder_output_activation: The activation of what the encoder gives.
        decoder_output_activation: The activation of what the decoder gives.
        drop_probability: The probability of dropout of a hidden value.
        encoder: The name of a registered network that is the encoder; None is one of `kind`.
        decoder: The name of a registered network that is the decoder; None is one of `kind`.
    """

    kind: Literal["auto", "dense", "conv", "recurrent"] = "dense"
    hidden: Widths | None = None
    decoder_hidden: Widths | None = None
    level_hidden: Widths = (100, 100)
    kernel_size: Literal[3, 4] = 3
    blocks: Annotated[int, Meta(ge=0, le=100)] = 0
    map: bool | None = None
    linear: bool | None = None
    activation: str = "relu"
    initializer: str = "he-normal"
    encoder_output_activation: str = "identity"
    decoder_output_activation: str = "identity"
    drop_probability: Probability = 0.0
    encoder: str | None = None
    decoder: str | None = None


class PriorConfig(ConfigSection, frozen=True):
    """The prior p(z) by name, with the options of its row (`latens info parts`).

    Args:
        kind: The name of the prior; "auto" is the one that matches the posterior's support.
        options: The options of that prior, by name.
        refit: Whether a mixture is fitted to the codes at the end, kept where it gains; None: where `default` chose.
    """

    kind: str = "auto"
    options: Options = {}
    refit: bool | None = None


class PosteriorConfig(ConfigSection, frozen=True):
    """The posterior q(z|x) by name, with the options of its row (`latens info parts`).

    Args:
        kind: The name of the posterior.
        options: The options of that posterior, by name.
        levels: The sizes of further levels of latents above the first.
        latent_dim: The number of latent dimensions of the first level; None is decided from the data.
        scale: What the network gives of a scale: log-scale, log-variance or softplus; "auto" is decided from the data.
        scale_floor: What is added to a softplus scale.
    """

    kind: str = "normal"
    options: Options = {}
    levels: Annotated[tuple[Width, ...], Meta(max_length=8)] = ()
    latent_dim: Width | None = None
    scale: Literal["auto", "log-scale", "log-variance", "softplus"] = "auto"
    scale_floor: NotNegative = 1e-6


class LikelihoodConfig(ConfigSection, frozen=True):
    """The likelihood p(x|z) by name, with what belongs to some of them.

    Args:
        family: The name of the likelihood; "auto" is decided from the data.
        scale: The scale of a Normal: one learned ("shared"), one a feature ("feature"), from the network, or fixed.
        fixed_scale: The standard deviation where `scale` is "fixed": with 1 half the squared error is minimised, with
            0.70710678 (the root of 1/2) the squared error.
        scale_floor: The floor of a learned scale.
        probability_floor: The floor of a Bernoulli's probabilities, and of their complements.
        output_bias: Whether the decoder's output bias starts at the moments of the data, or at zero.
        squash: Whether and how the means of the decoder are squashed into (0, 1), for data within it and a likelihood
            with a location, such as a Normal; or what the probabilities of a Bernoulli have in the sigmoid's place.
        options: The options of that likelihood, by name (`latens info parts`).
    """

    family: str = "auto"
    scale: Literal["shared", "feature", "network", "fixed"] = "feature"
    fixed_scale: Positive = 1.0
    scale_floor: NotNegative = 1e-3
    probability_floor: Probability = 0.0
    output_bias: Literal["data", "zero"] = "data"
    squash: Literal["none", "sigmoid", "probit", "cauchit", "softsign"] = "none"
    options: Options = {}


class DataConfig(ConfigSection, frozen=True):
    """What the model sees of a row, and which rows validate.

    Args:
        binarize: Whether pixels are made 0 or 1, by a threshold or at random with their value as probability.
        threshold: The value, on the scale from 0 to 1, above which a pixel is 1 where `binarize` is "threshold".
        dequantize: Whether uniform noise is added to whole numbers under a density, which then bounds probabilities.
        validation: Which rows validate: their own ("split"), the test rows ("test", not held out), or none ("none").
        labelled: How many labels of training rows are kept, as many of each class; None keeps all.
        hide: The share of training rows given gaps in a step, for q(z | part of x); None: 0.25 of mixed tables, else 0.
        shift: The most pixels that training pictures move, at random; None: 0, of few by `default` an eighth of a side.
        flip: Whether every other training picture is mirrored, left for right, at random in every step.
    """

    binarize: Literal["none", "threshold", "stochastic"] = "none"
    threshold: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.5
    dequantize: bool = True
    validation: Literal["split", "test", "none"] = "split"
    labelled: Count | None = None
    hide: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    shift: Annotated[int, Meta(ge=0, le=64)] | None = None
    flip: bool = False


class LabelConfig(ConfigSection, frozen=True):
    """What labels are for: nothing, a condition, or to be predicted where they are missing.

    Args:
        kind: "none"; "condition", read by parts; "beside", not read; "predict" from x (M2).
        prior: The prior of a conditional model: one for all rows ("shared"), or a Normal for each "class".
        class_prior: The prior p(y) of a predicted label: uniform or learned.
        share: The share of each batch that has labels, where labels are predicted.
    """

    kind: Literal["none", "condition", "beside", "predict"] = "none"
    prior: Literal["shared", "class"] = "shared"
    class_prior: Literal["uniform", "learned"] = "uniform"
    share: Probability = 0.1


class ObjectiveConfig(ConfigSection, frozen=True):
    """What is minimised, by name, with the options of its class.

    Args:
        name: The name of the objective.
        beta_warmup_epochs: In how many epochs beta rises linearly from 0 to its value; 0 is no warm-up.
        beta_schedule: How beta changes in training: constant, or a name with a number of epochs, as cyclical:4.
        options: The options of the objective, by name.
    """

    name: str = "elbo"
    beta_warmup_epochs: NotNegative = 0.0
    beta_schedule: Annotated[str, Meta(max_length=64)] = "constant"
    options: Options = {}


class CriticOptimizerConfig(ConfigSection, frozen=True):
    """The optimiser of what an objective trains beside the model: critics, multipliers, learned baselines.

    It is never averaged, and decays weights only where `options` say so.

    Args:
        name: The name of the optimiser, ours or optax's.
        learning_rate: The learning rate; None is the model's, and 0 holds the parameters still.
        clip_value: The largest absolute value of an entry of the gradient; None clips none.
        clip_norm: The largest norm of the gradient; None clips none.
        options: The options of the optimiser itself, by name.
    """

    name: str = "adam"
    learning_rate: NotNegative | None = None
    clip_value: Positive | None = None
    clip_norm: Positive | None = None
    options: dict[str, float | bool] = {}


class OptimizerConfig(ConfigSection, frozen=True):
    """The optimiser of the model, with a schedule, a warm-up and clipping of gradients.

    Args:
        name: The name of the optimiser, ours or optax's.
        learning_rate: The learning rate after the warm-up; None is decided from the data.
        schedule: How the learning rate goes on: constant, cosine or schedule-free.
        warmup_steps: In how many steps the learning rate rises from 0.
        clip_value: The largest absolute value of an entry of the gradient; None clips none.
        clip_norm: The largest norm of the gradient; None clips none.
        options: The options of the optimiser itself, by name.
        critic: The optimiser of what the objective trains beside the model.
    """

    name: str = "adam"
    learning_rate: Positive | None = 1e-3
    schedule: Literal["constant", "cosine", "schedule-free"] = "constant"
    warmup_steps: Annotated[int, Meta(ge=0)] = 0
    clip_value: Positive | None = None
    clip_norm: Positive | None = None
    options: dict[str, float | bool] = {}
    critic: CriticOptimizerConfig = CriticOptimizerConfig()


class TrainingConfig(ConfigSection, frozen=True):
    """The budget (the first limit ends training), the batch and the grid between steps.

    Args:
        epochs: The most epochs; where no limit is given, it is decided from the data.
        steps: The most steps; None is no limit.
        minutes: The most minutes; None is no limit.
        patience: How many epochs in a row may bring no gain before training stops early, whatever the budget; "auto" is
            `latens.training.patience_of` the epochs, None switches early stopping off.
        validate_every: After how many epochs it is validated; None: each, or by the data where budget and patience are.
        batch_size: Rows of a batch; None is decided from the data.
        drop_last: Whether the rows of an epoch that do not fill a batch are left out.
        shards: Into how many shards a batch is cut, a power of two: devices that divide it give the same bits.
        seed: The seed of everything random.
        chunk_steps: Steps that are taken as one program; None is decided from the data.
        pretrain_epochs: The epochs of a first stage, in recipes that have one; None is the same budget as the last.
        plots_every: After how many steps figures are made, and before the first; None makes none on the way.
        log_every: After how many steps a line with the objective is written, and before the first; None goes by time.
        snapshots: About how many models are kept on the way; None keeps none.
        keep: Which weights are kept: those that were best on validation rows, or the last.
        final: Whether validation rows train too once the number of steps is chosen ("all"), or never ("split").
    """

    epochs: Positive | None = None
    steps: Count | None = None
    minutes: Positive | None = None
    patience: Count | Literal["auto"] | None = "auto"
    validate_every: Annotated[int, Meta(ge=1, le=100000)] | None = None
    batch_size: Annotated[int, Meta(ge=1, le=2**20)] | None = None
    drop_last: bool = False
    shards: Annotated[int, Meta(ge=1, le=2**16)] = 1
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    chunk_steps: Annotated[int, Meta(ge=1, le=100000)] | None = None
    pretrain_epochs: Positive | None = None
    plots_every: Count | None = None
    log_every: Count | None = None
    snapshots: Annotated[int, Meta(ge=2, le=1000)] | None = None
    keep: Literal["best", "last"] = "best"
    final: Literal["split", "all"] = "split"


class StartConfig(ConfigSection, frozen=True):
    """What training begins with.

    Args:
        kind: `closed-form`, that of the data (of a table its tree, of numbers their principal components), or `none`.
    """

    kind: Literal["closed-form", "none"] = "closed-form"


class VAEConfig(ConfigSection, frozen=True, tag="vae", tag_field="kind"):
    """Everything that makes a variational autoencoder and its training.

    Args:
        recipe: The name of the recipe that builds it.
        network: The networks of encoder and decoder.
        prior: The prior p(z).
        posterior: The posterior q(z|x).
        likelihood: The likelihood p(x|z).
        data: What the model sees of a row.
        label: What labels are for.
        objective: What is minimised.
        optimizer: How it is minimised.
        training: The budget, the batch and the seed.
        start: What training begins with.
    """

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
    start: StartConfig = StartConfig()


class DensityConfig(ConfigSection, frozen=True):
    """A density for every class: one Gaussian, or a mixture fitted by variational inference or by EM.

    Args:
        kind: One Gaussian for each class, or a mixture of them.
        reg_covar: What is added to every variance, in squared units of the features.
        components: The number of components of a mixture.
        inference: How a mixture is fitted: by variational inference or by EM.
        max_iterations: The most iterations of a mixture's fit.
        rows_per_class: The most rows a mixture sees; None is decided from the data.
    """

    kind: Literal["gaussian", "mixture"] = "gaussian"
    reg_covar: Positive = 1e-3
    components: Annotated[int, Meta(ge=1, le=1000)] = 10
    inference: Literal["variational", "em"] = "variational"
    max_iterations: Annotated[int, Meta(ge=1, le=100000)] = 100
    rows_per_class: Count | None = None


class ClassifierTrainingConfig(ConfigSection, frozen=True):
    """The training of a Bayes classifier, which is a fit in closed form or of mixtures.

    Args:
        seed: The seed of the rows that are drawn and of the mixtures' starts.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


class ClassifierConfig(ConfigSection, frozen=True, tag="bayes-classifier", tag_field="kind"):
    """Everything that makes a Bayes classifier with one density a class.

    Args:
        recipe: The name of the recipe that builds it.
        density: The density of every class.
        data: What the classifier sees of a row.
        training: The seed.
    """

    recipe: str
    density: DensityConfig = DensityConfig()
    data: DataConfig = DataConfig()
    training: ClassifierTrainingConfig = ClassifierTrainingConfig()


Config: TypeAlias = VAEConfig | ClassifierConfig
AnyConfig = TypeVar("AnyConfig", bound=VAEConfig | ClassifierConfig)


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as plain values.

    Args:
        config: A configuration of a model or of a classifier.

    Returns:
        Dictionaries, lists, numbers, words and None, by part and option; `from_json` reads them.
    """
    return msgspec.to_builtins(config)


def from_json(value: object) -> Config:
    """A configuration from parsed JSON.

    Args:
        value: What `to_json` gave.

    Returns:
        The configuration of a model or of a classifier, as its entry `kind` says.

    Raises:
        ConfigError: An entry is unknown or does not fit; the message names the part and option.
    """
    try:
        return msgspec.convert(value, Config)
    except msgspec.ValidationError as error:
        what = f"the configuration does not fit: {str(error)[:300]}."
        fix = "Bring the entry back to what latens wrote, or start a new run."
        raise ConfigError(what, where="configuration", fix=fix) from None


def unfit(value: object, error: msgspec.ValidationError, hint: object, *, where: str) -> ConfigError:
    """The refusal of an option's value, which says what was given and what is allowed.

    Args:
        value: What was given.
        error: What msgspec said of it.
        hint: The type of the option.
        where: The full name of the option, such as `training.seed`.

    Returns:
        The error, to be raised by the caller.
    """
    words, said = _literals(hint), str(error).partition(" - at `$")[0]
    if words and said.startswith(("Invalid enum value", "Expected `str`")):
        return ConfigError(f"there is no {str(value)[:100]!r}.", where=where, fix=nearest(str(value), words))
    said = said.replace("`array", "`whole number from 1, or a list of them").replace("| null", "| none")
    what = f"{str(value)[:100]!r} does not fit: {said[:1].lower()}{said[1:300]}."
    return ConfigError(what, where=where, fix="`latens info parts` lists what options take.")


def _literals(hint: object) -> list[str]:
    """The words that a type allows."""
    if get_origin(hint) is Literal:
        return [word for word in get_args(hint) if isinstance(word, str)]
    return [word for arm in get_args(hint) for word in _literals(arm)]


_CHOICES = ("kind", "name", "family")
"""The option that says which thing a part is: `network=conv` is `network.kind=conv`."""
_SHORT = {"encoder": "network.encoder", "decoder": "network.decoder", "final": "training.final"}


def override(config: AnyConfig, settings: Mapping[str, Any]) -> AnyConfig:
    """The configuration with `part.option` names set to new values.

    What a part is (`objective=iwae`) is set before its options, in whatever order they come: a new choice leaves none
    of the former one's. An optimiser that is named runs at a constant rate, 0.001 where no other is given.

    Args:
        config: The configuration, which is left as it is.
        settings: New values by name, `part.option` or the name of a part; strings are read as JSON where they can be.

    Returns:
        A configuration of the same class.

    Raises:
        ConfigError: A part, option or value is unknown or does not fit; the message names the nearest valid one.
        UsageError: `config` is not a configuration.
    """
    refuse_other(config, (VAEConfig, ClassifierConfig), "config", 'Give latens.recipes.get_recipe("default").config.')
    values = to_json(config)
    if not isinstance(settings, Mapping) or not all(isinstance(name, str) for name in settings):
        what, fix = f"must be options by name, not {settings!r:.100}.", 'Give for example {"training.steps": 100}.'
        raise ConfigError(what, where="settings", fix=fix)
    for given, value in sorted(settings.items(), key=lambda item: item[0].partition(".")[2] not in ("", *_CHOICES)):
        scheduled = given.endswith("beta") and isinstance(value, str) and ":" in value  # beta=cyclical:4
        name = "objective.beta_schedule" if scheduled else given if given in values else _SHORT.get(given, given)
        part, dot, option = name.partition(".")
        parts = {key for key, v in values.items() if isinstance(v, dict)}
        if part not in parts:
            homes = [f"{home}.{part}" for home in sorted(parts, reverse=True) if part in values[home] and not dot]
            fix = f"Write {' or '.join(homes)}." if homes else nearest(part, parts)
            raise ConfigError(f"the configuration has no part {part!r}.", where=name, fix=fix)
        if not dot:
            option = next((choice for choice in _CHOICES if choice in values[part]), "")
            if not option:
                fix = f"Write {part}.OPTION=VALUE; the options are {', '.join(values[part])}."
                raise ConfigError(f"{part} has several options, and none was named.", where=name, fix=fix)
        if option in _CHOICES and value != values[part].get(option) and "options" in values[part]:
            values[part]["options"] = {}  # those of what was there before
        if (part, option) == ("optimizer", "name"):  # it runs as it is: the former one's schedule goes too
            plain = msgspec.to_builtins(OptimizerConfig())
            values[part] |= {own: plain[own] for own in ("learning_rate", "schedule", "warmup_steps", "options")}
        head, _, rest = option.partition(".")
        if head not in values[part] and "options" in values[part] and head.isidentifier() and not rest:
            head, rest = "options", head
        if head not in values[part]:
            last = rest if head == "options" else head
            raise ConfigError(f"{part} has no option {option!r}.", where=name, fix=nearest(last, values[part]))
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
            while rest and get_origin(hint) is Annotated:
                hint = get_args(hint)[0]
            if rest and isinstance(hint, type) and issubclass(hint, ConfigSection):
                options = get_type_hints(hint, include_extras=True)
                if rest not in options:
                    what = f"{part}.{head} has no option {rest!r}."
                    raise ConfigError(what, where=name, fix=nearest(rest, options)) from None
                hint = options[rest]
            elif rest:
                hint = get_args(hint)[1]
            raise unfit(value, error, hint, where=name) from None
    return msgspec.convert(values, type(config))


def option_hint(part: str, name: str, known: Iterable[str]) -> str:
    """The nearest of a choice's own options and of the other options of its part; else what the choice takes.

    Args:
        part: The part of the configuration, such as "prior".
        name: The option that it does not have.
        known: The names of the choice's own options.

    Returns:
        A sentence for the `fix` of an error.
    """
    own, parts = list(known), get_type_hints(VAEConfig)
    beside = [field for field in getattr(parts.get(part), "__struct_fields__", ()) if field != "options"]
    if difflib.get_close_matches(name, [*own, *beside], n=1):
        return nearest(name, [*own, *beside])
    return f"It takes {', '.join(own)}." if own else f"Remove {part}.{name}."


def _fits(config: VAEConfig | ClassifierConfig, part: str, values: dict[str, Any]) -> bool:
    """Whether a part may have these values."""
    with contextlib.suppress(msgspec.ValidationError):
        msgspec.convert(values, type(getattr(config, part)))
        return True
    return False


def read_value(text: object) -> Any:
    """What a user typed after `=`: JSON where it is JSON, `500,500` as a list, `none` as null, else text.

    Args:
        text: The text; a value of another type is returned as it is, a tuple as a list.

    Returns:
        A JSON value: None, a truth value, a number, a text, a list or a dictionary.
    """
    if not isinstance(text, str):
        return list(text) if isinstance(text, tuple) else text
    if text.lower() in ("none", "null"):
        return None
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(text)
    if "," in text:
        return [read_value(item.strip()) for item in text.split(",") if item.strip()]
    return {"true": True, "false": False}.get(text.lower(), text)
