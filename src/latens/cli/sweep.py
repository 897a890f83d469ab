"""`latens sweep`: one training for each setting and seed, in one folder, and which setting is best."""

import argparse
import contextlib
import math
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.cli.arguments import parse, subparsers
from latens.cli.context import Context
from latens.cli.fit import config_typed, fit_into, load_typed, new_experiment, read_files, settings_of, start_of
from latens.cli.processes import same_threads, shares, started, stay
from latens.cli.resume import resume_into
from latens.errors import ConfigError, DataError, DivergedError, PeerError, RunFolderError, UsageError
from latens.io.atomic import resource_errors
from latens.io.lock import Lock, holder_of
from latens.io.places import THREADS, threads
from latens.io.signals import HANDLED, Stopped
from latens.runs.folder import RunFolder, default_path
from latens.runs.sweep import (
    FORMAT_VERSION,
    SWEEP_FORMAT,
    VALIDATION,
    Job,
    Plan,
    Sweep,
    is_sweep,
    names_of,
    new_plan_refused,
    read_sweep,
    write_rows,
    write_sweep,
)

if TYPE_CHECKING:  # jax is imported only where something is trained
    from latens.data import Dataset
else:
    Dataset = Any

_FREE = ("workers", "json", "quiet", "debug", "imports", "data", "command", "version", "help", "dry_run", "format")
"""What may differ where a sweep goes on."""

WORKER = "LATENS_SWEEP_WORKER"
"""The variable by which a process knows that it is a worker; it holds the number of the process that looks after it."""

_POLL, _GRACE = 0.1, 8.0
"""Seconds between looks, and those in which workers may write checkpoints before they are killed."""


def sweep(context: Context) -> int:
    """Train every setting with every seed, and say which setting is best on validation rows."""
    args = context.args
    if is_sweep(Path(args.data)):
        return _go_on(context, Path(args.data))
    folder = Path(args.out) if args.out else default_path(args.data, "sweep")
    if is_sweep(folder):
        same_threads(read_sweep(folder).threads)
    data, plan, rows = _planned(context)
    there = new_plan_refused(folder, plan)
    if args.dry_run:
        return _would(context, folder, plan)
    if not there:
        about = {"name": data.name, "fingerprint": data.fingerprint, "rows": rows}
        typed = ["latens", *context.argv]
        write_sweep(folder, Sweep(SWEEP_FORMAT, FORMAT_VERSION, typed, str(Path.cwd()), threads(), plan, about))
    return _train(context, folder, data)


def _go_on(context: Context, folder: Path) -> int:
    """A sweep that is in a folder: what is left of it is trained."""
    args, actions = context.args, subparsers()["sweep"]._actions
    given = [a for a in actions if a.dest not in _FREE and getattr(args, a.dest) != a.default]
    if given:
        what = f"{folder} holds a sweep, of which the settings stand."
        fix = f"Leave it out: `latens sweep {shlex.quote(str(folder))}` goes on; or name data, and another --out."
        raise UsageError(what, where=given[0].option_strings[0], fix=fix)
    found = read_sweep(folder)
    if args.dry_run:
        return _would(context, folder, found.plan)
    same_threads(found.threads)
    if WORKER in os.environ:
        stay()
        stop_with_parent()
    return _train(context, folder, None)


def _planned(context: Context) -> tuple[Dataset, Plan, int]:
    """The data, the plan and how many rows are measured, after everything was refused that can be before a run."""
    from latens.cli.grid import plan_of, words_of

    args = context.args
    words = words_of(args)
    read_files(args)
    start = start_of(args)
    settings = settings_of(argparse.Namespace(**{**vars(args), "set": []}))
    plan = plan_of(args, words, config_typed(args, settings, start))
    data = load_typed(args, start)
    seen = [_seen(context, plan, setting, data) for setting in plan.chosen]
    other = next((setting for setting, each in zip(plan.chosen, seen) if each != seen[0]), None)
    if other is not None:
        what = "this setting is of other validation rows, or of another density of them, than the first."
        fix = "Let settings differ that leave the rows and what is seen of them alone, not data.*."
        raise ConfigError(what, where=f"--set {_said(other)}", fix=fix)
    return data, plan, len(seen[0][0])


def _said(setting: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in setting.items())


