"""Results to .npz, .csv, .parquet or .png, and latents back from them."""

import codecs
import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.columns import ColumnType
from latens.data.formats.arrow import read_parquet
from latens.data.formats.csv import read_csv
from latens.data.formats.npy import read_npy
from latens.data.formats.npz import Archive
from latens.data.frames import as_series
from latens.data.raw import ColumnRoles
from latens.data.rows import row_names
from latens.data.schema import Schema
from latens.errors import ConfigError, DataError
from latens.evaluation import finite
from latens.io.atomic import resource_errors, write_atomic
from latens.text import COMMAS, MARK, Dialect, added_texts, csv_bytes, original_text, spreadsheet_text, visible

LATENT_KEYS = ("mean", "z", "latents")

MOST_IMAGES = 64  # rows that a picture of reconstructions shows


def write_table(
    path: Path,
    arrays: dict[str, np.ndarray],
    schema: Schema | None = None,
    infinite: tuple[str, ...] = (),
    known: Collection[str] = (),
) -> None:
    """Write arrays led by one axis of rows to a file, whole or absent; the ending chooses the format."""
    # In .npz every array keeps its name and shape. In a table, an array of more numbers a row becomes the columns
    # NAME0, NAME1 and so on.
    if path.suffix.lower() == ".npz":
        return write_npz(path, arrays)
    write_atomic(path, table_bytes(path, arrays, schema, infinite, known))


def table_bytes(
    path: Path,
    arrays: dict[str, np.ndarray],
    schema: Schema | None = None,
    infinite: tuple[str, ...] = (),
    known: Collection[str] = (),
    dialect: Dialect | None = None,
    added: Collection[str] = (),
) -> bytes:
    """The bytes that `write_table` writes to a .csv or .parquet file."""
    # added: columns of numbers that a .csv has with four digits and the decimal mark of the table's own.
    for name, array in arrays.items():
        if name not in infinite:
            finite(array, name, where=str(path))
    if path.suffix.lower() == ".csv":
        dialect, columns = dialect or COMMAS, flat_columns(arrays)
        texts = {name: added_texts(columns[name], dialect.decimal) for name in added if name in columns}
        columns |= {name: np.array(cells, object) for name, cells in texts.items()}
        negative = {cell for cells in texts.values() for cell in cells if cell.startswith("-")}
        return csv_bytes(columns, {*known, *negative}, dialect)
    pairs = [] if schema is None else zip(schema.columns or (), schema.types or ())
    return parquet_bytes(flat_columns(arrays), {column.name: one for column, one in pairs})


def kept_dialect(facts: Any) -> Dialect:
    """How the .csv that a model was trained on was written, as its file says; commas where it does not."""
    # A stranger may have written that.
    if not isinstance(facts, dict):
        return COMMAS
    separator, mark, encoding = (str(facts.get(name)) for name in ("separator", "mark", "encoding"))
    try:
        known = codecs.lookup(encoding)
    except LookupError:
        return COMMAS
    fine = separator in (",", ";", "\t", "|") and mark in ("", MARK) and known._is_text_encoding
    given = facts.get("decimals")
    decimals = {str(k): n for k, n in given.items() if type(n) is int and 0 < n < 16} if type(given) is dict else {}
    ends = "\r\n" if facts.get("ends") == "\r\n" else "\n"
    return Dialect(separator, mark, known.name, decimals=decimals, ends=ends) if fine else COMMAS


TEXT_ENDINGS = (".txt", ".csv", ".parquet", ".npz", ".mid")
"""Of files with rows of text; of several rows each has a MIDI file of its own."""
TABLE_ENDINGS = (".csv", ".parquet", ".npz")
"""Of files with rows that are sequences, as a long table or as arrays."""


def formulas(schema: Schema) -> tuple[str, ...]:
    """The names of columns, cells and classes of the training data that a spreadsheet would run as formulas."""
    cells = [value for one in schema.types or () for value in one.values]
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


