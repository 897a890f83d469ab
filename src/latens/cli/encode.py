"""`latens encode`: rows to latents."""

from typing import Any

import jax
import numpy as np

from latens import evaluation
from latens.cli.context import Context, output_path, would
from latens.cli.files import write_table
from latens.cli.sources import load_for, open_vae
from latens.data import Dataset
from latens.data.streams.dataset import StreamDataset
from latens.typing import Key
from latens.workflow.trained import TrainedModel


def encode(context: Context) -> int:
    """Write the posterior of every row: mean, log-variance, and the row's ELBO and its two terms.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    out = output_path(args, (".npz", ".csv", ".parquet"), args.data, args.run)
    opened = open_vae(args.run, "encode")
    data = load_for(opened, context)
    if args.dry_run:
        total = data.total if isinstance(data, StreamDataset) else len(data)
        return would(context, f"encode {total} rows of {data.name}", out)
    key = jax.random.key(args.seed)
    parts = data.stream.parts() if isinstance(data, StreamDataset) else [data]
    found = [_codes(opened.trained, part, args.num_samples, key) for part in parts]
    arrays = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    rows = len(arrays["row_id"])
    write_table(out, arrays)
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    context.done({"out": str(out), "rows": rows, "arrays": shapes}, f"{out}: {_listed(arrays)}, {rows} rows")
    return 0


def _codes(trained: TrainedModel, data: Dataset, draws: int, key: Key) -> dict[str, np.ndarray]:
    """What is written of rows in memory."""
    batch = trained.batch(data)
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
    if not trained.is_point:
        parts = evaluation.elbo_parts(trained.model, batch, num_samples=draws, key=key, preparation=trained.preparation)
        arrays |= {name: parts[name] for name in ("elbo", "log_likelihood", "kl")}
    return arrays


def label_names(data: Dataset) -> np.ndarray:
    """Give the label of every row as text, empty where there is none.

    Args:
        data: Data with labels.

    Returns:
        Names, shape (n,).
    """
    assert data.label is not None
    words = np.array([*(data.schema.classes or ()), ""])
    return words[data.label]


def _listed(arrays: dict[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(array.shape[1:])}" if array.ndim > 1 else name for name, array in arrays.items())
