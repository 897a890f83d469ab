"""Morphs, random walks, and the latent space over training, as GIF: `latens report --only animation`."""

from typing import TYPE_CHECKING, Any

from latens.commands._lazy import np
from latens.commands.base import At, Made, Work, Would
from latens.errors import UsageError
from latens.io.progress_line import doing

if TYPE_CHECKING:
    from latens.commands.report import Report


def animated(asked: "Report", at: At) -> Work:
    """Make one animation of a model, of its run where it shows training."""
    from latens.callbacks.snapshots import load_snapshots
    from latens.data import KNOWN
    from latens.figures.animation import check_ending, write_animation
    from latens.figures.style import themed
    from latens.model_figures import animate
    from latens.pretrained import class_codes

    kind = asked.name
    over_training = kind in ("manifold", "latent")
    if over_training and at.run is None:
        fix = "Give the run folder of `latens fit ... --snapshots`."
        raise UsageError("animations of the training need a run folder.", where=at.name, fix=fix)
    if at.writes:
        check_ending(at.out)
    yield Would(f"animate {kind} of {at.name} into {at.out}; nothing was written", {"out": str(at.out), "kind": kind})
    # A walk asks nothing of rows: a model file alone will do.
    nowhere = asked.data is None and at.run is None
    alone = kind == "walk" and nowhere and at.trained.facts.get("data") not in KNOWN
    # The codes of classes that came with a model: its data need not be at hand.
    shipped = kind == "morph" and nowhere and at.name.startswith("pretrained:")
    codes = class_codes(at.name.removeprefix("pretrained:")) if shipped else {}
    data: Any = None if alone or codes else at.load()
    look: dict[str, Any] = {} if asked.frames is None else {"frames": asked.frames}
    if kind == "walk":
        made = animate.walk(at.trained, data, seed=asked.seed, **look)
    elif kind == "morph":
        between = [word.strip() for word in (asked.between or "").split(",") if word.strip()]
        made = animate.morph(at.trained, data, between=between, codes=codes, path=asked.path, **look)  # pyright: ignore[reportArgumentType]
    else:
        kept = load_snapshots(at.run.path) if at.run is not None else []
        plane = {"cells": asked.manifold_cells, "spacing": asked.manifold_range, "percentiles": asked.percentiles}
        plane = {name: value for name, value in plane.items() if value is not None}
        moving: Any = animate.latent_over_training if kind == "latent" else animate.manifold_over_training
        made = moving(kept, data, **plane, **look)
    frames = []
    with themed(asked.theme):
        for frame in made.frames:
            frames.append(frame)
            doing(f"{len(frames)} frames drawn")
    doing("writing the file")
    value: dict[str, Any] = {"kind": kind, "frames": len(frames), "shows": made.says}
    if not at.writes:
        return Made(arrays={"frames": np.stack(frames)}, value=value, text=made.says)
    write_animation(at.out, frames, fps=asked.fps, hold=made.hold)
    size = at.out.stat().st_size
    return Made(
        value=value | {"bytes": size}, text=f"{at.out}: {len(frames)} frames, {size / 1e6:.1f} MB: {made.says}"
    )  # fmt: skip
