"""The training loop: chunks of compiled steps, with validation, early stopping, recovery and callbacks between them."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import equinox as eqx
import jax
import numpy as np
import optax

from latens.data import Dataset, Preparation
from latens.data.dataset import BLOCK, Batch, Shuffled
from latens.data.row_fields import philox
from latens.errors import ConfigError, DivergedError, UsageError, refuse_other
from latens.kinds import kind_of
from latens.kinds.text.vocabulary import by_buckets, steps_of
from latens.objectives import ELBO, AbstractObjective
from latens.runtime import random_keys
from latens.runtime.compilation import check_generator, check_process
from latens.training import shards
from latens.training.optimizers import Optimizer, make_optimizer
from latens.training.own_parts import check_own_parts
from latens.training.shards import check_shards
from latens.training.stages import (
    Budget,
    Callback,
    Event,
    FitResult,
    Interrupted,
    LoopState,
    Pause,
    Resume,
    Settings,
    Snapshot,
    Stage,
    patience_of,
    snapshot_steps,
)
from latens.training.step import ChunkResult, Program, TrainState, make_program, start_numbers
from latens.typing import PyTree, checked_later


@checked_later
def fit(
    model: PyTree,
    data: Dataset,
    stages: Sequence[Stage] | Stage | None = None,
    *,
    objective: AbstractObjective | None = None,
    optimizer: Optimizer | optax.GradientTransformation | None = None,
    epochs: float | None = None,
    preparation: Preparation | None = None,
    settings: Settings | None = None,
    callbacks: Sequence[Callback] = (),
    resume: Resume | None = None,
) -> FitResult:
    """Train a model on the training rows of a data set.

    Args:
        model: The model with its initial weights.
        data: The data set with its training and validation rows.
        stages: The stages of the training. None: one stage with `objective`, `optimizer` and `epochs`.
        objective: The objective, without `stages`. None: the evidence lower bound.
        optimizer: An optimiser of latens or optax, without `stages`. None: Adam with a learning rate of 0.001.
        epochs: Maximum number of passes over the training rows, without `stages`. None: 100. If there are validation
            rows, training stops after 10 epochs without improvement.
        preparation: The transformation of a stored row before the model. None: no change, which real numbers, shares,
            zeros and ones allow.
        settings: Batch size, seed and validation. None: `Settings()`.
        callbacks: Functions that latens calls with every event.
        resume: The stage and the snapshot to resume from. None: a new training.

    Returns:
        The trained model, its history and the final state.

    Raises:
        ConfigError: `stages` are passed together with an objective, optimiser or epochs, or a preparation is needed.
        DivergedError: Training stays non-finite.
        Interrupted: A callback returned a `Pause`.
        UsageError: This process was forked from one that computed, or an argument has the wrong type.
        ValueError: A stage has an optimiser but no objective.
    """
    refuse_other(data, Dataset, "data", "Give latens.read(rows).")
    refuse_other(settings, (Settings, type(None)), "settings", "Give latens.training.Settings(...), or None.")
    refuse_other(preparation, (Preparation, type(None)), "preparation", "Give that of a model, or None.")
    refuse_other(callbacks, (list, tuple), "callbacks", "Give a list of functions of an event.")
    stages = _stages(stages, data, objective, optimizer, epochs)
    refuse_other(model, eqx.Module, "model", "Give a model, for example latens.LatentModel(...) or trained.model.")
    preparation = _preparation(data) if preparation is None else preparation
    settings = Settings() if settings is None else settings
    check_process()
    if resume is None:  # a run goes on with the generator that it began with
        check_generator(random_keys.of_seed(settings.seed))
    history: list[dict[str, Any]] = []
    snapshot, objective, steps, seconds = None, stages[-1].objective, 0, 0.0
    for index, stage in enumerate(stages):
        began, loop = time.perf_counter(), LoopState(index, steps)
        if stage.again:
            if resume is None or index > resume[0]:  # else the snapshot says how many steps
                loop.best_step = best_steps(snapshot, settings)
            data = data.validation_as_train()
        model = stage.start(model, data)
        if resume is not None and index < resume[0]:
            continue  # of a stage that is over only the structure counts: its numbers are in the snapshot
        if stage.optimizer is None:
            seconds += time.perf_counter() - began
            continue
        if stage.objective is None:
            raise ValueError("a stage with an optimizer needs an objective")
        if resume is None:
            check_own_parts(model, data, preparation)
        run = _StageRun(loop, model, stage, data, preparation, settings, callbacks, history)
        if resume is not None and index == resume[0]:
            run.restore(resume[1](run.state, run.best))
        run.train()
        snapshot, (model, objective) = run.snapshot(), run.final()
        steps = snapshot.loop.total
    if snapshot is None:
        empty = TrainState((), (), (), random_keys.of_seed(settings.seed), *start_numbers())
        loop = LoopState(seconds=seconds, finished=True, stopped_because="closed form")
        snapshot = Snapshot(loop, empty, ())
    return FitResult(model, objective, history, snapshot)


def best_steps(snapshot: Snapshot | None, settings: Settings) -> int:
    """The steps that made the model of a stage: those until its best validation, or all."""
    if snapshot is None:
        return 0
    loop = snapshot.loop
    best = settings.restore_best and loop.best_value is not None
    return loop.best_step - loop.steps_before if best else loop.step


@checked_later
def _stages(
    stages: Sequence[Stage] | Stage | None,
    data: Dataset,
    objective: AbstractObjective | None,
    optimizer: Optimizer | optax.GradientTransformation | None,
    epochs: float | None,
) -> Sequence[Stage]:
    given = {"objective": objective, "optimizer": optimizer, "epochs": epochs}
    if stages is not None:
        beside = [name for name, value in given.items() if value is not None]
        if beside:
            what = f"a stage has its own {beside[0]}."
            raise ConfigError(
                what, where=beside[0], fix=f"Leave it out, or leave out the stages: fit(model, data, {beside[0]}=...)."
            )
        stages = [stages] if isinstance(stages, Stage) else stages
        if not isinstance(stages, list | tuple) or not stages or not all(isinstance(one, Stage) for one in stages):
            fix = "Give one Stage or a list of them."
            raise UsageError(f"{stages!r:.100} holds no stages.", where="stages", fix=fix)
        return stages
    refuse_other(objective, (AbstractObjective, type(None)), "objective", "Give for example latens.ELBO().")
    kinds = (Optimizer, optax.GradientTransformation, type(None))
    refuse_other(optimizer, kinds, "optimizer", 'Give for example latens.training.make_optimizer("adam").')
    patience = patience_of() if data.count("validation") else None
    budget = Budget(epochs=100.0 if epochs is None else epochs, patience=patience)
    return [Stage(ELBO() if objective is None else objective, optimizer or make_optimizer("adam"), budget)]


def _preparation(data: Dataset) -> Preparation:
    cells = data.schema.cells
    if cells.whole and (cells.grey or cells.logged):
        what = f"each cell is {cells.words}, and nothing says what the model sees of it."
        fix = "Give preparation=Preparation(divide=255.0), or Preparation() for the whole numbers themselves."
        raise ConfigError(what, where="preparation", fix=fix)
    return Preparation()


def _mean_weight(data: Dataset) -> float | None:
    """The mean weight of the training rows that have one above 0; None where no weights are in memory."""
    weight = None if data.weight is None else np.asarray(data.weight)[data.subset("train")]
    return None if weight is None or not (weight > 0).any() else float(np.mean(weight[weight > 0], dtype=np.float64))


class _StageRun:
    """One stage while it runs."""

    def __init__(self, loop, model, stage, data, preparation, settings, callbacks, history) -> None:
        self.stage, self.data, self.settings, self.loop = stage, data, settings, loop
        self.callbacks, self.history = callbacks, history
        self.objective: AbstractObjective = stage.objective
        self.train_rows = data.count("train")
        self.batch_size = min(settings.batch_size, self.train_rows)
        check_shards(settings.shards, self.batch_size, stage.objective)
        # A stage that makes its rows of those of the data has no rows of text.
        self.edges = () if stage.data is not None else buckets(data)
        options = {"shards": settings.shards, "mean_weight": _mean_weight(data), "edges": self.edges}
        self.program: Program = make_program(model, stage.objective, stage.optimizer, preparation, **options)
        key = random_keys.of_seed(settings.seed, loop.stage)
        self.state = self.program.init(key)
        self.best = eqx.combine(self.state.trainable, self.state.fixed)
        self.steps_per_epoch = settings.steps_per_epoch(self.train_rows)
        most = stage.budget.total_steps(self.steps_per_epoch)
        self.total_steps = loop.best_step if stage.again else most
        self.stops = snapshot_steps(settings.snapshots, self.total_steps) if settings.snapshots else ()
        self.round_steps = settings.validate_every * self.steps_per_epoch
        self.chunk_steps = min(settings.chunk_steps, most or settings.chunk_steps, self.round_steps)
        self.validation = data.subset("validation") if settings.validate else np.zeros(0, np.int64)
        self.reader: ReadSteps | None = None
        self.rows_per_second = 0.0
        self.asked: list[str] = []

    # --- the loop ---

    def train(self) -> None:
        if self.stage.data is not None:
            self.data = self.stage.data(self.current_model(), self.data)
        if self.loop.step == 0:
            self.emit("start", {} if self.settings.log_every is None or self.loop.total else self.before())
        while not self.loop.finished:
            if (because := self.spent()) is None:
                self.chunk()
            else:  # resumed where the budget had been used up
                self.end(because)
        self.emit("stage-end", {"event": "stage-end", "because": self.loop.stopped_because})

    def before(self) -> dict[str, Any]:
        """What the first step would report; it is not taken."""
        limit = np.float32(np.inf)
        _, result = self.program.chunk(self.state, self.rows(0, 1), np.int32(1), limit)
        means = {name: float(total) / max(float(weight), 1e-30) for name, (total, weight) in result.metrics.items()}
        epoch = self.loop.total / self.steps_per_epoch
        return {"event": "start", "step": self.loop.total, "epoch": epoch, "objective": float(result.loss), **means}

    def chunk(self) -> None:
        began, loop = time.perf_counter(), self.loop
        round_end = loop.epoch * self.steps_per_epoch + self.round_steps
        count = min(self.chunk_steps, round_end - loop.step)
        if self.total_steps is not None:
            count = min(count, self.total_steps - loop.step)
        for every in (self.settings.stop_every, self.settings.log_every):
            count = count if every is None else min(count, every - loop.total % every)
        count = min([count, *(step - loop.step for step in self.stops if step > loop.step)])
        rows = self.rows(loop.step, count)
        result = self.advance(rows, count)
        totals = {name: float(pair[0]) for name, pair in result.metrics.items()}
        weights = {name: float(pair[1]) for name, pair in result.metrics.items()}
        loop.step += count
        elapsed = time.perf_counter() - began
        loop.seconds += elapsed
        if self.stage.budget.minutes is not None:
            loop.seconds = shards.of_lead({"seconds": loop.seconds})["seconds"]
        self.rows_per_second = count * self.batch_size / elapsed
        kept = max(count - int(result.skipped), 1)
        record = {
            "event": "chunk",
            "step": loop.total,
            "epoch": loop.total / self.steps_per_epoch,
            "objective": float(result.loss) / kept,
            **{name: total / weights[name] if weights[name] else 0.0 for name, total in totals.items()},
        }
        if loop.loss_scale is None:
            loop.loss_scale = 1.0 + abs(record["objective"])
        # A metric may be one of some rows only, so each has a weight of its own.
        weights = {f"weight of {name}": weight for name, weight in weights.items()}
        for name, total in {**totals, **weights, "objective": float(result.loss), "steps": kept}.items():
            loop.running[name] = loop.running.get(name, 0.0) + total
        epoch_done = loop.step == round_end
        self.emit("chunk", record)
        if epoch_done:
            self.finish_epoch(True)
        if (because := self.spent()) is not None:
            self.end(because)
        # Only here is the state one that a run can go on from.
        self.emit("boundary", {})
        asked, self.asked = asked_of_all(self.asked), []
        if loop.finished or not asked:
            return
        if pauses := [reason for reason in asked if isinstance(reason, Pause)]:
            raise Interrupted(pauses[0], self.snapshot())
        if not epoch_done:
            self.finish_epoch(False)
        self.finish(asked[0])

    def spent(self) -> str | None:
        """Why the stage is over; None where it goes on."""
        loop, budget = self.loop, self.stage.budget
        if self.total_steps is not None and loop.step >= self.total_steps:
            return "budget"
        if budget.minutes is not None and loop.seconds >= 60 * budget.minutes:
            return "minutes"
        return "no gain on validation" if budget.patience is not None and loop.stale >= budget.patience else None

    def end(self, because: str) -> None:
        """End the stage; what callbacks are told before is a state that a larger budget goes on from."""
        self.emit("last", {})
        if self.loop.running:
            self.finish_epoch(False)
        self.finish(because)

    def finish(self, because: str) -> None:
        self.loop.finished, self.loop.stopped_because = True, because

    def finish_epoch(self, complete: bool) -> None:
        loop = self.loop
        running, loop.running = loop.running, {}
        steps = running.pop("steps", 0.0)
        objective = running.pop("objective", 0.0) / max(steps, 1.0)
        record: dict[str, Any] = {
            "event": "epoch",
            "step": loop.total,
            "epoch": loop.total / self.steps_per_epoch,
            "train_objective": objective,
            **{
                f"train_{name}": total / running[f"weight of {name}"] if running[f"weight of {name}"] else 0.0
                for name, total in running.items()
                if not name.startswith("weight of ")
            },
        }
        if complete:
            loop.epoch += self.settings.validate_every
        if len(self.validation):
            values = shards.of_lead(self.evaluate(self.validation))
            record |= {f"validation_{name}": value for name, value in values.items() if np.isfinite(value)}
            if bad := [name for name, value in values.items() if not np.isfinite(value)]:
                self.emit("bad-validation", {"event": "bad-validation", "step": loop.total, "terms": bad})
            self.track_best(values[self.objective.monitor])
        self.history.append(record)
        self.emit("epoch", record)

    def track_best(self, value: float) -> None:
        loop, sign = self.loop, 1.0 if self.objective.maximise else -1.0
        if np.isfinite(value) and (loop.best_value is None or sign * value > sign * loop.best_value):
            loop.best_value, loop.best_step, loop.stale = value, loop.total, 0
            self.best = self.program.averaged(self.state)
        else:
            loop.stale += self.settings.validate_every

    # --- steps, and the ways back from bad ones ---

    def advance(self, rows: Batch, count: int) -> ChunkResult:
        scale = self.loop.loss_scale
        limit = np.float32(np.inf if scale is None else 1e6 * scale)
        state, result = self.program.chunk(self.state, rows, np.int32(count), limit)
        if bool(result.good):
            self.loop.lost_chunks = 0
            self.state = state
            return result
        finite_limit = np.float32(np.finfo(np.float32).max if scale is None else 1e6 * scale)
        return self.replay(rows, count, finite_limit, last_try=False)

    def replay(self, rows: Batch, count: int, limit: np.float32, *, last_try: bool) -> ChunkResult:
        """Take the chunk again from its start, skipping bad steps; then once more with half the learning rate."""
        start = self.state
        state, result = self.program.guarded_chunk(start, rows, np.int32(count), limit)
        skipped, first = int(result.skipped), self.loop.total + int(result.first_bad) + 1
        bad = [name for name, is_bad in result.bad_terms.items() if bool(is_bad)]
        record = {"event": "bad-chunk", "step": self.loop.total, "first_bad_step": first, "terms": bad}
        record |= {"skipped": skipped, "learning_rate_factor": float(start.learning_rate_factor)}
        self.emit("bad-chunk", record)
        # One bad step is let pass, but not chunk after chunk in which nothing else is left.
        self.loop.lost_chunks = self.loop.lost_chunks + 1 if skipped == count else 0
        if skipped <= max(1, count // 20) and self.loop.lost_chunks < 3:
            self.loop.skipped += skipped
            self.state = state
            return result
        if not last_try:
            self.state = eqx.tree_at(lambda s: s.learning_rate_factor, start, 0.5 * start.learning_rate_factor)
            return self.replay(rows, count, limit, last_try=True)
        raise DivergedError(
            f"training is not finite from step {first} on: the first bad number is in "
            f"{bad[0] if bad else 'the update'} ({skipped} of {count} steps); skipping bad steps and halving the "
            "learning rate did not help.",
            where=f"stage {self.loop.stage}",
            fix="Look for extreme values with `latens check`, or lower the rate: --set optimizer.learning_rate=... "
            "In a part of your own, both branches of jnp.where need finite gradients.",
        )

    # --- rows ---

    def rows(self, first: int, count: int) -> Batch:
        """The rows of `count` steps from `first` on, led by (chunk_steps, B)."""
        # What an epoch lacks to fill its last batch is padded with weight 0.
        if self.reader is None:
            size = self.batch_size // shards.processes()
            part = slice(shards.number() * size, (shards.number() + 1) * size)
            self.reader = read_steps(
                self.data, self.settings.seed, self.batch_size, self.steps_per_epoch, self.chunk_steps, part=part
            )
        return self.reader(first, count)

    def evaluate(self, positions: np.ndarray) -> dict[str, float]:
        """Mean metrics over rows, with a fixed key, in the batches that training validation uses."""
        key = random_keys.of_seed(self.settings.seed, random_keys.VALIDATION)
        totals: dict[str, list[float]] = {}
        if len(self.edges) > 1:  # rows of like length are cut alike
            positions = positions[np.argsort(steps_of(self.data.x[positions]), kind="stable")]
        for rows, count in blocks_of(self.data, positions, self.settings.validation_batch_size):
            for name, (total, weight) in self.program.evaluate(self.state, rows, np.int32(count), key).items():
                pair = totals.setdefault(name, [0.0, 0.0])
                pair[0] += float(total)
                pair[1] += float(weight)
        return {name: total / weight for name, (total, weight) in totals.items() if weight}

    # --- state in and out ---

    def emit(self, kind: str, record: dict[str, Any]) -> None:
        speed, watched = self.rows_per_second, self.objective.monitor
        event = Event(kind, record, self.snapshot(), self.current_model, speed, self.total_steps, watched)
        self.asked += [reason for each in self.callbacks if isinstance(reason := each(event), str)]

    def snapshot(self) -> Snapshot:
        loop = replace(self.loop, running=dict(self.loop.running))
        return Snapshot(loop, self.state, self.best)

    def restore(self, snapshot: Snapshot) -> None:
        self.loop, self.state, self.best = snapshot.loop, snapshot.state, snapshot.best
        self.total_steps = self.loop.best_step if self.stage.again else self.total_steps
        if self.loop.finished and self.loop.stopped_because in ("budget", "minutes") and self.spent() is None:
            self.loop.finished = False  # the budget has grown

    def current_model(self) -> Any:
        model, _ = eqx.combine(self.program.averaged(self.state), self.program.static)
        return eqx.nn.inference_mode(model)

    def final(self) -> tuple[Any, AbstractObjective]:
        best = self.settings.restore_best and self.loop.best_value is not None
        model, objective = eqx.combine(self.best if best else self.program.averaged(self.state), self.program.static)
        return model, objective


def asked_of_all(reasons: Sequence[str]) -> list[str]:
    """The reasons to stop that callbacks gave, of each process the first of its pauses or else the first."""
    own = next((f"p{each}" for each in reasons if isinstance(each, Pause)), f"s{reasons[0]}" if reasons else "")
    told = shards.gather(own)
    return [Pause(each[1:]) if each[0] == "p" else each[1:] for each in told if each]


MOST_CELLS = 2**26
"""Features of the rows of a block at the most: 256 MB in single precision. Blocks of 8 batches of 500 rows fit up to
16,777 features a row."""

ReadSteps: TypeAlias = Callable[[int, int], Batch]
"""From the first step of a chunk, counted over all epochs, and the number of its steps to their rows."""


def read_steps(
    data: Dataset, seed: int, batch_size: int, steps_per_epoch: int, chunk_steps: int, *, part: slice = slice(None)
) -> ReadSteps:
    """Make what gives the rows of a chunk of steps."""
    # returns: a function that gives a `Batch` with the leading axes (chunk_steps, rows of the part); what an epoch
    # lacks to fill its last batch has weight 0.
    orders: dict[int, Any] = {}  # of the epoch that was last needed
    edges = buckets(data)
    needed = steps_of(data.x) if len(edges) > 1 else None

    def rows(first: int, count: int) -> Batch:
        places = np.full((count, batch_size), -1)
        for at, epoch, start, taken in _by_epoch(first, count, steps_per_epoch):
            if epoch not in orders:
                orders.clear()
                order = lazy_order(data, seed, epoch)
                if needed is not None:  # their batches are shuffled by a stream of their own
                    shuffle = philox((seed, epoch), (0, 0, 1, 0))
                    order = by_buckets(order[:], needed[order[:]], edges, batch_size, shuffle)
                orders[epoch] = order
            found = orders[epoch][start * batch_size : (start + taken) * batch_size]
            places[at : at + taken].reshape(-1)[: len(found)] = found
        return pad_rows(data, places[:, part].reshape(-1), chunk_steps, len(range(batch_size)[part]))

    return rows


def lazy_order(data: Dataset, seed: int, epoch: int) -> Shuffled | np.ndarray:
    """Give what slices give the parts of an epoch's order, a block at a time where that can be."""
    whole = data.labelled_share is not None and data.seen_label is not None
    return data.order(seed, epoch) if whole else Shuffled(data.split, seed, epoch, BLOCK)


