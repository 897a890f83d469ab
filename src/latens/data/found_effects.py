"""Where several columns of a table say a number together: effects one after the other, by rows that fitted none."""

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from latens.data import equations, lines
from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.effects import (
    BANDS,
    MOST_TERMS,
    QUANTILES,
    Effects,
    Term,
    cell_of,
    computed_of,
    effect_of,
    scaled,
)
from latens.data.relations import LEAST_ROWS, MOST_COLUMNS, MOST_NAMES, TRIMMED, varied, width
from latens.data.schema import Schema

SOME = 2000
"""Rows by which effects are chosen."""
FOLDS = 5
"""Parts of the rows, each of which says how well the effects of the others hold."""
FEW, OF_A_KIND = 12, 8
"""Different numbers up to which a column counts as names, and rows of a name, or of a pair, that has an effect."""
TRIED = 3
"""Candidates that are tried at each step, those that go best with what is left."""
EARNED, SURE = 0.01, 2.5
"""Nats of a row that a further effect saves at the least, and how many of their errors."""
BEYOND_ONE = 0.08
"""Nats that all effects together save at the least beyond the best one alone: a tree of columns has that one."""
MUCH = 0.5
"""Part of what all other columns save from which on those before a target are enough."""
KNOTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Quantiles of a number between which its effect is straight, where it is bent."""
REACH = 0.5
"""How far a straight effect reaches beyond nearly all rows, as part of their range."""
RIDGE = 1.0
"""Rows by which effects are drawn to 0."""
IN_BAND = 100
"""Rows of a part of the sum that has a law of its own."""


class Block(NamedTuple):
    """The columns of a design that stand for an effect."""

    columns: tuple[int, ...]
    logs: bool
    knots: tuple[float, ...]
    kinds: tuple[tuple[float, ...], ...]  # stored cells of names, numbers of others
    design: Float[np.ndarray, "n k"]  # centred; 0 where a cell is missing


def found_in(
    data: Dataset, given: Mapping[str, Collection[str]], near: Sequence[lines.Line] = ()
) -> tuple[Effects, ...]:
    """Find numbers of a mixed table that several columns say better than one; given: computed columns, and of what."""
    types, names = data.schema.types or (), data.schema.names
    if not types or len(data) < LEAST_ROWS or not isinstance(data.x, np.ndarray):
        return ()
    _, cells = cells_in(data, data.subset("train"))
    if len(cells) < LEAST_ROWS:
        return ()
    # A product of two columns may say what neither does; what one column gives says as much as this.
    # Days between two dates stand for the second one, whose effect no names have.
    one_of = {name: next(iter(own)) for name, own in given.items() if len(set(own)) == 1}
    dated = {name for name, own in one_of.items() if own in names and types[names.index(own)].after is not None}
    left_out = (one_of.keys() - dated) | {one_of[name] for name in dated}
    usable = [k for k, name in enumerate(names) if name not in left_out][:MOST_COLUMNS]
    blocks = [block for k in usable for block in blocks_of(types[k], k, cells[:, k])]
    held = {*given, *(one.target for one in near)}
    along = {names.index(one.target): {names.index(name) for name in one.columns} for one in near}
    targets = [k for k in usable if types[k].kind == "number" and names[k] not in held and varied(cells[:, k])]
    of = {k: computed_of(name, given) for k, name in enumerate(names)}
    barred = {k: {k, *(names.index(name) for name in of[k])} for k in targets}
    found = [(one, k) for k in targets if (one := _best(k, cells, blocks, barred[k]))[0] >= BEYOND_ONE]
    found = [(one, k) for one, k in found if not _set_by_hand(cells[:, k], one[1], one[2])]
    kept: dict[int, tuple[bool, list[Block]]] = {}
    for (saved, logs, own), k in sorted(found, key=lambda each: -each[0][0]):
        # What is said by the target itself is left out, and what else says it is looked for.
        after = barred[k].union(*(barred.get(j, {j}) for j in (*kept, *along) if barred[k] & _above(j, kept, along)))
        if after & {j for block in own for j in block.columns}:
            saved, logs, own = _best(k, cells, blocks, after)
        if saved >= BEYOND_ONE:
            kept[k] = logs, own
    # A number that says another is said in turn by what does not hang on this: the flight by pressure and wind.
    for k in sorted({j for one in kept for j in _above(one, kept, along)} & {*targets} - kept.keys()):
        after = barred[k].union(*(barred.get(j, {j}) for j in (*kept, *along) if barred[k] & _above(j, kept, along)))
        saved, logs, own = _best(k, cells, blocks, after)
        if saved >= BEYOND_ONE and not _set_by_hand(cells[:, k], logs, own):
            kept[k] = logs, own
    made = [_fitted(data.schema, cells, k, *kept[k], of[k]) for k in _in_turn(kept, barred, along)]
    return tuple(one for one in made if one is not None and len(one.columns) > 1)


def _set_by_hand(column: Float[np.ndarray, " n"], logs: bool, own: Sequence[Block]) -> bool:
    """Whether several names say something of a number beside others, and nothing at all by themselves."""
    # A pressure is chosen whatever the wind is. Given how high the rocket flew the wind says something of it: so the
    # height is a consequence of both, and the pressure is none of the height and the wind.
    names = [block for block in own if block.kinds and len(block.columns) == 1]
    return len(names) > 1 and sum(_alone(column, logs, block) for block in names) <= 0.5 * EARNED


def _alone(column: Float[np.ndarray, " n"], logs: bool, block: Block) -> float:
    """The nats that an effect by itself saves of a column."""
    seen = np.isfinite(column)
    y = _widths(column[seen], logs)[0]
    if y is None:
        return 0.0
    folds = np.random.default_rng(0).permutation(len(y)) % FOLDS
    return float(np.mean(_nats(y - y.mean()) - _crossed(y, [block._replace(design=block.design[seen])], folds)[0]))


def _widths(column: Float[np.ndarray, " n"], logs: bool) -> tuple[Float[np.ndarray, " n"] | None, float]:
    """A column from its median in its own widths, rows far from it nearer, and the width; None without one."""
    y = scaled(column, logs)
    half = width(y)
    return (np.clip((y - np.median(y)) / half, -TRIMMED, TRIMMED) if half > 0 else None), half


def cells_in(
    data: Dataset, rows: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, "m columns"]]:
    """Some rows, and these in the units of their columns, names as their codes; NaN where a cell is missing."""
    rows = rows[np.argsort(data.row_id[rows], kind="stable")][:SOME]
    x, shown = np.asarray(data.x)[rows], None if data.mask is None else np.asarray(data.mask)[rows]
    outside = None if data.outside is None else np.asarray(data.outside)[rows]
    cells = equations.numbers(x, data.schema, shown, outside)
    named = [one.named for one in data.schema.types or ()]
    return rows, np.where(named, x if shown is None else np.where(shown, x, np.nan), cells)


def refitted(one: Effects, data: Dataset, rows: Int[np.ndarray, " n"]) -> Effects | None:
    """The same effects of the same columns, fitted to other rows; None where they are too few."""
    types, names, cells = list(data.schema.types or ()), data.schema.names, cells_in(data, rows)[1]
    if len(cells) < LEAST_ROWS:
        return None
    blocks = []
    for term in one.terms:
        at = tuple(names.index(name) for name in term.columns)
        kinds = [tuple(cell_of(types[j], word) for j, word in zip(at, words)) for words in term.kinds]
        own = cells[:, list(at)]
        blocks.append(_of_kinds(at, kinds, own) if kinds else _of_number(at[0], term.logs, term.knots, own[:, 0]))
    return _fitted(data.schema, cells, names.index(one.target), one.logs, blocks, one.of)


_Kept = Mapping[int, tuple[bool, list[Block]]]


def _above(k: int, kept: _Kept, along: Mapping[int, set[int]]) -> set[int]:
    """The columns that say a target, by effects or along a line, and those that say these."""
    found = {j for block in kept[k][1] for j in block.columns} if k in kept else along.get(k, set())
    return found.union(*(_above(j, kept, along) for j in found))


def _in_turn(kept: _Kept, barred: Mapping[int, set[int]], along: Mapping[int, set[int]]) -> list[int]:
    """The targets, those before others that they, or what is computed of them, say."""
    left, made = sorted(kept), []
    while left:
        first = [k for k in left if not any(barred[j] & _above(k, kept, along) for j in left if j != k)] or left[:1]
        made, left = [*made, *first], [k for k in left if k not in first]
    return made


def blocks_of(one: ColumnType, k: int, column: Float[np.ndarray, " n"]) -> Iterator[Block]:
    """The forms that the effect of a column may have."""
    seen = column[np.isfinite(column)]
    values, counts = np.unique(seen, return_counts=True)
    if len(values) < 2 or len(seen) < 0.5 * len(column):
        return
    if one.named or (one.kind == "number" and len(values) <= FEW):
        kinds = [(float(value),) for value, count in zip(values, counts) if count >= OF_A_KIND][:MOST_NAMES]
        if len(kinds) > 1:
            yield _of_kinds((k,), kinds, column[:, None])
        return
    for logs in (False, True) if seen.min() > 0 else (False,):
        low, high = (float(end) for end in np.quantile(scaled(seen, logs), [0.005, 0.995]))  # mistakes do not bend it
        if high > low:
            yield _of_number(k, logs, (low - REACH * (high - low), high + REACH * (high - low)), column)
    knots = np.unique(np.quantile(seen, [max(0.005, min(q, 0.995)) for q in KNOTS]))
    if len(knots) > 2:
        yield _of_number(k, False, tuple(knots.tolist()), column)


def _of_kinds(columns: tuple[int, ...], kinds: Sequence[tuple[float, ...]], cells: Float[np.ndarray, "n c"]) -> Block:
    design = np.stack([(cells == np.array(kind)).all(axis=1) for kind in kinds], axis=1).astype(np.float64)
    return Block(columns, False, (), tuple(kinds), design - design.mean(axis=0))


def _of_number(k: int, logs: bool, knots: tuple[float, ...], column: Float[np.ndarray, " n"]) -> Block:
    number = scaled(column, logs)
    hats = np.stack([np.interp(number, knots, row) for row in np.eye(len(knots))[1:]], axis=1)
    return Block((k,), logs, knots, (), np.nan_to_num(hats - np.nanmean(hats, axis=0)))


def _best(
    k: int, cells: Float[np.ndarray, "n columns"], blocks: Sequence[Block], barred: Collection[int]
) -> tuple[float, bool, list[Block]]:
    """What columns before a target say of it together, or, where that is much less, what all others do."""
    # Results stand behind what was set in most tables: the height of a plant goes by soil and place, its mass by these
    # and the height. By all others the height goes by the mass, and what was set has lost its effect.
    every = _chosen(cells[:, k], blocks, barred)
    before = _chosen(cells[:, k], blocks, {*barred, *range(k + 1, cells.shape[1])})
    return before if before[0] >= max(BEYOND_ONE, MUCH * every[0]) else every


def _chosen(
    column: Float[np.ndarray, " n"], blocks: Sequence[Block], barred: Collection[int]
) -> tuple[float, bool, list[Block]]:
    """The nats that effects save beyond the best one alone, whether they are of the logarithm, and the effects."""
    seen = np.isfinite(column)
    ways: list[tuple[float, float, bool, list[Block]]] = []
    for logs in (False, True) if np.nanmin(column) > 0 else (False,):
        y, half = _widths(column[seen], logs)
        if y is None:
            continue
        usable = [b._replace(design=b.design[seen]) for b in blocks if not set(b.columns) & set(barred)]
        saved, nats, own = _forward(y, usable)
        own_unit = math.log(half) + (float(np.mean(np.log(column[seen]))) if logs else 0.0)
        ways.append((float(nats.mean()) + own_unit, saved, logs, own))
    if not ways:
        return 0.0, False, []
    _, saved, logs, own = min(ways, key=lambda way: way[0])
    whole = {(b.columns, b.logs, b.knots): b for b in blocks}
    return saved, logs, [whole.get((b.columns, b.logs, b.knots), b) for b in own]  # pairs are of some rows alone


def _forward(y: Float[np.ndarray, " n"], blocks: Sequence[Block]) -> tuple[float, Float[np.ndarray, " n"], list[Block]]:
    """Effects one after the other: nats beyond the best one, those of each row, and what was chosen."""
    folds = np.random.default_rng(0).permutation(len(y)) % FOLDS
    kept: list[Block] = []
    left = y - y.mean()
    lost, first, done = _nats(left), None, False
    while len(kept) < MOST_TERMS:
        used = {b.columns for b in kept}
        open_ = [b for b in blocks if b.columns not in used]
        named = [b for b in kept if b.kinds and len(b.columns) == 1]
        open_ += _pairs(named, blocks if done else named, used, len(y))
        ranked = sorted(open_, key=lambda b: -_explains(left, b.design))[:TRIED]
        tried = [(*_crossed(y, [*kept, b], folds), b) for b in ranked]
        if not tried:
            break
        best = min(tried, key=lambda each: float(each[0].mean()))
        # The simplest form of the same column that is as good: a bent one is flat beyond its rows.
        same = [each for each in tried if each[2].columns == best[2].columns]
        as_good = [each for each in same if each[0].mean() <= best[0].mean() + EARNED]
        nats, rest, block = min(as_good, key=lambda each: each[2].design.shape[1])
        saved = lost - nats
        if saved.mean() < EARNED or saved.mean() < SURE * saved.std() / math.sqrt(len(y)):
            if done:
                break
            done = True  # at last a column without an effect of its own may have one with another
            continue
        kept, left, lost = [*kept, block], rest, nats
        first = nats if first is None else first
    return (0.0 if first is None else float((first - lost).mean())), lost, kept


def _pairs(kept: Sequence[Block], every: Sequence[Block], used: Collection[tuple[int, ...]], n: int) -> list[Block]:
    """The effects of two columns of names together, of which one has an effect."""
    # One of them has to have an effect: glue may hold the better the longer it dries, and others not.
    made: list[Block] = []
    for a, b in itertools.product(kept, [b for b in every if b.kinds and len(b.columns) == 1]):
        columns = (*a.columns, *b.columns)
        if a.columns == b.columns or any(columns[::-1] == one.columns for one in made):
            continue
        if columns in used or columns[::-1] in used or len(a.kinds) * len(b.kinds) > n / OF_A_KIND:
            continue
        own = [((*u, *v), (i, j)) for i, u in enumerate(a.kinds) for j, v in enumerate(b.kinds)]
        one, two = (each.design > each.design.min(axis=0) + 0.5 for each in (a, b))
        cells = [(kind, one[:, i] & two[:, j]) for kind, (i, j) in own]
        cells = [(kind, rows) for kind, rows in cells if rows.sum() >= OF_A_KIND]
        if len(cells) > 1:
            design = np.stack([rows for _, rows in cells], axis=1).astype(np.float64)
            made.append(Block(columns, False, (), tuple(kind for kind, _ in cells), design - design.mean(axis=0)))
    return made


def _explains(left: Float[np.ndarray, " n"], design: Float[np.ndarray, "n k"]) -> float:
    """How much of what is left an effect takes, but for what chance gives it."""
    return float(np.sum((left - design @ _solved(design, left)) ** 2)) * -(1.0 + 2.0 * design.shape[1] / len(left))


def _solved(design: Float[np.ndarray, "n k"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    gram = design.T @ design
    # Of names rows count, of other columns their spread: each is drawn to 0 as one row would.
    gram[np.diag_indices_from(gram)] += RIDGE * np.maximum(np.diag(gram) / len(design), 1e-12) + 1e-9
    return np.linalg.solve(gram, design.T @ y)


def _crossed(
    y: Float[np.ndarray, " n"], blocks: Sequence[Block], folds: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The nats of each row under effects that the other folds have, and what these leave of it."""
    design, left = np.concatenate([b.design for b in blocks], axis=1), np.zeros(len(y))
    for fold in range(FOLDS):
        own, others = folds == fold, folds != fold
        middle = y[others].mean()
        left[own] = y[own] - middle - design[own] @ _solved(design[others], y[others] - middle)
    return _nats(left), left


