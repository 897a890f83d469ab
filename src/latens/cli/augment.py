"""`latens augment`: more rows of each class."""

import numpy as np

from latens.cli.context import Context, output_path, would
from latens.cli.files import write_table
from latens.cli.sources import open_model, read_for
from latens.workflow.augment import Augmented
from latens.workflow.augment import augment as augmented


def augment(context: Context) -> int:
    """Write as many new rows of each class: around labelled rows of DATA, or from p(x | class).

    Of a run's own data only training rows are drawn around: the others measure what the new rows are good for.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    out = output_path(args, (".npz", ".csv", ".parquet"), args.data, args.run)
    opened = open_model(args.run)
    data, _, options = read_for(opened, context, own_classes=True)
    known = opened.knows(data)
    positions = data.subset("train", required=True) if known else np.arange(len(data))
    rows = f"{len(positions)} {'training rows' if known else 'rows'} of {data.name}"
    if args.dry_run:
        return would(context, f"draw {args.per_class} rows of each class, from the labels of {rows},", out)
    trained = opened.trained
    found = augmented(
        trained, data, args.per_class, positions=positions, draw=args.draw, mean=args.mean, seed=args.seed
    )
    npz = out.suffix.lower() == ".npz"
    write_table(out, _arrays(found) if npz else _columns(found, [c.name for c in data.schema.columns or ()], options))
    classes = {str(name): int(count) for name, count in zip(*np.unique(found.label, return_counts=True))}
    how = "from p(x | class)" if found.around is None else f"around {rows}"
    value = {"out": str(out), "rows": len(found.x), "classes": classes, "drawn": how, "mean": args.mean}
    what = "means" if args.mean else "draws"
    context.done(value, f"{out}: {len(found.x)} {what} {how}, {args.per_class} of each of {len(classes)} classes")
    return 0


def _arrays(found: Augmented) -> dict[str, np.ndarray]:
    return {"x": found.x, "label": found.label} | ({} if found.around is None else {"around": found.around})


def _columns(found: Augmented, names: list[str], options: dict[str, object]) -> dict[str, np.ndarray]:
    """The columns of the data and their labels, so that the rows can stand below those of the table."""
    flat = found.x.reshape(len(found.x), -1)
    names = names or [f"x{i}" for i in range(flat.shape[1])]
    given = options.get("label")
    label = given if isinstance(given, str) and not given.endswith(".npy") else "label"
    return {**{name: flat[:, i] for i, name in enumerate(names)}, label: found.label}
