"""`latens figures`: every picture that applies, each with the numbers behind it."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from latens.errors import UsageError
from latens.verbs.animate import low_and_high
from latens.verbs.kernel import At, Given, Made, Theme, Verb, Work, Would, arg, whole

MOST_NAMES = 100
"""Names of a column that colours rows."""
_PLANE = "the latent plane, of models with two units"
_EDGES = "probabilities at the edges (default 0.05,0.95)"


class Figures(Verb):
    """Every picture that applies to a run, with the numbers behind it."""

    endings: ClassVar = ()
    takes_out: ClassVar = ("FOLDER", "default: RUN/figures")
    needs_latents: ClassVar = False
    data: Annotated[Any, arg("default: the data of the run", "DATA")] = None
    only: Annotated[str | None, arg("these pictures, by the names of their files", metavar="NAME[,NAME]")] = None
    theme: Theme = "light"
    given: Given = None
    manifold_cells: Annotated[
        int | None,
        arg("images along each side, 2 to 100 (default 21)", metavar="N", kind=whole(2, 100), group=_PLANE),
    ] = None
    manifold_range: Annotated[
        str | None,
        arg("even in z or in the prior's percentiles (default: both)", choices=("linear", "percentile"), group=_PLANE),
    ] = None
    percentiles: Annotated[
        tuple[float, float] | None, arg(_EDGES, metavar="LOW,HIGH", kind=low_and_high, group=_PLANE)
    ] = None

    def place(self, at: At) -> Path | None:
        if not at.asked and at.run is None:
            raise UsageError("a model file has no folder for pictures.", where=at.name, fix="Add --out FOLDER.")
        at.out = Path(at.asked) if at.asked or at.run is None else at.run.path / "figures"
        return None  # the result names the folder itself

    def __call__(self, at: At) -> Work:
        from latens.callbacks.snapshots import kept_steps, load_snapshots
        from latens.data import KNOWN
        from latens.io.atomic import resource_errors
        from latens.pictures.draw import asked_for, drawing, save_pictures
        from latens.pictures.source import Plane, Source

        only = None if self.only is None else [name.strip() for name in self.only.split(",") if name.strip()]
        needs = asked_for(only)[1]
        # Real pixels need rows too, for their scale.
        needs_rows = "rows" in needs or at.trained.schema.kind == "real"
        has_data = self.data is not None or at.run is not None or at.trained.facts.get("data") in KNOWN
        data = _coloured(at) if has_data and needs_rows else None
        folder = at.out
        words = f"write the pictures of {at.name} into {folder}; nothing was written"
        yield Would(words, {"folder": str(folder)})
        records = at.run.read_metrics() if at.run is not None and "history" in needs else []
        history = [one for one in records if one.get("event") == "epoch"]
        several = "snapshots" in needs and at.run is not None and len(kept_steps(at.run.path)) > 1
        kept = load_snapshots(at.run.path) if several and at.run is not None else []
        cells, _, edges = Plane()
        plane = Plane(self.manifold_cells or cells, self.manifold_range, self.percentiles or edges)  # pyright: ignore[reportArgumentType]
        look: dict[str, Any] = {"theme": self.theme, "plane": plane}
        source = Source(at.trained, data, history=history, snapshots=kept, **look)
        tables, files = {}, []
        for picture in drawing(source, only):  # each is written at once: whoever stops the command keeps what is drawn
            tables[picture[0]] = picture[2]
            if folder != Path():
                with resource_errors(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                files += save_pictures([picture], folder)
        if only is not None and not tables:
            what, fix = (
                f"none of the pictures of this model is called {self.only}.",
                "writes all and lists their names.",
            )
            raise UsageError(what, where="--only", fix=f"`latens figures RUN` without --only {fix}")
        if folder == Path():
            return Made(arrays=tables, text=f"{len(tables)} pictures")
        lines = [f"{folder}: {len(tables)} pictures as .png and .svg, their numbers as .csv"]
        lines += [f"  {path}" for path in files if path.suffix == ".png"]
        value = {"folder": str(folder), "files": [str(path) for path in files]}
        return Made(arrays=tables, value=value, text="\n".join(lines))


def _coloured(at: At) -> Any:
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
