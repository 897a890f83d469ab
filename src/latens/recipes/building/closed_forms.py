"""The closed form of each kind of data as the start of its model: fitted to the training rows before the first step."""

import math
from typing import Any, cast

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from latens.data import Dataset, Preparation, prepare_batch
from latens.data.conditions import GIVEN
from latens.data.dataset import first_rows
from latens.evidence import factors
from latens.evidence.count_baseline import fit_depth_factors
from latens.evidence.factors import Factors, fit_factors, fit_gappy, gappy_gains, latent_gains
from latens.evidence.series_baseline import FEWEST as FEWEST_WINDOWS
from latens.evidence.series_baseline import fit_window, is_series
from latens.io import keys
from latens.models import AbstractHead, DepthHead, DepthInput, LatentModel, SharedScaleNormalHead, StateSpaceModel
from latens.models.heads.base import raw_scale
from latens.models.heads.table import TableHead
from latens.models.semi_supervised import LABEL
from latens.networks import LinearPath
from latens.recipes.building.step_starts import started_steps
from latens.recipes.building.table_starts import at_columns, table_latents
from latens.recipes.parts.resolved import Parts
from latens.trees import Frozen

MOST_CELLS = 2**14
"""Values of a row above which nothing begins at principal components unasked."""
MOST_LATENTS = 128
"""Latents that are taken for what they gain in principal components, at the most."""
LEAST_ROWS = 400
"""Training rows from which on columns begin at their principal components, with as many latents as these gain.

Held-out log p(x) minus that without, in nats a row, after at most 3,000 steps. About 900 rows: cardio +7.1 (0.5),
pendigits +1.6 (0.4), mammography +2.1 (0.2), annthyroid +0.8 (0.6), satellite -0.4 (0.3); 430 windows of 48 hours of
sensors +104 (10). About 300 rows: breast cancer +4.1 (0.9), diabetes +2.5 (0.1), cardio +6.4 (1.0), pendigits -1.7
(0.4). About 100 to 150: wine -0.9 (0.2), pendigits -2.4 (0.4), ionosphere -12 (7). With the few latents of before:
breast cancer -2.5 (0.9), cardio -2.8 (0.5).
"""
FEWEST = 50
"""Training rows from which on components are looked for."""


def started_from(model: LatentModel, data: Dataset, prepare: Preparation) -> LatentModel:
    """The model begun at the closed form of its data, where its parts can hold one."""
    decoder: Any = model.decoder
    if isinstance(model, StateSpaceModel):
        return started_steps(model, data, prepare)
    path = isinstance(getattr(decoder, "network", None), LinearPath)
    if isinstance(getattr(decoder, "head", None), DepthHead):
        return _at_depth(model, data, prepare)
    if path and isinstance(decoder.head, TableHead):
        return at_columns(model, data)
    return _at_factors(model, data, prepare) if path else model


def suits(parts: Parts, data: Dataset) -> AbstractHead | None:
    """The likelihood's head where a model of these data begins at their principal components unasked; else None."""
    config, schema = parts.config, data.schema
    network, likelihood, posterior = config.network, config.likelihood, config.posterior
    pictures = (network.kind, likelihood.family) == ("conv", "logistic-mixture")
    columns = (network.kind, likelihood.family, schema.cells.real) == ("dense", "normal", True)
    columns = columns and posterior.latent_dim is None and data.count("train") >= LEAST_ROWS
    tables = (network.kind, likelihood.family) == ("dense", "table") and data.count("train") >= FEWEST
    series = (network.kind, likelihood.family) == ("dense", "correlated-normal") and is_series(schema)
    series = series and data.count("train") >= FEWEST_WINDOWS
    allowed = (
        pictures or columns or series or tables,
        config.recipe == "default"
        and config.start.kind == "closed-form"
        and config.label.kind in ("none", "condition"),
        network.linear is None and not (network.encoder or network.decoder),
        {network.encoder_output_activation, network.decoder_output_activation} == {"identity"},
        network.initializer == "he-normal",  # another law is the user's choice, and stays as it is drawn
        likelihood.squash == "none" and likelihood.output_bias == "data",
        posterior.kind == "normal" and not posterior.levels and config.prior.kind in ("auto", "standard-normal"),
        tables or ((data.mask is None or columns) and data.weight is None and math.prod(schema.shape) <= MOST_CELLS),
    )
    return parts.likelihood.made(schema) if all(allowed) else None


