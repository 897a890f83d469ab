"""`latens sweep`: an Optuna study whose trials are run folders, shared by any number of processes over one journal."""

import argparse
import inspect
import os
import re
import shlex
import socket
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.cli.arguments import parse
from latens.cli.context import Context
from latens.cli.fit import config_typed, fit_into, load_typed, read_files, settings_of, start_of
from latens.errors import ConfigError, DivergedError, RunFolderError, UsageError, nearest
from latens.runs.folder import default_path
from latens.runtime.atomic import process_alive, resource_errors
from latens.runtime.terminal import with_record

if TYPE_CHECKING:  # jax and Optuna are imported only where something is trained
    from optuna import Study, Trial  # pyright: ignore[reportMissingImports]
    from optuna.trial import FrozenTrial  # pyright: ignore[reportMissingImports]

    from latens.training import Event

_FREE = ("out", "dry_run", "json", "quiet", "debug", "imports", "trials", "sampler", "pruner")
"""What may differ where a sweep goes on."""

_STATES = {"COMPLETE": "measured", "PRUNED": "pruned", "FAIL": "diverged", "RUNNING": "trained by other processes"}


def sweep(context: Context) -> int:
    """Train trials until there are as many as asked for, and put them against each other."""
    from latens.trained.paired import load_sweep, study_of

    args = context.args
    read_files(args)
    fixed, space = space_of(args)
    folder = Path(args.out) if args.out else default_path(args.data, "sweep")
    plan = {name: str(value) for name, value in vars(args).items() if name not in _FREE}
    made = {"sampler": _named("sampler", args.sampler, 0), "pruner": _named("pruner", args.pruner)}
    if args.dry_run:
        context.say(f"would train {args.trials} trials of {args.seeds} seeds into {folder}; nothing was written")
        context.result({"dry_run": True, "sweep": str(folder), "trials": args.trials, "set": args.set})
        return 0
    with resource_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    study = study_of(folder, **made)
    former = study.user_attrs.get("plan", plan)
    if differing := [name for name in plan if former.get(name) != plan[name]]:
        name = differing[0]
        what = f"the folder holds a sweep with {name} {former.get(name)}, not {plan[name]}."
        raise RunFolderError(what, where=f"--out {folder}", fix="Choose another --out.")
    study.set_user_attr("plan", plan)
    context.again = shlex.join(["latens", *context.argv, *([] if args.out else ["--out", str(folder)])])
    trials = Trials(context, folder, study, fixed, space)
    trials.train()
    found, states = load_sweep(folder), [trial.state.name for trial in trials.counted()]
    counts = ", ".join(f"{states.count(state)} {word}" for state, word in _STATES.items() if state in states)
    best = folder / found.models[0].name / f"seed={min(found.models[0].runs)}"
    plain = [f"{found.models[0].name} is the best of {len(states)} trials on validation rows ({counts})."]
    plain += [f"Next: latens evaluate {shlex.quote(str(best))}"]
    context.result({"sweep": str(folder), **found.to_json(), "states": states}, with_record(plain, found.table()))
    return 0


class Trials:
    """The trials of a study, as far as this process trains them."""

    def __init__(
        self, context: Context, folder: Path, study: "Study", fixed: Mapping[str, Any], space: Mapping[str, Any]
    ) -> None:
        self.context, self.folder, self.study, self.fixed, self.space = context, folder, study, fixed, space
        self.data = load_typed(context.args, start_of(context.args))

    def train(self) -> None:
        """Train until there are as many trials as asked for, those of other processes counted."""
        self._retry()
        if len(self.counted()) < self.context.args.trials:
            self.study.optimize(self._one, callbacks=[self._after], catch=DivergedError)

    def _after(self, study: "Study", trial: "FrozenTrial") -> None:
        """Tell of a trial, and stop where it was the last one."""
        told = ", ".join(f"{name}={value}" for name, value in trial.params.items())
        self.context.say(f"  trial {trial.number}: {told}: {_STATES[trial.state.name]} {trial.value or ''}".rstrip())
        self._retry()
        if len(self.counted()) >= self.context.args.trials:
            study.stop()

    def _retry(self) -> None:
        """Train again what a process of this machine was at that is gone."""
        from optuna.trial import TrialState  # pyright: ignore[reportMissingImports]

        for trial in self.counted():
            host, _, process = trial.user_attrs.get("process", ":").rpartition(":")
            if trial.state.name == "RUNNING" and host == socket.gethostname() and not process_alive(int(process)):
                self._leave_out(trial)
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _leave_out(self, trial: "FrozenTrial | Trial") -> None:
        """Count a trial for nothing, and have another one take its place."""
        self.study.set_user_attr(f"left out {trial.number}", True)
        self.study.enqueue_trial(dict(trial.params))

    def counted(self) -> list[Any]:
        """The trials that count: of all processes, without those that were killed."""
        left_out, every = self.study.user_attrs, self.study.get_trials(deepcopy=False)
        return [each for each in every if f"left out {each.number}" not in left_out and each.state.name != "WAITING"]

    def _one(self, trial: "Trial") -> float:
        """Train a trial with each seed: the mean of their numbers."""
        from latens.trained.paired import TRIAL, measured, optuna
        from latens.training import Interrupted

        args, found = self.context.args, {}
        trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")
        if sum(each.number < trial.number for each in self.counted()) >= args.trials:  # another process was faster
            self.study.set_user_attr(f"left out {trial.number}", True)
            raise optuna().TrialPruned
        first = args.seed or 0
        # A sampler of its own for each trial: two processes never draw the same numbers.
        self.study.sampler = _named("sampler", args.sampler, first + trial.number)
        for name, (kind, values, options) in self.space.items():
            getattr(trial, kind)(name, *values, **options)
        for seed in range(first, first + args.seeds):
            run = self.folder / TRIAL.format(trial.number) / f"seed={seed}"
            child = self._command({**self.fixed, **trial.params}, seed, run)
            child.callbacks = [pruning(trial)] if seed == first else []
            try:
                fit_into(child, run, self.data)
                metric, found[str(seed)] = measured(run, self.data, args.num_samples or 100)
            except Interrupted as stop:
                if stop.reason == "pruned":
                    raise optuna().TrialPruned from None
                raise
            except KeyboardInterrupt:
                self._leave_out(trial)
                raise
            trial.set_user_attr("metric", metric)
        trial.set_user_attr("seeds", found)
        return sum(fields["value"] for fields in found.values()) / args.seeds

    def _command(self, settings: dict[str, Any], seed: int, run: Path) -> Context:
        """The `latens fit` of a trial, refused where its number would not be one of rows that only validate."""
        args, typed = self.context.args, vars(parse(["fit", str(self.context.args.data)]))
        own = {"recipe": settings.get("recipe", args.recipe), "seed": seed, "out": str(run), "command": "fit"}
        own |= {"set": [f"{name}={one}" for name, one in settings.items() if name != "recipe"]}
        own |= {"quiet": True, "json": False, "dry_run": False}
        given = {name: getattr(args, name, value) for name, value in typed.items()}
        child = Context(argparse.Namespace(**given | own), self.context.argv, signals=self.context.signals)
        config = config_typed(child.args, settings_of(child.args), start_of(child.args))
        if config.data.validation != "split" or getattr(config.training, "final", "best") == "all":
            what = "the best trial is chosen on validation rows, which neither train nor test."
            raise ConfigError(what, where="--set", fix="Use data.validation=split, and training.final in a last fit.")
        return child


