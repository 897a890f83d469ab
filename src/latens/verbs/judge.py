"""`latens judge`: a synthetic table, whoever made it, beside the real one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.errors import UsageError
from latens.io.terminal import table
from latens.verbs.kernel import At, Made, Request, Work, Would, arg, whole

_TEST = "real rows that did not make FAKE, or the run that made it: then REAL's held-out rows; for attacks and utility"
_TARGET = "what a classifier learns to predict from either table (needs --test)"
_ID = "the column of REAL with the ids of its rows, which is left out (default: that of the run of --test)"
_WHERE = "what FAKE was asked for, as of `latens sample`: only real rows that fulfil it count; may be given again"
_SEED = "of the classifiers and the rows that are chosen (default 0)"

if TYPE_CHECKING:
    import numpy as np

MOST_TOLD, MOST_LISTED = 2, 6
"""Differences of weekdays and of pairs that are told first, and for the record."""


class Judge(Request):
    """A synthetic table beside the real one: how like it is, and what it gives away."""

    endings: ClassVar = (".html",)
    takes_out: ClassVar = ("FILE.html", "also write the numbers as a page")
    prints: ClassVar = True
    real: Annotated[str, arg("the table that the other one was made from", "REAL", reads=True)]
    fake: Annotated[str, arg("the synthetic table, whoever made it", "FAKE", reads=True)]
    test: Annotated[str | None, arg(_TEST, metavar="REAL2|RUN", reads=True)] = None
    target: Annotated[str | None, arg(_TARGET, metavar="COLUMN")] = None
    id: Annotated[str | None, arg(_ID, metavar="COLUMN")] = None
    where: Annotated[list[str] | None, arg(_WHERE, metavar="CONDITION", many=True)] = None
    seed: Annotated[int, arg(_SEED, metavar="S", kind=whole(0, 2**32 - 1))] = 0

    def place(self, at: At) -> Path | None:
        return self.checked_out(at.asked) if at.asked else None

    def __call__(self, at: At) -> Work:
        out = str(at.out) if at.writes else None
        yield Would(f"judge {self.fake} by {self.real}; nothing was written", {"out": out})
        from latens.report.judged import judgement_page
        from latens.workflow.judge import LEAST_NEW, judged, only_where, tables_of

        held, row_id, unread = None, None, ()
        if self.test and Path(self.test, "run.json").is_file():
            held, row_id, unread = held_by(self.test, self.real)
        row_id, test = row_id if self.id is None else self.id, self.test
        if held is not None and len(held[1]) < LEAST_NEW:
            few = f"{test} held out {len(held[1])} rows, fewer than the {LEAST_NEW} that attacks and utility need"
            if self.target is not None:
                fix = f"Give {LEAST_NEW} or more new real rows: --test REAL2."
                raise UsageError(f"{few}.", where=f"--target {self.target}", fix=fix)
            at.warn(f"{few}: judged without them")
            held, test = None, None
        tables, left_out = tables_of(self.real, self.fake, test, held, row_id, unread)
        if self.where:
            tables = only_where(every := tables, self.where, needed=self.target is not None)
            if len(tables) < len(every):
                few = f"fewer than {LEAST_NEW} of the rows of --test fulfil {' and '.join(self.where)}"
                at.warn(f"{few}: judged without them")
        found = judged(tables, left_out, target=self.target, seed=self.seed) | ({"row_id": row_id} if row_id else {})
        found |= {"where": self.where} if self.where else {}
        plain, page, note = (
            _plain(found, more=f"FILE of {LEAST_NEW} or more new real rows" if self.test else USUAL),
            None,
            "",
        )
        if out:
            page = judgement_page(found, tables, plain, Path(self.real).name, Path(self.fake).name).encode("utf-8")
            note = f"{out}: the same as a page"
        return Made(value=found, text="\n".join(_lines(found, self.real, self.fake)), plain=plain, raw=page, note=note)


def held_by(run: str, real: str) -> "tuple[tuple[np.ndarray, np.ndarray], str | None, tuple[str, ...]]":
    """Where the rows are that trained a run and those that it held out, its ids, and the columns that it left out."""
    from latens.data.declared import LEFT_OUT
    from latens.verbs._sources import open_model, read, reading_options
    from latens.workflow.groups import held_out_rows

    at = open_model(run)
    data = read(at, real)
    split, held = held_out_rows(data)
    if not at.knows(data):
        what = f"was not trained on {real}."
        raise UsageError(
            what, where=f"--test {run}", fix="Give the table that the run was trained on, or rows as a file."
        )
    if split not in ("test", "validation"):
        raise UsageError("held no rows out.", where=f"--test {run}", fix="Give a file with rows that made nothing.")
    options = {} if at.run is None else reading_options(at.run.info["data"])
    unread = [name for name, kind in (options.get("columns") or {}).items() if kind == LEFT_OUT]
    return (data.subset("train"), held), options.get("row_id"), (*unread, *(data.schema.ignored or ()))


def _as_many(one: dict[str, Any]) -> float:
    """How alike as many synthetic rows as there are new real ones are."""
    return one["as_many"]


def _new_rows(one: dict[str, Any]) -> float:
    """How alike new real rows are."""
    return one["new_rows"]["value"]


def differences(found: dict[str, Any]) -> list[str]:
    """Where dates and pairs of columns differ most, a line each."""
    days = [
        f"{one['column']} is a {one['day']} in {one['real']:.1%} of real rows, {one['fake']:.1%} of synthetic ones."
        for one in found.get("weekdays", ())
    ]
    days += [
        f"{one['column']} lies between {one['hour']}:00 and {one['hour'] + 1}:00 in {one['real']:.1%} of real rows, "
        f"{one['fake']:.1%} of synthetic ones."
        for one in found.get("hours", ())
    ]
    pairs = []
    for one in found.get("combinations", ()):
        what = " with ".join(f"{name} {value}" for name, value in zip(one["columns"], one["values"]))
        pairs.append(f"{what}: {one['real']:.1%} of real rows, {one['fake']:.1%} of synthetic ones.")
    return [*days[:1], *pairs[:1], *days[1:], *pairs[1:]]


def within(found: dict[str, Any]) -> list[str]:
    """Where numbers go together otherwise within a name, a line each."""
    return [
        f"Within {one['column']} {one['name']} {' and '.join(one['columns'])} go together otherwise: "
        f"rank correlation {one['fake']:.2f}, in real rows {one['real']:.2f}."
        for one in found["within_names"]
    ]


def _held(found: dict[str, Any]) -> list[str]:
    """Which effects with the other columns held still are lost, a line each."""
    return [
        f"With all other columns held still, {one['words']}: synthetic rows have little of it."
        for one in found.get("held_still", ())
    ]


def _beyond(one: dict[str, Any], rows: int) -> list[str]:
    """How many rows have a number that no real row of their name has."""
    from latens.workflow.judge import BEYOND

    if one["share"] <= BEYOND:
        return []
    most = one["columns"][0]
    which = f"most often {most['column']} of {most['by']} {most['name']}"
    return [f"{one['rows']:,} of {rows:,} rows have a number that no real row of their name has, {which}."]


USUAL = "RUN (the run that made it), or real rows of a file"
"""What --test takes."""


def _plain(found: dict[str, Any], more: str = USUAL) -> tuple[str, ...]:
    """What a judgement comes to: how alike the tables are, who can tell them apart, and what is given away."""
    # more: what --test would take, where nothing is said of what is given away.
    from latens.evaluation.samples.kinds import unlike
    from latens.workflow.judge import BEYOND

    counts, shape, trend = found["rows"], found["shape"], found["trend"]
    which = f"the {counts['real']:,} real ones" if "attacks" in found else f"{counts['real']:,} real ones"
    made = " that they were made from" if "attacks" in found else ""
    verdict = f"Verdict: {found['verdict']['word']}."
    only = f" where {' and '.join(found['where'])}" if found.get("where") else ""
    lines = [f"{verdict} Compared {counts['fake']:,} synthetic rows with {which}{only}{made}."]
    if one := found.get("narrower"):
        asked = f'if they were asked for so, add --where "{one["where"]}"'
        lines.append(f"All synthetic rows have {one['where']}, as {one['share']:.0%} of the real ones: {asked}.")
    lines.append(f"Columns are {100 * shape['value']:.1f} % alike, pairs of columns {100 * trend['value']:.1f} %.")
    if "new_rows" in shape:
        own, new = ([f"{100 * of(one):.1f} %" for one in (shape, trend)] for of in (_as_many, _new_rows))
        each = f"With {counts['test']:,} rows each: {own[0]} and {own[1]}"
        lines.append(f"{each}; new real rows reach {new[0]} and {new[1]}.")
    auc = max(one["auc"] for one in (found["detection"]["trees"], found["detection"]["logistic"]))
    by = found["detection"]["trees"].get("told_by")
    most = f", most by {by[0]['column']}" if by else ""
    lines.append(
        f"Shown a real and a synthetic row, a test finds the real one in {100 * auc:.0f} % (guessing: 50 %){most}."
    )
    lines += [
        f"{one['target']} is {one['is']} in {one['real']:.0%} of real rows, {one['fake']:.0%} of synthetic ones."
        for one in found.get("equations", ())
        if one["broken"]
    ][:1]
    lines += within(found)[:1] + _held(found)[:1]
    lines += _beyond(found["beyond_names"], counts["fake"])
    if (one := found["never_together"])["share"] > BEYOND:
        which = f"most often {' with '.join(one['pairs'][0]['columns'])}"
        rows = f"{one['rows']:,} of {counts['fake']:,} rows"
        lines.append(f"{rows} have values that never come together in real ones, {which}.")
    if one := unlike(found.get("by_name")):
        where = f"Least alike within {found['by_name']['column']} {one['name']}"
        shares = f"{100 * one['alike']:.0f} % (by chance {100 * one['by_chance']:.0f} %)"
        lines.append(f"{where}: {shares}, most by {one['worst']}.")
    lines += differences(found)[:MOST_TOLD]
    attacks = found.get("attacks")
    if attacks:
        worst = max(attacks.values(), key=lambda one: one["caught"] - one["by_chance"])
        more = "more" if worst["caught"] > worst["by_chance"] else "no more"
        sure = f"by chance up to {100 * worst['by_chance']:.1f} %"
        found_in = f"attacks find {100 * worst['caught']:.1f} % ({sure})"
        lines.append(f"Gives away {more} than chance: {found_in}.")
    else:
        lines.append(f"Next: add --test {more}, to see what it gives away.")
    return tuple(lines)


def _lines(found: dict[str, Any], real: str, fake: str) -> list[str]:
    """Write a judgement for a terminal."""
    from latens.report.judged import NEAR, rows

    shown = [("", fake, "what real rows reach", ""), *rows(found)]
    counts = found["rows"]
    head = f"{fake}: {counts['fake']:,} rows beside the {counts['real']:,} of {real}, {len(found['columns'])} columns"
    told = [head, table(shown, indent="  ")]
    worst = ", ".join(f"{one['column']} {one['shape']:.3f}" for one in found["worst_columns"][:3])
    told.append(f"least alike: {worst}")
    if found.get("worst_pairs"):
        told.append(
            "  " + ", ".join(f"{' with '.join(o['columns'])} {o['trend']:.3f}" for o in found["worst_pairs"][:3])
        )
    if by := found["detection"]["trees"].get("told_by"):
        falls = ", ".join(f"{one['column']} {one['fall']:.3f}" for one in by[:3])
        told.append(f"trees tell it apart by: {falls} (what the area loses without what the column says)")
    for one in found["validity"]["names_of_20_rows_that_are_lacking"]:
        told.append(f"names of {one['column']} that 20 or more real rows have and no synthetic one: {one['names']}")
    for one in found["equations"]:
        told.append(
            f"{one['target']} is {one['is']}: {one['fake']:.1%} of the synthetic rows, {one['real']:.1%} of the real"
        )
    told += within(found)[1:MOST_LISTED] + _held(found)[1:MOST_LISTED]
    if kinds := found.get("by_name"):
        each = (f"{one['name']} {one['alike']:.1%} ({one['by_chance']:.1%})" for one in kinds["names"])
        told.append(f"alike within each {kinds['column']} (and by chance): {', '.join(each)}")
    told += differences(found)[MOST_TOLD:MOST_LISTED]
    for one in found["gaps"]["columns"]:
        told.append(
            f"empty cells of {one['column']}: {one['fake']:.1%} of the synthetic rows, {one['real']:.1%} of the real"
        )
    if found.get("row_id"):
        told.append(f"left out, as it holds the ids of the rows: {found['row_id']}")
    if found["left_out"]:
        told.append(f"left out, since every row has another text: {', '.join(found['left_out'])}")
    if any(one["caught"] > one["by_chance"] for one in found.get("attacks", {}).values()):
        told.append("to give away less: more rows, or a shorter training (--epochs, --steps)")
    if "near" in found:
        told.append(NEAR)
    return told
