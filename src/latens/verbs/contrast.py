"""`latens contrast`: which genes differ between two groups of cells, by how much, and how sure that is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from latens.verbs._cells import batches_of, groups_of, unlike_types, within
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Data, Given, Made, Seed, Theme, Unknown, Verb, Work, arg, number, parts, whole

if TYPE_CHECKING:
    from latens.workflow.expression import Contrast as Compared

_GROUPS = "two groups of cells, as T,B; one name: that group against all other cells"
_COLUMN = "the column that names the groups (default: the label of the run)"
_WITHIN = "only cells with this value of a column, as cell_type=T; may be given again"
_DELTA = "log2 fold changes below this count as none (default 0.25)"
_FDR = "the expected share of false discoveries among the genes that are chosen (default 0.05)"
_OWN = "each cell in its own batch (default: all cells in the same ones, the mean over all batches)"
_SIDES = ("first", "second")
_TOP = "genes that are printed (default 20)"


class Contrast(Verb):
    """Which genes differ between two groups of cells: log fold changes and expected false discoveries."""

    endings: ClassVar = (".csv", ".parquet", ".png", ".svg")
    takes_out: ClassVar = ("FILE", "also write all genes (.csv, .parquet) or a volcano plot (.png, .svg), or both: A,B")
    prints: ClassVar = True
    data: Data
    groups: Annotated[str, arg(_GROUPS, metavar="A,B")]
    column: Annotated[str | None, arg(_COLUMN, metavar="NAME")] = None
    within: Annotated[list[str] | None, arg(_WITHIN, metavar="COLUMN=VALUE", many=True)] = None
    delta: Annotated[float, arg(_DELTA, metavar="D", kind=number(0.0, 100.0))] = 0.25
    fdr: Annotated[float, arg(_FDR, metavar="P", kind=number(1e-9, 1.0))] = 0.05
    own: Annotated[bool, arg(_OWN)] = False
    top: Annotated[int, arg(_TOP, metavar="N", kind=whole(1, 10**6))] = 20
    num_samples: Annotated[int, arg("draws of the latents of each cell (default 25)", metavar="K", kind=parts)] = 25
    unknown: Unknown = "error"
    given: Given = None
    seed: Seed = 0
    theme: Theme = "light"

    def place(self, at: At) -> Path | None:
        return self._files(at)[0] if at.asked else None

    def _files(self, at: At) -> tuple[Path, Path | None]:
        """Where the result goes, and where the table goes beside a picture."""
        first, comma, second = at.asked.partition(",")
        if not comma or Path(at.asked).exists():
            return self.checked_out(at.asked), None
        pictures, tables = ((".png", ".svg"), (".csv", ".parquet"))
        if Path(first).suffix.lower() in tables:
            first, second = second, first
        return self.checked_out(first, pictures), self.checked_out(second, tables)

    def __call__(self, at: At) -> Work:
        from latens.workflow.expression import PER, contrast

        vectors = batches_of(at, own=self.own)
        if self.column is not None:
            at.given = {**at.given, "label": self.column}
        data = at.load(own_classes=True)
        asked = [self.within] if isinstance(self.within, str) else self.within or []
        (first, second), names = groups_of(within(at, data, asked) if asked else data, self.groups)
        sizes = f"{names[0]} ({len(first)} cells) against {names[1]} ({len(second)} cells)"
        sizes = f"within {', '.join(asked)}: {sizes}" if asked else sizes
        yield f"contrast {sizes}"
        options = {"delta": self.delta, "draws": self.num_samples, "seed": self.seed}
        unlike = unlike_types(at, data, [first, second], names)
        found = contrast(at.trained, data, first, second, vectors, **options)
        chosen, order = found.called(self.fdr), found.order(self.fdr)
        columns = {
            "gene": np.array(found.genes, object), "log2_fold_change": found.fold, "deviation": found.deviation,
            "probability": found.probability, "expected_fdr": found.discoveries, "estimate": found.estimate,
            "standard_error": found.error, "mean_first": PER * found.first, "mean_second": PER * found.second,
            "cells_first": found.shown[0], "cells_second": found.shown[1],
            "counts_first": found.counts[0], "counts_second": found.counts[1],
            "called": chosen, **{side: np.full(len(order), name, object) for side, name in zip(_SIDES, names)},
        }  # fmt: skip
        columns = {name: column[order] for name, column in columns.items()}
        up, count = int(np.sum(chosen & (found.fold > 0))), int(chosen.sum())
        size, share = f"{self.delta:g} (log2)", f"at an expected {self.fdr:.0%} of false discoveries"
        if count:
            text = (
                f"{sizes}\n{count} of {len(order)} genes change by more than {size} {share}: {up} up, {count - up} down"
            )
        else:
            top = order[0]
            text = f"{sizes}\nno gene changes by more than {size} {share}; "
            text += f"the likeliest of {len(order)} is {found.genes[top]}, P(change) {found.probability[top]:.3f}"
        text = "\n  ".join([text, *found.limits(names), *([unlike] if unlike else [])])
        if count:
            text += "\n" + _listed(found, order[: self.top], count, names)
        raw = None
        if at.writes and (kind := at.out.suffix.lower()[1:]) in ("png", "svg"):
            from latens.figures.style import rendered
            from latens.figures.volcano import volcano

            given = (found.fold, found.unchanged, chosen, found.genes, names)
            drawn = volcano(*given, delta=self.delta, order=order, theme=self.theme)  # pyright: ignore[reportArgumentType]
            raw = rendered(drawn[0], kind)
        value = {"groups": list(names), "cells": [len(first), len(second)], "delta": self.delta, "fdr": self.fdr}
        plain = {name: column.tolist() for name, column in columns.items()}
        genes = [dict(zip(plain, row)) for row in zip(*plain.values())]
        value |= {"chosen": count, "genes": genes}
        also = self._files(at)[1] if at.writes else None
        note = f"{at.out}{f', {also}' if also else ''}: {len(order)} genes" * at.writes
        return Made(arrays=columns, value=value, text=text, raw=raw, also=also, note=note)


def _listed(found: "Compared", order: "np.ndarray", called: int, names: tuple[str, str]) -> str:
    """Genes in their order, a line each; a line stands between those called and the others."""
    from latens.io.terminal import table
    from latens.workflow.expression import PER

    of_both = [word for name in names for word in (f"{name}: cells", "counts", f"per {PER:,.0f}")]
    rows = [("gene", "log2 fold", "", "P(change)", *of_both)]
    for j in order:
        said = [
            (f"{100 * shown[j]:.0f} %", f"{count[j]:.3g}", f"{PER * mean[j]:.2f}")
            for shown, count, mean in zip(found.shown, found.counts, (found.first, found.second))
        ]
        fold = f"{found.fold[j]:+.2f}", f"± {found.deviation[j]:.2f}", f"{found.probability[j]:.3f}"
        rows.append((found.genes[j], *fold, *said[0], *said[1]))
    lines = table(rows, indent="  ").split("\n")
    if called < len(order):
        lines.insert(1 + called, "  not called, the likeliest first:")
    return "\n".join(lines)
