"""How like a synthetic table is to a real one: columns, pairs, detection, utility, and what it gives away."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from latens.data.durations import UNITS
from latens.data.mixed import LIKE_ID
from latens.errors import DataError, nearest
from latens.evaluation import Estimate

PARTS = 10
"""Parts into which numbers are cut beside names."""
SHUFFLES, DRAWS = 5, 20
"""Pairs of tables of mixed rows, and pairs of drawn rows, from which an error is found."""
MOST_SHOWN, MOST_ATTACKED = 10_000, 2000
"""Rows of each table that a classifier tells apart; members, and rows that are none, of an attack."""


class Table(NamedTuple):
    """A table with columns of names and of numbers."""

    name: str  # what errors call it
    names: tuple[str, ...]  # names of the columns
    x: np.ndarray  # codes of names and numbers, of shape (n, columns), float64; NaN where a cell is missing
    category: np.ndarray  # true for columns of names, of shape (columns,)
    weight: np.ndarray | None = None  # how often each row counts in pairs of columns, of shape (n,); None for once
    words: tuple[tuple[str, ...], ...] = ()  # of each column the names of its codes; () for one of numbers
    dates: tuple[bool, ...] = ()  # whether a column holds dates, as seconds

    def rows(self, chosen: np.ndarray) -> "Table":
        """Some of the rows."""
        return self._replace(x=self.x[chosen], weight=None if self.weight is None else self.weight[chosen])

    def at_most(self, n: int, seed: int) -> "Table":
        """At most so many rows, drawn without putting back."""
        return self if len(self.x) <= n else self.rows(np.random.default_rng(seed).permutation(len(self.x))[:n])


def alike(tables: dict[str, tuple[tuple[str, ...], np.ndarray, dict[int, Any]]]) -> tuple[list[Table], list[str]]:
    """Bring tables to the same columns in the order of the first, with the same codes."""
    # returns: the tables, and the names of columns that are left out since every row has another text.
    first, *rest = tables
    names, x, texts = tables[first]
    ids = [name for i, name in enumerate(names) if i in texts and texts[i].values and _differ(x[:, i])]
    ids += [name for i, name in enumerate(names) if _counts(x[:, i]) and any(name not in tables[o][0] for o in rest)]
    # An id says nothing, so that a table may lack it.
    wanted = [name for name in names if name not in ids]
    if not wanted:
        raise DataError("every column has another text in every row.", where=first, fix="Give a table with columns.")
    for other in rest:
        have = tuple(name for name in tables[other][0] if name not in ids)
        lacking = [name for name in wanted if name not in have]
        extra = [name for name in have if name not in wanted]
        if lacking or extra:
            what = f"lacks {lacking[0]!r}" if lacking else f"has {extra[0]!r}"
            hint = nearest(lacking[0] if lacking else extra[0], have if lacking else wanted)
            hint += " Columns that a run left out are left out here too with --test RUN." if lacking else ""
            raise DataError(f"{what}; the tables must have the same columns as {first}.", where=other, fix=hint)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in tables}
    category, known, dates = [], [], []
    for name in wanted:
        cells = {}
        for source, (names, x, texts) in tables.items():
            place = names.index(name)
            cells[source] = (x[:, place].astype(np.float64), texts.get(place))
        order: list[str] = []
        names_here = {source: found is not None and bool(found.values) for source, (_, found) in cells.items()}
        if names_here[first]:
            words = {source: _words(*pair) for source, pair in cells.items()}
            order = sorted({word for column in words.values() for word in column if word is not None})
            code = {word: float(i) for i, word in enumerate(order)}
            for source, column in words.items():
                columns[source].append(np.array([np.nan if word is None else code[word] for word in column]))
        else:
            other = next((source for source, is_text in names_here.items() if is_text), None)
            if other is not None:
                what = f"column {name!r} holds text; in {first} it holds numbers or dates."
                raise DataError(what, where=other, fix="Write the same columns alike in both tables.")
            for source, (values, found) in cells.items():
                columns[source].append(values * _seconds(found))
        category.append(names_here[first])
        known.append(tuple(order))
        dates.append(not names_here[first] and _is_date(cells[first][1]))
    kinds = np.array(category), None, tuple(known), tuple(dates)
    made = [Table(source, tuple(wanted), np.stack(cells, axis=1), *kinds) for source, cells in columns.items()]
    return made, ids


def _seconds(found: Any) -> float:
    """What makes seconds of dates and durations; 1 of other numbers."""
    if found is None or not found.resolution:
        return 86_400.0 if found is not None and found.written == "D" else 1.0
    return UNITS[found.written] / 1e9


def _is_date(found: Any) -> bool:
    """Whether a column that holds no names holds dates."""
    return found is not None and not found.resolution and found.written in ("D", "s")


def _differ(values: np.ndarray) -> bool:
    """Whether nearly every row has another text."""
    seen = values[~np.isnan(values)]
    return len(np.unique(seen)) > max(20.0, LIKE_ID * len(seen) - 0.5)


def _counts(values: np.ndarray) -> bool:
    """Whether every row has another whole number."""
    return _differ(values) and bool(np.all(values.astype(np.float64) % 1.0 == 0.0))


def _words(values: np.ndarray, found: Any) -> list[str | None]:
    """The text of each cell."""
    if found is not None and found.values:
        return [None if np.isnan(v) else found.values[int(v)] for v in values]
    return [None if np.isnan(v) else str(int(v)) if v == int(v) else str(v) for v in values]


# --- columns and pairs ---


def shapes(real: Table, fake: Table) -> Shaped[np.ndarray, " columns"]:
    """How like each column is: 1 - total variation of names, 1 - the Kolmogorov-Smirnov distance of numbers."""
    # Source: SDMetrics, `TVComplement` and `KSComplement`.
    found = []
    for i, names in enumerate(real.category):
        a, b = (table.x[~np.isnan(table.x[:, i]), i] for table in (real, fake))
        if not len(a) or not len(b):
            found.append(float(len(a) == len(b)))
            continue
        found.append(1.0 - (_variation(a, b) if names else _kolmogorov(a, b)))
    return np.array(found)


class Pair(NamedTuple):
    """What two columns have to do with each other in two tables."""

    places: tuple[int, int]  # the places of the columns
    numbers: bool  # whether both hold numbers
    # for either table the correlation of two columns of numbers; else how often cells come together, of shape (cells of
    # the first, cells of the second) with sum 1, or 0 where no row has both. Numbers lie in ten parts
    found: tuple[Any, Any]

    @property
    def similarity(self) -> float:
        """1 - half the difference of correlations, or 1 - total variation of joint frequencies."""
        one, other = self.found
        if self.numbers:
            return 1.0 - 0.5 * abs(one - other)
        empty = one.sum() == 0, other.sum() == 0
        return float(all(empty)) if any(empty) else 1.0 - 0.5 * float(np.abs(one - other).sum())

    @property
    def strengths(self) -> tuple[float, float]:
        r"""How strong the association is in either table: the correlation of numbers, else Cramer's V, from 0 to 1."""
        # $V = \sqrt{\chi^2 / \min(r - 1, c - 1)}$ with $\chi^2 = \sum_{ij} (p_{ij} - p_{i.} p_{.j})^2 / (p_{i.}
        # p_{.j})$.
        # Source: Cramer (1946), Mathematical Methods of Statistics, section 21.9.
        # returns: a number for each table; NaN where no row has both cells, 0 where a column does not vary.
        one, other = (each if self.numbers else _cramer(each) for each in self.found)
        return one, other


