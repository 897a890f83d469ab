"""`latens report`: one self-contained HTML file about a run, or about two of them side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from latens.errors import LatensError, UsageError
from latens.verbs.kernel import At, Made, Request, Run, Work, Would, arg

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.report.told import Told

DRAWS = 100
"""Draws a row of the paired difference: as many as the end of a training takes."""


class Report(Request):
    """One self-contained HTML file about a run, or about two runs side by side."""

    endings: ClassVar = ()
    takes_out: ClassVar = ("FILE", "default: RUN/report.html, of two RUN/comparison.html")
    run: Run
    other: Annotated[str | None, arg("a second run: the two side by side", "RUN2")] = None

    def place(self, at: At) -> Path:
        for name in self._names():
            if not Path(name).is_dir():
                fix = "Give the folder that `latens fit` made."
                raise UsageError("a report is about a run folder.", where=name, fix=fix)
        default = Path(self.run) / ("comparison.html" if self.other else "report.html")
        out = Path(at.asked) if at.asked else default
        if out.suffix.lower() != ".html":
            raise UsageError("a report is an HTML file.", where=f"--out {out}", fix="Let the name end in .html.")
        return out

    def __call__(self, at: At) -> Work:
        from latens.io.atomic import resource_errors, write_atomic
        from latens.report import report_page
        from latens.report.compared import comparison_page
        from latens.workflow.metrics import GOOD

        names = self._names()
        words = f"write the report of {' and '.join(names)} into {at.out}; nothing was written"
        yield Would(words, {"out": str(at.out)})
        opened = [_open(name, at) for name in names]
        told = [each.told for each in opened]
        page = comparison_page(told[0], told[1], names, _paired(opened, at)) if self.other else report_page(told[0])
        with resource_errors(at.out):
            at.out.parent.mkdir(parents=True, exist_ok=True)
        raw = page.encode("utf-8")
        write_atomic(at.out, raw)
        value = {
            "bytes": len(raw),
            "pictures": [shot.name for run in told for shot in run.shots],
            "warnings": [{"run": run.name, "name": w.name, "message": w.found} for run in told for w in run.warnings],
        }
        warned = sum(one["name"] not in GOOD for one in value["warnings"])  # as the page counts them
        count = f"{len(value['pictures'])} pictures, warnings: {warned}"
        text = f"{at.out}: {len(raw) / 1e6:.1f} MB, {count}; opens in any browser, needs no network"
        return Made(value=value, text=text)

    def _names(self) -> list[str]:
        return [self.run, *([self.other] if self.other else [])]


class _Read(NamedTuple):
    """A run as it was opened, and what is told of it."""

    opened: At
    data: "Dataset | None"
    told: "Told"


def _open(name: str, at: At) -> _Read:
    from latens.report.told import tell
    from latens.verbs._sources import open_model

    opened = open_model(name)
    assert opened.run is not None
    opened.warn, lacking, data = at.warn, "", None
    try:
        data = opened.load()
    except LatensError as error:  # a run outlives its data: what needs no rows is told all the same
        lacking = f"Pictures of data are left out: {error}"
        at.warn(lacking)
    return _Read(opened, data, tell(opened.run, opened.trained, data, lacking=lacking))


def _paired(runs: Sequence[_Read], at: At) -> dict[str, dict[str, Any]]:
    """The second run minus the first over the same held-out rows, where both know these rows and share a number."""
    from latens.workflow.compare import compare
    from latens.workflow.groups import held_out_rows

    data = runs[0].data
    if data is None or not all(run.opened.knows(data) for run in runs):
        return {}
    models = [(str(i), run.opened.trained) for i, run in enumerate(runs)]
    try:
        found = compare(models, data, held_out_rows(data)[1], num_samples=DRAWS)
    except LatensError as error:
        at.warn(f"no paired difference: {error}")
        return {}
    gap = found.models[1].difference
    assert gap is not None
    # `difference` is worse minus best: the sign is flipped if the second run is best.
    sign = 1.0 if found.models[1].name == "1" else -1.0
    return {found.metric: {**gap.estimate.to_json(), "value": sign * gap.estimate.value}}