def pruning(trial: "Trial") -> Callable[[Any], str | None]:
    """The callback that reports the validation bound of each epoch, and stops a trial that Optuna prunes."""
    from latens.training import Pause

    seen = [-1]

    def report(event: "Event") -> str | None:
        value, epoch = event.record.get(f"validation_{event.monitor}"), round(event.record.get("epoch", 0))
        if event.kind == "epoch" and value is not None and epoch > seen[-1]:
            seen.append(epoch)
            trial.report(value, epoch)
        return Pause("pruned") if event.kind == "boundary" and len(seen) > 1 and trial.should_prune() else None

    return report


def space_of(args: argparse.Namespace) -> tuple[dict[str, str], dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]]]:
    """The options with one value, and of each other one how Optuna suggests its value: method, values, options."""
    fixed, space = {}, {}
    for text in args.set:
        name, equals, value = (part.strip() for part in text.partition("="))
        fix = "Write each once: NAME=VALUE, NAME=A,B, or NAME=LOW..HIGH with 0 < LOW < HIGH for :log; seeds by --seeds."
        if not equals or not name or name in fixed or name in space or name == "training.seed":
            raise UsageError("a sweep has no such option, or it is given twice.", where=f"--set {text}", fix=fix)
        values = [part.strip() for part in re.split(r",(?![^\[]*\])", value)]
        ends, _, log = value.partition(":")
        low, dots, high = ends.partition("..")
        if dots:
            whole = low.isdecimal() and high.isdecimal()
            try:
                numbers = tuple((int if whole else float)(end) for end in (low, high))
            except ValueError:
                raise UsageError("the ends of a range are numbers.", where=f"--set {text}", fix=fix) from None
            if log not in ("", "log") or not numbers[0] < numbers[1] or (log and numbers[0] <= 0):
                raise UsageError("this is not a range.", where=f"--set {text}", fix=fix)
            space[name] = ("suggest_int" if whole else "suggest_float", numbers, {"log": bool(log)})
        elif len(values) > 1:
            space[name] = ("suggest_categorical", (values,), {})
        else:
            fixed[name] = value
    if not space and args.seeds < 2:
        fix = "Give an option several values, as --set objective.beta=0.5..4:log, or --seeds N."
        raise UsageError("one setting with one seed is one run.", where="--set", fix=fix)
    return fixed, space


def _named(kind: str, name: str, seed: int | None = None) -> Any:
    """A sampler or pruner by Optuna's name of it."""
    from latens.trained.paired import optuna

    module = getattr(optuna(), f"{kind}s")
    names = [one for one in module.__all__ if one.endswith(kind.capitalize()) and not one.startswith("Base")]
    if name not in names:
        raise UsageError(f"Optuna has no {kind} {name!r}.", where=f"--{kind}", fix=nearest(name, names))
    made = getattr(module, name)
    try:
        with warnings.catch_warnings(action="ignore"):  # Optuna says of some that they are experimental
            return made(seed=seed) if "seed" in inspect.signature(made).parameters else made()
    except TypeError:
        fix = "Use one without, such as BruteForceSampler or MedianPruner; or optuna.create_study in Python."
        raise UsageError(f"{name} needs arguments.", where=f"--{kind}", fix=fix) from None