def pairs(real: Table, fake: Table) -> Iterator[Pair]:
    """Go through the pairs of columns of two tables."""
    # A row that counts for nothing must not say where the parts of numbers end.
    real, fake = (t if t.weight is None else t.rows(t.weight > 0) for t in (real, fake))
    coded: list[tuple[list[np.ndarray], int]] = []
    for i in range(len(real.names)):
        cut = _parts(real, fake, i)
        values = np.unique(np.concatenate(cut))
        values = values[~np.isnan(values)]
        coded.append(([np.where(np.isnan(c), -1, np.searchsorted(values, c)) for c in cut], len(values)))
    for i, j in itertools.combinations(range(len(real.names)), 2):
        if not real.category[i] and not real.category[j]:
            one, other = (_correlation(table.x[:, [i, j]], table.weight) for table in (real, fake))
            yield Pair((i, j), True, (one, other))
            continue
        (rows, down), (columns, across) = coded[i], coded[j]
        found = []
        for table, a, b in zip((real, fake), rows, columns):
            seen = (a >= 0) & (b >= 0)
            weight = None if table.weight is None else table.weight[seen]
            counts = np.bincount(a[seen] * across + b[seen], weight, minlength=down * across)
            found.append((counts / (counts.sum() or 1.0)).reshape(down, across))
        yield Pair((i, j), False, (found[0], found[1]))


