"""Numbers of a table that several other columns say together: a sum of effects, and what is left of them."""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from latens.data import equations, lines
from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.relations import LEAST_ROWS, MOST_COLUMNS, MOST_NAMES, TRIMMED, varied, width
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

SOME = 3000
"""Rows by which effects are chosen."""
FOLDS = 5
"""Parts of the rows, each of which says how well the effects of the others hold."""
FEW, OF_A_KIND = 12, 8
"""Different numbers up to which a column counts as names, and rows of a name, or of a pair, that has an effect."""
MOST_TERMS, TRIED = 8, 3
"""Effects of a target at the most; candidates that are tried at each step, those that go best with what is left."""
EARNED, SURE = 0.01, 2.5
"""Nats of a row that a further effect saves at the least, and how many of their errors."""
BEYOND_ONE = 0.08
"""Nats that all effects together save at the least beyond the best one alone: a tree of columns has that one."""
KNOTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Quantiles of a number between which its effect is straight, where it is bent."""
REACH = 0.5
"""How far a straight effect reaches beyond nearly all rows, as part of their range."""
RIDGE = 1.0
"""Rows by which effects are drawn to 0."""
BANDS, IN_BAND, QUANTILES = 3, 100, 33
"""Parts of the sum with a law of their own of what is left, the rows that each one has, and the quantiles kept."""
HIDDEN = 0.5
"""How far effects of columns that are not known may spread, in widths, for the others to say a cell."""

COUNT = 100
"""Equally likely cells that stand for what a target may be."""
ROOTS = tuple(math.sqrt(p) for p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53))
"""Of primes, whose multiples fill a cube evenly: one for each column that is not known."""
FAR, LEAST_CHANCE = ((0.9, 1.0), (0.1, 3.0)), 1e-3
"""The parts of the law of what is left and their widths; the probability that a row is of another kind altogether."""

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?\Z", re.ASCII)
"""A number as its kind is written."""


class Term(NamedTuple):
    """The effect of one column, or of two columns of names together."""

    columns: tuple[str, ...]
    logs: bool  # whether its knots are logarithms
    knots: tuple[float, ...]  # of a number between which it is straight; none of names
    kinds: tuple[tuple[str, ...], ...]  # names, or numbers in digits, of each column; none of numbers with knots
    effects: tuple[float, ...]  # at each knot or kind; 0 of other kinds
    spread: float  # the standard deviation of its effect


class Effects(NamedTuple):
    """A number that lies about a sum of effects of other columns."""

    target: str
    logs: bool  # whether the sum is of its logarithm
    level: float
    terms: tuple[Term, ...]
    width: float  # half of what two thirds of the rows lie within
    edges: tuple[float, ...]  # of the sum, between its bands
    apart: tuple[tuple[float, ...], ...]  # the quantiles of what is left in each band, in widths
    of: tuple[str, ...]  # columns that are computed of the target: where one is known it says more
    rows: int

    @property
    def columns(self) -> tuple[str, ...]:
        """What says it."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.columns))

    @property
    def words(self) -> str:
        """What holds, as it stands in a sentence."""
        *first, last = (repr(name) for name in self.columns)
        return f"what {', '.join(first)} and {last} say together"


# --- how they are found ---


class _Block(NamedTuple):
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
    rows = np.sort(np.random.default_rng(0).permutation(len(data))[:SOME])
    shown = np.ones((len(rows), len(names)), bool) if data.mask is None else np.asarray(data.mask)[rows]
    outside = None if data.outside is None else np.asarray(data.outside)[rows]
    cells = equations.numbers(np.asarray(data.x)[rows], data.schema, shown, outside)
    cells = np.where([one.named for one in types], np.where(shown, np.asarray(data.x)[rows], np.nan), cells)
    # A product of two columns may say what neither does; what one column gives says as much as this.
    usable = [k for k, name in enumerate(names) if len(set(given.get(name, (1, 2)))) > 1][:MOST_COLUMNS]
    blocks = [block for k in usable for block in _blocks_of(types[k], k, cells[:, k])]
    # Lines are moved first: what they say may say others, and what says them stays.
    held = {*given, *(name for one in near for name in (one.target, *one.columns))}
    targets = [k for k in usable if types[k].kind == "number" and names[k] not in held and varied(cells[:, k])]
    of = {k: computed_of(name, given) for k, name in enumerate(names)}
    barred = {k: {k, *(names.index(name) for name in of[k])} for k in targets}
    found = [(one, k) for k in targets if (one := _chosen(cells[:, k], blocks, barred[k]))[0] >= BEYOND_ONE]
    kept: dict[int, tuple[bool, list[_Block]]] = {}
    for (saved, logs, own), k in sorted(found, key=lambda each: -each[0][0]):
        # What is said by the target itself is left out, and what else says it is looked for.
        after = barred[k].union(*(barred[j] for j in kept if barred[k] & _above(j, kept)))
        if after & {j for block in own for j in block.columns}:
            saved, logs, own = _chosen(cells[:, k], blocks, after)
        if saved >= BEYOND_ONE:
            kept[k] = logs, own
    made = [_fitted(data.schema, cells, k, *kept[k], of[k]) for k in _in_turn(kept, barred)]
    return tuple(one for one in made if one is not None and len(one.columns) > 1)


