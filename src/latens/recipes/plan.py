"""What is decided from the data, and the stages of training."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Shaped
from msgspec.structs import replace

from latens.config import (
    CriticOptimizerConfig,
    NetworkConfig,
    ObjectiveConfig,
    OptimizerConfig,
    TrainingConfig,
    VAEConfig,
)
from latens.data import Dataset, Preparation, Schema, prepare_batch, suggest_likelihood
from latens.data.infer import MOST_MEASURED
from latens.data.mapped import few
from latens.data.schema import is_series
from latens.errors import ConfigError
from latens.kinds import kind_of
from latens.kinds.base import Defaults
from latens.models import AbstractModelPrior, LatentModel
from latens.networks import Dense, default_hidden
from latens.objectives import AbstractObjective
from latens.objectives.elbo import with_beta, without_beta
from latens.recipes.build import Recipe, Size, build
from latens.recipes.part_tables import OBJECTIVES, make
from latens.recipes.parts import ConfiguredParts, bind, preparation
from latens.recipes.pictures import BATCH as PICTURE_BATCH
from latens.recipes.pictures import for_pictures, map_of, of_binarised, of_codes, work
from latens.recipes.posteriors import PRIORS, MixtureOptions, whole_groups
from latens.recipes.principal_components import MOST_LATENTS, latents_of, started_from, suits
from latens.runtime import random_keys
from latens.trainable import count_parameters
from latens.training import Budget, Optimizer, Stage, by_group, make_optimizer, patience_of, resting
from latens.training.optimizers import OPTIMIZERS

CRITIC = (256, 256)
"""Hidden widths of the critic of a two-player objective."""

NETWORK = NetworkConfig(activation="silu", initializer="he-normal")
OPTIMIZER = OptimizerConfig(
    name="adamw", learning_rate=None, schedule="schedule-free", warmup_steps=100, options={"b1": 0.0, "b2": 0.99}
)
"""What `default` has, and every recipe that says nothing else."""

MAP_CHANNELS = 4
"""Latent units at each place of a map that is not of codes."""

RATE = 6e-3
"""The learning rate where none is given."""

BATCH_CELLS = 2**23

"""Values of all rows of a batch at the most, where its size is decided from the data: 32 pictures of 256 x 256 x 3,
of which a convolutional network holds a gigabyte."""

MANY_CELLS = 2048
"""Values of a row above which the scales of a posterior are no exponentials of a network's outputs."""

POISSON_CLIP = 100.0
"""The largest norm of a gradient under a Poisson likelihood, where none is set."""


