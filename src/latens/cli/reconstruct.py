"""`latens reconstruct`: rows to latents and back."""

from pathlib import Path

import jax
import numpy as np

from latens import evaluation
from latens.cli.context import Context, output_path, would
from latens.cli.files import write_npz
from latens.cli.sources import load_for, open_vae
from latens.data import Schema
from latens.pictures.images import shown, write_image

MOST_IMAGES = 64
"""Rows that a picture of reconstructions shows."""


def reconstruct(context: Context) -> int:
    """Write every row as the model gives it back: a draw from p(x | z) at a draw of z, or the mean at the mean.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    out = output_path(args, (".npz", ".png"), args.data, args.run)
    opened = open_vae(args.run, "reconstruct")
    data = load_for(opened, context, every=True)
    picture = out.suffix.lower() == ".png"
    positions = pictured(len(data)) if picture else np.arange(len(data))
    most = len(positions)
    if args.dry_run:
        return would(context, f"reconstruct {most} rows of {data.name}", out)
    trained = opened.trained
    batch = trained.batch(data, positions)
    values = evaluation.reconstruct(
        trained.model, batch, preparation=trained.preparation, key=jax.random.key(args.seed), mean=args.mean
    )
    x = evaluation.finite(trained.data_units(values, mean=args.mean), "x", where=args.run)
    if picture:
        write_pairs(out, trained.schema, data.x[positions], x)
    else:
        write_npz(out, {"row_id": data.names, "x": x})
    context.done(
        {"out": str(out), "rows": most, "shape": list(x.shape)}, f"{out}: {drawn_words(most, len(data))} of {data.name}"
    )
    return 0


def pictured(count: int) -> np.ndarray:
    """Choose the rows of a picture: more could not be looked at. Evenly, because sorted data start with one class.

    Args:
        count: Number of rows, from 1.

    Returns:
        Their positions, at most `MOST_IMAGES`.
    """
    return np.linspace(0, count - 1, min(count, MOST_IMAGES)).round().astype(np.int64)


def drawn_words(drawn: int, rows: int) -> str:
    """Say how many rows a file holds, where a picture cannot show all."""
    if drawn == rows:
        return f"{rows} rows"
    return f"a grid of {drawn} rows, evenly chosen among all {rows:,} (a .npz file holds all)"


def write_pairs(out: Path, schema: Schema, rows: np.ndarray, x: np.ndarray) -> None:
    """Write lines of originals, each with the line of what became of them below it.

    Args:
        out: The file.
        schema: The schema of the rows.
        rows: The originals, shape (n, *x).
        x: What became of each, shape (n, *x).
    """
    limits = (float(min(rows.min(), x.min())), float(max(rows.max(), x.max())))  # one scale for both
    originals, found = shown(schema, rows, limits), shown(schema, x, limits)
    columns = min(8, len(rows))
    blank = np.zeros((-len(rows) % columns, *originals.shape[1:]), originals.dtype)
    lines = []
    for start in range(0, len(rows), columns):
        part = slice(start, start + columns)
        lines += [originals[part], blank[: columns - len(originals[part])]]
        lines += [found[part], blank[: columns - len(found[part])]]
    write_image(out, np.concatenate(lines), columns=columns)
