"""All that a report tells of one run, gathered before a word is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from latens.data import Dataset
from latens.errors import RunFolderError
from latens.figures.style import Drawn, darkened, figure_of, laid_out, rendered, themed
from latens.model_figures.draw import PICTURES, drawing
from latens.model_figures.source import Source
from latens.report.html import Html, data_uri, tag
from latens.runs.folder import RunFolder
from latens.runtime.atomic import parse_json_strict, read_plain, typed
from latens.trained.trained_model import TrainedModel

_MOST_BYTES = 16 << 20
_DPI = 150  # of a picture of pixels in the page
LARGEST_SVG = 300_000
"""Bytes up to which a picture stays made of lines, sharp at any size; larger ones become pixels."""


class ReportFigure(NamedTuple):
    """One picture of a page, in both themes."""

    name: str
    caption: str
    alt: str
    light: tuple[bytes, str]  # its bytes in the light theme, and their kind ("svg" or "png")
    dark: tuple[bytes, str]  # the same in the dark theme
    inches: tuple[float, float]  # its width and height in inches


def shots(source: Source, names: list[str]) -> list[ReportFigure]:
    """Draw the pictures of a page: those of lines once, whose colours are turned; those of pixels in both themes."""
    made = [(PICTURES[name], axes, table, picture(axes)) for name, axes, table in drawing(source, names)]
    again = [one.name for one, *_, (_, kind) in made if kind == "png"]
    with themed("dark"):
        dark = {name: picture(axes) for name, axes, _ in (drawing(source, again) if again else [])}
    return [
        ReportFigure(
            one.name,
            f"{one.caption} {one.sees}".strip(),
            one.described(table),
            (body, kind),
            dark.get(one.name) or (darkened(body), kind),
            inches(axes),
        )
        for one, axes, table, (body, kind) in made
    ]


def picture(axes: Drawn) -> tuple[bytes, str]:
    """Render a picture: as SVG where it is small, else as PNG."""
    with laid_out(figure_of(axes)):
        svg = rendered(axes, "svg")
        return (svg, "svg") if len(svg) <= LARGEST_SVG else (rendered(axes, "png", dpi=_DPI), "png")


def figure(shot: ReportFigure) -> Html:
    """Make the element of a picture: the browser takes the one that goes with its theme."""
    width, height = (round(96 * side) for side in shot.inches)
    dark = tag("source", srcset=data_uri(*shot.dark), media="(prefers-color-scheme: dark)")
    light = tag("img", src=data_uri(*shot.light), alt=shot.alt, width=width, height=height)
    # It scrolls on a narrow page, and keys scroll it too.
    return tag("figure", tag("picture", dark, light), tag("figcaption", shot.caption), tabindex=0)


def inches(axes: Drawn) -> tuple[float, float]:
    """The width and height of a picture."""
    width, height = figure_of(axes).get_size_inches()
    return float(width), float(height)


class Warned(NamedTuple):
    """A warning of `trained.warnings`, in parts."""

    name: str  # its name for programs
    title: str
    found: str
    advice: str


class _Metric(Struct, frozen=True):
    value: Any


class _Evaluation(Struct, frozen=True):
    metrics: dict[str, _Metric]


@dataclass(frozen=True)
class RunFacts:
    """What is told of one run."""

    name: str  # name of the run
    info: Mapping[str, Any]
    trained: TrainedModel
    history: list[dict[str, Any]]  # the "epoch" records of metrics.jsonl
    # metrics by name, each as `Estimate.to_json` gives it: those of `latens evaluate RUN --all` (report.json) where
    # there are any, else of the end of training
    metrics: Mapping[str, Mapping[str, Any]]
    full: bool  # whether the metrics are those of report.json
    warnings: list[Warned]
    shots: list[ReportFigure] = field(default_factory=list)
    lacking: str = ""  # why there are no pictures of data; "" where there are
    left_out: Mapping[str, str] = field(default_factory=dict)  # why some metrics are not there, by name
    notes: tuple[str, ...] = ()  # what was noted as the data were read


def tell(run: RunFolder, trained: TrainedModel, data: Dataset | None, *, lacking: str = "") -> RunFacts:
    """Collect everything that a report tells of a run."""
    history = [record for record in run.read_metrics() if record.get("event") == "epoch"]
    evaluated, ended = read_evaluation(run.path / "report.json"), run.info.get("metrics")
    metrics = {**(ended if isinstance(ended, dict) else {}), **evaluated.get("metrics", {})}
    metrics = {name: value for name, value in metrics.items() if isinstance(value, dict)}
    warnings = warnings_of([*_entries(evaluated.get("warnings")), *_entries(run.info.get("warnings"))])
    shown, left_out = [name for name, one in PICTURES.items() if one.place], evaluated.get("left_out")
    source = Source(trained, data, history=history)
    pictures = shots(source, shown)
    told = (run.path.name, run.info, trained, history, metrics, bool(evaluated), warnings, pictures, lacking)
    return RunFacts(*told, left_out if isinstance(left_out, dict) else {}, () if data is None else data.notes)


def warnings_of(entries: Sequence[Mapping[str, str]]) -> list[Warned]:
    """The warnings of a run; each name comes once, the first one of it."""
    found: dict[str, Warned] = {}
    for entry in entries:
        name, (said, _, advice) = str(entry.get("name", "")), str(entry.get("message", "")).partition("; ")
        found.setdefault(name, Warned(name, name.replace("-", " ").capitalize(), _sentence(said), _sentence(advice)))
    return list(found.values())


def _sentence(text: str) -> str:
    text = text.strip()
    return "" if not text else text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read what `latens evaluate RUN --all` left in the run folder."""
    if not path.exists():
        return {}
    fix = "Measure again with `latens evaluate RUN --all`, or remove the file."
    value = parse_json_strict(
        read_plain(path, most=_MOST_BYTES), max_bytes=_MOST_BYTES, error=RunFolderError, where=str(path), fix=fix
    )
    typed(value, _Evaluation, where=f"{path}, ", error=RunFolderError, fix=fix)
    return value


def _entries(value: object) -> list[Mapping[str, str]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
