"""`latens fit` and `latens resume`: from data, or from a checkpoint, to a measured model in a run folder."""

import contextlib
import importlib.util
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.callbacks.snapshots import snapshots_of
from latens.cli.context import Context
from latens.cli.dry_run import about, would_fit, would_resume
from latens.cli.reading import read_with, reading_options, source_of
from latens.cli.watching import live_page
from latens.errors import ConfigError, DataError, LatensError, UsageError
from latens.io.atomic import resource_errors
from latens.io.json import parse_json_strict
from latens.runs.folder import RunFolder, default_path
from latens.runs.ownership import remove_own

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.workflow.experiment import Experiment
else:
    Experiment = Any

log = logging.getLogger("latens.command")

_BUDGET = ("epochs", "steps", "minutes")
_MOST_BYTES = 8 << 20
_REMEMBERED = ("num_samples", "log")
"""What a resume does as the first command said, unless told otherwise."""


def fit(context: Context) -> int:
    """Train a model on data."""
    args = context.args
    stored_config(args)
    folder = Path(args.out) if args.out else default_path(args.data, args.recipe)
    if args.dry_run:
        return would_fit(context, folder, _new_experiment(context, settings_of(args)))
    fit_into(context, folder)
    assert context.log is not None
    _close(context, RunFolder.open(context.log.parent, lock=False))
    return 0


def fit_into(context: Context, folder: Path) -> Experiment:
    """Train into a new run folder; run.json and config.json are there before anything slow begins."""
    args = context.args
    settings = settings_of(args)
    if args.log == "tensorboard" and importlib.util.find_spec("tensorboardX") is None:
        fix = "pip install 'latens[tensorboard]'"
        raise ConfigError("tensorboardX is not installed.", where="--log tensorboard", fix=fix)
    # What --force throws away is thrown away only for a run that can begin.
    experiment = _new_experiment(context, settings) if args.force and folder.exists() else None
    fresh = [path for path in (folder, folder.parent) if not path.exists()]
    command, stored = ["latens", *context.argv], stored_config(args)
    unresolved = {"resolved": False, "recipe": args.recipe, "settings": settings}
    unresolved |= {} if stored is None else {"config": stored}
    source, options = source_of(vars(args)), {name: getattr(args, name) for name in _REMEMBERED}
    run = RunFolder.create(folder, command, unresolved, source, args.seed or 0, options=options, force=args.force)
    with run, _logged(context, run):
        try:
            experiment = experiment or _new_experiment(context, settings)
        except LatensError:
            # Nothing has been trained: a mistyped name leaves no folder behind that is then in the way.
            _forget(run, fresh)
            raise
        _train(context, run, experiment, resume=False)
    return experiment


def resume(context: Context) -> int:
    """Go on with a run that was stopped or killed."""
    path = context.args.run
    run = RunFolder.open(path, lock=False)
    if run.info["state"] == "done" and run.model_file.exists():
        context.say(f"{path} is finished already; nothing to do.")
        _close(context, run)
        return 0
    if context.args.dry_run:
        return would_resume(context, run)
    for name in _REMEMBERED:
        if getattr(context.args, name) is None:
            setattr(context.args, name, run.info.get("options", {}).get(name))
    with RunFolder.open(path) as run, _logged(context, run):
        if run.notice:
            context.say(run.notice)
        changed = run.differences()
        if changed:
            context.warn(f"not as when the run began, so its bits may differ: {', '.join(changed)}")
        run.set_state("running")
        _train(context, run, _stored_experiment(context, run), resume=True)
    assert context.log is not None
    _close(context, RunFolder.open(context.log.parent, lock=False))
    return 0


def settings_of(args: Any) -> dict[str, Any]:
    """What the flags say, as `part.option` settings. A budget that is given replaces the recipe's own.

    **Raises:** UsageError for a --set without a value.
    """
    settings: dict[str, Any] = {}
    if any(getattr(args, name) is not None for name in _BUDGET):
        settings |= {f"training.{name}": getattr(args, name) for name in _BUDGET}
    for name in ("batch_size", "seed", "plots_every", "snapshots"):
        if getattr(args, name, None) is not None:
            settings[f"training.{name}"] = getattr(args, name)
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            fix = "Write for example --set posterior.latent_dim=8."
            raise UsageError(f"{text!r} is not PART.OPTION=VALUE.", where="--set", fix=fix)
        settings[name.strip()] = value.strip()
    return settings


