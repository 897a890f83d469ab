"""`latens explain`: which columns of a table say most about one of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from latens.errors import LatensError, UsageError, nearest
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Made, Seed, Theme, Verb, Work, Would, arg

if TYPE_CHECKING:
    from latens.data import Dataset

_TARGET = "the column to explain"
_BY = "tell of this column alone, as one that may be a cause; may be given again"


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

    def _check(self, at: At) -> None:
        """Raise where a column that is to be told of is the target, or none."""
        every = [name for name in at.trained.schema.names if name != self.target]
        for name in self.by or ():
            if name not in every:
                what = "is the target itself" if name == self.target else "is not a column of the model"
                raise UsageError(f"{name!r} {what}.", where="--by", fix=nearest(name, every))

    def __call__(self, at: At) -> Work:
        from latens.io.terminal import table
        from latens.workflow.explain import target_of
        from latens.workflow.explained import explained

        target_of(at.trained, self.target)
        out = str(at.out) if at.writes else None
        yield Would(f"compute what each column says about {self.target}; nothing was written", {"out": out})
        self._check(at)
        told = explained(at.trained, self.target, _rows(at), by=self.by or (), seed=self.seed)
        found, computed, still = told.found, told.computed, told.still
        names = [name for name, _ in found.columns]
        nats, errors = (
            np.array([getattr(one, what) for _, one in found.columns]) for what in ("value", "standard_error")
        )
        rows = [("", "nats", "", "of what there is to say")]
        for n, v, e in zip(names, nats, errors):
            said = f"{abs(round(v / found.entropy, 3)):.1%}{', computed' * (n in computed)}"
            said += f", gives {self.target}" * (n in told.tied)
            rows.append((n, f"{abs(round(v, 4)):.4f}", f"± {e:.4f}" if e else "exact", said))
        text = f"mutual information of {self.target} and each column under the model\n{table(rows, indent='  ')}\n"
        text += f"knowing {self.target} itself is {found.entropy:.3f} nats{found.said}"
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
        value |= {"equation": told.equation} if told.equation else {}
        value |= {"more_in_rows": told.missed} if told.missed else {}
        value |= {"held_still": {one.column: one.words for one in still}} if still else {}
        value |= {"other_way_in_rows": told.turned} if told.turned else {}
        arrays = {"column": np.array(names, object), "nats": nats, "standard_error": errors}
        note = f"{at.out}: these numbers" if at.writes else ""
        return Made(arrays=arrays, value=value, text=text, plain=tuple(told.sentences), raw=raw, note=note)
