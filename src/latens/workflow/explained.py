"""What a column of a table goes with, in sentences, and which column a reader asks about first."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from latens.data import Dataset, inapplicable, logits
from latens.data.effects import Effects
from latens.data.equations import Equation, follows
from latens.data.lines import Line
from latens.data.rules import computed_in, in_words, near_in, placed, results_of, tied_in
from latens.models.heads.tree import TreeHead, edges_of
from latens.workflow.explain import ONLY, TURNED, Explained, explain
from latens.workflow.partial import Effect, held_still
from latens.workflow.trained import TrainedModel

TOLD, LEAST, MISSED = 6, 0.005, 2
"""Columns told in words, and the share of what there is to say from which on they are; those that go with it in
the rows far more than in the model."""
LITTLE = 0.02
"""Share of what there is to say below which the model has little of an effect that rows have."""
UNLINKED, SHOWN = 5e-5, 6
"""Nats below which a column counts as one that the model does not link with the target; such columns named."""
LEAST_HELD = 0.05
"""Nats that other columns say of one before a report tells of it."""
NEW_ROWS = 12_000
"""New rows that say how a column differs which follows others together, and in which the page counts its answers."""
CAUSE = "What goes together need not be cause and effect."


class Told(NamedTuple):
    """What other columns say about one, in numbers and in sentences."""

    target: str
    found: Explained  # of the columns that were asked for
    sentences: list[str]
    told: list[str]  # columns whose effect is among the sentences, the one that says most first
    computed: set[str]  # columns that others give
    tied: set[str]  # columns of which the target is computed
    missed: dict[str, str]  # effects that rows have far more than the model
    turned: dict[str, str]  # effects that rows have the other way round
    still: list[Effect]  # effects in rows with all other columns held still
    equation: str  # what gives the target; "" where nothing does
    kept: list[str]  # columns whose sum of effects new rows follow


def asked_first(trained: TrainedModel) -> str | None:
    """The column that a reader asks about first: a number that most others say together, or else most others say."""
    # Of a sum of effects and what is computed of it that of most columns, the first one in the table; else, by the
    # tree of columns, the one whose edges hold most nats. None of a table that has neither.
    names = trained.schema.names
    causes = dict[str, set[str]]()
    for one in near_in(trained.facts, trained.schema):
        for name in (one.target, *one.of) if isinstance(one, Effects) else ():
            if name in names:
                causes.setdefault(name, set()).update(one.columns)
    computed = {one.target for one in placed(trained.facts, trained.schema)}
    if causes:  # what is measured comes before what is computed of it
        return min(causes, key=lambda name: (name in computed, -len(causes[name] - set(causes)), names.index(name)))
    head = getattr(getattr(trained.model, "decoder", None), "head", None)
    if not isinstance(head, TreeHead) or trained.schema.types is None:
        return None
    alike = tied_in(trained.facts, trained.schema)
    alike += [{one.target, *getattr(one, "columns", ())} for one in placed(trained.facts, trained.schema, names=True)]
    held = dict.fromkeys(names, 0.0)
    for child, (parent, nats) in enumerate(zip(*edges_of(head))):
        ends = (names[child], names[parent]) if parent != child else ()
        if ends and not any(set(ends) <= own for own in alike):
            for name in ends:
                held[name] += float(nats)
    told = {name: nats for name, nats in held.items() if nats >= LEAST_HELD}
    return max(told, key=lambda name: (told[name], names.index(name))) if told else None  # results stand last


def explained(
    trained: TrainedModel, target: str, rows: Dataset | None, *, by: Collection[str] = (), seed: int = 0
) -> Told:
    """Tell what each column says about one, beside its rows where they are at hand."""
    # by: the columns that are told of, also where they may be a consequence; none for all that may be a cause.
    facts, schema = trained.facts, trained.schema
    asked = set(by) or {name for name in schema.names if name != target}
    near = near_in(facts, schema)
    sums = [one for one in near if isinstance(one, Effects) and target in (one.target, *one.of)]
    drawn = any(one.target == target for one in logits.placed(logits.read(facts.get("logits")), schema))
    new = np.asarray(trained.sample(NEW_ROWS, seed=seed), np.float64) if sums or drawn else None
    found = explain(trained, target, seed=seed, rows=rows, new=new)
    found = found._replace(columns=[(name, one) for name, one in found.columns if name in asked])
    nats = {name: one.value for name, one in found.columns}
    errors = {name: one.standard_error for name, one in found.columns}
    computed = computed_in(facts, schema) - {target}
    # What it is computed of says it by arithmetic; what both give a third column need not say anything of each other.
    every = placed(facts, schema)
    given = [one for one in every if one.target == target]
    tied = set[str]().union(*(one.columns for one in given)) - {target} - computed
    absent = [one for one in inapplicable.read(facts.get("inapplicable")) if one.other == target and one.column in nats]
    unsure = {name: max(2.0 * (errors[name] or 0.0), UNLINKED) for name in nats}
    sure = [name for name in nats if nats[name] > unsure[name]]
    follow = results_of(facts, schema, target) - {target}
    if not by:  # what is computed, lies near what the target says, or is only there by its name, is no cause
        after = computed | tied | follow | {one.column for one in absent}
        sure = [name for name in sure if name not in after] or sure
    most = sure if by else [name for name in sure[:TOLD] if nats[name] > LEAST * found.entropy]
    most = [name for name in most if found.effects[name]]
    most = [name for name in most if f"(in the rows {TURNED}" not in found.effects[name]]  # that is told below
    most = [name for name in most if f"(in the rows {ONLY}" not in found.effects[name]] or most[:1]
    plain = [f"{found.effects[name]}." for name in most]
    missed = {name: text for name, text in found.missed.items() if name in asked and (by or name not in computed)}
    turned = {name: text for name, text in found.turned.items() if name in asked and text}
    if sure and not plain and not missed and not turned:  # what is sure of the column that says most, however little
        much = f"{nats[sure[0]] / found.entropy:.1%} of what there is to say"
        plain = [f"No column says much about {target}; {sure[0]} says most, {much}."]
        plain += [f"{found.effects[name]}." for name in sure if found.effects[name]][:1]
    # What new rows go by, though the model by itself has little of it.
    kept = {name for one in near for name in one.columns if target in (one.target, *getattr(one, "of", ()))}
    for name, text in [each for each in missed.items() if each[0] not in most][:MISSED]:  # others stand beside rows
        plain.append(f"In the rows{' and in new ones' if name in kept else ' far more than in the model'}: {text}.")
    for name, text in list(turned.items())[:MISSED]:
        way = "new rows have it so too" if name in kept else "the model has it the other way round"
        plain.append(f"In the rows {text}; {way}.")
    exact = placed(facts, schema, names=True)
    still = [] if rows is None else _held_still(rows, target, found, exact, {*most, *turned, *missed}, follow)
    but = f" but {' and '.join(sorted(results))}" if (results := follow - computed) else ""
    for one in still:
        has = "new rows have it too" if one.column in kept else "the model has little of it"
        plain.append(f"In the rows, with all other columns{but} held still, {one.words}; {has}.")
    shown = {*missed, *kept, *(one.column for one in still)}
    none = [name for name in nats if nats[name] <= unsure[name] and name not in shown]
    if none and len(none) == len(nats) and not plain and not by:
        plain = [f"No column says anything about {target}."]
    elif none:
        some = ", ".join(none[:SHOWN]) + (f" and {len(none) - SHOWN} more" if len(none) > SHOWN else "")
        plain.append(
            f"Not linked with {target} in the model: {some}; an effect too weak to be sure of may still be there."
        )
    parts = [one for one in every if target in getattr(one, "columns", ())][:MISSED]  # they tell it, turned round
    rules = [
        f"{one.target} is {in_words(one, schema)}, in {one.rows - one.broken:,} of {one.rows:,} rows."
        for one in given or parts
    ]
    of = {one.target: f", of which {target} is computed," for one in near if target in getattr(one, "of", ())}
    back = lambda one: isinstance(one, Line) and target == one.base  # noqa: E731
    about = [
        f"{one.target}{of.get(one.target, '')} lies near {one.words}."
        for one in near
        if target == one.target or one.target in of or back(one)
    ]
    plain = [*rules, *plain, *about]
    plain += [f"Column {one.column!r} does not apply where {target} is {one.name!r}." for one in absent]
    plain += [CAUSE] * bool(most)
    together = list(dict.fromkeys(name for one in sums for name in one.columns if name not in tied))
    equation = in_words(given[0], schema) if given else ""
    return Told(target, found, plain, most, computed, tied, missed, turned, still, equation, together)


def _held_still(
    rows: Dataset, target: str, found: Explained, exact: Sequence[Any], told: Collection[str], results: Collection[str]
) -> list[Effect]:
    """Effects in rows that the model has little of, the surest first, of columns that are not told already."""
    dated = {name for name, one in zip(rows.schema.names, rows.schema.types or ()) if one.kind in ("date", "duration")}
    # A name that the range of a number says is one of the things that say the number, and so are days between dates.
    computed = {
        follows(one) if isinstance(one, Equation) else one.target
        for one in exact
        if not getattr(one, "cuts", ()) and not {*one.columns} & dated
    } - {target}
    share = {name: one.value / max(found.entropy, 1e-12) for name, one in found.columns}
    tied = [(one.target, *one.columns) for one in exact if isinstance(one, Equation)]
    every = held_still(rows, target, computed | {*results}, [own for own in tied if target in own])
    return [one for one in every if share.get(one.column, 1.0) < LITTLE and one.column not in told][:MISSED]