def trends(real: Table, fake: Table) -> tuple[list[tuple[int, int]], np.ndarray]:
    """How like each pair of columns is."""
    # Two columns of numbers: 1 - half the difference of their correlations; else 1 - total variation of their joint
    # frequencies, numbers in ten parts of the same width.
    # Source: SDMetrics, `CorrelationSimilarity` and `ContingencySimilarity`.
    # returns: the pairs, and a number from 0 to 1 for each; rows with a gap in either column are left out.
    found = [(pair.places, pair.similarity) for pair in pairs(real, fake)]
    return [places for places, _ in found], np.array([value for _, value in found])


def _parts(real: Table, fake: Table, i: int) -> tuple[np.ndarray, np.ndarray]:
    """One column of both tables, numbers by the part that they lie in."""
    if real.category[i]:
        return real.x[:, i], fake.x[:, i]
    seen = real.x[~np.isnan(real.x[:, i]), i]
    if not len(seen):
        return real.x[:, i], fake.x[:, i]
    edges = np.linspace(seen.min(), seen.max(), PARTS + 1)[1:-1]
    place = lambda v: np.where(np.isnan(v), np.nan, np.searchsorted(edges, v, side="right"))  # noqa: E731
    return place(real.x[:, i]), place(fake.x[:, i])


def _correlation(x: np.ndarray, weight: np.ndarray | None) -> float:
    kept = ~np.isnan(x).any(axis=1)
    x, weight = x[kept], None if weight is None else weight[kept]
    if not len(x) or not np.all(x.std(axis=0) > 0):
        return 0.0
    if weight is None:
        return float(np.corrcoef(x.T)[0, 1])
    covariance = np.cov(x.T, aweights=weight, ddof=0)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def _cramer(joint: np.ndarray) -> float:
    joint = joint[joint.sum(axis=1) > 0][:, joint.sum(axis=0) > 0]
    if not joint.size:
        return float("nan")
    expected = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    freedom = min(joint.shape) - 1
    return float(np.sqrt(((joint - expected) ** 2 / expected).sum() / freedom)) if freedom else 0.0


