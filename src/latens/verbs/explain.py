"""`latens explain`: which columns of a table say most about one of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from latens.errors import LatensError
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Made, Seed, Theme, Verb, Work, Would, arg

if TYPE_CHECKING:
    from latens.data import Dataset

_TARGET = "the column to explain"
TOLD, LEAST, MISSED = 3, 0.005, 2
"""Columns told in words, and the share of what there is to say from which on they are; those that go with it in
the rows far more than in the model."""


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
    seed: Seed = 0
    theme: Theme = "light"

    def place(self, at: At) -> Path | None:
        return self.checked_out(at.asked) if at.asked else None

    def __call__(self, at: At) -> Work:
        from latens.data import lines
        from latens.data.rules import placed
        from latens.io.terminal import table
        from latens.workflow.explain import ONLY, explain, target_of

        target_of(at.trained, self.target)
        out = str(at.out) if at.writes else None
        yield Would(f"compute what each column says about {self.target}; nothing was written", {"out": out})
        found = explain(at.trained, self.target, seed=self.seed, rows=_rows(at))
        names = [name for name, _ in found.columns]
        nats, errors = (
            np.array([getattr(one, what) for _, one in found.columns]) for what in ("value", "standard_error")
        )
        rows = [("", "nats", "", "of what there is to say")]
        rows += [(n, f"{v:.4f}", f"± {e:.4f}", f"{v / found.entropy:.1%}") for n, v, e in zip(names, nats, errors)]
        text = f"mutual information of {self.target} and each column under the model\n{table(rows, indent='  ')}\n"
        text += f"knowing {self.target} itself is {found.entropy:.3f} nats{found.said}"
        most = names[: sum(1 for v, e in zip(nats[:TOLD], errors) if v > 2.0 * e and v > LEAST * found.entropy)]
        plain = [f"{found.effects[name]}." for name in most if found.effects[name]]
        plain = [one for one in plain if f"(in the rows {ONLY}" not in one] or plain[
            :1
        ]  # what rows hardly bear out says little
        plain += [f"In the rows far more than in the model: {one}." for one in found.missed[:MISSED]]
        plain = plain or [f"No column says anything about {self.target}."]
        given = [one for one in placed(at.trained.facts, at.trained.schema) if one.target == self.target]
        plain = [
            f"{one.target} is {one.words}, in {one.rows - one.broken:,} of {one.rows:,} rows." for one in given
        ] + plain
        near = lines.placed(lines.read(at.trained.facts.get("lines")), at.trained.schema)
        plain = [
            f"{one.target} lies near {one.words}." for one in near if self.target in (one.target, one.base)
        ] + plain
        if most:
            plain.append("What goes together need not be cause and effect.")
        raw = None
        if at.writes and (kind := Path(at.out).suffix.lower()[1:]) in ("png", "svg"):
            from latens.figures.information import information_bars
            from latens.figures.style import rendered

            bars = information_bars(nats, errors, names, self.target, theme=self.theme)[0]  # pyright: ignore[reportArgumentType]
            raw = rendered(bars, kind)
        columns = [
            {"column": n, "nats": float(v), "standard_error": float(e), "effect": found.effects[n]}
            for n, v, e in zip(names, nats, errors)
        ]
        value = {"target": self.target, "entropy": found.entropy, "columns": columns}
        value |= {"equation": given[0].words} if given else {}
        value |= {"more_in_rows": list(found.missed)} if found.missed else {}
        arrays = {"column": np.array(names, object), "nats": nats, "standard_error": errors}
        note = f"{at.out}: these numbers" if at.writes else ""
        return Made(arrays=arrays, value=value, text=text, plain=tuple(plain), raw=raw, note=note)
