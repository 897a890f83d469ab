"""From a configuration and data to a trained model: the one path that the command and the estimators share."""

import hashlib
import json
import logging
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from msgspec import structs

from latens import config as configuration
from latens.config import ClassifierConfig, Config, VAEConfig
from latens.data import Batch, Dataset, Preparation, prepare_batch
from latens.data.checks import lost_digits
from latens.data.dataset import keep_labels, require_labels
from latens.distributions import has_closed_form
from latens.errors import ConfigError, DataError, refuse_other
from latens.kinds.counts.anndata import counts_elsewhere
from latens.models import AbstractJointModel, AbstractLatentModel, LatentModel, SemiSupervised
from latens.objectives import ELBO, AbstractObjective, run_objective
from latens.recipes import Recipe, as_split, of_rows, recipe_of
from latens.recipes.build import Size, build_new
from latens.recipes.custom_parts import has_own, refuse_wrong_sizes, told_of
from latens.recipes.parts import with_parts
from latens.recipes.plan import unrefittable
from latens.runs.folder import RunFolder, versions
from latens.runtime import random_keys
from latens.runtime.compilation import check_process, jax_settings
from latens.runtime.programs import compiled
from latens.runtime.safetensors import arrays_to_tree, path_name, tree_to_arrays
from latens.trainable import partition_trainable
from latens.trained.prior_refit import refitted_at_end
from latens.trained.trained_model import TrainedModel
from latens.training import (
    Callback,
    Event,
    FitResult,
    Interrupted,
    LoopState,
    Resume,
    Settings,
    Snapshot,
    Stage,
    TrainState,
    fit,
)
from latens.training import checkpoint as checkpoints
from latens.training import shards as distributed
from latens.training.checkpoint import latest_checkpoint, save_checkpoint
from latens.training.own_parts import check_given_parts
from latens.training.shards import check_shards
from latens.typing import Cond, Key, Mask, PyTree, checked_later

_GENERATOR = "jax_default_prng_impl"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Experiment:
    """A resolved configuration with everything it needs: nothing is left to decide, nothing is trained yet."""

    recipe: Recipe  # the recipe that builds and trains the model
    config: Config
    reasons: tuple[str, ...]  # why something was decided so from the data, a sentence each
    data: Dataset  # the data, with the labels and splits that training sees
    preparation: Preparation  # what the model sees of a row
    # a trained model of the same structure, whose weights training starts from; None starts from new ones
    start: TrainedModel | None = None
    parts: Any = None  # what the recipe's `bind` gave for the configuration
    planned: tuple[Stage, ...] = ()  # the stages of training, once they are planned

    def new_model(self) -> Any:
        """The model before its training, from the configuration's seed: the same one under every generator of JAX."""
        with jax.default_prng_impl("threefry2x32"):
            key = random_keys.of_seed(self.config.training.seed, random_keys.INITIAL_MODEL)
        return self.started(build_new(self.recipe, self.data.schema, self.parts, key=key))

    def started(self, model: eqx.Module) -> Any:
        """A new model with the weights of the one that training starts from."""
        return model if self.start is None else with_weights_of(self.start, model)

    def stages(self) -> tuple[Stage, ...]:
        """The stages of training, as the recipe plans them for these data."""
        if self.planned:
            return self.planned
        rows = self.data.count("train")
        stages = self.recipe.plan(self.data.schema, self.parts, Size(rows, self.settings.steps_per_epoch(rows)))
        if self.start is not None:
            # What a stage does to new weights, and the stages before the last, are behind a trained model.
            stages = (replace(stages[-1], start=lambda model, data: model),)
        return (*stages, self._again(stages)) if self.again else stages

    @property
    def again(self) -> bool:
        """Whether a new model is trained on all rows at the end."""
        return isinstance(self.config, VAEConfig) and self.config.training.final == "all"

    def _again(self, stages: tuple[Stage, ...]) -> Stage:
        """The stage that trains a new model on all rows, for as many steps as were best."""
        if len(stages) != 1 or stages[0].optimizer is None:
            what = f"{self.config.recipe} has {len(stages)} stages, and one stage of steps can be taken again."
            raise ConfigError(what, where="training.final", fix="Remove --set final=...")
        if not self.data.count("validation") or not self.data.held_out or self.config.data.validation != "split":
            what = "no rows of their own validate, so that no others are left to train on."
            raise ConfigError(what, where="training.final", fix="Remove --set final=...")
        (stage,) = stages

        budget = replace(stage.budget, minutes=None, patience=None)
        return replace(stage, start=lambda _, data: stage.start(self.new_model(), data), budget=budget, again=True)

    @property
    def settings(self) -> Settings:
        """How the training loop runs: batch, seed, chunks and what is done between them."""
        training = self.config.training
        if not isinstance(self.config, VAEConfig):
            return Settings(batch_size=len(self.data), seed=training.seed)
        return Settings(
            batch_size=self.config.training.batch_size or len(self.data),
            drop_last=self.config.training.drop_last,
            shards=self.config.training.shards,
            seed=training.seed,
            chunk_steps=self.config.training.chunk_steps or 100,
            validate_every=self.config.training.validate_every or 1,
            stop_every=self.config.training.plots_every,
            log_every=self.config.training.log_every,
            snapshots=self.config.training.snapshots,
            restore_best=self.config.training.keep == "best",
        )

    def trained(self, model: eqx.Module, **facts: Any) -> TrainedModel:
        """The model as it is saved, with what it was trained on."""
        about = {"data": self.data.name, "rows": self.data.count("train"), "fingerprint": self.data.fingerprint}
        told = told_of(self.config)
        made = TrainedModel(model, self.data.schema, self.preparation, self.config, {**about, **told, **facts})
        return with_parts(made, self.parts)


