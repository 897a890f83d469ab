"""From a configuration to the parts of a variational autoencoder and the stages of its training."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from msgspec.structs import replace

from latens.config import LikelihoodConfig, TrainingConfig, VAEConfig
from latens.data import Dataset, Preparation, Schema, prepare_batch, suggest_likelihood
from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.models import (
    AbstractHead,
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    Conditional,
    ContinuousBernoulliHead,
    DeterministicHead,
    LatentModel,
    NormalHead,
    SharedScaleNormalHead,
    Standardise,
    widths_between,
)
from latens.networks import Dense
from latens.objectives import ELBO, AbstractObjective, Reconstruction
from latens.shapes import AnyArray, Key
from latens.training import Budget, Stage, make_optimizer
from latens.trees import Frozen


def resolve(config: VAEConfig, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Decide what the configuration leaves open, from the data, and say why in a sentence each."""
    reasons: list[str] = []
    schema, cells = data.schema, math.prod(data.schema.shape)
    likelihood, network, posterior, training = config.likelihood, config.network, config.posterior, config.training
    if likelihood.family == "auto":
        family, reason = suggest_likelihood(data)
        likelihood = replace(likelihood, family=family)
        reasons.append(f"likelihood: {family}, because {reason[0].lower()}{reason[1:].rstrip('.')}")
    if likelihood.family == "bernoulli" and schema.kind in ("levels", "unit") and config.data.binarize == "none":
        reasons.append(
            "grey pixels under a Bernoulli: the numbers are cross-entropies, not log p(x) "
            "(--set data.binarize=stochastic makes them one)"
        )
    if network.hidden is None:
        width = 500 if cells >= 256 else 256 if cells >= 32 else 128
        network = replace(network, hidden=(width, width))
        reasons.append(f"hidden widths {width}, {width}, for {cells} values a row")
    if posterior.latent_dim is None:
        latent_dim = min(32, max(2, cells // 4))
        posterior = replace(posterior, latent_dim=latent_dim)
        reasons.append(f"{latent_dim} latent units, a quarter of the values, at most 32")
    rows = len(data.subset("train"))
    if training.batch_size is None:
        training = replace(training, batch_size=128 if rows >= 1000 else 32)
        reasons.append(f"batches of {training.batch_size}, for {rows:,} training rows")
    optimizer = config.optimizer
    if optimizer.name == "adamw" and "weight_decay" not in optimizer.options:
        # Measured: a few hundred rows are fitted too closely without it, and with it thousands not closely enough.
        decay = 0.5 if rows < 500 else 0.05
        optimizer = replace(optimizer, options={**optimizer.options, "weight_decay": decay})
        reasons.append(f"weight decay {decay:g}, for {rows:,} training rows")
    if training.epochs is None and training.steps is None and training.minutes is None:
        epochs, patience = _budget(rows, training.batch_size or rows)
        training = replace(training, epochs=epochs, patience=training.patience or patience)
        reasons.append(
            f"at most {epochs:g} epochs, stopped after {training.patience} without a gain on validation rows"
        )
    if training.chunk_steps is None:
        training = replace(training, chunk_steps=_chunk_steps(cells, network.hidden or (), training))
    config = replace(
        config,
        likelihood=likelihood,
        network=network,
        posterior=posterior,
        training=training,
        optimizer=optimizer,
    )
    return config, reasons


def _budget(rows: int, batch_size: int) -> tuple[float, int]:
    """At most 20,000 steps (and 30 epochs at least); patience is a fortieth of them, and 10 epochs at least."""
    steps_per_epoch = -(-rows // min(rows, batch_size))
    epochs = max(30, math.ceil(20_000 / steps_per_epoch))
    return float(epochs), max(10, round(epochs / 40))


def _chunk_steps(cells: int, hidden: tuple[int, ...], training: TrainingConfig) -> int:
    """About half a second of steps at 100 GF/s, at most 32 MB of rows."""
    weights = 2 * sum(a * b for a, b in zip((cells, *hidden), (*hidden, 1)))
    batch_size = training.batch_size or 128
    seconds = 6 * weights * batch_size / 1e11 + 2e-4
    by_memory = 2**25 / (batch_size * cells * 4)
    return int(max(1, min(500, 0.5 / seconds, by_memory, training.plots_every or 500)))


def preparation(schema: Schema, config: VAEConfig) -> Preparation:
    """What the model sees of a stored row. **Raises:** ConfigError where likelihood and data do not fit."""
    family, data = config.likelihood.family, config.data
    wanted = {
        "bernoulli": ("binary", "levels", "unit"),
        "continuous-bernoulli": ("levels", "unit"),
        "categorical": ("binary", "levels"),
        "normal": ("binary", "levels", "unit", "real", "counts"),
    }[family]
    if schema.kind not in wanted:
        raise ConfigError(
            f"a {family} likelihood needs {' or '.join(wanted)} data; these are {schema.kind}.",
            where="likelihood.family",
            fix="Use --set likelihood.family=normal, or scale the data to [0, 1].",
        )
    if data.binarize != "none" and family != "bernoulli":
        raise ConfigError(f"binarised data under a {family} likelihood", where="data.binarize", fix="Use bernoulli.")
    if family == "categorical":
        return Preparation(integer=True)
    if schema.kind == "counts":
        return Preparation(log1p=True)
    if schema.kind != "levels":
        return Preparation(binarize=data.binarize, threshold=data.threshold)
    assert schema.levels is not None
    if family == "bernoulli" or not data.dequantize:
        return Preparation(divide=schema.levels - 1.0, binarize=data.binarize, threshold=data.threshold)
    return Preparation(divide=float(schema.levels), dequantize=True)


def build(schema: Schema, config: VAEConfig, *, key: Key) -> LatentModel:
    """The model: dense encoder and decoder with their heads, a standard Normal prior."""
    network, posterior = config.network, config.posterior
    if network.hidden is None or posterior.latent_dim is None or config.likelihood.family == "auto":
        raise ConfigError("the configuration is not resolved", where=config.recipe)
    latent = (posterior.latent_dim,)
    encoder_key, decoder_key = jax.random.split(key)
    head = (
        NormalHead(latent, posterior.scale, posterior.scale_floor)
        if posterior.kind == "normal"
        else DeterministicHead(latent)
    )
    common = {
        "activation": network.activation,
        "initializer": network.initializer,
        "drop_probability": network.drop_probability,
        "weight_drop_probability": network.weight_drop_probability,
    }
    standardise, likelihood = _input(schema, config.likelihood), likelihood_head(schema, config.likelihood)
    back = network.hidden[::-1] if network.decoder_hidden is None else network.decoder_hidden
    encoder = Dense(
        widths_between(schema.shape, network.hidden, head.num_outputs),
        output_activation=network.encoder_output_activation,
        key=encoder_key,
        **common,
    )
    decoder = Dense(
        widths_between(latent, back, likelihood.num_outputs),
        output_activation=network.decoder_output_activation,
        key=decoder_key,
        **common,
    )
    return LatentModel(
        StandardNormal(latent), Conditional(encoder, head, standardise), Conditional(decoder, likelihood)
    )


def _input(schema: Schema, likelihood: LikelihoodConfig) -> Standardise | None:
    if schema.standardised:
        return Standardise(*_scaling(schema))
    if likelihood.family == "categorical":
        top = 1.0 if schema.levels is None else schema.levels - 1.0
        return Standardise(jnp.zeros(schema.shape), jnp.full(schema.shape, top))
    return None


def _scaling(schema: Schema) -> tuple[AnyArray, AnyArray]:
    if schema.columns is None:
        # jax's, not NumPy's: under eval_shape they take no memory, whatever shape a stranger's file claims.
        return jnp.full(schema.shape, schema.shift, jnp.float32), jnp.full(schema.shape, schema.scale, jnp.float32)
    return np.array([c.shift for c in schema.columns]), np.array([c.scale for c in schema.columns])


def likelihood_head(schema: Schema, config: LikelihoodConfig) -> AbstractHead:
    """The decoder's head; real columns are modelled standardised and given in their own units.

    Of counts both are of log(1 + x), which is what the model sees.
    """
    shape = schema.shape
    match config.family:
        case "bernoulli":
            return BernoulliHead(shape, config.probability_floor)
        case "continuous-bernoulli":
            return ContinuousBernoulliHead(shape)
        case "categorical":
            return CategoricalHead(shape, schema.levels or 2)
    head: AbstractHead
    start = 0.0 if schema.standardised else -1.0
    match config.scale:
        case "fixed":
            head = SharedScaleNormalHead(shape, Frozen(jnp.asarray(math.log(config.fixed_scale), jnp.float32)))
        case "shared":
            head = SharedScaleNormalHead(shape, jnp.asarray(start, jnp.float32), config.scale_floor)
        case "feature":
            head = SharedScaleNormalHead(shape, jnp.full(shape, start, jnp.float32), config.scale_floor)
        case "network":
            head = NormalHead(shape, "softplus", config.scale_floor)
    return AffineHead(head, *_scaling(schema)) if schema.standardised else head


def plan(schema: Schema, config: VAEConfig, steps_per_epoch: int) -> tuple[Stage, ...]:
    """One stage: start the output bias from the data, then train."""
    training, optimizer = config.training, config.optimizer
    budget = Budget(training.epochs, training.steps, training.minutes, training.patience)
    own = {"name", "learning_rate", "schedule", "warmup_steps", "total_steps", "clip_value", "clip_norm", "mask"}
    if taken := own & set(optimizer.options):
        raise ConfigError(
            f"{min(taken)} is no option of {optimizer.name} itself.",
            where="optimizer.options",
            fix="Set optimizer.NAME.",
        )
    made = make_optimizer(
        optimizer.name,
        learning_rate=optimizer.learning_rate,
        schedule=optimizer.schedule,
        warmup_steps=optimizer.warmup_steps,
        total_steps=budget.total_steps(steps_per_epoch),
        clip_value=optimizer.clip_value,
        clip_norm=optimizer.clip_norm,
        **optimizer.options,
    )
    prepare = preparation(schema, config)

    def start(model: LatentModel, data: Dataset) -> LatentModel:
        decoder = model.decoder
        if config.likelihood.output_bias == "zero" or not isinstance(decoder, Conditional):
            return model
        mean, frequencies = prepared_mean(data, prepare, schema.levels or 2)
        started = decoder.with_output_bias(mean, frequencies)
        return eqx.tree_at(lambda m: m.decoder, model, started)

    return (Stage(make_objective(config, steps_per_epoch), made, budget, start),)


def make_objective(config: VAEConfig, steps_per_epoch: int) -> AbstractObjective:
    """The objective that a configuration names."""
    objective = config.objective
    if objective.name == "reconstruction":
        return Reconstruction(objective.l2)
    if config.posterior.kind == "deterministic":
        raise ConfigError(
            "a deterministic encoder has no ELBO.",
            where="objective.name",
            fix="Use --set objective.name=reconstruction.",
        )
    beta: Any = objective.beta
    if objective.beta_warmup_epochs:
        beta = optax.linear_schedule(0.0, beta, max(1, round(objective.beta_warmup_epochs * steps_per_epoch)))
    return ELBO(objective.kl, objective.num_samples, beta, objective.free_bits, objective.l2)


def prepared_mean(data: Dataset, prepare: Preparation, levels: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The mean of the prepared training rows (*x) and, for integers, the frequency of every level (*x, L)."""
    positions = data.subset("train")
    if prepare.integer:
        rows = data.x[positions]
        frequencies = np.stack([np.mean(rows == level, axis=0) for level in range(levels)], axis=-1)
        return frequencies @ np.arange(levels), frequencies
    total, count, key = np.zeros(data.schema.shape), np.zeros(data.schema.shape), jax.random.key(0)
    for start in range(0, len(positions), 4096):
        batch = prepare_batch(prepare, data.rows(positions[start : start + 4096]), key=key)
        mask = np.ones(batch.x.shape) if batch.mask is None else np.asarray(batch.mask)
        total += np.sum(np.where(mask, np.asarray(batch.x, np.float64), 0.0), axis=0)
        count += mask.sum(axis=0)
    return total / np.maximum(count, 1), None
