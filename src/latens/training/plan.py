"""What a training is made of: stages with budgets, how the loop runs, where it stands, and what callbacks are told."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from latens.data import Dataset
from latens.objectives import AbstractObjective
from latens.training.optimizer import Optimizer
from latens.training.step import TrainState
from latens.typing import PyTree


@dataclass(frozen=True)
class Budget:
    """How long a stage trains: the first of the given limits ends it. `patience` counts epochs without a gain."""

    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    patience: int | None = None

    def total_steps(self, steps_per_epoch: int) -> int | None:
        """The number of steps, where it is known beforehand."""
        limits = [] if self.steps is None else [self.steps]
        limits += [] if self.epochs is None else [max(1, round(self.epochs * steps_per_epoch))]
        return min(limits) if limits else None


@dataclass(frozen=True)
class Stage:
    """One part of a training plan: a start from the data, then steps of an optimiser under an objective.

    `start(model, data)` may look at the training rows; a stage without an optimiser only starts (closed-form fits).
    `data(model, data)`, where given, makes the rows that the stage trains on, from the model as it stands, also after a
    resume: of the same number, and made of parts of the model that the stage leaves alone.
    """

    objective: AbstractObjective | None
    optimizer: Optimizer | None
    budget: Budget = Budget()
    start: Callable[[Any, Dataset], Any] = lambda model, data: model
    data: Callable[[Any, Dataset], Dataset] | None = None


@dataclass(frozen=True)
class Settings:
    """How the loop runs. `chunk_steps` is the grid on which everything between steps happens; a chunk also ends at
    every multiple of `stop_every`, and at the `snapshot_steps` of `snapshots`. `validate_every` so many epochs a record
    of them is made and the model validated; a chunk may span them all. `drop_last` leaves the rows out that do not fill
    a batch, other ones each epoch."""

    batch_size: int = 128
    drop_last: bool = False
    seed: int = 0
    chunk_steps: int = 100
    stop_every: int | None = None
    snapshots: int | None = None
    validate: bool = True
    validate_every: int = 1
    validation_batch_size: int = 500
    restore_best: bool = True

    def steps_per_epoch(self, rows: int) -> int:
        """How many batches the training rows make."""
        size = min(self.batch_size, rows)
        return rows // size if self.drop_last else -(-rows // size)


def snapshot_steps(count: int, total: int | None) -> tuple[int, ...]:
    r"""About `count` steps, evenly spaced in the logarithm: 0 and $\mathrm{round}(T^{i/(n-2)})$ for i = 0 .. n - 2,
    each once (so small trainings give fewer).

    **Arguments:** `total` T, the steps of a stage; where it is not known beforehand the grid is that of a million
    steps, and goes on in the same ratio.

    >>> snapshot_steps(6, 10_000)
    (0, 1, 10, 100, 1000, 10000)
    """
    reach, last = total or 1_000_000, max(count - 2, 1)
    powers = range(last + 1 if total is not None else 3 * last + 1)
    return (0, *sorted({round(reach ** (i / last)) for i in powers}))


@dataclass
class LoopState:
    """Where the loop stands, as plain numbers: what a checkpoint holds beside the arrays.

    `step` and `epoch` count within the stage, `steps_before` the steps of the stages before it.
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
        """Steps of all stages so far."""
        return self.steps_before + self.step

    def to_json(self) -> dict[str, Any]:
        """The numbers for `loop.json`."""
        return asdict(self)


@dataclass
class Snapshot:
    """The complete state of a run between two chunks; `best` holds every array of the best (model, objective)."""

    loop: LoopState
    state: TrainState
    best: PyTree


@dataclass(frozen=True)
class Event:
    """What callbacks are told. `kind` is start, chunk, epoch, bad-chunk, bad-validation, boundary or
    stage-end.

    A reason to stop is heeded at the next boundary, where the snapshot is one to go on from.

    `record` holds plain numbers for the metrics file; `snapshot` the state (callbacks must not change it);
    `model()` builds the model as it would be evaluated now.
    """

    kind: str
    record: dict[str, Any]
    snapshot: Snapshot
    model: Callable[[], Any]
    rows_per_second: float = 0.0
    total_steps: int | None = None


Callback: TypeAlias = Callable[[Event], str | None]
"""Called at every event; returns None, or a reason to end: a text ends the stage at the next boundary as a spent budget
does (the model is then the best on validation), a `Pause` raises Interrupted there."""


class Pause(str):
    """A reason to stop for now and to go on later from the snapshot, as a signal asks for."""

    __slots__ = ()


Resume: TypeAlias = tuple[int, Callable[[TrainState, PyTree], Snapshot]]
"""The stage to go on with, and what gives its snapshot for a state and a `best` of the same structure."""


@dataclass(frozen=True)
class FitResult:
    """The trained model (best on validation, unless there was none), its history and the final state."""

    model: Any
    objective: AbstractObjective | None
    history: list[dict[str, Any]]
    snapshot: Snapshot


class Interrupted(Exception):
    """A callback asked for a `Pause` between two chunks; `snapshot` is where to go on."""

    def __init__(self, reason: str, snapshot: Snapshot) -> None:
        super().__init__(reason)
        self.reason, self.snapshot = reason, snapshot
