"""What `--dry-run` says of a training, and what run.json says of its data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.cli.context import Context
from latens.runs.folder import RunFolder

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.workflow.experiment import Experiment
else:
    Experiment = Any


def about(experiment: Experiment) -> dict[str, Any]:
    """Describe data as run.json does."""
    data = experiment.data
    splits = {name: data.count(name) for name in ("train", "validation", "test")}
    return {"name": data.name, "rows": splits, "shape": list(data.schema.shape), "fingerprint": data.fingerprint}


def would_fit(context: Context, folder: Path, experiment: Experiment) -> int:
    """Say what a training would be, after everything that can be checked without it was."""
    from latens.io.json import to_json
    from latens.workflow.experiment import describe

    experiment.stages()  # an optimiser or objective that does not exist is found here
    config = describe(experiment)
    context.say("\n".join([f"would train into {folder}; nothing was written", *(f"  {r}" for r in experiment.reasons)]))
    value = {"dry_run": True, "run": str(folder), "config": config, "reasons": list(experiment.reasons)}
    context.result({**value, "data": about(experiment)}, to_json(config, indent=2).decode("ascii"))
    return 0


def would_resume(context: Context, run: RunFolder) -> int:
    """Say where a run would go on."""
    from latens.training.checkpoint import latest_checkpoint

    found = latest_checkpoint(run.checkpoints)
    step = 0 if found is None else found.step
    context.say(f"would go on with {run.path} from step {step}; nothing was changed")
    context.result({"dry_run": True, "run": str(run.path), "state": run.info["state"], "step": step})
    return 0
