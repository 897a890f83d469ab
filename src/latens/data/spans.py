"""Dates that follow another one, modelled as the time since: an order is delivered three days after it came."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from msgspec import structs

from latens.data.columns import After, ColumnType, TextColumn, clock_step, number_type
from latens.data.dates import DAY
from latens.data.durations import UNITS, recorded
from latens.errors import DataError

LEAST_ROWS = 100
"""Rows with both dates from which on their order counts."""
NEARLY_ALL = 0.995
"""Share of these rows in which the order must hold; the others are mistakes."""
BY_CHANCE = 0.02
"""Share of pairs of dates of unlike rows that must break it: else the order says nothing."""
FEW_WRONG, OF_CHANCE = 3, 0.1
"""Rows that may break it in any table, and the part of those that would by chance which may."""
COUNTED = 0.97
"""Share of the rows that have a number in which it is the days from one date to another, which then count."""
MOST_PAIRS = 90
"""Pairs of columns that are looked at."""
TOGETHER = 0.99
"""Share of the rows with the second date that must have the first one: the others lose theirs."""

Texts = Mapping[int, TextColumn]


def follows(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> bool:
    """Whether one date never lies after the other in nearly all rows, and not by chance."""
    wrong = np.count_nonzero(first > second)
    if len(first) < LEAST_ROWS or wrong > max((1.0 - NEARLY_ALL) * len(first), FEW_WRONG):
        return False
    step = 1 + len(first) // 500
    by_chance = float(np.mean(first[:, None][::step] > second[::step]))
    return bool(by_chance >= BY_CHANCE and wrong <= OF_CHANCE * by_chance * len(first))


def in_unit(
    dates: Float[np.ndarray, " n"], written: str, wanted: str, *, last: bool = False
) -> Float[np.ndarray, " n"]:
    """Days or seconds in the other unit: the day of a time, and of a day its first second, or its last one."""
    if written == wanted:
        return dates
    return np.floor(dates / DAY) if wanted == "D" else dates * DAY + (DAY - 1 if last else 0)


def found_spans(
    x: Float[np.ndarray, "n columns"],
    train: Bool[np.ndarray, " n"],
    names: Sequence[str],
    texts: Texts,
    said: Mapping[str, str],
) -> dict[int, int]:
    """Find the columns of dates that are modelled as the time since another: by place the place of the other."""
    # A date follows the one that leaves the fewest nats to the time between; with more than by itself it follows none.
    # said: of columns that are declared, the date that each is counted from; empty for none.
    dates = [k for k, found in texts.items() if _is_date(found)]
    made = {k: _asked(names, k, said[names[k]], texts) for k in dates if said.get(names[k])}
    costs: dict[tuple[int, int], float] = {}
    pairs = [(i, k) for k in dates for i in dates if i != k and _alike(texts[i], texts[k])][:MOST_PAIRS]
    for i, k in pairs:
        there = ~np.isnan(x[:, k])
        both = there & ~np.isnan(x[:, i])
        if names[k] in said or np.count_nonzero(both) < TOGETHER * np.count_nonzero(there):
            continue
        rows, first = both & train, in_unit(x[:, i], texts[i].written, texts[k].written)
        if follows(first[rows], x[rows, k]) or _is_counted(x[rows], x[rows, k] - first[rows], texts[k].written):
            between, unit = recorded_between(x[both, k] - first[both], texts[k].written)
            cost = _nats(between[train[both]], between, unit, texts[k], spans=True)
            if cost < _nats(x[rows, k], x[both, k], "", texts[k], spans=False):
                costs[k, i] = cost
    for k, i in list(made.items()):
        if _leads_to({one: other for one, other in made.items() if one != k}, i, k):
            what = f"column {names[k]!r} is declared to come after {names[i]!r}, and that one after it."
            raise DataError(what, where="columns", fix="Leave one of both out.")
    for k, i in sorted(costs, key=lambda pair: (costs[pair], pair)):
        if k not in made and not _leads_to(made, i, k):
            made[k] = i
    return made


def _is_counted(x: Float[np.ndarray, "n columns"], between: Float[np.ndarray, " n"], written: str) -> bool:
    """Whether a column holds the days between two dates in nearly all rows, and these differ."""
    if len(between) < LEAST_ROWS or len(np.unique(between)) < 2 or written != "D":
        return False
    same = (x == between[:, None]).sum(axis=0)
    return bool((same >= COUNTED * np.count_nonzero(~np.isnan(x), axis=0).clip(LEAST_ROWS)).any())


def _asked(names: Sequence[str], k: int, first: str, texts: Texts) -> int:
    i = names.index(first) if first in names else -1
    if i < 0 or i == k or i not in texts or not _is_date(texts[i]) or not _alike(texts[i], texts[k]):
        what = f"column {names[k]!r} is declared to come after {first[:40]!r}."
        fix = "Allowed: another column of dates, both with a time or the second one without."
        raise DataError(what, where="columns", fix=fix)
    return i


def _is_date(found: TextColumn) -> bool:
    """Whether a column holds days or times, no periods."""
    step = found.writing.step if found.writing else None
    return found.kind == "date" and (step is None or step == 60.0)


def _alike(first: TextColumn, second: TextColumn) -> bool:
    """Whether the time between two dates can be counted: of one unit, or from a time to a day, and of one zone."""
    return countable(first.written, first.zone, second.written, second.zone)


def countable(first: str, zone: str, second: str, other_zone: str) -> bool:
    """Whether dates of one unit and zone can be counted from those of another one."""
    return zone == other_zone and (first == second or (first, second, zone) == ("s", "D", ""))


def _leads_to(made: Mapping[int, int], i: int, k: int) -> bool:
    """Whether a date is counted from another, over others or not."""
    while i in made and i != k:
        i = made[i]
    return i == k


def _nats(train: np.ndarray, every: np.ndarray, unit: str, found: TextColumn, *, spans: bool) -> float:
    """The nats of a column by its shares alone."""
    written, step = (unit, None) if spans else (found.written, found.writing.step if found.writing else None)
    step = clock_step(every, written, step)
    one = number_type(train, every, written, step=step, resolution="s" if spans else "")
    placed = np.clip(np.round((train - one.low) / one.step), 0, one.size - 1)
    return float(-one.log_shares(placed).mean())


def recorded_between(between: Float[np.ndarray, " n"], written: str) -> tuple[Float[np.ndarray, " n"], str]:
    """Times between days or seconds in the coarsest unit in which they are whole, and this unit."""
    return recorded(np.round(between).astype(np.int64) * (DAY if written == "D" else 1), "s")


def as_spans_of(
    x: Float[np.ndarray, "n columns"], texts: Texts, spans: Mapping[int, int]
) -> tuple[Float[np.ndarray, "n columns"], dict[int, TextColumn], dict[int, After]]:
    """Columns with the time since another date in the place of these dates; and what these were."""
    # The first of a pair may itself be counted from another: the differences are those of the dates.
    made, read, was = np.array(x, np.float64), dict(texts), {}
    for k, i in spans.items():
        between, found = x[:, k] - in_unit(x[:, i], texts[i].written, texts[k].written), texts[k]
        there = ~np.isnan(between)
        whole, unit = recorded_between(between[there], found.written)
        made[:, k] = np.nan
        made[there, k] = whole
        read[k] = TextColumn((), unit, resolution="s")  # type: ignore[arg-type]
        was[k] = After("", found.written, found.zone, found.writing)  # type: ignore[arg-type]
    return made, read, was


def seconds_of(one: ColumnType) -> float:
    """How many seconds a step of one of its units is, of a date or a duration."""
    return UNITS[one.written] / UNITS["seconds"] if one.kind == "duration" else float(DAY if one.written == "D" else 1)


def placed_spans(names: Sequence[str], types: Sequence[ColumnType]) -> list[tuple[int, int]]:
    """The places of the first and the second date of each pair, those first that others are counted from."""
    left = {k: one.after.column for k, one in enumerate(types) if one.after}
    found: list[tuple[int, int]] = []
    while ready := [k for k, name in left.items() if name in names and names.index(name) not in left]:
        found += [(names.index(left.pop(k)), k) for k in ready]
    return found


def check_spans(names: Sequence[str], types: Sequence[ColumnType]) -> str:
    """What is wrong with the dates of a file's columns that are counted from others."""
    spans = placed_spans(names, types)
    if len(spans) != sum(one.after is not None for one in types):
        return "name a date that is not there, or that is counted from itself"
    for i, k in spans:
        one, after = types[i].after or types[i], types[k].after
        same = after is not None and countable(one.written, one.zone, after.written, after.zone)
        if after is None or types[k].kind != "duration" or not same:
            return f"count column {k} from dates of another unit"
        if after.writing is not None and not after.writing.fits("date", (0.0, 1.0)):
            return f"write column {k} as no dates are"
    return ""


