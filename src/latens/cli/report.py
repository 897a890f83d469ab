"""`latens report`: one self-contained HTML file about a run, or about two of them side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from latens.cli.context import Context
from latens.cli.verb import load_for
from latens.data import Dataset
from latens.errors import LatensError, UsageError
from latens.io.atomic import resource_errors, write_atomic
from latens.report.told import Told
from latens.verbs._measured import held_out_rows
from latens.verbs._sources import open_model
from latens.verbs.kernel import At

DRAWS = 100
"""Draws a row of the paired difference: as many as the end of a training takes."""


def report(context: Context) -> int:
    """Write RUN/report.html, or with two runs a comparison."""
    args = context.args
    names = [args.run, *([args.other] if args.other else [])]
    for name in names:
        if not Path(name).is_dir():
            raise UsageError(
                "a report is about a run folder.", where=name, fix="Give the folder that `latens fit` made."
            )
    out = Path(args.out) if args.out else Path(args.run) / ("comparison.html" if args.other else "report.html")
    if out.suffix.lower() != ".html":
        raise UsageError("a report is an HTML file.", where=f"--out {out}", fix="Let the name end in .html.")
    if args.dry_run:
        context.say(f"would write the report of {' and '.join(names)} into {out}; nothing was written")
        context.result({"dry_run": True, "out": str(out)})
        return 0
    opened = [_open(context, name) for name in names]
    told = [each.told for each in opened]
    if args.other:
        from latens.report.compared import comparison_page

        page = comparison_page(told[0], told[1], names, _paired(context, opened))
    else:
        from latens.report import report_page

        page = report_page(told[0])
    with resource_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    raw = page.encode("utf-8")
    write_atomic(out, raw)
    value = {
        "out": str(out),
        "bytes": len(raw),
        "pictures": [shot.name for run in told for shot in run.shots],
        "warnings": [{"run": run.name, "name": w.name, "message": w.found} for run in told for w in run.warnings],
    }
    text = f"{out}: {len(raw) / 1e6:.1f} MB, {len(value['pictures'])} pictures, warnings: {len(value['warnings'])}"
    context.done(value, f"{text}; opens in any browser, needs no network")
    return 0


class _Read(NamedTuple):
    """A run as it was opened, and what is told of it."""

    opened: At
    data: Dataset | None
    told: Told


def _open(context: Context, name: str) -> _Read:
    from latens.report.told import tell

    opened = open_model(name)
    assert opened.run is not None
    lacking, data = "", None
    try:
        data = load_for(opened, context)
    except LatensError as error:  # a run outlives its data: what needs no rows is told all the same
        lacking = f"Pictures of data are left out: {error}"
        context.warn(lacking)
    return _Read(opened, data, tell(opened.run, opened.trained, data, lacking=lacking))


def _paired(context: Context, runs: Sequence[_Read]) -> dict[str, dict[str, Any]]:
    """The second run minus the first over the same held-out rows, where both know these rows and share a number."""
    from latens.workflow.compare import compare

    data = runs[0].data
    if data is None or not all(run.opened.knows(data) for run in runs):
        return {}
    _, positions = held_out_rows(data)
    try:
        found = compare(
            [(str(i), run.opened.trained) for i, run in enumerate(runs)], data, positions, num_samples=DRAWS
        )
    except LatensError as error:
        context.warn(f"no paired difference: {error}")
        return {}
    gap = found.models[1].difference
    assert gap is not None
    # It is that of the worse one, minus the best.
    sign = 1.0 if found.models[1].name == "1" else -1.0
    return {found.metric: {**gap.estimate.to_json(), "value": sign * gap.estimate.value}}
