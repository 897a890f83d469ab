"""Grey, small or noisy pictures for `latens complete`: what of the model's pictures they are, and rows of them."""

import dataclasses
import math

import numpy as np
from msgspec.structs import replace

from latens.cli.context import Context
from latens.cli.sources import Opened, load_for
from latens.config import VAEConfig
from latens.data import Dataset
from latens.data.batches import Batch
from latens.data.schema import image_shape
from latens.errors import ConfigError, DataError, UsageError
from latens.evaluation.reductions import LUMA, Reduction
from latens.workflow.trained import TrainedModel


def reduction_of(trained: TrainedModel, grey: bool, scale: int | None, noise: float | None) -> Reduction | None:
    """Say what is seen of a model's pictures."""
    # scale: the side of the blocks of which the mean is seen, in pixels; None for none.
    # noise: the standard deviation of the noise in what is seen, in the unit of the stored rows; None for none.
    # returns: what is seen, in the unit of the model's likelihood; None where nothing of it was asked for.
    if not grey and scale is None and noise is None:
        return None
    where = "--grey" if grey else "--noise" if scale is None else "--scale"
    shape, schema = image_shape(trained.schema), trained.schema
    config = trained.config if isinstance(trained.config, VAEConfig) else None
    if config is not None and config.likelihood.family.startswith("autoregressive-"):
        what = "pixels that depend on one another have no variances in closed form."
        raise ConfigError(what, where=where, fix="Train with another likelihood, such as logistic-mixture.")
    binarised = config is not None and config.data.binarize != "none"
    if shape is None or binarised or schema.kind not in ("levels", "unit", "real"):
        what = f"the model's rows of shape {schema.shape} are no pictures"
        what = what if shape is None else "the model's pixels are black or white"
        fix = "Use --region or --mask." if shape else "Give rows with missing cells; or use `latens impute`."
        why = "Normal noise is not what lies over them" if where == "--noise" else "their means say nothing"
        if where == "--noise":
            fix = "Use a model of pictures with grey levels or colours."
        raise UsageError(f"{what}: {why}.", where=where, fix=fix)
    height, width, *channels = shape
    count = channels[0] if channels else 1
    if grey and count != 3:
        what = f"the model's pictures are of shape {shape}, which have no colours."
        raise UsageError(what, where=where, fix="Use --scale N, --region or --mask.")
    if scale is not None and (height % scale or width % scale):
        common = math.gcd(height, width)
        fits = [str(n) for n in range(2, common + 1) if common % n == 0]
        fix = f"Use --scale {' or '.join(fits)}." if fits else "Train on pictures of other sides."
        raise UsageError(f"{scale} does not divide the sides {height} and {width}.", where=where, fix=fix)
    preparation, levels = trained.preparation, schema.kind == "levels"
    top = (schema.levels or 2) - (0.0 if preparation.dequantize else 1.0)
    low, high = (-math.inf, math.inf) if schema.kind == "real" else (0.0, top / preparation.divide if levels else 1.0)
    # Noisy values are as they come: rounding, if any, is part of their noise.
    step = 1.0 / preparation.divide if levels and noise is None else 0.0
    spread = (noise or 0.0) / preparation.divide
    return Reduction((height, width, count), LUMA if grey else None, scale or 1, step, low, high, spread)


def rows_to_reduce(opened: Opened, context: Context, reduction: Reduction) -> tuple[Dataset, bool]:
    """Load pictures that are whole, or were reduced before; noisy ones, which may leave the range, as they come."""
    schema = opened.trained.schema
    if reduction.noise:
        loose = dataclasses.replace(opened.trained, schema=replace(schema, kind="real", levels=None))
        return load_for(dataclasses.replace(opened, trained=loose), context, every=True), False
    rows, columns, count = reduction.seen_shape
    shape = (rows, columns, count) if len(schema.shape) == 3 and count > 1 else (rows, columns)
    small = replace(schema, shape=(math.prod(shape),) if len(schema.shape) == 1 else shape)
    errors = []
    for whole in (True, False):
        trained = opened.trained if whole else dataclasses.replace(opened.trained, schema=small)
        try:
            return load_for(dataclasses.replace(opened, trained=trained), context, every=True), whole
        except DataError as error:
            errors.append(error)
            if "rows of shape" not in error.message:
                raise
    fix = f"Give whole pictures of shape {schema.shape}, or reduced ones of {small.shape}."
    raise DataError(errors[0].message, where=errors[0].where, fix=fix)


def reduced_rows(
    trained: TrainedModel, data: Dataset, positions: np.ndarray, reduction: Reduction
) -> tuple[np.ndarray, Batch]:
    """Reduce the rows of a data set that are whole, and take the others as they are."""
    # returns: what is seen in the unit of the stored rows, rounded as a file would hold itand a batch of it in the unit
    # of the model's likelihood.
    batch = data.rows(positions)
    if batch.mask is not None and not np.all(batch.mask):
        what = "a pixel is missing" + ("." if reduction.noise else ", and means of what is left are others.")
        fix = "Give whole pictures: fill the pixel in, or leave the row out."
        raise UsageError(what, where=data.name, fix=fix)
    x, step = np.asarray(batch.x, np.float32), reduction.step
    seen = np.stack([reduction(row) for row in x]) if x[0].size == math.prod(reduction.shape) else x
    seen = seen.reshape(len(x), *reduction.seen_shape)
    seen = np.round(seen) if step else seen
    shift = 0.5 if trained.preparation.dequantize else 0.0
    return seen, dataclasses.replace(batch, x=(seen + shift) / np.float32(trained.preparation.divide), mask=None)
