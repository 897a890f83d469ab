"""Which cells of a table are wrong, of the rows in which something that holds elsewhere does not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.data.dataset import Dataset
from latens.data.equations import numbers
from latens.data.exchanged import exchanged
from latens.data.implied import Implied, mended_by
from latens.data.rates import Rate, allowed_in
from latens.data.relations import Relation, relations_in
from latens.data.rules import broken_rules
from latens.data.sparse import columns_of
from latens.data.suspects import Suspicion, suspected, unlike

FAR_OUT, LOOSE = 0.01, 0.25
"""Share of a column's numbers that lie as far out as one that is blamed before the target of a rule; how much a kept
relation that is not exact counts beside a rule."""
NEAR = LOOSE + 1e-9
"""How much less than another cell of an exact rule one may explain and still be blamed."""
FEW, ENOUGH, SELDOM, LESS = 50, 50, 0.02, 0.2
"""Values of a column up to which, rows of a name from which on, the share of these up to which, and how much less often
than in all rows a value comes with a name that it is hardly found with."""


MOST_TIMES = 4
"""Looks at a table, each without what was found before: a great mistake hides lesser ones, and rules."""


def all_mistaken(data: Dataset) -> Bool[np.ndarray, "n columns"]:
    """Find the cells that are wrong, also those that are seen only where others are empty."""
    wrong, looks, _ = _looked(data, suspected(data))
    # By the rules that are left at last, another cell of a row may explain more.
    again = mistaken(data, looks[-1])
    return np.where(again.any(axis=1, keepdims=True), again, wrong)


def all_suspected(data: Dataset) -> list[Suspicion]:
    """Find what may not mean what it says, also what is seen only where wrong cells are empty."""
    found = suspected(data)
    if data.schema.types is None or not any(one.rows is not None and len(one.rows) for one in found):
        return found
    first, names = found, data.schema.names
    wrong, looks, later = _looked(data, found)
    found = suspected(data, looks[-1])
    heard = {(name, row) for one in found if one.rows is not None for name in one.columns for row in one.rows.tolist()}
    for one in first:  # a rule that is written the other way round without these cells
        rows = [] if one.rows is None else one.rows.tolist()
        own = {(name, row) for name in one.columns for row in rows if wrong[row, names.index(name)]}
        if own - heard:
            found.append(one)
            heard |= own
    told = {(one.columns[0], row) for one in found if one.rows is not None for row in one.rows.tolist()}
    for one in later:
        own = set() if one.rows is None else {(one.columns[0], row) for row in one.rows.tolist()}
        if own - told:
            found.append(one)
            told |= own
    return found


def _looked(
    data: Dataset, found: Sequence[Suspicion]
) -> tuple[Bool[np.ndarray, "n columns"], list[Dataset], list[Suspicion]]:
    """The cells that are wrong, the data as each look but the first has them, and what these looks find."""
    # found: what the first look finds. The last one has the data without all of these cells.
    wrong, looks, later = mistaken(data, found=found), [], []
    for _ in range(MOST_TIMES - 1):
        looks.append(replace(data, mask=~wrong if data.mask is None else np.asarray(data.mask) & ~wrong))
        later += (own := suspected(looks[-1]))
        if not (more := mistaken(looks[-1], found=own)).any():
            break
        wrong |= more
    return wrong, looks, later


def mistaken(
    data: Dataset, of: Dataset | None = None, *, found: Sequence[Suspicion] | None = None
) -> Bool[np.ndarray, "n columns"]:
    """Find the cells that are wrong at one look, of several in a row the one that explains most."""
    # A column that stands alone in what is said is wrong itself, and explains what else is broken in its row. Else the
    # one is wrong that is in most broken rules and fewest kept ones; of several one that lies far out, else the target.
    # of: the same rows without some cells, which say the rules; found: what is suspected, where it is known.
    # Source: de Kleer & Williams (1987), "Diagnosing multiple faults", with single faults first.
    names = data.schema.names
    shown = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    wrong = np.zeros(data.x.shape, bool)
    broken: dict[int, list[list[int]]] = {}
    for one in suspected(data, of) if found is None else found:
        at = [names.index(name) for name in dict.fromkeys(one.columns)]
        for row in () if one.rows is None else one.rows.tolist():
            if len(at) == 1:
                wrong[row, at] = True
            else:
                broken.setdefault(row, []).append(at)
    for k, one in enumerate(data.schema.types or ()):
        if one.after is not None:  # the time since a date that is wrong is not wrong itself
            wrong[:, k] &= ~wrong[:, names.index(one.after.column)]
            in_order = [row for row, rules in broken.items() if {k, names.index(one.after.column)} in map(set, rules)]
            rows = np.union1d(np.flatnonzero(wrong[:, k]), np.array(in_order, int))
            turned = exchanged(data, k, rows)
            for at, fits in turned.items():  # one of both dates explains it alone
                alone = rows[fits & (np.sum(list(turned.values()), axis=0) == 1)]
                wrong[alone, k] = False
                wrong[alone, at] = True
    if not broken:
        return wrong & shown
    exact: set[frozenset[int]] = set()
    score, far = _score(data, shown, of, exact), np.stack([_tail(column) for column in columns_of(data.x)], axis=1)
    seldom = _Seldom(data, shown)
    plain = np.array([one is None or not one.named for one in data.schema.types or [None] * len(names)])
    since = {k: names.index(one.after.column) for k, one in enumerate(data.schema.types or ()) if one.after is not None}
    for row, rules in broken.items():
        # What a time since a date breaks is the date's fault where this is wrong.
        left = [at for at in rules if not wrong[row, [*at, *(since[k] for k in at if k in since)]].any()]
        while left:
            at = np.array(list(dict.fromkeys(k for one in left for k in one)))
            near = NEAR if any(frozenset(one) in exact for one in left) else 0.0
            most = at[score[row, at] >= score[row, at].max() - near]
            inside = np.array([sum(k in one for one in left) for k in most.tolist()])
            most = most[inside == inside.max()]  # in most of what is broken there
            outer = most[plain[most] & (far[row, most] <= FAR_OUT)]
            rare = np.array([seldom(row, k, at) for k in most.tolist()])
            other = most[np.argmin(rare)]  # of equal ones the first
            blamed = outer[np.argmin(far[row, outer])] if len(outer) else other
            wrong[row, blamed] = True
            left = [at for at in left if blamed not in at]
    for k, one in enumerate(data.schema.types or ()):
        if one.after is not None:  # nor is it where a rule says so of the date
            wrong[:, k] &= ~wrong[:, names.index(one.after.column)]
    return wrong & shown


def misspelt(data: Dataset) -> dict[tuple[int, int], str]:
    """The cells with a misspelt name, by row and column, and the name that is meant."""
    names = data.schema.names
    found = {
        (row, names.index(one.columns[0])): one.right
        for one in suspected(data)
        if one.right and one.rows is not None
        for row in one.rows.tolist()
    }
    return {place: name for place, name in found.items() if place not in _breaking(data, found)} if found else {}


def _breaking(data: Dataset, right: dict[tuple[int, int], str]) -> set[tuple[int, int]]:
    """The cells with a misspelt name that break a rule also as it is meant: they hold another name by mistake."""
    x, types, names = np.array(data.x), data.schema.types or (), data.schema.names
    for (row, k), name in right.items():
        x[row, k] = types[k].values.index(name)
    meant, found = replace(data, x=x), set[tuple[int, int]]()
    for rule, wrong in broken_rules(meant):
        columns = {rule.target, *(rule.read if isinstance(rule, Implied) else rule.columns)}
        found |= {(row, k) for row, k in right if wrong[row] and names[k] in columns}
    return found


def _score(
    data: Dataset, shown: Bool[np.ndarray, "n columns"], of: Dataset | None, exact: set[frozenset[int]]
) -> Float[np.ndarray, "n columns"]:
    """In how many more rules that are broken in its row than in kept ones a cell is."""
    # exact: takes the places of the columns of each rule that is exact.
    names, score = data.schema.names, np.zeros(shown.shape)
    likely = np.zeros(shown.shape, bool)
    every: dict[frozenset[str], tuple[Any, np.ndarray]] = {
        frozenset((one.target, *(one.read if isinstance(one, Implied) else one.columns))): (one, wrong)
        for one, wrong in broken_rules(data, of)
    }
    exact |= {frozenset(names.index(name) for name in columns) for columns in every}
    for relation in relations_in(data):  # of a pair that tell each other once
        every.setdefault(frozenset((relation.target, *relation.columns)), (relation, unlike(relation)))
    cells = numbers(data.x, data.schema, data.mask, data.outside)
    for columns, (rule, wrong) in every.items():
        held = shown[:, [names.index(name) for name in columns]].all(axis=1) & ~wrong
        for name in columns:
            k, kept, off = names.index(name), held, wrong
            if isinstance(rule, Rate) and name == rule.base:  # nothing is a part of any number
                kept = held & (cells[:, names.index(rule.target)] != 0)
                allowed = allowed_in(rule, data.schema, data.x, data.mask, cells[:, k])
                off = wrong & (allowed & (np.asarray(rule.rates) > 0)).any(axis=1)
            if isinstance(rule, Implied) and name in rule.columns:  # no other name there would mend it
                off = wrong & mended_by(rule, data.schema, data.x, name)
            if isinstance(rule, Implied) and rule.cuts and name == rule.by:  # a wrong number may lie in the same range
                kept = np.zeros_like(held)
            loose = isinstance(rule, Relation)
            score[:, k] += np.where(off, 1.0, np.where(kept & (not loose), -1.0, 0.0))
            likely[:, k] |= kept & loose
    return score - LOOSE * likely  # many that are not exact say no more than one


class _Seldom:
    """How much less often a value comes with a name of its row than in all rows, where it hardly does; else 1."""

    def __init__(self, data: Dataset, shown: Bool[np.ndarray, "n columns"]) -> None:
        codes = [np.unique(column, return_inverse=True)[1] for column in columns_of(data.x)]
        self.codes = {k: code for k, code in enumerate(codes) if 1 < code.max(initial=0) + 1 <= FEW}
        self.shown, self.named = shown, [k for k in self.codes if data.schema.types and data.schema.types[k].named]

    def __call__(self, row: int, column: int, but: Int[np.ndarray, " k"]) -> float:
        """That of one cell, by the names of all columns but those that are suspected with it."""
        if column not in self.codes or not self.shown[row, column]:
            return 1.0
        own, least = self.codes[column] == self.codes[column][row], 1.0
        for other in self.named:
            if other in but or not self.shown[row, other]:
                continue
            both = self.shown[:, column] & self.shown[:, other]
            alike = both & (self.codes[other] == self.codes[other][row])
            if np.count_nonzero(alike) >= ENOUGH and (given := np.mean(own[alike])) <= SELDOM:
                least = min(least, float(given / np.mean(own[both])))
        return least if least < LESS else 1.0


def _tail(column: np.ndarray) -> np.ndarray:
    """The share of the cells of a column that lie as far out, or further, at the same end."""
    column = np.asarray(column, np.float64)
    ordered = np.sort(column)
    below, above = np.searchsorted(ordered, column, "right"), len(column) - np.searchsorted(ordered, column, "left")
    return np.minimum(below, above) / len(column)
