"""The training step as a pure function, and many of them compiled as one chunk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from latens.data import Preparation, prepare_batch
from latens.data.dataset import Batch
from latens.data.preparation import hide_cells, move_pictures
from latens.objectives import AbstractObjective, run_objective
from latens.runtime import random_keys
from latens.runtime.programs import Reused, compiled, less_work
from latens.trainable import partition_trainable, zeros_of
from latens.training.optimizers import Optimizer
from latens.training.shards import Devices, alone, devices_of, step_options, summed
from latens.typing import Array, Bool, Float, Int, Key, PyTree


class TrainState(eqx.Module):
    """All arrays of a training between two steps.

    Args:
        trainable: The arrays of (model, objective) that are trained.
        fixed: Their other arrays.
        opt_state: The optimiser's state.
        key: Random key of the training.
        step: Number of the step, shape ().
        learning_rate_factor: Factor on the learning rate, shape ().
    """

    trainable: PyTree
    fixed: PyTree
    opt_state: PyTree
    key: Key
    step: Int[Array, ""]
    learning_rate_factor: Float[Array, ""]


class StepInfo(NamedTuple):
    """What a step reports."""

    loss: Float[Array, ""]  # the number minimised, shape (), nats
    metrics: dict[str, tuple[Array, Array]]  # name -> (weighted sum, sum of weights)
    gradients_finite: Bool[Array, ""]  # whether every gradient was finite, shape ()


class ChunkResult(NamedTuple):
    """What a chunk of steps reports, summed over its steps."""

    metrics: dict[str, tuple[Array, Array]]  # name -> (weighted sum, sum of weights)
    loss: Float[Array, ""]  # sum of the numbers minimised, shape (), nats
    good: Bool[Array, ""]  # whether everything was finite and no loss exploded, shape (); True from the guarded program
    skipped: Int[Array, ""]  # steps that were skipped, shape (); 0 unless the guarded program ran
    first_bad: Int[Array, ""]  # index in the chunk of the first step that was skipped, shape (); -1 where there is none
    # name -> whether this part was bad in that step; empty unless the guarded program ran
    bad_terms: dict[str, Bool[Array, ""]]


class Program(NamedTuple):
    """The compiled functions of one stage."""

    init: Callable[[Key], TrainState]  # key -> the state before the first step
    chunk: Callable[[TrainState, Batch, Any, Any], tuple[TrainState, ChunkResult]]  # steps over a block of rows
    # the same, where steps that are not finite or explode are skipped
    guarded_chunk: Callable[[TrainState, Batch, Any, Any], tuple[TrainState, ChunkResult]]
    # metrics of a batch without training
    evaluate: Callable[[TrainState, Batch, Any, Key], dict[str, tuple[Array, Array]]]
    averaged: Callable[[TrainState], PyTree]  # gives every array as it is evaluated
    static: PyTree  # what is no array, of (model, objective)


def start_numbers() -> tuple[Array, Array]:
    """The step and the factor on the learning rate before the first step, without a compiled program."""
    return jax.device_put(np.int32(0)), jax.device_put(np.float32(1.0))


SMALL = 2**16
"""Numbers of an array at the most that is checked together with others."""

PROGRAMS = Reused(4)
"""The programs of the trainings last seen in this process: compiled code, of 30 MB for the smallest, and no data."""


def make_program(
    model: PyTree,
    objective: AbstractObjective,
    optimizer: Optimizer,
    preparation: Preparation,
    *,
    shards: int = 1,
    mean_weight: float | None = None,
    edges: tuple[int, ...] = (),
) -> Program:
    """Make the functions that train a model under an objective; nothing is compiled until one is called."""
    # A chunk takes rows with the leading axes (n, B) and how many of the n steps to take; one program serves every
    # length. A second training of the same structure, whatever its data and weights, takes the programs of the first.
    # Where several processes have shards of a batch, B is the rows of this one's.
    # mean_weight: the mean weight of the training rows, by which a batch is divided: over an epoch a row then counts as
    # often as its weight says, whatever rows it meets. None divides by the weight of the batch itself.
    # edges: the lengths that a batch of rows of text may be cut to; empty for other rows.
    trainable, rest = partition_trainable((model, objective))
    # Arrays are arguments of the programs, never constants in them: so a checkpoint holds them all.
    fixed, static = eqx.partition(rest, eqx.is_array)
    moves = type(objective).after_update is not AbstractObjective.after_update
    devices = devices_of(shards)
    parts = (static, optimizer, preparation, moves, shards, mean_weight, edges)
    numbers = tuple(device.id for device in devices) if shards > 1 else ()
    # Programs are kept by the shapes too: one that had all shapes would keep a compiled program for each for ever.
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves((trainable, fixed)))
    kept = PROGRAMS.get((*parts, numbers, shapes), lambda: (jax.tree.structure(static), _functions(*parts, devices)))
    # Two schedules that say the same are two functions to JAX, which then takes the models for different ones.
    start, *functions = kept[1] if kept[0] == jax.tree.structure(static) else _functions(*parts, devices)

    def init(key: Key) -> TrainState:
        return TrainState(trainable, fixed, start(trainable), key, *start_numbers())

    return Program(init, *functions, static=static)


def _functions(
    static: PyTree,
    optimizer: Optimizer,
    preparation: Preparation,
    moves: bool,
    shards: int,
    mean_weight: float | None,
    edges: tuple[int, ...],
    devices: tuple[Any, ...],
) -> tuple[Callable[..., Any], ...]:
    """What gives the optimiser's state, and the functions of a `Program` after its first."""
    step = _Step(static, optimizer, preparation, moves, shards, mean_weight, edges, len(devices))
    options = step_options(shards, static[0])
    steps = partial(compiled, options=lambda: options) if len(devices) == 1 else Devices(devices).spread
    # One program for all of the optimiser's state: array by array they would be compiled one by one.
    return (
        compiled(optimizer.init, options=lambda: less_work(0)),
        steps(step.chunk),
        steps(step.guarded_chunk),
        compiled(step.evaluate),
        compiled(step.averaged, options=lambda: less_work(0)),
    )


