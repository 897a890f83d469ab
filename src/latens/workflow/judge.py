"""Anyone's synthetic table beside the real one: every number that says how good it is, and what it gives away."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from latens.data import Dataset, Schema, ordered
from latens.data.blanks import found_blanks
from latens.data.clocks import beginning, from_beginning
from latens.data.columns import TextColumn, recorded_step
from latens.data.conditions import parse_conditions
from latens.data.dates import DAY
from latens.data.equations import broken_by, follows, value_of
from latens.data.found_equations import find
from latens.data.implied import Implied
from latens.data.mixed import mixed_schema, stored_columns
from latens.data.raw import Raw
from latens.data.rules import broken_rules
from latens.data.sources import read_columns
from latens.data.writings import Writing
from latens.errors import DataError, LatensError, UsageError, nearest
from latens.evaluation.samples.kinds import beyond, by_name, together
from latens.evaluation.samples.tables import (
    Table,
    alike,
    attacks,
    copies,
    detection,
    nearest_distances,
    shapes,
    similarity,
    telltales,
    trends,
    utility,
    with_error,
)
from latens.evaluation.samples.words import combinations, hours, weekdays, within_names
from latens.io.waiting import doing
from latens.workflow.partial import lost

CLOCK = Writing(pattern="%H:%M:%S")
"""How times of the day are written."""
RANGE = "what the range of "
"""How the words of a rule begin by which the ranges of a number say a name."""
WORST = 5
"""Columns and pairs that are listed as the least alike."""
LOOKED_AT = 200
"""Pairs, the least alike, in which a combination that differs is looked for."""
LEAST_GAPS = 0.01
"""Difference of the shares of empty cells from which on a column is named."""
GRADES, WORST_GRADE = (("very good", 0.55), ("good", 0.65), ("fair", 0.8)), "poor"
"""A word for how good a table is, by the area at most with which a test tells it apart; and that for all others."""
BROKEN = 0.05
"""How many more synthetic rows than real ones must break an equation to be told first."""
BEYOND = 0.03
"""Share of rows with a number beyond what the real rows of its name have from which on they are told first."""
OTHER_HOURS = 0.2
"""Part of the dates of a column that lie at other hours than in the real rows from which on it is told first."""
LOST_MUCH = 8.0
"""Standard errors by which an effect with the other columns held still is lost, from which on a table is only fair."""
SPIKE, FAR_OFTENER = 0.02, 4.0
"""Share of the synthetic rows with one number from which on, and how many times the real share it is, to be told."""
LEAST_EXPECTED, SCARCE = 20.0, 0.25
"""Synthetic rows that a name should have from which on, and the part of these up to which, it is scarce.

By chance 20 expected rows are 5 or fewer in 7 tables of 100,000.
"""
NARROW = 0.75
"""Share of real rows up to which it is told that all synthetic rows have what only these have."""
LEAST, LEAST_NEW = 50, 30
"""Rows of a table below which nothing is judged; and of real rows that made nothing."""


def judge(
    real: Any,
    fake: Any,
    *,
    test: Any = None,
    target: str | None = None,
    seed: int = 0,
    held: Any = None,
    where: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge a synthetic table by the real one."""
    # held: the places of the rows of REAL that made the other table, and of those that did not, in the place of a test.
    # where: conditions that the synthetic rows were asked to fulfil, so that real ones that do not say nothing of them.
    tables, left_out = tables_of(real, fake, test, held)
    return judged(only_where(tables, where) if where else tables, left_out, target=target, seed=seed)