def dated(
    x: Float[np.ndarray, "n columns"],
    names: Sequence[str],
    types: Sequence[ColumnType],
    outside: np.ndarray | None = None,
) -> tuple[Float[np.ndarray, "n columns"], tuple[ColumnType, ...]]:
    """Stored rows with dates in the place of the time since others, and the types of these; NaN stays."""
    # outside: by how many steps of its grid each cell is beyond what is stored.
    spans = placed_spans(names, types)
    if not spans:
        return x, tuple(types)
    made, kinds = np.array(x, np.float64), list(types)
    numbers = made if outside is None else made + outside
    dates = {i: types[i].low + numbers[:, i] * types[i].step for i, _ in spans if not types[i].after}
    for i, k in spans:
        one, after = types[k], types[k].after
        assert after is not None
        between = (one.low + made[:, k] * one.step) * seconds_of(one) / (DAY if after.written == "D" else 1)
        dates[k] = in_unit(dates[i], (types[i].after or types[i]).written, after.written) + between
        low = float(np.round(np.nanmin(dates[k]))) if np.isfinite(dates[k]).any() else 0.0
        made[:, k] = dates[k] - low
        size = int(np.nanmax(np.append(made[:, k], 0.0))) + 2
        kinds[k] = ColumnType("date", (), low, 1.0, (0,), size, (1.0,), after.written, after.zone, "", after.writing)
    return made, tuple(kinds)


def words_of(names: Sequence[str], types: Sequence[ColumnType]) -> tuple[str, ...]:
    """Say which dates are modelled as the time since another."""
    pairs = [f"{name!r} since {one.after.column!r}" for name, one in zip(names, types) if one.after]
    return (f"Modelled as the time between two dates: {', '.join(pairs)}.",) if pairs else ()


def with_after(types: Sequence[ColumnType], was: Mapping[str, After], names: Sequence[str]) -> tuple[ColumnType, ...]:
    """Types that say of a time which date it is counted from."""
    return tuple(structs.replace(one, after=was[name]) if name in was else one for name, one in zip(names, types))