def _seen(context: Context, plan: Plan, setting: Mapping[str, str], data: Dataset) -> tuple[list[int], Any]:
    """The rows that a setting is measured on, and what density of them; refused here, not after hours."""
    from latens.data.rows import MEASURED, every_nth
    from latens.workflow.inputs import has_likelihood
    from latens.workflow.measurement import density_of

    child = command_within(context, fit_words(plan, setting, plan.seeds[0], None, (plan.budgets or [None])[0]))
    experiment = new_experiment(child, settings_of(child.args), data)
    config, rows = experiment.config, experiment.data.subset("validation")
    if experiment.again:
        what = "the best setting is chosen on validation rows, and training.final=all trains on these."
        raise ConfigError(what, where="training.final", fix="Leave it out, and give it to a last `latens fit`.")
    if config.data.validation != "split" or not len(rows):
        what = "the best setting is chosen on validation rows, never on test rows, and there are none."
        if config.data.validation == "test":
            what = "the best setting is chosen on validation rows, and data.validation=test makes those the test rows."
        where, fix = f"--set {_said(setting)}" if setting else experiment.data.name, "Use --set data.validation=split"
        raise ConfigError(what, where=where, fix=f"{fix}, with data that have such rows.")
    trained = experiment.trained(None)
    if not has_likelihood(trained):
        what = "a model without a likelihood has no number for each row, by which settings are compared."
        fix = "`latens fit` trains one; `latens evaluate` compares its samples with rows."
        raise ConfigError(what, where=f"--recipe {config.recipe}", fix=fix)
    return every_nth(rows, MEASURED).tolist(), density_of(trained)


def _would(context: Context, folder: Path, plan: Plan) -> int:
    """Say what would be trained."""
    from latens.workflow.sweep import pending

    names, left = names_of(plan), len(pending(plan, folder))
    context.say(f"would train into {folder}: {_size(plan)}; nothing was written")
    words = [shlex.join(["latens", *fit_words(plan, s, plan.seeds[0], None, None)]) for s in plan.chosen]
    value = {"dry_run": True, "sweep": str(folder), "settings": names, "seeds": plan.seeds, "left": left}
    context.result({**value, "budgets": plan.budgets, "commands": words}, "\n".join(names))
    return 0


def _size(plan: Plan) -> str:
    settings, seeds = len(plan.chosen), len(plan.seeds)
    parts = [f"{settings} setting{'s' * (settings > 1)}", f"{seeds} seed{'s' * (seeds > 1)}"]
    if not plan.budgets:
        return f"{' x '.join(parts)}, {settings * seeds} runs"
    return f"{' x '.join(parts)}; {plan.budget} {', '.join(f'{budget:g}' for budget in plan.budgets)}, halved each time"


def _train(context: Context, folder: Path, data: Dataset | None) -> int:
    """Train what is left, here or by workers; then put the settings against each other."""
    found = read_sweep(folder)
    context.again = f"latens sweep {shlex.quote(str(folder))}"
    folder = folder.resolve()
    if not Path(found.folder).is_dir():
        what = "the folder in which the sweep was begun is gone, and its data are named from there."
        raise RunFolderError(what, where=found.folder, fix="Bring it back, or begin the sweep anew.")
    with contextlib.chdir(found.folder):
        if WORKER in os.environ:
            try:
                Runs(context, folder, found, data).finish()
            except Stopped as stop:  # who looks after the workers says so
                return stop.exit_code
            return 0
        if found.result is None:
            began = time.monotonic()
            rows = f"{found.data['rows']} validation rows of {found.data['name']}"
            context.say(f"{_size(found.plan)}, measured on {rows}")
            if (context.args.workers or 1) > 1:
                run_workers(context, folder, found.plan)
            else:
                Runs(context, folder, found, data).finish()
            context.say(f"trained in {time.monotonic() - began:.0f} s")
    return _close(context, folder, found)


def _close(context: Context, folder: Path, found: Sweep) -> int:
    args = context.args
    from msgspec import structs

    from latens.cli.sweep_table import save_table, words_of_table
    from latens.workflow.sweep import swept

    result = swept(found.plan, folder)
    value = result.to_json(folder)
    written = save_table(result, folder)
    write_sweep(folder, structs.replace(found, result=value))
    best = result.settings[0]
    shown = Path(os.path.relpath(folder)) if folder.is_relative_to(Path.cwd()) else folder
    following = f"latens evaluate {shlex.quote(str(shown / best.best_run.relative_to(folder)))}"
    told = {"sweep": str(folder), **value, "data": found.data, "files": [str(folder / name) for name in written]}
    text = words_of_table(result, found) if args.format == "text" else result.table(args.format)
    context.result({**told, "next": following}, text)
    files = ", ".join(["sweep.json", *written])
    context.say(f"{result.protocol}; seed 0 for every run\n{shown}: {files}\nnext: {following}")
    return 0


# --- the runs, in this process ---


