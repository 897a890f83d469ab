"""Numbers of a table that several other columns say together: a sum of effects, and what is left of them."""

import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from latens.data import equations, lines
from latens.data.columns import ColumnType
from latens.data.relations import MOST_NAMES, TRIMMED, width
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

MOST_TERMS = 8
"""Effects of a target at the most."""
BANDS, QUANTILES = 3, 33
"""Parts of the sum with a law of their own of what is left, at the most, and the quantiles kept of each."""
HIDDEN = 0.5
"""How far effects of columns that are not known may spread, in widths, for the others to say a cell."""

COUNT, INSIDE = 100, 0.5
"""Equally likely cells that stand for what a target may be; the share of what is computed of them that its grid has."""
ROOTS = tuple(math.sqrt(p) for p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53))
"""Of primes, whose multiples fill a cube evenly: one for each column that is not known."""
FAR, LEAST_CHANCE = ((0.9, 1.0), (0.1, 3.0)), 1e-3
"""The parts of the law of what is left and their widths; the probability that a row is of another kind altogether."""

LARGEST = 1e100
"""A number of a sum at the most: a stranger may have written larger ones."""
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


def computed_of(name: str, given: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The columns that are computed of one, or of such columns."""
    found, before = {name}, 0
    while len(found) > before:
        before = len(found)
        found |= {target for target, columns in given.items() if found & set(columns)}
    return tuple(sorted(found - {name}))


def scaled(column: Float[np.ndarray, " n"], logs: bool) -> Float[np.ndarray, " n"]:
    """A column, or its logarithm."""
    with np.errstate(all="ignore"):
        return np.log(column) if logs else np.asarray(column, np.float64)


def placed(found: Sequence[Effects], schema: Schema) -> list[Effects]:
    """The effects between columns that a table has, of numbers and names as they were."""
    types = dict(zip(schema.names, schema.types or ()))
    first = {one.target: one for one in reversed(found)}
    return [
        one
        for one in found
        if first[one.target] is one
        and one.target in types
        and types[one.target].kind == "number"
        and all(fits(term, types) for term in one.terms)
    ]


def fits(term: Term, types: Mapping[str, ColumnType]) -> bool:
    """Whether a table has the columns of a term, of the kinds that it asks for."""
    own = [types.get(name) for name in term.columns]
    if term.knots:
        return all(one is not None and not one.named for one in own)
    digits = [all(_is_number(kind[j]) for kind in term.kinds) for j in range(len(own))]
    return all(one is not None and (one.named or (one.kind == "number" and plain)) for one, plain in zip(own, digits))


def _is_number(word: str) -> bool:
    return _NUMBER.match(word) is not None and abs(float(word)) < LARGEST


def above(one: Effects, found: Sequence[Effects]) -> set[str]:
    """The columns that say a target, and those that say these."""
    made, before = set(one.columns), 0
    while len(made) > before:
        before = len(made)
        made |= {name for other in found if other.target in made for name in other.columns}
    return made


def cells_of(x: Float[np.ndarray, "n columns"], schema: Schema) -> Float[np.ndarray, "n columns"]:
    """Stored rows in the units of their columns, names as their codes."""
    named = np.array([one.named for one in schema.types or ()], bool)
    return np.where(named, np.round(x), equations.numbers(x, schema))


def effect_of(term: Term, schema: Schema, cells: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """The effect of a term on each row: 0 where a cell is missing, or of another kind."""
    types, at = list(schema.types or ()), [schema.names.index(name) for name in term.columns]
    if term.knots:
        number = scaled(cells[:, at[0]], term.logs)
        return np.where(np.isnan(number), 0.0, np.interp(number, term.knots, term.effects))
    made = np.zeros(len(cells))
    for words, effect in zip(term.kinds, term.effects):
        here = np.ones(len(cells), bool)
        for j, word in zip(at, words):
            here &= np.abs(cells[:, j] - cell_of(types[j], word)) < 0.5 * (1.0 if types[j].named else types[j].step)
        made[here] = effect
    return made


def cell_of(one: ColumnType, word: str) -> float:
    """The cell of a name, or the number of digits; NaN where a column has no such name."""
    if one.named:
        return float(one.values.index(word)) if word in one.values else math.nan
    return float(word)


def middle_of(one: Effects, schema: Schema, cells: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """The sum of the effects of each row."""
    return sum((effect_of(term, schema, cells) for term in one.terms), np.full(len(cells), one.level))


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
    each = np.stack([np.ones(len(x)), *(effect_of(term, schema, cells) for term in one.terms)], axis=1)
    y = scaled(cells[:, schema.names.index(one.target)], one.logs)
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
    unknown = np.hypot(one.width, _unknown(one, schema, ~shown))  # of a column that is missing any effect may be there
    low, high = (scaled(np.maximum(cells[:, k] + side, 1e-300) if one.logs else cells[:, k] + side, one.logs)
                 for side in (-half, half))  # fmt: skip
    mass = np.zeros(len(x))
    for share, wide in FAR:
        ends = [special.ndtr((end - total) / (wide * unknown)) for end in (low, high)]
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
    exact: Sequence[equations.Equation],
    schema: Schema,
    x: Float[np.ndarray, " columns"],
    hidden: Bool[np.ndarray, " columns"],
    equally: Callable[[int], np.ndarray],
    moved: Callable[[int], bool] = lambda j: False,
) -> dict[int, np.ndarray]:
    """Equally likely cells of the hidden columns of a row that effects say, of which some are known."""
    # All as rows: what one sum gives may say another, and what equations compute of them is of the same row. equally:
    # as many equally likely cells of a column. moved: whether a hidden column is otherwise than without conditions: a
    # ball is fixed, and so its mass, which says how far it flies; the model may know that only by the mass. Cells of
    # columns that are not known come together as chance has it: by multiples of square roots of primes, which fill a
    # cube evenly.
    names, types, made = schema.names, schema.types or (), dict[int, np.ndarray]()
    rows, chance = np.tile(np.asarray(x, np.float64), (COUNT, 1)), itertools.count()
    there = ~hidden

    def uniform() -> np.ndarray:
        return np.modf(0.5 + (np.arange(COUNT) + 1) * ROOTS[next(chance) % len(ROOTS)])[0]

    def open_(j: int) -> None:
        if not there[j]:
            cells = equally(j)
            rows[:, j], there[j] = cells[(uniform() * len(cells)).astype(int)], True

    def says(one: Effects) -> bool:
        k, at = names.index(one.target), [names.index(name) for name in one.columns]
        if not hidden[k] or k in made or _said_better(one, schema, hidden[None])[0]:
            return False
        known = (~hidden[at] | np.isin(at, [*made])).any()
        return bool(known or (not moved(k) and any(moved(j) for j in at)))

    def settle(later: Sequence[Effects]) -> None:
        to_come = {names.index(one.target) for one in later if says(one)}  # a product waits for both of its parts
        for one in exact:
            k, at = names.index(one.target), [names.index(name) for name in one.columns]
            ready = any(j in made for j in at) and not to_come & {*at}
            if hidden[k] and k not in made and ready and not one.or_nothing:
                for j in at:
                    open_(j)
                places = np.round(equations.places_of(one, schema, rows))
                if np.mean((places >= 0) & (places < types[k].size)) >= INSIDE and np.isfinite(places).all():
                    rows[:, k], there[k] = np.clip(places, 0, types[k].size - 1), True
                    made[k] = rows[:, k]

    every = placed(found, schema)
    for turn, one in enumerate(every):
        if not says(one):
            continue
        k = names.index(one.target)
        for name in one.columns:
            open_(names.index(name))
        u = uniform() if made else (np.arange(COUNT) + 0.5) / COUNT
        rows[:, k], there[k] = drawn(one, schema, rows, u), True
        made[k] = rows[:, k]
        settle(every[turn + 1 :])
    return {k: np.sort(cells) for k, cells in made.items()}


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
    if len({term.columns for term in one.terms}) < len(one.terms) or len(one.terms) > MOST_TERMS:
        return False
    numbers = (one.level, one.width, *one.edges, *itertools.chain(*one.apart))
    if len(set(one.columns) - {one.target}) < 2 or not all(abs(number) < LARGEST for number in numbers):
        return False
    if not all(1 < len(band) <= QUANTILES and list(band) == sorted(band) for band in one.apart):
        return False
    return len({len(band) for band in one.apart}) == 1 and all(is_sound(term, one.target) for term in one.terms)


def is_sound(term: Term, target: str) -> bool:
    """Whether a term has an effect at each of its knots or kinds, none of the target's own."""
    if not 1 <= len(term.columns) <= 2 or target in term.columns or len(term.effects) > MOST_NAMES**2:
        return False
    if not all(abs(number) < LARGEST for number in (*term.knots, *term.effects, term.spread)):
        return False
    if term.knots:
        rising = list(term.knots) == sorted(set(term.knots))
        return rising and len(term.columns) == 1 and not term.kinds and len(term.knots) == len(term.effects)
    digits = all(len(kind) == len(term.columns) for kind in term.kinds)
    return digits and not term.logs and len(term.kinds) == len(term.effects) > 0