def _kolmogorov(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two empirical distribution functions."""
    values = np.unique(np.concatenate([a, b]))
    below = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _variation(a: np.ndarray, b: np.ndarray) -> float:
    """The total variation of two samples of values that repeat."""
    values, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(values)) / len(part) for part in np.split(codes, [len(a)])]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def with_error(likeness: Callable[[Table, Table], float], real: Table, fake: Table, seed: int) -> tuple[float, float]:
    r"""How like two tables are, with its standard error by a bootstrap of tables that are as unlike as these."""
    # A distance is never below 0, and of tables that are alike it is made of chance: their difference is that of two
    # samples of all rows, and varies less than its slope says (a jackknife's error is up to 1.5 times too large). So
    # rows are drawn with the probability p from their own table, and else from both, with $p^2 = 1 - (d_0 / d)^2$: d is
    # the distance, and $d_0$ that of rows in random order, by which the distance of drawn tables is d again.
    # Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 16, for draws from both tables.
    generator, n = np.random.default_rng(seed), (len(real.x), len(fake.x))
    both = real._replace(x=np.concatenate([real.x, fake.x]), weight=None)
    if real.weight is not None or fake.weight is not None:
        weights = [np.ones(len(t.x)) if t.weight is None else t.weight for t in (real, fake)]
        both = both._replace(weight=np.concatenate(weights))
    found = likeness(real, fake)
    orders = [np.split(generator.permutation(sum(n)), [n[0]]) for _ in range(SHUFFLES)]
    by_chance = float(np.mean([1.0 - likeness(both.rows(a), both.rows(b)) for a, b in orders]))
    own = np.sqrt(1.0 - min(1.0, by_chance / max(1.0 - found, 1e-12)) ** 2)
    values = []
    for _ in range(DRAWS):
        drawn = []
        for first, size in ((0, n[0]), (n[0], n[1])):
            stays = generator.random(size) < own
            drawn.append(
                np.where(stays, first + generator.integers(0, size, size), generator.integers(0, sum(n), size))
            )
        values.append(likeness(both.rows(drawn[0]), both.rows(drawn[1])))
    return found, float(np.std(values, ddof=1))


# --- what classifiers see ---


def features(table: Table, like: Table) -> Shaped[np.ndarray, "n features"]:
    """Numbers for a linear classifier: ranks among the rows of a table, each name as a column, gaps as a column."""
    columns = []
    for i, names in enumerate(like.category):
        own, values = like.x[:, i], table.x[:, i]
        gap = np.isnan(values)
        if names:
            codes = np.unique(own[~np.isnan(own)])
            columns += [(values == code).astype(np.float32) for code in codes]
        else:
            order = np.sort(own[~np.isnan(own)])
            below = np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
            columns.append(np.where(gap, 0.5, below / max(2 * len(order), 1)).astype(np.float32))
        columns.append(gap.astype(np.float32))  # also without gaps: the other table may have some
    return np.stack(columns, axis=1)


def _trees(table: Table, seed: int, *, regression: bool = False) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind: Any = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    # scikit-learn takes at most 255 names of a column as such; more stay numbers.
    few = [bool(names) and np.nanmax(table.x[:, i], initial=0) < 255 for i, names in enumerate(table.category)]
    return kind(categorical_features=few, random_state=seed)


def area(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """The area under the ROC curve with its standard error."""
    # Source: Hanley & McNeil (1982).
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    a = (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)
    one, two = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (m - 1) * (one - a * a) + (n - 1) * (two - a * a)) / (m * n)
    return float(a), float(np.sqrt(max(variance, 0.0)))


def detection(real: Table, fake: Table, *, trees: bool, seed: int) -> tuple[float, float]:
    """The area under the ROC curve of a classifier that tells the tables apart, in three folds."""
    # Source: Lopez-Paz & Oquab (2017).
    x, y, folds = _told_apart(real, fake, trees=trees, seed=seed)
    scores = np.zeros(len(y))
    for model, test in folds:
        scores[test] = model.decision_function(x[test])
    return area(scores[y == 1], scores[y == 0])


def telltales(real: Table, fake: Table, *, seed: int) -> list[tuple[str, float]]:
    """The columns by which trees tell the tables apart, largest first: how much the area falls when one is permuted."""
    # Those of which it falls by more than its standard error alone. Source: Breiman (2001), permutation importance.
    x, y, folds = _told_apart(real, fake, trees=True, seed=seed)
    scores = np.zeros((len(real.names) + 1, len(y)))
    rng = np.random.default_rng(seed)
    for model, test in folds:
        scores[-1, test] = model.decision_function(x[test])
        for j in range(len(real.names)):
            moved = x[test].copy()
            moved[:, j] = rng.permutation(moved[:, j])
            scores[j, test] = model.decision_function(moved)
    whole, error = area(scores[-1, y == 1], scores[-1, y == 0])
    falls = [whole - area(one[y == 1], one[y == 0])[0] for one in scores[:-1]]
    order = np.argsort(falls)[::-1]
    return [(real.names[j], float(falls[j])) for j in order if falls[j] > error]


def _told_apart(
    real: Table, fake: Table, *, trees: bool, seed: int
) -> tuple[Any, np.ndarray, list[tuple[Any, np.ndarray]]]:
    """Rows of both tables, which are synthetic, and for each of three folds a classifier of the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    n = min(MOST_SHOWN, len(real.x), len(fake.x))
    both = [table.at_most(n, seed) for table in (real, fake)]
    x = np.concatenate([t.x if trees else features(t, both[0]) for t in both])
    y = np.repeat([0, 1], [len(t.x) for t in both])
    folds = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=seed).split(x, y):
        model = _trees(real, seed) if trees else LogisticRegression(max_iter=1000)
        folds.append((model.fit(x[train], y[train]), test))
    return x, y, folds