def stored_config(args: Any) -> dict[str, Any] | None:
    """What the file of `--config` holds: a configuration, on its own or as `--dry-run --json` prints it.

    **Raises:** UsageError with another `--recipe`, ConfigError for a file that holds none.
    """
    if getattr(args, "config", None) is None:
        return None
    where, fix = f"--config {args.config}", "Give what `latens fit DATA --dry-run` prints, or RUN/config.json."
    path = Path(args.config)
    if not path.is_file():
        raise ConfigError("there is no such file.", where=where, fix=fix)
    with resource_errors(path), path.open("rb") as file:
        text = file.read(_MOST_BYTES + 1)
    value = parse_json_strict(text, max_bytes=_MOST_BYTES, error=ConfigError, where=where, fix=fix)
    value = value["config"] if isinstance(value, dict) and isinstance(value.get("config"), dict) else value
    if not isinstance(value, dict) or not isinstance(value.get("recipe"), str):
        raise ConfigError("the file holds no configuration.", where=where, fix=fix)
    if args.recipe not in ("default", value["recipe"]):
        what = f"the configuration is one of the recipe {value['recipe']!r}, not {args.recipe!r}."
        raise UsageError(what, where="--recipe", fix="Leave out --recipe or --config.")
    args.recipe = value["recipe"]
    return value


def config_of(recipe: str, settings: dict[str, Any], stored: dict[str, Any] | None) -> Any:
    """The configuration of a recipe, or the stored one, with the settings. **Raises:** ConfigError."""
    from latens.config import from_json, override
    from latens.recipes import get_recipe

    if stored is not None and stored.get("resolved") is not False:
        return override(from_json(stored), settings)
    former = {} if stored is None else stored.get("settings")  # a run that was killed before it saw its data
    if not isinstance(former, dict):
        raise ConfigError("its settings are no object.", where="--config", fix="Give a whole configuration.")
    return override(override(get_recipe(recipe).config, former), settings)


def _new_experiment(context: Context, settings: dict[str, Any]) -> Experiment:
    from latens.cli.sources import load_new
    from latens.config import VAEConfig
    from latens.workflow.experiment import prepare

    config = config_of(context.args.recipe, settings, stored_config(context.args))
    if (context.args.log or context.args.watch) and not isinstance(config, VAEConfig):
        where, verb = (f"--log {context.args.log}", "log") if context.args.log else ("--watch", "watch")
        raise ConfigError(f"a closed-form fit has no steps to {verb}.", where=where, fix=f"Remove {where}.")
    return prepare(config, load_new(context.args.data, reading_options(vars(context.args))))


def _stored_experiment(context: Context, run: RunFolder) -> Experiment:
    """What the run folder says, with the data it names. **Raises:** DataError where they have changed."""
    from latens.cli.sources import load_new, original_source
    from latens.config import from_json, override
    from latens.workflow.experiment import prepare

    if run.config.get("resolved") is False:  # killed before the data had been seen
        config = config_of(run.config["recipe"], run.config["settings"], run.config.get("config"))
    else:
        config = from_json(run.config)
    if context.args.plots_every is not None:
        config = override(config, {"training.plots_every": context.args.plots_every})
    source = run.info["data"]
    experiment = prepare(config, load_new(original_source(source), reading_options(source)))
    if source.get("fingerprint") not in (None, experiment.data.fingerprint):
        raise DataError(
            "the data have changed since the run began.",
            where=original_source(source),
            fix="Bring the old data back, or start a new run.",
        )
    return experiment


def _train(context: Context, run: RunFolder, experiment: Experiment, *, resume: bool) -> None:
    """Train, measure, save."""
    from latens.callbacks.progress import ActiveUnits, make_progress
    from latens.training import Event, Interrupted, Pause
    from latens.workflow.experiment import describe, train

    run.set_config(describe(experiment))
    run.set_state("running", data=run.info["data"] | about(experiment), seed=experiment.config.training.seed)
    for reason in experiment.reasons:
        context.say(f"  {reason}")
        log.info(reason)

    def stop(event: Event) -> str | None:
        received = context.signals.received
        return Pause(f"signal {received}") if received is not None and event.kind == "boundary" else None

    callbacks: list[Any] = [ActiveUnits(experiment), stop]
    with contextlib.ExitStack() as stack:
        if not context.quiet:
            callbacks.append(stack.enter_context(make_progress(context.terminal)))
        callbacks += _watchers(context, run, experiment, stack)
        stack.enter_context(context.signals.deferred())
        try:
            trained, result = train(experiment, run=run, callbacks=callbacks, resume=resume)
        except Interrupted as interruption:
            step = interruption.snapshot.loop.total
            run.set_state("stopped", step=step)
            context.stopped = f" after step {step}; a checkpoint is written"
            context.signals.check()
            raise
    context.signals.check()
    _finish(context, run, experiment, trained, result.snapshot.loop)


