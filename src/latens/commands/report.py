"""`latens report`: a run as one HTML file; with `--only` its figures or an animation."""

import argparse
from pathlib import Path
from typing import Annotated, Any, ClassVar

from latens.commands._lazy import np
from latens.commands.base import Call, DryRun, Given, ModelCommand, Result, Theme, Work, arg, number, whole
from latens.errors import LatensError, UsageError, nearest
from latens.runtime.file_limits import free_name
from latens.runtime.terminal import doing

ANIMATIONS = ("morph", "walk", "manifold", "latent")
_NAME = f"the figures to write, by the names of their files; or the animation: {', '.join(ANIMATIONS)}"
_OUT = "default: RUN/report.html; RUN/figures; RUN/figures/NAME.gif"
_ROWS = "with --only, the rows to use (default: those of the run)"
_PLANE, _PATH = "the latent plane (models with two latents)", "an animation"


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


_EDGES = arg("probabilities at the edges (default 0.05,0.95)", metavar="LOW,HIGH", kind=low_and_high, group=_PLANE)
_CELLS = arg(
    "pictures along each side, 2 to 100 (default 21; 15 in an animation)", metavar="N", kind=whole(2, 100), group=_PLANE
)
_RANGE = arg(
    "equal steps of z, or of the percentiles of the prior (default: both; linear in an animation)",
    choices=("linear", "percentile"), group=_PLANE,
)  # fmt: skip
_BETWEEN = "morph: the classes or row ids to visit (default: every class, or rows of the data)"
_FRAMES = "frames between two points of a morph (default 12), or of a walk (default 120)"


class Report(ModelCommand):
    """Write an HTML page, figures or an animation."""

    endings: ClassVar = ()
    takes_out: ClassVar = ("PATH", _OUT)
    needs_latents: ClassVar = False
    data: Annotated[Any, arg(_ROWS, "DATA", reads=True)] = None
    only: Annotated[str | None, arg("write only figures, or one animation", choices=("figures", "animation"))] = None
    name: Annotated[str | None, arg(_NAME, metavar="NAME[,NAME]")] = None
    theme: Theme = "light"
    given: Given = None
    manifold_cells: Annotated[int | None, _CELLS] = None
    manifold_range: Annotated[str | None, _RANGE] = None
    percentiles: Annotated[tuple[float, float] | None, _EDGES] = None
    between: Annotated[str | None, arg(_BETWEEN, metavar="A,B,...", group=_PATH)] = None
    path: Annotated[
        str, arg("morph: arcs or straight lines (default spherical)", choices=("spherical", "linear"), group=_PATH)
    ] = "spherical"  # fmt: skip
    frames: Annotated[int | None, arg(_FRAMES, metavar="N", kind=whole(1, 100_000), group=_PATH)] = None
    fps: Annotated[
        float, arg("frames a second (default 12)", metavar="N", kind=number(0.1, 60.0), group=_PATH)
    ] = 12.0  # fmt: skip
    seed: Annotated[
        int, arg("the seed of a random walk (default 0)", metavar="S", kind=whole(0, 2**32 - 1), group=_PATH)
    ] = 0  # fmt: skip

    def place(self, at: Call) -> Path | None:
        self._refuse_idle()
        if self.only == "figures":
            if not at.asked and at.run is None:
                raise UsageError("a model file has no folder for figures.", where=at.name, fix="Add --out FOLDER.")
            at.out = Path(at.asked) if at.asked or at.run is None else at.run.path / "figures"
            return None  # the result names the folder itself
        if self.only == "animation":
            folder = None if at.run is None else at.run.path / "figures"
            default = free_name(str(self.name), ".gif") if folder is None else str(folder / f"{self.name}.gif")
            return self.checked_out(at.asked or default, (".gif",))
        if at.run is None:
            raise UsageError("a report needs a run folder.", where=at.name, fix="Give the one that `fit` made.")
        out = Path(at.asked) if at.asked else at.run.path / "report.html"
        if out.suffix.lower() != ".html":
            raise UsageError("a report is an HTML file.", where=f"--out {out}", fix="Let the name end in .html.")
        return out

    def __call__(self, at: Call) -> Work:
        self._refuse_idle()
        if self.only == "figures":
            return drawn(self, at)
        return animated(self, at) if self.only == "animation" else self._page(at)

    def _refuse_idle(self) -> None:
        """Refuse an animation without a name, and options that would change nothing."""
        kind = self.name if self.only == "animation" else self.only or "report"
        if self.only == "animation" and kind not in ANIMATIONS:
            what = "the animation has no name." if kind is None else f"there is no animation {kind!r}."
            fix = nearest(kind, ANIMATIONS) if kind else f"Add --name with one of: {', '.join(ANIMATIONS)}."
            raise UsageError(what, where="--name", fix=fix)
        plane, moving = ("figures", "manifold"), ANIMATIONS
        of = {"name": ("figures", *moving), "theme": ("figures", *moving), "given": ("figures", *moving)}
        of |= {"manifold_cells": plane, "manifold_range": plane, "percentiles": plane, "between": ("morph",)}
        of |= {"path": ("morph",), "frames": moving, "fps": moving, "seed": ("walk",), "data": ("figures", *moving)}
        usual = {"theme": "light", "path": "spherical", "fps": 12.0, "seed": 0}
        for name, kinds in of.items():
            if getattr(self, name) != usual.get(name) and kind not in kinds:
                needs = " or ".join(f"--only {'figures' if one == 'figures' else f'animation --name {one}'}"
                                    for one in kinds)  # fmt: skip
                fix = f"Remove it, or add {needs}." if len(kinds) < 3 else "Remove it, or add --only."
                where = "DATA" if name == "data" else f"--{name.replace('_', '-')}"
                raise UsageError("changes nothing here.", where=where, fix=fix)
        if kind == "manifold" and self.percentiles and self.manifold_range != "percentile":
            what = "the grid has equal steps of z, not of percentiles."
            raise UsageError(what, where="--percentiles", fix="Add --manifold-range percentile, or remove it.")

    def _page(self, at: Call) -> Work:
        from latens.report import report_page
        from latens.report.facts import tell
        from latens.runtime.atomic import resource_errors, write_atomic

        if at.run is None:
            raise UsageError("a report needs a run folder.", where=at.name, fix="Use report(only='figures').")
        yield DryRun(f"write the report of {at.name} into {at.out}; nothing was written", {"out": str(at.out)})
        lacking, data = "", None
        try:
            data = at.load()
        except LatensError as error:  # a run outlives its data: what needs no rows is told all the same
            lacking = f"Pictures of data are left out: {error}"
            at.warn(lacking)
        told = tell(at.run, at.trained, data, lacking=lacking)
        with resource_errors(at.out):
            at.out.parent.mkdir(parents=True, exist_ok=True)
        raw = report_page(told).encode("utf-8")
        write_atomic(at.out, raw)
        value = {
            "bytes": len(raw),
            "pictures": [shot.name for shot in told.shots],
            "warnings": [{"run": at.name, "name": one.name, "message": one.found} for one in told.warnings],
        }
        count = f"{len(value['pictures'])} pictures, warnings: {len(value['warnings'])}"
        text = f"{at.out}: {len(raw) / 1e6:.1f} MB, {count}; opens in any browser, needs no network"
        return Result(value=value, text=text)