def similarity(auc: float) -> float:
    """Turn an area under the ROC curve into 1 where two tables cannot be told apart, and 0 where every row can."""
    return 2.0 - 2.0 * max(auc, 0.5)


def utility(fake: Table, real: Table, test: Table, target: str, *, seed: int) -> dict[str, Estimate]:
    """What gradient-boosted trees learn of a column from each table, on test rows."""
    # returns: `fake`, `real` and `difference` (paired over test rows): the area under the ROC curve of a name (several:
    # the mean over each against the rest), the R squared of a number.
    place = real.names.index(target)
    rest = [i for i in range(len(real.names)) if i != place]
    names = bool(real.category[place])
    part = lambda t: t.rows(~np.isnan(t.x[:, place]))  # noqa: E731
    fake, real, test = part(fake), part(real), part(test)
    shown = real._replace(x=real.x[:, rest], category=real.category[rest], names=tuple(real.names[i] for i in rest))
    scores: dict[str, Any] = {}
    for name, table in (("fake", fake), ("real", real)):
        y = table.x[:, place]
        if names and len(np.unique(y)) < 2:
            scores[name] = (np.unique(y), np.ones((len(test.x), 1)))
            continue
        model = _trees(shown, seed, regression=not names).fit(table.x[:, rest], y)
        found = model.predict_proba(test.x[:, rest]) if names else model.predict(test.x[:, rest])
        scores[name] = (model.classes_ if names else None, found)
    truth, generator = test.x[:, place], np.random.default_rng(seed)

    def of(name: str, rows: np.ndarray) -> float:
        classes, found = scores[name]
        y = truth[rows]
        if not names:
            return 1.0 - float(np.mean((y - found[rows]) ** 2) / np.var(y))
        present, areas = np.unique(y), []
        for value in present[1:] if len(present) == 2 else present:
            where = np.flatnonzero(classes == value)
            score = found[rows][:, where[0]] if len(where) else np.zeros(len(rows))
            areas.append(area(score[y == value], score[y != value])[0])
        return float(np.mean(areas)) if areas else 0.5

    every = np.arange(len(truth))
    draws = [generator.integers(0, len(truth), len(truth)) for _ in range(100)]
    spread = {name: np.array([of(name, rows) for rows in draws]) for name in scores}
    value = {name: of(name, every) for name in scores}
    value["difference"], spread["difference"] = value["fake"] - value["real"], spread["fake"] - spread["real"]
    what = "area under the ROC curve" if names else "R squared"
    protocol = f"gradient-boosted trees that predict {target}: {what} on {len(truth)} test rows, error by bootstrap"
    return {
        name: Estimate(value[name], float(spread[name].std()), 1, len(truth), what, protocol, seed) for name in value
    }


# --- what it gives away ---