def tables_of(
    real: Any,
    fake: Any,
    test: Any = None,
    held: tuple[np.ndarray, np.ndarray] | None = None,
    row_id: str | None = None,
    unread: Sequence[str] = (),
) -> tuple[list[Table], list[str]]:
    """Real rows, synthetic ones and, if any, real ones that made nothing, in the same columns and codes."""
    # row_id: the column that named the rows of a run, which says nothing. unread: those that the run left out.
    # returns: the tables, and the names of columns that are left out since every row has another text.
    given = {"REAL": real, "FAKE": fake} | ({} if test is None or held is not None else {"--test": test})
    if row_id is not None and row_id not in (known := _read(real, "REAL")[0]):
        raise UsageError(f"REAL has no column {row_id!r}.", where="--id", fix=nearest(row_id, known))
    every = {role: _read(value, role) for role, value in given.items()}
    gone = {*unread, *([] if row_id is None else [row_id]), *_beside([names for names, *_ in every.values()])}
    read = {role: _without(gone, *table) for role, table in every.items()}
    # What an empty cell of the real table means it means in the others.
    own, real_x, real_texts = read["REAL"]
    empty = {own[i] for i in found_blanks(real_x, own, real_texts)}
    read = {role: (names, _filled(names, x, empty), texts) for role, (names, x, texts) in read.items()}
    if held is not None:
        names, x, texts = read["REAL"]
        if len(x) <= max(int(places.max(initial=-1)) for places in held):
            what = f"has {len(x)} rows, fewer than the run read."
            raise DataError(what, where=str(real), fix="Give the table that the run was trained on.")
        read |= {role: (names, x[places], texts) for role, places in zip(("REAL", "--test"), held)}
    tables, left_out = alike(read)
    for j in (j for j, dated in enumerate(tables[0].dates) if dated and _is_clock(tables[0].x[:, j])):
        first = beginning((own := tables[0].x[:, j])[~np.isnan(own)], None, CLOCK)
        for table in tables:  # an evening goes on after midnight
            table.x[:, j] = from_beginning(table.x[:, j], first)
    for table in tables:
        _check_enough(table, "")
    return tables, left_out


def only_where(tables: list[Table], where: Sequence[str], *, needed: bool = True) -> list[Table]:
    """The tables with the real rows alone that fulfil conditions, as the synthetic ones were asked to."""
    # needed: whether new real rows have to be enough; else too few of them are left out.
    schema = _typed(tables[0]).schema
    asked, kept = parse_conditions(where, schema), []
    bounded = np.isfinite(asked.low) | np.isfinite(asked.high)
    for table in tables:
        if table is not tables[1]:
            data = _typed(table, schema)
            inside = (data.x >= asked.low) & (data.x <= asked.high)
            shown = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
            table = table.rows((inside & shown)[:, bounded].all(axis=1))
            if not needed and table.name == "--test" and len(table.x) < LEAST_NEW:
                continue
            _check_enough(table, f", or leave out --where {where[0]!r}")
        kept.append(table)
    return kept


def narrower(real: Table, fake: Table) -> tuple[str, float] | None:
    """The condition that all synthetic rows fulfil and many real ones do not, and the share of those that do."""
    # Of columns with one value, or within fewer than all real numbers; the one that most real rows do not fulfil.
    found = []
    for j, name in enumerate(real.names):
        own, other = (column[~np.isnan(column)] for column in (real.x[:, j], fake.x[:, j]))
        if not len(own) or not len(other) or real.dates[j]:
            continue
        low, high = float(other.min()), float(other.max())
        if real.category[j] and low < high:
            continue
        write = lambda v, j=j: real.words[j][int(v)] if real.category[j] else f"{v:.12g}"  # noqa: E731
        said = f"{name}={write(low)}" if low == high else f"{name}={write(low)}..{write(high)}"
        found.append((said, float(np.mean((own >= low) & (own <= high)))))
    said, share = min(found, key=lambda one: one[1], default=("", 1.0))
    return (said, share) if share <= NARROW and len(fake.x) >= LEAST else None


def _check_enough(table: Table, other: str) -> None:
    """Raise where a table has too few rows."""
    least = LEAST_NEW if (new := table.name == "--test") else LEAST
    if len(table.x) < least:
        what = f"has {len(table.x)} rows; too few to judge anything by."
        raise DataError(what, where=table.name, fix=f"Give at least {least}{', or leave out --test' * new}{other}.")


