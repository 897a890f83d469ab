"""`latens translate`: rows of one class as rows of another; pictures as their pair."""

import numpy as np

from latens.cli.context import Context, output_path, would
from latens.cli.files import write_npz
from latens.cli.reading import reading_options
from latens.cli.reconstruct import pictured, write_pairs
from latens.cli.sources import Opened, load_for, load_new, open_vae
from latens.data.pairs import as_colours
from latens.errors import UsageError
from latens.workflow.translate import SIDES, complete, knows_pairs, side_schema
from latens.workflow.translate import translate as translated


def translate(context: Context) -> int:
    """Write every row of one class as a row of another: its own code, decoded under the other label.

    Of a model of pairs: every picture of one side as the other, E[target | source] or a draw.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    out = output_path(args, (".npz", ".png"), args.data, args.run)
    opened = open_vae(args.run, "translate")
    if knows_pairs(opened.trained):
        return _pairs(context, opened)
    for flag, value in (("--from", args.start), ("--to", args.end)):
        if value is None:
            what = f"{flag} is missing: it names a class."
            raise UsageError(what, where=flag, fix="Add --from CLASS --to CLASS.")
    if args.num_samples is not None:
        what = "a class is decoded from one code a row."
        raise UsageError(what, where="--num-samples", fix="Leave it out; it is for models of pairs.")
    data = load_for(opened, context, every=True)
    if args.dry_run:
        return would(context, f"decode the rows of class {args.start!r} of {data.name} as class {args.end!r}", out)
    trained = opened.trained
    found = translated(trained, data, args.start, args.end, mean=args.mean, seed=args.seed)
    shown = found.positions
    if out.suffix.lower() == ".png":
        some = pictured(len(found.x))
        shown = found.positions[some]
        write_pairs(out, trained.schema, data.x[shown], found.x[some])
    else:
        write_npz(out, {"row_id": data.names[shown], "x": found.x, "label": np.full(len(shown), args.end)})
    value = {"out": str(out), "rows": len(shown), "from": args.start, "to": args.end, "mean": args.mean}
    context.done(value, f"{out}: {len(shown)} rows of class {args.start} of {data.name} as class {args.end}")
    return 0


def _pairs(context: Context, opened: Opened) -> int:
    args, trained = context.args, opened.trained
    out = output_path(args, (".npz", ".png"), args.data, args.run)
    start = args.start or (SIDES[0] if args.end != SIDES[0] else SIDES[1])
    end = args.end or (SIDES[1] if start != SIDES[1] else SIDES[0])
    data = load_new(args.data, reading_options(vars(args)))
    if args.dry_run:
        return would(context, f"write the {end} of each {start} of {data.name}", out)
    picture = out.suffix.lower() == ".png"
    chosen = pictured(len(data)) if picture else np.arange(len(data))
    rows, half = data.x[chosen], side_schema(trained.schema)
    options = {"mean": args.mean, "num_samples": args.num_samples or 100, "seed": args.seed, "where": data.name}
    x = complete(trained, rows, start, end, **options)
    if picture:
        write_pairs(out, half, as_colours(rows) if rows.ndim < x.ndim else rows, x)
    else:
        write_npz(out, {"row_id": data.names, "x": x})
    value = {"out": str(out), "rows": len(x), "from": start, "to": end, "mean": args.mean}
    context.done(value, f"{out}: the {end} of each {start} of {data.name}, {len(x)} rows")
    return 0
