"""Results to .npz, .csv, .parquet or .png, and latents back from them."""

import io
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Bool, Shaped

from latens.data import Dataset
from latens.data.row_fields import ColumnRoles, row_names
from latens.data.schema import Schema
from latens.errors import DataError, spreadsheet_text, visible
from latens.evidence.estimate import finite
from latens.kinds.numbers.npy import Archive, read_npy
from latens.kinds.steps.sequences import Places, long_table, named_steps, nearest_the_centre
from latens.kinds.tables.derived import hidden_in
from latens.kinds.tables.dtypes import names_of
from latens.kinds.tables.frame import with_cells
from latens.kinds.tables.infer_columns import plain_cells, plain_numbers, role_positions
from latens.kinds.tables.table_files import Written, format_of, frame_bytes, read_table
from latens.kinds.tables.table_schema import as_frame
from latens.runtime.atomic import resource_errors, write_atomic

Table: TypeAlias = "dict[str, np.ndarray] | pl.DataFrame"
"""What is written as a table."""

LATENT_KEYS = ("mean", "z", "latents")

MOST_IMAGES = 64  # rows that a picture of reconstructions shows


def table_bytes(
    path: Path,
    table: Table,
    infinite: tuple[str, ...] = (),
    known: Collection[str] = (),
    written: Written | None = None,
    added: Collection[str] = (),
) -> bytes:
    """The bytes of a file that is no .npz, of a frame or of arrays led by one axis of rows."""
    # An array of more numbers a row becomes the columns NAME0, NAME1 and so on.
    # added: columns of numbers that a file of text has with four digits.
    table = frame_of(table, str(path), infinite)
    if added and path.suffix.lower() in (".csv", ".tsv"):
        some = [name for name in added if name in table.columns and table[name].dtype.is_float()]
        table = table.with_columns(pl.col(name).round_sig_figs(4) for name in some)
    return frame_bytes(table, path, written or Written(), known)


def frame_of(table: Table, where: str, infinite: tuple[str, ...] = ()) -> pl.DataFrame:
    """Arrays led by one axis of rows as a frame."""
    if isinstance(table, pl.DataFrame):
        return table
    for name, array in table.items():
        if name not in infinite:
            finite(array, name, where=where)
    return pl.DataFrame([series_of(name, column) for name, column in flat_columns(table).items()])


def series_of(name: str, column: np.ndarray) -> pl.Series:
    """An array as a column; objects are text."""
    if column.dtype.kind in "OU":
        return pl.Series(name, [None if cell is None else str(cell) for cell in column.tolist()], dtype=pl.String)
    seconds = column.dtype == "datetime64[s]"  # a unit that Polars has not
    return pl.Series(name, np.ascontiguousarray(column, "datetime64[ms]" if seconds else None))


def arrays_of(table: Table) -> dict[str, np.ndarray]:
    """The columns of a frame as arrays that need no pickle."""
    if not isinstance(table, pl.DataFrame):
        return table
    made = {}
    for column in table.iter_columns():
        array = column.to_numpy()
        text = array.dtype == object
        made[column.name] = (
            np.array(column.cast(pl.String, strict=False).fill_null("").to_list(), str) if text else array
        )
    return made


def kept_dialect(facts: object) -> Written:
    """How the table of text that a model was trained on was written, as its file says; commas where it does not."""
    # A stranger may have written that.
    if not isinstance(facts, dict) or facts.get("separator") not in (",", ";", "\t", "|"):
        return Written()
    comma = facts.get("decimal_comma") is True and facts["separator"] != ","
    day = facts.get("day_first")
    return Written(facts["separator"], comma, day if day in (".", "/", "-") else "", facts.get("capital") is True)


def formulas(schema: Schema) -> tuple[str, ...]:
    """The names of columns, cells and classes of the training data that a spreadsheet would run as formulas."""
    cells = [value for one in schema.column_types for value in one.values]
    every = [*schema.names, *cells, *(schema.classes or ())]
    return tuple(text for text in dict.fromkeys(every) if spreadsheet_text(text) != text)


def formula_note(known: Collection[str], out: Path) -> str:
    """The sentence that a .csv holds such names as they stood in the training data; "" where it holds none."""
    some = ", ".join(repr(visible(one)) for one in list(known)[:3]) + (", ..." if len(known) > 3 else "")
    verb = "stand" if len(known) > 1 else "stands"
    said = f"\n{some} {verb} as in the training data; a spreadsheet may run that as a formula: import it as text"
    return said if known and out.suffix.lower() == ".csv" else ""


