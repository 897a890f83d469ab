"""Which cells of a table are empty: how often, and where another column says it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from latens.data.columns import ColumnType
from latens.data.dataset import TRAIN, Dataset
from latens.data.rows import uniforms
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

BINS = 8
"""Parts of like many rows that a number or a date is cut into."""
MOST_NAMES, MOST_COLUMNS, MOST_ROWS = 50, 100, 5000
"""Names of a column that may say where another is empty, columns that are looked at for it, and rows."""
RARE = 0.005
"""Share of empty cells below which those of a column are slips, or mistakes that were taken out: new rows have none."""
PRIOR = 2.0
"""Rows with the share of the whole column that each part has beside its own."""
BY_CHANCE = 0.02
"""How probable it may be that one of all columns looked at says more than none by chance."""
SALT = 0x6A95
"""Of the numbers that choose which cells are empty."""


class Gaps(NamedTuple):
    """How often a column is empty, in each part of another one."""

    column: str
    other: str  # empty where no column says more than the share alone
    starts: tuple[int, ...]  # the first stored cell of each part of the other column
    shares: tuple[float, ...]  # of empty cells in each part, and last where the other column is empty itself


def found_in(data: Dataset) -> tuple[Gaps, ...]:
    r"""Find for each column of a mixed table with gaps the column that says best where it is empty."""
    from scipy.stats import norm

    # By the log probability of each row's gap under the shares of the others with it,
    # $(n_1 - m + a s) / (n - 1 + a)$, less that of the share of the whole column. Columns with fewer gaps come first,
    # and may only be told by those before them, so that gaps can be drawn in this order.
    types, mask, x = data.schema.types or (), getattr(data, "mask", None), getattr(data, "x", None)
    if mask is None or not types or not isinstance(x, np.ndarray) or x.ndim != 2:
        return ()
    rows = np.flatnonzero(data.split == TRAIN)[:MOST_ROWS]
    x, gone = np.asarray(x)[rows], ~np.asarray(mask)[rows]
    names = data.schema.names
    order = np.argsort(gone.sum(axis=0), kind="stable").tolist()
    near = order[:MOST_COLUMNS]
    starts = {k: _parts(types[k], x[:, k], gone[:, k]) for k in near}
    parts = {k: _part_of(cuts, x[:, k], gone[:, k]) for k, cuts in starts.items() if cuts}
    # New rows have none of few gaps, but the column is not one that is never empty.
    found = [Gaps(names[j], "", (), (0.0,)) for j in order if 0 < gone[:, j].mean() < RARE]
    for j in [j for j in order if gone[:, j].mean() >= RARE]:
        share, part, best = float(gone[:, j].mean()), np.zeros(len(rows), np.int64), (0.0, -1)
        alone = _log_chance(part, gone[:, j], share)
        others = [k for k in near[: order.index(j)] if k in parts]
        errors = float(norm.isf(BY_CHANCE / max(len(others), 1)))  # of the gain per row
        for k in others:
            gain = _log_chance(parts[k], gone[:, j], share) - alone
            if gain.mean() > max(best[0], errors * gain.std() / np.sqrt(len(rows))):
                best = (float(gain.mean()), k)
        k, cuts = best[1], starts.get(best[1], ())
        part = parts.get(k, part)
        count, empty = (np.bincount(part, of, len(cuts) + 1) for of in (None, gone[:, j]))
        shares = (empty + PRIOR * share) / (count + PRIOR)
        found.append(Gaps(names[j], "" if k < 0 else names[k], cuts, tuple(shares.tolist())))
    return tuple(found)


def _parts(one: ColumnType, stored: Shaped[np.ndarray, " n"], gone: np.ndarray) -> tuple[int, ...]:
    """The first cell of each part of a column; none of many names, or where all is empty."""
    if one.named:
        return tuple(range(one.cells)) if one.cells <= MOST_NAMES else ()
    if gone.all():
        return ()
    cuts = np.quantile(stored[~gone], np.linspace(0, 1, BINS + 1)[1:-1], method="nearest")
    return tuple(np.unique(np.asarray([0, *cuts], np.int64)).tolist())


def _part_of(starts: Sequence[int], stored: Shaped[np.ndarray, " n"], gone: np.ndarray) -> Shaped[np.ndarray, " n"]:
    """The part of each cell; of an empty one the last."""
    part = np.clip(np.searchsorted(np.asarray(starts), stored, side="right") - 1, 0, None)
    return np.where(gone, len(starts), part)


def _log_chance(part: Shaped[np.ndarray, " n"], empty: np.ndarray, share: float) -> Float[np.ndarray, " n"]:
    """The log probability of whether each cell is empty, by the other rows of its part."""
    count, gone = np.bincount(part), np.bincount(part, empty)
    chance = (gone[part] - empty + PRIOR * share) / (count[part] - 1 + PRIOR)
    return np.log(np.clip(np.where(empty, chance, 1.0 - chance), 1e-6, 1.0))


def read(stored: Any) -> tuple[Gaps, ...]:
    """The gaps that a model file tells of."""
    return rules_in(Gaps, stored, _sound, MOST_COLUMNS)


def _sound(rule: Gaps) -> bool:
    """Whether there is a share for each part of the other column, and one more."""
    shares = len(rule.shares) == len(rule.starts) + 1 <= 1001 and all(0 <= one <= 1 for one in rule.shares)
    return shares and list(rule.starts) == sorted(rule.starts) and all(0 <= one < 2**62 for one in rule.starts)


def drawn(
    rules: Sequence[Gaps], schema: Schema, x: Shaped[np.ndarray, "n columns"], seed: int
) -> Bool[np.ndarray, "n columns"]:
    """Draw which cells of stored rows are empty."""
    gone = np.zeros(x.shape, bool)
    for rule, j in _placed(rules, schema):
        gone[:, j] = uniforms(np.arange(len(x)), (SALT, seed, j)) < _shares(rule, schema, x, gone)
    return gone


def shares_of(
    rules: Sequence[Gaps], schema: Schema, x: Shaped[np.ndarray, "n columns"], gone: Bool[np.ndarray, "n columns"]
) -> Float[np.ndarray, "n columns"]:
    """How often a cell is empty in rows like each one; 0 in columns without gaps."""
    found = np.zeros(x.shape)
    for rule, j in _placed(rules, schema):
        found[:, j] = _shares(rule, schema, x, gone)
    return found


def _placed(rules: Sequence[Gaps], schema: Schema) -> list[tuple[Gaps, int]]:
    """The rules of columns that a table has, with the place of each column."""
    names = schema.names
    return [(one, names.index(one.column)) for one in rules if {one.column, one.other or one.column} <= set(names)]


def _shares(rule: Gaps, schema: Schema, x: np.ndarray, gone: np.ndarray) -> Float[np.ndarray, " n"]:
    if not rule.other:
        return np.full(len(x), rule.shares[0])
    k = schema.names.index(rule.other)
    return np.asarray(rule.shares)[_part_of(rule.starts, x[:, k], gone[:, k])]
