"""Numbers of a table that lie closely along a line of another one, in each group of rows: what keeps them there."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.data import equations
from latens.data.dataset import Dataset
from latens.data.relations import (
    LEAST_ROWS,
    MOST_COLUMNS,
    MOST_NAMES,
    TRIMMED,
    likely,
    robust_line,
    varied,
    width,
)
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

WIDTH, BY_NAMES = 0.2, 0.3
"""How wide a number is around the line, at the most, as part of how wide it is by itself; where names choose the line,
which no bins of two columns hold."""
EARNED, LOOSE = 0.7, 0.75
"""The part of the width that a further column of names leaves at the most; the part of the target's own width beyond
which one column of names is too little for a second one to be tried."""
FAR = 10.0
"""Widths beyond which a row does not say whether logarithms lie closer."""
OF_A_KIND = 20
"""Rows of a kind that has a line."""
MOST_BY, SOME = 2, 1500
"""Columns of names that say which line it is, at the most; rows by which they are chosen."""
BANDS, IN_BAND, QUANTILES = 3, 100, 33
"""Parts of the base with a law of their own of what is left, the rows that each one has, and the quantiles kept."""
COVERED = 0.5
"""The probability of kinds of rows that have a line, of a row whose kind is not known, at the least."""
BAND = (0.16, 0.84)
"""The quantiles between which a line is as wide as it counts when another one says the same cell."""
RECURRING = 5
"""Rows with the same number from which on it counts that they lie elsewhere."""
RANKED = 40
"""Rows of a kind whose order around the line says where they lie; of fewer chance says it."""


class Group(NamedTuple):
    """The line of the rows of a kind."""

    names: tuple[str, ...]  # of the columns that say which line it is
    slope: float
    level: float  # the line at 0
    width: float  # half of what two thirds of the rows lie within
    edges: tuple[float, ...]  # of the base, between its bands
    back: bool  # whether the target says the base as well


class Line(NamedTuple):
    """A number that lies closely along a line of another one, which names may choose."""

    target: str
    base: str
    by: tuple[str, ...]
    logs: bool  # whether both are logarithms
    groups: tuple[Group, ...]  # rows of other kinds have none
    apart: tuple[tuple[float, ...], ...]  # the quantiles of what is left in each band, in widths of the group
    rows: int  # with both columns
    not_base: tuple[float, ...] = ()  # numbers of the base at which rows lie elsewhere: 0 paid for what was refused
    not_target: tuple[float, ...] = ()  # the same of the target

    @property
    def columns(self) -> tuple[str, ...]:
        """What the target is near by."""
        return (self.base, *self.by)

    @property
    def words(self) -> str:
        """What holds, as it stands in a sentence."""
        own = " and ".join(repr(name) for name in self.by)
        return f"a line of {self.base!r}" + (f" for each {own}" if own else "")


def found_in(data: Dataset, given: Collection[str] = ()) -> tuple[Line, ...]:
    """Find the numbers of a mixed table that lie closely along a line of another one; given: what rules compute."""
    types, names = data.schema.types or (), data.schema.names
    if not types or len(data) < LEAST_ROWS or not isinstance(data.x, np.ndarray):
        return ()
    cells = equations.numbers(data.x, data.schema, data.mask, data.outside)
    at = [k for k, one in enumerate(types) if one.kind == "number" and names[k] not in given and varied(cells[:, k])]
    codes = {
        names[k]: _codes(data, k) for k, one in enumerate(types) if one.named and 2 <= len(one.values) <= MOST_NAMES
    }
    found = list(_candidates(cells, at[:MOST_COLUMNS], dict(list(codes.items())[:MOST_COLUMNS])))
    kept: list[Line] = []
    for _, k, j, by, logs in sorted(found):
        made = _fitted(data, cells, k, j, by, logs, [codes[name] for name in by])
        if made is not None and made.target not in {one.target for one in kept} and not _circular(made, kept):
            kept.append(made)
    return tuple(_in_turn(kept))


def _codes(data: Dataset, k: int) -> Int[np.ndarray, " n"]:
    shown = np.ones(len(data), bool) if data.mask is None else np.asarray(data.mask)[:, k]
    return np.where(shown, np.asarray(data.x)[:, k], -1).astype(np.int64)


def _circular(made: Line, kept: Sequence[Line]) -> bool:
    """Whether its base lies along a line of its target."""
    bases, name = {one.target: one.base for one in kept}, made.base
    while name in bases:
        name = bases[name]
    return name == made.target


def _in_turn(kept: Sequence[Line]) -> list[Line]:
    """The lines, those before others whose bases they give."""
    left, made = list(kept), []
    while left:
        bases = {one.target for one in left}
        made += [one for one in left if one.base not in bases]
        left = [one for one in left if one.base in bases]
    return made


def _scaled(column: np.ndarray, logs: bool) -> np.ndarray:
    return np.log(column) if logs else column


def _candidates(
    cells: Float[np.ndarray, "n columns"], at: Sequence[int], codes: dict[str, np.ndarray]
) -> Iterator[tuple[float, int, int, tuple[str, ...], bool]]:
    """Lines that are narrow enough: their widths, the places of target and base, names, and whether of logarithms."""
    rows = np.random.default_rng(0).permutation(len(cells))[:SOME]
    some, codes = cells[rows], {name: own[rows] for name, own in codes.items()}
    above = {k: bool(np.nanmin(cells[:, k]) > 0) for k in at}
    for k, bases in likely({k: some[:, k] for k in at}).items():
        for j in bases:
            forms: list[tuple[float, float, tuple[str, ...], bool]] = []
            for logs in (False, True) if above[k] and above[j] else (False,):
                made = _narrowest(_scaled(some[:, k], logs), _scaled(some[:, j], logs), codes)
                if made is not None:
                    forms.append((_nats(made[2], some[:, k], logs), made[0], made[1], logs))
            if forms:
                _, wide, by, logs = min(forms)
                yield wide, k, j, by, logs


def _narrowest(
    y: Float[np.ndarray, " n"], x: Float[np.ndarray, " n"], codes: dict[str, np.ndarray]
) -> tuple[float, tuple[str, ...], np.ndarray] | None:
    """The width around the line as part of the target's own, the names that choose it, and how far rows lie from it."""
    by: tuple[str, ...] = ()
    alone, off = width(y), _apart(y, x, np.zeros(len(y), np.int64))
    found: list[tuple[float, tuple[str, ...], np.ndarray]] = [(width(off), by, off)]
    while len(by) < MOST_BY and 0 < width(off) <= (LOOSE * alone if by else math.inf):
        tried = {name: _apart(y, x, _kinds([codes[one] for one in (*by, name)])) for name in codes if name not in by}
        if not tried:
            break
        name = min(tried, key=lambda one: width(tried[one]))
        by, off = (*by, name), tried[name]
        found.append((width(off), by, off))
    wide, by, off = min(found, key=lambda one: one[0] / EARNED ** len(one[1]))
    if alone == 0 or wide > (BY_NAMES if by else WIDTH) * alone:
        return None
    # Where names say as much without the base, there is none.
    told = width(_apart(y, np.zeros(len(y)), _kinds([codes[one] for one in by]))) if by else alone
    return (wide / alone, by, off) if wide <= EARNED * told else None


