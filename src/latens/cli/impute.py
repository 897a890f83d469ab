"""`latens impute`: a table with its missing cells filled in."""

import argparse
import itertools
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from latens import evaluation
from latens.cli.context import Context, output_path
from latens.cli.sources import open_model, read_for
from latens.config import VAEConfig
from latens.data import Dataset
from latens.data.formats.csv import read_text
from latens.data.formats.tables import role_positions
from latens.data.mixed import as_columns
from latens.data.raw import ColumnRoles
from latens.data.sparse import SparseRows
from latens.errors import ConfigError, DataError, UsageError
from latens.evaluation.conditionals import conditionals
from latens.io.atomic import write_together
from latens.text import span_texts
from latens.verbs._files import formula_note, formulas, table_bytes, write_table
from latens.workflow.cells import interval, point, typed_columns
from latens.workflow.trained import TrainedModel


def impute(context: Context) -> int:
    """Write every row with E[x_missing | x_observed] in its missing values, or the likeliest name; others stay."""
    args = context.args
    out = output_path(args, (".npz", ".csv", ".parquet"), args.data, args.run)
    opened = open_model(args.run)
    config = opened.trained.config
    if not isinstance(config, VAEConfig) or opened.trained.is_point:
        what = "only a model with log p(x) can say what a missing cell may have been."
        raise ConfigError(what, where=args.run, fix="Train a VAE, best with --recipe miwae-missing.")
    args.missing = args.missing or "nan"  # what is missing is what this command is for
    data, spec, options = read_for(opened, context, every=True)
    if isinstance(data.x, SparseRows):
        fix = "Give a dense table, whose gaps are NaN or empty."
        raise DataError("is a sparse matrix, which has no missing cells.", where=str(spec), fix=fix)
    hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~data.mask
    count = int(hidden.sum())
    if args.dry_run:
        context.say(f"would fill in {count} of {hidden.size} cells of {data.name} into {out}; nothing was written")
        context.result({"dry_run": True, "out": str(out), "rows": len(data), "missing": count})
        return 0
    trained = opened.trained
    types = trained.schema.types
    if types is not None and out.suffix.lower() == ".npz":
        what = "a mixed table holds names and dates, which are no array of numbers."
        raise UsageError(what, where="--out", fix="Use --out FILE.csv or FILE.parquet.")
    if args.interval is not None:
        typed_columns(trained, "--interval")
    beside = [out.with_name(f"{out.stem}-{k + 1:03d}{out.suffix}") for k in range(args.draws or 0)]
    if out.suffix.lower() != ".npz" and Path(spec).resolve() in [path.resolve() for path in beside]:
        what = f"--draws would write over {spec}."
        raise UsageError(what, where=f"--out {out}", fix="Choose another name.")
    mean, effective, draws, shares = _filled(trained, data, args)
    drawn = np.where(hidden[:, None], trained.data_units(draws, mean=False), data.x[:, None])
    x = np.where(hidden, trained.data_units(mean, mean=True), data.x)
    evaluation.finite(x, "x", where=args.run)

    def columns(x: np.ndarray) -> dict[str, np.ndarray]:
        if types is not None:
            return table_as_written(data, x, hidden, Path(spec), out)
        flat, gaps = x.reshape(len(x), -1), hidden.reshape(len(x), -1)
        arrays = _as_it_was(data, flat, gaps, Path(spec), options) or _table(data, flat, gaps)
        if out.suffix.lower() == ".parquet":  # text of numbers is for .csv alone
            arrays |= {n: a for n, a in _table(data, flat, gaps).items() if n in arrays and arrays[n].dtype == object}
        return arrays

    tables = [out]
    if out.suffix.lower() == ".npz":
        arrays = {"x": x, "mask": ~hidden, **_beside(data)}
        write_table(out, arrays if not args.draws else {**arrays, "draws": drawn})
    else:
        arrays = columns(x)
        if args.interval is not None:
            arrays |= _intervals(data, hidden, shares, args.interval)
        known = formulas(trained.schema)
        more = ((path, table_bytes(path, columns(drawn[:, k]), known=known)) for k, path in enumerate(beside))
        write_together(itertools.chain([(out, table_bytes(out, arrays, known=known))], more))
        tables += beside
    few = int((effective[hidden.reshape(len(x), -1).any(axis=1)] < 10).sum())
    value = {"out": str(out), "rows": len(data), "missing": count, "num_samples": args.num_samples}
    text = f"{out}: {count} of {hidden.size} cells filled in, {len(data)} rows"
    if not count:
        text = f"{out}: nothing is missing; the rows are as they were, {len(data)} of them"
    if len(tables) > 1:
        value["draws"] = [str(path) for path in tables[1:]]
        text += f"\n{tables[1]} to {tables[-1].name}: each with every gap drawn at random"
    empty = int(hidden.reshape(len(x), -1).all(axis=1).sum())
    if empty:
        text += f"\n{empty} rows have no cell at all: they are filled by what the model holds of all rows"
    if few:
        text += f"\n{few} rows hang on fewer than 10 of the {args.num_samples} draws: a larger --num-samples is safer"
    text += formula_note(formulas(trained.schema), out)
    context.done({**value, "rows_on_few_draws": few}, text)
    return 0


