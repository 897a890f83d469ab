"""`latens animate`: morphs, random walks, and the latent space over training, as GIF or MP4."""

import argparse
from pathlib import Path
from typing import Annotated, Any, ClassVar

from latens.errors import UsageError
from latens.io.waiting import doing
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Given, Made, Theme, Verb, Work, Would, arg, free_name, number, whole

_KIND = "between rows or classes, at random, or over training (needs fit --snapshots)"
_OUT = "gif, or mp4 where ffmpeg is installed (default: RUN/figures/KIND.gif)"
_BETWEEN = "classes or row ids to go through (default: every class, else rows of the data)"
_FLAGS = {"cells": "--manifold-cells", "spacing": "--manifold-range", "percentiles": "--percentiles"}


def low_and_high(text: str) -> tuple[float, float]:
    """Read LOW,HIGH."""
    low, comma, high = text.partition(",")
    try:
        pair = (float(low), float(high))
    except ValueError:
        pair = (0.0, 0.0)
    if not comma or not 0.0 < pair[0] < pair[1] < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH with 0 < LOW < HIGH < 1, as in 0.05,0.95")
    return pair


class Animate(Verb):
    """Moving pictures: morphs, random walks, and how the latent space came about in training."""

    endings: ClassVar = ()
    takes_out: ClassVar = ("FILE", _OUT)
    needs_latents: ClassVar = False
    kind: Annotated[
        str, arg(f"morph, walk, manifold or latent: {_KIND}", "KIND", choices=("morph", "walk", "manifold", "latent"))
    ]
    data: Annotated[Any, arg("default: the data of the run", "DATA")] = None
    between: Annotated[str | None, arg(_BETWEEN, metavar="A,B,...")] = None
    path: Annotated[str, arg("default spherical", choices=("spherical", "linear"))] = "spherical"
    frames: Annotated[
        int | None, arg("of each stretch (default 12), of a walk (120)", metavar="N", kind=whole(1, 100_000))
    ] = None
    fps: Annotated[float, arg("frames a second (default 12)", metavar="N", kind=number(0.1, 60.0))] = 12.0
    manifold_cells: Annotated[
        int | None,
        arg("images along each side, 2 to 100 (default 15)", metavar="N", kind=whole(2, 100), group="of manifold"),
    ] = None
    manifold_range: Annotated[
        str | None,
        arg("even in z or in the prior's percentiles (default: linear)", choices=("linear", "percentile"),
            group="of manifold"),
    ] = None  # fmt: skip
    percentiles: Annotated[
        tuple[float, float] | None,
        arg(
            "probabilities at the edges (default 0.05,0.95)", metavar="LOW,HIGH", kind=low_and_high, group="of manifold"
        ),
    ] = None
    theme: Theme = "light"
    given: Given = None
    seed: Annotated[int, arg("of a random walk (default 0)", metavar="S", kind=whole(0, 2**32 - 1))] = 0

    def place(self, at: At) -> Path:
        folder = None if at.run is None else at.run.path / "figures"
        default = free_name(self.kind, ".gif") if folder is None else str(folder / f"{self.kind}.gif")
        return self.checked_out(at.asked or default, (".gif", ".mp4"))

    def __call__(self, at: At) -> Work:
        from latens.callbacks.snapshots import load_snapshots
        from latens.data import KNOWN
        from latens.figures.animation import check_ending, write_animation
        from latens.pictures import animate
        from latens.pretrained import class_codes

        plane = {"cells": self.manifold_cells, "spacing": self.manifold_range, "percentiles": self.percentiles}
        plane = {name: value for name, value in plane.items() if value is not None}
        if plane and self.kind != "manifold":
            what = "the grid is one of `latens animate RUN manifold` alone."
            raise UsageError(what, where=_FLAGS[next(iter(plane))], fix="Remove it.")
        if "percentiles" in plane and plane.get("spacing") != "percentile":
            what = "the grid is even in z, not in percentiles."
            raise UsageError(what, where="--percentiles", fix="Add --manifold-range percentile, or remove it.")
        if self.between and self.kind != "morph":
            what = "--between is an option of `latens animate RUN morph` alone."
            raise UsageError(what, where="--between", fix="Remove it.")
        over_training = self.kind in ("manifold", "latent")
        if over_training and at.run is None:
            fix = "Give the run folder of `latens fit ... --snapshots`."
            raise UsageError("what is shown over training needs a run.", where=at.name, fix=fix)
        if at.writes:
            check_ending(at.out)
        words = f"animate {self.kind} of {at.name} into {at.out}; nothing was written"
        yield Would(words, {"out": str(at.out), "kind": self.kind})
        kept = load_snapshots(at.run.path) if over_training and at.run is not None else []
        # A walk asks nothing of rows: a model file alone will do.
        nowhere = self.data is None and at.run is None
        alone = self.kind == "walk" and nowhere and at.trained.facts.get("data") not in KNOWN
        # The codes of classes that came with a model: its data need not be at hand.
        shipped = self.kind == "morph" and nowhere and at.name.startswith("pretrained:")
        codes = class_codes(at.name.removeprefix("pretrained:")) if shipped else {}
        data = None if alone or codes else at.load()
        given: dict[str, Any] = {"theme": self.theme} | ({} if self.frames is None else {"frames": self.frames})
        if self.kind == "walk":
            made = animate.walk(at.trained, data, seed=self.seed, **given)
        elif self.kind == "morph":
            between = [word.strip() for word in (self.between or "").split(",") if word.strip()]
            given["path"] = self.path
            made = animate.morph(at.trained, data, between=between, codes=codes, **given)
        elif data is None:
            raise UsageError("DATA is missing.", where=at.name, fix="A model file holds no rows: add DATA.")
        elif self.kind == "latent":
            made = animate.latent_over_training(kept, data, **given)
        else:
            made = animate.manifold_over_training(kept, data, **plane, **given)
        frames = []
        for frame in made.frames:
            frames.append(frame)
            doing(f"{len(frames)} frames drawn")
        doing("writing the file")
        value: dict[str, Any] = {"kind": self.kind, "frames": len(frames), "shows": made.says}
        if not at.writes:
            return Made(arrays={"frames": np.stack(frames)}, value=value, text=made.says)
        write_animation(at.out, frames, fps=self.fps, hold=made.hold)
        size = at.out.stat().st_size
        value = {"kind": self.kind, "frames": len(frames), "bytes": size, "shows": made.says}
        return Made(value=value, text=f"{at.out}: {len(frames)} frames, {size / 1e6:.1f} MB: {made.says}")
