"""The table of a sweep: in words, as CSV, as a figure."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from latens.evaluation.estimate import UNKNOWN
from latens.figures.settings import settings
from latens.figures.style import save
from latens.io.terminal import table, with_record
from latens.runs.sweep import Sweep
from latens.workflow.metrics import metric_of, unknown_draws
from latens.workflow.sweep import Interval, Swept, by_seed


def save_table(result: Swept, folder: Path) -> list[str]:
    """Write the table as CSV, a line for each run, and the figure."""
    lines = [(each, run) for each in result.settings for run in each.runs]
    options = list(dict.fromkeys(name for each in result.settings for name in each.options))
    columns: dict[str, list[Any]] = {"setting": [each.name for each, _ in lines]}
    columns |= {name: [each.options.get(name, "") for each, _ in lines] for name in options}
    columns["seed"] = [run.job.seed for _, run in lines]
    if any(each.budget for each in result.settings):
        columns["budget"] = [each.budget for each, _ in lines]
    nan, none = float("nan"), Interval(float("nan"), float("nan"), float("nan"))
    for title, part in ((result.metric, "value"), ("standard_error", "standard_error")):
        columns[title] = [getattr(run.estimate, part, nan) for _, run in lines]
    draws = [None if run.estimate is None else run.estimate.draws_error for _, run in lines]
    if any(error is not None for error in draws):
        columns["draws_error"] = [nan if error is None or math.isinf(error) else error for error in draws]
        columns["bound"] = [UNKNOWN[0] if error == math.inf else "" for error in draws]
    for title, part in (("setting_mean", "mean"), ("minus_best", "difference")):
        for end, name in (("", "value"), ("_low", "low"), ("_high", "high")):
            columns[title + end] = [getattr(getattr(each, part) or none, name) for each, _ in lines]
    values = [list(by_seed(each.runs).values()) for each in result.settings]
    intervals = [None if each.mean is None else (each.mean.value, each.mean.low, each.mean.high)
                 for each in result.settings]  # fmt: skip
    names = [each.name + ("" if each.budget is None else f" ({each.budget:g})") for each in result.settings]
    drawn = settings(values, intervals, names, unit=_axis(result))
    arrays = {name: np.asarray(each, object if isinstance(each[0], str) else None) for name, each in columns.items()}
    return [path.name for path in save(drawn, folder / "sweep", arrays)]


def _axis(result: Swept) -> str:
    words = metric_of(result.metric).label
    return words if result.unit == result.metric else f"{words}, {result.unit} a row"


def words_of_table(result: Swept, found: Sweep) -> str:
    """Write the table for people, best first, and what these seeds tell."""
    seeds = len(found.plan.seeds)
    what = result.unit if result.unit == result.metric else f"in {result.unit} a row"
    head = f"{metric_of(result.metric).label} of {found.data['rows']} validation rows of {found.data['name']}"
    over = f"means over {seeds} seeds" if seeds > 1 else "one seed"
    told = [each.estimate for each in result.settings if each.estimate is not None]
    rows = result.cells(found.plan.budget or "", found.plan.fit[0] if found.plan.fit else "")
    unknown = unknown_draws(told, metric_of(result.metric).label)
    lines = [f"{head}, {what}: {over}", table(rows, indent="  "), *unknown]
    over = (
        f"{len(result.settings)} settings, {seeds} seed{'s' * (seeds > 1)} each" if len(result.settings) > 1 else over
    )
    plain = [_verdict(result, seeds), f"Measured on {found.data['rows']:,} validation rows: {over}."]
    return with_record(plain, "\n".join(lines))


def _verdict(result: Swept, seeds: int) -> str:
    """Which of the others cannot be told from the best."""
    best, others = result.settings[0], [each for each in result.settings[1:] if each.difference is not None]
    if len(result.settings) == 1:
        return f"One setting; its best seed is {best.best_run.name}."
    level = [each.name for each in others if each.difference is not None and not each.difference.high < 0]
    what = "seeds like these" if seeds > 1 else "rows like these, of one seed"
    if not level:
        return f"{best.name} is ahead of every other setting on {what}."
    told = "These seeds do" if seeds > 1 else "These rows do"
    unknown = any(each.difference is not None and math.isnan(each.difference.high) for each in others)
    why = "their intervals hold 0" + (" or are unknown" if unknown else "")
    return f"{told} not tell {best.name} from {', '.join(level)}: {why}."
