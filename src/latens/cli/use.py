"""`latens encode`, `decode`, `sample` and `reconstruct`: what a trained model is for."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from latens import evaluation
from latens.cli.context import Context, output_path
from latens.cli.files import read_labels, read_latents, write_npz, write_table
from latens.cli.sources import Opened, load_for, open_model
from latens.config import ClassifierConfig, VAEConfig
from latens.data import Dataset
from latens.errors import ConfigError, UsageError
from latens.measure.sample_sets import lacks_prior
from latens.pictures.images import image_shape, shown, write_image
from latens.typing import Key
from latens.workflow.trained import TrainedModel

MOST_IMAGES = 64
"""Rows that a picture of reconstructions shows."""


def encode(context: Context) -> int:
    """Write the posterior of every row: mean, log-variance, and the row's ELBO and its two terms."""
    args = context.args
    out = output_path(args, (".npz", ".csv", ".parquet"), args.data, args.run)
    opened = _open(args.run, "encode")
    data = load_for(opened, context)
    if args.dry_run:
        return _would(context, f"encode {len(data)} rows of {data.name}", out)
    trained, batch, key = opened.trained, opened.trained.batch(data), jax.random.key(args.seed)
    codes = evaluation.encode(trained.model, batch, preparation=trained.preparation, key=key)
    arrays: dict[str, np.ndarray] = {"row_id": data.names}
    if data.label is not None:
        arrays["label"] = label_names(data)
    arrays |= {name: codes[name] for name in ("mean", "log_variance") if name in codes}
    if evaluation.predicts_labels(trained.model):
        found = evaluation.label_probabilities(trained.model, batch, preparation=trained.preparation, key=key)
        arrays |= {"class_probability": found}
    if evaluation.has_clusters(trained.model):
        found = evaluation.cluster_probabilities(trained.model, batch, preparation=trained.preparation, key=key)
        arrays |= {"cluster": found}
    if not _is_autoencoder(trained):
        draws = args.num_samples
        parts = evaluation.elbo_parts(trained.model, batch, num_samples=draws, key=key, preparation=trained.preparation)
        arrays |= {name: parts[name] for name in ("elbo", "log_likelihood", "kl")}
    write_table(out, arrays)
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    context.done({"out": str(out), "rows": len(data), "arrays": shapes}, f"{out}: {_listed(arrays)}, {len(data)} rows")
    return 0


def decode(context: Context) -> int:
    """Write the mean of p(x | z) for every latent, in the units of the data."""
    args = context.args
    out = output_path(args, (".npz",), args.latents, args.run)
    trained = _open(args.run, "decode").trained
    z, ids = read_latents(Path(args.latents), _latent_shape(trained))
    codes = _codes_of(trained, Path(args.latents), len(z), args.label) if trained.preparation.classes else None
    if args.label is not None and codes is None:
        trained.code_of(args.label)  # says why there is none; a predicted label is part of a latent
        raise UsageError("the latents of this model hold the label.", where="--label", fix="Remove --label.")
    if args.dry_run:
        return _would(context, f"decode {len(z)} latents", out)
    values = evaluation.decode(trained.model, z, cond=trained.condition(codes))
    arrays = {"x": trained.data_units(values, mean=True)} | ({} if ids is None else {"row_id": ids})
    write_npz(out, arrays)
    context.done({"out": str(out), "rows": len(z), "shape": list(arrays["x"].shape)}, f"{out}: {len(z)} rows")
    return 0


def sample(context: Context) -> int:
    """Write new rows: z from the prior, then a draw from p(x | z), or its mean."""
    args = context.args
    trained = _open(args.run, "sample").trained
    args.out = args.out or _free_name("samples.png" if image_shape(trained.schema) else "samples.npz")
    out = output_path(args, (".npz", ".png"), args.run)
    if lacks_prior(trained):
        fix = "Fit one with `latens refit RUN --prior mixture`, or use a VAE's recipe."
        raise ConfigError("an autoencoder has no prior to sample from.", where=args.run, fix=fix)
    if args.dry_run:
        return _would(context, f"draw {args.n} samples", out)
    chosen = trained.in_turn(args.n) if args.label is None else np.full(args.n, _class_of(trained, args.label))
    arrays = _drawn(trained, args.n, args.mean, jax.random.key(args.seed), chosen)
    evaluation.finite(arrays["x"], "x", where=args.run)
    if out.suffix.lower() == ".npz":
        write_npz(out, arrays)
    elif chosen is not None and args.label is None:
        images, columns = _by_class(shown(trained.schema, arrays["x"]), chosen)
        write_image(out, images, columns=columns)
    else:
        write_image(out, shown(trained.schema, arrays["x"]))
    context.done(
        {"out": str(out), "rows": args.n, "shape": list(arrays["x"].shape)},
        f"{out}: {args.n} {'means of samples' if args.mean else 'samples'}",
    )
    return 0


def _free_name(name: str) -> str:
    """The name, or with a number where there is such a file: nothing is written over that was not named."""
    path, number = Path(name), 2
    while path.exists():
        path, number = Path(name).with_stem(f"{Path(name).stem}-{number}"), number + 1
    return str(path)


def _class_of(trained: TrainedModel, name: str) -> int:
    """The code of a class, of any model that has classes. **Raises:** UsageError naming the nearest one."""
    names = trained.schema.classes or ()
    if isinstance(trained.config, ClassifierConfig) and name in names:
        return names.index(name)
    return trained.code_of(name)


