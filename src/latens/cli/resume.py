"""`latens resume`: go on with a run that was stopped or killed."""

from typing import TYPE_CHECKING, Any

from latens.cli.context import Context
from latens.cli.dry_run import would_resume
from latens.cli.fit import config_of
from latens.cli.reading import reading_options
from latens.cli.training import REMEMBERED, close, logged, train_run
from latens.errors import DataError
from latens.runs.folder import RunFolder

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.workflow.experiment import Experiment
else:
    Experiment = Any


def resume(context: Context) -> int:
    """Go on with a run that was stopped or killed.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    path = context.args.run
    run = RunFolder.open(path, lock=False)
    if run.info["state"] == "done" and run.model_file.exists():
        context.say(f"{path} is finished already; nothing to do.")
        close(context, run)
        return 0
    if context.args.dry_run:
        return would_resume(context, run)
    for name in REMEMBERED:
        if getattr(context.args, name) is None:
            setattr(context.args, name, run.info.get("options", {}).get(name))
    with RunFolder.open(path) as run, logged(context, run):
        if run.notice:
            context.say(run.notice)
        changed = run.differences()
        if changed:
            context.warn(f"not as when the run began, so its bits may differ: {', '.join(changed)}")
        run.set_state("running")
        train_run(context, run, _stored_experiment(context, run), resume=True)
    assert context.log is not None
    close(context, RunFolder.open(context.log.parent, lock=False))
    return 0


def _stored_experiment(context: Context, run: RunFolder) -> Experiment:
    """What the run folder says, with the data it names; a DataError where they have changed."""
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
