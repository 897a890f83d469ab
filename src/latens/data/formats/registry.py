"""Which format a file, folder or object is of: one table, by the end of its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latens.data.formats.format import Format, FormatSource
from latens.data.formats.source import AbstractRows, Place
from latens.data.raw import ColumnRoles, Raw, no_roles, readable, with_roles
from latens.data.rows import unmasked
from latens.errors import ConfigError, DataError, LatensError, ResourceError
from latens.kinds.counts import anndata as annotated
from latens.kinds.counts import files as sparse
from latens.kinds.counts.sparse import is_sparse, sparse_rows
from latens.kinds.numbers import hdf5
from latens.kinds.numbers import npz as arrays
from latens.kinds.numbers.npy import NpySource, read_npy
from latens.kinds.pictures import files as image_folder
from latens.kinds.pictures import idx
from latens.kinds.pictures.files import TarSource
from latens.kinds.tables.cells import rows_of
from latens.kinds.tables.files import SHEETS, TEXT
from latens.kinds.tables.frame import as_table, is_pandas
from latens.kinds.tables.scanned import TableRows
from latens.kinds.text.lines import read_rows, read_txt, text_blocks
from latens.kinds.text.midi import midi_files, read_midi

_CONVERT = "Convert it: np.savez('data.npz', x=rows, y=labels)."
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")
_OTHERS = {
    _PICKLES: "a pickle can run code when it is opened, so latens never reads one.",
    (".mat",): "this format is not read.",
    image_folder.ENDINGS: "single pictures are not read, a folder of them is.",
    (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz"): "archives are not read.",
}


class Row(NamedTuple):
    """A format of the table."""

    shown: str  # what it is called in an error
    endings: tuple[str, ...]  # of the names of files
    whole: Callable[[Path, ColumnRoles], Raw] | None = None  # reads all rows; None: blocks do, also into memory
    blocks: Callable[..., AbstractRows] | None = None  # opens files whose rows may stay on disk
    beside: bool = False  # whether such files may lie beside those of another format, which then are the data


def row_of(kind: type[Format]) -> Row:
    """Make the row of a format that is one class."""

    def whole(path: Path, roles: ColumnRoles) -> Raw:
        return FormatSource(Place(path.parent), (path.name,), roles, single=True, kind=kind).whole()

    def blocks(*given: Any, **options: Any) -> AbstractRows:
        return FormatSource(*given, kind=kind, **options).by_blocks()

    return Row(kind.__name__, kind.endings, whole, blocks, beside=True)


def register_format(kind: Any) -> None:
    """Make a file format of your own known, to `load_data` and to the command (`--import FILE.py`).

    Args:
        kind: A subclass of `Format`. A class of the same name that was registered before is replaced.

    Raises:
        ConfigError: The class is not a format, or its endings are not endings, or belong to another format.

    Examples:
        >>> import numpy as np
        >>> class Pairs(Format):
        ...     endings = (".pairs",)
        ...     def open(self, file):
        ...         self.rows = file.seek(0, 2) // 8
        ...     def table(self):
        ...         return [self.rows]
        ...     def read(self, file, block):
        ...         return np.frombuffer(file.read(), "<f4").reshape(-1, 2)
        >>> register_format(Pairs)
    """
    if not isinstance(kind, type) or not issubclass(kind, Format) or getattr(kind, "__abstractmethods__", None):
        what = f"{str(kind)[:80]!r} is not a class of a format."
        raise ConfigError(what, where="register_format", fix="Give a subclass of Format with open, table and read.")
    own, where, name = kind.endings, f"{kind.__name__}.endings", f"own {kind.__name__}"
    if not isinstance(own, tuple) or not own or not all(isinstance(e, str) and e[:1] == "." and e[1:] for e in own):
        raise ConfigError(f"{own!r} are not endings of names.", where=where, fix='Give a tuple such as (".myfmt",).')
    others = {ending for known, row in FORMATS.items() for ending in row.endings if known != name}
    others |= {ending for endings in _OTHERS for ending in endings}
    taken = next((ending for ending in own if ending.lower() in others), None)
    if taken is not None:
        raise ConfigError(f"there is a format {taken!r} already.", where=where, fix="Choose another ending.")
    FORMATS[name] = row_of(kind)


_TEXT = (*TEXT, *(f"{ending}{packed}" for ending in TEXT for packed in (".gz", ".zst")))
_JSON = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".json")
_HDF5 = (".h5", ".hdf5", ".h5ad")
_IDX = ("ubyte", "ubyte.gz", ".idx", ".idx.gz")

FORMATS: dict[str, Row] = {
    "npy": Row(".npy", (".npy",), lambda path, _: Raw(read_npy(path)), NpySource),
    "npz": Row(".npz", (".npz",), arrays.read_npz),
    "market": Row(".mtx", (".mtx", ".mtx.gz"), lambda path, _: sparse.read_market(path)),
    "idx": Row("IDX", _IDX, lambda path, _: Raw(idx.read_idx(path))),
    "csv": Row(".csv, .tsv, .txt (also .gz, .zst)", _TEXT, read_txt, text_blocks, beside=True),
    "json": Row(".jsonl, .json", _JSON, read_rows),
    "sheets": Row(".xlsx, .xls, .ods", SHEETS, read_rows),
    "parquet": Row(".parquet", (".parquet", ".pq"), read_rows, TableRows),
    "arrow": Row(".arrow", (".arrow", ".feather", ".ipc"), read_rows, TableRows),
    "hdf5": Row(".h5 and .h5ad", _HDF5, hdf5.read_hdf5, hdf5.Hdf5Source),
    "midi": Row(".mid", (".mid", ".midi"), read_midi),
    "tar": Row(".tar", (".tar",), None, TarSource),
}
"""The formats by name; a file is of the first one that has its ending."""


def by_blocks() -> dict[str, Row]:
    """Give the formats that are read by blocks, by the ending of a name."""
    rows = [row for row in FORMATS.values() if row.blocks]
    return {ending: row for row in rows for ending in row.endings if ending.count(".") == 1}  # packed ones are not cut


def read_path(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of a file or folder."""
    where = str(path)
    try:
        with readable(where):
            return with_roles(_read_folder(path, roles) if path.is_dir() else _read_file(path, roles), roles, where)
    except LatensError:
        raise
    except MemoryError:
        raise ResourceError("does not fit into memory.", where=where, fix="Use fewer rows.") from None
    except FileNotFoundError:
        raise DataError("no such file or folder.", where=where, fix="Check the path.") from None
    except PermissionError:
        raise ResourceError("may not be read.", where=where, fix="Give yourself permission to read it.") from None
    except OSError as error:
        fix = "Check the disk or the network that it lies on, or copy it to another place."
        raise ResourceError(f"cannot be read ({error.strerror or str(error)[:100]}).", where=where, fix=fix) from None


