"""Which columns of a table say most about one of them: mutual information under a model."""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from latens.data import Dataset
from latens.data.columns import ColumnType, decimals_of
from latens.data.conditions import Conditions
from latens.errors import ConfigError, nearest
from latens.evaluation.estimate import Estimate
from latens.evaluation.samples.conditional import shares_given
from latens.io.waiting import doing, reached
from latens.workflow.cells import typed_columns
from latens.workflow.trained import TrainedModel

RANGES, MOST_NAMES = 16, 32
"""Ranges of like mass that a number is told by, and names that are each asked for by themselves."""
LEAST_MASS, NOTHING, FEW_VALUES = 0.01, 0.001, 8
"""Share of the rows that a value has before it is told by itself, and up to which it is left out of a quarter; values
up to which a number is told by each."""
ONLY, TURNED = "only ", "the other way round, "
HALF, SURE = 0.5, 3.0
"""Share of the model's difference below which that of the rows is "only" so much; and its standard errors from which on
it counts that it has the other sign."""
FEWEST_ROWS = 10
"""Rows of either group from which on they are counted beside the model."""
BY_CHANCE, LEAST_ROWS, LEAST_LOST = 0.05, 100, 0.002
"""Probability by chance below which columns go together in rows, over all columns; rows that are enough; and the part
of the target's entropy that it says, at the least."""
FEW_CELLS = 100
"""Cells of a number up to which its means have a decimal more."""
ORDERS = 4000
"""Orders of the target among which that of the rows is looked for, where some name has few rows."""
FEWEST_EXPECTED = 5
"""Rows that independent columns would have with two of their names from which on the limit of large numbers holds."""
EACH = 2**9
"""Draws of z at once: where these are worth too few, there are as many again."""
REPEATS = 8
"""Independent repeats of the draws, for the error and against the bias of a logarithm of means."""


class Explained(NamedTuple):
    """What each other column says about one column, the most first, and how much there is to say."""

    columns: list[tuple[str, Estimate]]  # mutual information in nats
    entropy: float  # of the target, in nats
    said: str  # of what the entropy is where the target is asked for by ranges
    effects: dict[str, str]  # of each column that moves the target by how much, in words
    missed: Mapping[str, str] = MappingProxyType({})  # the same of those that say far more in the rows
    turned: Mapping[str, str] = MappingProxyType({})  # and of those that say the opposite there


def explain(
    trained: TrainedModel,
    target: str,
    *,
    effective: float = 200.0,
    seed: int = 0,
    rows: Dataset | None = None,
    new: Float[np.ndarray, "n c"] | None = None,
) -> Explained:
    r"""The mutual information of one column and each of the others under the model."""
    # $I(x_j; x_t) = \sum_{g, s} p(g, s) \log \frac{p(g, s)}{p(g)\,p(s)}$ over the names or ranges g of the target and
    # the categories or segments s of a column, from $p(g)$ and $p(s \mid g)$ by draws of z; exact where z says nothing.
    # `effective`: draws that each repeat is worth, at least. rows: what effects are held against, in words.
    # new: new rows, which are counted in the place of the model: they follow what it does not know by itself.
    types, names, at = target_of(trained, target)
    first, last = ranges_of(types[at])
    doing(f"what each column says about {target}")
    others = [j for j in range(len(types)) if j != at]
    if new is None:
        tables = _tables(trained, types, at, effective, seed)
        means = [np.mean([one[j] for one in tables], axis=0) for j in range(len(types))]
        told = [(names[j], _over([one[j] for one in tables])) for j in others]
    else:
        means = [_counted((new[:, at], new[:, j]), types[at], one) / len(new) for j, one in enumerate(types)]
        told = [(names[j], said_in(new, types, at, j)) for j in others]
    seen = {j: None if rows is None else _seen(rows, at, j) for j in others}
    effects = {names[j]: effect(means[j], types[j], names[j], types[at], target, seen[j]) for j in others}
    mass = means[at].sum(axis=1)
    mass = mass[mass > 0] / mass.sum()
    said = f", as one of {len(first)} ranges of like mass" if np.any(last > first) else ""
    entropy, order = float(-(mass * np.log(mass)).sum()), sorted(told, key=lambda one: -round(one[1].value, 9))
    found = dict(told)
    lost: list[tuple[float, str, str]] = []
    for j in others:
        known = _in_rows(seen[j], types[at], types[j], BY_CHANCE / len(others))
        if known is not None and known[0] > max(found[names[j]].value / HALF, LEAST_LOST * entropy):
            lost.append((known[0], names[j], effect(known[1], types[j], names[j], types[at], target)))
    missed = {name: text for _, name, text in sorted(lost, reverse=True) if text}
    turned = {}
    for j in others:
        if (own := seen[j]) is not None and TURNED in effects[names[j]]:
            turned[names[j]] = effect(_counted(own, types[at], types[j]), types[j], names[j], types[at], target)
            missed.pop(names[j], None)
    return Explained(order, entropy, said, effects, missed, turned)


