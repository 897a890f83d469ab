"""What is hidden of pictures: a region, what a mask says, colours, details, or all by noise."""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from latens.config import VAEConfig
from latens.data import Dataset
from latens.data.batches import Batch
from latens.data.formats.npy import read_npy
from latens.data.formats.pictures import pixels_of, reason, unreadable
from latens.data.schema import image_shape
from latens.errors import ConfigError, DataError, UsageError
from latens.evaluation.reductions import LUMA, Reduction
from latens.io.atomic import kind_of
from latens.verbs.kernel import At
from latens.workflow.trained import TrainedModel

_SPAN = re.compile(r"(-?\d+%?)?:(-?\d+%?)?\Z")


def hidden_part(trained: TrainedModel, region: str | None, mask: str | None) -> np.ndarray | None:
    """The part of every picture that is hidden."""
    # region: rows and columns of pixels, as `14:,:`; None for none.
    # mask: a picture or .npy file, hidden where it is above 0 (or True); None for none.
    # returns: true where a value is hidden, of the shape of a row; None where neither is given, and missing cells are
    # meant.
    if region is None and mask is None:
        return None
    shape = image_shape(trained.schema)
    if shape is None:
        fix = "Leave --region and --mask out, and give rows with missing cells; or use `latens impute`."
        raise UsageError(f"rows of shape {trained.schema.shape} are no pictures.", where="--region", fix=fix)
    hidden = np.zeros(shape[:2], bool)
    if region is not None:
        hidden[tuple(slice(*span) for span in region_of(region, shape))] = True
    else:
        assert mask is not None
        hidden = _mask_file(mask, hidden.shape)
    return np.broadcast_to(hidden[..., None], (*shape[:2], shape[2] if len(shape) == 3 else 1)).reshape(
        trained.schema.shape
    )


def region_of(region: str, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Where the rows and the columns of a region begin and end, in pixels of pictures of this shape."""
    # region: as `14:,:` or `50%:,:`; negative numbers count from the end.
    spans = [_SPAN.match(part.strip()) for part in region.split(",")]
    if len(spans) != 2 or not all(spans):
        what = f"{region!r} is not a region of pixels."
        fix = "Give rows and columns: --region 14:,: hides the lower half of 28, --region 50%:,: that of any size."
        raise UsageError(what, where="--region", fix=fix)
    found = []
    for span, size, name in zip(spans, shape, ("rows", "columns")):
        assert span is not None
        ends = [_pixel(end, size, to) for end, to in zip(span.groups(), (math.floor, math.ceil))]
        if beyond := [given for given, at in zip(span.groups(), ends) if at is not None and not 0 <= at <= size]:
            what = (
                f"{beyond[0]} lies outside the {size} {name}: the model's pictures have {shape[0]} x {shape[1]} pixels."
            )
            fix = f"Give {name} from 0 to {size}, or percentages, as 30%:60%."
            raise UsageError(what, where="--region", fix=fix)
        found.append((0 if ends[0] is None else ends[0], size if ends[1] is None else ends[1]))
    if any(first >= last for first, last in found):
        what = f"{region!r} holds no pixel of {shape[0]} x {shape[1]}."
        raise UsageError(what, where="--region", fix="Rows and columns count from 0; the end is left out.")
    return found


def _pixel(end: str | None, size: int, to: Callable[[float], int]) -> int | None:
    """The pixel that a number or a percentage names, of so many; None for no end."""
    # to: whether a pixel of which a part is named counts from its beginning or to its end: all that is named is hidden.
    if end is None:
        return None
    at = to(size * int(end[:-1]) / 100) if end.endswith("%") else int(end)
    return at + size if end.startswith("-") else at


def _mask_file(path: str, shape: tuple[int, ...]) -> np.ndarray:
    where, fix = f"--mask {path}", "Give a .npy file or a picture: hidden where it is above 0."
    if not Path(path).is_file():
        raise DataError("is not a file." if kind_of(Path(path)) else "there is no such file.", where=where, fix=fix)
    try:
        found = read_npy(Path(path)) if path.lower().endswith(".npy") else pixels_of(path, "L")[0]
    except DataError as error:
        raise DataError(f"cannot be read as a mask: {error.message}", where=where, fix=fix) from None
    except unreadable() as error:
        raise DataError(f"cannot be read as a mask: it {reason(error)}.", where=where, fix=fix) from None
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise DataError("a mask is of finite numbers, or of True and False.", where=where, fix=fix)
    if found.ndim == 2 and found.shape != shape and not path.lower().endswith(".npy"):
        found = _as_pictures(found, shape)
    if found.shape != shape:
        fix = f"Give one of {shape[0]} x {shape[1]} pixels."
        what = f"the mask is of shape {found.shape}, the pictures of {shape}."
        raise DataError(what, where=f"--mask {path}", fix=fix)
    return found > 0


def _as_pictures(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A picture of a mask as pictures are read: its shorter side in size, the middle of the other, no new values."""
    scale = max(size / own for size, own in zip(shape, mask.shape))
    where = [
        np.clip(np.floor((np.arange(size) + 0.5 - size / 2) / scale + own / 2), 0, own - 1).astype(int)
        for size, own in zip(shape, mask.shape)
    ]
    return mask[np.ix_(*where)]


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


def rows_to_reduce(at: At, reduction: Reduction) -> tuple[Dataset, bool]:
    """Load pictures that are whole, or were reduced before; noisy ones, which may leave the range, as they come."""
    schema = at.trained.schema
    if reduction.noise:
        return at.load(schema=replace(schema, kind="real", levels=None)), False
    rows, columns, count = reduction.seen_shape
    shape = (rows, columns, count) if len(schema.shape) == 3 and count > 1 else (rows, columns)
    small = replace(schema, shape=(math.prod(shape),) if len(schema.shape) == 1 else shape)
    errors = []
    for whole in (True, False):
        try:
            return at.load(schema=schema if whole else small), whole
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
