"""`latens fit`, `resume` and `demo`: from data to a measured model in a run folder."""

import contextlib
import importlib.util
import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.cli.context import Context
from latens.cli.training import REMEMBERED, after, close, follow, joined, logged, train_run, would_fit, would_resume
from latens.commands._sources import reading_options, source_of
from latens.errors import ConfigError, DataError, LatensError, UsageError
from latens.runs.folder import RunFolder, default_path, remove_own
from latens.runtime.atomic import read_json
from latens.runtime.file_limits import free_name

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.config import Config
    from latens.data import Dataset
    from latens.fitting import Experiment
    from latens.trained.trained_model import TrainedModel
else:
    Config = Dataset = Experiment = TrainedModel = Any

BUDGET = ("epochs", "steps", "minutes")
"""The options of a budget."""


def fit(context: Context) -> int:
    """Train a model on data."""
    args = context.args
    read_files(args)
    folder = Path(args.out) if args.out else default_path(args.data, args.recipe)
    if args.dry_run:
        return would_fit(context, folder, new_experiment(context, settings_of(args)))
    if joined(context):
        return follow(context, new_experiment(context, settings_of(args)))
    fit_into(context, folder)
    assert context.log is not None
    close(context, RunFolder.open(context.log.parent, lock=False))
    return 0


def read_files(args: Namespace) -> None:
    """Read the file that says what is trained, `--config`, and what is said of columns."""
    stored_config(args)
    if args.column:  # else NumPy is imported before the run folder is there
        from latens.kinds.tables.derived import declared_columns

        declared_columns(args.column, "--column")


def fit_into(context: Context, folder: Path, data: Dataset | None = None) -> Experiment:
    """Train into a new run folder; run.json and config.json are there before anything slow begins."""
    args = context.args
    settings = settings_of(args)
    if args.log == "tensorboard" and importlib.util.find_spec("tensorboardX") is None:
        fix = "pip install 'latens[tensorboard]'"
        raise ConfigError("tensorboardX is not installed.", where="--log tensorboard", fix=fix)
    # What --force throws away is thrown away only for a run that can begin.
    experiment = new_experiment(context, settings, data) if args.force and folder.exists() else None
    fresh = [path for path in (folder, folder.parent) if not path.exists()]
    command, stored = ["latens", *context.argv], stored_config(args)
    unresolved = {"resolved": False, "recipe": args.recipe, "settings": settings}
    unresolved |= {} if stored is None else {"config": stored}
    source, options = source_of(vars(args)), {name: getattr(args, name) for name in REMEMBERED}
    if args.start is not None and not args.start.startswith("pretrained:"):
        options["start"] = str(Path(args.start).resolve())
    run = RunFolder.create(folder, command, unresolved, source, args.seed or 0, options=options, force=args.force)
    with run, logged(context, run):
        try:
            experiment = experiment or new_experiment(context, settings, data)
        except LatensError:
            # Nothing has been trained: a mistyped name leaves no folder behind that is then in the way.
            _forget(run, fresh)
            raise
        train_run(context, run, experiment, resume=False)
    return experiment


def settings_of(args: Namespace) -> dict[str, Any]:
    """Turn the flags into `part.option` settings; a budget that is given replaces the recipe's own."""
    settings: dict[str, Any] = {}
    if any(getattr(args, name) is not None for name in BUDGET):
        settings |= {f"training.{name}": getattr(args, name) for name in BUDGET}
    for name in ("batch_size", "seed", "plots_every", "log_every", "snapshots"):
        if getattr(args, name, None) is not None:
            settings[f"training.{name}"] = getattr(args, name)
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            fix = "Write for example --set posterior.latent_dim=8."
            raise UsageError(f"{text!r} is not PART.OPTION=VALUE.", where="--set", fix=fix)
        if name.strip() in settings:
            raise UsageError(f"{name.strip()} is given twice.", where=f"--set {text}", fix="Give it one value.")
        settings[name.strip()] = value.strip()
    return settings


def stored_config(args: Namespace) -> dict[str, Any] | None:
    """Read the file of `--config`: a configuration, on its own or as `--dry-run --json` prints it."""
    if getattr(args, "config", None) is None:
        return None
    where, fix = f"--config {args.config}", "Use the output of `latens fit DATA --dry-run`, or RUN/config.json."
    value = read_json(Path(args.config), error=ConfigError, where=where, fix=fix)
    value = value["config"] if isinstance(value, dict) and isinstance(value.get("config"), dict) else value
    if not isinstance(value, dict) or not isinstance(value.get("recipe"), str):
        raise ConfigError("the file contains no configuration.", where=where, fix=fix)
    if args.recipe not in ("default", value["recipe"]):
        what = f"the configuration is one of the recipe {value['recipe']!r}, not {args.recipe!r}."
        raise UsageError(what, where="--recipe", fix="Leave out --recipe or --config.")
    args.recipe = value["recipe"]
    return value