@checked_later
def prepare(
    config: Config, data: Dataset, *, start: TrainedModel | None = None, settings: Mapping[str, Any] | None = None
) -> Experiment:
    """Resolve a configuration on data, and refuse what cannot be built, planned or trained.

    Args:
        config: The configuration, which may leave options open.
        data: The data.
        start: A trained model of the same structure, whose weights training starts from; None starts from new ones.
        settings: The options that were set by name, which the configuration has already: where rows of text or cells
            choose a recipe of their own, they stay as set. None: those that differ from the recipe `default`.

    Returns:
        The experiment, ready to be trained.

    Raises:
        DataError: The data have no training rows, no labels where these are needed, or nothing observed.
        ConfigError: An option does not fit the others or the data.
        UsageError: This process was forked from one that computed.
    """
    refuse_other(config, (VAEConfig, ClassifierConfig), "config", 'Give latens.recipes.get_recipe("default").config.')
    refuse_other(data, Dataset, "data", "Give latens.read(rows).")
    check_process()
    given, config = config.recipe, of_rows(config, data, settings)
    recipe = recipe_of(config)
    config = going_on(config, start)
    data = as_labelled(config, as_split(config, data))
    if not data.count("train"):
        raise DataError(f"none of the {len(data)} rows is a training row.", where=data.name, fix="Give more rows.")
    _something_counts(data)
    former = recipe.bind(config)
    resolved, reasons = recipe.resolve(former, data)
    rows = {"text": "rows are text", "cells": "rows are cells with counts (--recipe NAME for another)"}
    reasons = (
        reasons if config.recipe == given else [f"recipe {config.recipe}, because {rows[config.recipe]}", *reasons]
    )
    parts = recipe.bind(resolved, former)
    experiment = Experiment(recipe, resolved, (), data, recipe.preparation(data.schema, parts), start, parts)
    # What cannot be built, planned or minimised is refused here, before a folder is made or a former run replaced.
    key = random_keys.of_seed(0)
    model = eqx.filter_eval_shape(lambda key: recipe.model(data.schema, parts, key=key), key)
    if isinstance(resolved, VAEConfig) and (resolved.network.encoder or resolved.network.decoder):
        refuse_wrong_sizes(model, data.schema, experiment.preparation)
    stages = experiment.stages()
    if start is not None and stages[-1].objective is None:
        what = f"{resolved.recipe} is fitted at once, without steps, and cannot be continued."
        raise ConfigError(what, where="--from, warm_start", fix="Leave it out: the fit needs all rows together.")
    experiment.started(model)
    if isinstance(resolved, VAEConfig) and resolved.prior.refit:
        why = unrefittable(parts) if isinstance(model, LatentModel) else f"to a {type(model).__name__}"
        if why:
            raise ConfigError(f"no prior can be fitted at the end {why}.", where="prior.refit", fix="Leave it out.")
    row = data.rows(data.subset("train")[:1])
    prepared = eqx.filter_eval_shape(lambda b: prepare_batch(experiment.preparation, b, key=key), row)
    if isinstance(model, LatentModel) and has_own(resolved):
        check_given_parts(model, prepared)
    reasons += lost_digits(data.schema)
    if isinstance(data.x, np.memmap):
        reasons.append(f"the rows stay on disk, {data.x.nbytes / 2**20:,.0f} MB, and are gathered from there")
    for stage in stages:
        if stage.again:  # as the one before it
            continue
        batch_size = min(experiment.settings.batch_size, data.count("train"))
        check_shards(experiment.settings.shards, batch_size, stage.objective)
        if stage.objective is not None:
            _slope.check(model, stage.objective, prepared, key, experiment.settings.shards > 1)
            reasons += [*_sampled_kl(model, stage.objective, prepared), *stage.objective.remarks()]
    return replace(experiment, reasons=tuple(dict.fromkeys(reasons)), planned=stages)