def text_lines(path: Path, texts: list[str]) -> bytes:
    """The bytes of a text file with a row a line."""
    if broken := [row for row, text in enumerate(texts) if "\n" in text or "\r" in text]:
        what = f"row {broken[0]} holds the end of a line; {len(broken)} such rows in all."
        raise DataError(what, where=str(path), fix="Use --out FILE.csv, where a row may have several lines.")
    return "".join(f"{text}\n" for text in texts).encode()


def lines_of(schema: Schema, x: np.ndarray) -> str:
    """Rows of text, a line each, so that a terminal shows every character."""
    return "\n".join(visible(text) for text in schema.decode(x))


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to an .npz file that needs no pickle, whole or absent."""
    for name, array in arrays.items():
        finite(array, name, where=str(path))
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    write_atomic(path, stream.getvalue())


def flat_columns(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give one column for each number of a row: `z` of shape (n, 2) becomes `z0` and `z1`."""
    columns: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array
        else:
            flat = array.reshape(len(array), -1)
            columns |= {f"{name}{i}": flat[:, i] for i in range(flat.shape[1])}
    return columns


def labelled(x: np.ndarray, label: np.ndarray, names: list[str], given: object) -> dict[str, np.ndarray]:
    """The columns of rows and their labels, so that they can stand below those of the table."""
    flat = x.reshape(len(x), -1)
    column = given if isinstance(given, str) and not given.endswith(".npy") else "label"
    return {**dict(zip(names or [f"x{i}" for i in range(flat.shape[1])], flat.T)), column: label}


def drawn_words(drawn: int, rows: int) -> str:
    """Say how many rows a file holds, where a picture cannot show all."""
    if drawn == rows:
        return f"{rows} rows"
    return f"a grid of {drawn} rows, evenly chosen among all {rows:,} (a .npz file holds all)"


def write_pairs(out: Path, schema: Schema, rows: Shaped[np.ndarray, " n *x"], x: Shaped[np.ndarray, " n *x"]) -> None:
    """Write lines of originals, each with the line of what became of them below it."""
    from latens.model_figures.image_scale import shown, write_image  # a second, which other files need not wait for

    limits = (float(min(rows.min(), x.min())), float(max(rows.max(), x.max())))  # one scale for both
    columns, both = min(8, len(rows)), np.stack([shown(schema, one, limits) for one in (rows, x)])
    both = np.pad(both, ((0, 0), (0, -len(rows) % columns), *[(0, 0)] * (both.ndim - 2)))
    lines = both.reshape(2, -1, columns, *both.shape[2:]).swapaxes(0, 1)
    write_image(out, lines.reshape(-1, *both.shape[2:]), columns=columns)