def _codes_of(trained: TrainedModel, path: Path, n: int, name: str | None) -> np.ndarray:
    """The class of every latent: the one named, else those that stand beside the latents in their file."""
    if name is not None:
        return np.full(n, trained.code_of(name))
    words = read_labels(path)
    if words is None or len(words) != n:
        raise UsageError("a conditional model decodes a latent and a label.", where=str(path),
                         fix="Add --label NAME, or an array `label` beside the latents.")  # fmt: skip
    return np.array([trained.code_of(word) for word in words])


def _by_class(images: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, int]:
    """Images in rows, one for each class, and how many columns that makes; gaps are left empty."""
    rows = [images[codes == code] for code in np.unique(codes)]
    columns = max(map(len, rows))
    blank = np.zeros((columns, *images.shape[1:]), images.dtype)
    return np.concatenate([np.concatenate([row, blank[len(row) :]]) for row in rows]), columns


def _drawn(
    trained: TrainedModel, n: int, mean: bool, key: Key, codes: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """New rows in the units of the data, with what they were made from: z and the label, or class and component."""
    if isinstance(trained.config, ClassifierConfig):
        drawn = evaluation.sample_classes(trained.model, n, key=key, label=None if codes is None else int(codes[0]))
        x = trained.data_units(drawn.component_mean if mean else drawn.x, mean=mean)
        names = np.array(trained.schema.classes or [str(c) for c in range(trained.model.num_classes)])
        return {"x": x, "label": names[drawn.label], "component": drawn.component}
    prior_key, event_key = jax.random.split(key)
    cond = trained.condition(codes)
    z = evaluation.sample_prior(trained.model, n, key=prior_key, cond=cond)
    values = evaluation.decode(trained.model, z, key=event_key, mean=mean, cond=cond)
    label = {} if codes is None else {"label": np.array(trained.classes)[codes]}
    return {"x": trained.data_units(values, mean=mean), "z": z, **label}


def reconstruct(context: Context) -> int:
    """Write every row as the model gives it back: a draw from p(x | z) at a draw of z, or the mean at the mean."""
    args = context.args
    out = output_path(args, (".npz", ".png"), args.data, args.run)
    opened = _open(args.run, "reconstruct")
    data = load_for(opened, context)
    picture = out.suffix.lower() == ".png"
    # A picture of more rows could not be looked at; evenly spaced, because sorted data start with one class.
    most = min(len(data), MOST_IMAGES) if picture else len(data)
    positions = np.linspace(0, len(data) - 1, most).round().astype(np.int64)
    if args.dry_run:
        return _would(context, f"reconstruct {most} rows of {data.name}", out)
    trained = opened.trained
    batch = trained.batch(data, positions)
    values = evaluation.reconstruct(
        trained.model, batch, preparation=trained.preparation, key=jax.random.key(args.seed), mean=args.mean
    )
    x = evaluation.finite(trained.data_units(values, mean=args.mean), "x", where=args.run)
    if picture:
        _pairs(out, trained, data.x[positions], x)
    else:
        write_npz(out, {"row_id": data.names, "x": x})
    context.done({"out": str(out), "rows": most, "shape": list(x.shape)}, f"{out}: {most} rows of {data.name}")
    return 0


def _pairs(out: Path, trained: TrainedModel, rows: np.ndarray, x: np.ndarray) -> None:
    """Lines of originals, each with the line of their reconstructions below it."""
    limits = (float(min(rows.min(), x.min())), float(max(rows.max(), x.max())))  # one scale for both
    originals, found = shown(trained.schema, rows, limits), shown(trained.schema, x, limits)
    columns = min(8, len(rows))
    blank = np.zeros((-len(rows) % columns, *originals.shape[1:]), originals.dtype)
    lines = []
    for start in range(0, len(rows), columns):
        part = slice(start, start + columns)
        lines += [originals[part], blank[: columns - len(originals[part])]]
        lines += [found[part], blank[: columns - len(found[part])]]
    write_image(out, np.concatenate(lines), columns=columns)


def label_names(data: Dataset) -> np.ndarray:
    """The label of every row as text, empty where there is none."""
    assert data.label is not None
    words = np.array([*(data.schema.classes or ()), ""])
    return words[data.label]


def _open(spec: str, verb: str) -> Opened:
    opened = open_model(spec)
    if isinstance(opened.trained.config, ClassifierConfig) and verb in ("encode", "decode", "reconstruct"):
        fix = "It classifies and samples: `latens evaluate`, or GenerativeClassifier in Python."
        raise ConfigError(f"a Bayes classifier has no latents to {verb}.", where=spec, fix=fix)
    return opened


def _is_autoencoder(trained: TrainedModel) -> bool:
    return isinstance(trained.config, VAEConfig) and trained.config.posterior.kind == "deterministic"


def _latent_shape(trained: TrainedModel) -> tuple[int, ...]:
    cond = trained.condition(trained.in_turn(1))
    return evaluation.sample_prior(trained.model, 1, key=jax.random.key(0), cond=cond).shape[1:]


def _would(context: Context, what: str, out: Path) -> int:
    context.say(f"would {what} into {out}; nothing was written")
    context.result({"dry_run": True, "out": str(out), "would": what})
    return 0


def _listed(arrays: dict[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(array.shape[1:])}" if array.ndim > 1 else name for name, array in arrays.items())