def resolve(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Decide what the configuration leaves open, from the data, and say why in a sentence each."""
    parts, pictures, usual = bind(config), False, kind_of(data.schema).defaults
    config, reasons = of_binarised(parts.config)
    if config.network.kind == "auto" and usual.network:
        config = replace(config, network=replace(config.network, kind=usual.network))
    if config.network.kind == "auto":
        config, others = for_pictures(parts.having(config), data)
        reasons += others
        pictures = config.network.kind == "conv"
    if data.schema.inputs and not parts.posterior.reads_inputs:
        what = f"the recipe {config.recipe!r} has no inputs at every step."
        fix = "Use --recipe world, or leave --input out: the columns are then modelled."
        raise ConfigError(what, where="--input", fix=fix)
    given = _Given(data, data.schema, usual, parts, pictures, data.count("train"), data.count("validation"), reasons)
    for decide in (_likelihood, _objective, _widths, _begun, _latents, _prior, _batches, _optimizer, _limits):
        config = decide(config, given)
    return config, reasons


class _Given(NamedTuple):
    """What decisions go by, and where each says why."""

    data: Dataset
    schema: Schema
    usual: Defaults  # of rows of this kind
    parts: ConfiguredParts
    pictures: bool  # whether the networks are convolutions of the default recipe
    rows: int  # of training
    validate: int  # the number of rows that validate
    reasons: list[str]


def _likelihood(config: VAEConfig, given: _Given) -> VAEConfig:
    likelihood, schema, reasons = config.likelihood, given.schema, given.reasons
    if likelihood.family == "auto":
        family, reason = suggest_likelihood(given.data)
        if family == "normal" and is_series(schema):
            trial = replace(config, likelihood=replace(likelihood, family="correlated-normal"))
            if suits(given.parts.having(trial), given.data) is not None:
                family, reason = "correlated-normal", "the times and numbers of a window depend on one another"
        likelihood = replace(likelihood, family=family)
        reasons.append(f"likelihood: {family}, because {reason[0].lower()}{reason[1:].rstrip('.')}")
    if likelihood.family == "bernoulli" and schema.cells.grey and config.data.binarize == "none":
        reasons.append(
            "grey pixels under a Bernoulli: the numbers are cross-entropies, not log p(x) "
            "(--set data.binarize=stochastic makes them one)"
        )
    return replace(config, likelihood=likelihood)


def _objective(config: VAEConfig, given: _Given) -> VAEConfig:
    draws = given.usual.draws
    if not draws or config.recipe != "default" or config.objective != ObjectiveConfig():
        return config
    given.reasons.append(
        f"objective: iwae with {draws} draws, which separates kinds of rows better than the ELBO "
        "(--set objective.beta=1 for that)"
    )
    return replace(config, objective=replace(config.objective, name="iwae", options={"num_samples": draws}))


def _widths(config: VAEConfig, given: _Given) -> VAEConfig:
    """The widths of the networks, and the learning rate that goes with them."""
    network, optimizer, own = config.network, config.optimizer, given.usual
    narrow = own.width and (network.kind, config.start.kind) == ("dense", "closed-form")
    if optimizer.learning_rate is None:
        optimizer = replace(optimizer, learning_rate=own.rate if narrow and network.hidden is None else RATE)
    if network.hidden is None:
        cells = (own.cells,) if own.cells else given.schema.shape
        usual = (own.width,) if narrow else default_hidden(network.kind, cells)
        network = replace(network, hidden=usual)
        if not (network.encoder and network.decoder):
            which = f"{network.kind} networks of widths"
            if network.encoder or network.decoder:
                which = f"a {network.kind} {'decoder' if network.encoder else 'encoder'} of widths"
            widths = ", ".join(map(str, network.hidden or ()))
            given.reasons.append(f"{which} {widths}, for {math.prod(given.schema.shape)} values a row")
    return replace(config, network=network, optimizer=optimizer)


def _begun(config: VAEConfig, given: _Given) -> VAEConfig:
    """Whether the networks begin at the closed form of the data, and how many latents it has."""
    data, reasons, having = given.data, given.reasons, given.parts.having(config)
    cells = math.prod(data.schema.shape)
    if (head := suits(having, data)) is None or not (count := latents_of(data, preparation(data.schema, having), head)):
        return config
    posterior = config.posterior
    reasons.append("networks that begin at the principal components of the training rows (--set start=none for none)")
    if posterior.latent_dim is None:
        posterior = replace(posterior, latent_dim=max(min(32, max(2, cells // 4)), count))
        most = " at most" if count == MOST_LATENTS else ""
        why = "components as gain on rows held out"
        correlated = config.likelihood.family == "correlated-normal"
        why = "directions as have a variance above that of a cell" if correlated else why
        reasons.append(f"{posterior.latent_dim} latent units,{most} as many {why}")
    return replace(config, network=replace(config.network, linear=True), posterior=posterior)


def _latents(config: VAEConfig, given: _Given) -> VAEConfig:
    """Whether latents lie on a map, how many there are, and how their scales are made."""
    _, schema, own, parts, *_, reasons = given
    network, posterior, row, cells = config.network, config.posterior, parts.posterior, math.prod(schema.shape)
    if network.map is None and network.kind == "conv" and of_codes(parts.having(config)):
        network = replace(network, map=True)
    if posterior.latent_dim is None and network.map:
        height, width = map_of(parts.having(replace(config, network=network)), schema)
        group, what = (row.group_size, "codes") if row.support == "codes" else (MAP_CHANNELS, "places")
        posterior = replace(posterior, latent_dim=height * width * group)
        reasons.append(f"a map of {height} x {width} {what}, of {group} latent units each")
    if posterior.latent_dim is None:
        wanted = int(own.latents * cells)
        posterior = replace(posterior, latent_dim=whole_groups(min(32, max(2, wanted)), row.group_size))
        of_values = "one for each column" if own.latents == 1.0 else "a quarter of the values"
        of_values = "the most that are taken unasked" if wanted > 32 else of_values
        reasons.append(f"{posterior.latent_dim} latent units, {of_values}")
    if posterior.scale == "auto" and row.scaled:
        # An exponential runs away where a column lies many standard deviations out; pixels do so where they are many:
        # of 320 faces of 64 x 64 dense networks were not finite after 25 and 65 steps.
        far = schema.standardised or own.far or cells > MANY_CELLS
        posterior = replace(posterior, scale="softplus" if far else "log-scale")
    return replace(config, network=network, posterior=posterior)


def _prior(config: VAEConfig, given: _Given) -> VAEConfig:
    _, schema, usual, parts, *_, reasons = given
    prior, objective, own = config.prior, config.objective, config.prior.kind == "auto" and not config.prior.options
    prior = replace(prior, kind=parts.posterior.prior) if prior.kind == "auto" else prior
    if prior.refit is None:  # a prior that was chosen, by a user or by a recipe, is left as it is trained
        # The percentiles of a standard Normal space the plane of pictures with two units.
        plane = config.posterior.latent_dim == 2 and schema.image is not None
        refit = own and not usual.components and not plane and config.recipe == "default"
        prior = replace(prior, refit=refit and not unrefittable(parts.having(config)))
    if usual.components and config.recipe == "default" and own and prior.kind == "standard-normal":
        prior = replace(prior, kind="mixture", options={"components": usual.components})
        reasons.append(f"prior: a mixture of {usual.components} Normals, as rows of tables come in kinds")
    if usual.whole_bits and "free_bits" in objective.options and "free_bits_group" not in objective.options:
        options = {**objective.options, "free_bits_group": config.posterior.latent_dim}
        objective = replace(objective, options=options)
    reasons += _prior_held(objective.name, prior.kind)
    return replace(config, prior=prior, objective=objective)


def _batches(config: VAEConfig, given: _Given) -> VAEConfig:
    if config.training.batch_size is not None:
        return config
    rows, cells = given.rows, math.prod(given.schema.shape)
    usual = 128 if rows >= 1000 and not given.pictures else PICTURE_BATCH
    usual, of_cells = kind_of(given.schema).batch_size(given.data, usual)
    size = min(usual, 2 ** int(math.log2(max(1, BATCH_CELLS // cells))))
    of_cells = f" of {cells:,} values" if size != usual else of_cells
    given.reasons.append(f"batches of {size}, for {rows:,} training rows{of_cells}")
    return replace(config, training=replace(config.training, batch_size=size))


def _optimizer(config: VAEConfig, given: _Given) -> VAEConfig:
    optimizer, rows, reasons = config.optimizer, given.rows, given.reasons
    if optimizer.name == "adamw" and "weight_decay" not in optimizer.options:
        # Measured: a few hundred rows are fitted too closely without it, and with it thousands not closely enough.
        decay = 0.5 if rows < 500 else 0.05
        optimizer = replace(optimizer, options={**optimizer.options, "weight_decay": decay})
        reasons.append(f"weight decay {decay:g}, for {rows:,} training rows")
    if config.likelihood.family == "poisson" and optimizer.name == "adamw" and optimizer.clip_norm is None:
        # A draw far from where its cells were so far makes rates of thousands, and a gradient that one step of Adam
        # cannot take: on a matrix of 2,000 genes the ELBO of training fell from -780 to -200,000 and did not come back.
        optimizer = replace(optimizer, clip_norm=POISSON_CLIP)
        reasons.append(
            f"gradients of a norm above {POISSON_CLIP:g} are clipped, because a Poisson's rate is exponential"
        )
    return replace(config, optimizer=optimizer)


def _limits(config: VAEConfig, given: _Given) -> VAEConfig:
    """How long training goes on, and how many steps are one program."""
    training, rows = config.training, given.rows
    limits = [f"{value:g} {name}" for name in _LIMITS if (value := getattr(training, name)) is not None]
    if not limits or training.patience == "auto":
        epochs, patience = _budget(rows, training.batch_size or rows, bool(given.validate))
        if not limits and training.patience == "auto" and training.validate_every is None:
            # About 100 steps: what is done between them takes as long as 30 steps of a few rows.
            steps = -(-rows // min(rows, training.batch_size or rows))
            training = replace(training, validate_every=max(1, round(100 / steps)))
        training = training if limits else replace(training, epochs=epochs)
        training = replace(training, patience=patience) if training.patience == "auto" else training
        stop = f"fewer if validation rows gain nothing for {training.patience}"
        if training.epochs is not None and isinstance(training.patience, int) and training.patience >= training.epochs:
            stop = f"too few for early stopping, which waits for {training.patience} without a gain"
        if not given.validate:
            stop = "not stopped early, as no rows validate"
        stop = "not stopped early (training.patience=none)" if training.patience is None else stop
        given.reasons.append(f"up to {' or '.join(limits) or f'{epochs:,.0f} epochs'}, {stop}")
    if training.chunk_steps is None:
        training = replace(training, chunk_steps=_chunk_steps(given.schema, config.network, training))
    return replace(config, training=training)


def _prior_held(objective: str, prior: str) -> list[str]:
    """What of a mixture as prior stays as it begins, because its draws have no gradient by that."""
    by = getattr(OBJECTIVES.get(objective), "trains_prior", "density")
    if by == "density" or prior not in PRIORS or PRIORS[prior].options is not MixtureOptions:
        return []
    kept = "the weights of the mixture stay equal" if by == "samples" else "the mixture stays as it was drawn"
    if by == "samples" and objective == "info-vae":
        kept = "the weights of the mixture are trained by the KL alone"
    fix = "use --set objective=elbo, or `latens refit RUN --prior mixture` afterwards"
    return [f"prior: {kept}, as {objective} compares draws of it, which have no gradient by it; {fix}"]


def unrefittable(parts: ConfiguredParts) -> str:
    """Beside what no mixture can be fitted to the codes of a model, or "" where it can."""
    config, posterior = parts.config, parts.posterior
    if config.label.kind != "none":
        return f"where label.kind={config.label.kind}"
    if posterior.support != "vector" or posterior.is_point or config.posterior.levels:
        return f"with posterior.kind={config.posterior.kind}" + " with levels" * bool(config.posterior.levels)
    return ""


_LIMITS = ("epochs", "steps", "minutes")


def _budget(rows: int, batch_size: int, validated: bool) -> tuple[float, int]:
    """At most 20,000 steps (and 30 epochs at least), and the patience of so many epochs."""
    # Where no rows validate, nothing tells when to stop, and few rows are soon known by heart: 10 steps a row (measured
    # on 40 rows of four data sets: held-out log p(x) is best after 200 to 600 steps; later it falls by hundreds).
    steps_per_epoch = -(-rows // min(rows, batch_size))
    if not validated and 10 * rows < 20_000:
        return float(math.ceil(max(200, 10 * rows) / steps_per_epoch)), patience_of()
    epochs = max(30, math.ceil(20_000 / steps_per_epoch))
    return float(epochs), patience_of(epochs)


def _chunk_steps(schema: Schema, network: NetworkConfig, training: TrainingConfig) -> int:
    """About half a second of steps at 100 GF/s, at most 32 MB of rows."""
    cells, hidden, batch_size = math.prod(schema.shape), network.hidden or (), training.batch_size or 128
    weights = 2 * sum(a * b for a, b in zip((cells, *hidden), (*hidden, 1)))
    if network.kind == "recurrent":
        weights = 12 * cells * sum(width**2 for width in hidden)
    if network.kind == "conv" and (shape := schema.image) is not None:
        weights = 2 * work(network, shape)
    seconds = 6 * weights * batch_size / 1e11 + 2e-4
    by_memory = 2**25 / (batch_size * cells * 4)
    return int(max(1, min(500, 0.5 / seconds, by_memory, training.plots_every or 500, training.log_every or 500)))


def plan(schema: Schema, config: VAEConfig | ConfiguredParts, size: Size) -> tuple[Stage, ...]:
    """One stage: start the output bias from the data, then train."""
    parts = bind(config)
    objective = make_objective(parts, size, math.prod(schema.shape))
    made = stage_of(parts.config, size, objective, starting(schema, parts))
    if parts.config.training.pretrain_epochs is not None:
        what = "this recipe has one stage, and nothing to train before it."
        raise ConfigError(what, where="training.pretrain_epochs", fix="Remove --set training.pretrain_epochs=...")
    return (made,)


def stage_of(
    config: VAEConfig, size: Size, objective: AbstractObjective, start: Callable[..., Any], budget: Budget | None = None
) -> Stage:
    """The stage that minimises an objective, with the budget of the configuration unless another is given."""
    training = config.training
    assert training.patience != "auto"
    budget = budget or Budget(training.epochs, training.steps, training.minutes, training.patience)
    made = optimizer_of(config.optimizer, objective, budget.total_steps(size.steps_per_epoch))
    return Stage(objective, made, budget, start)


_OWN = {"name", "learning_rate", "schedule", "warmup_steps", "total_steps", "clip_value", "clip_norm", "mask"}


def optimizer_of(config: OptimizerConfig, objective: AbstractObjective, total_steps: int | None) -> Optimizer:
    """The optimiser of (model, objective)."""
    # A critic, a multiplier or a learned baseline is never averaged, and warms up with the model.
    shared: dict[str, Any] = {"warmup_steps": config.warmup_steps, "total_steps": total_steps}
    usual = RATE if config.learning_rate is None else config.learning_rate
    model = _made(config, "optimizer", usual, schedule=config.schedule, **shared)
    if not count_parameters(objective):
        return model
    critic = config.critic
    rate = usual if critic.learning_rate is None else critic.learning_rate
    if rate == 0.0:
        return by_group({"model": model, "objective": resting()})
    schedule = "cosine" if config.schedule == "cosine" else "constant"
    return by_group({"model": model, "objective": _made(critic, "optimizer.critic", rate, schedule=schedule, **shared)})


def _made(config: OptimizerConfig | CriticOptimizerConfig, where: str, rate: float, **given: Any) -> Optimizer:
    found = OPTIMIZERS.get(config.name)
    if isinstance(found, Optimizer):
        plain = replace(type(config)(), name=config.name)
        beside = [f for f in config.__struct_fields__ if f != "critic" and getattr(config, f) != getattr(plain, f)]
        if beside:
            what = f"the optimiser {config.name} was given as an object, which has its own {beside[0]}."
            raise ConfigError(what, where=f"{where}.{beside[0]}", fix="Set it where the object is made.")
        return found
    if taken := _OWN & set(config.options):
        what = f"{min(taken)} is not an option of {config.name} itself."
        raise ConfigError(what, where=f"{where}.options", fix=f"Set {where}.NAME.")
    options: dict[str, Any] = {**given, **config.options}
    clips = {"clip_value": config.clip_value, "clip_norm": config.clip_norm}
    return make_optimizer(config.name, learning_rate=rate, **clips, **options)


def starting(schema: Schema, parts: ConfiguredParts) -> Callable[[LatentModel, Dataset], LatentModel]:
    """What a stage starts with: the decoder at the data's moments, pseudo-inputs at rows."""
    prepare, config = preparation(schema, parts), parts.config

    def start(model: LatentModel, data: Dataset) -> LatentModel:
        if config.likelihood.output_bias == "data" and hasattr(model.decoder, "with_output_bias"):
            moments = prepared_moments(data, prepare, schema.num_values)
            decoder: Any = model.decoder
            # Weights by a law of the user's choice stay as they are drawn, and those beside a closed form begin at 0.
            scaled = config.network.initializer == NETWORK.initializer and not config.network.linear
            rows = some_rows(data, prepare, moments.mean) if scaled else None
            started = decoder.with_output_bias(moments.mean, moments.frequencies, moments.variance, rows)
            model = eqx.tree_at(lambda m: m.decoder, model, started)
        model = started_from(model, data, prepare)
        if isinstance(model.prior_part, AbstractModelPrior):
            model = eqx.tree_at(lambda m: m.prior_part, model, model.prior_part.started(data, prepare))
        return model

    return start


def make_objective(parts: ConfiguredParts, size: Size, cells: int) -> AbstractObjective:
    """The objective that a configuration names."""
    config, posterior, kind = parts.config, parts.posterior, parts.objective
    chosen = config.objective
    if posterior.is_point and kind.needs_density:
        raise ConfigError(
            f"a deterministic encoder has no density, which {chosen.name} needs.",
            where="objective.name",
            fix="Use --set objective.name=reconstruction.",
        )
    if not kind.has_likelihood and not posterior.is_point:
        raise ConfigError(
            f"{chosen.name} has no likelihood, so that there is no posterior ({config.posterior.kind}) but a point.",
            where="objective.name",
            fix="Use --set posterior=deterministic, or another objective.",
        )
    if posterior.is_point and config.prior.kind == "vamp":
        raise ConfigError(
            "rows as the prior of a plain autoencoder are fitted after its training.",
            where="posterior.kind",
            fix="Leave it out, then use `latens refit RUN --prior aggregate`.",
        )
    of_codes = posterior.support == "codes"
    if of_codes != kind.of_codes:
        what = f"a {config.posterior.kind} posterior and the objective {chosen.name} do not go together."
        fix = "Use --set objective=quantised." if of_codes else "Use --set posterior=vq, or another objective."
        raise ConfigError(what, where="objective.name", fix=fix)
    if isinstance(kind, AbstractObjective):
        return _as_given(kind, config.objective)
    options: dict[str, Any] = dict(chosen.options)
    given: dict[str, Any] = {}
    fields: dict[str, Any] = {field.name: field for field in dataclasses.fields(kind)}
    if "critic" in fields:
        key = jax.random.fold_in(jax.random.key(config.training.seed), random_keys.INITIAL_CRITIC)
        sizes = {"codes": posterior.size + sum(config.posterior.levels), "row": cells}
        size_in = sum(sizes[part] for part in kind.critic_sees)
        given["critic"] = Dense([size_in, *CRITIC, 1], activation="silu", key=key)
    objective = make(kind, options, "objective", **given)
    return with_beta(objective, chosen, size.steps_per_epoch) if "beta" in fields else without_beta(objective, chosen)


def _as_given(objective: AbstractObjective, config: ObjectiveConfig) -> AbstractObjective:
    """The user's own object, which has no options beside its fields."""
    given = {"beta_warmup_epochs": config.beta_warmup_epochs, "beta_schedule": config.beta_schedule != "constant"}
    if named := [*(name for name, told in given.items() if told), *sorted(config.options)]:
        what = f"the objective {type(objective).__name__} was given as an object, which takes no further options."
        raise ConfigError(what, where=f"objective.{named[0]}", fix="Set it where the object is made.")
    return objective


RECIPE = Recipe(
    "", "", "", "", VAEConfig(network=NETWORK, optimizer=OPTIMIZER), resolve, preparation, build, plan, bind
)
"""What every recipe of a variational autoencoder begins with, but for its name and words."""


class DataMoments(NamedTuple):
    """Moments of the prepared training rows."""

    mean: np.ndarray  # the mean of each feature, of shape (*x)
    variance: np.ndarray  # the variance of each feature, of shape (*x)
    frequencies: np.ndarray | None  # of integers the frequency of every level, of shape (*x, L); else None


def prepared_moments(data: Dataset, prepare: Preparation, levels: int) -> DataMoments:
    """The moments of the training rows as the likelihood sees them; missing values do not count."""
    # Source: Chan, Golub & LeVeque (1983) for the sums of squares.
    positions = few(data.subset("train"), MOST_MEASURED)
    if prepare.integer:
        every, cells = np.arange(levels), math.prod(data.schema.shape)
        counts = np.zeros(cells * levels)
        for start in range(0, len(positions), 4096):
            rows = np.asarray(data.x[positions[start : start + 4096]]).reshape(-1, cells).astype(np.int64)
            counts += np.bincount((rows + levels * np.arange(cells)).ravel(), minlength=cells * levels)
        frequencies = counts.reshape(*data.schema.shape, levels) / len(positions)
        mean = frequencies @ every
        return DataMoments(mean, np.maximum(frequencies @ every**2 - mean**2, 0.0), frequencies)
    shape, key = data.schema.shape, random_keys.of_seed(0)
    count, mean, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    # Wide rows come a few at a time; the sums go on where they were, so the digits stay the same.
    size = 4096 if math.prod(shape) <= 1024 else max(16, 2**20 // math.prod(shape))

    def pieces(part: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for start in range(0, len(part), size):
            batch = prepare_batch(prepare, data.rows(part[start : start + size]), key=key)
            yield np.asarray(batch.x, np.float64), None if batch.mask is None else np.asarray(batch.mask)

    for start in range(0, len(positions), 4096):
        part = positions[start : start + 4096]
        held = list(pieces(part)) if len(part) <= size else None
        # Chan, Golub & LeVeque (1983): sums of squares around the mean of each part, put together.
        sums, more = _added(held or pieces(part))
        own = sums / np.maximum(more, 1)
        step, total = own - mean, np.maximum(count + more, 1)
        squares += _added(held or pieces(part), own)[0] + step**2 * count * more / total
        mean, count = mean + step * more / total, count + more
    return DataMoments(mean, squares / np.maximum(count, 1), None)


def _added(
    pieces: Iterable[tuple[np.ndarray, np.ndarray | None]], centre: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    """The sum of observed cells over rows, or of their squared distances from a centre, and how many there are."""
    found: np.ndarray | None = None
    more: Any = 0.0
    for x, mask in pieces:
        values = x if centre is None else (x - centre) ** 2
        values = values if mask is None else np.where(mask, values, 0.0)
        more = more + (len(values) if mask is None else mask.sum(axis=0))
        found = values.sum(axis=0) if found is None else np.concatenate([found[None], values]).sum(axis=0)
    assert found is not None
    return found, more


def some_rows(data: Dataset, prepare: Preparation, mean: Shaped[np.ndarray, "*x"]) -> Shaped[np.ndarray, " n *x"]:
    """Some training rows as the likelihood sees them, with the mean in the place of missing values."""
    positions = data.subset("train")
    chosen = positions[np.unique(np.linspace(0, len(positions) - 1, 16).astype(int))]
    batch = prepare_batch(prepare, data.rows(chosen), key=random_keys.of_seed(0))
    x = np.asarray(batch.x)
    return x if batch.mask is None else np.where(batch.mask, x, np.round(mean) if prepare.integer else mean)
