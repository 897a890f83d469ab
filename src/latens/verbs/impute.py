"""`latens impute`: a table with its missing cells filled in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.errors import DataError, UsageError
from latens.verbs._lazy import evaluation, np
from latens.verbs.kernel import At, Made, Seed, Unknown, Verb, Work, Would, arg, draws, number, numbered, parts

if TYPE_CHECKING:
    from latens.data import Dataset

_SURE = "beside each filled number of typed columns an interval of this probability, and of a name how probable it is"


class Impute(Verb):
    """A table with its missing cells filled in."""

    # Each gets E[x_missing | x_observed], or the likeliest name; others stay.

    endings: ClassVar = (".npz", ".csv", ".parquet")
    needs_latents: ClassVar = False
    needs_density: ClassVar = ("what a missing cell may have been", "Train a VAE, best with --recipe miwae-missing.")
    data: Annotated[Any, arg("a table in which empty cells are missing", "DATA", reads=True)]
    num_samples: Annotated[int, arg("draws a row (default 1000)", metavar="K", kind=draws)] = 1000
    draws: Annotated[
        int | None, arg("also M random completions: tables beside FILE, or in the npz", metavar="M", kind=parts)
    ] = None
    interval: Annotated[float | None, arg(_SURE, metavar="P", kind=number(0.01, 0.999))] = None
    unknown: Unknown = "error"
    seed: Seed = 0

    def __call__(self, at: At) -> Work:
        from latens.data.sparse import SparseRows
        from latens.verbs._files import formula_note, formulas
        from latens.verbs._tables import beside, column_table, table_as_written
        from latens.workflow.cells import typed_columns

        trained, out = at.trained, at.out
        types, npz = trained.schema.types, out.suffix.lower() == ".npz"
        at.given = {"missing": "nan", **at.given}  # what is missing is what this command is for
        data = at.load()
        if isinstance(data.x, SparseRows):
            fix = "Give a dense table, whose gaps are NaN or empty."
            raise DataError("is a sparse matrix, which has no missing cells.", where=str(self.data), fix=fix)
        hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~data.mask
        count = int(hidden.sum())
        words = f"fill in {count} of {hidden.size} cells of {data.name} into {out}; nothing was written"
        yield Would(words, {"out": str(out), "rows": len(data), "missing": count})
        if types is not None and npz:
            what = "a mixed table holds names and dates, which are no array of numbers."
            raise UsageError(what, where="--out", fix="Use --out FILE.csv or FILE.parquet.")
        if self.interval is not None:
            typed_columns(trained, "--interval")
        tables, spec = [numbered(out, k) for k in range(0 if npz else self.draws or 0)], Path(str(self.data))
        if spec.resolve() in [path.resolve() for path in tables]:
            what = f"--draws would write over {self.data}."
            raise UsageError(what, where=f"--out {out}", fix="Choose another name.")
        mean, effective, drawn, shares = self._filled(at, data)
        drawn = np.where(hidden[:, None], trained.data_units(drawn, mean=False), data.x[:, None])
        x = np.where(hidden, trained.data_units(mean, mean=True), data.x)
        evaluation.finite(x, "x", where=at.name)

        def table(path: Path, number: int | None) -> "dict[str, np.ndarray]":
            rows = x if number is None else drawn[:, number]
            if types is None:
                found = column_table(data, rows, hidden, spec, at.options, path)
            else:
                found = table_as_written(data, rows, hidden, spec, path, at.options)
            sure = self.interval is not None and number is None
            return found | (_intervals(data, hidden, shares, self.interval or 0.0) if sure else {})

        gaps = hidden.reshape(len(x), -1)
        few, empty = int((effective[gaps.any(axis=1)] < 10).sum()), int(gaps.all(axis=1).sum())
        value: dict[str, Any] = {"rows": len(data), "missing": count, "num_samples": self.num_samples}
        text = f"{count} of {hidden.size} cells filled in, {len(data)} rows"
        if not count:
            text = f"nothing is missing; the rows are as they were, {len(data)} of them"
        if tables:
            value["draws"] = [str(path) for path in tables]
            text += f"\n{tables[0]} to {tables[-1].name}: each with every gap drawn at random"
        if empty:
            text += f"\n{empty} rows have no cell at all: they are filled by what the model holds of all rows"
        if few:
            fewer = f"{few} rows hang on fewer than 10 of the {self.num_samples} draws"
            text += f"\n{fewer}: a larger --num-samples is safer"
        known = formulas(trained.schema)
        share = count / max(hidden.size, 1)
        plain = (
            [f"Filled {count:,} of {hidden.size:,} cells ({100 * share:.1f} %) of {len(data):,} rows."] if count else []
        )
        if few or empty:
            plain.append(f"Be careful with {few + empty:,} rows: little in them says what is missing.")
        if count and types is not None and self.interval is None:
            plain.append("Next: --interval 0.9 writes how sure each cell is, --draws 5 several fillings.")
        elif count:
            plain.append(f"Next: open {out}; what was there is as it was.")
        return Made(
            plain=tuple(plain),
            arrays={"x": x, "mask": ~hidden, **beside(data), **({"draws": drawn} if self.draws else {})},
            table=table, further=len(tables), known=known,
            value=value | {"rows_on_few_draws": few}, text=text + formula_note(known, out),
        )  # fmt: skip

    def _filled(self, at: At, data: "Dataset") -> "tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]":
        """One value for each cell, the effective draws of each row, completions, and of types all shares."""
        from latens.evaluation.conditionals import conditionals
        from latens.workflow.cells import point

        types, rows = at.trained.schema.types, at.trained.rows(data, seed=self.seed)
        drawn = np.zeros((len(data), 0, *data.x.shape[1:]))
        if types is None or self.draws:
            found = evaluation.impute(rows, num_draws=self.draws or 0, num_samples=self.num_samples)
            if types is None:
                return found.mean, found.effective, found.draws, []
            drawn = found.draws
        shares, effective = conditionals(rows, types, num_samples=self.num_samples)
        return np.stack([point(of, one) for of, one in zip(shares, types)], axis=1), effective, drawn, shares


def _intervals(
    data: "Dataset", hidden: "np.ndarray", shares: "list[np.ndarray]", level: float
) -> "dict[str, np.ndarray]":
    """Beside each column with gaps how sure it is: .low and .high of numbers and dates, .p of names."""
    from latens.workflow.cells import interval

    made: dict[str, np.ndarray] = {}
    for i, (column, one) in enumerate(zip(data.schema.columns or (), data.schema.types or ())):
        gone = hidden[:, i]
        if not gone.any():
            continue
        if one.kind == "category":
            made[f"{column.name}.p"] = np.where(gone, (shares[i] / np.asarray(one.widths)).max(axis=1), 1.0)
            continue
        for name, end in zip(("low", "high"), interval(shares[i], one, level)):
            made[f"{column.name}.{name}"] = one.decoded(np.where(gone, end, data.x[:, i]))
    taken = [column.name for column in data.schema.columns or () if column.name in made]
    if taken:
        what = f"the column {taken[0]!r} would be there twice."
        raise UsageError(what, where="--interval", fix="Rename it, or leave --interval out.")
    return made
