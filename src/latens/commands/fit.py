"""`latens fit` and `latens resume`: from data, or from a checkpoint, to a measured model in a run folder."""

import contextlib
import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.commands.context import Context
from latens.errors import DataError, LatensError, UsageError
from latens.ownership import remove_own
from latens.runs import RunFolder, default_path

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.config import Config
    from latens.experiment import Experiment

log = logging.getLogger("latens.command")

_BUDGET = ("epochs", "steps", "minutes")


def fit(context: Context) -> int:
    """Train a model on data."""
    args = context.args
    settings = settings_of(args)
    folder = Path(args.out) if args.out else default_path(args.data, args.recipe)
    if args.dry_run:
        return _dry_run(context, folder, settings)
    experiment = None
    if args.force and folder.exists():
        # What --force throws away is thrown away only for a run that can begin.
        experiment = _experiment(context, settings)
    fresh = not folder.exists()
    from latens.commands.output import source_of

    unresolved = {"resolved": False, "recipe": args.recipe, "settings": settings}
    run = RunFolder.create(
        folder, ["latens", *context.argv], unresolved, source_of(args), args.seed or 0, force=args.force
    )
    with run, _logged(context, run):
        try:
            experiment = experiment or _experiment(context, settings)
        except LatensError:
            # Nothing has been trained: a mistyped name leaves no folder behind that is then in the way.
            _remove(run, fresh)
            raise
        return _train(context, run, experiment, resume=False)


def resume(context: Context) -> int:
    """Go on with a run that was stopped or killed."""
    path = context.args.run
    finished = RunFolder.open(path, lock=False)
    if finished.info["state"] == "done":
        context.done(_outcome(finished), f"{path} is finished already; nothing to do.\nNext: {_next(finished.path)}")
        return 0
    with RunFolder.open(path) as run, _logged(context, run):
        if run.notice:
            context.say(run.notice)
        run.set_state("running")
        return _train(context, run, _stored_experiment(context, run), resume=True)


def settings_of(args: Any) -> dict[str, Any]:
    """What the flags say, as `part.option` settings. A budget that is given replaces the recipe's own.

    **Raises:** UsageError for a --set without a value.
    """
    settings: dict[str, Any] = {}
    if any(getattr(args, name) is not None for name in _BUDGET):
        settings |= {f"training.{name}": getattr(args, name) for name in _BUDGET}
    for name in ("batch_size", "seed", "plots_every"):
        if getattr(args, name) is not None:
            settings[f"training.{name}"] = getattr(args, name)
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals or "." not in name:
            raise UsageError(
                f"{text!r} is not PART.OPTION=VALUE.", where="--set", fix="Write --set posterior.latent_dim=8."
            )
        settings[name.strip()] = value.strip()
    return settings


def _experiment(context: Context, settings: dict[str, Any]) -> "Experiment":
    from latens.commands.sources import load_data
    from latens.config import override
    from latens.experiment import prepare
    from latens.recipes import get_recipe

    recipe = get_recipe(context.args.recipe)
    config = override(recipe.config, settings)
    return prepare(config, load_data(context))


def _stored_experiment(context: Context, run: RunFolder) -> "Experiment":
    from latens.commands.sources import original_source, reading_options, stored_config
    from latens.config import override
    from latens.data import load
    from latens.experiment import prepare
    from latens.recipes import get_recipe

    source, config = run.info["data"], stored_config(run)
    if config is None:
        config = override(get_recipe(run.config["recipe"]).config, run.config["settings"])
    if context.args.plots_every is not None:
        config = override(config, {"training.plots_every": context.args.plots_every})
    data = load(original_source(source), **reading_options(source))
    if source.get("fingerprint") not in (None, data.fingerprint):
        raise DataError(
            "the data have changed since the run began; a resumed run would mix two data sets.",
            where=original_source(source),
            fix="Bring the old data back, or start a new run.",
        )
    from latens.runs import _describe  # noqa: PLC2701

    return prepare(config, data)


def _dry_run(context: Context, folder: Path, settings: dict[str, Any]) -> int:
    from latens.config import to_json
    from latens.strictjson import to_json as json_bytes

    experiment = _experiment(context, settings)
    config, data = to_json(experiment.config), about(experiment)
    reasons = "\n".join(f"  {reason}" for reason in experiment.reasons)
    text = json_bytes(config, indent=2).decode()
    context.say(f"Would train into {folder}; nothing was written.\n{reasons}")
    context.result({"dry_run": True, "run": str(folder), "config": config, "reasons": experiment.reasons, "data": data}, text)
    return 0
