"""The closed form of each kind of data as the start of its model: fitted to the training rows before the first step."""

import math
from collections.abc import Sequence
from typing import Any, cast

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from latens.data import Dataset, Preparation, prepare_batch
from latens.data.conditions import GIVEN
from latens.data.dataset import first_rows, training_rows
from latens.data.schema import is_series
from latens.evidence import factors
from latens.evidence.factors import (
    MOST_TABLE_ROWS,
    MOST_VALUES,
    ColumnFactors,
    Factors,
    fit_column_factors,
    fit_factors,
    fit_gappy,
    gappy_gains,
    latent_gains,
    scored,
    scores_of,
)
from latens.evidence.rivals import FEWEST as FEWEST_WINDOWS
from latens.evidence.rivals import fit_depth_factors, fit_window
from latens.kinds.tables.columns import ColumnType
from latens.models import AbstractHead, DepthHead, DepthInput, LatentModel, SharedScaleNormalHead, StateSpaceModel
from latens.models.heads.base import raw_scale
from latens.models.heads.table import TableHead, TableInput, form_of, middles_of
from latens.models.semi_supervised import LABEL
from latens.networks import LinearPath
from latens.recipes.parts import ConfiguredParts
from latens.recipes.step_starts import started_steps
from latens.runtime import random_keys
from latens.trainable import Frozen

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


def suits(parts: ConfiguredParts, data: Dataset) -> AbstractHead | None:
    """The likelihood's head where a model of these data begins at their principal components unasked; else None."""
    config, schema = parts.config, data.schema
    network, likelihood, posterior = config.network, config.likelihood, config.posterior
    pictures = network.kind == "conv" and likelihood.family in ("logistic-mixture", "normal")
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
    batch = prepare_batch(prepare, data.rows(_looked_at(data)), key=random_keys.of_seed(0))
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
    batch = prepare_batch(prepare, data.rows(kept), key=random_keys.of_seed(0))
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


LOGISTIC = 1.702
"""The scale of a Normal that is nearest to the standard logistic law. Source: Camilli (1994)."""
STEEPEST = 3.0
"""The most that one standard deviation of a factor changes the logit of a name, in nats."""


def table_latents(data: Dataset, most: int) -> int:
    """How many factors of the scores gain on training rows that were held out; at most one for each column."""
    x, mask, weight, types = _rows_of(data)
    rows = scored(x, mask, types, [scores_of(one, len(x)) for one in types], weight)
    return int(latent_gains(rows, min(most, len(types), max(rows.shape[1] - 1, 0))).argmax())


def at_columns(model: LatentModel, data: Dataset) -> LatentModel:
    """The model whose encoder and decoder are the factors of the training rows, to which networks add nothing yet."""
    x, mask, weight, types = _rows_of(data)
    encoder, decoder = cast(Any, model.encoder), cast(Any, model.decoder)
    count = int(np.prod(encoder.head.shape))
    made = fit_column_factors(x, mask, types, count=count, weight=weight)
    up, at = encoder_map(made, types, encoder.standardise)
    scale = 1.0 / np.sqrt(np.diag(made.precision()))
    floor = encoder.head.scale_floor if encoder.head.scale == "softplus" else 0.0
    at = np.concatenate([at, raw_scale(scale, encoder.head.scale, floor)])
    down, bias = decoder_map(made, types, decoder.head)
    # Labels and conditions are read after these numbers, and the closed form does not depend on them.
    more = len(encoder.network.weight.value) - len(up)
    up, down = (np.pad(one, ((0, more), (0, 0))) for one in (up, down))
    paths = encoder.network.at(up, at), decoder.network.at(down, bias)
    return eqx.tree_at(lambda m: (m.encoder.network, m.decoder.network), model, paths)


def encoder_map(
    made: ColumnFactors, types: Sequence[ColumnType], entry: TableInput
) -> tuple[Float[np.ndarray, "n_in k"], Float[np.ndarray, " k"]]:
    """The map from what an encoder sees of a row to the posterior means of the factors, and their constant."""
    precision = np.diag(made.precision())
    maps = [slopes / precision for slopes in made.slopes()]
    slots = entry.slots()
    found, constant = np.zeros((len(slots), made.latents)), np.zeros(made.latents)
    for row, slot in enumerate(slots):
        if slot is None:
            continue
        place, j = slot
        one, scores, own = types[place], made.scores[place], maps[place]
        if not scores.shape[1]:
            continue
        if form_of(one) != "ordered":
            found[row] = scores[j] @ own if j >= 0 else 0.0
            continue
        shares, middle = np.asarray(one.shares), middles_of(one)
        mean = shares @ middle
        spread = np.sqrt(shares @ (middle - mean) ** 2)
        if j == -2:
            found[row] = own[0] / spread
        elif j == -1:  # 0.5 where the cell is observed, and -0.5 where it is missing
            found[row] = -mean / spread * own[0]
            constant += 0.5 * found[row]
    return found, constant


def decoder_map(
    made: ColumnFactors, types: Sequence[ColumnType], head: TableHead
) -> tuple[Float[np.ndarray, "k n_out"], Float[np.ndarray, " n_out"]]:
    """The map from factors to the outputs of a head, and the outputs where the factors are 0."""
    slots, ratios = head.slots(), made.ratios()
    maps, bias = np.zeros((made.latents, len(slots))), np.zeros(len(slots))
    for column, slot in enumerate(slots):
        if slot is None:
            continue
        place, j = slot
        one, (slopes, constant) = types[place], ratios[place]
        form = form_of(one)
        if not made.scores[place].shape[1]:
            continue
        if form in ("category", "free"):
            steep = STEEPEST if form == "category" else np.inf
            maps[:, column], bias[column] = np.clip(slopes[j], -steep, steep), constant[j]
        else:
            maps[:, column], bias[column] = _of_number(one, made.slopes()[place][0], made.weights[place][0], j)
    return maps, bias


def _of_number(
    one: ColumnType, slope: Float[np.ndarray, " k"], weight: Float[np.ndarray, " k"], j: int
) -> tuple[Float[np.ndarray, " k"] | float, Float[np.ndarray, ""] | float]:
    """What factors add to output j of an ordinal or of a number of many segments, and its constant."""
    shares, middle = np.asarray(one.shares, np.float64), middles_of(one)
    mean = shares @ middle
    spread = np.sqrt(shares @ (middle - mean) ** 2)
    left = np.sqrt(1.0 - weight @ weight)
    if form_of(one) == "ordinal":
        # A Normal of scale s around m, seen through the cuts of its marginal law.
        cut = np.log(shares[0]) - np.log1p(-shares[0])
        return (LOGISTIC * weight / left, cut * (1.0 - 1.0 / left)) if j == 0 else (0.0, -np.log(left))
    # s (w z / v) - s^2 |w|^2 / 2 v with s = (c - mean) / spread, in the functions 0.5 c and 0.125 c^2; what does not
    # depend on c is normalised away.
    explained = slope @ weight
    if j == 0:
        return 2.0 * slope / spread, 2.0 * explained * mean / spread**2
    return 0.0, -4.0 * explained / spread**2 if j == 1 else 0.0


def _rows_of(data: Dataset) -> tuple[Any, Any, Any, tuple[ColumnType, ...]]:
    x, mask, weight = training_rows(
        data, max(1, min(MOST_TABLE_ROWS, MOST_VALUES // max(1, len(data.schema.column_types))))
    )
    return x, mask, weight, data.schema.column_types
