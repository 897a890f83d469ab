"""Every picture that applies, each with the numbers behind it: `latens report --only figures`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.commands.base import At, Made, Work, Would
from latens.errors import UsageError

if TYPE_CHECKING:
    from latens.commands.report import Report

MOST_NAMES = 100
"""Names of a column that colours rows."""


def drawn(asked: "Report", at: At) -> Work:
    """Write the figures of a model, each as soon as it is drawn."""
    from latens.data import KNOWN
    from latens.figures.style import themed
    from latens.io.atomic import resource_errors
    from latens.model_figures.draw import NEEDS, asked_for, drawing, save_pictures
    from latens.model_figures.source import Plane, Source

    only = None if asked.name is None else [name.strip() for name in asked.name.split(",") if name.strip()]
    needs = asked_for(only)[1]
    # Real pixels need rows too, for their scale.
    needs_rows = "rows" in needs or at.trained.schema.cells.real
    own = at.run is not None or "source" in vars(at.trained) or at.trained.facts.get("data") in KNOWN
    has_data = asked.data is not None or own
    data = _coloured(at) if has_data and needs_rows else None
    folder = at.out
    words = f"write the figures of {at.name} into {folder}; nothing was written"
    yield Would(words, {"folder": str(folder)})
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
        return Made(arrays=tables, text=f"{len(tables)} figures")
    lines = [f"{folder}: {len(tables)} figures as .png and .svg, their numbers as .csv"]
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
