"""`latens impute`: a table with its missing cells filled in."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from latens.errors import DataError, LatensError, UsageError
from latens.io.waiting import doing
from latens.verbs._lazy import evaluation, jax, np
from latens.verbs.kernel import At, Made, Seed, Unknown, Verb, Work, Would, arg, draws, number, numbered, parts

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.data.columns import ColumnType
    from latens.data.ordered import Ordered
    from latens.workflow.filling import Pool

_BLANK = (
    "cells of a column that is empty wherever another has some name, as the memory of printers, and dates that may not "
    "have come yet: stay empty (default)"
)
_COPULA = "a Gaussian copula of a run's own rows beside the model, as much as hidden cells ask for"
_SURE = "beside each filled number of typed columns an interval of this probability, and of a name how probable it is"


MOST_RULES = 3
"""Columns of which it is said how they were computed."""
MOST_TIMES = 20
"""Draws of a row's gaps at the most, until its dates are in the order of the data."""


class Impute(Verb):
    """A table with its missing cells filled in."""

    # Each gets E[x_missing | x_observed], or the likeliest name; others stay.

    endings: ClassVar = (".npz", ".csv", ".parquet")
    needs_latents: ClassVar = False
    needs_density: ClassVar = ("what a missing cell may have been", "Train a VAE, best with --recipe miwae-missing.")
    data: Annotated[Any, arg("a table in which empty cells are missing", "DATA", reads=True)]
    num_samples: Annotated[int, arg("draws a row (default 300)", metavar="K", kind=draws)] = 300
    draws: Annotated[
        int | None, arg("also M random completions: tables beside FILE, or in the npz", metavar="M", kind=parts)
    ] = None
    interval: Annotated[float | None, arg(_SURE, metavar="P", kind=number(0.01, 0.999))] = None
    copula: Annotated[str, arg(_COPULA, choices=("auto", "none"))] = "auto"
    inapplicable: Annotated[str, arg(_BLANK, choices=("keep", "fill"))] = "keep"
    unknown: Unknown = "error"
    seed: Seed = 0

    def __call__(self, at: At) -> Work:
        from latens.data.sparse import SparseRows
        from latens.data.text_rows import refuse_gaps
        from latens.verbs._files import formula_note, formulas
        from latens.verbs._tables import beside, column_table, table_as_written
        from latens.workflow.cells import typed_columns

        trained, out = at.trained, at.out
        types, npz = trained.schema.types, out.suffix.lower() == ".npz"
        at.given = {"missing": "nan", **at.given}  # what is missing is what this command is for
        refuse_gaps(trained.schema, "impute")
        # A file of a mixed table may have a few columns alone: what is asked is the rest.
        data, source = at.load(partial=types is not None), self.data
        if isinstance(data.x, SparseRows):
            fix = "Give a dense table, whose gaps are NaN or empty."
            raise DataError("is a sparse matrix, which has no missing cells.", where=str(source), fix=fix)
        hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~data.mask
        from latens.data import equations, inapplicable, ordered, weekdays
        from latens.data.rules import ends_near, in_words, left_empty, placed, solved

        orders = ordered.read(trained.facts.get("ordered")) if types is not None else ()
        rules: list[Any] = [*inapplicable.read(trained.facts.get("inapplicable"))]
        blank = np.zeros(hidden.shape, bool)
        # Cells of objects in Python are written as they are stored, where an empty one has no place.
        if types is not None and data.places is None and self.inapplicable == "keep" and isinstance(source, str):
            ends = ordered.read_pending(trained.facts.get("pending"))
            blank = left_empty(trained.facts, trained.schema, data.x, hidden)
            rules, hidden = [*ends, *rules], hidden & ~blank
        cells = hidden
        if data.places is not None:  # a step of several windows is one
            from latens.data.sequences import nearest_the_centre

            cells = hidden[nearest_the_centre(data.places)]
        count = int(cells.sum())
        words = f"fill in {count} of {cells.size} cells of {data.name} into {out}; nothing was written"
        yield Would(words, {"out": str(out), "rows": len(data), "missing": count})
        if types is not None and npz:
            what = "a mixed table holds names and dates, which are no array of numbers."
            raise UsageError(what, where="--out", fix="Use --out FILE.csv or FILE.parquet.")
        if self.interval is not None:
            typed_columns(trained, "--interval")
        tables, spec = [numbered(out, k) for k in range(0 if npz else self.draws or 0)], Path(str(source))
        if spec.resolve() in [path.resolve() for path in tables]:
            what = f"--draws would write over {source}."
            raise UsageError(what, where=f"--out {out}", fix="Choose another name.")
        found = self._filled(at, data, hidden, orders)
        drawn, x = np.repeat(data.x[:, None], self.draws or 0, axis=1), np.array(data.x, np.float64)
        some = found.rows
        drawn[some] = np.where(hidden[some, None], trained.data_units(found.draws, mean=False), drawn[some])
        x[some] = np.where(hidden[some], trained.data_units(found.mean, mean=True), x[some])
        for j, one in enumerate(types or ()):
            x[some, j] = np.where(hidden[some, j], one.occurring(x[some, j]), x[some, j])
        closed = weekdays.read(trained.facts.get("weekdays")) if types is not None else ()
        if orders or closed:
            again = lambda rows: ordered.ordered_again(  # noqa: E731
                orders, trained.schema, weekdays.opened(closed, trained.schema, rows, hidden), hidden
            )
            x = again(x)
            for k in range(drawn.shape[1]):
                drawn[:, k] = again(drawn[:, k])
        sure = np.zeros(hidden.shape, bool)
        if types is not None:
            facts, schema, outside = trained.facts, trained.schema, data.outside
            x, sure = solved(facts, schema, x, hidden, outside=outside)
            for k in range(drawn.shape[1]):
                rng = np.random.default_rng([self.seed, k])
                drawn[:, k] = solved(facts, schema, drawn[:, k], hidden, rng, outside)[0]
        evaluation.finite(x, "x", where=at.name)

        def table(path: Path, number: int | None) -> "dict[str, np.ndarray]":
            rows = x if number is None else drawn[:, number]
            if types is None:
                made = column_table(data, rows, hidden, spec, at.options, path)
            else:
                made = table_as_written(data, rows, hidden, spec, path, at.options)
            if self.interval is None or number is not None:
                return made
            low, high = 0.5 * (1.0 - self.interval), 0.5 * (1.0 + self.interval)
            near = ends_near(trained.facts, trained.schema, x, hidden & ~sure, (low, high), data.outside)
            loose = equations.looseness(equations.read(trained.facts.get("equations")), trained.schema, x, hidden, sure)
            return made | _intervals(data, hidden, found, self.interval, path, orders, (sure, x, near), loose)

        few, empty = int((found.effective < 10).sum()), int(hidden.reshape(len(x), -1).all(axis=1).sum())
        value: dict[str, Any] = {"rows": len(data), "missing": count, "num_samples": self.num_samples}
        value["model_weight"] = found.weight
        text = f"{count} of {cells.size} cells filled in, {len(data)} rows"
        if not count:
            text = f"nothing is missing; the rows are as they were, {len(data)} of them"
        if found.weight < 0.995:
            beside_it = f"by the model to {100 * found.weight:.0f} % and a Gaussian copula of its rows to"
            text += f"\nfilled {beside_it} {100 * (1 - found.weight):.0f} %, as hidden cells of held-out rows ask for"
        if tables:
            value["draws"] = [str(path) for path in tables]
            text += f"\n{tables[0]} to {tables[-1].name}: each with every gap drawn at random"
        if empty:
            text += f"\n{empty} rows have no cell at all: they are filled by what the model holds of all rows"
        if few:
            fewer = f"{few} rows hang on fewer than 10 of the {self.num_samples} draws"
            text += f"\n{fewer}: a larger --num-samples is safer"
        known = formulas(trained.schema)
        types_of = zip(trained.schema.columns or (), types or ()) if self.interval is not None else ()
        sure_columns = tuple(f"{column.name}.p" for column, one in types_of if one.kind == "category")
        share = count / max(hidden.size, 1)
        plain = (
            [f"Filled {count:,} of {hidden.size:,} cells ({100 * share:.1f} %) of {len(data):,} rows."] if count else []
        )
        if sure.any():
            value["computed"] = int(sure.sum())
            counts, given = sure.sum(axis=0), placed(trained.facts, trained.schema, names=True)
            by: dict[str, None] = {}  # of the columns with most such cells, each rule once
            for j in np.argsort(-counts, kind="stable")[: min(MOST_RULES, np.count_nonzero(counts))].tolist():
                name = trained.schema.names[j]
                with_it = [one for one in given if name in (one.target, *getattr(one, "columns", ()))] or given
                rule = next((one for one in with_it if one.target == name), with_it[-1])
                by[f"{rule.target} is {in_words(rule, trained.schema)}"] = None
            more = "; and more" if np.count_nonzero(counts) > MOST_RULES else ""
            plain.append(f"Computed {sure.sum():,} of them from other cells: {'; '.join(by)}{more}.")
        if blank.any():
            value["inapplicable"] = int(blank.sum())
            words = list(dict.fromkeys(rule.words for rule in rules))
            some = ", ".join(words[:2]) + (" and more" if len(words) > 2 else "")
            plain.append(f"Left {blank.sum():,} cells empty: {some} (--inapplicable fill fills them).")
        if few or empty:
            plain.append(f"Be careful with {few + empty:,} rows: little in them says what is missing.")
        if count and types is not None and self.interval is None:
            plain.append("Next: --interval 0.9 writes how sure each cell is, --draws 5 several fillings.")
        elif count:
            plain.append(f"Next: open {out}; what was there is as it was.")
        return Made(
            plain=tuple(plain),
            arrays={"x": x, "mask": ~hidden, **beside(data), **({"draws": drawn} if self.draws else {})},
            table=table, further=len(tables), known=known, dialect=at.dialect(source), added=sure_columns,
            value=value | {"rows_on_few_draws": few}, text=text + formula_note(known, out),
        )  # fmt: skip

    def _filled(self, at: At, data: "Dataset", hidden: "np.ndarray", orders: "Sequence[Ordered]") -> "_Filled":
        """What the gaps may be, of the rows that have some, in the order of dates of the data."""
        from latens.data.dataset import rows_at
        from latens.evaluation.conditionals import conditionals
        from latens.workflow.cells import draws_of, points
        from latens.workflow.filling import ALONE, pooled_shares, within_order

        types, some = at.trained.schema.types, np.flatnonzero(hidden.reshape(len(hidden), -1).any(axis=1))
        drawn = np.zeros((len(some), 0, *data.x.shape[1:]))
        if not len(some):
            return _Filled(some, np.zeros((0, *data.x.shape[1:])), np.zeros(0), drawn, [], 1.0)
        rows, pool = at.trained.rows(data, some, seed=self.seed), ALONE
        if types is None:
            found = evaluation.impute(rows, num_draws=self.draws or 0, num_samples=self.num_samples)
            return _Filled(some, found.mean, found.effective, found.draws, [], 1.0)
        draws = draws_of(at.trained, self.num_samples)
        doing("what gaps may be")
        shares, effective = conditionals(rows, types, num_samples=draws)
        effective = effective * (self.num_samples / draws)  # one exact draw counts as all
        if self.copula == "auto":
            doing("asking hidden cells whether a copula helps")
            pool = self._pool(at, types, data.cond)
        gappy = rows_at(data, some)
        shares = within_order(orders, gappy, pooled_shares(pool, shares, gappy, self.seed))
        if self.draws:
            doing("drawing what is missing")
            drawn = self._drawn(at, pool, gappy, hidden[some], orders)
        mean = points(shares, types)
        return _Filled(some, mean, effective, drawn, shares, pool.weight)

    def _drawn(
        self, at: At, pool: "Pool", data: "Dataset", hidden: "np.ndarray", orders: "Sequence[Ordered]"
    ) -> "np.ndarray":
        """Completions of rows, each drawn anew while its filled dates break a rule that the data keep."""
        from latens.data import weekdays
        from latens.data.dataset import rows_at
        from latens.data.ordered import broken_in
        from latens.workflow.cells import draws_of
        from latens.workflow.filling import pooled_draws

        draws, schema = self.draws or 0, at.trained.schema
        latents = max(draws, draws_of(at.trained, self.num_samples))
        closed = weekdays.read(at.trained.facts.get("weekdays"))

        def of(some: "np.ndarray", seed: int) -> "np.ndarray":
            rows = at.trained.rows(data, some, seed=seed)
            found = evaluation.impute(rows, num_draws=draws, num_samples=latents, mean=False).draws
            return pooled_draws(pool, found, rows_at(data, some), draws, seed)

        def broken(one: "np.ndarray", some: "np.ndarray") -> "np.ndarray":
            gone, each = hidden[some], [one[:, k] for k in range(draws)]
            wrong = [broken_in(orders, schema, row, among=gone) for row in each]
            shut = [weekdays.broken_in(closed, schema, row, gone).any(axis=1) for row in each]
            return np.stack(wrong, axis=1) | np.stack(shut, axis=1)

        some = np.arange(len(data))
        drawn = of(some, self.seed)
        for again in range(1, MOST_TIMES if orders or closed else 1):
            wrong = broken(drawn[some], some)
            some, wrong = some[wrong.any(axis=1)], wrong[wrong.any(axis=1)]
            if not len(some):
                break
            drawn[some] = np.where(wrong[..., None], of(some, self.seed + 7919 * again), drawn[some])
        return drawn

    def _pool(self, at: At, types: "Sequence[ColumnType]", cond: Any) -> "Pool":
        """A copula of the run's own rows beside the model; none where they are not at hand."""
        from latens.workflow.filling import ALONE, pooled

        model = at.trained.model
        alone = cond or at.trained.schema.sequences is not None or getattr(model, "missingness", None) is not None
        if at.run is None or alone:
            return ALONE
        options = at.options
        try:
            own = at.load_of(None)
        except LatensError:  # they have moved or changed: the model fills in alone
            return ALONE
        finally:
            at.options = options
        return pooled(at.trained, own, jax.random.key(self.seed), num_samples=self.num_samples, seed=self.seed)


