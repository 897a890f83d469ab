"""`latens translate`: rows of one class as rows of another."""

import numpy as np

from latens.cli.context import Context, output_path, would
from latens.cli.files import write_npz
from latens.cli.reconstruct import pictured, write_pairs
from latens.cli.sources import load_for, open_vae
from latens.workflow.translate import translate as translated


def translate(context: Context) -> int:
    """Write every row of one class as a row of another: its own code, decoded under the other label.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    out = output_path(args, (".npz", ".png"), args.data, args.run)
    opened = open_vae(args.run, "translate")
    data = load_for(opened, context)
    if args.dry_run:
        return would(context, f"decode the rows of class {args.start!r} of {data.name} as class {args.end!r}", out)
    trained = opened.trained
    found = translated(trained, data, args.start, args.end, mean=args.mean, seed=args.seed)
    shown = found.positions
    if out.suffix.lower() == ".png":
        some = pictured(len(found.x))
        shown = found.positions[some]
        write_pairs(out, trained, data.x[shown], found.x[some])
    else:
        write_npz(out, {"row_id": data.names[shown], "x": found.x, "label": np.full(len(shown), args.end)})
    value = {"out": str(out), "rows": len(shown), "from": args.start, "to": args.end, "mean": args.mean}
    context.done(value, f"{out}: {len(shown)} rows of class {args.start} of {data.name} as class {args.end}")
    return 0
