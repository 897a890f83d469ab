"""`latens fit`: from data to a measured model in a run folder."""

import contextlib
import importlib.util
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.cli.context import Context
from latens.cli.training import REMEMBERED, close, follow, joined, logged, train_run, would_fit
from latens.commands._sources import reading_options, source_of
from latens.errors import ConfigError, LatensError, UsageError
from latens.io.json import read_json
from latens.runs.folder import RunFolder, default_path, remove_own

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.config import Config
    from latens.data import Dataset
    from latens.trained.experiment import Experiment
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
    from latens.trained.experiment import prepare

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