class _Filled(NamedTuple):
    """What the gaps may be, of the rows that have some."""

    rows: "np.ndarray"  # their positions, (m,)
    mean: "np.ndarray"  # one value for each cell, stored, (m, *x)
    effective: "np.ndarray"  # the effective draws of each, (m,)
    draws: "np.ndarray"  # completed rows, stored, (m, M, *x)
    shares: "list[np.ndarray]"  # of typed columns the probability of each segment, (m, segments)
    weight: float  # of the model beside a copula, in [0, 1]


def _intervals(
    data: "Dataset",
    hidden: "np.ndarray",
    found: _Filled,
    level: float,
    path: Path,
    orders: "Sequence[Ordered]",
    known: "tuple[np.ndarray, np.ndarray, np.ndarray]",
    loose: "np.ndarray",
) -> "dict[str, np.ndarray]":
    """Beside each column with gaps how sure it is: .low and .high of numbers and dates, .p of names."""
    from latens.data.ordered import limits
    from latens.data.spans import dated
    from latens.workflow.cells import interval

    within = limits(orders, data.schema, np.asarray(data.x), ~hidden if data.mask is None else np.asarray(data.mask))
    names, types, gappy = data.schema.names, data.schema.types or (), found.rows
    made: dict[str, np.ndarray] = {}
    ends = np.stack([data.x, data.x]).astype(np.float64)
    for i, one in enumerate(types):
        gone = hidden[:, i]
        if not gone.any():
            continue
        if one.kind == "category":
            made[f"{names[i]}.p"] = sure = np.ones(len(gone))
            sure[gappy] = np.where(gone[gappy], (found.shares[i] / np.asarray(one.widths)).max(axis=1), 1.0)
            sure[known[0][:, i]] = 1.0
            continue
        for side, end in zip(ends, interval(found.shares[i], one, level)):
            side[gappy, i] = np.where(gone[gappy], end, side[gappy, i])
            side[:, i] = np.where(gone, np.clip(side[:, i], within[0][:, i], within[1][:, i]), side[:, i])
    # known: where other cells of the row give a hidden one, the rows with these, and ends that lines say. loose: by how
    # many cells one that is given may lie elsewhere.
    given = np.stack([known[1] - loose, known[1] + loose])
    ends = np.where(known[0], given, np.where(np.isfinite(known[2]), known[2], ends))
    sides = [dated(side, names, types, data.outside) for side in ends]
    for i in np.flatnonzero(hidden.any(axis=0)):
        if types[i].kind != "category":
            for name, (rows, kinds) in zip(("low", "high"), sides):
                made[f"{names[i]}.{name}"] = kinds[i].decoded(rows[:, i])
    ends_of = (f"{name}.{end}" for name in names for end in ("p", "low", "high"))
    made = {name: made[name] for name in ends_of if name in made}
    if path.suffix.lower() == ".csv":  # empty where nothing was filled in
        places = {name: i for i, name in enumerate(names)}
        gaps = {name: hidden[:, places[name.rpartition(".")[0]]] for name in made}
        made = {name: np.where(gaps[name], values.astype(str), "").astype(object) for name, values in made.items()}
    taken = [name for name in data.schema.names if name in made]
    if taken:
        what = f"the column {taken[0]!r} would be there twice."
        raise UsageError(what, where="--interval", fix="Rename it, or leave --interval out.")
    return made
