"""Settings of a sweep against each other: means over seeds, intervals, and which is best on validation rows."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from latens.errors import ConfigError, RunFolderError
from latens.evaluation import Estimate
from latens.io.atomic import as_path
from latens.io.terminal import table_as
from latens.runs.sweep import Job, Plan, job_of, names_of, read_rows, read_sweep, shown
from latens.workflow.compare import LEVEL, Rows, estimate_of, interval_of
from latens.workflow.metrics import over_draws


@dataclass(frozen=True)
class Interval:
    """A number with its two-sided interval at `LEVEL` (Student's t)."""

    value: float  # the number, in the unit of the metric; NaN where two settings have no seed in common
    low: float  # the lower end; NaN where one seed tells nothing
    high: float
    over: str = "seeds"  # what it is an interval over: "seeds" or "rows"

    def to_json(self) -> dict[str, Any]:
        """The interval as plain values."""
        value, low, high = (None if np.isnan(each) else each for each in (self.value, self.low, self.high))
        return {"value": value, "low": low, "high": high, "level": LEVEL, "over": self.over}


@dataclass(frozen=True)
class SweptRun:
    """One run of a sweep; it has no numbers where training diverged."""

    job: Job
    diverged: str = ""  # why it has none
    estimate: Estimate | None = None  # its number with its standard error over rows
    rows: Rows | None = None  # its number for every row
    weight: np.ndarray | None = None  # how often each row counts, shape (n,); None for all alike


def by_seed(runs: Sequence[SweptRun]) -> dict[int, float]:
    """The numbers of the runs that have one."""
    return {run.job.seed: run.estimate.value for run in runs if run.estimate is not None}


@dataclass(frozen=True)
class Setting:
    """One setting of a sweep."""

    name: str  # its name, which is that of its folder
    options: Mapping[str, str]  # its values by option, as typed
    budget: float | None  # the budget that it reached under successive halving; None without it
    runs: tuple[SweptRun, ...]  # its runs, in the order of their seeds
    mean: Interval | None  # the mean over seeds with its interval over seeds; None where every run diverged
    estimate: Estimate | None  # the same mean with its standard error over rows
    difference: Interval | None  # that mean minus the best setting's, paired; None for the best

    @property
    def diverged(self) -> int:
        """How many of its runs diverged."""
        return len(self.runs) - len(by_seed(self.runs))

    @property
    def best_run(self) -> Path:
        """The folder of its best run on validation rows."""
        values = by_seed(self.runs)
        return max(self.runs, key=lambda run: values.get(run.job.seed, -np.inf)).job.run

    def to_json(self, folder: Path) -> dict[str, Any]:
        """The setting as plain values."""
        errors = {} if self.estimate is None else self.estimate.to_json()
        return {
            "name": self.name,
            "options": dict(self.options),
            "budget": self.budget,
            "mean": None if self.mean is None else self.mean.to_json(),
            "standard_error_over_rows": errors.get("standard_error"),
            "draws_error": errors.get("draws_error"),
            "minus_best": None if self.difference is None else self.difference.to_json(),
            "runs": [
                {
                    "run": run.job.run.relative_to(folder).as_posix(),
                    "seed": run.job.seed,
                    "value": None if run.estimate is None else run.estimate.to_json(),
                    "diverged": run.diverged or None,
                }
                for run in self.runs
            ],
        }


@dataclass(frozen=True)
class Swept:
    """A sweep whose runs are all there."""

    metric: str  # the name of the metric
    unit: str
    protocol: str  # how it was made, in words
    settings: tuple[Setting, ...]  # the settings, from the best on

    def to_json(self, folder: Path) -> dict[str, Any]:
        """The table as plain values."""
        about = {"metric": self.metric, "unit": self.unit, "protocol": self.protocol, "split": "validation"}
        return {**about, "best": self.settings[0].name, "settings": [each.to_json(folder) for each in self.settings]}

    def table(self, format: str = "text") -> str:
        """The settings, best first, with intervals: as text, Markdown or LaTeX (of the package booktabs)."""
        return table_as(self.cells(), format)

    def cells(self, budget: str = "budget", what: str = "") -> list[tuple[str, ...]]:
        """The cells of that table, titles first; `what` names a setting without options."""
        options = list(dict.fromkeys(name for each in self.settings for name in each.options))
        halving = any(each.budget is not None for each in self.settings)
        titles = [name.rpartition(".")[2] for name in options] or ["setting" if what else "model"]
        titles += [budget] if halving else []
        told = [each.estimate for each in self.settings if each.estimate is not None]
        drawn = any(one.draws_error is not None for one in told)
        errors, gone = ("error over rows", *(["over draws"] if drawn else [])), any(e.diverged for e in self.settings)
        rows: list[tuple[str, ...]] = [
            (*titles, "mean", "95 % interval", *errors, "minus the best", "95 % interval", *([""] if gone else []))
        ]
        for each in self.settings:
            values = [shown(each.options[name]) for name in options] or [what or each.name]
            values += [f"{each.budget:g}"] if halving else []
            rows.append((*values, *_figures(each, _places(self), drawn)[: None if gone else -1]))
        return rows


def over_seeds(values: Sequence[float] | np.ndarray) -> Interval:
    r"""The mean of one value a seed, with its interval $\bar v \pm t_{n-1} s / \sqrt n$; NaN for one seed.

    Examples:
        >>> found = over_seeds([1.0, 2.0, 3.0])
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (2.0, -0.484, 4.484)
    """
    from scipy.stats import t

    values = np.asarray(values, np.float64)
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval(mean, float("nan"), float("nan"))
    wide = float(t.ppf(0.5 + LEVEL / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - wide, mean + wide)


def settled(found: Mapping[str, Sequence[SweptRun]]) -> Swept:
    """Put models by name against each other, best first, each with one run a seed."""
    order = sorted(found, key=lambda name: -float(np.mean(list(by_seed(found[name]).values()))))
    best, settings = found[order[0]], []
    for name in order:
        runs = found[name]
        gap = None if name == order[0] else _difference(runs, best, order[0])
        mean, over_rows = over_seeds(list(by_seed(runs).values())), _over_rows(runs)
        settings.append(Setting(name, {}, None, tuple(runs), mean, over_rows, gap))
    first = best[0].rows
    assert first is not None
    return Swept(first.name, first.unit, first.protocol, tuple(settings))


def load_sweep(folder: str | Path) -> Swept:
    """Read the settings of a sweep that has come to its end, from its folder.

    Args:
        folder: The folder that `latens sweep --out FOLDER` wrote.

    Returns:
        The settings, best first; `.table("markdown")` and `.table("latex")` write them for a paper.

    Raises:
        RunFolderError: There is no sweep, or runs of it are missing.
    """
    path = as_path(folder, "folder")
    found = read_sweep(path)
    if left := pending(found.plan, path):
        what = f"{len(left)} of its runs are missing, {left[0].title} among them."
        raise RunFolderError(what, where=str(path), fix=f"Train them: latens sweep {shlex.quote(str(path))}.")
    return swept(found.plan, path)


def pending(plan: Plan, folder: Path) -> list[Job]:
    """List what is to be trained next: all that is left, under successive halving at this budget."""
    left = ([job for job in jobs if not job.rows.exists()] for jobs in rounds(plan, folder))
    return next(filter(None, left), [])


def swept(plan: Plan, folder: Path) -> Swept:
    """Put the settings of a sweep against each other, once every run is there."""
    # The best has the highest mean over seeds on validation rows; a setting of which a run diverged comes after all
    # others, and under successive halving who was dropped earlier comes after who was kept. Differences are paired by
    # seed and have intervals over seeds; with one seed, over rows.
    found: dict[int, dict[float | None, list[SweptRun]]] = {}
    for jobs in rounds(plan, folder):
        for job in jobs:
            found.setdefault(job.setting, {}).setdefault(job.budget, []).append(read_run(job))
    last = {setting: list(by_budget)[-1] for setting, by_budget in found.items()}
    order = sorted(found, key=lambda s: (-(last[s] or 0.0), *_rank(plan, s, found[s][last[s]])))
    known = [run.rows for s in order for run in found[s][last[s]] if run.rows is not None]
    if not known:
        fix = "Use smaller learning rates, or look at the data with `latens check`."
        raise ConfigError("every run of the sweep diverged.", where=str(folder), fix=fix)
    first = known[0]
    other = next((rows for rows in known if (rows.name, rows.what) != (first.name, first.what)), None)
    if other is not None:
        what = f"these numbers cannot be compared: {first.name} {first.what}and {other.name} {other.what}"
        fix = "Let settings differ that leave data.binarize, data.dequantize and the kind of likelihood alone."
        raise ConfigError(f"{what.rstrip('; ')}.", where=str(folder), fix=fix)
    names, settings = names_of(plan), []
    for s in order:
        runs, best, mean, over_rows, gap = found[s][last[s]], found[order[0]][last[s]], None, None, None
        if values := by_seed(runs):
            mean, over_rows = over_seeds(list(values.values())), _over_rows(runs)
            gap = None if s == order[0] else _difference(runs, best, names[order[0]])
        settings.append(Setting(names[s], plan.chosen[s], last[s], tuple(runs), mean, over_rows, gap))
    return Swept(first.name, first.unit, first.protocol, tuple(settings))


def rounds(plan: Plan, folder: Path) -> Iterator[list[Job]]:
    """List the runs at each budget, as far as those before are there: then the better half of the settings goes on."""
    alive = list(range(len(plan.chosen)))
    for budget in plan.budgets or [None]:
        jobs = [job_of(plan, folder, setting, seed, budget) for setting in alive for seed in plan.seeds]
        yield jobs
        if budget is None or not all(job.rows.exists() for job in jobs):
            return
        runs = {setting: [read_run(job) for job in jobs if job.setting == setting] for setting in alive}
        ranks = {setting: _rank(plan, setting, found) for setting, found in runs.items()}
        alive = sorted(sorted(alive, key=ranks.__getitem__)[: -(-len(alive) // 2)])


def _rank(plan: Plan, setting: int, runs: Sequence[SweptRun]) -> tuple[int, float, list[tuple[str, str]]]:
    """Smaller is better: first who did not diverge, then by the mean over seeds; ties by the words of the setting."""
    values = list(by_seed(runs).values())
    words = sorted((option, shown(value)) for option, value in plan.chosen[setting].items())
    return len(runs) - len(values), -float(np.mean(values)) if values else 0.0, words


def read_run(job: Job) -> SweptRun:
    """Read a run whose numbers are there."""
    found = read_rows(job)
    if "diverged" in found:
        return SweptRun(job, found["diverged"])
    weight = None if found["weight"] is None else np.asarray(found["weight"])
    given: dict[str, Any] = {field.name: found.get(field.name) for field in fields(Rows)}
    if given["draws_error"] is None and given["at_least"] is not None:  # JSON has no infinity
        given["draws_error"] = np.inf
    given["rows"] = np.asarray(given["rows"], np.float64)
    rows = Rows(**given)
    return SweptRun(job, "", estimate_of(rows, weight), rows, weight)


def _over_rows(runs: Sequence[SweptRun]) -> Estimate:
    """The mean over seeds of each row, over rows."""
    known = [run.rows for run in runs if run.rows is not None]
    each: dict[str, Any] = {"rows": np.mean([rows.rows for rows in known], axis=0)}
    for name in ("draws_error", "at_least"):  # what one lacks is about what the others lack
        errors = [getattr(rows, name) for rows in known]
        each[name] = None if None in errors else float(np.mean(errors))
    weight = next(run.weight for run in runs if run.rows is not None)
    return estimate_of(replace(known[0], **each), weight)


def _difference(runs: Sequence[SweptRun], best: Sequence[SweptRun], best_name: str) -> Interval:
    """A setting minus the best: paired by the seeds that both have, or by rows where that is one seed."""
    values, others = by_seed(runs), by_seed(best)
    gaps = {seed: value - others[seed] for seed, value in values.items() if seed in others}
    if not gaps:
        return Interval(float("nan"), float("nan"), float("nan"))
    if len(gaps) != 1:
        return over_seeds(list(gaps.values()))
    one, other = (next(run for run in each if run.job.seed in gaps) for each in (runs, best))
    assert one.rows is not None
    assert other.rows is not None
    found = interval_of(one.rows, other.rows, one.weight, 0, best_name)
    return Interval(found.estimate.value, found.low, found.high, "rows")


def _figures(each: Setting, places: int, drawn: bool) -> tuple[str, ...]:
    gone = f"{each.diverged} of {len(each.runs)} diverged" if each.diverged else ""
    if each.mean is None or each.estimate is None:
        return ("", "", "", *([""] if drawn else []), "", "", gone)
    gap, mean = each.difference, f"{each.mean.value:.{places}f}"
    error = f"± {each.estimate.standard_error:.{places}f}" if each.estimate.standard_error > 0 else ""
    errors = (error, over_draws(each.estimate, places)) if drawn else (error,)
    behind = ("best", "") if gap is None else (f"{gap.value:.{places}f}", _interval(gap, places))
    if gap is not None and math.isnan(gap.value):
        behind = ("no seed in common", "")
    return (mean, _interval(each.mean, places), *errors, *behind, gone)


def _places(result: Swept) -> int:
    """Digits after the point: two figures of the narrowest half of an interval, or of the least error over rows."""
    told = [part for each in result.settings for part in (each.mean, each.difference) if part is not None]
    halves = [(part.high - part.low) / 2 for part in told]
    errors = [each.estimate.standard_error for each in result.settings if each.estimate is not None]
    known = [size for size in halves if size > 0] or [size for size in errors if size > 0]
    return min(6, max(0, 1 - math.floor(math.log10(min(known))))) if known else 2


def _interval(found: Interval, places: int) -> str:
    return "" if found.low != found.low else f"[{found.low:.{places}f}, {found.high:.{places}f}]"