def read_object(value: Any, roles: ColumnRoles, where: str) -> Raw:
    """Read the rows of an array, lists, dicts, a sparse matrix, a frame, an Arrow table or an AnnData object."""
    if is_sparse(value):
        return with_roles(Raw(sparse_rows(value, where)), roles, where)
    if (frame := as_table(value, where)) is not None:
        names = index_of(value, roles) if is_pandas(value) else None
        raw = rows_of(frame, roles, where, names)
        twice = is_pandas(value) and names is None and not value.index.is_unique
        raw.notes += ("The index names some rows twice, and is not taken as ids: rows are counted from 0.",) * twice
        return raw
    if (strings := strings_of(value)) is not None:
        return with_roles(Raw(None, strings=strings), roles, where)
    if annotated.is_annotated(value):
        return annotated.from_annotated(value, roles, where)
    try:
        array = np.asarray(unmasked(value))
    except (ValueError, TypeError):
        raise DataError(
            "is not an array: its rows differ in length.", where=where, fix="Give rows of one shape."
        ) from None
    return with_roles(Raw(array), roles, where)


def index_of(frame: Any, roles: ColumnRoles) -> np.ndarray | None:
    """The index of a frame of pandas as ids of its rows; None where it only counts them, or names one twice."""
    index = frame.index
    counted = type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1
    if counted or (not index.is_unique and roles.row_id is None):
        return None
    return np.asarray([v if isinstance(v, int) else str(v) for v in index.tolist()])