@dataclass(frozen=True, eq=False)  # a compiled method is known by its object
class _Step:
    """One step of training, and loops over it; `_functions` compiles them."""

    static: PyTree
    optimizer: Optimizer
    preparation: Preparation
    moves: bool  # whether the objective moves arrays that have no gradient
    shards: int
    mean_weight: float | None
    edges: tuple[int, ...]
    num_devices: int

    def _ready(self, state: TrainState, batch: Batch) -> tuple[Batch, Key]:
        """The prepared batch of a step, and the key of its draws."""
        data_key, draw_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        batch = move_pictures(self.preparation, batch, key=data_key)
        batch = prepare_batch(self.preparation, batch, key=data_key)
        return hide_cells(self.preparation, batch, key=data_key), draw_key

    def _loss(
        self, trainable: PyTree, state: TrainState, prepared: Batch, draw_key: Key
    ) -> tuple[Array, tuple[dict, Any]]:
        model, objective = eqx.combine(trainable, state.fixed, self.static)
        how: dict[str, Any] = {"training": True, "in_shards": self.shards > 1}
        loss, metrics, aux = run_objective(objective, model, prepared, key=draw_key, step=state.step, **how)
        return loss, (metrics, aux)

    def _slope(self, batch: Batch, state: TrainState) -> tuple[tuple[Array, tuple[dict, Any]], PyTree, Key]:
        def slope(batch: Batch, state: TrainState) -> Any:
            prepared, draw_key = self._ready(state, batch)
            loss = lambda trainable: self._loss(trainable, state, prepared, draw_key)  # noqa: E731
            return *jax.value_and_grad(loss, has_aux=True)(state.trainable), draw_key

        return cut_to_longest(slope, self.edges)(batch, state)

    def _updated(self, state: TrainState, gradients: PyTree) -> tuple[PyTree, PyTree]:
        factor = once_known(gradients, state.learning_rate_factor)
        updates, opt_state = self.optimizer.update(gradients, state.opt_state, state.trainable, factor)
        return optax.apply_updates(state.trainable, updates), opt_state

    def _expected(self, batch: Batch) -> Array:
        """What the rows of a batch that count would weigh together if each had the mean weight."""
        return jnp.sum(batch.weights > 0.0) * jnp.float32(self.mean_weight)

    def _taken(self, state: TrainState, batch: Batch, check_gradients: bool) -> tuple[TrainState, StepInfo]:
        """The state after a step."""
        if self.shards > 1:
            return self._taken_in_shards(state, batch, check_gradients)
        (loss, (metrics, aux)), gradients, draw_key = self._slope(batch, state)
        if self.mean_weight is not None:
            share = jnp.sum(batch.weights) / jnp.maximum(self._expected(batch), 1e-30)
            loss, gradients = loss * share, jax.tree.map(lambda leaf: leaf * share, gradients)
        (trainable, opt_state), fixed = self._updated(state, gradients), state.fixed
        if self.moves:
            key = jax.random.fold_in(draw_key, random_keys.AFTER_UPDATE)
            fixed = self._moved(trainable, fixed, aux, key=key, step=state.step)
        return _after(state, trainable, fixed, opt_state, loss, metrics, gradients if check_gradients else ())

    def _taken_in_shards(self, state: TrainState, batch: Batch, check_gradients: bool) -> tuple[TrainState, StepInfo]:
        """The same with the mean over shards by their weight: exact for means over rows and terms of parameters."""

        def one(part: Batch) -> tuple[Array, Array, dict, PyTree]:
            (loss, (metrics, _)), gradients, _ = self._slope(part, state)
            weight = jnp.sum(part.weights)
            counted = lambda leaf: jnp.where(weight > 0.0, weight * leaf, 0.0)  # noqa: E731 - of padding: no NaN either
            of = weight if self.mean_weight is None else self._expected(part)
            return of, counted(loss), metrics, jax.tree.map(counted, gradients)

        once = 1 + jnp.minimum(state.step, 0)
        sums = summed(one, batch, self.shards // self.num_devices, self.num_devices, once)

        def means(zero: Array) -> tuple[Array, dict, PyTree]:
            weight, loss, metrics, gradients = sums
            weight = jnp.where(weight > 0.0, weight, 1.0) + zero
            return loss / weight, metrics, jax.tree.map(lambda leaf: leaf / weight, gradients)

        def update(index: Array, trainable: PyTree, opt_state: PyTree) -> tuple[PyTree, PyTree]:
            now = eqx.tree_at(lambda s: (s.trainable, s.opt_state), state, (trainable, opt_state))
            return self._updated(now, means(index.astype(sums[0].dtype))[2])

        trainable, opt_state = alone(update, once, state.trainable, state.opt_state)
        loss, metrics, gradients = means(jnp.zeros((), sums[0].dtype))
        return _after(state, trainable, state.fixed, opt_state, loss, metrics, gradients if check_gradients else ())

    def _moved(self, trainable: PyTree, fixed: PyTree, aux: PyTree, *, key: Key, step: Array) -> PyTree:
        """The fixed arrays after the objective moved what has no gradient."""
        model, objective = eqx.combine(trainable, fixed, self.static)
        kept, rest = partition_trainable(objective.after_update(model, aux, key=key, step=step))
        pairs = zip(jax.tree.leaves(kept), jax.tree.leaves(trainable), strict=True)
        if any(new is not old for new, old in pairs):
            # An average or a momentum of the optimiser would not know of it.
            raise TypeError(f"{type(objective).__name__}.after_update changed a trained array: keep it in a Frozen")
        return eqx.filter(rest, eqx.is_array)

    def _changing(self, state: TrainState) -> tuple[PyTree, ...]:
        return (state.trainable, state.opt_state, *([state.fixed] if self.moves else []))

    def _empty_metrics(self, state: TrainState, rows: Batch) -> dict:
        # Without the gradient: tracing it takes most of the time.
        first = lambda s, r: self._loss(s.trainable, s, *self._ready(s, _row(r, jnp.array(0))))[1][0]  # noqa: E731
        return zeros_of(jax.eval_shape(first, state, rows))

    def chunk(self, state: TrainState, rows: Batch, count: Array, loss_limit: Array) -> tuple[TrainState, ChunkResult]:
        """Take several steps."""

        def body(index: Array, carry: tuple) -> tuple:
            state, sums, total, good = carry
            state, info = self._taken(state, _row(rows, index), False)
            good = good & (jnp.abs(info.loss) <= loss_limit)  # False for NaN too
            return state, jax.tree.map(jnp.add, sums, info.metrics), total + info.loss, good

        start = (state, self._empty_metrics(state, rows), jnp.zeros(()), jnp.array(True))
        state, sums, total, good = jax.lax.fori_loop(0, count, body, start)
        good = good & all_finite((*self._changing(state), sums))
        return state, ChunkResult(sums, total, good, jnp.array(0), jnp.array(-1), {})

    def guarded_chunk(
        self, state: TrainState, rows: Batch, count: Array, loss_limit: Array
    ) -> tuple[TrainState, ChunkResult]:
        """The same, but a step that is not finite or explodes changes nothing except the step number."""

        def body(index: Array, carry: tuple) -> tuple:
            state, sums, total, skipped, first_bad, terms = carry
            new, info = self._taken(state, _row(rows, index), True)
            checks = {name: jnp.isfinite(pair[0]) for name, pair in info.metrics.items()}
            checks["objective"] = jnp.abs(info.loss) <= loss_limit
            checks["gradient"] = info.gradients_finite
            checks["update"] = all_finite(self._changing(new))
            good = jnp.all(jnp.stack(list(checks.values())))
            kept = eqx.tree_at(lambda s: s.step, state, state.step + 1)
            state = jax.tree.map(lambda a, b: jax.lax.select(good, a, b), new, kept)
            add = lambda a, b: a + jnp.where(good, b, 0.0)  # noqa: E731
            is_first = ~good & (first_bad < 0)
            first_bad = jnp.where(is_first, index, first_bad)
            terms = {name: jnp.where(is_first, ~checks[name], terms[name]) for name in terms}
            sums = jax.tree.map(add, sums, info.metrics)
            return state, sums, add(total, info.loss), skipped + ~good, first_bad, terms

        sums = self._empty_metrics(state, rows)
        terms = {name: jnp.array(False) for name in (*sums, "objective", "gradient", "update")}
        start = (state, sums, jnp.zeros(()), jnp.array(0), jnp.array(-1), terms)
        state, sums, total, skipped, first_bad, terms = jax.lax.fori_loop(0, count, body, start)
        return state, ChunkResult(sums, total, jnp.array(True), skipped, first_bad, terms)

    def averaged(self, state: TrainState) -> PyTree:
        """Every array as it is evaluated."""
        return eqx.combine(self.optimizer.evaluate(state.opt_state, state.trainable), state.fixed)

    def evaluate(self, state: TrainState, rows: Batch, count: Array, key: Key) -> dict[str, tuple[Array, Array]]:
        """Sum the metrics of batches without training."""
        data_key, draw_key = jax.random.split(key)
        model, objective = eqx.combine(jax.jit(self.averaged)(state), self.static)

        @partial(cut_to_longest, edges=self.edges)
        def metrics_of(batch: Batch) -> dict:
            prepared = prepare_batch(self.preparation, batch, key=data_key)
            return run_objective(objective, model, prepared, key=draw_key, step=state.step, training=False)[1]

        start = zeros_of(jax.eval_shape(lambda r: metrics_of(_row(r, jnp.array(0))), rows))
        body = lambda i, sums: jax.tree.map(jnp.add, sums, metrics_of(_row(rows, i)))  # noqa: E731
        return jax.lax.fori_loop(0, count, body, start)


def _row(rows: Batch, index: Array) -> Batch:
    return jax.tree.map(lambda leaf: leaf[index], rows)


def _after(
    state: TrainState, trainable: PyTree, fixed: PyTree, opt_state: PyTree, loss: Array, metrics: dict, checked: PyTree
) -> tuple[TrainState, StepInfo]:
    new = TrainState(trainable, fixed, opt_state, state.key, state.step + 1, state.learning_rate_factor)
    return new, StepInfo(loss, metrics, all_finite(checked))


def cut_to_longest(function: Callable[..., PyTree], edges: tuple[int, ...]) -> Callable[..., PyTree]:
    """Cut the rows of text of a function's batch to the least of some lengths that holds them all."""
    # The lengths are branches of one program, of which a step takes one: so it must not stand in a `vmap`.
    if len(edges) < 2:
        return function

    def branch(length: int) -> Callable[..., PyTree]:
        return lambda batch, *more: function(eqx.tree_at(cells, batch, replace_fn=lambda x: x[:, :length]), *more)

    def chosen(batch: Batch, *more: PyTree) -> PyTree:
        needed = jnp.sum(batch.x > 0, axis=1) + 1  # the end is a step
        longest = jnp.max(jnp.where(batch.weights > 0.0, needed, 0))
        return jax.lax.switch(jnp.sum(longest > jnp.array(edges[:-1])), list(map(branch, edges)), batch, *more)

    def cells(batch: Batch) -> tuple[Any, ...]:
        return (batch.x,) if batch.mask is None else (batch.x, batch.mask)

    return chosen


def once_known(tree: PyTree, number: Array) -> Array:
    """Hold a number back until every array of a tree is known, as far as the compiler sees."""
    # A layer's gradient needs the weights of the layers above it, so an update that waits for all gradients comes after
    # the last use of every weight, and is written in its place: without this XLA copies the weights in each step. Where
    # gradients are better used up as they come, on an accelerator, nothing is made to wait.
    if jax.default_backend() != "cpu":
        return number
    firsts = [jnp.ravel(leaf)[0].astype(jnp.float32) for leaf in jax.tree.leaves(tree) if leaf.size]
    bits = jax.lax.bitcast_convert_type(jnp.asarray(sum(firsts), jnp.float32), jnp.int32)
    # The smaller of 0 and a last bit is 0; XLA does not know this, the compiler after it does.
    return number + jnp.minimum(bits & 1, 0).astype(number.dtype)


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Say whether every floating-point number of a tree is finite."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]
    # Small arrays as one: each would have loops of its own, a quarter of all that a chunk of a small table has.
    large = [leaf for leaf in leaves if leaf.size > SMALL]
    small = [jnp.concatenate([jnp.zeros(1), *(jnp.ravel(leaf) for leaf in leaves if leaf.size <= SMALL)])]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in [*small, *large]]))
