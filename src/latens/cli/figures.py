"""`latens figures`: every picture that applies, each with the numbers behind it."""

from pathlib import Path

from latens.cli.context import Context
from latens.cli.verb import load_for
from latens.data import KNOWN
from latens.errors import UsageError
from latens.io.atomic import resource_errors
from latens.verbs._sources import open_model


def figures(context: Context) -> int:
    """Write the pictures of a run, or of a model file with DATA."""
    args = context.args
    opened = open_model(args.run)
    if args.out is None and opened.run is None:
        raise UsageError("a model file has no folder for pictures.", where=args.run, fix="Add --out FOLDER.")
    folder = Path(args.out) if args.out else opened.run.path / "figures"  # type: ignore[union-attr]
    only = None if args.only is None else [name.strip() for name in args.only.split(",") if name.strip()]
    from latens.pictures.draw import asked_for, write_pictures

    needs = asked_for(only)[1]
    # Real pixels need rows too, for their scale.
    needs_rows = "rows" in needs or opened.trained.schema.kind == "real"
    has_data = args.data or opened.run is not None or opened.trained.facts.get("data") in KNOWN
    data = load_for(opened, context) if has_data and needs_rows else None
    if args.dry_run:
        context.say(f"would write the pictures of {args.run} into {folder}; nothing was written")
        context.result({"dry_run": True, "folder": str(folder)})
        return 0
    from latens.callbacks.snapshots import kept_steps, load_snapshots
    from latens.pictures.source import Plane

    history = [r for r in opened.run.read_metrics() if r.get("event") == "epoch"] if opened.run else []
    with resource_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    default = Plane()
    plane = Plane(args.manifold_cells or default.cells, args.manifold_range, args.percentiles or default.percentiles)
    several = "snapshots" in needs and opened.run is not None and len(kept_steps(opened.run.path)) > 1
    kept = load_snapshots(opened.run.path) if several and opened.run is not None else []
    given = {"theme": args.theme, "plane": plane, "only": only}
    written = write_pictures(opened.trained, data, history, folder, kept, **given)
    if only is not None and not written:
        what, fix = f"none of the pictures of this model is called {args.only}.", "writes all and lists their names."
        raise UsageError(what, where="--only", fix=f"`latens figures RUN` without --only {fix}")
    pictures = [path for path in written if path.suffix == ".png"]
    lines = [f"{folder}: {len(pictures)} pictures as .png and .svg, their numbers as .csv"]
    lines += [f"  {path}" for path in pictures]
    context.done({"folder": str(folder), "files": [str(path) for path in written]}, "\n".join(lines))
    return 0