def latents_of(data: Dataset, prepare: Preparation, head: AbstractHead) -> int:
    """How many principal components gain on training rows that were held out, at most `MOST_LATENTS`."""
    if isinstance(head, TableHead):
        return table_latents(data, MOST_LATENTS)
    # Of windows with all their correlations, whose log p(x) does not depend on it: those above the variance of a cell.
    rows = located_rows(data, prepare, head)
    if head.group == rows.shape[1] > 1 and is_series(data.schema):
        return min(MOST_LATENTS, fit_window(rows.reshape(-1, *data.schema.shape)).latents)
    if len(rows) < FEWEST:
        return 0
    shown = np.isfinite(rows)
    return int((latent_gains(rows, MOST_LATENTS) if shown.all() else gappy_gains(rows, shown, MOST_LATENTS)).argmax())


def located_rows(data: Dataset, prepare: Preparation, head: AbstractHead) -> Float[np.ndarray, "n d"]:
    """Some training rows in the unit of a head's locations; NaN where a cell is missing."""
    assert head.located is not None
    _, shift, scale = head.located
    batch = prepare_batch(prepare, data.rows(_looked_at(data)), key=keys.of_seed(0))
    rows = np.asarray(batch.x) if batch.mask is None else np.where(batch.mask, batch.x, np.float32(np.nan))
    inside = (rows - np.asarray(shift, np.float32)) / np.asarray(scale, np.float32)
    return inside.reshape(len(rows), -1).astype(np.float64 if inside.size <= 2**22 else np.float32)


