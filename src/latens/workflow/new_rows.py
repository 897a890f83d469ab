"""New rows of a table that keep the rules of its data."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int

from latens.data import apart, effects, hours, implied, inapplicable, logits, weekdays
from latens.data.conditions import Conditions
from latens.data.rules import broken_in, computed, placed
from latens.data.schema import Schema
from latens.evaluation.samples.conditional import CHUNK, FEWEST, ConditionalSamples, sample_given
from latens.recipes.building.closed_forms import says_nothing
from latens.typing import Key
from latens.workflow.detours import without_detours
from latens.workflow.followed import followed, followers

FOLLOWED, SAID = 31, 37
"""What is folded into the key of columns that follow others, and of names that others say together."""
USUAL = 4000
"""Rows without conditions, among which those with some are ranked around the lines of the data."""
MOST_POOLS, POOL_SEED = 5, 1_000_003
"""As many rows again at the most, among which those are that have what is asked for; what their seeds differ by."""
SPARE = 8
"""How many times as many of the nearest rows are looked at, as some break a rule where they are moved."""
MOST_TIMES = 50
"""Draws of a row at the most, until it breaks no rule."""


class Kept(NamedTuple):
    """New rows, and what became of those that broke a rule."""

    arrays: dict[str, np.ndarray]  # x, and what the rows were made from
    redrawn: int  # rows that were drawn anew
    left: int  # rows that break a rule after all


def kept(
    drawn: Callable[[int], tuple[dict[str, np.ndarray], np.ndarray]],
    kind_of: Callable[[np.ndarray], Int[np.ndarray, " n"]] | None = None,
) -> Kept:
    """Rows that break no rule: each is drawn until its dates are in order, its names go together, and so on."""
    # drawn: by how many draws there were, the rows and which of them break a rule. kind_of: the kind of each row, which
    # the one that replaces it has too: else kinds that break rules more often would become rarer. None: all are one.
    (arrays, wrong), redrawn = drawn(0), 0
    wanted = np.zeros(len(wrong), int) if kind_of is None else kind_of(arrays["x"])
    arrays, wrong = dict(arrays), np.array(wrong)
    for again in range(1, MOST_TIMES + 1):
        if not wrong.any():
            break
        redrawn = redrawn or int(wrong.sum())
        others, bad = drawn(again)
        found = np.zeros(len(bad), int) if kind_of is None else kind_of(others["x"])
        if again == MOST_TIMES:  # a kind that breaks rules nearly always gives way
            wanted, found = np.zeros_like(wanted), np.zeros_like(found)
        to, of = _replaced(wanted, wrong, found, bad, alike=kind_of is not None)
        for name, values in arrays.items():
            arrays[name] = np.array(values)
            arrays[name][to] = others[name][of]
        wrong[to] = False
    return Kept(arrays, redrawn, int(wrong.sum()))


def _replaced(
    wanted: Int[np.ndarray, " n"],
    wrong: Bool[np.ndarray, " n"],
    found: Int[np.ndarray, " n"],
    bad: Bool[np.ndarray, " n"],
    *,
    alike: bool,
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """The places of rows that are replaced, and of the new ones that take them: of their own kind, or of any."""
    if not alike:  # each by the new row at its own place
        own = np.flatnonzero(wrong & ~bad)
        return own, own
    pairs = [(np.flatnonzero(wrong & (wanted == one)), np.flatnonzero(~bad & (found == one)))
             for one in np.unique(wanted[wrong])]  # fmt: skip
    few = [min(len(to), len(of)) for to, of in pairs]
    return (np.concatenate([to[:n] for (to, _), n in zip(pairs, few)]),
            np.concatenate([of[:n] for (_, of), n in zip(pairs, few)]))  # fmt: skip


def kinds_by(facts: Mapping[str, Any], schema: Schema) -> Callable[[np.ndarray], Int[np.ndarray, " n"]] | None:
    """What tells the kind of a row: the column of names that most pairs which may not come together are of."""
    names, types = schema.names, schema.types or ()
    counts = dict.fromkeys(range(len(names)), 0)
    for rule, by, k in implied.placed(implied.read(facts.get("implied")), schema):
        if len(by) == 1 and types[k].named and not (rule.dated or rule.cuts):
            for at in (by[0], k):
                counts[at] += len(rule.pairs) * (len({told for _, told in rule.pairs}) - 1)
    for rule, i, k in apart.placed(apart.read(facts.get("apart")), schema):
        for at in (i, k):
            counts[at] += len(rule.pairs) if types[at].named else 0
    most = max(counts, key=lambda at: counts[at], default=None)
    return None if most is None or not counts[most] else lambda x: np.round(np.asarray(x)[:, most]).astype(int)


def new_table(
    trained: Any,
    draw: Callable[[int], dict[str, np.ndarray]],
    seed: int,
    *,
    exact: bool = False,
    cond: dict[str, Any] | None = None,
) -> Kept:
    """New rows of a table, as a model draws them but for what its rules say; rows of anything else as they are."""
    # draw: the rows of a model, by how many draws there were; exact: means, which lie on their lines; cond: the
    # conditions under which they are drawn.
    facts, schema = trained.facts, trained.schema
    if schema.kind != "mixed":
        return Kept(draw(0), 0, 0)
    free, key = [] if exact else followers(trained), jax.random.fold_in(jax.random.key(seed), FOLLOWED)
    model = without_detours(trained) if free else None
    given = bool(placed(facts, schema) or facts.get("lines") or facts.get("effects"))

    some = [name for k, name in enumerate(schema.names) if k not in free]
    said = logits.read(facts.get("logits"))

    at_first = partial(weekdays.at_their_first, weekdays.read(facts.get("weekdays")), schema)

    def drawn(again: int) -> tuple[dict[str, np.ndarray], Bool[np.ndarray, " n"]]:
        arrays = draw(again)
        arrays["x"] = arrays["x"] if exact else at_first(_occurring(schema, arrays["x"]))
        wrong = np.zeros(len(arrays["x"]), bool)
        if given:
            rng = None if exact else np.random.default_rng([seed, again])
            arrays["x"], wrong = computed(facts, schema, arrays["x"], rng=rng)
            own = again_of(key, again)
            arrays["x"] = _occurring(schema, followed(model, arrays["x"], arrays.get("z"), free, own, cond=cond), some)
        if not exact:
            arrays["x"] = logits.redrawn(said, schema, arrays["x"], np.random.default_rng([seed, again, SAID]))
        return arrays, wrong | broken_in(facts, schema, arrays["x"])

    found = kept(drawn, kinds_by(facts, schema))
    found.arrays["x"] = _as_often(facts, schema, found.arrays["x"], seed)
    return found


def _occurring(schema: Schema, x: np.ndarray, but: Collection[str] = ()) -> np.ndarray:
    """Rows whose numbers of few values have one of these: what lies between has next to no probability, but some."""
    made = np.array(x)
    for j, (name, one) in enumerate(zip(schema.names, schema.types or ())):
        if one.kind == "number" and name not in but:
            made[:, j] = one.occurring(made[:, j])
    return made


def _as_often(
    facts: Mapping[str, Any],
    schema: Schema,
    x: np.ndarray,
    seed: int,
    asked: Callable[[str], bool] = lambda name: False,
    among: Conditions | None = None,
) -> np.ndarray:
    """New rows with days of the week and times of the day as often as in the data; rows that broke a rule then stay."""
    # asked: columns whose day stays, as a condition says what they are; among: what the rows must have.
    days = [one for one in weekdays.read_shares(facts.get("weekday_shares")) if not asked(one.column)]
    times = hours.read(facts.get("hours"))
    if not days and not times:
        return x
    moved = weekdays.spread(days, schema, x, np.random.default_rng(seed))
    moved = hours.spread(times, schema, moved)
    worse = broken_in(facts, schema, moved) & ~broken_in(facts, schema, x)
    if among is not None:
        worse |= ((moved < among.low) | (moved > among.high)).any(axis=1)
    return np.where(worse[:, None], x, moved).astype(x.dtype)


def table_given(
    trained: Any, conditions: Conditions, n: int, seed: int, *, key: Key
) -> tuple[Kept, ConditionalSamples]:
    """New rows of a table under conditions that keep its rules, and the draws of the model that they begin with."""
    # What is asked of a column that others say together says something of these: thirty coins need a large boat. So
    # rows are drawn without it, and those that have it are taken.
    facts, schema = trained.facts, trained.schema
    bounded = np.isfinite(conditions.low) | np.isfinite(conditions.high)
    family = _said(facts, schema)
    said = bounded & np.isin(schema.names, sorted(family))
    if not said.any():
        return _given(trained, conditions, n, seed, key=key)
    loose = Conditions(np.where(said, -np.inf, conditions.low), np.where(said, np.inf, conditions.high))
    made, found = _given(trained, loose, max(USUAL, n), seed, key=key)
    pool = made.arrays["x"]
    inside, again = _inside(pool, conditions), 1
    # Of one very number there are never enough, and the nearest rows are as good.
    ranges = not (conditions.low == conditions.high)[said].any() or MOST_POOLS * len(inside) >= n
    while ranges and len(inside) < n and again < MOST_POOLS:
        more = _given(trained, loose, max(USUAL, n), seed + again * POOL_SEED, key=again_of(key, again))[0]
        pool = np.concatenate([pool, more.arrays["x"]])
        inside, again = _inside(pool, conditions), again + 1
    x, wrong = pool[inside[:n]], np.zeros(0, bool)
    if len(x) < n:
        stay = {name for name, one in zip(schema.names, bounded & (said | (conditions.low == conditions.high))) if one}
        near = _nearest(np.delete(pool, inside, axis=0), conditions, said, SPARE * (n - len(x)))
        rng = np.random.default_rng([seed, n])
        near, wrong = computed(facts, schema, near, stay.__contains__, rng, {*stay, *family}.__contains__, pool)
        wrong = wrong | broken_in(facts, schema, near)
        whole = np.argsort(wrong, kind="stable")[: n - len(x)]  # those that keep the rules first
        x, wrong = np.concatenate([x, near[whole]]), wrong[whole]
    share = np.log(max(len(inside), 0.5) / len(pool))
    found = found._replace(x=x, log_probability=found.log_probability + share, z=None)
    return Kept({"x": x.astype(pool.dtype)}, 0, int(wrong.sum())), found


def _said(facts: Mapping[str, Any], schema: Schema) -> set[str]:
    """The columns that several others say together, and what is computed of them."""
    sums = effects.placed(effects.read(facts.get("effects")), schema)
    names = {one.target for one in logits.placed(logits.read(facts.get("logits")), schema)}
    return names.union(*({one.target, *one.of} for one in sums))


def _inside(x: np.ndarray, conditions: Conditions) -> Int[np.ndarray, " k"]:
    """The rows that fulfil conditions."""
    return np.flatnonzero(((x >= conditions.low) & (x <= conditions.high)).all(axis=1))


def _nearest(x: np.ndarray, conditions: Conditions, said: Bool[np.ndarray, " columns"], n: int) -> np.ndarray:
    """The rows that come nearest to what is asked for, which they then have."""
    own, low, high = x[:, said], conditions.low[said], conditions.high[said]
    within = np.clip(own, low, high)
    far = (np.abs(own - within) / np.maximum(own.std(axis=0), 1e-9)).sum(axis=1)
    made = x[np.argsort(far, kind="stable")[:n]]
    made[:, said] = np.clip(made[:, said], low, high)
    return made


def _given(trained: Any, conditions: Conditions, n: int, seed: int, *, key: Key) -> tuple[Kept, ConditionalSamples]:
    """The same where what is asked for says nothing of what others say together."""
    facts, schema = trained.facts, trained.schema
    names = schema.names
    bounded = np.isfinite(conditions.low) | np.isfinite(conditions.high)
    asked = {name for name, one in zip(names, bounded) if one}
    model = without_detours(trained, asked)
    exact = {name for name, low, high in zip(names, conditions.low, conditions.high) if low == high}
    few = says_nothing(model)  # then as many draws of z as rows are as good as more
    chunk = lambda rows: min(CHUNK, 1 << max(FEWEST, rows - 1).bit_length()) if few else CHUNK  # noqa: E731
    draw = partial(sample_given, model, conditions, n, chunk=chunk(n))
    found, usual, free = draw(key=key), None, followers(trained, asked)
    if facts.get("lines") or facts.get("effects"):  # around a line a row lies as it would among rows without conditions
        loose = Conditions(np.full_like(conditions.low, -np.inf), np.full_like(conditions.high, np.inf))
        usual = sample_given(model, loose, USUAL, key=jax.random.fold_in(key, USUAL), chunk=chunk(USUAL)).x

    some = [name for k, name in enumerate(names) if k not in free]
    closed, said = weekdays.read(facts.get("weekdays")), logits.read(facts.get("logits"))

    def drawn(again: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        new = draw(key=again_of(key, again)) if again else found
        x = weekdays.at_their_first(closed, schema, _occurring(schema, new.x, asked), asked)
        rng = np.random.default_rng([seed, again])
        made, wrong = computed(facts, schema, x, exact.__contains__, rng, asked.__contains__, usual)
        own = jax.random.fold_in(again_of(key, again), FOLLOWED)
        made = _occurring(schema, followed(model, made, new.z, free, own, coded=False), some)
        made = logits.redrawn(said, schema, made, np.random.default_rng([seed, again, SAID]), asked)
        beyond = ((made < conditions.low) | (made > conditions.high)).any(axis=1)
        if beyond.any():  # what is asked for is there: such a row is drawn anew, or breaks the rule at last
            own, far = computed(facts, schema, x, asked.__contains__, rng, usual=usual)
            made, wrong = np.where(beyond.reshape(-1, 1), own, made), np.where(beyond, far, wrong) | beyond
        return {"x": made}, wrong | broken_in(facts, schema, made)

    rows = kept(drawn)
    since = [schema.types[names.index(one)].after for one in asked] if schema.types else []
    still = asked | {one.column for one in since if one}  # with the dates that what is asked for is counted from
    rows.arrays["x"] = _as_often(facts, schema, rows.arrays["x"], seed, still.__contains__, conditions)
    return rows, found


def again_of(key: Key, again: int) -> Key:
    """The key of draws that are made again."""
    return jax.random.fold_in(key, again) if again else key


def not_applicable(facts: Mapping[str, Any], schema: Schema, x: np.ndarray) -> Bool[np.ndarray, "n columns"]:
    """The cells of rows of a table that are empty in all rows like theirs: the age of a company."""
    return inapplicable.cells_of(inapplicable.read(facts.get("inapplicable")), schema, x)
