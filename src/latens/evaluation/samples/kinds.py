"""How alike two tables are within each name of the column that says most about the others."""

from typing import Any

import numpy as np

from latens.data.apart import LEAST_ROWS, MOST_NUMBERS, PARTS, never_in, of_dates
from latens.data.within import MOST_NAMES, narrow_in
from latens.evaluation.samples.tables import Table, shapes

FEWEST, MOST_KINDS, MOST_ROWS = 30, 12, 2000
"""Rows of a name in each table from which on, names up to which it is compared, and rows of each that are taken."""
SAYS = 0.1
"""The part of what the other columns vary by that a column must say."""
SPLITS = 20
"""Times that the rows of both tables are mixed and split, for what is alike by chance."""
MOST_PAIRS = 5
"""Pairs of columns with values that never come together that are listed."""
SURE = 4.0
"""Spreads below chance from which on a name is told: many are looked at."""


def by_name(real: Table, fake: Table, seed: int = 0) -> dict[str, Any] | None:
    """How alike the other columns are within each name of the column that says most about them; None without one."""
    # returns: the column, and for each name its rows in either table, how alike they are, what two parts of its mixed
    # rows reach by chance, with its spread, and the column that is the least alike.
    if len(real.names) < 3:
        return None
    says = [_says(real, int(i)) if real.category[i] else 0.0 for i in range(len(real.names))]
    kind = int(np.argmax(says))
    if says[kind] < SAYS:
        return None
    rng, names = np.random.default_rng(seed), []
    words = real.words[kind] if real.words else ()
    for code in _codes(real.x[:, kind]):
        own = [table.rows(np.flatnonzero(table.x[:, kind] == code)).at_most(MOST_ROWS, seed) for table in (real, fake)]
        if len(own[1].x) < FEWEST:
            continue
        others = np.arange(len(real.names)) != kind
        each = shapes(*own)
        mixed = own[0]._replace(x=np.concatenate([one.x for one in own]), weight=None)
        chance = []
        for _ in range(SPLITS):
            order = rng.permutation(len(mixed.x))
            parts = (mixed.rows(order[: len(own[0].x)]), mixed.rows(order[len(own[0].x) :]))
            chance.append(shapes(*parts))
        usual = np.mean(chance, axis=0)
        worst = int(np.argmin(np.where(others, each - usual, np.inf)))
        counts = {"real": len(own[0].x), "fake": len(own[1].x)}
        told = {"name": str(words[int(code)]) if words else f"{code:g}", "rows": counts}
        told |= {"alike": float(each[others].mean()), "by_chance": float(usual[others].mean())}
        spread = float(np.std(np.array(chance)[:, others].mean(axis=1), ddof=1))
        told |= {"spread": spread, "worst": real.names[worst]}
        names.append(told)
    return {"column": real.names[kind], "names": names} if names else None


def beyond(real: Table, fake: Table) -> dict[str, Any]:
    """The synthetic rows with a number beyond what the real rows of its name have, where names hold it in few."""
    # returns: how many rows, the share of them, and for each number whose names, and the name with most such rows.
    named = [i for i, one in enumerate(real.category) if one and len(np.unique(real.x[:, i])) <= MOST_NAMES]
    codes = {i: np.nan_to_num(real.x[:, i], nan=-1.0).astype(np.int64) for i in named}
    dated = real.dates or (False,) * len(real.names)
    numbers = {k: real.x[:, k] for k, one in enumerate(real.category) if not one and not dated[k]}
    wrong, columns = np.zeros(len(fake.x), bool), []
    for k, i, ranges in narrow_in(codes, numbers):
        counts = {}
        for code, (low, high) in ranges.items():
            own = (fake.x[:, i] == code) & ((fake.x[:, k] < low) | (fake.x[:, k] > high))
            wrong |= own
            counts[code] = int(np.count_nonzero(own))
        if any(counts.values()):
            most = max(counts, key=counts.__getitem__)
            name = str(real.words[i][most]) if real.words and real.words[i] else str(most)
            columns.append({"column": real.names[k], "by": real.names[i], "name": name, "rows": sum(counts.values())})
    columns.sort(key=lambda one: -one["rows"])
    return {"rows": int(wrong.sum()), "share": float(wrong.mean()), "columns": columns}