def _looked_at(data: Dataset) -> Int[np.ndarray, " n"]:
    """The training rows that a closed form is made of."""
    most = max(1, min(factors.MOST_ROWS, factors.MOST_VALUES // int(np.prod(data.schema.shape))))
    return np.sort(first_rows(data, data.subset("train"), most))


def _class_means(rows: Float[np.ndarray, "n d"], label: Int[np.ndarray, " n"], classes: int) -> np.ndarray:
    """How far the mean of each class lies from that of all rows, less what chance makes of it: (C, d)."""
    away = np.zeros((classes, rows.shape[1]))
    for k in np.unique(label[label >= 0]):
        found, chance = rows[label == k].mean(axis=0) - rows.mean(axis=0), rows.var(axis=0).mean() / (label == k).sum()
        away[k] = max(0.0, 1.0 - chance / max(np.square(found).mean(), 1e-30)) * found
    return away


def _at_factors(model: LatentModel, data: Dataset, prepare: Preparation) -> LatentModel:
    """The model whose encoder and decoder are factors of the training rows, to which the networks add nothing yet."""
    head = cast(Any, model.decoder).head
    inner = getattr(head, "head", head)
    common, fixed = False, None
    if isinstance(inner, SharedScaleNormalHead):
        if isinstance(inner.log_scale, Frozen):
            fixed = float(np.exp(inner.log_scale.value))
        else:
            common = inner.log_scale.ndim == 0
    rows, count = located_rows(data, prepare, head), int(np.prod(cast(Any, model.encoder).head.shape))
    if head.group == rows.shape[1] > 1 and is_series(data.schema):
        return _with_factors(model, fit_window(rows.reshape(-1, *data.schema.shape)).factors(count))
    if not np.isfinite(rows).all():
        return _with_factors(model, fit_gappy(rows, np.isfinite(rows), count))
    away = np.zeros((0, rows.shape[1]))
    if cast(Any, model.decoder).reads[:1] == (LABEL,) and data.label is not None:
        label = np.asarray(data.label)[_looked_at(data)]
        away = _class_means(rows, label, len(data.schema.classes or ()))
        rows = rows - np.vstack([away, np.zeros((1, rows.shape[1]))])[label]
    return _with_factors(model, fit_factors(rows, count, group=head.group, common=common, scale=fixed), away)


def _with_factors(model: LatentModel, made: Factors, away: np.ndarray | None = None) -> LatentModel:
    """The model whose encoder and decoder are these factors, in the unit of its head's locations."""
    # away: how far the mean of each class lies from that of all rows, where the networks read labels.
    encoder, decoder = cast(Any, model.encoder), cast(Any, model.decoder)
    head, shape, group = decoder.head, decoder.head.shape, decoder.head.group
    _, shift, scale = head.located
    unit = np.broadcast_to(np.asarray(scale, np.float64), shape).reshape(-1)
    origin = np.broadcast_to(np.asarray(shift, np.float64), shape).reshape(-1)
    size = unit.reshape(-1, group)
    left = made.noise * (size[:, :, None] * size[:, None])
    new_head, bias = head.started_around((origin + unit * made.mean).reshape(shape), left)
    # What networks add is in the unit of what the closed form leaves: a step of Adam moves codes by a part of their
    # deviation, also where many pixels tell them to a thousandth.
    around, own = np.sqrt(made.variance), 1.0 / np.sqrt(made.precision)
    of_cells = np.concatenate([np.tile(around, decoder.network.copies), np.ones(len(bias))])[: len(bias)]
    # Labels are read after these numbers, then conditions, on which the closed form does not depend.
    away = np.zeros((0, len(made.mean))) if away is None else away
    rest = np.zeros((len(encoder.network.weight.value) - len(made.encoder) - len(away), len(made.mean)))
    told = np.vstack([away, rest])
    down = decoder.network.at(np.vstack([made.weight.T, told]), bias, made.mean, made.noise, of_cells)
    # What the encoder sees is the row by another shift and scale: z = E' (seen - seen at the mean).
    entry = encoder.standardise
    seen = (0.0, 1.0) if entry is None else (entry.shift.value, entry.scale.value)
    low, wide = (np.broadcast_to(np.asarray(one, np.float64), shape).reshape(-1) for one in seen)
    maps = made.encoder * (wide / unit)[:, None]
    at_mean = (origin - low + unit * made.mean) / wide
    floor = encoder.head.scale_floor if encoder.head.scale == "softplus" else 0.0
    raw = raw_scale(1.0 / np.sqrt(made.precision), encoder.head.scale, floor)
    shifts = np.concatenate([-at_mean @ maps, raw])
    up = encoder.network.at(
        np.vstack([maps, -told @ made.encoder]), shifts, unit=np.concatenate([own, np.ones(len(raw))])
    )
    return eqx.tree_at(lambda m: (m.encoder.network, m.decoder.network, m.decoder.head), model, (up, down, new_head))


def _at_depth(model: LatentModel, data: Dataset, prepare: Preparation) -> Any:
    """The model of counts that sees them at the depth of these data, begun at their components where it has a path."""
    encoder, decoder = cast(Any, model.encoder), cast(Any, model.decoder)
    kept, genes = _looked_at(data), int(np.prod(data.schema.shape))
    batch = prepare_batch(prepare, data.rows(kept), key=keys.of_seed(0))
    x = np.asarray(batch.x, np.float64).reshape(len(kept), -1)
    mask = None if batch.mask is None else np.asarray(batch.mask).reshape(x.shape)
    told = None if batch.cond is None or GIVEN not in batch.cond else np.asarray(batch.cond[GIVEN])
    path = isinstance(getattr(decoder, "network", None), LinearPath)
    count = int(np.prod(encoder.head.shape)) if path else 0
    of_residuals = cast(Any, encoder.standardise).shares is not None
    made = fit_depth_factors(x, told, count, mask, of_residuals=of_residuals)
    entry = DepthInput(made.centre, made.target, made.spread, made.usual)
    model = eqx.tree_at(lambda m: m.encoder.standardise, model, entry)
    usual = Frozen(jnp.asarray(made.target, jnp.float32))
    log_theta = jnp.asarray(made.log_theta.reshape(decoder.head.shape), jnp.float32)
    model = eqx.tree_at(lambda m: (m.decoder.head.usual, m.decoder.head.log_dispersion), model, (usual, log_theta))
    if not path:
        return model
    bias = decoder.head.output_bias(np.exp(made.shares))
    # A label that is read stands before the conditions, and the closed form does not depend on it.
    rest_up = len(encoder.network.weight.value) - len(made.up)
    up, down = (
        np.insert(made.up, [genes + 1] * rest_up, 0.0, axis=0),
        np.insert(made.down, [count] * rest_up, 0.0, axis=0),
    )
    floor = encoder.head.scale_floor if encoder.head.scale == "softplus" else 0.0
    raw = raw_scale(made.scale, encoder.head.scale, floor)
    paths = encoder.network.at(up, np.concatenate([made.at, raw])), decoder.network.at(down, bias)
    return eqx.tree_at(lambda m: (m.encoder.network, m.decoder.network), model, paths)