def _nats(off: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], logs: bool) -> float:
    """The mean nats of a target around its line under a Laplace law, but for rows far from it."""
    seen = np.isfinite(off)
    usual = seen & (np.abs(off) <= FAR * max(width(off), 1e-300))
    scale = float(np.mean(np.abs(off[usual])))
    return math.log(max(scale, 1e-300)) + (float(np.mean(np.log(y[usual]))) if logs else 0.0)


def _kinds(codes: Sequence[Int[np.ndarray, " n"]]) -> Int[np.ndarray, " n"]:
    """The kind of each row by its names, from 1; 0 where one is missing or few rows are of the kind."""
    if not codes:
        return np.ones(0, np.int64)
    joined = np.zeros(len(codes[0]), np.int64)
    for own in codes:
        joined = joined * (MOST_NAMES + 1) + own + 1
    _, kind, counts = np.unique(joined, return_inverse=True, return_counts=True)
    sound = (counts[kind] >= OF_A_KIND) & np.all([own >= 0 for own in codes], axis=0)
    return np.where(sound, kind + 1, 0)


def _apart(y: np.ndarray, x: np.ndarray, kind: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """How far numbers lie from the lines of their kinds; nowhere where most rows have none."""
    off, whole = np.full(len(y), np.nan), np.isfinite(y) & np.isfinite(x)
    lone = not kind.any()
    for one in np.unique(kind):
        own = np.flatnonzero(whole & (kind == one))
        if (one or lone) and len(own) >= OF_A_KIND:
            off[own] = robust_line(x[own], y[own])[2]
    return off if np.isfinite(off).sum() >= 0.9 * whole.sum() > 0 else np.full(len(y), np.nan)


def _fitted(
    data: Dataset, cells: np.ndarray, k: int, j: int, by: tuple[str, ...], logs: bool, codes: Sequence[np.ndarray]
) -> Line | None:
    """The lines of each kind of rows and what is left of these; None where it is wider than the rows chosen say."""
    names, types = data.schema.names, list(data.schema.types or ())
    y, x = _scaled(cells[:, k], logs), _scaled(cells[:, j], logs)
    both = np.isfinite(y) & np.isfinite(x)
    kind = np.where(both, _kinds(codes) if codes else 1, 0)
    alone, groups, off, band = width(y), [], np.full(len(y), np.nan), np.zeros(len(y), np.int64)
    bands = BANDS if both.sum() >= BANDS * IN_BAND else 1
    for one in np.unique(kind[kind > 0]):
        own = np.flatnonzero(kind == one)
        if len(own) < OF_A_KIND or np.ptp(x[own]) == 0:
            continue
        slope, level, rest = robust_line(x[own], y[own])
        wide = max(width(rest), 1e-9 * alone)
        if wide > 2.0 * BY_NAMES * alone:
            continue
        edges = np.quantile(x[own], np.linspace(0, 1, bands + 1)[1:-1])
        kinds = tuple(types[names.index(name)].values[code[own[0]]] for name, code in zip(by, codes))
        back = wide <= 2.0 * BY_NAMES * abs(slope) * width(x[own])
        groups.append(Group(kinds, slope, level, wide, tuple(edges.tolist()), back))
        off[own], band[own] = rest / wide, np.searchsorted(edges, x[own])
    usual = np.abs(off) <= TRIMMED  # what lies further is a mistake or a row of another kind
    if usual.sum() < 0.9 * both.sum():
        return None
    apart = [_elsewhere(cells[:, at], both, usual) for at in (j, k)]
    grid = np.linspace(0.0, 1.0, QUANTILES)
    left = tuple(tuple(np.quantile(off[usual & (band == b)], grid).tolist()) for b in range(bands))
    return Line(names[k], names[j], by, logs, tuple(groups), left, int(both.sum()), *apart)


def _elsewhere(column: Float[np.ndarray, " n"], rows: Bool[np.ndarray, " n"], usual: np.ndarray) -> tuple[float, ...]:
    """The numbers of a column that recur, and of which most rows lie far from the line."""
    values, at, counts = np.unique(column[rows], return_inverse=True, return_counts=True)
    far = np.bincount(at, ~usual[rows], minlength=len(values))
    return tuple(values[(counts >= RECURRING) & (far > 0.5 * counts)].tolist())


# --- what they give ---


def placed(lines: Sequence[Line], schema: Schema) -> list[Line]:
    """The lines between columns that a table has as numbers and names."""
    types = dict(zip(schema.names, schema.types or ()))
    own = {name for name, one in types.items() if one.kind == "number"}
    named = {name for name, one in types.items() if one.named}
    return [one for one in lines if {one.target, one.base} <= own and set(one.by) <= named]


class _Kinds(NamedTuple):
    """The line of each row, by what is known of its kind."""

    group: Int[np.ndarray, " n"]  # -1 where it has none
    slope: Float[np.ndarray, " n"]
    level: Float[np.ndarray, " n"]
    width: Float[np.ndarray, " n"]


def _kind_of(one: Line, schema: Schema, x: Float[np.ndarray, "n columns"]) -> _Kinds:
    names, types = schema.names, schema.types or ()
    group = np.full(len(x), -1)
    codes = [np.round(x[:, names.index(name)]) for name in one.by]
    levels = [types[names.index(name)].values for name in one.by]
    for g, kind in enumerate(one.groups):
        known = all(word in values for word, values in zip(kind.names, levels))
        same = [code == values.index(word) for code, word, values in zip(codes, kind.names, levels)] if known else []
        group[np.all(same, axis=0) if one.by else np.ones(len(x), bool)] = g if known else -1
    each = np.array([[kind.slope, kind.level, kind.width] for kind in one.groups] + [[np.nan] * 3])
    return _Kinds(group, *each[group].T)


def _about(
    one: Line, schema: Schema, x: Float[np.ndarray, "n columns"]
) -> tuple[_Kinds, Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The line of each row, and its base and target as the line has them."""
    types = dict(zip(schema.names, enumerate(schema.types or ())))
    with np.errstate(all="ignore"):
        base, target = (
            _scaled(own.low + x[:, k] * own.step, one.logs) for k, own in (types[one.base], types[one.target])
        )
    return _kind_of(one, schema, x), base, target


def _lies_elsewhere(
    one: Line, schema: Schema, x: Float[np.ndarray, "n columns"], *, of_base: bool
) -> Bool[np.ndarray, " n"]:
    """The rows with a number of the base, or of the target, at which there is no line."""
    k = schema.names.index(one.base if of_base else one.target)
    own = (schema.types or ())[k]
    places = [(value - own.low) / own.step for value in (one.not_base if of_base else one.not_target)]
    return np.isin(np.round(x[:, k]), np.round(places))


def drawn(
    one: Line, schema: Schema, x: Float[np.ndarray, "n columns"], u: Float[np.ndarray, " n"] | float, back: bool = False
) -> Float[np.ndarray, " n"]:
    """The stored target of each row by its base, at a quantile of what is left; back: the base by its target."""
    # NaN where a row is of a kind without a line.
    names, (kinds, base, target) = schema.names, _about(one, schema, x)
    own = (schema.types or ())[names.index(one.base if back else one.target)]
    grid, left, u = np.linspace(0.0, 1.0, len(one.apart[0])), np.full(len(x), np.nan), np.broadcast_to(u, len(x))
    kinds = kinds._replace(group=np.where(_lies_elsewhere(one, schema, x, of_base=not back), -1, kinds.group))
    if back:  # its band is that of what the line says
        with np.errstate(all="ignore"):
            base = (target - kinds.level) / kinds.slope
    for g, kind in enumerate(one.groups):
        rows = np.flatnonzero((kinds.group == g) & (kind.back or not back))
        band = np.searchsorted(kind.edges, base[rows])
        for b, quantiles in enumerate(one.apart):
            left[rows[band == b]] = kind.width * np.interp(u[rows[band == b]], grid, quantiles)
    with np.errstate(all="ignore"):
        made = (target - left - kinds.level) / kinds.slope if back else kinds.level + kinds.slope * base + left
        place = np.clip(np.round(((np.exp(made) if one.logs else made) - own.low) / own.step), 0, own.size - 1)
    return np.where(np.isfinite(made), own.occurring(np.nan_to_num(place)), np.nan)


def _off(one: Line, schema: Schema, x: Float[np.ndarray, "n columns"]) -> tuple[_Kinds, Float[np.ndarray, " n"]]:
    """The kind of each row, and how far it lies from its line in widths of this."""
    kinds, base, target = _about(one, schema, x)
    with np.errstate(all="ignore"):
        return kinds, np.nan_to_num((target - kinds.level - kinds.slope * base) / kinds.width)


def _quantiles(
    one: Line,
    schema: Schema,
    x: Float[np.ndarray, "n columns"],
    rows: Bool[np.ndarray, " n"],
    rng: np.random.Generator,
    usual: Float[np.ndarray, "m columns"] | None = None,
) -> Float[np.ndarray, " n"]:
    """Where each row lies around its line among usual rows of its kind: what else the model knows of it stays."""
    # The model has the line as coarsely as its bins: the order of its rows around the line says more than how far off.
    # usual: rows without conditions; under those all rows may lie on one side. None: the rows themselves.
    kinds, off = _off(one, schema, x)
    of, among = (kinds, off) if usual is None else _off(one, schema, usual)
    own = rows.copy() if usual is None else np.ones(len(among), bool)
    u, left = rng.random(len(x)), rows.copy()
    for kind in (*range(len(one.groups)), None):  # those of few rows all together
        here, there = (
            rest & ((each.group >= 0) if kind is None else (each.group == kind))
            for rest, each in ((left, kinds), (own, of))
        )
        if there.sum() < RANKED:
            continue
        ranked, some = np.sort(among[there]), np.flatnonzero(here)
        if usual is None:
            u[some[np.argsort(off[some], kind="stable")]] = (np.arange(len(some)) + 0.5) / len(some)
        else:  # among rows that are equally far off at random
            low, high = (np.searchsorted(ranked, off[some], side) for side in ("left", "right"))
            u[some] = (low + u[some] * (high - low + 1)) / (len(ranked) + 1)
        left[here], own[there] = False, False
    return u


def moved(
    lines: Sequence[Line],
    schema: Schema,
    x: Float[np.ndarray, "n columns"],
    open_: Bool[np.ndarray, "n columns"],
    rng: np.random.Generator | None = None,
    usual: Float[np.ndarray, "m columns"] | None = None,
) -> Float[np.ndarray, "n columns"]:
    """Stored rows whose open targets lie around their lines as in the data; where only the base is open, this moves."""
    # rng: None puts them on the line. First bases go to the targets that stay, and stay themselves then.
    names, made, left = schema.names, np.array(x, np.float64), np.array(open_)
    every = [(one, names.index(one.target), names.index(one.base)) for one in placed(lines, schema)]
    usual = None if usual is None else np.array(usual, np.float64)
    for one, k, j, back in [*((*line, True) for line in every[::-1]), *((*line, False) for line in every)]:
        at, rows = (j, left[:, j] & ~left[:, k]) if back else (k, left[:, k])
        rows &= ~_lies_elsewhere(one, schema, made, of_base=back)
        if rows.any():
            made[:, j] = np.where(open_[:, j], np.round(made[:, j]), made[:, j])
            u = 0.5 if rng is None else _quantiles(one, schema, made, rows, rng, usual)
            place = drawn(one, schema, made, u, back)
            made[:, at] = np.where(rows & np.isfinite(place), place, made[:, at])
            left[:, at] &= ~rows
        if usual is not None and rng is not None and not back:  # they move as rows without conditions do
            usual[:, j] = np.round(usual[:, j])
            place = drawn(one, schema, usual, _quantiles(one, schema, usual, np.ones(len(usual), bool), rng))
            usual[:, k] = np.where(np.isfinite(place), place, usual[:, k])
    return made


def told(
    lines: Sequence[Line],
    schema: Schema,
    x: Float[np.ndarray, "n columns"],
    hidden: Bool[np.ndarray, "n columns"],
    quantiles: Sequence[float] = (),
    rng: np.random.Generator | None = None,
) -> Float[np.ndarray, "q n columns"]:
    """What hidden cells are at quantiles, or at random, where a line and known cells say it; NaN elsewhere."""
    # All rows at once, of known kinds; `given_by` is of one row, whose kind may be hidden. A cell that two lines say is
    # where the narrower one has it.
    names, x = schema.names, np.asarray(x, np.float64)
    made, wide = np.full((len(quantiles) or 1, *x.shape), np.nan), np.full(x.shape, np.inf)
    for one in placed(lines, schema):
        k, j, by = names.index(one.target), names.index(one.base), [names.index(name) for name in one.by]
        known = ~hidden[:, by].any(axis=1)
        for at, of, back in ((k, j, False), (j, k, True)):
            rows = known & hidden[:, at] & ~hidden[:, of]
            if not rows.any():
                continue
            low, high = (drawn(one, schema, x, q, back) for q in BAND)
            narrower = np.flatnonzero(rows & (np.abs(high - low) < wide[:, at]))
            each = quantiles if rng is None else [_quantiles(one, schema, x, rows, rng)[narrower]]
            cells = [drawn(one, schema, x[narrower], q, back) for q in each]
            made[:, narrower, at], wide[narrower, at] = np.sort(cells, axis=0), np.abs(high - low)[narrower]
    return made


def given_by(
    lines: Sequence[Line],
    schema: Schema,
    x: Float[np.ndarray, " columns"],
    hidden: Bool[np.ndarray, " columns"],
    shares: Sequence[np.ndarray],
    count: int = 100,
) -> dict[int, np.ndarray]:
    """Equally likely cells of the hidden columns of a row that lie along a line, whose names may be hidden too."""
    # shares: of each column the probability of each name. One column of names may be hidden: each kind of row counts
    # as much as its name is probable.
    names, types = schema.names, list(schema.types or ())
    made: dict[int, np.ndarray] = {}
    for one in placed(lines, schema):
        k, j, by = names.index(one.target), names.index(one.base), [names.index(name) for name in one.by]
        unknown = [at for at in by if hidden[at]]
        if len(unknown) > 1 or hidden[k] == hidden[j]:
            continue
        weights = np.zeros(len(one.groups))
        codes = [[types[at].values.index(w) if w in types[at].values else -1 for at, w in zip(by, kind.names)]
                 for kind in one.groups]  # fmt: skip
        for g, own in enumerate(codes):
            fits = all(0 <= code < len(shares[at]) if hidden[at] else round(x[at]) == code for at, code in zip(by, own))
            weights[g] = float(np.prod([shares[at][code] for at, code in zip(by, own) if hidden[at]])) if fits else 0.0
        if weights.sum() < COVERED:
            continue
        counts = np.round(count * weights / weights.sum()).astype(int)
        rows = np.repeat(np.asarray(x, np.float64)[None], counts.sum(), axis=0)
        rows[:, by] = np.repeat(np.array(codes, np.float64).reshape(len(codes), len(by)), counts, axis=0)
        u = np.concatenate([(np.arange(n) + 0.5) / n for n in counts.tolist() if n])
        back = bool(hidden[j])
        cells = drawn(one, schema, rows, u, back)
        if len(cells) and np.isfinite(cells).all() and (j if back else k) not in made:
            made[j if back else k] = np.sort(cells)
    return made


def read(stored: Any) -> tuple[Line, ...]:
    """The lines that a model file holds."""
    return rules_in(Line, stored, _sound)


def _sound(line: Line) -> bool:
    """Whether every kind has names of all columns and a line, and every band quantiles that rise."""
    if line.target == line.base or len(line.by) > MOST_BY or len(line.groups) > 10_000:
        return False
    if not 1 <= len(line.apart) <= BANDS or len({len(one) for one in line.apart}) != 1:
        return False
    if not all(one and len(one) <= QUANTILES and list(one) == sorted(one) for one in line.apart):
        return False
    return all(len(one.names) == len(line.by) and len(one.edges) == len(line.apart) - 1 for one in line.groups)
