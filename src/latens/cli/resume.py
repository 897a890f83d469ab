"""`latens resume`: go on with a run that was stopped or killed."""

from typing import TYPE_CHECKING, Any

from latens.cli.context import Context
from latens.cli.fit import BUDGET, start_of
from latens.cli.training import REMEMBERED, close, follow, joined, logged, train_run, would_resume
from latens.commands._sources import reading_options
from latens.errors import ConfigError, DataError, UsageError
from latens.runs.folder import RunFolder

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.config import Config
    from latens.trained.experiment import Experiment
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
    from latens.trained.experiment import prepare

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