def nearest_distances(rows: Table, among: Table, like: Table) -> Shaped[np.ndarray, " n"]:
    """The distance of each row to the nearest one of a table: unequal names, and differences of ranks, added up."""
    # Source: Gower (1971).
    one, two = _places(rows, like), _places(among, like)
    found = np.empty(len(one), np.float32)
    size = max(1, 2**24 // max(len(two), 1))
    for start in range(0, len(one), size):
        part = one[start : start + size]
        total = np.zeros((len(part), len(two)), np.float32)
        for i, names in enumerate(like.category):
            a, b = part[:, i, None], two[None, :, i]
            total += (a != b) if names else np.abs(a - b)
        found[start : start + size] = total.min(axis=1)
    return found


def _places(table: Table, like: Table) -> np.ndarray:
    """Codes and ranks among the rows of a table; a gap is a name of its own, or beyond every number."""
    made = np.empty(table.x.shape, np.float32)
    for i, names in enumerate(like.category):
        values, own = table.x[:, i], like.x[:, i]
        gap = np.isnan(values)
        if names:
            made[:, i] = np.where(gap, -1.0, values)
            continue
        order = np.sort(own[~np.isnan(own)])
        below = np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
        made[:, i] = np.where(gap, 2.0, below / max(2 * len(order), 1))
    return made


def copies(fake: Table, real: Table) -> float:
    """The share of rows that are a row of another table, cell by cell."""
    known = {row.tobytes() for row in np.nan_to_num(real.x, nan=-np.inf)}
    return float(np.mean([row.tobytes() in known for row in np.nan_to_num(fake.x, nan=-np.inf)]))


def attacks(real: Table, fake: Table, test: Table, *, seed: int) -> dict[str, dict[str, float]]:
    """How well rows that made a synthetic table are told from rows that did not."""
    # - `distance`: how much nearer the synthetic table has a row than other real rows have;
    # - `density`: how much denser the synthetic rows are around it than real ones (a classifier of the two).
    # Half of the test rows are the ones to tell apart, the others are what the attacker knows.
    # Source: van Breugel, Sun, Qian & van der Schaar (2023) for the densities; Carlini et al. (2022) for the 1 %.
    # returns: for each attack `auc`, `standard_error`, and `caught` (the share of members found at 1 % false alarms)
    # with its 95 % interval `low` to `high`; 0.5 and 0.01 where nothing is given away.
    order = np.random.default_rng(seed).permutation(len(test.x))
    others, known = test.rows(order[: len(order) // 2]), test.rows(order[len(order) // 2 :])
    n = min(MOST_ATTACKED, len(others.x), len(real.x))
    members, others = real.at_most(n, seed), others.rows(np.arange(n))
    shown = [t.at_most(MOST_SHOWN, seed) for t in (fake, known)]
    model = _trees(real, seed).fit(np.concatenate([t.x for t in shown]), np.repeat([1, 0], [len(t.x) for t in shown]))
    found = {}
    for name in ("distance", "density"):
        scores = []
        for rows in (members, others):
            if name == "density":
                scores.append(model.decision_function(rows.x))
            else:
                near, far = (nearest_distances(rows, table, real) for table in (fake, known))
                scores.append((far + 1e-6) / (near + far + 2e-6))
        auc, error = area(*scores)
        edge = np.quantile(scores[1], 0.99, method="higher")
        caught = float(np.mean(scores[0] > edge))
        low, high = _wilson(caught, n)
        above = int(np.sum(scores[1] >= edge))
        found[name] = {"auc": auc, "standard_error": error, "caught": caught, "low": low, "high": high, "rows": n}
        found[name]["by_chance"] = _by_chance(n, above)
    return found


def _by_chance(n: int, above: int) -> float:
    """The share of n rows that lies above so many of n others in one of 40 such attacks, where all are alike."""
    from scipy.stats import nhypergeom

    # How many are met before the others above the edge are is negative hypergeometric. One of 20 of two attacks
    # together.
    return float(nhypergeom(2 * n, n, above).isf(0.025)) / n if 0 < above <= n else 1.0


def _wilson(p: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return float((middle - half) / (1 + z * z / n)), float((middle + half) / (1 + z * z / n))
