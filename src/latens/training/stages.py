"""What a training is made of: stages with budgets, how the loop runs, where it stands, and what callbacks are told."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import optax

from latens.data import Dataset
from latens.errors import ConfigError
from latens.objectives import AbstractObjective
from latens.training.optimizers import Optimizer, from_optax
from latens.training.step import TrainState
from latens.typing import PyTree


def patience_of(epochs: float = 0.0) -> int:
    """How many epochs without a gain on validation end a training, where nothing was said of it.

    Args:
        epochs: How many epochs the training has at the most; 0 where steps or minutes limit it.

    Returns:
        A fortieth of them, and 10 at least.
    """
    return max(10, round(epochs / 40))


@dataclass(frozen=True)
class Budget:
    """How long a stage trains: the first of the given limits ends it.

    Args:
        epochs: Passes over the training rows.
        steps: Training steps.
        minutes: Minutes of training.
        patience: Epochs without a gain on validation.
    """

    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            kinds = int if name in ("steps", "patience") else int | float
            if value is not None and (not isinstance(value, kinds) or isinstance(value, bool) or not value > 0):
                raise ConfigError(f"{value!r:.100} is not above 0.", where=name, fix="Give a number above 0, or None.")

    def total_steps(self, steps_per_epoch: int) -> int | None:
        """The number of steps, where it is known beforehand.

        Args:
            steps_per_epoch: Steps in one pass over the training rows.

        Returns:
            The number of steps, or None.
        """
        limits = [] if self.steps is None else [self.steps]
        limits += [] if self.epochs is None else [max(1, round(self.epochs * steps_per_epoch))]
        return min(limits) if limits else None


@dataclass(frozen=True)
class Stage:
    """One part of a training plan: a start from the data, then steps of an optimiser under an objective.

    Args:
        objective: What the stage minimises; None where it only starts.
        optimizer: What steps, ours or an optax transformation; a stage without one only starts (closed-form fits).
        budget: How long the stage trains.
        start: `start(model, data)` gives the model to begin with; it may look at the training rows.
        data: `data(model, data)`, where given, makes the rows that the stage trains on, from the model as it stands,
            also after a resume: of the same number, and made of parts of the model that the stage leaves alone.
        again: Whether this stage takes as many steps as made the model of the stage before it, on training and
            validation rows together.
    """

    objective: AbstractObjective | None
    optimizer: Optimizer | optax.GradientTransformation | None
    budget: Budget = Budget()
    start: Callable[[Any, Dataset], Any] = lambda model, data: model
    data: Callable[[Any, Dataset], Dataset] | None = None
    again: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.optimizer, optax.GradientTransformation):
            object.__setattr__(self, "optimizer", from_optax(self.optimizer))


@dataclass(frozen=True)
class Settings:
    """How the training loop runs.

    Args:
        batch_size: Rows in a batch.
        drop_last: Whether the rows that do not fill a batch are left out, other ones each epoch.
        shards: Into how many shards a batch is cut, a power of two: part of what decides the bits.
        seed: Seed of the order of rows and of the noise.
        chunk_steps: The grid of steps on which everything between steps happens.
        stop_every: A chunk also ends at every multiple of so many steps; None for no such end.
        log_every: The same, and the objective of the first batch is computed before the first step.
        snapshots: A chunk also ends at the `snapshot_steps` of this count; None for no such end.
        validate: Whether the model is validated.
        validate_every: After so many epochs a record of them is made and the model validated; a chunk may span them
            all.
        validation_batch_size: Rows in a batch of validation.
        restore_best: Whether the result is the model that was best on validation.
    """

    batch_size: int = 128
    drop_last: bool = False
    shards: int = 1
    seed: int = 0
    chunk_steps: int = 100
    stop_every: int | None = None
    log_every: int | None = None
    snapshots: int | None = None
    validate: bool = True
    validate_every: int = 1
    validation_batch_size: int = 500
    restore_best: bool = True

    def steps_per_epoch(self, rows: int) -> int:
        """Count the batches that the training rows make.

        Args:
            rows: Number of training rows.

        Returns:
            Steps in one epoch.
        """
        size = min(self.batch_size, rows)
        return rows // size if self.drop_last else -(-rows // size)


def snapshot_steps(count: int, total: int | None) -> tuple[int, ...]:
    r"""Choose steps for snapshots, evenly spaced in the logarithm of the step.

    About `count` steps: 0 and $\mathrm{round}(T^{i/(n-2)})$ for i = 0 .. n - 2, each once (so small trainings give
    fewer).

    Args:
        count: n, how many steps are wanted.
        total: T, the steps of a stage; where it is not known beforehand (None) the grid is that of a million steps, and
            goes on in the same ratio.

    Returns:
        The steps, in order.

    Examples:
        >>> snapshot_steps(6, 10_000)
        (0, 1, 10, 100, 1000, 10000)
    """
    reach, last = total or 1_000_000, max(count - 2, 1)
    powers = range(last + 1 if total is not None else 3 * last + 1)
    return (0, *sorted({round(reach ** (i / last)) for i in powers}))


@dataclass
class LoopState:
    """Where the loop stands, as plain numbers: what a checkpoint holds beside the arrays.

    Args:
        stage: Number of the stage, from 0.
        steps_before: Steps of the stages before this one.
        step: Steps within the stage.
        epoch: Epochs within the stage.
        best_value: Best validation value of the monitored metric; None before the first.
        best_step: Step of the best value; where a stage trains again, how many steps it takes.
        stale: Epochs since the best value.
        skipped: Steps that were skipped because something was not finite or the loss exploded.
        lost_chunks: Chunks in a row in which every step was skipped.
        loss_scale: Scale of the loss, against which a step's loss is judged; None before the first chunk.
        seconds: Seconds of training so far.
        finished: Whether the stage is over.
        stopped_because: Why the stage ended.
        running: Metrics of the epoch that is under way.
    """

    stage: int = 0
    steps_before: int = 0
    step: int = 0
    epoch: int = 0
    best_value: float | None = None
    best_step: int = 0
    stale: int = 0
    skipped: int = 0
    lost_chunks: int = 0
    loss_scale: float | None = None
    seconds: float = 0.0
    finished: bool = False
    stopped_because: str = ""
    running: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Count the steps of all stages so far."""
        return self.steps_before + self.step

    def to_json(self) -> dict[str, Any]:
        """Give the numbers for `loop.json`.

        Returns:
            The fields by name.
        """
        return asdict(self)