def parquet_bytes(
    columns: dict[str, np.ndarray], types: Mapping[str, ColumnType] = MappingProxyType({}), about: bytes | None = None
) -> bytes:
    """Make a Parquet file of columns, the same bytes for the same columns."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        fix = "pip install 'latens[tables]', or use .csv or .npz."
        raise ConfigError("pyarrow is not installed.", where="--out FILE.parquet", fix=fix) from None
    sink = pyarrow.BufferOutputStream()

    def array(name: str, column: np.ndarray) -> Any:
        one = types.get(name)
        if one is not None and (one.kind == "ordinal" or one.zone):
            return pyarrow.array(as_series(column, one))
        return pyarrow.array(column.tolist() if column.dtype.kind == "U" else column)

    table = pyarrow.table({name: array(name, column) for name, column in columns.items()})
    if about is not None:
        table = table.replace_schema_metadata({"latens": about})
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def pictured(count: int) -> np.ndarray:
    """Choose the rows of a picture: more could not be looked at."""
    # Evenly, because sorted data start with one class.
    return np.linspace(0, count - 1, min(count, MOST_IMAGES)).round().astype(np.int64)


def drawn_words(drawn: int, rows: int) -> str:
    """Say how many rows a file holds, where a picture cannot show all."""
    if drawn == rows:
        return f"{rows} rows"
    return f"a grid of {drawn} rows, evenly chosen among all {rows:,} (a .npz file holds all)"


def write_pairs(out: Path, schema: Schema, rows: Shaped[np.ndarray, "n *x"], x: Shaped[np.ndarray, "n *x"]) -> None:
    """Write lines of originals, each with the line of what became of them below it."""
    from latens.pictures.images import shown, write_image  # a second, which other files need not wait for

    limits = (float(min(rows.min(), x.min())), float(max(rows.max(), x.max())))  # one scale for both
    originals, found = shown(schema, rows, limits), shown(schema, x, limits)
    columns = min(8, len(rows))
    blank = np.zeros((-len(rows) % columns, *originals.shape[1:]), originals.dtype)
    lines = []
    for start in range(0, len(rows), columns):
        part = slice(start, start + columns)
        lines += [originals[part], blank[: columns - len(originals[part])]]
        lines += [found[part], blank[: columns - len(found[part])]]
    write_image(out, np.concatenate(lines), columns=columns)


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
        archive = Archive(path)
        try:
            return [str(word) for word in archive[name].tolist()] if name in archive.keys else None
        finally:
            archive.close()
    if path.suffix.lower() not in (".csv", ".parquet") or name not in _header(path):
        return None
    raw = (read_csv if path.suffix.lower() == ".csv" else read_parquet)(path, ColumnRoles(label=name))
    return None if raw.label is None else [str(word) for word in np.asarray(raw.label).tolist()]


def _latents_in(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    ending = path.suffix.lower()
    if ending == ".npy":
        return read_npy(path), None
    if ending == ".npz":
        return _from_archive(path)
    if ending not in (".csv", ".parquet"):
        raise DataError(f"latents are not read from {ending!r}.", where=str(path), fix="Use .npz or .csv.")
    read = read_csv if ending == ".csv" else read_parquet
    roles: dict[str, Any] = {role: role for role in ("label", "row_id") if role in _header(path)}
    raw = read(path, ColumnRoles(**roles))
    names = list(raw.columns or ())
    for key in LATENT_KEYS:
        wanted = [f"{key}{i}" for i in range(len(names)) if f"{key}{i}" in names]
        if wanted:
            ids = None if raw.names is None else row_names(raw.names, len(raw.x), str(path))
            return raw.x[:, [names.index(name) for name in wanted]], ids
    raise DataError("has no columns mean0, mean1 ...", where=str(path), fix="Name the latents mean0, mean1, or z0, z1.")


def _from_archive(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        archive = Archive(path)
    except zipfile.BadZipFile:
        raise DataError("is not a readable .npz file.", where=str(path), fix="Write it again with np.savez.") from None
    try:
        keys = archive.keys
        key = next((key for key in LATENT_KEYS if key in keys), keys[0] if len(keys) == 1 else None)
        if key is None:
            shown = ", ".join(keys[:10]) or "nothing"
            raise DataError(f"has no array named mean or z (it has {shown}).", where=str(path), fix="Name it z.")
        return archive[key], archive["row_id"] if "row_id" in keys else None
    except zipfile.BadZipFile:
        raise DataError("is damaged.", where=str(path), fix="Write it again with np.savez.") from None
    finally:
        archive.close()


def _header(path: Path) -> list[str]:
    """The names of the columns of a table."""
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return [original_text(name.strip().strip('"')) for name in file.readline(1 << 20).split(",")]
    try:
        import pyarrow.parquet
    except ImportError:
        return []  # reading it will say so
    return list(pyarrow.parquet.read_schema(path).names)
