"""In which days of the week, combinations and relations of two columns a synthetic table differs most."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from latens.data.weekdays import NAMES
from latens.evaluation.samples.tables import Table

PARTS = 4
"""Parts with as many real rows each into which numbers are cut."""
SURE = 5.0
"""Standard errors of a difference of shares from which on it is told: many are looked at."""
LEAST = 0.02
"""The least difference of shares that is told."""
MOST_VALUES = 50
"""Names of a column, at the most, whose combinations are counted."""
LEAST_RANK = 0.2
"""The least difference of rank correlations within a name that is told."""
LOOSER, TIGHT = 2.5, 0.8
"""How many times as much is left to chance where two numbers are tied more loosely, and from which correlation on."""
FEWEST, MOST_KINDS = 30, 12
"""Rows of a name in each table from which on, and names of a column up to which, relations within them are compared."""
ODD = 0.02
"""The part of the rows, the farthest from how two columns go together, without which these must differ as well."""
DAY = 86_400.0


def weekdays(real: Table, fake: Table) -> list[dict[str, Any]]:
    """The day of the week in which each column of dates differs most, where that is beyond chance."""
    found = []
    for i, dated in enumerate(real.dates):
        if not dated:
            continue
        days = [_days(table.x[:, i]) for table in (real, fake)]
        if min(map(len, days)) == 0:
            continue
        shares = [np.bincount(one, minlength=7) / len(one) for one in days]
        day = _most(shares[0], shares[1], len(days[0]), len(days[1]))
        if day is not None:
            told = {"column": real.names[i], "day": NAMES[day]}
            found.append(told | {"real": float(shares[0][day]), "fake": float(shares[1][day])})
    return sorted(found, key=lambda one: -abs(one["fake"] - one["real"]))


def hours(real: Table, fake: Table) -> list[dict[str, Any]]:
    """The hour of the day in which each column of dates differs most, where that is beyond chance."""
    # apart: half of the sum of the differences of all hours, less what as many rows of one law have in the mean.
    found = []
    for i, dated in enumerate(real.dates):
        times = [table.x[~np.isnan(table.x[:, i]), i] if dated else np.zeros(0) for table in (real, fake)]
        if min(map(len, times)) == 0 or not any((one % DAY).any() for one in times):  # days without a time
            continue
        n, m = map(len, times)
        shares = [np.bincount((one % DAY // 3600).astype(np.int64), minlength=24) / len(one) for one in times]
        hour = _most(shares[0], shares[1], n, m)
        if hour is not None:
            both = (n * shares[0] + m * shares[1]) / (n + m)
            chance = np.sqrt(2 / np.pi * both * (1 - both) * (1 / n + 1 / m)).sum() / 2
            apart = float(max(np.abs(shares[0] - shares[1]).sum() / 2 - chance, 0.0))
            told = {"column": real.names[i], "hour": int(hour), "apart": apart}
            found.append(told | {"real": float(shares[0][hour]), "fake": float(shares[1][hour])})
    return sorted(found, key=lambda one: -one["apart"])


def _days(seconds: np.ndarray) -> np.ndarray:
    """The days of the week of dates in seconds, a Monday at 0; the first of January 1970 was a Thursday."""
    return (np.floor(seconds[~np.isnan(seconds)] / DAY).astype(np.int64) + 3) % 7


def combinations(real: Table, fake: Table, among: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Of pairs of columns the combination of which the shares of rows differ most, where that is beyond chance."""
    # among: the places of the pairs. Numbers lie in ten parts with as many real rows each.
    # returns: for each pair that differs its columns, what each of them is, and the share of either table, the largest
    # difference first.
    parts: dict[int, tuple[np.ndarray, np.ndarray, list[str]]] = {}
    found = []
    for i, j in among:
        for k in (i, j):
            if k not in parts:
                parts[k] = _parts(real, fake, k)
        (a, b), sizes = zip(parts[i][:2], parts[j][:2]), (len(parts[i][2]), len(parts[j][2]))
        if max(sizes) > MOST_VALUES or min(sizes) < 2:
            continue
        counts = []
        for one, other in (a, b):
            seen = (one >= 0) & (other >= 0)
            counts.append(np.bincount(one[seen] * sizes[1] + other[seen], minlength=sizes[0] * sizes[1]))
        n, m = (int(each.sum()) for each in counts)
        if not n or not m:
            continue
        shares = [counts[0] / n, counts[1] / m]
        cell = _most(shares[0], shares[1], n, m)
        if cell is not None:
            values = [parts[i][2][cell // sizes[1]], parts[j][2][cell % sizes[1]]]
            told = {"columns": [real.names[i], real.names[j]], "values": values}
            found.append(told | {"real": float(shares[0][cell]), "fake": float(shares[1][cell])})
    return sorted(found, key=lambda one: -abs(one["fake"] - one["real"]))


def _most(real: np.ndarray, fake: np.ndarray, n: int, m: int) -> int | None:
    """The place of the largest difference of shares of so many rows that is not by chance, and is worth telling."""
    both = (real * n + fake * m) / (n + m)
    error = np.sqrt(both * (1.0 - both) * (1.0 / n + 1.0 / m))
    apart = np.abs(fake - real)
    told = np.where(apart > np.maximum(SURE * error, LEAST), apart, 0.0)
    return int(np.argmax(told)) if told.any() else None


def _parts(real: Table, fake: Table, i: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The codes of a column in both tables, -1 for a gap, and the words of these codes."""
    columns = [table.x[:, i] for table in (real, fake)]
    if real.category[i]:
        words = [str(word) for word in real.words[i]] if real.words else []
        words = words or [str(k) for k in range(1 + int(max(np.nanmax(c, initial=-1) for c in columns)))]
        coded = [np.where(np.isnan(c), -1, np.nan_to_num(c)).astype(np.int64) for c in columns]
        return coded[0], coded[1], words
    seen = columns[0][~np.isnan(columns[0])]
    if not len(seen):
        return *(np.full(len(c), -1) for c in columns), []  # type: ignore[return-value]
    edges = np.unique(np.quantile(seen, np.arange(1, PARTS) / PARTS, method="higher"))
    edges = edges[edges > seen.min()]
    coded = [np.where(np.isnan(c), -1, np.searchsorted(edges, c, side="right")).astype(np.int64) for c in columns]
    texts = [_text(edge, bool(real.dates and real.dates[i])) for edge in edges.tolist()]
    if not texts:
        return coded[0], coded[1], [""]
    inner = [f"from {low} to below {high}" for low, high in itertools.pairwise(texts)]
    return coded[0], coded[1], [f"below {texts[0]}", *inner, f"from {texts[-1]} on"]


def _text(number: float, dated: bool) -> str:
    return str(np.datetime64(int(number), "s"))[:10] if dated else f"{number:.6g}"


def within_names(real: Table, fake: Table) -> list[dict[str, Any]]:
    """The numbers that go together otherwise within a name than in the real rows, the surest difference first."""
    # Rank correlations r are compared as arctanh(r), with errors of 1 / sqrt(n - 3) each (Fisher, 1915).
    # returns: for each column of names that has some its name and columns, and the rank correlation in either table.
    numbers = [j for j, named in enumerate(real.category) if not named and not (real.dates and real.dates[j])]
    found = []
    for i in np.flatnonzero(real.category):
        words = real.words[i] if real.words else ()
        best: tuple[float, dict[str, Any]] | None = None
        codes, counts = np.unique(real.x[~np.isnan(real.x[:, i]), i], return_counts=True)
        for code in codes[counts >= FEWEST][:MOST_KINDS]:
            both = [table.x[table.x[:, i] == code][:, numbers] for table in (real, fake)]
            if len(both[1]) < FEWEST or len(numbers) < 2:
                continue
            (one, n), (other, m) = map(_rank_correlations, both)
            sure = np.triu(_apart(one, n, other, m), 1)
            for place in np.argsort(-sure, axis=None)[: np.count_nonzero(sure > (best[0] if best else 0.0))]:
                a, b = np.unravel_index(place, sure.shape)
                without = (_rank_correlations(_without_odd(x[:, [a, b]])) for x in both)
                if not _apart(*next(without), *next(without))[0, 1]:
                    continue
                name = str(words[int(code)]) if words else f"{code:g}"
                columns = [real.names[numbers[a]], real.names[numbers[b]]]
                shown = {"real": float(one[a, b]), "fake": float(other[a, b])}
                best = float(sure[a, b]), {"column": real.names[i], "name": name, "columns": columns} | shown
                break
        if best is not None:
            found.append(best)
    return [one for _, one in sorted(found, key=lambda each: -each[0])]


def strongest_pairs(table: Table, most: int) -> list[tuple[int, int]]:
    """The pairs of numbers with the strongest rank correlations, each with a column that none before it has."""
    numbers = [j for j, named in enumerate(table.category) if not named and not (table.dates and table.dates[j])]
    if len(numbers) < 2:
        return []
    found, (r, n) = [], _rank_correlations(table.x[:, numbers])
    strength = np.triu(np.where(n >= FEWEST, np.abs(r), 0.0), 1)
    for place in np.argsort(-strength, axis=None, kind="stable"):
        a, b = (numbers[int(k)] for k in np.unravel_index(place, strength.shape))
        if len(found) == most or not strength.flat[place]:
            break
        if not {a, b} <= {column for pair in found for column in pair}:
            found.append((a, b))
    return found


def _apart(one: np.ndarray, n: np.ndarray, other: np.ndarray, m: np.ndarray) -> np.ndarray:
    """By how many errors rank correlations of so many rows differ, where that is worth telling; else 0."""
    error = np.sqrt(1.0 / np.maximum(n - 3.0, 1.0) + 1.0 / np.maximum(m - 3.0, 1.0))
    apart = np.abs(np.arctanh(one) - np.arctanh(other)) / error
    # 0.998 and 0.95 are 0.05 apart, and five times as much is left to chance.
    left = np.sqrt((1.0 - one**2) / (1.0 - other**2))
    loose = (np.maximum(left, 1.0 / left) > LOOSER) & (np.maximum(np.abs(one), np.abs(other)) > TIGHT)
    told = (np.minimum(n, m) >= FEWEST) & (apart > SURE) & (loose | (np.abs(one - other) > LEAST_RANK))
    return np.where(told, apart, 0.0)


def _without_odd(x: np.ndarray) -> np.ndarray:
    """Rows of two columns without the few that lie the farthest from how these go together: they may be mistakes."""
    from scipy.stats import rankdata

    x = x[~np.isnan(x).any(axis=1)]
    one, other = (rankdata(column) for column in x.T)
    falling = ((one - one.mean()) * (other - other.mean())).sum() < 0 if len(x) > 1 else False
    off = np.abs(one + other - len(x) - 1.0) if falling else np.abs(one - other)
    return x[np.argsort(off, kind="stable")[: len(x) - int(np.ceil(ODD * len(x)))]]


def _rank_correlations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank correlations of columns with gaps, short of 1, and how many rows have both cells of each pair."""
    from scipy.stats import rankdata

    seen = ~np.isnan(x)
    ranks = np.stack([rankdata(column, nan_policy="omit") for column in x.T], axis=1)
    means = np.where(seen, ranks, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)  # also of an empty column
    far = np.where(seen, ranks - means, 0.0)
    both = seen.T.astype(np.float64) @ seen
    spread = np.sqrt((far.T**2) @ seen * (seen.T @ far**2))
    return np.clip(far.T @ far / np.maximum(spread, 1e-12), -0.999, 0.999), both