def read_latents(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """Read latents from a file, and the row ids beside them where there are any."""
    # From .npz the array `mean`, `z` or `latents`, or the only one; from .npy the array; from .csv and .parquet the
    # columns `mean0`, `mean1` ... (or `z0` ...).
    if not path.is_file():
        raise DataError("no such file.", where=str(path), fix="Check the path; `latens encode` writes latents.")
    with resource_errors(path):
        found, ids = _latents_in(path)
    count = int(np.prod(shape))
    if found.dtype.kind not in "biuf" or found.ndim < 1 or not len(found) or found[0].size != count:
        what = f"holds {found.dtype} of shape {found.shape}; this model has {count} latent numbers a row."
        raise DataError(what, where=str(path), fix=f"Give an array of shape (n, {count}).")
    with np.errstate(over="ignore"):  # what overflows is refused below
        z = found.reshape(len(found), *shape).astype(np.float32)
    if not np.isfinite(z).all():
        raise DataError("holds NaN or infinite latents.", where=str(path), fix="Leave those rows out.")
    return z, ids


def read_beside(path: Path, name: str) -> list[str] | None:
    """Read the labels, or the names or numbers of a condition, beside the latents of a file."""
    if path.suffix.lower() == ".npz":
        with closing(Archive(path)) as archive:
            return [str(word) for word in archive[name].tolist()] if name in archive.keys else None
    if not format_of(path.name) or name not in read_table(path, ColumnRoles())[0].columns:
        return None
    return names_of(read_table(path, ColumnRoles())[0][name]).fill_null("").to_list()


def _latents_in(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    ending = path.suffix.lower()
    if ending == ".npy":
        return read_npy(path), None
    if ending == ".npz":
        return _from_archive(path)
    if not format_of(path.name):
        raise DataError(f"latents are not read from {ending!r}.", where=str(path), fix="Use .npz or .csv.")
    frame = read_table(path, ColumnRoles())[0]
    for key in LATENT_KEYS:
        wanted = [f"{key}{i}" for i in range(frame.width) if f"{key}{i}" in frame.columns]
        if wanted:
            found = plain_cells(frame["row_id"]) if "row_id" in frame.columns else None
            ids = None if found is None else row_names(found, frame.height, str(path))
            return plain_numbers(frame.select(wanted)), ids
    raise DataError("has no columns mean0, mean1 ...", where=str(path), fix="Name the latents mean0, mean1, or z0, z1.")


def _from_archive(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with closing(Archive(path)) as archive:
        keys = archive.keys
        key = next((key for key in LATENT_KEYS if key in keys), keys[0] if len(keys) == 1 else None)
        if key is None:
            shown = ", ".join(keys[:10]) or "nothing"
            raise DataError(f"has no array named mean or z (it has {shown}).", where=str(path), fix="Name it z.")
        return archive[key], archive["row_id"] if "row_id" in keys else None


def column_table(
    data: Dataset, x: np.ndarray, hidden: np.ndarray, path: Path, options: Mapping[str, Any]
) -> pl.DataFrame:
    """The columns of a table of numbers, every cell that was there as it stood where they come from a file."""
    if data.places is not None:
        from latens.commands._files import long_as_written

        return long_as_written(data, x, hidden, path, options)
    flat, gaps = x.reshape(len(x), -1), hidden.reshape(len(x), -1)
    found = table_columns(path, options)
    names = data.schema.names or [f"x{i}" for i in range(flat.shape[1])]
    if found is not None and data.schema.columns is None:
        roles = {name: options[name] for name in ("label", "row_id", "weight") if options.get(name) is not None}
        taken = role_positions(found.columns, ColumnRoles(**roles), str(path)).values()
        names = [name for i, name in enumerate(found.columns) if i not in taken]
    made = pl.DataFrame([numbers_of(name, *pair) for name, *pair in zip(names, flat.T, gaps.T)])
    if found is None or len(found) != len(flat) or not set(names) <= set(found.columns):
        return pl.DataFrame({n: a for n, a in beside(data, options).items() if n not in names}).hstack(made)
    filled = [name for name in made.columns if found[name].dtype.is_integer() and made[name].dtype.is_float()]
    return with_cells(found.with_columns(found[name].cast(made[name].dtype) for name in filled), made, gaps)


def table_as_written(
    data: Dataset, x: Shaped[np.ndarray, "n columns"], hidden: np.ndarray, path: Path, options: Mapping[str, Any]
) -> pl.DataFrame:
    """The columns of a mixed table as they were read, with what was filled in of the same dtypes."""
    filled = as_frame(x, data.schema, data.outside)
    found = _as_read(data, path, options)
    if found is None:
        return pl.DataFrame({n: a for n, a in beside(data, options).items() if n not in filled.columns}).hstack(filled)
    return with_cells(found, filled, hidden_in(found, filled.columns, data.schema, hidden))


def with_derived_gaps(
    data: Dataset, hidden: Bool[np.ndarray, " n *columns"], path: Path, options: Mapping[str, Any]
) -> Bool[np.ndarray, " n *more"]:
    """What is filled of a table, with the gaps of its derived columns."""
    found = _as_read(data, path, options) if data.schema.derived else None
    every = [*data.schema.names, *(one.name for one in data.schema.derived or ())]
    return hidden if found is None else hidden_in(found, every, data.schema, hidden)


def _as_read(data: Dataset, path: Path, options: Mapping[str, Any]) -> pl.DataFrame | None:
    """The columns of the table that rows were read from; None where they are not its rows."""
    found = table_columns(path, options)
    if found is not None and data.kept is not None:
        found = found[data.kept]
    return found if found is not None and len(found) == len(data) else None


def beside(data: Dataset, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Names and labels of the rows, where the data brought some."""
    own = options.get("row_id") is not None or not np.array_equal(data.names, np.arange(len(data)))
    words = np.array([*(data.schema.classes or ()), ""])
    arrays = {"row_id": data.names} if own else {}
    return arrays if data.label is None else {**arrays, "label": words[data.label]}


def numbers_of(name: str, column: Shaped[np.ndarray, " n"], gaps: Bool[np.ndarray, " n"]) -> pl.Series:
    """A column; whole numbers stay whole, unless a fraction was filled in."""
    whole = np.all(column == np.round(column)) and np.abs(column).max(initial=0) < 2**53
    return pl.Series(name, column.astype(np.int64) if whole and not np.all(gaps) else column)


def table_columns(path: Path, options: Mapping[str, Any]) -> pl.DataFrame | None:
    """The columns of a table in a file, as they are read; None for data of another kind."""
    if not path.is_file() or not format_of(path.name):
        return None
    names = ("null", "decimal_comma", "separator", "encoding", "sheet", "header")
    given = {name: options[name] for name in names if options.get(name) is not None}
    if "null" in given:
        given["null"] = (given["null"],) if isinstance(given["null"], str) else tuple(given["null"])
    return read_table(path, ColumnRoles(**given))[0]


def table_of(schema: Schema, arrays: Mapping[str, np.ndarray], places: Places | None) -> dict[str, np.ndarray]:
    """Rows as a long table: a line for each step, beside it what is said of the whole row."""
    found, x = schema.steps, arrays["x"]
    if places is None:
        row = np.repeat(np.arange(len(x)), x.shape[1])
        made = {found.sequence or "sequence": row, "step": np.tile(np.arange(x.shape[1]), len(x))}
        made |= {one.name: x[:, :, j].reshape(-1) for j, one in enumerate(found.columns)}
    else:
        row = np.nonzero(places.held)[0]
        made = long_table(found, places, places.held, x)
    own = {name: array[row] for name, array in arrays.items() if array.ndim == 1 and name != "row_id"}
    return {**made, **{name: array for name, array in own.items() if name not in made}}


def in_order(places: Places, chosen: Bool[np.ndarray, "n steps"]) -> np.ndarray:
    """The order of chosen steps in which the table had them; one without a line follows the step before it."""
    row, at = np.nonzero(chosen)
    _, of = np.unique(places.sequence, return_inverse=True)
    line, step = places.line[row, at], places.first[row] + at
    by_step = np.lexsort((step, of[row]))
    ahead = np.maximum.accumulate(np.where(line[by_step] >= 0, np.arange(len(by_step)), -1))
    same = (ahead >= 0) & (of[row][by_step[np.maximum(ahead, 0)]] == of[row][by_step])
    after = np.where(same, line[by_step[np.maximum(ahead, 0)]], -1)
    return by_step[np.lexsort((np.arange(len(by_step)), after))]


def long_as_written(
    data: Dataset,
    x: Shaped[np.ndarray, "n steps d"],
    hidden: Bool[np.ndarray, "n steps d"],
    path: Path,
    options: Mapping[str, Any],
) -> pl.DataFrame:
    """A long table with its gaps filled in, every cell that was there as it stood; steps without a line get one."""
    found, places = data.schema.steps, data.places
    assert places is not None
    chosen = nearest_the_centre(places)
    order = in_order(places, chosen)
    line, gaps, cells = places.line[chosen][order], hidden[chosen][order], x[chosen][order]
    steps = named_steps(found, places, chosen)
    named = pl.DataFrame([series_of(name, column[order]) for name, column in steps.items()])
    filled = pl.DataFrame([numbers_of(one.name, cells[:, j], gaps[:, j]) for j, one in enumerate(found.columns)])
    was = table_columns(path, options)
    if was is None or len(was) <= line.max():
        return named.hstack(filled)
    new = line < 0
    table = was.select(pl.all().gather(pl.Series(np.where(new, 0, line))))
    table = table.with_columns(
        pl.when(pl.Series(new)).then(None).otherwise(pl.col(name)).alias(name) for name in was.columns
    )
    table = with_cells(table, filled, gaps | new[:, None])
    known = [name for name in named.columns if name in was.columns]
    return with_cells(table, named.select(known), np.repeat(new[:, None], len(known), axis=1)) if known else table