MOST_NAMES = 100
"""Names of a column that colours rows."""


def drawn(asked: "Report", at: Call) -> Work:
    """Write the figures of a model, each as soon as it is drawn."""
    from latens.data import KNOWN
    from latens.figures.style import themed
    from latens.model_figures.draw import NEEDS, asked_for, drawing, save_pictures
    from latens.model_figures.source import Plane, Source
    from latens.runtime.atomic import resource_errors

    only = None if asked.name is None else [name.strip() for name in asked.name.split(",") if name.strip()]
    needs = asked_for(only)[1]
    # Real pixels need rows too, for their scale.
    needs_rows = "rows" in needs or at.trained.schema.cells.real
    own = at.run is not None or "source" in vars(at.trained) or at.trained.facts.get("data") in KNOWN
    has_data = asked.data is not None or own
    data = _coloured(at) if has_data and needs_rows else None
    folder = at.out
    words = f"write the figures of {at.name} into {folder}; nothing was written"
    yield DryRun(words, {"folder": str(folder)})
    records = at.run.read_metrics() if at.run is not None and "history" in needs else []
    history = [one for one in records if one.get("event") == "epoch"]
    cells, _, edges = Plane()
    plane = Plane(asked.manifold_cells or cells, asked.manifold_range, asked.percentiles or edges)  # pyright: ignore[reportArgumentType]
    source = Source(at.trained, data, history=history, plane=plane)
    tables, files = {}, []
    with themed(asked.theme):
        for picture in drawing(source, only):  # each is written at once: whoever stops the command keeps what is drawn
            tables[picture[0]] = picture[2]
            if folder != Path():
                with resource_errors(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                files += save_pictures([picture], folder)
    if away := [name for name in only or () if not {one.name for one in asked_for([name])[0]} & tables.keys()]:
        fix = "`latens report RUN --only figures` draws all and lists their names."
        lacks = dict.fromkeys(word for one in asked_for(away)[0] for word in one.words if not NEEDS[word](source))
        if not lacks and "units" in away:
            lacks = {"a KL in closed form: a mixture prior has none (fit with --set prior.refit=false)": None}
        why = f", which needs {', '.join(lacks)}" if lacks else ""
        raise UsageError(f"no figure of this model is called {', '.join(away)}{why}.", where="--name", fix=fix)
    if folder == Path():
        return Result(arrays=tables, text=f"{len(tables)} figures")
    lines = [f"{folder}: {len(tables)} figures as .png and .svg, numbers as .csv"]
    lines += [f"  {path}" for path in files if path.suffix == ".png"]
    value = {"folder": str(folder), "files": [str(path) for path in files]}
    return Result(arrays=tables, value=value, text="\n".join(lines))


def _coloured(at: Call) -> Any:
    """Load the rows; a label that --label names colours them with its own names, unless the model reads labels."""
    named = at.given.get("label")
    own = named is not None and not at.trained.classes
    data = at.load(own_classes=own)
    if named is None or data.label is None:
        return data
    classes = data.schema.classes or ()
    if not (data.label >= 0).any():
        fix = f"It knows {', '.join(map(str, at.trained.classes[:5]))}."
        raise UsageError("this column has none of the names that the model reads.", where=f"--label {named}", fix=fix)
    if own and len(classes) > MOST_NAMES:
        what = f"this column has {len(classes):,} names, and a colour each for at most {MOST_NAMES}."
        raise UsageError(what, where=f"--label {named}", fix="Name a column of few names.")
    return data


def animated(asked: "Report", at: Call) -> Work:
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
    yield DryRun(f"animate {kind} of {at.name} into {at.out}; nothing was written", {"out": str(at.out), "kind": kind})
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
        return Result(arrays={"frames": np.stack(frames)}, value=value, text=made.says)
    write_animation(at.out, frames, fps=asked.fps, hold=made.hold)
    size = at.out.stat().st_size
    return Result(
        value=value | {"bytes": size}, text=f"{at.out}: {len(frames)} frames, {size / 1e6:.1f} MB: {made.says}"
    )  # fmt: skip
