"""`latens complete`: pictures of which a part is hidden, their colours or details, or all by noise; several answers."""

import dataclasses
import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from latens import evaluation
from latens.cli.context import Context, output_path, would
from latens.cli.reduced import reduced_rows, reduction_of, rows_to_reduce
from latens.cli.sources import load_for, open_vae
from latens.config import VAEConfig
from latens.data import Dataset, Preparation
from latens.data.batches import Batch
from latens.data.formats.npy import read_npy
from latens.data.formats.pictures import pixels_of, reason, unreadable
from latens.data.schema import image_shape
from latens.errors import ConfigError, DataError, UsageError
from latens.evaluation.complete import complete as completions
from latens.evaluation.complete import log_hidden
from latens.evaluation.reductions import Reduction
from latens.io.plain_files import kind_of
from latens.pictures.images import shown, write_image
from latens.verbs._files import pictured, write_npz
from latens.workflow.trained import TrainedModel

MOST_IMAGES = 16
"""Rows that a picture of completions shows."""

MOST_CUT = 0.02
"""The share of noisy values at the ends of the range above which it is said that noise was cut off."""

_SPAN = re.compile(r"(-?\d+)?:(-?\d+)?\Z")


def complete(context: Context) -> int:
    """Write every picture with its hidden part filled in: the mean, and draws from p(hidden | seen)."""
    args = context.args
    out = output_path(args, (".npz", ".png"), args.data, args.run)
    opened = open_vae(args.run, "complete")
    trained = opened.trained
    if not isinstance(trained.config, VAEConfig) or trained.is_point:
        what = "only a model with log p(x) can say what a hidden part may have been."
        raise ConfigError(what, where=args.run, fix="Train a VAE.")
    ways = {
        "--region": args.region,
        "--mask": args.mask,
        "--grey": args.grey or None,
        "--scale": args.scale,
        "--noise": args.noise,
    }
    given = [flag for flag, value in ways.items() if value is not None]
    if len(given) > 1:
        raise UsageError(
            f"{given[0]} and {given[1]} both say what is seen of a picture.", where=given[1], fix="Give one of them."
        )
    reduction = reduction_of(trained, args.grey, args.scale, args.noise)
    hidden = hidden_part(trained, args.region, args.mask)
    if not given:
        args.missing = args.missing or "nan"
    data, whole = (
        (load_for(opened, context, every=True), True)
        if reduction is None
        else rows_to_reduce(opened, context, reduction)
    )
    picture = out.suffix.lower() == ".png"
    positions = (
        pictured(len(data))[:: max(1, -(-min(len(data), 64) // MOST_IMAGES))] if picture else np.arange(len(data))
    )
    if args.dry_run:
        return would(context, f"complete {len(positions)} rows of {data.name}", out)
    filled = (
        _part(context, trained, data, positions, hidden)
        if reduction is None
        else _whole(context, trained, data, positions, reduction, whole)
    )
    line, few = filled.line, int((filled.effective < 10).sum())
    if few:
        line += (
            f"\n{few} of {len(positions)} rows hang on fewer than 10 of the {args.num_samples} draws of z: answers "
            "vary too little; raise --steps first, then --num-samples"
        )
    if picture:
        x, draws, original = filled.seen, filled.draws, filled.original
        scale = (float(min(x.min(), draws.min())), float(max(x.max(), draws.max())))
        images = [shown(trained.schema, rows, scale) for rows in (x, filled.mean, *np.moveaxis(draws, 1, 0))]
        images += [] if original is None else [shown(trained.schema, original, scale)]
        if "mask" in filled.entries:
            images[0] = _hatched(images[0], filled.entries["mask"])
        write_image(out, np.stack(images, axis=1).reshape(-1, *images[0].shape[1:]), columns=len(images))
        last = "" if original is None else ", the original"
        line += f"\nfrom left to right: what is seen, the mean, {args.draws} draws{last}"
    else:
        rows = {"row_id": data.names[positions], "x": filled.mean, "draws": filled.draws, "effective": filled.effective}
        write_npz(out, rows | filled.entries)
    told = {"out": str(out), "rows": len(positions), **filled.told, "rows_on_few_draws": few}
    context.done(told, f"{out}: {len(positions)} rows of {data.name}, {line}")
    return 0


class _Filled(NamedTuple):
    """Pictures that are whole again, in the unit of the stored rows, and what is said of them."""

    seen: np.ndarray
    mean: np.ndarray
    draws: np.ndarray
    original: np.ndarray | None
    effective: np.ndarray
    entries: dict[str, np.ndarray]
    told: dict[str, Any]
    line: str


def _part(
    context: Context, trained: TrainedModel, data: Dataset, positions: np.ndarray, hidden: np.ndarray | None
) -> _Filled:
    args = context.args
    seen = _seen(data, positions, hidden)
    if seen.all():
        fix = "Give --region ROWS,COLUMNS, --mask FILE, --grey, --scale N or --noise SD, or rows with missing cells."
        raise UsageError(f"nothing is hidden in the {len(positions)} rows of {data.name}.", where="--region", fix=fix)
    batch = trained.batch(data, positions)
    options = {"num_samples": args.num_samples, "steps": args.steps, "preparation": trained.preparation}
    key = jax.random.key(args.seed)
    given = {"num_draws": args.draws, "mean": args.mean, **options}
    at = completions(trained.model, _with(batch, seen), key=key, **given)
    x = np.asarray(data.x[positions])
    mean = evaluation.finite(np.where(seen, x, trained.data_units(at.mean, mean=True)), "mean", where=args.run)
    draws = np.where(seen[:, None], x[:, None], trained.data_units(at.draws, mean=args.mean))
    told: dict[str, Any] = {"hidden": float(1 - seen.mean())}
    line = f"{100 * (1 - seen.mean()):.0f} % hidden"
    known = data.mask is None or bool(data.mask[positions].all())
    if known:
        hidden_rows = log_hidden(trained.model, _with(batch, seen), key=key, **options)
        rows = evaluation.finite(hidden_rows.rows, "log p(hidden | seen)", where=args.run)
        error = float(rows.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else None
        draws_error = hidden_rows.draws_error
        told |= {"log_hidden_given_seen": float(rows.mean()), "standard_error": error}
        told |= {"draws_error": draws_error if np.isfinite(draws_error) else None}
        line += f"\nlog p(hidden | seen): {rows.mean():.2f}" + (
            "" if error is None else f" ± {1.96 * error:.2f} (rows)"
        )
        line += f" ± {1.96 * draws_error:.2f} (draws)" if np.isfinite(draws_error) else ""
        line += " nats a row, of what is hidden as it was"
        if not np.isfinite(draws_error):
            line += "; by how much the draws of z make it wrong is not known: raise --steps, then --num-samples"
    return _Filled(x, mean, draws, x if known else None, at.effective, {"mask": seen}, told, line)


def _whole(
    context: Context,
    trained: TrainedModel,
    data: Dataset,
    positions: np.ndarray,
    reduction: Reduction,
    whole: bool,
) -> _Filled:
    args = context.args
    stored, batch = reduced_rows(trained, data, positions, reduction)
    options = {"num_samples": args.num_samples, "steps": args.steps, "num_draws": args.draws, "mean": args.mean}
    preparation = Preparation(classes=trained.preparation.classes)
    given = {"reduction": reduction, "preparation": preparation, "key": jax.random.key(args.seed)}
    at = completions(trained.model, batch, **options, **given)
    mean = evaluation.finite(trained.data_units(at.mean, mean=True), "mean", where=args.run)
    seen = np.stack([np.asarray(reduction.spread(row)) for row in stored]).reshape(mean.shape)
    hidden = 1 - stored[0].size / mean[0].size
    original = np.asarray(data.x[positions]) if whole else None
    draws = trained.data_units(at.draws, mean=args.mean)
    line = "of the colours the grey is seen" if args.grey else f"of {args.scale} x {args.scale} pixels the mean is seen"
    told: dict[str, Any] = {"hidden": hidden}
    if args.noise is not None:
        line, told = f"seen through noise of standard deviation {args.noise:g}", {"noise": args.noise}
        cut = float(np.mean((stored <= 0) | (stored >= (trained.schema.levels or 2) - 1)))
        if trained.schema.kind == "levels" and stored.min() >= 0 and cut > MOST_CUT:
            line += (
                f"\n{cut:.0%} of the noisy values lie at an end of the range: cut-off noise makes dark pixels too "
                "bright and bright ones too dark; give the values before they were cut, where you have them (.npy)"
            )
    return _Filled(seen, mean, draws, original, at.effective, {"seen": stored}, told, line)


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
        spans = [_SPAN.match(part.strip()) for part in region.split(",")]
        if len(spans) != 2 or not all(spans):
            what = f"{region!r} is no region of pixels."
            raise UsageError(
                what, where="--region", fix="Give rows and columns: --region 14:,: hides the lower half of 28."
            )
        rows, columns = (slice(*(None if end is None else int(end) for end in span.groups())) for span in spans if span)
        hidden[rows, columns] = True
        if not hidden.any():
            what = f"{region!r} holds no pixel of {shape[0]} x {shape[1]}."
            raise UsageError(what, where="--region", fix="Rows and columns count from 0; the end is left out.")
    else:
        assert mask is not None
        hidden = _mask_file(mask, hidden.shape)
    return np.broadcast_to(hidden[..., None], (*shape[:2], shape[2] if len(shape) == 3 else 1)).reshape(
        trained.schema.shape
    )


def _mask_file(path: str, shape: tuple[int, ...]) -> np.ndarray:
    where, fix = f"--mask {path}", "Give a .npy file or a picture: hidden where it is above 0."
    if not Path(path).is_file():
        raise DataError("is no file." if kind_of(Path(path)) else "there is no such file.", where=where, fix=fix)
    try:
        found = read_npy(Path(path)) if path.lower().endswith(".npy") else pixels_of(path, "L")[0]
    except DataError as error:
        raise DataError(f"cannot be read as a mask: {error.message}", where=where, fix=fix) from None
    except unreadable() as error:
        raise DataError(f"cannot be read as a mask: it {reason(error)}.", where=where, fix=fix) from None
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise DataError("a mask is of finite numbers, or of True and False.", where=where, fix=fix)
    if found.shape != shape:
        fix = f"Give one of {shape[0]} x {shape[1]} pixels."
        raise DataError(
            f"the mask is of shape {found.shape}, the pictures of {shape}.", where=f"--mask {path}", fix=fix
        )
    return found > 0


def _seen(data: Dataset, positions: np.ndarray, hidden: np.ndarray | None) -> np.ndarray:
    seen = np.ones((len(positions), *data.x.shape[1:]), bool) if data.mask is None else np.asarray(data.mask[positions])
    return seen if hidden is None else seen & ~hidden


def _with(batch: Batch, seen: np.ndarray) -> Batch:
    return dataclasses.replace(batch, mask=seen)


def _hatched(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The pictures with a pattern of squares where they are hidden."""
    rows, columns = np.indices(images.shape[1:3])
    pattern = np.where((rows + columns) % 2, 0.55, 0.35)
    pattern = np.broadcast_to(pattern if images.ndim == 3 else pattern[..., None], images.shape[1:])
    return np.where(seen.reshape(images.shape), images, pattern)