def buckets(data: Dataset) -> tuple[int, ...]:
    """Give the lengths that batches of rows of text are cut to; none for other rows."""
    return kind_of(data.schema).buckets(data.schema)


def _by_epoch(first: int, count: int, steps_per_epoch: int) -> Iterator[tuple[int, int, int, int]]:
    """The steps of a chunk by epoch: how many came before, the epoch, its first step, and how many there are."""
    step = 0
    while step < count:
        epoch, start = divmod(first + step, steps_per_epoch)
        taken = min(count - step, steps_per_epoch - start)
        yield step, epoch, start, taken
        step += taken


def pad_rows(data: Dataset, positions: np.ndarray, num_batches: int, batch_size: int) -> Batch:
    """Gather rows into batches of one shape, padded with rows of weight 0."""
    # returns: a `Batch` with the leading axes (num_batches, batch_size); what is missing to it, and a position of -1,
    # is row 0 with weight 0.
    size = num_batches * batch_size
    padded = np.concatenate([positions, np.full(size - len(positions), -1, positions.dtype)])
    batch = data.rows(np.maximum(padded, 0))
    weight = np.ones(size, np.float32) if batch.weight is None else np.asarray(batch.weight, np.float32).copy()
    weight[padded < 0] = 0.0
    batch = eqx.tree_at(lambda b: b.weight, batch, weight, is_leaf=lambda leaf: leaf is None)
    return jax.tree.map(lambda leaf: leaf.reshape(num_batches, batch_size, *leaf.shape[1:]), batch)


def blocks_of(data: Dataset, positions: np.ndarray, batch_size: int) -> Iterator[tuple[Batch, int]]:
    """Go through rows in blocks of padded batches."""
    most = max(1, MOST_CELLS // math.prod(data.x.shape[1:]))
    batch_size = min(batch_size, max(1, most // 8))
    per_block = min(8, max(1, most // batch_size))
    size = per_block * batch_size
    for start in range(0, len(positions), size):
        part = positions[start : start + size]
        yield pad_rows(data, part, per_block, batch_size), -(-len(part) // batch_size)