def _sampled_kl(model: AbstractLatentModel, objective: AbstractObjective, batch: Batch) -> list[str]:
    """The sentence for `reasons` where an objective that takes KL(q || p) as it can has to draw it."""
    if getattr(objective, "kl", "") != "auto" or isinstance(model, SemiSupervised):
        return []
    if isinstance(model, AbstractJointModel) and isinstance(objective, ELBO):
        return []  # by formula at every level
    found: list[str] = []

    def one_row(model: AbstractLatentModel, x: PyTree, cond: Cond, mask: Mask) -> Any:
        q, p = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        if not has_closed_form(q, p):
            pair = f"KL({type(q).__name__} || {type(p).__name__})"
            found.append(f"the KL is sampled, because {pair} has no closed form (objective.kl)")
        return jnp.zeros(())

    row = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (batch.x, batch.cond, batch.mask))
    eqx.filter_eval_shape(one_row, model, *row)
    return found


def _something_counts(data: Dataset) -> None:
    """Refuse data in which no row of a split has a weight, or no value of the training rows was observed."""
    for split in () if data.weight is None else ("train", "validation", "test"):
        rows = data.subset(split)
        if data.weight is not None and len(rows) and not np.any(data.weight[rows] > 0):
            fix = f"Give some {split} rows a weight above 0, or leave the weights out (--weight)."
            what = f"the weights of all {len(rows)} {split} rows are 0."
            raise DataError(what, where=f"{data.name}, weight", fix=fix)
    if data.mask is None:
        return
    rows = data.subset("train")
    rows = rows if data.weight is None else rows[data.weight[rows] > 0]
    if not np.any(data.mask[rows]):
        fix = "Give rows with observed cells: with --missing nan every NaN is a missing cell."
        raise DataError(f"every cell of the {len(rows)} training rows is missing.", where=data.name, fix=fix)


@compiled
def _slope(model: AbstractLatentModel, objective: AbstractObjective, batch: Batch, key: Key, in_shards: bool) -> Any:
    """The gradient of an objective: what has none is found without computing anything."""
    trained, rest = partition_trainable((model, objective))

    def value(trained: PyTree) -> Any:
        model, objective = eqx.combine(trained, rest)
        at = {"key": key, "step": jnp.int32(0)}
        loss, metrics, _ = run_objective(objective, model, batch, **at, training=True, in_shards=in_shards)
        if (watched := getattr(objective, "monitor", None)) not in metrics:
            what = f"{type(objective).__name__} has monitor = {watched!r}, and gives {', '.join(metrics) or 'none'}."
            raise ConfigError(what, where="objective", fix="Give that metric too, or set `monitor` in the class.")
        return loss

    return jax.grad(value)(trained)


def as_labelled(config: Config, data: Dataset) -> Dataset:
    """The data with the labels that training may see."""
    if not isinstance(config, VAEConfig):
        if config.data.labelled is not None:
            what = "a Bayes classifier is fitted to the rows that have labels."
            raise ConfigError(what, where="data.labelled", fix="Leave it out, or use --recipe m2.")
        if data.schema.conditions:
            what, fix = (
                "a Bayes classifier reads no conditions.",
                "Leave --condition out, or use a VAE with --set label=condition.",
            )
            raise ConfigError(what, where="--condition", fix=fix)
        return data
    if data.schema.conditions and config.label.kind not in ("condition", "beside", "predict"):
        names = ", ".join(one.name for one in data.schema.conditions)
        if data.cells and (told := counts_elsewhere(data.notes)):
            layer = told.rpartition("one of ")[2].split(", ")[0]
            fix = f"Name the layer with the counts: --layer {layer} (in Python layer={layer!r})."
            raise DataError(f"{told.partition(';')[0]}, which conditions of cells go with.", where=data.name, fix=fix)
        fix = "Add --set label=condition, or leave --condition out."
        raise ConfigError(f"this recipe does not read the conditions {names}.", where="--condition", fix=fix)
    if config.label.kind == "condition" and not (data.label is None and data.schema.conditions):
        require_labels(data, np.arange(len(data)), data.name)
    if config.label.kind != "predict":
        return data
    if config.data.labelled is not None:
        data = keep_labels(data, config.data.labelled, config.training.seed)
    return replace(data, labelled_share=config.label.share or None)