def together(real: Table, fake: Table) -> dict[str, Any]:
    """The synthetic rows with values that never come together in real ones, though they would have by chance."""
    # returns: how many rows, the share of them, and the pairs of columns with most such rows.
    dated = real.dates or (False,) * len(real.names)
    parts: list[tuple[int, bool, int, np.ndarray]] = []
    own: list[tuple[str, np.ndarray, np.ndarray]] = []
    for k, named in enumerate(real.category):
        for unit in PARTS[1:] if dated[k] else PARTS[:1]:
            values, codes = np.unique(_part(real.x[:, k], unit), return_inverse=True)
            values, size = values[~np.isnan(values)], int((~np.isnan(values)).sum())
            if len(real.x) >= LEAST_ROWS and 2 <= size <= (MOST_NAMES if named or unit else MOST_NUMBERS):
                parts.append((k, not named and not unit, size, np.where(codes.ravel() < size, codes.ravel(), -1)))
                made = _part(fake.x[:, k], unit)
                place = np.searchsorted(values, made).clip(0, size - 1)
                own.append((unit, values, np.where(values[place] == made, place, -1)))
    wrong, columns = np.zeros(len(fake.x), bool), []
    for a, b, never in never_in(parts):
        pairs = np.zeros((parts[a][2] + 1, parts[b][2] + 1), bool)
        pairs[tuple(never.T)] = True
        here = pairs[own[a][2], own[b][2]]
        if here.any():
            wrong |= here
            both, counts = np.unique(np.stack([own[a][2][here], own[b][2][here]]), axis=1, return_counts=True)
            most = both[:, counts.argmax()]  # the pair of most rows
            said = [_said(real, parts[at][0], own[at][0], float(own[at][1][k])) for at, k in zip((a, b), most.tolist())]
            columns.append((int(here.sum()), said))
    first = sorted(columns, key=lambda one: -one[0])[:MOST_PAIRS]
    told = [{"columns": said, "rows": rows} for rows, said in first]
    return {"rows": int(wrong.sum()), "share": float(wrong.mean()) if len(wrong) else 0.0, "pairs": told}


def _part(column: np.ndarray, unit: str) -> np.ndarray:
    """The month or the year of seconds; or what the column holds."""
    if not unit:
        return column
    return np.where(np.isnan(column), np.nan, of_dates(np.nan_to_num(column), "s", unit))


def _said(real: Table, k: int, unit: str, value: float) -> str:
    """A column with a value of it."""
    name = real.words[k][int(value)] if not unit and real.category[k] and real.words and real.words[k] else f"{value:g}"
    of = {"month": " in month", "year": " in"}.get(unit, "")
    return f"{real.names[k]}{of} {name}"


def unlike(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The name within which the tables are the least alike, where that is beyond chance."""
    beyond = lambda one: (one["by_chance"] - one["alike"]) / max(one["spread"], 1e-9)  # noqa: E731
    told = [one for one in (found or {}).get("names", ()) if beyond(one) > SURE]
    return max(told, key=beyond, default=None)


def _codes(x: np.ndarray) -> np.ndarray:
    """The names of enough rows."""
    codes, counts = np.unique(x[~np.isnan(x)], return_counts=True)
    return codes[counts >= FEWEST]


def _says(table: Table, i: int) -> float:
    """The part of what the other columns vary by, in ranks or in names, that differs between the names of a column."""
    from scipy.stats import rankdata

    codes = _codes(table.x[:, i])
    if not 2 <= len(codes) <= MOST_KINDS:
        return 0.0
    found = []
    for j, named in enumerate(table.category):
        seen = np.isin(table.x[:, i], codes) & ~np.isnan(table.x[:, j])
        if j == i or np.count_nonzero(seen) < FEWEST:
            continue
        kind, other = np.searchsorted(codes, table.x[seen, i]), table.x[seen, j]
        values = np.unique(other, return_inverse=True)[1]
        # Of names each is a column of zeros and ones.
        columns = np.eye(values.max() + 1)[values].T if named else rankdata(other)[None]
        total, left = 0.0, 0.0
        for column in columns:
            means = np.bincount(kind, column, len(codes)) / np.maximum(np.bincount(kind, minlength=len(codes)), 1)
            total += float(((column - column.mean()) ** 2).sum())
            left += float(((column - means[kind]) ** 2).sum())
        n = len(other)
        # Less what as many names of chance would say.
        found.append(1.0 - left / total * (n - 1) / max(n - len(codes), 1) if total > 0 else 0.0)
    return float(np.mean(found)) if found else 0.0