def _tables(
    trained: TrainedModel, types: Sequence[ColumnType], at: int, effective: float, seed: int
) -> list[list[Float[np.ndarray, "g s"]]]:
    """Of each repeat the joint probabilities of the target's names or ranges and each column's segments."""
    first, last = ranges_of(types[at])
    groups = np.searchsorted(types[at].firsts, first)
    repeats, chunk = REPEATS, EACH
    found: list[list[np.ndarray]] = []
    for repeat in range(repeats):
        of = partial(_shares, trained, types, at, effective, chunk)
        mass = np.add.reduceat(of((-np.inf, np.inf), (seed, repeat, 0))[at], groups)
        reached(repeat, repeats, "repeats")
        given = [of(ends, (seed, repeat, 1 + g)) for g, ends in enumerate(zip(first.tolist(), last.tolist()))]
        found.append([mass[:, None] * np.array([one[j] for one in given]) for j in range(len(types))])
    return found


def said_in(new: Float[np.ndarray, "n c"], types: Sequence[ColumnType], at: int, j: int) -> Estimate:
    """The mutual information of two columns in new rows, in nats, without its bias."""
    table = _counted((new[:, at], new[:, j]), types[at], types[j])
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    free, n = (table.shape[0] - 1) * (table.shape[1] - 1), len(new)
    nats = information(table) - free / (2.0 * n)
    return Estimate(max(nats, 0.0), float(np.sqrt(2.0 * free) / (2.0 * n)), 1, n)


