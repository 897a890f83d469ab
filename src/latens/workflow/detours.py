"""Edges of a tree of columns that new rows leave out: what they join is joined again by a rule."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from latens.data import TEST, Dataset, effects, equations
from latens.data.rules import near_in
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in
from latens.models.heads.tree import TreeHead, edges_of
from latens.trees import Frozen

ROWS, MOST = 3000, 8
"""New rows by which edges are chosen, and edges that are tried."""
NEARER = 0.95
"""How much of its distance from the data is left, at the most, where an edge is left out."""
NAMES = 12
"""Names of a column that count, the most frequent ones."""


class Detour(NamedTuple):
    """An edge through which columns would depend on one another."""

    column: str
    through: tuple[str, ...]  # the number that a rule gives, and what is computed of it


def found_in(trained: Any, data: Dataset) -> list[list[Any]]:
    """The edges of a kept tree without which new rows are nearer to the data, as a model file holds them."""
    # A total joins its parts: in a tree they depend on one another through it. As it is computed of them afterwards, it
    # does not need them as neighbours, and length and width are as independent as they are.
    if not trained.facts.get("start", {}).get("kept") or type(data) is not Dataset:
        return []
    candidates = list(_candidates(trained))[:MOST]
    if not candidates:
        return []
    rows = np.flatnonzero(data.split != TEST)
    shown = np.ones((len(rows), len(data.schema.names)), bool) if data.mask is None else np.asarray(data.mask)[rows]
    names = np.array(data.schema.names)
    some = [k for k, name in enumerate(names) if any(name in columns for _, columns in candidates)]
    real, of = _joint(np.asarray(data.x)[rows], shown, data.schema, some)
    kept: list[Detour] = []

    def apart(cut: list[Detour]) -> np.ndarray:
        new = trained.with_facts(detours=[list(one) for one in cut]).sample(ROWS, seed=0)
        return (_joint(new, np.ones(new.shape, bool), data.schema, some)[0] - real) ** 2

    best = apart(kept)
    for one, columns in candidates:
        now, own = apart([*kept, one]), np.isin(names[of], [*columns])
        if now[np.ix_(own, own)].sum() <= NEARER * best[np.ix_(own, own)].sum():
            kept, best = [*kept, one], now
    return [list(one) for one in kept]


def _candidates(trained: Any) -> Iterator[tuple[Detour, set[str]]]:
    """Columns below a number that a rule gives of them, those that say least of it first, with all of the rule."""
    schema, facts = trained.schema, trained.facts
    head = getattr(trained.model.decoder, "head", None)
    if not isinstance(head, TreeHead):
        return
    names, (parents, nats) = list(schema.names), edges_of(head)
    exact = equations.placed(equations.read(facts.get("equations")), schema)
    given = {one.target: one.columns for one in exact}
    rules = [(one.target, effects.computed_of(one.target, given), one.columns) for one in exact if len(one.terms) > 1]
    for one in near_in(facts, schema):
        of = one.of if isinstance(one, effects.Effects) else effects.computed_of(one.target, given)
        rules.append((one.target, of, one.columns))
    found: dict[str, tuple[set[str], set[str]]] = {}  # through which numbers, and all columns of their rules
    for target, of, columns in rules:
        inner = {target, *of}
        for j in np.argsort(nats, kind="stable").tolist():
            if names[j] in columns and names[j] not in inner and names[int(parents[j])] in inner:
                through, every = found.setdefault(names[j], (set(), {names[j]}))
                through |= inner
                every |= {target, *columns}
    for name in sorted(found, key=lambda name: float(nats[names.index(name)])):
        yield Detour(name, tuple(sorted(found[name][0]))), found[name][1]


def _joint(
    x: np.ndarray, shown: np.ndarray, schema: Schema, columns: Sequence[int]
) -> tuple[Float[np.ndarray, "k k"], Int[np.ndarray, " k"]]:
    """The correlations of ranks of numbers and of names, 0 within a column; and the column of each."""
    parts, of = [], []
    types = schema.types or ()
    for k in columns:
        one = types[k]
        seen, cells = shown[:, k], np.round(np.asarray(x[:, k], np.float64))
        if one.named:
            often = np.argsort(-np.asarray(one.shares), kind="stable")[:NAMES] if one.count == one.cells else []
            own = [np.where(seen, cells == code, np.nan) for code in often]
        else:
            ranks = np.full(len(cells), np.nan)
            _, places, counts = np.unique(cells[seen], return_inverse=True, return_counts=True)
            ranks[seen] = (np.cumsum(counts) - 0.5 * counts)[places] / max(seen.sum(), 1)
            own = [ranks]
        parts += own
        of += [k] * len(own)
    table = np.stack(parts, axis=1)
    table = np.nan_to_num(table - np.nansum(table, axis=0) / np.maximum(np.isfinite(table).sum(axis=0), 1))
    table /= np.maximum(np.sqrt(np.mean(table**2, axis=0)), 1e-9)
    return np.where(np.equal.outer(of, of), 0.0, table.T @ table / len(table)), np.array(of)


def detours_of(facts: Mapping[str, Any]) -> tuple[Detour, ...]:
    """The edges that new rows leave out, as a model file holds them."""
    return rules_in(Detour, facts.get("detours"))


def without_detours(trained: Any, asked: Collection[str] = ()) -> Any:
    """The model for new rows; asked: columns of conditions, through which others have to be what they ask for."""
    cut = detours_of(trained.facts)
    head = getattr(getattr(trained.model, "decoder", None), "head", None)
    if not cut or not isinstance(head, TreeHead):
        return trained.model
    names = trained.schema.names
    alone = [names.index(one.column) for one in cut if one.column in names and not {*one.through} & {*asked}]
    if not alone:
        return trained.model
    places = jnp.asarray(sorted(set(alone)))
    counted, more = (array.at[..., places, :, :].set(0.0) for array in (head.counted.value, head.more))
    head = eqx.tree_at(lambda h: (h.counted, h.more), head, (Frozen(counted), more))
    return eqx.tree_at(lambda m: m.decoder.head, trained.model, head)