class Runs:
    """The runs of a sweep, as far as no other process has them."""

    def __init__(self, context: Context, folder: Path, sweep: Sweep, data: Dataset | None) -> None:
        self.context, self.folder, self.sweep, self.plan = context, folder, sweep, sweep.plan
        self._data = data  # where they are in memory already

    def finish(self) -> None:
        """Train and measure what is left; what other processes have is waited for."""
        from latens.workflow.sweep import pending

        waiting = False
        while jobs := pending(self.plan, self.folder):
            if any(self._take(job) for job in jobs):
                continue
            if not waiting:
                self.context.say(f"waiting for {jobs[0].title}, which another process trains")
            waiting = True
            time.sleep(3 * _POLL)

    def _take(self, job: Job) -> bool:
        """Train and measure one run; False where another process has it."""
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
        with contextlib.ExitStack() as stack:
            stack.callback(lock.release)
            if job.rows.exists():
                return True
            began = time.monotonic()
            try:
                self._train(job)
                found = self._measured(job)
            except DivergedError as error:
                found = {"diverged": str(error)}
            write_rows(job, found)
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
            self._data = load_typed(self._shared, start_of(self._shared))
        if self._data.fingerprint != self.sweep.data["fingerprint"]:
            fix = "Bring the old data back, or begin a sweep in another folder."
            raise DataError("the data have changed since the sweep began.", where=self._data.name, fix=fix)
        return self._data

    @property
    def _shared(self) -> argparse.Namespace:
        """What all runs are given."""
        return command_within(self.context, ["fit", *self.plan.fit]).args

    def _measured(self, job: Job) -> dict[str, Any]:
        """The numbers of a run on the validation rows, as `latens compare` has them of test rows."""
        from latens.data.rows import MEASURED, every_nth
        from latens.workflow.compare import per_row, scored
        from latens.workflow.experiment import as_split
        from latens.workflow.inputs import model_file
        from latens.workflow.trained import TrainedModel

        trained = TrainedModel.load(model_file(str(job.run)))
        assert trained.config is not None
        data = as_split(trained.config, self.data)
        positions = every_nth(data.subset("validation"), MEASURED)
        found = per_row(trained, data, positions, self._shared.num_samples or 100, 0)
        weight = None if data.weight is None else data.weight[scored(data, positions, found)].tolist()
        error = None if math.isinf(found.draws_error or 0.0) else found.draws_error  # JSON has no infinity
        return {**vars(found), "draws_error": error, "rows": found.rows.tolist(), "weight": weight}


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

    run = read_run(job)
    alive, total = len(plan.chosen), 0
    for _ in plan.budgets or [None]:
        total, alive = total + alive * len(plan.seeds), -(-alive // 2)
    done = len(list((folder / VALIDATION).glob("*/*/rows.json")))
    value = "diverged" if run.estimate is None else str(run.estimate)
    took = "" if seconds is None else f" ({seconds:.1f} s)"
    context.say(f"  {done} of {total}  {job.title}: {value}{took}")


# --- by workers ---


def run_workers(context: Context, folder: Path, plan: Plan) -> None:
    """Start processes of this machine that share the runs, and end when they have ended."""
    # They need no word from one another: a run that is left is trained by who gets its lock first.
    given = shares(context.args.workers, "--workers")
    imports = [word for path in context.args.imports for word in ("--import", path)]
    words = [sys.executable, "-m", "latens.cli.main", "sweep", str(folder), "--quiet", *imports]
    common = {WORKER: str(os.getpid()), THREADS: str(threads())}  # the threads of one process: bits depend on them
    quiet = [(subprocess.DEVNULL, None)] * len(given)
    with started(context, words, [common | share for share in given], quiet, _GRACE) as children:
        _wait(context, children, folder, plan)
    context.signals.check()
    failed = [child.returncode for child in children if child.returncode != 0]
    if failed:
        code = next((code for code in failed if code > 0), failed[0])  # a word before a kill of ours
        number = [child.returncode for child in children].index(code)
        error = PeerError(f"worker {number} ended with exit code {code if code > 0 else 128 - code}.",
                          where="--workers", fix=f"Go on with `{context.again}`.")  # fmt: skip
        error.exit_code = code if code > 0 else 128 - code
        raise error


def _wait(context: Context, children: list[subprocess.Popen[Any]], folder: Path, plan: Plan) -> None:
    """Wait for the workers, or for the first that fails; runs are told as they are done."""
    from latens.workflow.sweep import rounds

    def done() -> list[Job]:
        return [job for jobs in rounds(plan, folder) for job in jobs if job.rows.exists()]

    told, handed, running = {job.rows for job in done()}, False, True
    while running:
        codes = [child.poll() for child in children]
        if context.signals.received is not None and not handed:
            handed = True
            for child in children:
                child.send_signal(context.signals.received)
        running = None in codes and (handed or not any(codes))
        for job in done():
            if job.rows not in told:
                told.add(job.rows)
                announce(context, folder, plan, job)
        time.sleep(_POLL if running else 0.0)


def stop_with_parent() -> None:
    """Stop this worker, as SIGTERM does, where the process that looks after it is gone."""
    parent = int(os.environ[WORKER])

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), HANDLED[-1])

    threading.Thread(target=watch, name="latens-parent", daemon=True).start()
