"""The memory that a training will take, told before it starts."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import Var, jaxprs_in_params

from latens.errors import ResourceError
from latens.io.process import free_memory
from latens.training import Stage
from latens.trees import partition_trainable

NOTED = 2**30
"""Bytes from which on the memory of a training is told."""

OF_PROGRAM = 3 * 2**27
"""Bytes of a process that computes, besides its arrays: Python, JAX and the compiled programs."""

FAR_ABOVE = 1.5
"""So many times the free memory are refused: the estimate is one."""


def stage_memory(stage: Stage, model: Any, program: Any, rows: int, row_bytes: int, chunk_rows: int) -> tuple[int, int]:
    """The bytes of a stage of training: those that do not depend on the rows, and those that do."""
    # With $P$ the bytes of the arrays and $O$ those of the optimiser's state, $4P + 2(P + O)$: gradients, the best
    # parameters, those evaluated, a file being written; and the state before and after a chunk, because a chunk in
    # which a step goes wrong is taken again. Then what a step keeps of each row of a batch, and the rows of a chunk.
    trained = eqx.filter_eval_shape(lambda parts: partition_trainable(parts)[0], (model, stage.objective))
    assert stage.optimizer is not None
    held, state = _bytes(trained), _bytes(eqx.filter_eval_shape(stage.optimizer.init, trained))
    shapes = {leaf.shape for leaf in jax.tree.leaves(trained) if hasattr(leaf, "shape") and len(leaf.shape) > 1}
    shapes |= {shape[::-1] for shape in shapes}
    return 6 * held + 2 * state, rows * _peak(program, shapes) + chunk_rows * row_bytes


def _bytes(tree: Any) -> int:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def _peak(jaxpr: Any, shared: set[tuple[int, ...]]) -> int:
    """The most bytes that are alive at once while a program of one row runs."""
    # Arrays of the `shared` shapes, which are weights and their gradients, do not count.

    def size(variable: Any) -> int:
        shape = getattr(variable.aval, "shape", ())
        return 0 if shape in shared or not hasattr(variable.aval, "dtype") else _bytes(variable.aval)

    last = {}
    for number, equation in enumerate(jaxpr.eqns):
        last |= {variable: number for variable in equation.invars if isinstance(variable, Var)}
    last |= {variable: len(jaxpr.eqns) for variable in jaxpr.outvars if isinstance(variable, Var)}
    alive = most = 0
    dying: dict[int, list[Any]] = {}
    for number, equation in enumerate(jaxpr.eqns):
        inner = max((_peak(part, shared) for part in jaxprs_in_params(equation.params)), default=0)
        made = [variable for variable in equation.outvars if variable in last]
        most = max(most, alive + max(inner, sum(map(size, made))))
        alive += sum(map(size, made))
        for variable in made:
            dying.setdefault(last[variable], []).append(variable)
        alive -= sum(map(size, dying.pop(number, [])))
    return most


def draws_of(objective: Any) -> dict[str, int]:
    """What an objective computes several of for each row, by the option that says how many."""
    values = {field.name: getattr(objective, field.name) for field in dataclasses.fields(objective)}
    counts = {f"objective.{name}": value for name, value in values.items() if name.startswith("num_")}
    return {name: value for name, value in counts.items() if type(value) is int and name != "objective.num_rows"}


def memory_note(fixed: int, of_rows: int, counts: Mapping[str, int] | None = None) -> list[str]:
    """The sentence about a training's memory, where it is worth one."""
    needed, free = fixed + of_rows, free_memory()
    if needed < NOTED:
        return []
    told = (
        f"about {(needed + OF_PROGRAM) / 2**30:.1f} GB of memory ({fixed / 2**30:.1f} for weights and their optimiser, "
    )
    told += f"{of_rows / 2**30:.1f} for a batch and the rows of a chunk, {OF_PROGRAM / 2**30:.1f} for the program)"
    if free is not None and jax.default_backend() == "cpu" and needed > FAR_ABOVE * free:
        what = f"training would take {told}, and {free / 2**30:.1f} GB are free."
        option, many = max((counts or {}).items(), key=lambda pair: pair[1], default=("training.batch_size", 0))
        options = "--batch-size 8" if of_rows > fixed else "--set network.hidden=64,64"
        fix = f"Try {options}, smaller pictures, or a convolutional network (--recipe conv-vae)."
        if of_rows > fixed and option != "training.batch_size":
            fix = f"Try --set {option}={max(1, int(many * max(free - fixed, 0) / (2 * of_rows)))} or fewer."
        raise ResourceError(what, where="memory", fix=fix)
    return [told]
