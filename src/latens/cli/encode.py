"""`latens encode`: rows to latents."""

from typing import Any

import jax
import numpy as np

from latens import evaluation
from latens.cli.context import Context, output_path, would
from latens.cli.files import write_table
from latens.cli.sources import load_for, open_vae
from latens.data import Dataset


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
        return would(context, f"encode {len(data)} rows of {data.name}", out)
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
    if not trained.is_point:
        draws = args.num_samples
        parts = evaluation.elbo_parts(trained.model, batch, num_samples=draws, key=key, preparation=trained.preparation)
        arrays |= {name: parts[name] for name in ("elbo", "log_likelihood", "kl")}
    write_table(out, arrays)
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    context.done({"out": str(out), "rows": len(data), "arrays": shapes}, f"{out}: {_listed(arrays)}, {len(data)} rows")
    return 0


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