def _filled(
    trained: TrainedModel, data: Dataset, args: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """One value for each cell, the effective number of draws of each row, completions, and of types all shares."""
    types, batch = trained.schema.types, trained.batch(data)
    settings = {"num_samples": args.num_samples, "key": jax.random.key(args.seed), "preparation": trained.preparation}
    draws = np.zeros((len(data), 0, *data.x.shape[1:]))
    if types is None or args.draws:
        found = evaluation.impute(trained.model, batch, num_draws=args.draws or 0, **settings)
        if types is None:
            return found.mean, found.effective, found.draws, []
        draws = found.draws
    shares, effective = conditionals(trained.model, batch, types, **settings)
    return np.stack([point(of, one) for of, one in zip(shares, types)], axis=1), effective, draws, shares


def table_as_written(
    data: Dataset, x: Shaped[np.ndarray, "n columns"], hidden: np.ndarray, path: Path, out: Path
) -> dict[str, np.ndarray]:
    """The columns of a mixed table as they were written, with what was filled in written alike."""
    filled = as_columns(x, data.schema)
    found = _table_columns(path)
    if found is not None and data.kept is not None:
        found = {name: column[data.kept] for name, column in found.items()}
    if found is None or any(len(column) != len(x) for column in found.values()):
        return {**{n: a for n, a in _beside(data).items() if n not in filled}, **filled}
    table = dict(found)
    for i, (name, values) in enumerate(filled.items()):
        if name not in found:
            table[name] = values
        elif values.dtype.kind == "m" and found[name].dtype.kind == "m":
            table[name] = np.where(hidden[:, i], values, found[name].astype(values.dtype))
        elif hidden[:, i].any():
            values = np.array(span_texts(values)) if values.dtype.kind == "m" else values
            was = zip(hidden[:, i], values.tolist() if values.dtype.kind != "M" else values.astype(str), found[name])
            mixed = [new if gap else old for gap, new, old in was]
            whole = out.suffix.lower() == ".csv" or values.dtype.kind in "UM"
            table[name] = np.array([str(v) for v in mixed]).astype(object) if whole else np.array(mixed, values.dtype)
    return table


def _intervals(data: Dataset, hidden: np.ndarray, shares: list[np.ndarray], level: float) -> dict[str, np.ndarray]:
    """Beside each column with gaps how sure it is: .low and .high of numbers and dates, .p of names."""
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


def _beside(data: Dataset) -> dict[str, np.ndarray]:
    """Names and labels of the rows, where the data brought some."""
    own = not np.array_equal(data.names, np.arange(len(data)))
    words = np.array([*(data.schema.classes or ()), ""])
    arrays = {"row_id": data.names} if own else {}
    return arrays if data.label is None else {**arrays, "label": words[data.label]}


def _names(data: Dataset, count: int) -> list[str]:
    columns = data.schema.columns
    return [c.name for c in columns] if columns is not None else [f"x{i}" for i in range(count)]


def _table(data: Dataset, flat: np.ndarray, gaps: np.ndarray) -> dict[str, np.ndarray]:
    """One array for each column, by its name, where the data were no table on disk."""
    names = _names(data, flat.shape[1])
    beside = {name: array for name, array in _beside(data).items() if name not in names}
    return {**beside, **{name: _numbers(flat[:, i], gaps[:, i]) for i, name in enumerate(names)}}


def _numbers(column: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """A column; whole numbers stay whole, with a fraction only where one was filled in."""
    observed = column[~gaps]
    if not np.all(observed == np.round(observed)) or np.abs(column).max(initial=0) >= 2**53:
        return column
    if not gaps.any() or np.all(column == np.round(column)):
        return column.astype(np.int64)
    return np.array([int(v) if v == round(v) else v for v in column], object)


def _as_it_was(
    data: Dataset, flat: np.ndarray, gaps: np.ndarray, path: Path, options: dict[str, Any]
) -> dict[str, np.ndarray] | None:
    """The columns of a table on disk, every cell that was there as it stood; None for data of another kind."""
    found = _table_columns(path)
    if found is None or any(len(column) != len(flat) for column in found.values()):
        return None
    names = _names(data, flat.shape[1])
    if data.schema.columns is None:
        roles = {name: options[name] for name in ("label", "row_id", "weight") if options.get(name) is not None}
        taken = set(role_positions(list(found), ColumnRoles(**roles), str(path)).values())
        names = [name for i, name in enumerate(found) if i not in taken]
    table = dict(found)
    for i, name in enumerate(names):
        if name not in found:
            return None
        if gaps[:, i].any():
            filled = _numbers(flat[:, i], gaps[:, i])
            if found[name].dtype.kind == "O":
                filled = np.array([str(new) if gap else old for new, gap, old in zip(filled, gaps[:, i], found[name])])
            table[name] = filled.astype(object) if filled.dtype.kind == "U" else filled
    return table


def _table_columns(path: Path) -> dict[str, np.ndarray] | None:
    """The columns of a .csv (text of dtype object) or .parquet file (as pyarrow gives them), by name."""
    name = path.name.lower().removesuffix(".gz")
    if not path.is_file():
        return None
    if name.endswith((".csv", ".tsv", ".txt")):
        header, rows = read_text(path)
        columns = header if header is not None else [f"x{i}" for i in range(len(rows[0]))]
        return {column: np.array([row[i] for row in rows], object) for i, column in enumerate(columns)}
    if name.endswith(".parquet"):
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        return {column: np.asarray(table[column].to_numpy(zero_copy_only=False)) for column in table.column_names}
    return None