def _nats(left: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The nats of each row by a Normal law of what is left, rows far from it nearer."""
    square = np.minimum(np.abs(left), TRIMMED * max(width(left), 1e-12)) ** 2
    mean = max(float(square.mean()), 1e-24)
    return 0.5 * (math.log(mean) + square / mean)


def _fitted(
    schema: Schema,
    cells: Float[np.ndarray, "n columns"],
    k: int,
    logs: bool,
    blocks: Sequence[Block],
    of: tuple[str, ...],
) -> Effects | None:
    """The effects of all rows but those far from them, and what is left of these."""
    names = schema.names
    seen, y = np.isfinite(cells[:, k]), scaled(cells[:, k], logs)
    blocks = [_of_kinds(b.columns, b.kinds, cells[:, list(b.columns)]) if b.kinds else b for b in blocks]
    design, half = np.concatenate([b.design for b in blocks], axis=1), width(y)
    kept = seen & (np.abs(np.nan_to_num(y, nan=np.inf) - np.nanmedian(y)) <= 3.0 * TRIMMED * half)
    off, slopes = np.full(len(y), np.nan), np.zeros(design.shape[1])
    for _ in range(3):
        middle = design[kept].mean(axis=0)
        slopes = _solved(design[kept] - middle, y[kept] - y[kept].mean())
        off = y - y[kept].mean() - (design - middle) @ slopes
        half = width(off)
        kept = seen & (np.abs(np.nan_to_num(off, nan=np.inf)) <= TRIMMED * half)
    if kept.sum() < max(0.9 * seen.sum(), LEAST_ROWS) or not half > 0:
        return None
    # Rows without some of the columns lie further from the sum: its law is that of whole rows, where there are enough.
    whole = np.isfinite(cells[:, sorted({j for b in blocks for j in b.columns})]).all(axis=1)
    law = kept
    if (kept & whole).sum() >= LEAST_ROWS:
        half = width(off[seen & whole])
        law = whole & seen & (np.abs(np.nan_to_num(off, nan=np.inf)) <= TRIMMED * half)
    if not half > 0:
        return None
    terms, ends = [], np.cumsum([0, *(b.design.shape[1] for b in blocks)])
    for block, start, end in zip(blocks, ends, ends[1:]):
        term = term_of(schema, block, slopes[start:end])
        if block.knots:  # a missing number has the mean effect
            here = kept & np.isfinite(cells[:, block.columns[0]])
            effects = np.array(term.effects) - effect_of(term, schema, cells[here]).mean()
            term = term._replace(effects=tuple(effects.tolist()))
        terms.append(term._replace(spread=float(effect_of(term, schema, cells[kept]).std())))
    total = sum((effect_of(term, schema, cells) for term in terms), np.zeros(len(cells)))
    level = float(np.median((y - total)[law]))
    off, total = (y - total - level) / half, total + level
    bands = BANDS if law.sum() >= BANDS * IN_BAND else 1
    edges = np.quantile(total[law], np.linspace(0, 1, bands + 1)[1:-1])
    band, grid = np.searchsorted(edges, total), np.linspace(0.0, 1.0, QUANTILES)
    if any((law & (band == b)).sum() < OF_A_KIND for b in range(bands)):  # nearly all rows are of one kind
        bands, edges, band = 1, edges[:0], np.zeros(len(total), int)
    apart = tuple(tuple(np.quantile(off[law & (band == b)], grid).tolist()) for b in range(bands))
    return Effects(names[k], logs, level, tuple(terms), half, tuple(edges.tolist()), apart, of, int(seen.sum()))


def term_of(schema: Schema, block: Block, slopes: Float[np.ndarray, " k"]) -> Term:
    """The term of a block with these slopes."""
    types = list(schema.types or ())
    kinds = tuple(tuple(_word(types[j], cell) for j, cell in zip(block.columns, kind)) for kind in block.kinds)
    effects = (0.0, *slopes.tolist()) if block.knots else tuple(slopes.tolist())
    return Term(tuple(schema.names[j] for j in block.columns), block.logs, block.knots, kinds, effects, 0.0)


def _word(one: ColumnType, cell: float) -> str:
    return one.values[round(cell)] if one.named else repr(cell)