def _watchers(context: Context, run: RunFolder, experiment: Experiment, stack: contextlib.ExitStack) -> list[Any]:
    """Pictures and event files, where they were asked for; matplotlib is imported only then."""
    watchers: list[Any] = [*snapshots_of(run, experiment), *live_page(context, run, experiment, stack)]
    every = getattr(experiment.config.training, "plots_every", None)
    if every is not None:
        from latens.pictures.standard import PlotsCallback

        seed, folder = experiment.config.training.seed, lambda: run.path / "samples"
        watchers.append(PlotsCallback(folder, experiment.data, every, seed, preparation=experiment.preparation))
    if context.args.log == "tensorboard":
        from latens.callbacks.tensorboard import TensorBoard

        watchers.append(stack.enter_context(TensorBoard(run.path / "tensorboard", experiment, every)))
    return watchers


def _finish(context: Context, run: RunFolder, experiment: Experiment, trained: Any, loop: Any) -> None:
    from latens.cli.measured import held_out_rows, report

    trained = trained.with_facts(read_with=read_with(run.info["data"]))
    # The model first: whatever goes wrong in measuring it, it is not lost.
    trained.save(run.model_file)
    split, positions = held_out_rows(experiment.data)
    draws = context.args.num_samples or 100
    found = report(trained, experiment.data, split, _at_most(positions, 10_000), num_samples=draws)
    warnings = found.warnings_json()
    if loop.skipped:
        warnings.append({"name": "skipped-steps", "message": f"{loop.skipped} steps were not finite and left out"})
    for warning in warnings:
        log.warning("%s: %s", warning["name"], warning["message"])
    trained = trained.with_facts(metrics=found.to_json(seconds=False), split=split, held_out=found.held_out)
    trained.save(run.model_file)
    text = "\n".join(part for part in (found.text(), found.warnings_text()) if part)
    run.set_state(
        "done",
        step=loop.total,
        best_step=loop.best_step,
        stopped_because=loop.stopped_because,
        training_seconds=loop.seconds,
        metrics=found.to_json(),
        split=split,
        held_out=found.held_out,
        warnings=warnings,
        units=list(found.units),
        summary=text,
    )


def _at_most(positions: Any, most: int) -> Any:
    """At most so many positions, evenly spaced: the first ones of sorted data would be all of one kind."""
    return positions if len(positions) <= most else positions[:: -(-len(positions) // most)]


def _close(context: Context, run: RunFolder) -> None:
    """The last lines of a run: its folder, its numbers, its warnings, and what to type next."""
    info = run.info
    following = f"latens figures {shlex.quote(str(run.path))}"
    lines = [steps_text(run), info.get("summary", "")]
    names = ("metrics", "split", "held_out", "warnings", "units", "step", "best_step", "stopped_because")
    fields = {name: info.get(name) for name in names}
    outcome = {"run": str(run.path), "state": info["state"], "model": str(run.model_file), **fields, "next": following}
    context.done(outcome, "\n".join([*lines, f"next: {following}"]))


def steps_text(run: RunFolder) -> str:
    """The folder of a run that is done, and how long it trained."""
    best, steps = run.info.get("best_step"), run.info.get("step", 0)
    if not steps:
        return f"{run.path}: fitted in closed form"
    because = _ENDS.get(run.info["stopped_because"], run.info["stopped_because"])
    kept = f"step {best}, the best on validation rows, is kept" if best else "the last step is kept"
    return f"{run.path}: {steps} steps, ended because {because}; {kept}"


_ENDS = {
    "budget": "the budget was used up",
    "minutes": "the minutes were used up",
    "no gain on validation": "validation rows gained nothing any more (early stopping)",
}


@contextlib.contextmanager
def _logged(context: Context, run: RunFolder) -> Iterator[None]:
    """Whatever goes wrong inside is in the run's log with its traceback."""
    context.log = run.path / "log.txt"
    log.info("latens %s", shlex.join(context.argv))
    if run.notice:
        log.warning(run.notice)
    try:
        yield
    except Exception:
        if context.log.parent.exists():
            log.exception("the run ended with an error")
        raise
    finally:
        with contextlib.suppress(LatensError):
            context.log = run.path / "log.txt"  # the folder may have been moved


def _forget(run: RunFolder, fresh: list[Path]) -> None:
    remove_own(run.path)
    run.release()
    for path in fresh:
        with contextlib.suppress(OSError):
            path.rmdir()