@dataclass
class Snapshot:
    """The complete state of a run between two chunks.

    Args:
        loop: Where the loop stands.
        state: All arrays of the training.
        best: Every array of the best (model, objective).
    """

    loop: LoopState
    state: TrainState
    best: PyTree


@dataclass(frozen=True)
class Event:
    """What callbacks are told.

    A reason to stop is heeded at a boundary, where the snapshot is one to go on from.

    Args:
        kind: "start", "chunk", "epoch", "bad-chunk", "bad-validation", "boundary", "last" (the budget is used up, and
            an epoch that is not whole is not yet ended) or "stage-end".
        record: Plain numbers for the metrics file; at the start those of the first batch before the first step, where
            `Settings.log_every` asks for them, else nothing.
        snapshot: The state; callbacks must not change it.
        model: `model()` builds the model as it would be evaluated now.
        rows_per_second: Training rows in a second.
        total_steps: Steps of the stage, where they are known beforehand.
        monitor: The metric of validation rows by which training stops and the best step is kept.
    """

    kind: str
    record: dict[str, Any]
    snapshot: Snapshot
    model: Callable[[], Any]
    rows_per_second: float = 0.0
    total_steps: int | None = None
    monitor: str = "elbo"


Callback: TypeAlias = Callable[[Event], str | None]
"""Called at every event; returns None, or a reason to end: a text ends the stage at the next boundary as a spent budget
does (the model is then the best on validation), a `Pause` raises Interrupted there."""


class Pause(str):
    """A reason to stop for now and to go on later from the snapshot, as a signal asks for."""

    __slots__ = ()


Resume: TypeAlias = tuple[int, Callable[[TrainState, PyTree], Snapshot]]
"""The stage to go on with, and what gives its snapshot for a state and a `best` of the same structure."""


def falls_due(event: Event, every: int) -> bool:
    """Say whether what comes before the first step and at every multiple of so many steps is due."""
    step = event.snapshot.loop.total
    return (event.kind == "start" and step == 0) or (event.kind == "boundary" and step > 0 and step % every == 0)


@dataclass(frozen=True)
class FitResult:
    """The trained model with its history and the final state.

    Args:
        model: The model that was best on validation, or the last one where there was no validation.
        objective: The objective with its trained arrays.
        history: One record for each epoch.
        snapshot: The final state.
    """

    model: PyTree
    objective: AbstractObjective | None
    history: list[dict[str, Any]]
    snapshot: Snapshot


class Interrupted(Exception):
    """A callback asked to stop between two chunks; `snapshot` is where to go on."""

    def __init__(self, reason: str, snapshot: Snapshot) -> None:
        super().__init__(reason)
        self.reason, self.snapshot = reason, snapshot
