"""The runs of a sweep in this process, one after the other, each by the path of `latens fit` or `latens resume`."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.cli.arguments import parse
from latens.cli.context import Context
from latens.cli.fit import fit_into, load_typed, read_files, start_of
from latens.cli.resume import resume_into
from latens.errors import DataError, DivergedError, RunFolderError
from latens.io.atomic import resource_errors
from latens.io.lock import Lock, holder_of
from latens.runs.folder import RunFolder
from latens.runs.sweep import VALIDATION, Job, Plan, Sweep, write_rows

if TYPE_CHECKING:  # jax is imported only where something is trained
    from latens.data import Dataset
    from latens.workflow.sweep import SweptRun
else:
    Dataset = SweptRun = Any

_POLL = 0.3


class Runs:
    """The runs of a sweep, as far as no other process has them."""

    # `data`: The data, where they are in memory already.

    def __init__(self, context: Context, folder: Path, sweep: Sweep, data: Dataset | None) -> None:
        self.context, self.folder, self.sweep, self.plan = context, folder, sweep, sweep.plan
        self._data = data

    def finish(self) -> None:
        """Train and measure what is left; what other processes have is waited for."""
        from latens.workflow.sweep import pending

        waiting = False
        while jobs := pending(self.plan, self.folder):
            taken = [self._take(job) for job in jobs]
            if any(taken):
                continue
            if not waiting:
                self.context.say(f"waiting for {jobs[0].title}, which another process trains")
            waiting = True
            time.sleep(_POLL)

    def _take(self, job: Job) -> bool:
        """Train and measure one run; False where another process has it."""
        if job.rows.exists():
            return True
        with resource_errors(job.found):
            job.found.mkdir(parents=True, exist_ok=True)
        path = job.found / "lock"
        if holder_of(path) is not None:
            return False
        try:
            lock = Lock(path)
        except RunFolderError:
            if holder_of(path) is None:
                raise
            return False
        try:
            if job.rows.exists():
                return True
            began = time.monotonic()
            try:
                self._train(job)
                found = self._measured(job)
            except DivergedError as error:
                found = {"diverged": str(error)}
            write_rows(job, found)
        finally:
            lock.release()
        announce(self.context, self.folder, self.plan, job, time.monotonic() - began)
        return True

    def _train(self, job: Job) -> None:
        setting, run = self.plan.chosen[job.setting], job.run
        words = fit_words(self.plan, setting, job.seed, run, job.budget)
        begun = (run / "run.json").exists()
        if begun and (run / "config.json").exists():
            former = RunFolder.open(run, lock=False)
            reached = self.plan.budget is None or former.config["training"][self.plan.budget] == job.budget
            if former.info["state"] == "done" and former.model_file.exists() and reached:
                return
            words = ["resume", str(run), *budget_words(self.plan, job.budget)]
        child = command_within(self.context, words)
        try:
            if child.args.command == "resume":
                resume_into(child)
            else:
                child.args.force = begun  # killed as it began
                fit_into(child, run, self.data)
        except BaseException:
            self.context.log, self.context.stopped = child.log, child.stopped
            raise

    @property
    def data(self) -> Dataset:
        """The data of all runs, loaded once."""
        if self._data is None:
            args = command_within(self.context, ["fit", *self.plan.fit]).args
            self._data = load_typed(args, start_of(args))
        if self._data.fingerprint != self.sweep.data["fingerprint"]:
            fix = "Bring the old data back, or begin a sweep in another folder."
            raise DataError("the data have changed since the sweep began.", where=self._data.name, fix=fix)
        return self._data

    def _measured(self, job: Job) -> dict[str, Any]:
        """The numbers of a run on the validation rows, as `latens compare` has them of test rows."""
        from latens.data.rows import MEASURED, every_nth
        from latens.workflow.compare import per_row, scored
        from latens.workflow.experiment import as_split
        from latens.workflow.trained import TrainedModel, model_file

        trained = TrainedModel.load(model_file(str(job.run)))
        assert trained.config is not None
        data = as_split(trained.config, self.data)
        positions = every_nth(data.subset("validation"), MEASURED)
        draws = command_within(self.context, ["fit", *self.plan.fit]).args.num_samples or 100
        rows = per_row(trained, data, positions, draws, 0)
        weight = None if data.weight is None else data.weight[scored(data, positions, rows)].tolist()
        about = {name: getattr(rows, name) for name in ("name", "num_samples", "what", "protocol", "unit", "at_least")}
        about["draws_error"] = None if math.isinf(rows.draws_error or 0.0) else rows.draws_error
        return {**about, "rows": rows.rows.tolist(), "weight": weight}


def fit_words(plan: Plan, setting: Mapping[str, str], seed: int, out: Path | None, budget: float | None) -> list[str]:
    """Write the `latens fit` that a run of a sweep is."""
    words = ["fit", *plan.fit]
    for name, value in setting.items():
        words += ["--set", f"{name}={value}"]
    words += ["--seed", str(seed), *budget_words(plan, budget)]
    return [*words, *([] if out is None else ["--out", str(out)])]


def budget_words(plan: Plan, budget: float | None) -> list[str]:
    """Write a budget as a flag."""
    return [] if budget is None else [f"--{plan.budget}", str(int(budget) if budget == int(budget) else budget)]


def command_within(context: Context, words: list[str]) -> Context:
    """Make the call of another command within this one, which says nothing but warnings."""
    argv = [*words, *(word for path in context.args.imports for word in ("--import", path))]
    child = Context(parse([*argv, "--quiet"]), argv, signals=context.signals)
    if child.args.command == "fit":
        read_files(child.args)
    return child


def announce(context: Context, folder: Path, plan: Plan, job: Job, seconds: float | None = None) -> None:
    """Say that a run is done, which it is, with its number."""
    # seconds: how long it took; None where that is not known.
    from latens.workflow.sweep import read_run

    run: SweptRun = read_run(job)
    alive, total = len(plan.chosen), 0
    for _ in plan.budgets or [None]:
        total, alive = total + alive * len(plan.seeds), -(-alive // 2)
    done = len(list((folder / VALIDATION).glob("*/*/rows.json")))
    value = "diverged" if run.estimate is None else str(run.estimate)
    took = "" if seconds is None else f" ({seconds:.1f} s)"
    context.say(f"  {done} of {total}  {job.title}: {value}{took}")