def new_experiment(context: Context, settings: dict[str, Any], data: Dataset | None = None) -> Experiment:
    """Prepare what a command asks for."""
    from latens.config import VAEConfig
    from latens.fitting import prepare

    start = start_of(context.args)
    config = config_typed(context.args, settings, start)
    if context.args.log and not isinstance(config, VAEConfig):
        where = f"--log {context.args.log}"
        raise ConfigError("a closed-form fit has no steps to log.", where=where, fix=f"Remove {where}.")
    found = load_typed(context.args, start) if data is None else data
    experiment = prepare(config, found, start=start, settings=settings)
    if getattr(context.args, "then", None) is not None:
        from latens.trained.prior_refit import refuse_refit

        refuse_refit(experiment.config, context.args.then)
    return experiment


def config_typed(args: Namespace, settings: dict[str, Any], start: TrainedModel | None) -> Config:
    """The configuration that a command asks for."""
    from latens.config import to_json
    from latens.recipes import config_of

    stored = to_json(start.config) if start is not None and start.config is not None else stored_config(args)
    return config_of(args.recipe, settings, stored, where="--config")


def load_typed(args: Namespace, start: TrainedModel | None) -> Dataset:
    """Load the data that a command names, to train on them."""
    from latens.commands._sources import load_new

    further = {} if start is None else {"schema": start.schema}
    return load_new(args.data, reading_options(vars(args)) | further)


def start_of(args: Namespace) -> TrainedModel | None:
    """The model that `--from` names."""
    if getattr(args, "start", None) is None:
        return None
    from latens.commands._sources import open_model
    from latens.config import VAEConfig

    if getattr(args, "config", None) is not None or getattr(args, "recipe", "default") != "default":
        named = "--config" if args.config is not None else "--recipe"
        what = "the model to start from has a configuration."
        raise UsageError(what, where=named, fix=f"Leave out {named} or --from.")
    found = open_model(args.start).trained
    if not isinstance(found.config, VAEConfig):
        what = "only a model that is trained step by step can be started from."
        raise ConfigError(what, where=f"--from {args.start}", fix="Start from a run or a file of a VAE.")
    return found


def _forget(run: RunFolder, fresh: list[Path]) -> None:
    remove_own(run.path)
    run.release()
    for path in fresh:
        with contextlib.suppress(OSError):
            path.rmdir()


def demo(context: Context) -> int:
    """Train on the digits, measure, compare with independent pixels, and draw the pictures."""
    args = context.args
    args.data, args.label, args.id, args.missing = "digits", None, None, None
    folder = Path(args.out or free_name("runs/demo", ""))
    if args.dry_run:
        return would_fit(context, folder, new_experiment(context, settings_of(args)))
    context.say("This demo trains a model on 1,797 handwritten digits of 8 x 8 pixels, in about a minute.")
    experiment = fit_into(context, folder)
    from latens.model_figures.draw import FIRST, draw_pictures, save_pictures
    from latens.trained.trained_model import TrainedModel

    run = RunFolder.open(folder, lock=False)
    history = [record for record in run.read_metrics() if record.get("event") == "epoch"]
    (folder / "figures").mkdir(exist_ok=True)
    trained = TrainedModel.load(run.model_file)
    drawn = draw_pictures(trained, experiment.data, history, only=FIRST)
    written = save_pictures(drawn, folder / "figures")
    names = ("metrics", "split", "held_out", "warnings", "step")
    value = {"run": str(folder), "model": str(run.model_file), "figures": [str(path) for path in written]}
    context.done(value | {name: run.info.get(name) for name in names}, said(run, written))
    return 0


LEADS = ("samples", "reconstructions")
"""The pictures that a newcomer looks at first."""


def said(run: RunFolder, written: Sequence[Path]) -> str:
    """What the model learned, what to see in each picture, and what to type next, without a word of the trade."""
    from latens.model_figures.draw import PICTURES

    pictures = sorted((path for path in written if path.suffix == ".png"), key=lambda path: path.stem not in LEADS)
    lines = [*after(run)[:-1], "", "Pictures:"]
    for path in pictures:
        lines += [f"  {path}", f"      {PICTURES[path.stem].sees}"]
    here = shlex.quote(str(run.path))
    lines += ["", "Next:"]
    lines += [
        f"  {command:<{len(here) + 16}}  {what}"
        for command, what in (
            (f"latens explore {here}", "drag a point to change the digit"),
            (f"latens report {here}", "an HTML report"),
            (f"latens evaluate {here}", "all metrics with their errors"),
        )
    ]
    return "\n".join(lines)


if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.config import Config
    from latens.fitting import Experiment
else:
    Experiment = Any


