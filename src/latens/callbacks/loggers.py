"""Callbacks that hand the numbers of a training to TensorBoard, Weights & Biases and MLflow."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.errors import ConfigError

if TYPE_CHECKING:  # commands make their folder before JAX is imported, and have callbacks by then
    from latens.training import Event


def numbers(event: "Event") -> dict[str, float]:
    """Give an event's numbers by name: `chunk/NAME` of some steps, `train/NAME` and `validation/NAME` of an epoch."""
    if event.kind not in ("chunk", "epoch") and not (event.kind == "start" and event.record):
        return {}
    found: dict[str, float] = {}
    for name, value in event.record.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("step", "epoch"):
            split, _, rest = name.partition("_")
            whole = event.kind == "epoch" and split in ("train", "validation")
            found[f"{split}/{rest}" if whole else f"{'epoch' if event.kind == 'epoch' else 'chunk'}/{name}"] = value
    return found


class _Copied:
    """A copy has what was given, and opens its own file or run: scikit-learn copies parameters."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return replace(self)  # type: ignore[type-var]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": None}


@dataclass
class TensorBoardLogger(_Copied):
    """A callback that writes the numbers of a training as scalars of TensorBoard.

    `VAE(settings={"callbacks": [TensorBoardLogger("logs")]})`. The command does it by `latens fit DATA --log
    tensorboard`, with pictures and the graph of the model.

    Args:
        to: The folder of the event files, which tensorboardX writes; or an object with `add_scalar(name, value, step)`
            and `flush()`, such as the `SummaryWriter` of PyTorch.

    Raises:
        ConfigError: A folder is given, and tensorboardX is not installed.
    """

    to: Any
    _open: Any = field(default=None, init=False, repr=False, compare=False)

    def __call__(self, event: "Event") -> None:
        """Write the numbers of one event."""
        if self._open is None:
            self._open = _tensorboard(self.to) if isinstance(self.to, str | Path) else self.to
        for name, value in numbers(event).items():
            self._open.add_scalar(name, value, event.snapshot.loop.total)
        if event.kind in ("epoch", "stage-end"):
            self._open.flush()


@dataclass
class WandbLogger(_Copied):
    """A callback that sends the numbers of a training to a run of Weights & Biases.

    `VAE(settings={"callbacks": [WandbLogger(project="digits")]})` begins a run of its own at the first event.

    Args:
        run: A run, as `wandb.init` gives it: an object with `log(numbers, step=)`. None: one is begun.
        project: The project of a run that is begun.
        config: What is stored beside such a run, by name.

    Raises:
        ConfigError: No run is given, and wandb is not installed.
    """

    run: Any = None
    project: str | None = None
    config: Mapping[str, Any] | None = None
    _open: Any = field(default=None, init=False, repr=False, compare=False)

    def __call__(self, event: "Event") -> None:
        """Send the numbers of one event."""
        if self._open is None:
            self._open = self.run if self.run is not None else _wandb(self.project, self.config)
        if found := numbers(event):
            self._open.log(found, step=event.snapshot.loop.total)


@dataclass
class MlflowLogger(_Copied):
    """A callback that sends the numbers of a training to a run of MLflow.

    `VAE(settings={"callbacks": [MlflowLogger(experiment="digits")]})`. Where a run is active, its numbers go there.
    MLflow itself ends a run that this one starts, by `mlflow.end_run()` or when Python ends.

    Args:
        run_id: The run. None: the active one, else a new one.
        experiment: The experiment of a new run. None: that of `mlflow.set_experiment`.

    Raises:
        ConfigError: MLflow is not installed.
    """

    run_id: str | None = None
    experiment: str | None = None
    _open: str | None = field(default=None, init=False, repr=False, compare=False)

    def __call__(self, event: "Event") -> None:
        """Send the numbers of one event."""
        if not (found := numbers(event)):
            return
        mlflow = _imported("mlflow", "MlflowLogger", "pip install 'latens[mlflow]'")
        if (run := self._open or self.run_id) is None:
            active = mlflow.active_run()
            if active is None and self.experiment is not None:
                mlflow.set_experiment(self.experiment)
            run = (active or mlflow.start_run()).info.run_id
        self._open = run
        mlflow.log_metrics(found, step=event.snapshot.loop.total, run_id=run)


def _tensorboard(folder: str | Path) -> Any:
    from latens.callbacks.tensorboard import writer_class

    return writer_class()(str(folder))


def _wandb(project: str | None, config: Mapping[str, Any] | None) -> Any:
    wandb = _imported("wandb", "WandbLogger", "pip install wandb, or give a run.")
    return wandb.init(project=project, config=None if config is None else dict(config))


def _imported(name: str, where: str, fix: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError(f"{name} is not installed.", where=where, fix=fix) from None