def judged(tables: list[Table], left_out: list[str], *, target: str | None = None, seed: int = 0) -> dict[str, Any]:
    """The numbers of a judgement, from its tables."""
    # - `shape` and `trend`: how like columns and pairs of columns are (1: equal), with those of new real rows beside;
    # - `detection`: whether trees, or logistic regression, tell its rows from real ones (1: no better than by chance),
    #   and by which columns trees do (`told_by`);
    # - `utility`: what trees learn of a column from it, beside what they learn from the real rows;
    # - `attacks`: how well rows that made it are told from rows that did not (areas of 0.5: not at all);
    # - `copies` and `near`: rows that are, or nearly are, rows of the real table, beside those of new real rows;
    # - `weekdays`, `hours` and `combinations`: where dates, and pairs of columns, differ most, as shares of rows;
    # - `within_names`: numbers that go together otherwise within a name;
    # - `held_still`: effects of a number on another that it lacks, with all other columns held still;
    # - `by_name`: how alike they are within each name of the column that says most about the others;
    # - `beyond_names`: rows with a number that no real row of their name has;
    # - `never_together`: rows with values that never come together in the real ones;
    # - `verdict`: how good it is, in a word;
    # - `narrower`: a condition that all its rows fulfil, and the share of the real ones that do, where these are fewer;
    # - `equations`: what holds in nearly all real rows, and in which share of either table;
    # - `validity`: cells that the real table's columns could not have.
    truth, made = tables[:2]
    new = tables[2] if len(tables) > 2 else None
    if target is not None and new is None:
        what = f"the target {target!r} is predicted on real rows that did not make the other table; there are none."
        raise UsageError(
            what, where="--target", fix="Give the run that made FAKE, or such rows: --test RUN or REAL2 (test=)."
        )
    if target is not None and target not in truth.names:
        raise UsageError(f"there is no column {target!r}.", where="--target", fix=nearest(target, truth.names))
    found: dict[str, Any] = {
        "rows": {table.name.strip("-").lower(): len(table.x) for table in tables},
        "columns": list(truth.names),
        "left_out": list(dict.fromkeys(left_out)),
        "seed": seed,
    }
    doing("comparing columns")
    mean_trend = lambda a, b: float(trends(a, b)[1].mean()) if len(truth.names) > 1 else 1.0  # noqa: E731
    for name, statistic in (("shape", lambda a, b: float(shapes(a, b).mean())), ("trend", mean_trend)):
        found[name] = _with_error(with_error(statistic, truth, made, seed))
        if new is not None:
            found[name]["new_rows"] = _with_error(with_error(statistic, truth, new, seed))
            # Fewer rows differ more by chance: new rows are held against as many synthetic ones.
            found[name]["as_many"] = statistic(truth, made.at_most(len(new.x), seed))
    each = shapes(truth, made)
    found["worst_columns"] = [{"column": truth.names[i], "shape": float(each[i])} for i in np.argsort(each)[:WORST]]
    pairs, values = trends(truth, made) if len(truth.names) > 1 else ([], np.zeros(0))
    if len(truth.names) > 1:
        found["worst_pairs"] = [
            {"columns": [truth.names[k] for k in pairs[i]], "trend": float(values[i])}
            for i in np.argsort(values)[:WORST]
        ]
    doing("telling the tables apart")
    beside = truth if new is None else new
    found["detection"] = {
        **{name: _detected(beside, made, trees=name == "trees", seed=seed) for name in ("trees", "logistic")},
        "beside": "real rows" if new is None else "test rows",
    }
    trees = found["detection"]["trees"]
    apart = trees["auc"] > 0.5 + trees["standard_error"]  # twice the error of the area
    by = telltales(beside, made, seed=seed)[:WORST] if apart else []
    trees["told_by"] = [{"column": name, "fall": fall} for name, fall in by]
    if target is not None and new is not None:
        scores = utility(made, truth, new, target, seed=seed)
        found["utility"] = {"target": target} | {name: value.to_json() for name, value in scores.items()}
    doing("looking for copies")
    found["copies"] = {"fake": copies(made, truth)} | ({} if new is None else {"test": copies(new, truth)})
    if new is not None:
        some = [table.at_most(2000, seed) for table in (made, new)]
        far, usual = (nearest_distances(rows, truth, truth) for rows in some)
        found["near"] = {"share": float(np.mean(far < np.quantile(usual, 0.02))), "of_new_rows": 0.02}
        found["attacks"] = attacks(truth, made, new, seed=seed)
    found["validity"] = _validity(truth, made)
    found["gaps"] = _gaps(truth, made)
    found["equations"] = _equations(truth, made)
    found["equations"] += _rules(truth, made, {one["target"] for one in found["equations"]})
    found["weekdays"], found["hours"] = weekdays(truth, made), hours(truth, made)
    least = [pairs[i] for i in np.argsort(values)[:LOOKED_AT]] if len(truth.names) > 1 else []
    found["combinations"] = combinations(truth, made, least)
    found["within_names"] = within_names(truth, made)
    # A name that the range of a number says is one of the things that say the number.
    computed = {one.get("follows", one["target"]) for one in found["equations"] if not one["is"].startswith(RANGE)}
    plain = [j for j, name in enumerate(truth.names) if not truth.dates[j] and name not in computed]
    word = lambda j, code: truth.words[j][code] if code < len(truth.words[j]) else str(code)  # noqa: E731
    gone = lost(truth.x, made.x, np.asarray(truth.category, bool), truth.names, plain, word)
    found["held_still"] = [{"column": one.column, "errors": one.errors, "words": one.words} for one in gone[:WORST]]
    found["by_name"] = by_name(truth, made, seed)
    found["beyond_names"] = beyond(truth, made)
    found["never_together"] = together(truth, made)
    found["verdict"] = verdict(found)
    if (one := narrower(truth, made)) is not None:
        found["narrower"] = {"where": one[0], "share": one[1]}
    return found