def strings_of(value: Any) -> list[str] | None:
    """Give the strings of a list, an array or a series that holds nothing else."""
    if hasattr(value, "to_list") and not hasattr(value, "columns"):  # a series of pandas or polars
        value = value.to_list()
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "OU":
        value = value.tolist()
    alike = isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value)
    return [str(one) for one in value] if alike else None


def check_numeric(x: Any, where: str) -> None:
    """Refuse what cannot be rows of numbers: objects, text, complex numbers, dates; no rows; no columns."""
    if x is None:
        fix = "Give rows of numbers, or a table of columns."
        raise DataError("holds rows of text, which are taken by themselves alone.", where=where, fix=fix)
    if x.dtype.kind not in "biuf":
        kinds = {"O": "Python objects", "U": "text", "S": "text", "c": "complex numbers", "M": "dates", "m": "times"}
        what = kinds.get(x.dtype.kind, f"values of type {x.dtype}")
        what = f"holds {what}, not numbers."
        raise DataError(what, where=where, fix="Turn it into numbers: np.asarray(x, 'float32').")
    if x.ndim < 2:
        fix = "One value a row? Then give x[:, None]."
        raise DataError(f"has shape {x.shape}; rows and columns are needed.", where=where, fix=fix)
    if x.size == 0:
        raise DataError(f"has shape {x.shape}: there is nothing in it.", where=where, fix="Give at least one row.")


def _read_folder(folder: Path, roles: ColumnRoles) -> Raw:
    fix = "Its labels are known: label files beside MNIST-named images, names of subfolders of pictures."
    no_roles(roles, str(folder), fix, "a folder has")
    files = idx.idx_folder(folder)
    if files is not None:
        return idx.read_idx_folder(folder, files)
    found = image_folder.find_pictures(folder)
    if found.pictures:
        return image_folder.read_pictures(folder, found, roles.pictures)
    if midi_files(folder):
        return read_midi(folder, roles)
    inside = sorted(entry.name for entry in folder.iterdir())[:8]
    raise DataError(
        f"this folder has no pictures and no train-images-idx3-ubyte(.gz); it holds {', '.join(inside) or 'nothing'}.",
        where=str(folder),
        fix="Give one of its files, a folder of pictures, or one with the four MNIST-named IDX files.",
    )


def _read_file(path: Path, roles: ColumnRoles) -> Raw:
    where, name = str(path), path.name.lower()
    if not path.exists():
        raise FileNotFoundError
    if not path.is_file():
        raise DataError("is not a regular file.", where=where, fix="Give a file.")
    if not path.stat().st_size:
        raise DataError("is empty.", where=where, fix="Give a file with at least one row.")
    for endings, why in _OTHERS.items():
        if name.endswith(endings):
            raise DataError(f"{why[0].upper()}{why[1:]}", where=where, fix=_CONVERT)
    for row in FORMATS.values():
        if row.whole and name.endswith(row.endings):
            return row.whole(path, roles)
    *known, last = (row.shown for row in FORMATS.values() if row.whole)
    fix = f"{_CONVERT} Or read it with a class of your own: latens.register_format; the command takes --import FILE.py."
    raise DataError(f"is of no known format. Known: {', '.join(known)}, {last}.", where=where, fix=fix)
