"""Settings of a sweep against each other: means over seeds, intervals, and which is best on validation rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from latens.errors import ConfigError
from latens.evaluation import Estimate
from latens.runs.sweep import Job, Plan, job_of, names_of, read_rows, shown
from latens.workflow.compare import LEVEL, Rows, estimate_of, interval_of


@dataclass(frozen=True)
class Interval:
    """A number with its two-sided interval at `LEVEL` (Student's t)."""

    value: float  # the number, in the unit of the metric
    low: float  # the lower end; NaN where one seed tells nothing
    high: float
    over: str = "seeds"  # what it is an interval over: "seeds" or "rows"

    def to_json(self) -> dict[str, Any]:
        """The interval as plain values."""
        low, high = (None if np.isnan(end) else end for end in (self.low, self.high))
        return {"value": self.value, "low": low, "high": high, "level": LEVEL, "over": self.over}


@dataclass(frozen=True)
class SweptRun:
    """One run of a sweep."""

    job: Job
    estimate: Estimate | None  # its number with its standard error over rows; None where training diverged
    rows: Rows | None  # its number for every row; None where training diverged
    weight: np.ndarray | None = None  # how often each row counts, shape (n,); None for all alike
    diverged: str = ""  # why it has none


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
        return sum(run.estimate is None for run in self.runs)

    @property
    def best_run(self) -> Path:
        """The folder of its best run on validation rows."""
        return max(self.runs, key=lambda run: -np.inf if run.estimate is None else run.estimate.value).job.run

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
    what: str  # what it is a density of
    settings: tuple[Setting, ...]  # the settings, from the best on

    def to_json(self, folder: Path) -> dict[str, Any]:
        """The table as plain values."""
        about = {"metric": self.metric, "unit": self.unit, "protocol": self.protocol, "split": "validation"}
        return {**about, "best": self.settings[0].name, "settings": [each.to_json(folder) for each in self.settings]}


def over_seeds(values: Sequence[float] | np.ndarray) -> Interval:
    r"""The mean of one value a seed, with its interval $\bar v \pm t_{n-1} s / \sqrt n$.

    Args:
        values: One value for each seed, shape (n,).

    Returns:
        The mean; its interval is unknown (NaN) for one seed.

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


def pending(plan: Plan, folder: Path) -> list[Job]:
    """List what is to be trained next: all that is left, under successive halving at this budget."""
    for jobs in rounds(plan, folder):
        left = [job for job in jobs if not job.rows.exists()]
        if left:
            return left
    return []


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
    other = next((rows for rows in known if (rows.name, rows.what) != (known[0].name, known[0].what)), None)
    if other is not None:
        what = f"these numbers cannot be compared: {known[0].name} {known[0].what}and {other.name} {other.what}"
        fix = "Let settings differ that leave data.binarize, data.dequantize and the kind of likelihood alone."
        raise ConfigError(f"{what.rstrip('; ')}.", where=str(folder), fix=fix)
    names, settings = names_of(plan), []
    for setting in order:
        runs, best = found[setting][last[setting]], found[order[0]][last[setting]]
        done = [run for run in runs if run.estimate is not None]
        mean = over_seeds([run.estimate.value for run in done if run.estimate is not None]) if done else None
        gap = None if setting == order[0] or not done else _difference(runs, best, names[order[0]])
        estimate = _over_rows(done) if done else None
        settings.append(Setting(names[setting], plan.chosen[setting], last[setting], tuple(runs), mean, estimate, gap))
    first = known[0]
    return Swept(first.name, first.unit, first.protocol, first.what, tuple(settings))


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
    values = [run.estimate.value for run in runs if run.estimate is not None]
    words = sorted((option, shown(value)) for option, value in plan.chosen[setting].items())
    return len(runs) - len(values), -float(np.mean(values)) if values else 0.0, words


def read_run(job: Job) -> SweptRun:
    """Read a run whose numbers are there."""
    found = read_rows(job)
    if "diverged" in found:
        return SweptRun(job, None, None, None, found["diverged"])
    weight = None if found["weight"] is None else np.asarray(found["weight"])
    given = {name: found[name] for name in ("name", "num_samples", "what", "protocol", "unit")}
    given |= {name: found.get(name) for name in ("draws_error", "at_least")}
    if given["draws_error"] is None and given["at_least"] is not None:  # JSON has no infinity
        given["draws_error"] = np.inf
    rows = Rows(rows=np.asarray(found["rows"], np.float64), **given)
    return SweptRun(job, estimate_of(rows, weight), rows, weight)


def _over_rows(runs: Sequence[SweptRun]) -> Estimate:
    """The mean over seeds of each row, over rows."""
    first = runs[0]
    assert first.rows is not None
    known = [run.rows for run in runs if run.rows is not None]
    each: dict[str, Any] = {"rows": np.mean([rows.rows for rows in known], axis=0)}
    for name in ("draws_error", "at_least"):  # what one lacks is about what the others lack
        errors = [getattr(rows, name) for rows in known]
        each[name] = None if None in errors else float(np.mean(errors))
    return estimate_of(replace(first.rows, **each), first.weight)


def _difference(runs: Sequence[SweptRun], best: Sequence[SweptRun], best_name: str) -> Interval:
    """A setting minus the best: paired by the seeds that both have, or by rows where that is one seed."""
    values = {run.job.seed: run for run in best if run.estimate is not None}
    pairs = [(run, values[run.job.seed]) for run in runs if run.estimate is not None and run.job.seed in values]
    if len(pairs) == 1:
        one, other = pairs[0]
        assert one.rows is not None
        assert other.rows is not None
        found = interval_of(one.rows, other.rows, one.weight, 0, best_name)
        return Interval(found.estimate.value, found.low, found.high, "rows")
    return over_seeds([a.estimate.value - b.estimate.value for a, b in pairs if a.estimate and b.estimate])