def _above(k: int, kept: Mapping[int, tuple[bool, list[_Block]]]) -> set[int]:
    """The columns that say a target, and those that say these."""
    found = {j for block in kept[k][1] for j in block.columns} if k in kept else set()
    return found.union(*(_above(j, kept) for j in found))


def _in_turn(kept: Mapping[int, tuple[bool, list[_Block]]], barred: Mapping[int, set[int]]) -> list[int]:
    """The targets, those before others that they, or what is computed of them, say."""
    left, made = sorted(kept), []
    while left:
        first = [k for k in left if not any(barred[j] & _above(k, kept) for j in left if j != k)] or left[:1]
        made, left = [*made, *first], [k for k in left if k not in first]
    return made


def computed_of(name: str, given: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The columns that are computed of one, or of such columns."""
    found, before = {name}, 0
    while len(found) > before:
        before = len(found)
        found |= {target for target, columns in given.items() if found & set(columns)}
    return tuple(sorted(found - {name}))


def _blocks_of(one: ColumnType, k: int, column: Float[np.ndarray, " n"]) -> Iterator[_Block]:
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
        scaled = np.log(seen) if logs else seen
        low, high = (float(end) for end in np.quantile(scaled, [0.005, 0.995]))  # mistakes do not bend it
        if high > low:
            yield _of_number(k, logs, (low - REACH * (high - low), high + REACH * (high - low)), column)
    knots = np.unique(np.quantile(seen, [max(0.005, min(q, 0.995)) for q in KNOTS]))
    if len(knots) > 2:
        yield _of_number(k, False, tuple(knots.tolist()), column)


def _of_kinds(columns: tuple[int, ...], kinds: Sequence[tuple[float, ...]], cells: Float[np.ndarray, "n c"]) -> _Block:
    design = np.stack([(cells == np.array(kind)).all(axis=1) for kind in kinds], axis=1).astype(np.float64)
    return _Block(columns, False, (), tuple(kinds), design - design.mean(axis=0))


def _of_number(k: int, logs: bool, knots: tuple[float, ...], column: Float[np.ndarray, " n"]) -> _Block:
    with np.errstate(all="ignore"):
        scaled = np.log(column) if logs else column
    hats = np.stack([np.interp(scaled, knots, row) for row in np.eye(len(knots))[1:]], axis=1)
    return _Block((k,), logs, knots, (), np.nan_to_num(hats - np.nanmean(hats, axis=0)))


def _chosen(
    column: Float[np.ndarray, " n"], blocks: Sequence[_Block], barred: Collection[int]
) -> tuple[float, bool, list[_Block]]:
    """The nats that effects save beyond the best one alone, whether they are of the logarithm, and the effects."""
    seen = np.isfinite(column)
    ways: list[tuple[float, float, bool, list[_Block]]] = []
    for logs in (False, True) if np.nanmin(column) > 0 else (False,):
        y = np.log(column[seen]) if logs else column[seen]
        half = width(y)
        if not half > 0:
            continue
        y = np.clip(y, *(np.median(y) + np.array([-TRIMMED, TRIMMED]) * half))
        usable = [b._replace(design=b.design[seen]) for b in blocks if not set(b.columns) & set(barred)]
        saved, nats, own = _forward(y, usable)
        ways.append((float(nats.mean()) + (float(np.mean(np.log(column[seen]))) if logs else 0.0), saved, logs, own))
    if not ways:
        return 0.0, False, []
    _, saved, logs, own = min(ways, key=lambda way: way[0])
    whole = {(b.columns, b.logs, b.knots): b for b in blocks}
    return saved, logs, [whole.get((b.columns, b.logs, b.knots), b) for b in own]  # pairs are of some rows alone


def _forward(
    y: Float[np.ndarray, " n"], blocks: Sequence[_Block]
) -> tuple[float, Float[np.ndarray, " n"], list[_Block]]:
    """Effects one after the other: nats beyond the best one, those of each row, and what was chosen."""
    folds = np.arange(len(y)) % FOLDS
    kept: list[_Block] = []
    left = y - y.mean()
    lost, first = _nats(left), None
    while len(kept) < MOST_TERMS:
        used = {b.columns for b in kept}
        open_ = [b for b in blocks if b.columns not in used]
        open_ += _pairs([b for b in kept if b.kinds and len(b.columns) == 1], used, len(y))
        ranked = sorted(open_, key=lambda b: -_explains(left, b.design))[:TRIED]
        tried = [(*_crossed(y, [*kept, b], folds), b) for b in ranked]
        if not tried:
            break
        nats, rest, block = min(tried, key=lambda each: float(each[0].mean()))
        saved = lost - nats
        if saved.mean() < EARNED or saved.mean() < SURE * saved.std() / math.sqrt(len(y)):
            break
        kept, left, lost = [*kept, block], rest, nats
        first = nats if first is None else first
    return (0.0 if first is None else float((first - lost).mean())), lost, kept


def _pairs(kept: Sequence[_Block], used: Collection[tuple[int, ...]], n: int) -> list[_Block]:
    """The effects of two columns of names together, of those that have one each."""
    made = []
    for a, b in combinations(kept, 2):
        columns = (*a.columns, *b.columns)
        if columns in used or columns[::-1] in used or len(a.kinds) * len(b.kinds) > n / OF_A_KIND:
            continue
        own = [((*u, *v), (i, j)) for i, u in enumerate(a.kinds) for j, v in enumerate(b.kinds)]
        one, two = (each.design > each.design.min(axis=0) + 0.5 for each in (a, b))
        cells = [(kind, one[:, i] & two[:, j]) for kind, (i, j) in own]
        cells = [(kind, rows) for kind, rows in cells if rows.sum() >= OF_A_KIND]
        if len(cells) > 1:
            design = np.stack([rows for _, rows in cells], axis=1).astype(np.float64)
            made.append(_Block(columns, False, (), tuple(kind for kind, _ in cells), design - design.mean(axis=0)))
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
    y: Float[np.ndarray, " n"], blocks: Sequence[_Block], folds: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The nats of each row under effects that the other folds have, and what these leave of it."""
    design, left = np.concatenate([b.design for b in blocks], axis=1), np.zeros(len(y))
    for fold in range(FOLDS):
        own, others = folds == fold, folds != fold
        middle = y[others].mean()
        left[own] = y[own] - middle - design[own] @ _solved(design[others], y[others] - middle)
    return _nats(left), left


def _nats(left: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The nats of each row by a Normal law of what is left, which rows far from it do not widen."""
    half = max(width(left), 1e-12)
    return math.log(half) + 0.5 * np.minimum(np.abs(left) / half, TRIMMED) ** 2


def _fitted(
    schema: Schema,
    cells: Float[np.ndarray, "n columns"],
    k: int,
    logs: bool,
    blocks: Sequence[_Block],
    of: tuple[str, ...],
) -> Effects | None:
    """The effects of all rows but those far from them, and what is left of these."""
    types, names = list(schema.types or ()), schema.names
    seen, y = np.isfinite(cells[:, k]), _scaled(cells[:, k], logs)
    blocks = [_of_kinds(b.columns, b.kinds, cells[:, list(b.columns)]) if b.kinds else b for b in blocks]
    design, half = np.concatenate([b.design for b in blocks], axis=1), width(y)
    kept = seen & (np.abs(np.nan_to_num(y, nan=np.inf) - np.nanmedian(y)) <= 3.0 * TRIMMED * half)
    slopes = np.zeros(design.shape[1])
    for _ in range(3):
        middle = design[kept].mean(axis=0)
        slopes = _solved(design[kept] - middle, y[kept] - y[kept].mean())
        off = y - y[kept].mean() - (design - middle) @ slopes
        half = width(off)
        kept = seen & (np.abs(np.nan_to_num(off, nan=np.inf)) <= TRIMMED * half)
    if kept.sum() < max(0.9 * seen.sum(), LEAST_ROWS) or not half > 0:
        return None
    terms, ends = [], np.cumsum([0, *(b.design.shape[1] for b in blocks)])
    for block, start, end in zip(blocks, ends, ends[1:]):
        columns, own = tuple(names[j] for j in block.columns), slopes[start:end]
        kinds = tuple(tuple(_word(types[j], cell) for j, cell in zip(block.columns, kind)) for kind in block.kinds)
        effects = np.array([0.0, *own]) if block.knots else own
        term = Term(columns, block.logs, block.knots, kinds, tuple(effects.tolist()), 0.0)
        effect = _effect(term, schema, cells)[kept]
        if block.knots:  # a missing number has the mean effect
            term = term._replace(effects=tuple((effects - effect.mean()).tolist()))
        terms.append(term._replace(spread=float(effect.std())))
    total = sum((_effect(term, schema, cells) for term in terms), np.zeros(len(cells)))
    level = float(np.median((y - total)[kept]))
    off, total = (y - total - level) / half, total + level
    bands = BANDS if kept.sum() >= BANDS * IN_BAND else 1
    edges = np.quantile(total[kept], np.linspace(0, 1, bands + 1)[1:-1])
    band, grid = np.searchsorted(edges, total), np.linspace(0.0, 1.0, QUANTILES)
    if any((kept & (band == b)).sum() < OF_A_KIND for b in range(bands)):
        return None
    apart = tuple(tuple(np.quantile(off[kept & (band == b)], grid).tolist()) for b in range(bands))
    return Effects(names[k], logs, level, tuple(terms), half, tuple(edges.tolist()), apart, of, int(seen.sum()))


def _word(one: ColumnType, cell: float) -> str:
    return one.values[round(cell)] if one.named else repr(cell)


def _scaled(column: Float[np.ndarray, " n"], logs: bool) -> Float[np.ndarray, " n"]:
    with np.errstate(all="ignore"):
        return np.log(column) if logs else np.asarray(column, np.float64)


# --- what they give ---


def placed(found: Sequence[Effects], schema: Schema) -> list[Effects]:
    """The effects between columns that a table has, of numbers and names as they were."""
    types = dict(zip(schema.names, schema.types or ()))

    def fits(term: Term) -> bool:
        own = [types.get(name) for name in term.columns]
        if term.knots:
            return all(one is not None and not one.named for one in own)
        return all(
            one is not None
            and (one.named or (one.kind == "number" and all(_NUMBER.match(kind[j]) for kind in term.kinds)))
            for j, one in enumerate(own)
        )

    return [
        one
        for one in found
        if one.target in types and types[one.target].kind == "number" and all(fits(term) for term in one.terms)
    ]


def cells_of(x: Float[np.ndarray, "n columns"], schema: Schema) -> Float[np.ndarray, "n columns"]:
    """Stored rows in the units of their columns, names as their codes."""
    named = np.array([one.named for one in schema.types or ()], bool)
    return np.where(named, np.round(x), equations.numbers(x, schema))


def _effect(term: Term, schema: Schema, cells: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """The effect of a term on each row: 0 where a cell is missing, or of another kind."""
    types, at = list(schema.types or ()), [schema.names.index(name) for name in term.columns]
    if term.knots:
        scaled = _scaled(cells[:, at[0]], term.logs)
        return np.where(np.isnan(scaled), 0.0, np.interp(scaled, term.knots, term.effects))
    made = np.zeros(len(cells))
    for words, effect in zip(term.kinds, term.effects):
        here = np.ones(len(cells), bool)
        for j, word in zip(at, words):
            here &= np.abs(cells[:, j] - _cell(types[j], word)) < 0.5 * (1.0 if types[j].named else types[j].step)
        made[here] = effect
    return made


def _cell(one: ColumnType, word: str) -> float:
    """The cell of a name, or the number of digits; NaN where a column has no such name."""
    if one.named:
        return float(one.values.index(word)) if word in one.values else math.nan
    return float(word)


def middle_of(one: Effects, schema: Schema, cells: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """The sum of the effects of each row."""
    return sum((_effect(term, schema, cells) for term in one.terms), np.full(len(cells), one.level))


def drawn(
    one: Effects, schema: Schema, x: Float[np.ndarray, "n columns"], u: Float[np.ndarray, " n"] | float
) -> Float[np.ndarray, " n"]:
    """The stored target of each row at a quantile of what is left."""
    own, total = (schema.types or ())[schema.names.index(one.target)], middle_of(one, schema, cells_of(x, schema))
    band, grid, u = (
        np.searchsorted(one.edges, total),
        np.linspace(0.0, 1.0, len(one.apart[0])),
        np.broadcast_to(u, len(x)),
    )
    left = np.zeros(len(x))
    for b, quantiles in enumerate(one.apart):
        left[band == b] = np.interp(u[band == b], grid, quantiles)
    with np.errstate(over="ignore"):
        made = total + one.width * left
        value = np.exp(made) if one.logs else made
    place = np.clip(np.nan_to_num(np.round((value - own.low) / own.step)), 0, own.size - 1)
    return own.occurring(place)


def _quantiles(
    one: Effects,
    schema: Schema,
    x: Float[np.ndarray, "n columns"],
    rng: np.random.Generator,
    usual: Float[np.ndarray, "m columns"] | None = None,
) -> Float[np.ndarray, " n"]:
    """Where each row lies around its sum among usual rows: what else the model knows of it stays."""
    # The model has some of the effects, and what it lacks of them is none of what it knows else: rows are ranked by how
    # far they lie from the sum with the strengths that the model's own rows have.
    among = x if usual is None else usual
    if len(among) < lines.RANKED:
        return rng.random(len(x))
    (each, y), (some, of) = (_parts_of(one, schema, rows) for rows in (x, among))
    strengths = np.linalg.lstsq(some, of, rcond=None)[0]
    off, ranked = y - each @ strengths, np.sort(of - some @ strengths)
    low, high = (np.searchsorted(ranked, off, side) for side in ("left", "right"))
    own = int(usual is None)  # a row is one of those among which it is ranked
    return (low + rng.random(len(x)) * np.maximum(high - low + 1 - own, 1e-9)) / (len(ranked) + 1 - own)


def _parts_of(
    one: Effects, schema: Schema, x: Float[np.ndarray, "n columns"]
) -> tuple[Float[np.ndarray, "n terms"], Float[np.ndarray, " n"]]:
    """The level and the effects of each row, and its target as the sum has it, rows far from this nearer."""
    cells = cells_of(x, schema)
    each = np.stack([np.ones(len(x)), *(_effect(term, schema, cells) for term in one.terms)], axis=1)
    y = _scaled(cells[:, schema.names.index(one.target)], one.logs)
    half = TRIMMED * max(width(y), one.width)
    middle = float(np.nanmedian(y)) if np.isfinite(y).any() else 0.0
    return each, np.clip(np.nan_to_num(y, nan=middle), middle - half, middle + half)


def log_chances(
    one: Effects, schema: Schema, x: Float[np.ndarray, "n columns"], shown: Bool[np.ndarray, "n columns"]
) -> Float[np.ndarray, " n"]:
    """The log probability of the target's cells, by a Normal law of what is left with a wide one for a few rows."""
    k = schema.names.index(one.target)
    own, cells = (schema.types or ())[k], np.where(shown, cells_of(x, schema), np.nan)
    total, half = middle_of(one, schema, cells), 0.5 * own.step
    low, high = (_scaled(np.maximum(cells[:, k] + side, 1e-300) if one.logs else cells[:, k] + side, one.logs)
                 for side in (-half, half))  # fmt: skip
    mass = np.zeros(len(x))
    for share, wide in FAR:
        ends = [special.ndtr((end - total) / (wide * one.width)) for end in (low, high)]
        mass += share * (ends[1] - ends[0])
    return np.log(np.maximum(mass, LEAST_CHANCE / own.size))


def moved(
    found: Sequence[Effects],
    schema: Schema,
    x: Float[np.ndarray, "n columns"],
    open_: Bool[np.ndarray, "n columns"],
    rng: np.random.Generator | None = None,
    usual: Float[np.ndarray, "m columns"] | None = None,
    settled: Callable[[np.ndarray], np.ndarray] = lambda x: x,
) -> Float[np.ndarray, "n columns"]:
    """Stored rows whose open targets lie about their sums as in the data; rng: None puts them in the middle."""
    # settled: what computes columns of others, some of which say a target.
    made, names = np.array(x, np.float64), schema.names
    usual = None if usual is None or rng is None else np.array(usual, np.float64)
    for one in placed(found, schema):
        k = names.index(one.target)
        made, usual = settled(made), None if usual is None else settled(usual)
        rows = open_[:, k] & ~_said_better(one, schema, open_)
        if rows.any():
            u = 0.5 if rng is None else _quantiles(one, schema, made, rng, usual)
            made[:, k] = np.where(rows, drawn(one, schema, made, u), made[:, k])
        if usual is not None and rng is not None:  # they move as rows without conditions do
            usual[:, k] = drawn(one, schema, usual, _quantiles(one, schema, usual, rng))
    return made


def _said_better(one: Effects, schema: Schema, open_: Bool[np.ndarray, "n columns"]) -> Bool[np.ndarray, " n"]:
    """The rows in which a column that is computed of the target is known."""
    at = [schema.names.index(name) for name in one.of if name in schema.names]
    return np.any(~open_[:, at], axis=1)


def told(
    found: Sequence[Effects],
    schema: Schema,
    x: Float[np.ndarray, "n columns"],
    hidden: Bool[np.ndarray, "n columns"],
    quantiles: Sequence[float] = (),
    rng: np.random.Generator | None = None,
) -> Float[np.ndarray, "q n columns"]:
    """What hidden cells are at quantiles, or at random, where known cells say it; NaN elsewhere."""
    # x: with a filling in each hidden cell, which stands for a column whose effect is small.
    names, x = schema.names, np.asarray(x, np.float64)
    made = np.full((len(quantiles) or 1, *x.shape), np.nan)
    for one in placed(found, schema):
        k = names.index(one.target)
        rows = hidden[:, k] & ~_said_better(one, schema, hidden)
        rows &= _unknown(one, schema, hidden) <= HIDDEN * one.width
        if rows.any():
            each = quantiles if rng is None else [_quantiles(one, schema, x, rng)[rows]]
            made[:, rows, k] = [drawn(one, schema, x[rows], q) for q in each]
    return made


def given_by(
    found: Sequence[Effects],
    schema: Schema,
    x: Float[np.ndarray, " columns"],
    hidden: Bool[np.ndarray, " columns"],
    equally: Callable[[int], np.ndarray],
) -> dict[int, np.ndarray]:
    """Equally likely cells of the hidden columns of a row that effects say, of which some are known."""
    # equally: as many equally likely cells of a column. Those of columns that are not known come together as chance
    # has it: by multiples of square roots of primes, which fill a cube evenly.
    names, made = schema.names, dict[int, np.ndarray]()
    for one in placed(found, schema):
        k, at = names.index(one.target), [names.index(name) for name in one.columns]
        if not hidden[k] or hidden[at].all() or _said_better(one, schema, hidden[None])[0]:
            continue
        free = [j for j in at if hidden[j]]
        each = {j: made[j] if j in made else equally(j) for j in free}
        count = max((len(own) for own in each.values()), default=COUNT)
        rows = np.repeat(np.asarray(x, np.float64)[None], count, axis=0)
        for j, root in zip(free, ROOTS):
            u = np.modf(0.5 + (np.arange(count) + 1) * root)[0]
            rows[:, j] = each[j][(u * len(each[j])).astype(int)]
        made[k] = np.sort(drawn(one, schema, rows, (np.arange(count) + 0.5) / count))
    return made


def _unknown(one: Effects, schema: Schema, hidden: Bool[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """How far the effects of columns that are not known spread in each row."""
    made = np.zeros(len(hidden))
    for term in one.terms:
        at = [schema.names.index(name) for name in term.columns]
        made += hidden[:, at].any(axis=1) * term.spread**2
    return np.sqrt(made)


def read(stored: Any) -> tuple[Effects, ...]:
    """The effects that a model file holds."""
    return rules_in(Effects, stored, _sound)


def _sound(one: Effects) -> bool:
    """Whether every term has an effect at each of its knots or kinds, and every band quantiles that rise."""
    if not 1 <= len(one.apart) <= BANDS or len(one.edges) != len(one.apart) - 1 or not one.width > 0:
        return False
    if not 1 < len({name for term in one.terms for name in term.columns} - {one.target}) <= 2 * MOST_TERMS:
        return False
    if not all(1 < len(band) <= QUANTILES and list(band) == sorted(band) for band in one.apart):
        return False
    return len({len(band) for band in one.apart}) == 1 and all(_sound_term(term, one.target) for term in one.terms)


def _sound_term(term: Term, target: str) -> bool:
    if not 1 <= len(term.columns) <= 2 or target in term.columns or len(term.effects) > MOST_NAMES**2:
        return False
    if term.knots:
        rising = list(term.knots) == sorted(set(term.knots))
        return rising and len(term.columns) == 1 and not term.kinds and len(term.knots) == len(term.effects)
    digits = all(len(kind) == len(term.columns) for kind in term.kinds)
    return digits and not term.logs and len(term.kinds) == len(term.effects) > 0