def resume(context: Context) -> int:
    """Go on with a run that was stopped or killed."""
    path = context.args.run
    run = RunFolder.open(path, lock=False)
    longer = any(getattr(context.args, name) is not None for name in BUDGET)
    if run.info["state"] == "done" and run.model_file.exists() and not longer:
        context.say(f"{path} is finished already; nothing to do.")
        close(context, run)
        return 0
    if context.args.dry_run:
        return would_resume(context, run)
    if joined(context):
        return follow(context, _stored_experiment(context, run, _as_it_began(context, run)), run)
    resume_into(context)
    assert context.log is not None
    close(context, RunFolder.open(context.log.parent, lock=False))
    return 0


def resume_into(context: Context) -> None:
    """Go on with a run in this process."""
    path = context.args.run
    # A budget that is refused leaves the run as it is.
    config = _as_it_began(context, RunFolder.open(path, lock=False))
    with RunFolder.open(path) as run, logged(context, run):
        if run.notice:
            context.say(run.notice)
        changed = run.differences()
        if changed:
            context.warn(f"not as when the run began, so its bits may differ: {', '.join(changed)}")
        experiment = _stored_experiment(context, run, config)
        run.set_state("running", resumed=[*run.info.get("resumed", []), ["latens", *context.argv]])
        train_run(context, run, experiment, resume=True)


def _as_it_began(context: Context, run: RunFolder) -> Any:
    """The configuration of the run, where arguments that were not given become those that it began with."""
    for name in REMEMBERED:
        if getattr(context.args, name, None) is None:
            setattr(context.args, name, run.info.get("options", {}).get(name))
    return _stored_config(context, run)


def _stored_config(context: Context, run: RunFolder) -> Any:
    """The configuration that the run folder holds, with the budget, the lines and the pictures that were asked for."""
    from latens.config import from_json, override

    if run.config.get("resolved") is False:  # killed before the data had been seen
        from latens.recipes import config_of

        stored = run.config.get("config")
        config = config_of(run.config["recipe"], run.config["settings"], stored, where="--config")
    else:
        config = from_json(run.config)
    for name in ("plots_every", "log_every"):
        if getattr(context.args, name) is not None:
            config = override(config, {f"training.{name}": getattr(context.args, name)})
    return _with_budget(context, run, config)


def _stored_experiment(context: Context, run: RunFolder, config: "Config") -> Experiment:
    """What the run folder says, with the data it names; a DataError where they have changed."""
    from latens.commands._sources import load_new, original_source
    from latens.fitting import prepare

    source, start = run.info["data"], start_of(context.args)
    options = reading_options(source) | ({} if start is None else {"schema": start.schema})
    settings = run.config["settings"] if run.config.get("resolved") is False else None
    spec = context.args.data or original_source(source)
    found = load_new(spec, options)
    experiment = prepare(config, found, start=start, settings=settings)
    if source.get("fingerprint") not in (None, experiment.data.fingerprint):
        what = "the data have changed since the run began."
        raise DataError(what, where=spec, fix="Restore the old data, or start a new run.")
    return experiment


def _with_budget(context: Context, run: RunFolder, config: "Config") -> Any:
    """The configuration with the budget that was given, as if the run had had it from its start."""
    from latens.config import VAEConfig, override
    from latens.training.checkpoint import latest_checkpoint

    given = {name: getattr(context.args, name) for name in BUDGET if getattr(context.args, name) is not None}
    if not given:
        return config
    option = f"--{min(given)}"
    if not isinstance(config, VAEConfig):
        raise UsageError("a closed-form fit has no budget.", where=option, fix=f"Leave out {option}.")
    if config.optimizer.schedule == "cosine":
        what = "the learning rate of this run ended with its budget (optimizer.schedule=cosine)."
        raise ConfigError(what, where=option, fix=f"Start a new training from it: latens fit DATA --from {run.path}.")
    if (run.info["state"], run.info.get("stopped_because")) == ("done", "no gain on validation"):
        what = "training ended early, because the validation ELBO stopped improving; a larger budget adds no step."
        fix = f"Train on from its weights: latens fit DATA --from {run.path} --set training.patience=none."
        raise UsageError(what, where=option, fix=fix)
    found, source = latest_checkpoint(run.checkpoints), run.info["data"]
    if "minutes" in given and found is not None:  # of this command, whatever was trained before
        given["minutes"] += found.loop.get("seconds", 0.0) / 60.0
    longer = override(config, {f"training.{name}": given.get(name) for name in BUDGET})
    done = 0 if found is None else found.step
    wanted = given.get("steps")
    if wanted is None and "epochs" in given and found is not None:
        rows = (source.get("rows") or {}).get("train", 0)
        batch_size = min(config.training.batch_size or rows, rows) or 1
        per_epoch = rows // batch_size if config.training.drop_last else -(-rows // batch_size)
        wanted = round(given["epochs"] * per_epoch)
    if wanted is not None and wanted < done:
        what = f"{wanted} steps are asked for, and {done} were done."
        raise UsageError(what, where=option, fix="Give the total budget, counted from the start of the run.")
    return longer
