"""The arrays of a trained model in one whose categories took names."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from msgspec.structs import replace

from latens.data import Schema
from latens.errors import ConfigError
from latens.io.arrays import path_name
from latens.models.heads.table import TableHead, TableInput

_PROBE = 997
"""Names that a column gets to see which arrays depend on their number."""


def placed(old: Any, new: Any, schema: Schema, grown: Schema, build: Callable[[Schema], Any]) -> Any:
    """A new model with the arrays of an old one where they belong; what is of new names alone starts at 0."""
    # An output of 0 is the share of the training rows, and an input of 0 is a cell of which nothing is known.
    # schema, grown: those of the old model and the new one.
    # build: the model of a schema, without its numbers.
    pairs = zip(schema.types or (), grown.types or ())
    column = next(i for i, (one, other) in enumerate(pairs) if one != other)
    probe = build(_probed(schema, column))
    was, others, now = _leaves(old), _leaves(probe), _leaves(new)
    if not was.keys() == others.keys() == now.keys():
        raise _no_place(grown, column, "structure depends on their number")
    made = {name: leaf for name, leaf in now.items() if isinstance(leaf, TableHead | TableInput)}
    sizes = {
        kind: {(_size(was[name]), _size(others[name])): name for name in made if isinstance(made[name], kind)}
        for kind in (TableHead, TableInput)
    }
    if any(len(found) != 1 for found in sizes.values()) or sizes[TableHead].keys() & sizes[TableInput].keys():
        raise _no_place(grown, column, "structure depends on their number")
    parts = {pair: name for found in sizes.values() for pair, name in found.items()}
    abstract = any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(new))
    for name, leaf in now.items():
        if name in made or not hasattr(leaf, "shape"):
            continue
        axes = list(zip(was[name].shape, others[name].shape))
        along = [parts.get(pair) if pair[0] != pair[1] else "" for pair in axes]
        wanted = tuple(_size(now[part]) if part else size for part, size in zip(along, was[name].shape))
        if None in along or wanted != leaf.shape or len(axes) != len(others[name].shape):
            raise _no_place(grown, column, f"array {name} has no place for them")
        made[name] = leaf if abstract else _moved(was[name], leaf, along, was, now)
    leaves, structure = jax.tree_util.tree_flatten_with_path(new, is_leaf=_is_part)
    return structure.unflatten([made.get(path_name(path), leaf) for path, leaf in leaves])


def _moved(array: Any, into: Any, along: list[str | None], was: dict[str, Any], now: dict[str, Any]) -> Any:
    """An array whose entries lie where their names do; those that are new are 0."""
    if not any(along):
        return array
    pairs = []
    for part, size in zip(along, array.shape):
        if not part:
            pairs.append((np.arange(size), np.arange(size)))
            continue
        places = {slot: place for place, slot in enumerate(was[part].slots()) if slot is not None}
        kept = [(place, places[slot]) for place, slot in enumerate(now[part].slots()) if slot in places]
        pairs.append(tuple(np.array(kept).T))
    made = np.zeros(into.shape, array.dtype)
    made[np.ix_(*[to for to, _ in pairs])] = np.asarray(array)[np.ix_(*[source for _, source in pairs])]
    return jnp.asarray(made)


def _probed(schema: Schema, column: int) -> Schema:
    types = list(schema.types or ())
    one = types[column]
    shares = np.append(np.array(one.shares) / 2, np.full(_PROBE, 0.5 / _PROBE))
    values = (*one.values, *(f"\0{i}" for i in range(_PROBE)))
    types[column] = replace(one, values=values, shares=tuple(shares.tolist()))
    return replace(schema, types=tuple(types))


def _is_part(node: Any) -> bool:
    return isinstance(node, TableHead | TableInput)


def _leaves(model: Any) -> dict[str, Any]:
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(model, is_leaf=_is_part)}


def _size(part: TableHead | TableInput) -> int:
    return part.num_outputs if isinstance(part, TableHead) else part.shape[0]


def _no_place(schema: Schema, column: int, why: str) -> ConfigError:
    name = schema.names[column]
    what = f"column {name!r} has names that the model to start from lacks, and its {why}."
    return ConfigError(what, where="--from, warm_start", fix="Leave these rows out, or train a new model.")