def _in_rows(
    seen: tuple[np.ndarray, np.ndarray] | None, goal: ColumnType, one: ColumnType, chance: float
) -> tuple[float, np.ndarray] | None:
    """The mutual information of two columns in rows, without its bias, and their shares; None by chance."""
    from scipy.stats import chi2

    # Of names and of quarters of numbers. Source: Miller (1955), "Note on the bias of information estimates".
    if seen is None or len(seen[0]) < LEAST_ROWS:
        return None
    table = _counted(seen, goal, one)
    parts = [kept for _, kept in groups_of(table.sum(axis=0), one)]
    cut = np.stack([table[:, kept].sum(axis=1) for kept in parts], axis=1)
    cut = cut if goal.named else np.add.reduceat(cut, np.unique(np.arange(4) * len(cut) // 4), axis=0)
    cut = cut[cut.sum(axis=1) > 0][:, cut.sum(axis=0) > 0]
    free = (cut.shape[0] - 1) * (cut.shape[1] - 1)
    if free < 1:
        return None
    nats, n = information(cut), cut.sum()
    if chi2.sf(2.0 * n * nats, free) >= chance:
        return None
    # Of rare names the distribution is not the limit yet: as many or more orders of the target must say less.
    rare = float((cut.sum(axis=1, keepdims=True) * cut.sum(axis=0)).min() / n) < FEWEST_EXPECTED
    return (nats - free / (2.0 * n), table / n) if not rare or _beyond_orders(cut, nats, chance) else None


def _counted(seen: tuple[np.ndarray, np.ndarray], goal: ColumnType, one: ColumnType) -> Float[np.ndarray, "g s"]:
    """The rows with each name or range of the target and each segment of a column."""
    first, _ = ranges_of(goal)
    group = np.searchsorted(first, seen[0], side="right") - 1
    segment = np.searchsorted(one.firsts, seen[1], side="right") - 1
    table = np.zeros((len(first), one.count))
    np.add.at(table, (group.clip(0), segment.clip(0)), 1.0)
    return table


def _beyond_orders(cut: Float[np.ndarray, "g s"], nats: float, chance: float) -> bool:
    """Whether fewer orders of the target than by chance say as much about a column, both with the counts they have."""
    from scipy.stats import random_table

    counts = random_table(*(np.round(cut.sum(axis=1 - k)).astype(int) for k in (0, 1))).rvs(ORDERS, random_state=0)
    other = np.array([information(one.astype(np.float64)) for one in counts])
    return 1 + int(np.count_nonzero(other >= nats - 1e-12)) <= chance * (1 + ORDERS)


def _seen(rows: Dataset, at: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """The stored cells of the target and of a column, of the rows that have both."""
    x = np.asarray(rows.x)
    kept = np.ones(len(x), bool) if rows.mask is None else np.asarray(rows.mask[:, at] & rows.mask[:, j])
    return x[kept, at].astype(np.float64), x[kept, j].astype(np.float64)


def effect(
    table: Float[np.ndarray, "g s"],
    one: ColumnType,
    name: str,
    goal: ColumnType,
    target: str,
    seen: tuple[np.ndarray, np.ndarray] | None = None,
) -> str:
    """How a target differs between the two values, or quarters, of a column that lie furthest apart, in words."""
    # table: probabilities of the target's names or ranges, and of the categories or segments of the column. The target
    # is told by its mean where it is a number, else by the share of one name: of two the rarer, of more the one that
    # differs most. seen: stored cells of the target and of the column, in which the same two numbers are counted.
    parts = groups_of(table.sum(axis=0), one)
    joint = np.stack([table[:, kept].sum(axis=1) for _, kept in parts], axis=1)
    given = joint / joint.sum(axis=0)
    if goal.kind in ("category", "ordinal") and len(table) == len(goal.values):
        rare = int(table.sum(axis=1).argmin()) if len(table) == 2 else int(np.ptp(given, axis=1).argmax())
        values, of = given[rare], lambda stored: 100.0 * np.mean(stored == goal.firsts[rare])
        words, what = [f"{100 * share:.0f} %" for share in given[rare]], f"{target} is {goal.values[rare]} in"
        written = lambda share: f"{share:.0f} %"  # noqa: E731
    elif goal.named:
        return ""
    else:
        rare = 0
        values = means_of(goal) @ given
        words, what, of = mean_texts(goal, values), f"{target} is on average about", np.mean
        written = lambda mean: mean_texts(goal, np.array([mean]))[0]  # noqa: E731
    high, low = int(values.argmax()), int(values.argmin())
    if words[high] == words[low]:
        return ""
    said = f"{what} {words[high]} where {name} is {parts[high][0]}, {words[low]} where it is {parts[low][0]}"
    if seen is None:
        return said
    segment = np.searchsorted(one.firsts, seen[1], side="right") - 1
    own = [seen[0][np.isin(segment, parts[k][1])] for k in (high, low)]
    if min(map(len, own)) < FEWEST_ROWS:
        return said
    counted = [float(of(each)) for each in own]
    scale = 100.0 if goal.named else 1.0
    far = counted[0] - counted[1]
    only = ONLY if far < HALF * scale * (values[high] - values[low]) else ""
    if far < 0:
        noise = [np.var(each == goal.firsts[rare] if goal.named else each) / len(each) for each in own]
        only = TURNED if -far > SURE * scale * np.sqrt(sum(noise)) else only
    return f"{said} (in the rows {only}{written(counted[0])} and {written(counted[1])})"


def mean_texts(one: ColumnType, means: Float[np.ndarray, " n"]) -> list[str]:
    """Means of the cells of a number in words: of marks from 1 to 5 with one decimal more."""
    if one.kind != "number" or one.size > FEW_CELLS or one.writing is not None:
        return one.texts(np.round(means))
    digits = decimals_of(one.step) + 1
    return [f"{one.low + mean * one.step:.{digits}f}" for mean in means]


def means_of(one: ColumnType) -> Float[np.ndarray, " g"]:
    """The mean cell of each range of a number over the training rows, cells of a segment alike."""
    starts = np.searchsorted(one.firsts, ranges_of(one)[0])
    shares, middles = np.asarray(one.shares), np.asarray(one.firsts) + 0.5 * (np.asarray(one.widths) - 1)
    return np.add.reduceat(shares * middles, starts) / np.maximum(np.add.reduceat(shares, starts), 1e-300)


def groups_of(shares: Float[np.ndarray, " s"], one: ColumnType) -> list[tuple[str, np.ndarray]]:
    """The values of a column, or of one with many the quarters of its rows: in words, and which segments they are."""
    firsts, widths = np.asarray(one.firsts), np.asarray(one.widths)
    there = np.flatnonzero(shares >= NOTHING * shares.sum())  # between values that recur nothing lies
    kept = np.flatnonzero(shares >= LEAST_MASS * shares.sum())
    if one.kind == "category" or (len(there) <= FEW_VALUES and int(np.max(widths[there])) == 1):
        kept = kept if len(kept) else np.array([int(shares.argmax())])
        return [(text, np.array([place])) for text, place in zip(one.texts(firsts[kept]), kept)]
    middle = (np.cumsum(shares) - 0.5 * shares) / shares.sum()
    quarter = np.where(shares >= NOTHING * shares.sum(), np.minimum((4.0 * middle).astype(int), 3), -1)
    lasts = firsts + widths - 1
    found = []
    for q in np.unique(quarter[there]):
        own = np.flatnonzero(quarter == q)
        low, high = one.texts(np.array([firsts[own[0]], lasts[own[-1]]]))
        shared = f" after {one.after.column}" if one.after else ""
        between = f"{low.removesuffix(shared) if high.endswith(shared) else low} to {high}"
        whole = {0: f"at most {high}", int(quarter.max()): f"at least {low}"}
        found.append((whole.get(int(q), low if low == high else between), own))
    return found


def target_of(trained: TrainedModel, target: str) -> tuple[Sequence[ColumnType], list[str], int]:
    """The types and names of the columns, and the place of the target, of a model that can explain it."""
    types = typed_columns(trained, "--target")
    names = trained.schema.names
    if target not in names:
        raise ConfigError(f"there is no column {target!r:.100}.", where="--target", fix=nearest(target, names))
    if trained.classes:
        what = "this model reads the label of a row, so that its columns are not described alone."
        raise ConfigError(
            what, where="--target", fix="Train one with the label as a column: `latens fit DATA --label none`."
        )
    return types, names, names.index(target)


def ranges_of(one: ColumnType) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last cell of each name, or of each of some ranges that hold like shares of the rows."""
    firsts = np.asarray(one.firsts)
    lasts = firsts + np.asarray(one.widths) - 1
    if one.named and one.count <= MOST_NAMES:
        return firsts, lasts
    before = np.cumsum(one.shares) - one.shares
    starts = np.unique(np.searchsorted(before, np.arange(RANGES) / RANGES))
    starts = starts[starts < one.count]
    return firsts[starts], lasts[np.append(starts[1:], one.count) - 1]


def _shares(
    trained: TrainedModel, types: Sequence[ColumnType], at: int, enough: float, chunk: int,
    within: tuple[float, float], seeds: tuple[int, int, int],
) -> list[np.ndarray]:  # fmt: skip
    """What each column may be where that at a place lies between two cells."""
    ends = Conditions(np.full(len(types), -np.inf), np.full(len(types), np.inf))
    ends.low[at], ends.high[at] = within
    key = jax.random.key(seeds[0])
    for one in seeds[1:]:
        key = jax.random.fold_in(key, one)
    return shares_given(trained.model, ends, types, key=key, enough=enough, chunk=chunk).columns


def information(table: Float[np.ndarray, "g s"]) -> float:
    """The mutual information of the rows and the columns of a table of probabilities, in nats."""
    table = table / table.sum()
    alone = table.sum(axis=1, keepdims=True) * table.sum(axis=0)
    seen = table > 0
    return float(np.sum(table[seen] * np.log(table[seen] / alone[seen])))


def _over(tables: list[np.ndarray]) -> Estimate:
    """The information of the mean of tables, with the jackknife's error and without its bias."""
    n = len(tables)
    whole = information(np.mean(tables, axis=0))
    if n == 1:
        return Estimate(whole, 0.0, 1, 1, protocol="mutual information under the model, exact")
    without = np.array([information(np.mean(tables[:i] + tables[i + 1 :], axis=0)) for i in range(n)])
    value = n * whole - (n - 1) * without.mean()
    error = float(np.sqrt((n - 1) * np.var(without)))
    return Estimate(max(0.0, value), error, n, n, protocol="mutual information under the model, by draws of z")