def verdict(found: dict[str, Any]) -> dict[str, str]:
    """How good a synthetic table is, in a word, and by what."""
    area = max(one["auc"] for one in (found["detection"]["trees"], found["detection"]["logistic"]))
    place = next((k for k, (_, most) in enumerate(GRADES) if area <= most), len(GRADES))
    because = f"a test finds the real row of two in {100 * area:.0f} %"
    if broken := [one for one in found["equations"] if one["broken"]]:
        place, because = len(GRADES), f"{broken[0]['target']} is not {broken[0]['is']} as in the real rows"
    elif (
        often := found.get("validity", {}).get("spikes", []) + found.get("validity", {}).get("scarce_names", [])
    ) and (place < len(GRADES) - 1):
        one, place = often[0], len(GRADES) - 1
        because = (
            f"{one['column']} is {one['name']} in {one['fake']:.1%} of the rows, and in {one['real']:.1%} of real ones"
        )
    elif found["beyond_names"]["share"] > BEYOND and place < len(GRADES) - 1:
        place = len(GRADES) - 1
        because = f"{found['beyond_names']['share']:.0%} of the rows have a number that no real row of their name has"
    elif found["never_together"]["share"] > BEYOND and place < len(GRADES) - 1:
        place = len(GRADES) - 1
        because = (
            f"{found['never_together']['share']:.0%} of the rows have values that never come together in real ones"
        )
    elif found["within_names"] and place < len(GRADES) - 1:
        one = found["within_names"][0]
        place = len(GRADES) - 1
        because = f"{' and '.join(one['columns'])} come apart within {one['column']} {one['name']}"
    elif (gone := found.get("held_still")) and gone[0]["errors"] >= LOST_MUCH and place < len(GRADES) - 1:
        place, because = len(GRADES) - 1, f"in real rows {gone[0]['words']}, other columns held still"
    elif (late := found.get("hours")) and late[0]["apart"] > OTHER_HOURS and place < len(GRADES) - 1:
        place = len(GRADES) - 1
        because = f"{late[0]['apart']:.0%} of the times of {late[0]['column']} lie at other hours than in real rows"
    return {"word": GRADES[place][0] if place < len(GRADES) else WORST_GRADE, "because": because}


def _equations(real: Table, fake: Table) -> list[dict[str, Any]]:
    """The numbers of the real rows that others give exactly, and in which share of either table they do."""
    kept = [j for j, named in enumerate(real.category) if not named and not real.dates[j]]
    names, x, y = [real.names[j] for j in kept], real.x[:, kept], fake.x[:, kept]
    steps = [recorded_step(column[~np.isnan(column)]) if not np.isnan(column).all() else 1.0 for column in x.T]
    found = []
    for one in find(names, x, steps, [False] * len(names)):
        there = np.isfinite(value_of(one, names, y)) & ~np.isnan(y[:, names.index(one.target)])
        holds = float(np.mean(~broken_by(one, names, y)[there])) if there.any() else 0.0
        usual = 1.0 - one.broken / one.rows
        shares = {"real": usual, "fake": holds, "broken": holds < usual - BROKEN}
        found.append({"target": one.target, "is": one.words, "follows": follows(one)} | shares)
    return found