@checked_later
def train(
    experiment: Experiment, *, run: RunFolder | None = None, callbacks: Sequence[Callback] = (), resume: bool = False
) -> tuple[TrainedModel, FitResult]:
    """Train, with checkpoints and metrics in a run folder where one is given.

    Args:
        experiment: What `prepare` gave.
        run: The run folder, held by this process; None writes nothing. Of several processes the lead holds it, and the
            others read it where training goes on.
        callbacks: Functions that are called at the events of training.
        resume: Whether training goes on from the run's latest checkpoint.

    Returns:
        The trained model, and how its training ended.

    Raises:
        Interrupted: A callback asked for a `Pause`; a checkpoint is written first.
        DivergedError: Training became non-finite and every way back was used up.
        ConfigError: The checkpoint does not fit this version or JAX's settings.
    """
    refuse_other(experiment, Experiment, "experiment", "Give what latens.fitting.prepare(config, data) gives.")
    shards = experiment.settings.shards
    for name, value in _facts(experiment).items():
        distributed.same(name, str(value))
    recorder = Recorder(run, shards) if run is not None and distributed.leads() else None
    further = None
    if resume and run is not None:
        further = newest(run, shards).resume if recorder is None else recorder.restore()
    try:
        result = fit(
            experiment.new_model(),
            experiment.data,
            experiment.stages(),
            preparation=experiment.preparation,
            settings=experiment.settings,
            # Recorded last: other callbacks may add numbers to the record of an epoch.
            callbacks=[*callbacks, *([recorder] if recorder else [])],
            resume=further,
        )
    except Interrupted as stop:
        if recorder:
            recorder.checkpoint(stop.snapshot)
        raise
    except jax.errors.JaxRuntimeError as error:
        raise (distributed.of_others(error) or error) from None
    distributed.part()
    loop = result.snapshot.loop
    trained = experiment.trained(
        result.model, steps=loop.total, best_step=loop.best_step, stopped_because=loop.stopped_because
    )
    if experiment.again:
        every = experiment.data.validation_as_train().count("train")
        trained = trained.with_facts(rows=every, best_step=0, again=loop.best_step)
    if experiment.start is not None:
        trained = trained.with_facts(started_from=former(experiment.start))
    config = experiment.config
    seen = loop.total * min(experiment.settings.batch_size, experiment.data.count("train"))
    if isinstance(config, VAEConfig) and config.prior.refit and distributed.leads():
        if recorder is not None:
            trained.save(recorder.run.model_file)  # what is there if the fit is cut off
        trained = refitted_at_end(trained, experiment.data, seen=seen)
    return trained, result


