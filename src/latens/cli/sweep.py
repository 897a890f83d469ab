"""`latens sweep`: one training for each setting and seed, in one folder, and which setting is best."""

import argparse
import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.cli.arguments import subparsers
from latens.cli.context import Context
from latens.cli.fit import config_typed, load_typed, new_experiment, read_files, settings_of, start_of
from latens.cli.processes import stay
from latens.cli.sweep_runs import Runs, command_within, fit_words
from latens.cli.sweep_workers import WORKER, run_workers, stop_with_parent
from latens.errors import ConfigError, RunFolderError, UsageError
from latens.io.places import MOST, THREADS, threads
from latens.io.signals import Stopped
from latens.runs.folder import default_path
from latens.runs.sweep import (
    FORMAT_VERSION,
    SWEEP_FORMAT,
    Plan,
    Sweep,
    is_sweep,
    names_of,
    new_plan_refused,
    read_sweep,
    write_sweep,
)

if TYPE_CHECKING:  # jax is imported only where something is trained
    from latens.data import Dataset
    from latens.workflow.experiment import Experiment
else:
    Dataset = Experiment = Any

_FREE = ("workers", "json", "quiet", "debug", "imports", "data", "command", "version", "help", "dry_run")
"""What may differ where a sweep goes on."""


def sweep(context: Context) -> int:
    """Train every setting with every seed, and say which setting is best on validation rows."""
    args = context.args
    if is_sweep(Path(args.data)):
        return _go_on(context, Path(args.data))
    folder = Path(args.out) if args.out else default_path(args.data, "sweep")
    if is_sweep(folder):
        _same_threads(read_sweep(folder))
    data, plan, experiments = _planned(context)
    there = new_plan_refused(folder, plan)
    if args.dry_run:
        return _would(context, folder, plan)
    if not there:
        about = {"name": data.name, "fingerprint": data.fingerprint, "rows": len(_validation(experiments[0]))}
        command = ["latens", *context.argv]
        new = Sweep(SWEEP_FORMAT, FORMAT_VERSION, command, str(Path.cwd()), threads(), plan, about)
        write_sweep(folder, new)
    return _train(context, folder, data)


def _go_on(context: Context, folder: Path) -> int:
    """A sweep that is in a folder: what is left of it is trained."""
    args = context.args
    parser = subparsers()["sweep"]
    given = [a for a in parser._actions if a.dest not in _FREE and getattr(args, a.dest) != a.default]
    if given:
        what = f"{folder} holds a sweep, of which the settings stand."
        fix = f"Leave it out: `latens sweep {shlex.quote(str(folder))}` goes on; or name data, and another --out."
        raise UsageError(what, where=given[0].option_strings[0], fix=fix)
    found = read_sweep(folder)
    if args.dry_run:
        return _would(context, folder, found.plan)
    _same_threads(found)
    if WORKER in os.environ:
        stay()
        stop_with_parent()
    return _train(context, folder, None)


def _same_threads(found: Sweep) -> None:
    """Let XLA cut its work as it did when the sweep began, on whatever cores: its bits are promised."""
    if 1 <= found.threads <= MOST and "jax" not in sys.modules:
        os.environ.setdefault(THREADS, str(found.threads))


def _planned(context: Context) -> tuple[Dataset, Plan, list[Experiment]]:
    """The data and the plan, after everything that can be refused before a run begins was."""
    from latens.cli.grid import plan_of, words_of

    args = context.args
    words = words_of(args)
    read_files(args)
    start = start_of(args)
    settings = settings_of(argparse.Namespace(**{**vars(args), "set": []}))
    plan = plan_of(args, words, config_typed(args, settings, start))
    data = load_typed(args, start)
    return data, plan, _experiments(context, plan, data)


def _experiments(context: Context, plan: Plan, data: Dataset) -> list[Experiment]:
    """What each setting comes to on the data: refused here, not after hours."""
    import numpy as np

    from latens.workflow.measurement import density_of
    from latens.workflow.sample_sets import has_likelihood

    found: list[Experiment] = []
    for setting in plan.chosen:
        words = fit_words(plan, setting, plan.seeds[0], None, plan.budgets[0] if plan.budgets else None)
        child = command_within(context, words)
        experiment = new_experiment(child, settings_of(child.args), data)
        said = ", ".join(f"{name}={value}" for name, value in setting.items())
        _refuse_rows(experiment, said)
        trained = experiment.trained(None)
        if not has_likelihood(trained):
            what = "a model without a likelihood has no number for each row, by which settings are compared."
            fix = "`latens fit` trains one; `latens evaluate` compares its samples with rows."
            raise ConfigError(what, where=f"--recipe {experiment.config.recipe}", fix=fix)
        if found:
            first = found[0]
            same_rows = np.array_equal(_validation(first), _validation(experiment))
            if not same_rows or density_of(first.trained(None)) != density_of(trained):
                what = "this setting is of other validation rows, or of another density of them, than the first."
                fix = "Let settings differ that leave the rows and what is seen of them alone, not data.*"
                raise ConfigError(what, where=f"--set {said}", fix=f"{fix}.")
        found.append(experiment)
    return found


def _refuse_rows(experiment: Experiment, said: str) -> None:
    if experiment.config.data.validation == "split" and len(experiment.data.subset("validation")):
        return
    what = "the best setting is chosen on validation rows, never on test rows, and there are none."
    if experiment.config.data.validation == "test":
        what = "the best setting is chosen on validation rows, and data.validation=test makes those the test rows."
    where = f"--set {said}" if said else experiment.data.name
    raise ConfigError(what, where=where, fix="Use --set data.validation=split, with data that have such rows.")


def _validation(experiment: Experiment) -> Any:
    from latens.data.rows import MEASURED, every_nth

    return every_nth(experiment.data.subset("validation"), MEASURED)


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
    with _in_folder(found.folder):
        if WORKER in os.environ:
            try:
                Runs(context, folder, found, data).finish()
            except Stopped as stop:  # who looks after the workers says so
                return stop.exit_code
            return 0
        if found.result is None:
            began = time.monotonic()
            context.say(
                f"{_size(found.plan)}, measured on {found.data['rows']} validation rows of {found.data['name']}"
            )
            if (context.args.workers or 1) > 1:
                run_workers(context, folder, found.plan)
            else:
                Runs(context, folder, found, data).finish()
            context.say(f"trained in {time.monotonic() - began:.0f} s")
    return _close(context, folder, found)


@contextlib.contextmanager
def _in_folder(place: str) -> Iterator[None]:
    """Work in the folder in which the sweep was typed, from which its data are named."""
    if not Path(place).is_dir():
        what = "the folder in which the sweep was begun is gone, and its data are named from there."
        raise RunFolderError(what, where=place, fix="Bring it back, or begin the sweep anew.")
    with contextlib.chdir(place):
        yield


def _close(context: Context, folder: Path, found: Sweep) -> int:
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
    words = words_of_table(result, found)
    files = ", ".join(["sweep.json", *written])
    context.result(
        {"sweep": str(folder), **value, "data": found.data, "files": [str(folder / name) for name in written],
         "next": following},
        words,
    )  # fmt: skip
    context.say(f"{result.protocol}; seed 0 for every run\n{shown}: {files}\nnext: {following}")
    return 0