def _rules(real: Table, fake: Table, known: Collection[str]) -> list[dict[str, Any]]:
    """What else holds in nearly all real rows, and in which share of either table: rates, names, the order of dates."""
    # known: columns that numbers give, as these are counted by themselves.
    try:
        of = _typed(real)
        made = _typed(fake, of.schema)
    except LatensError:  # names or dates that no real row has: cells that cannot be are counted elsewhere
        return []
    schema, found = of.schema, []

    def told(target: str, words: str, columns: Collection[str], wrong: Sequence[np.ndarray]) -> None:
        at, shares = [one in columns for one in names], []
        for data, own in zip((of, made), wrong):
            seen = np.ones(len(own), bool) if data.mask is None else np.asarray(data.mask)[:, at].all(axis=1)
            shares.append(1.0 - float(own[seen].mean()) if seen.any() else 1.0)
        share = {"real": shares[0], "fake": shares[1], "broken": shares[1] < shares[0] - BROKEN}
        found.append({"target": target, "is": words} | share)

    names = schema.names
    for (rule, wrong), (_, others) in zip(broken_rules(of), broken_rules(made, of)):
        if rule.target not in known:
            words = rule.short if isinstance(rule, Implied) else rule.words
            told(rule.target, words, {rule.target, *rule.columns}, (wrong, others))
    for pair in ordered.found_in(of):
        cells = [data.x if data.outside is None else data.x + data.outside for data in (of, made)]
        wrong = [ordered.broken_in([pair], schema, x, data.mask) for x, data in zip(cells, (of, made))]
        told(pair.second, f"never before {pair.first}", {pair.first, pair.second}, wrong)
    return found


def _is_clock(seconds: np.ndarray) -> bool:
    """Whether dates are times of the day, perhaps over midnight."""
    seen = seconds[~np.isnan(seconds)]
    return bool(len(seen) and seen.min() >= 0 and seen.max() < 2 * DAY)


def _typed(table: Table, schema: Schema | None = None) -> Dataset:
    """A table as rows with types, of their own or of a schema; days are dates without a time."""
    x, texts = table.x.copy(), {}
    for j, (named, dated) in enumerate(zip(table.category, table.dates)):
        if dated:
            whole = not (x[~np.isnan(x[:, j]), j] % DAY).any()
            x[:, j] /= DAY if whole else 1.0
            clock = not whole and _is_clock(x[:, j])
            x[:, j] = x[:, j] % DAY if clock else x[:, j]
            texts[j] = TextColumn((), "D" if whole else "s", writing=CLOCK if clock else None)
        elif named:
            texts[j] = TextColumn(table.words[j])
    shown, train = ~np.isnan(x), np.ones(len(x), bool)
    schema = schema or mixed_schema(x, train, table.names, shown, texts, table.name)
    kept = [table.names.index(name) for name in schema.names]
    texts = {at: texts[j] for at, j in enumerate(kept) if j in texts}
    names = [table.names[j] for j in kept]
    cells, mask, outside = stored_columns(x[:, kept], names, shown[:, kept], texts, schema, table.name, [])
    places = np.arange(len(x))
    beside: dict[str, Any] = {"mask": mask, "outside": outside}
    return Dataset(cells, schema, places.astype(np.uint32), places, np.zeros(len(x), np.uint8), table.name, **beside)


def _read(value: Any, role: str) -> tuple[tuple[str, ...], np.ndarray, dict[int, Any]]:
    raw: Raw = read_columns(value)
    where = f"{role} {value}" if isinstance(value, str) else role
    if raw.x.ndim != 2 or raw.columns is None:
        raise DataError(
            "is not a table with named columns.", where=where, fix="Give a .csv or .parquet file, or a frame."
        )
    return raw.columns, raw.x, raw.texts or {}