class Recorder:
    """The callback that writes a run's metrics and checkpoints."""

    # `run`: The run folder, held by this process.
    # `shards`: Into how many shards a batch is cut.

    def __init__(self, run: RunFolder, shards: int = 1) -> None:
        self.run, self.shards, self.last, self.at_end = run, shards, time.monotonic(), False
        run.checkpoints.mkdir(exist_ok=True)

    def __call__(self, event: Event) -> None:
        if event.kind in ("chunk", "epoch", "bad-chunk", "bad-validation") or (event.kind == "start" and event.record):
            self.run.append_metrics(event.record)
        if event.kind == "chunk":
            self.run.append_timing(
                {
                    "step": event.record["step"],
                    "seconds": event.snapshot.loop.seconds,
                    "rows_per_second": event.rows_per_second,
                }
            )
        due = time.monotonic() - self.last > checkpoints.SECONDS_BETWEEN_CHECKPOINTS
        ended = event.kind == "stage-end" and not self.at_end  # by a callback, which has no budget to be made larger
        if event.kind == "last" or ended or (event.kind == "boundary" and due and not event.snapshot.loop.finished):
            self.checkpoint(event.snapshot)
        self.at_end = event.kind == "last" or (self.at_end and event.kind != "stage-end")

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Write the state, with the length of the metrics file that belongs to it."""
        loop = {**snapshot.loop.to_json(), "metrics_bytes": self.run.metrics_length(), "shards": self.shards}
        tree = {"state": snapshot.state, "best": snapshot.best}
        save_checkpoint(self.run.checkpoints, snapshot.loop.total, tree, loop)
        self.last = time.monotonic()

    def restore(self) -> Resume | None:
        """The latest checkpoint; metrics written after it are cut off."""
        found = newest(self.run, self.shards)
        self.run.truncate_metrics(found.length)
        return found.resume


class Newest(NamedTuple):
    """The newest checkpoint of a run."""

    resume: Resume | None  # the stage and a function that loads the state; None where there is no checkpoint
    length: int  # the length of the metrics file that belongs to it


def newest(run: RunFolder, shards: int) -> Newest:
    """Find the newest checkpoint of a run, the same one in all processes."""
    found = latest_checkpoint(run.checkpoints)
    distributed.same("the newest checkpoint", "none" if found is None else found.path.name)
    if found is None:
        return Newest(None, 0)
    for warning in found.warnings:
        _log.warning(warning)
    began, name = run.info.get("jax", {}).get(_GENERATOR), jax_settings()[_GENERATOR]
    if began not in (None, name):  # its keys are in the checkpoint
        what = f"the run began with the random generator {began!r}, and JAX is set to {name!r}."
        raise ConfigError(what, where=_GENERATOR.upper(), fix=f"Resume with {_GENERATOR.upper()}={began}.")
    loop = dict(found.loop)
    length, other = loop.pop("metrics_bytes", None), loop.pop("shards", 1)
    if other != shards:
        what = f"the checkpoint is of a training in {other} shards, and the configuration says {shards}."
        raise ConfigError(what, where="training.shards", fix=f"Continue with training.shards={other}.")
    if type(length) is not int or set(loop) != {entry.name for entry in fields(LoopState)}:
        what = "the checkpoint was written by another version of latens."
        raise ConfigError(what, where=str(found.path), fix="Resume with the version named in run.json.")

    def load(state: TrainState, best: PyTree) -> Snapshot:
        tree = found.read({"state": state, "best": best})
        return Snapshot(LoopState(**loop), tree["state"], tree["best"])

    return Newest((loop["stage"], load), length)


def _facts(experiment: Experiment) -> dict[str, Any]:
    """What has to be the same in all processes of a training, by name."""
    config = json.dumps(configuration.to_json(experiment.config), sort_keys=True)
    return {
        **{f"the version of {name}": version for name, version in versions().items()},
        "the machine": platform.machine(),
        "the kind of device": jax.local_devices()[0].device_kind,
        "the number of devices": jax.local_device_count(),
        **{f"JAX's setting {name}": value for name, value in jax_settings().items()},
        "the fingerprint of the data": experiment.data.fingerprint,
        "the digest of the configuration": hashlib.sha256(config.encode()).hexdigest()[:12],
    }


def going_on(config: Config, start: TrainedModel | None) -> Config:
    """The configuration with the parts of the model that training starts from, where it leaves them open."""
    known = None if start is None else start.config
    if not isinstance(known, VAEConfig) or not isinstance(config, VAEConfig):
        return config
    if (own := config.likelihood).family == "auto":  # other rows may ask for another tree
        options = known.likelihood.options | own.options
        config = structs.replace(
            config, likelihood=structs.replace(own, family=known.likelihood.family, options=options)
        )
    if config.network.linear is None:  # fewer rows may be too few for a closed form, or have another one
        config = structs.replace(config, network=structs.replace(config.network, linear=bool(known.network.linear)))
        if known.network.linear and config.posterior.latent_dim is None:
            posterior = structs.replace(config.posterior, latent_dim=known.posterior.latent_dim)
            config = structs.replace(config, posterior=posterior)
    if config.prior.kind == "auto":
        refit = known.prior.refit if config.prior.refit is None else config.prior.refit
        config = structs.replace(config, prior=structs.replace(known.prior, refit=refit))
    return config


def with_weights_of(start: TrainedModel, model: eqx.Module) -> Any:
    """A new model with the weights of a trained one."""
    have = {name: shape for name, shape, _ in start.table()}
    want = {
        path_name(path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
        if hasattr(leaf, "shape")
    }
    for name in sorted({*have, *want}):
        old, new = have.get(name), want.get(name)
        if old != new:
            sides = [f"has {name} of shape {shape}" if shape is not None else f"has no {name}" for shape in (old, new)]
            what = f"the model to start from {sides[0]}, and the new one {sides[1]}."
            fix = "Start from a model with the same networks, prior and columns."
            raise ConfigError(what, where="--from, warm_start", fix=fix)
    abstract = any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(model))
    return model if abstract else arrays_to_tree(tree_to_arrays(start.model), model, where="start")


def former(start: TrainedModel) -> dict[str, Any]:
    """What a file says of the training that another one started from."""
    names = ("data", "rows", "fingerprint", "steps", "best_step", "stopped_because", "started_from")
    config = None if start.config is None else configuration.to_json(start.config)
    return {**{name: start.facts[name] for name in names if name in start.facts}, "config": config}
