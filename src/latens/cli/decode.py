"""`latens decode`: latents to rows."""

from pathlib import Path

import numpy as np

from latens import evaluation
from latens.cli.context import Context, output_path, would
from latens.cli.files import read_labels, read_latents, write_npz
from latens.cli.reconstruct import drawn_words, pictured
from latens.cli.sources import open_vae
from latens.errors import UsageError
from latens.pictures.images import shown, write_image
from latens.workflow.trained import TrainedModel


def decode(context: Context) -> int:
    """Write the mean of p(x | z) for every latent, in the units of the data.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    out = output_path(args, (".npz", ".png"), args.latents, args.run)
    trained = open_vae(args.run, "decode").trained
    z, ids = read_latents(Path(args.latents), trained.latent_shape)
    codes = _codes_of(trained, Path(args.latents), len(z), args.label) if trained.preparation.classes else None
    if args.label is not None and codes is None:
        trained.code_of(args.label)  # says why there is none; a predicted label is part of a latent
        raise UsageError("the latents of this model hold the label.", where="--label", fix="Remove --label.")
    if args.dry_run:
        return would(context, f"decode {len(z)} latents", out)
    rows, picture = len(z), out.suffix.lower() == ".png"
    if picture:
        positions = pictured(rows)
        z, codes = z[positions], None if codes is None else codes[positions]
    values = evaluation.decode(trained.model, z, cond=trained.condition(codes))
    arrays = {"x": trained.data_units(values, mean=True)} | ({} if ids is None else {"row_id": ids})
    if picture:
        evaluation.finite(arrays["x"], "x", where=args.run)
        write_image(out, shown(trained.schema, arrays["x"]))
    else:
        write_npz(out, arrays)
    value = {"out": str(out), "rows": len(z), "shape": list(arrays["x"].shape)}
    context.done(value, f"{out}: {drawn_words(len(z), rows)}")
    return 0


def _codes_of(trained: TrainedModel, path: Path, n: int, name: str | None) -> np.ndarray:
    """The class of every latent: the one named, else those that stand beside the latents in their file."""
    if name is not None:
        return np.full(n, trained.code_of(name))
    words = read_labels(path)
    if words is None or len(words) != n:
        raise UsageError("a conditional model decodes a latent and a label.", where=str(path),
                         fix="Add --label NAME, or an array `label` beside the latents.")  # fmt: skip
    return np.array([trained.code_of(word) for word in words])
