"""Labels in the graph: given to every part, predicted where they are missing, or found by clustering."""

import dataclasses
import math
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from msgspec.structs import replace

from latens.config import LabelConfig, VAEConfig
from latens.data import Dataset, Preparation, Schema
from latens.distributions import StandardNormal
from latens.errors import ConfigError, DataError
from latens.evidence.batched import ModelRows
from latens.latents.codes import encode
from latens.models import CategoricalHead, Conditional, DepthInput, LatentModel, MixturePrior, SemiSupervised
from latens.networks import encoder_network
from latens.objectives import ELBO
from latens.recipes import build as building
from latens.recipes import plan as vae
from latens.recipes.build import Size
from latens.recipes.parts import ConfiguredParts, bind, num_classes, preparation
from latens.trainable import Frozen
from latens.training import Budget, Stage
from latens.typing import Key

MOST_ROWS = 50_000
"""Codes that a mixture is fitted to; more make it slower, not better."""


def as_plain(model: LatentModel) -> LatentModel:
    """The same model with a standard Normal in the place of its mixture."""
    prior: Any = model.prior_part
    return LatentModel(StandardNormal(prior.loc.shape[1:]), model.encoder, model.decoder)


def with_clusters(
    model: LatentModel, data: Dataset, preparation: Preparation, *, components: int, seed: int
) -> LatentModel:
    """The model with a mixture of diagonal Normals as prior, fitted to the posterior means of training rows."""
    # EM is of full covariances, whose clusters are better ones (on MNIST's digits 0.82 against 0.71 of the rows in the
    # right one); the prior gets their means and the diagonals.
    # Source: Jiang, Zheng, Tan, Tang & Zhou (2017), arXiv 1611.05148.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    rows = data.order(seed, 0)[:MOST_ROWS]
    if len(rows) < components:
        raise DataError(
            f"prior.components ({components}) exceeds the number of training rows ({len(rows)}).",
            where=data.name,
            fix="Use --set prior.components=2, or give more rows.",
        )
    codes = encode(ModelRows(model, data.rows(rows), jax.random.key(seed), preparation))["mean"]
    flat = codes.reshape(len(codes), -1).astype(np.float64)
    spread = max(float(flat.var(axis=0).mean()), 1e-12)
    # The floor keeps a cluster of equal codes from a density without bound.
    fit: Any = GaussianMixture(components, covariance_type="full", reg_covar=1e-3 * spread, random_state=seed, n_init=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(flat)
    shape, variances = (components, *codes.shape[1:]), np.diagonal(fit.covariances_, axis1=1, axis2=2)
    made = MixturePrior.create(codes.shape[1:], data.schema.shape, components=components, key=jax.random.key(seed))
    prior = dataclasses.replace(
        made,
        logits=jnp.asarray(np.log(np.maximum(fit.weights_, 1e-6)), jnp.float32),
        loc=jnp.asarray(fit.means_.reshape(shape), jnp.float32),
        log_scale=jnp.asarray(0.5 * np.log(variances).reshape(shape), jnp.float32),
    )
    return LatentModel(prior, model.encoder, model.decoder)


# --- M2 ---


def build(schema: Schema, config: VAEConfig | ConfiguredParts, *, key: Key) -> SemiSupervised:
    """The model that predicts missing labels, from a resolved configuration."""
    parts = bind(config)
    config = parts.config
    classes, network = num_classes(schema, config), config.network
    fixed = config.label.class_prior == "uniform"
    class_logits = Frozen(jnp.zeros(classes)) if fixed else jnp.zeros(classes)
    below, above = jax.random.split(key)
    if config.label.kind != "predict" or config.posterior.levels:
        raise ConfigError("this recipe predicts labels, with one level of latents.", where="label.kind",
                          fix="Leave label.kind and posterior.levels as they are, or use another recipe.")  # fmt: skip
    conditional = building.build(schema, parts.having(replace(config, label=LabelConfig(kind="condition"))), key=below)
    entry = parts.likelihood.encoder_input(schema)
    shape = getattr(entry, "shape", schema.shape)
    up = encoder_network(network.kind, shape, network.hidden or (), classes, key=above,
                         **building.network_options(network))  # fmt: skip
    classifier = Conditional(up, CategoricalHead((), classes), entry)
    return SemiSupervised(conditional, classifier, class_logits)


def plan(schema: Schema, config: VAEConfig | ConfiguredParts, size: Size) -> tuple[Stage, ...]:
    """The one stage of M2."""
    parts = bind(config)
    config = parts.config
    objective = vae.make_objective(parts, size, math.prod(schema.shape))
    if config.objective.name != "semi-supervised":
        raise ConfigError(f"the objective {config.objective.name} cannot predict labels.", where="objective.name",
                          fix="Use --set objective=semi-supervised, or a recipe that predicts none.")  # fmt: skip
    begin = vae.starting(schema, parts.having(replace(config, label=LabelConfig())))

    def start(model: Any, data: Dataset) -> Any:
        started = begin(model.conditional, data)
        entry: Any = getattr(started.encoder, "standardise", None)
        model = eqx.tree_at(lambda m: m.conditional, model, started)
        if not isinstance(entry, DepthInput):
            return model
        return eqx.tree_at(lambda m: m.classifier.standardise, model, entry)

    return (vae.stage_of(config, size, objective, start),)


# --- clustering ---

FIRST_BETA = 0.1
"""The weight of the KL while codes are learned that are to be clustered."""


def plan_clusters(schema: Schema, config: VAEConfig | ConfiguredParts, size: Size) -> tuple[Stage, ...]:
    """A nearly plain autoencoder first; then a mixture is fitted to its codes, and trained on as the prior."""
    parts = bind(config)
    config = parts.config
    # A KL of full weight would pull the clusters into one before anything has found them.
    if config.prior.kind != "mixture":
        raise ConfigError("clusters are the components of a mixture prior.", where="prior.kind",
                          fix="Leave prior.kind as it is, or use another recipe.")  # fmt: skip
    begin, prepare = vae.starting(schema, parts), preparation(schema, parts)
    components, seed = config.prior.options.get("components", 10), config.training.seed
    assert isinstance(components, int)  # the prior was built from it

    def first(model: LatentModel, data: Dataset) -> LatentModel:
        return as_plain(begin(model, data))

    def second(model: LatentModel, data: Dataset) -> LatentModel:
        return with_clusters(model, data, prepare, components=components, seed=seed)

    objective = vae.make_objective(parts, size, math.prod(schema.shape))
    before = None if config.training.pretrain_epochs is None else Budget(config.training.pretrain_epochs)
    plain = vae.stage_of(config, size, ELBO(kl="sampled", beta=FIRST_BETA), first, before)
    return plain, vae.stage_of(config, size, objective, second)


def resolve(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Decide what the configuration leaves open, pixels as the papers do; all else as `default`."""
    # Pixels get a Bernoulli, whose codes keep shapes and leave out noise.
    parts, reasons = bind(config), []
    config = parts.config
    if config.likelihood.family == "auto" and data.schema.cells.pixel:
        config = replace(config, likelihood=replace(config.likelihood, family="bernoulli"))
        reasons = ["likelihood: bernoulli, as in the paper, because every cell lies between two bounds"]
    config, more = vae.resolve(parts.having(config), data)
    return config, reasons + more


_M2 = dataclasses.replace(vae.RECIPE, build=build, plan=plan, resolve=resolve)
RECIPES = {"m2": _M2, "vade": dataclasses.replace(vae.RECIPE, plan=plan_clusters, resolve=resolve)}
"""What these recipes begin with."""
