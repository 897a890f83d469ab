"""Models kept on the way of a training, at steps that are even in the logarithm of time. Needs no jax to be imported.

RUN/snapshots/000000000.safetensors, 000000001.safetensors ...: complete model files, named by the step after which
they were kept (0: before the first).
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.errors import RunFolderError
from latens.runs.folder import RunFolder
from latens.runtime.atomic import resource_errors

if TYPE_CHECKING:
    from latens.fitting import Experiment
    from latens.trained.trained_model import TrainedModel
    from latens.training import Event
else:
    Experiment = TrainedModel = Event = Any

FOLDER = "snapshots"
_NAME = re.compile(r"^(\d{9,})\.safetensors$")


class Snapshots:
    """A callback that writes the model as it would be evaluated now at every step of `snapshot_steps`."""

    # The loop cuts its chunks at these steps, which changes no bit of a training. A resumed run writes the same files
    # again: what was kept after its checkpoint is what it comes to once more. Each stage of a training has its own
    # grid, from its first step; the last model of a stage is kept too.
    # `folder`: Folder of the files.
    # `experiment`: The experiment that trains, whose configuration says how many.

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder, self.experiment = folder, experiment
        self.count = int(getattr(experiment.config.training, "snapshots", None) or 2)
        self.written: list[Path] = []

    def __call__(self, event: Event) -> None:
        """Write the model where the event lies at a step of the grid."""
        from latens.training.stages import snapshot_steps

        if event.kind not in ("start", "boundary", "stage-end"):
            return
        loop = event.snapshot.loop
        due = loop.step in snapshot_steps(self.count, event.total_steps) or event.kind == "stage-end"
        if self.written and self.written[-1].name == name_of(loop.total):
            return  # the end of a stage is often on the grid
        if due and not (event.kind == "start" and loop.total > 0):  # a later stage begins where the last one ended
            self.write(event, loop.total)

    def write(self, event: Event, step: int) -> None:
        """Write the model of this moment; the file is whole or absent."""
        with resource_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name_of(step)
        self.experiment.trained(event.model(), steps=step).save(path)
        self.written.append(path)


def name_of(step: int) -> str:
    """Name the file of a step."""
    return f"{step:09d}.safetensors"


def snapshots_of(run: RunFolder, experiment: Experiment) -> list[Snapshots]:
    """Make the callback that keeps models in a run's folder, where its configuration asks for it."""
    asked = getattr(experiment.config.training, "snapshots", None)
    return [] if asked is None else [Snapshots(run.path / FOLDER, experiment)]


def kept_steps(run: Path) -> list[tuple[int, Path]]:
    """List the models that a run kept, in order."""
    folder = Path(run) / FOLDER
    names = ((_NAME.match(path.name), path) for path in (folder.iterdir() if folder.is_dir() else ()))
    return sorted((int(match[1]), path) for match, path in names if match is not None)


def load_snapshots(run: Path) -> list[tuple[int, TrainedModel]]:
    """Load the models that a run kept, in order.

    Args:
        run: Folder of the run.

    Returns:
        Step and model of each.

    Raises:
        RunFolderError: There are fewer than two.
        ModelFileError: A file is damaged.
    """
    from latens.trained.trained_model import TrainedModel

    kept = kept_steps(run)
    if len(kept) < 2:
        fix = "Train with `latens fit ... --snapshots`."
        raise RunFolderError("the run has no snapshots.", where=str(run), fix=fix)
    return [(step, TrainedModel.load(path)) for step, path in kept]