def _filled(names: Sequence[str], x: np.ndarray, empty: Collection[str]) -> np.ndarray:
    """The rows with 0 in the place of the gaps of some columns."""
    return np.where(np.isnan(x) & np.isin(names, list(empty)), 0.0, x) if empty else x


def _beside(tables: Sequence[Sequence[str]]) -> set[str]:
    """Columns that `latens impute --interval` writes beside another one, which not all tables have."""
    kept = set.intersection(*map(set, tables))
    beside = lambda name, names: name.rpartition(".")[0] in names and name.endswith((".low", ".high", ".p"))  # noqa: E731
    return {name for names in tables for name in names if beside(name, names)} - kept


def _without(
    gone: Collection[str], names: tuple[str, ...], x: np.ndarray, texts: dict[int, Any]
) -> tuple[tuple[str, ...], np.ndarray, dict[int, Any]]:
    """A table without some columns, where it has them."""
    kept = [i for i, each in enumerate(names) if each not in gone]
    texts = {place: texts[i] for place, i in enumerate(kept) if i in texts}
    return tuple(names[i] for i in kept), x[:, kept], texts


def _with_error(found: tuple[float, float]) -> dict[str, Any]:
    return {"value": found[0], "standard_error": found[1]}


def _detected(real: Table, fake: Table, *, trees: bool, seed: int) -> dict[str, float]:
    auc, error = detection(real, fake, trees=trees, seed=seed)
    return {"value": similarity(auc), "standard_error": 2.0 * error, "auc": auc}


def _gaps(real: Table, fake: Table) -> dict[str, Any]:
    """Which share of the cells is empty in either table, and the columns where this differs most."""
    shares = [np.isnan(table.x).mean(axis=0) for table in (real, fake)]
    apart = np.abs(shares[1] - shares[0])
    worst = [int(i) for i in np.argsort(-apart, kind="stable")[:WORST] if apart[i] >= LEAST_GAPS]
    columns = [{"column": real.names[i], "real": float(shares[0][i]), "fake": float(shares[1][i])} for i in worst]
    return {"real": float(shares[0].mean()), "fake": float(shares[1].mean()), "columns": columns}


def _validity(real: Table, fake: Table) -> dict[str, Any]:
    """Which share of the cells lies within what the real columns have, and what of it the other table lacks."""
    lacking, scarce, spikes, inside, cells = [], [], [], 0, 0
    for i, names in enumerate(real.category):
        own, other = (table.x[~np.isnan(table.x[:, i]), i] for table in (real, fake))
        cells += len(other)
        if not len(own):
            continue
        inside += int(np.count_nonzero(np.isin(other, own) if names else (other >= own.min()) & (other <= own.max())))
        if not names and len(other):
            values, counts = np.unique(other, return_counts=True)
            most = int(counts.argmax())
            share, usual = float(counts[most] / len(other)), float(np.mean(own == values[most]))
            if share >= SPIKE and share >= FAR_OFTENER * max(usual, 2.0 / len(own)) and counts[most] >= LEAST_EXPECTED:
                text = f"{values[most]:.10g}" if not real.dates[i] else str(np.datetime64(round(values[most]), "s"))
                spikes.append({"column": real.names[i], "name": text, "real": usual, "fake": share})
        if names:
            values, counts = np.unique(own, return_counts=True)
            shares, made = counts / len(own), np.array([np.count_nonzero(other == value) for value in values])
            few = (shares * len(other) >= LEAST_EXPECTED) & (made <= SCARCE * shares * len(other))
            scarce += [{"column": real.names[i], "name": real.words[i][int(values[k])], "real": float(shares[k]),
                        "fake": float(made[k] / len(other))} for k in np.flatnonzero(few).tolist()]  # fmt: skip
            missing = int(np.count_nonzero(~np.isin(values[counts >= 20], other)))
            if missing:
                lacking.append({"column": real.names[i], "names": missing})
    scarce.sort(key=lambda one: one["fake"] - one["real"])
    inside_share = inside / max(cells, 1)
    spikes.sort(key=lambda one: one["real"] - one["fake"])
    found = {"names_of_20_rows_that_are_lacking": lacking, "scarce_names": scarce, "spikes": spikes}
    return {"cells_inside": inside_share} | found
