"""`latens explain`: which columns of a table say most about one of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from latens.errors import LatensError, UsageError, nearest
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Made, Seed, Theme, Verb, Work, Would, arg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from latens.data import Dataset
    from latens.workflow.explain import Explained
    from latens.workflow.partial import Effect

_TARGET = "the column to explain"
_BY = "tell of this column alone, as one that may be a cause; may be given again"
TOLD, LEAST, MISSED = 4, 0.005, 2
"""Columns told in words, and the share of what there is to say from which on they are; those that go with it in
the rows far more than in the model."""
LITTLE = 0.02
"""Share of what there is to say below which the model has little of an effect that rows have."""
UNLINKED, SHOWN = 5e-5, 6
"""Nats below which a column counts as one that the model does not link with the target; such columns named."""


def _rows(at: At) -> "Dataset | None":
    """The run's own rows, of a model that is told no conditions; None where they are not at hand."""
    if at.run is None or at.trained.schema.conditions:
        return None
    try:
        return at.load_of(None)
    except LatensError:  # they have moved, changed, or stay on disk
        return None


class Explain(Verb):
    """Which columns say most about a column: mutual information under the model."""

    endings: ClassVar = (".csv", ".parquet", ".png", ".svg")
    takes_out: ClassVar = ("FILE", "also write the numbers (.csv, .parquet) or a picture of them (.png, .svg)")
    prints: ClassVar = True
    target: Annotated[str, arg(_TARGET, metavar="COLUMN")]
    by: Annotated[list[str] | None, arg(_BY, metavar="COLUMN", many=True)] = None
    seed: Seed = 0
    theme: Theme = "light"

    def place(self, at: At) -> Path | None:
        return self.checked_out(at.asked) if at.asked else None

    def _asked(self, at: At) -> list[str]:
        """The columns that are told of."""
        every = [name for name in at.trained.schema.names if name != self.target]
        for name in self.by or ():
            if name not in every:
                what = "is the target itself" if name == self.target else "is not a column of the model"
                raise UsageError(f"{name!r} {what}.", where="--by", fix=nearest(name, every))
        return list(self.by or every)

    def _held_still(
        self, rows: "Dataset | None", found: "Explained", exact: "Sequence[Any]", told: "set[str]"
    ) -> "list[Effect]":
        """Effects in rows that the model has little of, the surest first, of columns that are not told already."""
        from latens.data.equations import Equation, follows
        from latens.workflow.partial import held_still

        # A name that the range of a number says is one of the things that say the number.
        computed = {
            follows(one) if isinstance(one, Equation) else one.target for one in exact if not getattr(one, "cuts", ())
        } - {self.target}

        share = {name: one.value / max(found.entropy, 1e-12) for name, one in found.columns}
        tied = [] if rows is None else [(one.target, *one.columns) for one in exact if isinstance(one, Equation)]
        tied = [own for own in tied if self.target in own]
        every = [] if rows is None else held_still(rows, self.target, computed, tied)
        return [one for one in every if share.get(one.column, 1.0) < LITTLE and one.column not in told][:MISSED]

    def __call__(self, at: At) -> Work:
        from latens.data import inapplicable
        from latens.data.lines import Line
        from latens.data.rules import in_words, near_in, placed, tied_in
        from latens.io.terminal import table
        from latens.workflow.explain import ONLY, TURNED, explain, target_of

        target_of(at.trained, self.target)
        out = str(at.out) if at.writes else None
        yield Would(f"compute what each column says about {self.target}; nothing was written", {"out": out})
        asked = self._asked(at)
        of_run = _rows(at)
        found = explain(at.trained, self.target, seed=self.seed, rows=of_run)
        found = found._replace(columns=[(name, one) for name, one in found.columns if name in asked])
        names = [name for name, _ in found.columns]
        nats, errors = (
            np.array([getattr(one, what) for _, one in found.columns]) for what in ("value", "standard_error")
        )
        computed = {one.target for one in placed(at.trained.facts, at.trained.schema)} - {self.target}
        every = tied_in(at.trained.facts, at.trained.schema)
        tied = set().union(*(one for one in every if self.target in one)) - {self.target} - computed
        absent = [
            one for one in inapplicable.read(at.trained.facts.get("inapplicable"))
            if one.other == self.target and one.column in names
        ]  # fmt: skip
        rows = [("", "nats", "", "of what there is to say")]
        for n, v, e in zip(names, nats, errors):
            said = f"{abs(round(v / found.entropy, 3)):.1%}{', computed' * (n in computed)}"
            said += f", in one equation with {self.target}" * (n in tied)
            rows.append((n, f"{abs(round(v, 4)):.4f}", f"± {e:.4f}" if e else "exact", said))
        text = f"mutual information of {self.target} and each column under the model\n{table(rows, indent='  ')}\n"
        text += f"knowing {self.target} itself is {found.entropy:.3f} nats{found.said}"
        sure = [n for n, v, e in zip(names, nats, errors) if v > max(2.0 * e, UNLINKED)]
        if not self.by:  # what is computed, or is there only where the target has a name, is no cause
            after = computed | tied | {one.column for one in absent}
            sure = [n for n in sure if n not in after] or sure
        most = sure if self.by else [n for n in sure[:TOLD] if nats[names.index(n)] > LEAST * found.entropy]
        plain = [f"{found.effects[name]}." for name in most if found.effects[name]]
        plain = [one for one in plain if f"(in the rows {TURNED}" not in one]  # what rows contradict is told below
        plain = [one for one in plain if f"(in the rows {ONLY}" not in one] or plain[:1]  # what they hardly bear out
        missed = {name: text for name, text in found.missed.items()
                  if name in asked and (self.by or name not in computed)}  # fmt: skip
        told = [name for name in most if f"{found.effects[name]}." in plain]
        turned = {name: text for name, text in found.turned.items() if name in asked and text}
        if (
            sure and not plain and not missed and not turned
        ):  # what is sure of the column that says most, however little
            much = f"{nats[names.index(sure[0])] / found.entropy:.1%} of what there is to say"
            plain = [f"No column says much about {self.target}; {sure[0]} says most, {much}."]
            plain += [f"{found.effects[name]}." for name in sure if found.effects[name]][:1]
        near = near_in(at.trained.facts, at.trained.schema)
        # What new rows go by, though the model by itself has little of it.
        kept = {name for one in near for name in one.columns if self.target in (one.target, *getattr(one, "of", ()))}
        for name, one in [each for each in missed.items() if each[0] not in told][:MISSED]:  # others stand beside rows
            plain.append(f"In the rows{' and in new ones' if name in kept else ' far more than in the model'}: {one}.")
        for name, one in list(turned.items())[:MISSED]:
            way = "new rows have it so too" if name in kept else "the model has it the other way round"
            plain.append(f"In the rows {one}; {way}.")
        exact = placed(at.trained.facts, at.trained.schema, names=True)
        still = self._held_still(of_run, found, exact, {*told, *turned, *missed})
        for one in still:
            has = "new rows have it too" if one.column in kept else "the model has little of it"
            plain.append(f"In the rows, with all other columns held still, {one.words}; {has}.")
        none = [
            n
            for n, v, e in zip(names, nats, errors)
            if v <= max(2.0 * e, UNLINKED) and n not in {*missed, *kept, *(one.column for one in still)}
        ]
        if none and len(none) == len(names) and not plain and not self.by:
            plain = [f"No column says anything about {self.target}."]
        elif none:
            some = ", ".join(none[:SHOWN]) + (f" and {len(none) - SHOWN} more" if len(none) > SHOWN else "")
            weak = "an effect too weak to be sure of may still be there"
            plain.append(f"Not linked with {self.target} in the model: {some}; {weak}.")
        every = placed(at.trained.facts, at.trained.schema)
        given = [one for one in every if one.target == self.target]
        parts = [one for one in every if self.target in getattr(one, "columns", ())][
            :MISSED
        ]  # which tell it as well, turned round
        plain = [
            f"{one.target} is {in_words(one, at.trained.schema)}, in {one.rows - one.broken:,} of {one.rows:,} rows."
            for one in given or parts
        ] + plain
        back = lambda one: isinstance(one, Line) and self.target == one.base  # noqa: E731
        of = {
            one.target: f", of which {self.target} is computed,"
            for one in near
            if self.target in getattr(one, "of", ())
        }
        near = [one for one in near if self.target == one.target or one.target in of or back(one)]
        plain = [f"{one.target}{of.get(one.target, '')} lies near {one.words}." for one in near] + plain
        plain += [f"Column {one.column!r} does not apply where {self.target} is {one.name!r}." for one in absent]
        if most:
            plain.append("What goes together need not be cause and effect.")
        raw = None
        if at.writes and (kind := Path(at.out).suffix.lower()[1:]) in ("png", "svg"):
            from latens.figures.information import information_bars
            from latens.figures.style import rendered

            bars = information_bars(nats, errors, names, self.target, theme=self.theme)[0]  # pyright: ignore[reportArgumentType]
            raw = rendered(bars, kind)
        columns = [
            {
                "column": n,
                "nats": float(v),
                "standard_error": float(e),
                "effect": found.effects[n],
                "computed": n in computed,
            }
            for n, v, e in zip(names, nats, errors)
        ]
        value = {"target": self.target, "entropy": found.entropy, "columns": columns}
        value |= {"equation": in_words(given[0], at.trained.schema)} if given else {}
        value |= {"more_in_rows": missed} if missed else {}
        value |= {"held_still": {one.column: one.words for one in still}} if still else {}
        value |= {"other_way_in_rows": turned} if turned else {}
        arrays = {"column": np.array(names, object), "nats": nats, "standard_error": errors}
        note = f"{at.out}: these numbers" if at.writes else ""
        return Made(arrays=arrays, value=value, text=text, plain=tuple(plain), raw=raw, note=note)
