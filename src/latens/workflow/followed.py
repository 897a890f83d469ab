"""Columns that go along with a number that a rule moved: in new rows they are drawn anew, given all others."""

from collections.abc import Collection
from typing import Any

import numpy as np
from jaxtyping import Float

from latens.data.rules import near_in, placed
from latens.evaluation.latents.encode import redrawn
from latens.models.heads.tree import TreeHead
from latens.typing import Key


def followers(trained: Any, asked: Collection[str] = ()) -> list[int]:
    """The columns that no rule reads or gives, and that depend on a number which lines or sums of effects move."""
    # asked: columns of conditions, which stay. A judgement of hot and cold is of the temperature that a row has at
    # last, and not of the one that the model drew first.
    facts, schema = trained.facts, trained.schema
    names, near = list(schema.names), near_in(facts, schema)
    decoder = getattr(trained.model, "decoder", None)
    if not near or decoder is None or trained.is_point:
        return []
    bound = {name for one in (*near, *placed(facts, schema, names=True)) for name in (one.target, *one.columns)}
    free = {k for k, name in enumerate(names) if name not in bound and name not in asked}
    head = getattr(decoder, "head", None)
    if not isinstance(head, TreeHead):
        return sorted(free)
    edges = list(enumerate(np.asarray(head.parents.value).tolist()))
    edges += [] if head.by is None else [(k, int(head.by.value)) for k in range(len(names))]
    reached = {names.index(one.target) for one in placed(facts, schema)} | {names.index(one.target) for one in near}
    found: set[int] = set()
    while more := {a for pair in edges for a, b in (pair, pair[::-1]) if b in reached and a in free - found}:
        found |= more
        reached |= more
    return sorted(found)


def followed(
    model: Any, x: Float[np.ndarray, "n columns"], z: Any, places: Collection[int], key: Key, **how: Any
) -> Float[np.ndarray, "n columns"]:
    """Stored rows whose columns at these places are drawn given all others and what the row was drawn from."""
    # how: conditions, and whether z are codes, as `redrawn` takes them.
    if not places:
        return x
    hidden = np.isin(np.arange(x.shape[1]), list(places))
    return np.where(hidden, redrawn(model, z, x, hidden, key=key, **how), x).astype(x.dtype)
