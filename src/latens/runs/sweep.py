"""The folder of a sweep: what is trained in it, where each run lies, and what was found of it. Needs no jax.

FOLDER/
  sweep.json                      the plan, and the table once every run is there; sweep.csv and sweep.png beside it
  learning_rate=0.001/seed=0/     a run folder like any other, one for each setting and seed
  validation/learning_rate=0.001/seed=0/rows.json    its numbers on the validation rows
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from latens.config import read_value
from latens.errors import LatensError, RunFolderError, UsageError
from latens.io.atomic import read_plain, resource_errors, write_atomic
from latens.io.json import parse_json_strict, to_json, typed

SWEEP_FORMAT, FORMAT_VERSION = "latens-sweep", 1
FILE, VALIDATION = "sweep.json", "validation"
_MOST_BYTES = 64 << 20
_LONGEST = 120


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """What a sweep trains; the same plan in the same folder goes on."""

    fit: list[str]  # the words of `latens fit` that all runs share, without those of a setting, a seed and a folder
    options: dict[str, str]  # what was typed for each option that differs between runs, by option
    # the settings, each as typed values by option; one without an entry where only seeds differ
    chosen: list[dict[str, str]]
    seeds: list[int]  # the seeds of each setting
    random: int | None = None  # how many settings were drawn; None where they are all combinations
    budget: str | None = None  # the flag of the budget that successive halving doubles; None without it
    budgets: list[float] = []  # its values, from the first to the whole

    def differences(self, other: "Plan") -> list[str]:
        """Say what another plan has otherwise, whatever the order in which options and values were typed."""
        found = []
        for name in sorted({*self.options, *other.options}):
            now, was = (sorted({shown(each[name]) for each in plan.chosen if name in each}) for plan in (self, other))
            if now != was:
                texts = [plan.options.get(name, "not given") for plan in (self, other)]
                found.append(f"--set {name} is {texts[0]} and was {texts[1]}")
        if self.seeds != other.seeds:
            found.append(f"the seeds are {_range(self.seeds)} and were {_range(other.seeds)}")
        for name, now, was in (("--random", self.random, other.random), ("--halving", self.budgets, other.budgets)):
            if now != was:
                found.append(f"{name} is {now or 'not given'} and was {was or 'not given'}")
        if self.fit != other.fit:
            found.append(f"the training is `{' '.join(self.fit)}` and was `{' '.join(other.fit)}`")
        return found


class Job(NamedTuple):
    """One run of a sweep, or one stretch of it."""

    setting: int  # the place of its setting among those of the plan
    seed: int
    budget: float | None  # the budget of successive halving; None where there is none
    run: Path
    found: Path  # the folder of its numbers on the validation rows, held by who trains it

    @property
    def rows(self) -> Path:
        """The file of its numbers, which is there once it is done."""
        return self.found / "rows.json"

    @property
    def title(self) -> str:
        """The job in words."""
        return f"{self.run.parent.name}/{self.run.name}" + ("" if self.budget is None else f", {self.budget:g}")


def job_of(plan: Plan, folder: Path, setting: int, seed: int, budget: float | None = None) -> Job:
    """Find where a run lies."""
    # budget: the budget of successive halving; None where there is none.
    name, numbered = names_of(plan)[setting], f"seed={seed}"
    stretch = numbered if budget is None else f"{numbered},{plan.budget}={budget:g}"
    return Job(setting, seed, budget, folder / name / numbered, folder / VALIDATION / name / stretch)


def names_of(plan: Plan) -> list[str]:
    """Name the settings as their folders are called."""
    names = []
    for setting in plan.chosen:
        values = [shown(value).strip("[]").replace(",", "+") for value in setting.values()]
        whole = ",".join(map("=".join, zip(_short(list(setting)), values))) or "default"
        safe = re.sub(r"[^A-Za-z0-9_.,=+-]+", "-", whole).strip("-.")
        if safe != whole or len(safe) > _LONGEST:  # what is lost shall not make two alike
            safe = f"{safe[:_LONGEST]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
        names.append(safe)
    return names


def _short(options: Sequence[str]) -> list[str]:
    """The last part of each option's name, or the whole where two would be alike."""
    last = [option.rpartition(".")[2] for option in options]
    return [word if last.count(word) == 1 else option for word, option in zip(last, options)]


def shown(text: str) -> str:
    """Write a value in one way, however it was typed: 1e-3 and 0.001 are the same.

    Examples:
        >>> shown("1e-3"), shown("1.0"), shown("[64, 32]"), shown("[64]"), shown("iwae")
        ('0.001', '1', '[64,32]', '64', 'iwae')
    """
    value = read_value(text)
    if isinstance(value, list):
        items = [shown(str(item)) for item in value]
        return items[0] if len(items) == 1 else f"[{','.join(items)}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value) if isinstance(value, float) else text if isinstance(value, str) else str(value).lower()


def new_plan_refused(folder: Path, plan: Plan) -> bool:
    """Whether a folder holds this very sweep already; another one, or anything else, is refused."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not is_sweep(folder):
        what = "the folder is not empty and holds no sweep."
        raise RunFolderError(what, where=f"--out {folder}", fix="Choose another --out.")
    if different := plan.differences(read_sweep(folder).plan):
        what = f"the folder holds a sweep with other settings: {'; '.join(different)}."
        fix = f"Choose another --out; `latens sweep {folder}` goes on with the one that is there."
        raise UsageError(what, where=f"--out {folder}", fix=fix)
    return True


class Sweep(Struct, frozen=True, forbid_unknown_fields=True):
    """What sweep.json holds."""

    format: str
    format_version: int  # the version of this format
    command: list[str]  # the command as first typed
    folder: str  # the folder in which it was typed
    threads: int  # XLA's threads, on which last bits depend
    plan: Plan
    data: dict[str, Any]  # name and fingerprint of the data, and the number of rows that are measured
    result: dict[str, Any] | None = None  # the table, once every run is there


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep."""
    try:
        return read_sweep(folder).format == SWEEP_FORMAT
    except LatensError:
        return False


def read_sweep(folder: Path) -> Sweep:
    """Read the sweep.json of a folder."""
    fix = "Check the path; `latens sweep DATA --set OPTION=A,B --out FOLDER` makes one."
    found = typed(_object(folder / FILE, fix), Sweep, where=f"{folder / FILE}, ", error=RunFolderError, fix=fix)
    if found.format != SWEEP_FORMAT or found.format_version > FORMAT_VERSION:
        raise RunFolderError("written by something else, or by a newer latens.", where=str(folder / FILE), fix=fix)
    return found


def write_sweep(folder: Path, sweep: Sweep) -> None:
    """Write sweep.json."""
    with resource_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / FILE, to_json(msgspec.to_builtins(sweep), indent=2) + b"\n")


def read_rows(job: Job) -> dict[str, Any]:
    """Read what was found of a run."""
    return _object(job.rows, "Remove it: it is measured again.")


def write_rows(job: Job, found: Mapping[str, Any]) -> None:
    """Write what was found of a run."""
    write_atomic(job.rows, to_json(dict(found)) + b"\n")


def _object(path: Path, fix: str) -> dict[str, Any]:
    with resource_errors(path):
        try:
            text = read_plain(path, most=_MOST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            raise RunFolderError("there is no such file.", where=str(path), fix=fix) from None
    value = parse_json_strict(text, max_bytes=_MOST_BYTES, error=RunFolderError, where=str(path), fix=fix)
    if not isinstance(value, dict):
        raise RunFolderError("this is no JSON object.", where=str(path), fix=fix)
    return value


def _range(seeds: Sequence[int]) -> str:
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
