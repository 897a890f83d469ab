"""What `latens encode` writes: the codes of rows, in one file or in parts."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from latens import __version__, evaluation
from latens.cli.context import Context, output_path, would
from latens.cli.parts import PartFolder
from latens.cli.sources import load_for, open_vae
from latens.cli.workers import launch_workers, own_parts, threads_of
from latens.data import Dataset
from latens.data.parts import Parts
from latens.data.streams.dataset import StreamDataset
from latens.io.atomic import resource_errors
from latens.io.workers import Worker
from latens.typing import Key
from latens.verbs._files import write_table
from latens.workflow.trained import TrainedModel, model_file

INDEX = "_blocks.safetensors"
"""What a pass over rows that stay on disk found, beside the parts: the other workers need no other pass."""


def encode_file(context: Context, endings: tuple[str, ...]) -> int:
    """Write the codes of all rows into one file."""
    args = context.args
    out = output_path(args, endings, args.data, args.run)
    opened = open_vae(args.run, "encode")
    data = load_for(opened, context)
    if args.dry_run:
        return would(context, f"encode {_total(data)} rows of {data.name}", out)
    key = jax.random.key(args.seed)
    parts = data.stream.parts() if isinstance(data, StreamDataset) else [data]
    found = [codes_of(opened.trained, part, np.arange(len(part)), args.num_samples, key) for part in parts]
    arrays = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    rows = len(arrays["row_id"])
    write_table(out, arrays)
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    context.done({"out": str(out), "rows": rows, "arrays": shapes}, f"{out}: {_listed(arrays)}, {rows} rows")
    return 0


def encode_parts(context: Context, worker: Worker | None) -> int:
    """Write the codes of rows as Parquet files, each of them whole or absent; those that are there stay."""
    # worker: which of several workers this is; None starts them.
    args, out = context.args, Path(context.args.out)
    opened = open_vae(args.run, "encode")
    data = load_for(opened, context, index=out / INDEX)
    parts, total = Parts(data), _total(data)
    with model_file(args.run).open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    made_of = {"model": model, "data": data.fingerprint, "parts": len(parts), "seed": args.seed}
    made_of |= {"num_samples": args.num_samples, "latens": __version__, "jax": jax.__version__}
    made_of["threads"] = threads_of(worker)
    if worker is not None:
        made_of["device"] = jax.devices()[0].device_kind
    folder = PartFolder(out, made_of)
    own = range(len(parts)) if worker is None else list(worker.parts(len(parts)))
    lacking = [part for part in own if not folder.has(part)]
    if args.dry_run:
        already = f"{len(own) - len(lacking)} of them there already"
        return would(context, f"encode {total} rows of {data.name} in {len(own)} parts ({already})", out)
    with resource_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if isinstance(data, StreamDataset) and not (out / INDEX).exists():
        data.write_index(out / INDEX)
    if worker is None:
        if lacking:
            context.say(f"{data.name}: {len(lacking)} of {len(own)} parts are to be made, by {args.workers} workers")
            del data, parts.data  # the workers read them
            launch_workers(context, args.workers)
    else:
        key = jax.random.key(args.seed)
        for part in own_parts(worker, len(parts)):
            if part in lacking:
                rows, positions = parts.part(part)
                folder.write(part, codes_of(opened.trained, rows, positions, args.num_samples, key))
    value = {"out": str(out), "rows": total, "parts": len(own), "made": len(lacking)}
    who = "" if worker is None else f"worker {worker.number} of {worker.count}: "
    context.done(value, f"{who}{out}: {len(own)} parts, {len(lacking)} of them made now, of {total} rows")
    return 0


def _total(data: Dataset) -> int:
    return data.total if isinstance(data, StreamDataset) else len(data)


def codes_of(
    trained: TrainedModel, data: Dataset, positions: Shaped[np.ndarray, " n"], draws: int, key: Key
) -> dict[str, np.ndarray]:
    """Encode rows in memory."""
    batch = trained.batch(data, positions)
    codes = evaluation.encode(trained.model, batch, preparation=trained.preparation, key=key)
    arrays: dict[str, np.ndarray] = {"row_id": data.names[positions]}
    if data.label is not None:
        words = np.array([*(data.schema.classes or ()), ""])  # the last one is of rows without a label, -1
        arrays["label"] = words[data.label[positions]]
    arrays |= {name: codes[name] for name in ("mean", "log_variance") if name in codes}
    if evaluation.predicts_labels(trained.model):
        found = evaluation.label_probabilities(trained.model, batch, preparation=trained.preparation, key=key)
        arrays |= {"class_probability": found}
    if evaluation.has_clusters(trained.model):
        found = evaluation.cluster_probabilities(trained.model, batch, preparation=trained.preparation, key=key)
        arrays |= {"cluster": found}
    if not trained.is_point:
        parts = evaluation.elbo_parts(trained.model, batch, num_samples=draws, key=key, preparation=trained.preparation)
        arrays |= {name: parts[name] for name in ("elbo", "log_likelihood", "kl")}
    return arrays


def _listed(arrays: dict[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(array.shape[1:])}" if array.ndim > 1 else name for name, array in arrays.items())
