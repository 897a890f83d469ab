"""`latens animate`: morphs, random walks, and the latent space over training, as GIF or MP4."""

from pathlib import Path

from latens.cli.context import Context, free_name, output_path
from latens.cli.sources import load_for, open_model
from latens.data import KNOWN
from latens.errors import UsageError
from latens.pretrained import class_codes


def animate(context: Context) -> int:
    """Write one moving picture."""
    args = context.args
    name = f"{args.kind}.gif"
    args.out = args.out or str(Path(args.run) / "figures" / name if Path(args.run).is_dir() else free_name(name))
    out = output_path(args, (".gif", ".mp4"), args.run)
    plane = {"cells": args.manifold_cells, "spacing": args.manifold_range, "percentiles": args.percentiles}
    plane = {name: value for name, value in plane.items() if value is not None}
    flags = {"cells": "--manifold-cells", "spacing": "--manifold-range", "percentiles": "--percentiles"}
    if plane and args.kind != "manifold":
        what = "the grid is one of `latens animate RUN manifold` alone."
        raise UsageError(what, where=flags[next(iter(plane))], fix="Remove it.")
    if "percentiles" in plane and plane.get("spacing") != "percentile":
        what = "the grid is even in z, not in percentiles."
        raise UsageError(what, where="--percentiles", fix="Add --manifold-range percentile, or remove it.")
    over_training = args.kind in ("manifold", "latent")
    if args.between and args.kind != "morph":
        raise UsageError(
            "--between is an option of `latens animate RUN morph` alone.", where="--between", fix="Remove it."
        )
    if over_training and not Path(args.run).is_dir():
        fix = "Give the run folder of `latens fit ... --snapshots`."
        raise UsageError("what is shown over training needs a run.", where=args.run, fix=fix)
    from latens.figures.animation import check_ending, write_animation

    check_ending(out)
    if args.dry_run:
        context.say(f"would animate {args.kind} of {args.run} into {out}; nothing was written")
        context.result({"dry_run": True, "out": str(out), "kind": args.kind})
        return 0
    from latens.callbacks.snapshots import load_snapshots
    from latens.pictures import animate as animations

    opened = open_model(args.run)
    kept = load_snapshots(Path(args.run)) if over_training else []
    # A walk asks nothing of rows: a model file alone will do.
    alone = (
        args.kind == "walk" and not args.data and opened.run is None and opened.trained.facts.get("data") not in KNOWN
    )
    # The codes of classes that came with a model: its data need not be at hand.
    shipped = args.kind == "morph" and args.run.startswith("pretrained:") and not args.data
    codes = class_codes(args.run.removeprefix("pretrained:")) if shipped else {}
    alone = alone or bool(codes)
    data = None if alone else load_for(opened, context)
    given = {} if args.frames is None else {"frames": args.frames}
    if args.kind == "walk":
        made = animations.walk(opened.trained, data, seed=args.seed, theme=args.theme, **given)
    elif args.kind == "morph" and (codes or data is not None):
        between = [word.strip() for word in (args.between or "").split(",") if word.strip()]
        made = animations.morph(
            opened.trained, data, between=between, path=args.path, theme=args.theme, codes=codes, **given
        )
    elif data is None:
        raise UsageError("DATA is missing.", where=args.run, fix="A model file holds no rows: add DATA.")
    elif args.kind == "latent":
        made = animations.latent_over_training(kept, data, theme=args.theme, **given)
    else:
        made = animations.manifold_over_training(kept, data, theme=args.theme, **plane, **given)
    frames = list(made.frames)
    write_animation(out, frames, fps=args.fps, hold=made.hold)
    size = out.stat().st_size
    value = {"out": str(out), "kind": args.kind, "frames": len(frames), "bytes": size, "shows": made.says}
    context.done(value, f"{out}: {len(frames)} frames, {size / 1e6:.1f} MB: {made.says}")
    return 0
