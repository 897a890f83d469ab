"""`latens impute`: missing cells of a table or of pictures, filled in."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import estimate, np, pl
from latens.commands.base import Call, DryRun, Given, ModelCommand, Result, Seed, Unknown, Work, arg, number, whole
from latens.errors import DataError, UsageError, visible
from latens.runtime.file_limits import numbered
from latens.runtime.terminal import doing

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.trained.cell_scores import Imputation

_DATA = "a table with missing cells, or pictures with transparent parts"
_DRAWS = "also write M random completions: tables next to FILE, or in the npz or the picture"
_SURE = "add an interval of this probability for each filled number, and the probability of each filled category"

MOST_IMAGES = 16
"""Rows that a picture of completions shows."""
NAMED = 5
"""Rows that are hard to fill in of which the output has the names."""


class Impute(ModelCommand):
    """Fill missing cells."""

    # Each cell gets E[x_missing | x_observed], or the likeliest name; others stay.

    endings: ClassVar = (".npz", ".csv", ".parquet", ".png")
    by_row: ClassVar = True
    needs_latents: ClassVar = False
    needs_density: ClassVar = ("the values of missing cells", "Train a VAE, best with --recipe miwae-missing.")
    data: Annotated[Any, arg(_DATA, "DATA", reads=True)]
    num_samples: Annotated[int, arg("draws of z for each row (default 128)", metavar="K", kind=whole(1, 10**7))] = 128
    draws: Annotated[int | None, arg(_DRAWS, metavar="M", kind=whole(1, 10**5))] = None
    interval: Annotated[float | None, arg(_SURE, metavar="P", kind=number(0.01, 0.999))] = None
    unknown: Unknown = "error"
    given: Given = None
    seed: Seed = 0

    def __call__(self, at: Call) -> Work:
        from latens.commands._files import with_derived_gaps
        from latens.trained.cell_scores import imputed
        from latens.trained.inputs import seed_key

        trained, out = at.trained, at.out
        data, hidden = self._asked(at)
        cells = with_derived_gaps(data, hidden, Path(str(self.data)), at.options)
        if data.places is not None:  # a step of several windows is one
            from latens.kinds.steps.sequences import nearest_the_centre

            cells = hidden[nearest_the_centre(data.places)]
        count = int(cells.sum())
        words = f"fill in {count} of {cells.size} cells of {data.name} into {out}; nothing was written"
        yield DryRun(words, {"out": str(out), "rows": len(data), "missing": count})
        self._check(at)
        if self.interval is not None:
            at.kind.refuse("types", "--interval")
        batch = replace(trained.batch(data), mask=~hidden)
        doing("filling missing cells")
        # As `sample` does, a picture shows what each z decodes to, without the noise of single pixels.
        given = {"num_samples": self.num_samples, "num_draws": self.draws or 0, "noise": not at.noiseless}
        found = imputed(trained, batch, key=seed_key(self.seed), **given)
        made = self._made(at, data, found)
        self._say(at, made, found, count, cells.size, data.names)
        return made

    def _asked(self, at: Call) -> "tuple[Dataset, np.ndarray]":
        """The rows, and what of them is missing."""
        from latens.data.dataset import rows_at
        from latens.kinds.counts.sparse import SparseRows

        at.kind.refuse("gaps", "impute")
        at.given = {"missing": "nan", **at.given}  # what is missing is what this command is for
        # A file of a mixed table may have a few columns alone: what is asked is the rest.
        data = at.load(partial=bool(at.trained.schema.column_types))
        if isinstance(data.x, SparseRows):
            fix = "Give a dense table in which missing cells are NaN or empty."
            raise DataError("is a sparse matrix, which has no missing cells.", where=str(self.data), fix=fix)
        hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~data.mask
        if not at.picture:
            return data, hidden
        gappy = np.flatnonzero(hidden.reshape(len(data), -1).any(axis=1))
        rows = gappy if len(gappy) else np.arange(len(data))
        rows = rows[:: max(1, -(-len(rows) // MOST_IMAGES))]
        return rows_at(data, rows), hidden[rows]

    def _check(self, at: Call) -> None:
        """Refuse a file that cannot hold the answer."""
        if at.out.suffix.lower() == ".npz":
            at.kind.refuse("arrays", "--out", UsageError)
        at.check_picture("Use --out FILE.csv or FILE.npz.")
        tables = [] if at.picture else [numbered(at.out, k).resolve() for k in range(self.draws or 0)]
        if Path(str(self.data)).resolve() in tables:
            what = f"--draws would write over {self.data}."
            raise UsageError(what, where=f"--out {at.out}", fix="Choose another name.")

    def _made(self, at: Call, data: "Dataset", found: "Imputation") -> Result:
        """What the file holds."""
        from latens.commands._files import beside, column_table, formula_note, formulas, table_as_written

        trained, spec = at.trained, Path(str(self.data))
        schema, hidden = trained.schema, found.hidden

        def table(path: Path, number: int | None) -> "pl.DataFrame":
            rows = found.x if number is None else found.draws[:, number]
            if not schema.column_types:
                return column_table(data, rows, hidden, spec, at.options)
            made = table_as_written(data, rows, hidden, spec, at.options)
            if self.interval is None or number is not None:
                return made
            return made.hstack(_intervals(data, found, self.interval))

        def pixels() -> tuple[Any, int]:
            from latens.model_figures.image_scale import captioned, shown

            answers = [found.draws[:, k] for k in range(self.draws or 0)]
            rows = [found.x, *answers]
            heads = ["mean", *(f"draw {k}" for k in range(1, len(rows)))]
            scale = (float(min(one.min() for one in rows)), float(max(one.max() for one in rows)))
            images = [shown(schema, one, scale) for one in (np.where(hidden, np.mean(scale), data.x), *rows)]
            below = [text for name in data.names for text in (str(name), *heads)]
            return captioned(np.stack(images, axis=1).reshape(-1, *images[0].shape[1:]), below), len(images)

        names = formulas(schema)
        types_of = zip(schema.columns or (), schema.column_types) if self.interval is not None else ()
        x = estimate.finite(found.x, "x", where=at.name)
        drawn = {"draws": found.draws} if self.draws else {}
        return Result(
            arrays={"x": x, "mask": ~hidden, **beside(data, at.options), **drawn},
            table=table, known=names, dialect=at.dialect(self.data), pixels=pixels,
            further=self.draws or 0 if at.out.suffix.lower() in (".csv", ".parquet") else 0,
            added=tuple(f"{column.name}.p" for column, one in types_of if one.kind == "category"),
            note="", text=formula_note(names, at.out),
        )  # fmt: skip

    def _say(self, at: Call, made: Result, found: "Imputation", count: int, size: int, names: "np.ndarray") -> None:
        """The words of the answer."""
        from latens.predictive.missing_cells import FEW_DRAWS

        unsure = found.rows[found.effective < FEW_DRAWS]
        n, few, empty = len(found.x), len(unsure), int(found.hidden.reshape(len(found.x), -1).all(axis=1).sum())
        text = f"{count} of {size} cells filled in, {n} rows"
        if not count:
            text = f"no cell is missing; the {n} rows are unchanged"
            erase = "\nto hide a part of a picture, erase it: transparent pixels of a .png file are missing"
            text += erase * (at.trained.schema.image is not None)
        if made.further:
            first, last = numbered(at.out, 0), numbered(at.out, made.further - 1)
            made.value["draws"] = [str(numbered(at.out, k)) for k in range(made.further)]
            text += f"\n{first} to {last.name}: tables with random draws of all missing cells"
        if empty:
            text += f"\n{empty} rows have no observed cell and get values from p(x)"
        plain = [f"Filled {count:,} of {size:,} cells ({count / size:.1%}) of {n:,} rows."] if count else []
        if few and at.trained.schema.image is None:  # so many latents fit a picture that hardly any two draws do
            more = f" and {few - NAMED} more" if few > NAMED else ""
            which = f"({', '.join(visible(names[row]) for row in unsure[:NAMED])}{more})"
            rest = f"{few} rows {which} rest" if few > 1 else f"1 row {which} rests"
            drawn = f"fewer than {FEW_DRAWS} effective draws of {self.num_samples}"
            plain.append(f"{rest} on {drawn}: filled cells there are unreliable; raise --num-samples.")
        if count and at.trained.schema.column_types and self.interval is None:
            plain.append("Next: --interval 0.9 adds intervals, --draws 5 writes several imputed tables.")
        elif count:
            plain.append(f"Next: open {at.out}; observed values are unchanged.")
        made.plain, made.text = tuple(plain), text + made.text
        made.value |= {"rows": n, "missing": count, "num_samples": self.num_samples, "rows_on_few_draws": few}


def _intervals(data: "Dataset", found: "Imputation", level: float) -> "pl.DataFrame":
    """Beside each column with gaps how sure it is: .low and .high of numbers and dates, .p of names."""
    from latens.kinds.tables.table_schema import as_frame
    from latens.trained.cell_scores import interval

    names, types, hidden = data.schema.names, data.schema.column_types, found.hidden
    shares, gone = found.shares or [], found.hidden[found.rows]
    ends, sure = np.full((2, *data.x.shape), np.nan), {}
    for i in np.flatnonzero(hidden.any(axis=0)).tolist():
        one = types[i]
        if one.kind == "category":
            p = np.full(len(hidden), np.nan)
            p[found.rows] = np.where(gone[:, i], (shares[i] / np.asarray(one.widths)).max(axis=1), np.nan)
            sure[f"{names[i]}.p"] = p
            continue
        for side, end in zip(ends, interval(shares[i], one, level)):
            side[found.rows, i] = np.where(gone[:, i], end, np.nan)
    low, high = (as_frame(side, data.schema) for side in ends)
    columns = [pl.Series(name, p, nan_to_null=True) for name, p in sure.items()]
    for i in np.flatnonzero(hidden.any(axis=0)).tolist():
        if types[i].kind != "category":
            columns += [side[names[i]].alias(f"{names[i]}.{end}") for side, end in ((low, "low"), (high, "high"))]
    columns.sort(key=lambda column: names.index(column.name.rpartition(".")[0]))
    if taken := [column.name for column in columns if column.name in names]:
        what = f"the column {taken[0]!r} would be there twice."
        raise UsageError(what, where="--interval", fix="Rename it, or leave --interval out.")
    return pl.DataFrame(columns)
