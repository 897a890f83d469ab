"""From what a user types to rows: formats by the ending of a name, files, folders, globs, addresses and objects."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from msgspec import to_builtins

from latens.data.mapped import joined
from latens.data.row_fields import (
    SPLITS,
    TRAIN,
    ColumnRoles,
    OtherCells,
    Raw,
    file_errors,
    no_roles,
    readable,
    unmasked,
    with_roles,
)
from latens.errors import DataError
from latens.kinds.counts import anndata
from latens.kinds.counts import sparse as sparse
from latens.kinds.counts.sparse import SparseRows, is_sparse, sparse_rows
from latens.kinds.numbers.hdf5 import hdf5_parts, read_hdf5
from latens.kinds.numbers.npy import beside, is_beside, npy_parts, read_npy, read_npz
from latens.kinds.pictures import picture_files as pictures
from latens.kinds.pictures.picture_files import idx_folder, read_idx, read_idx_folder
from latens.kinds.tables import ENDINGS as TABLES
from latens.kinds.tables import PACKED
from latens.kinds.tables.frame import as_table, is_pandas
from latens.kinds.tables.infer_columns import rows_of
from latens.kinds.tables.table_files import (
    ending_of,
    format_of,
    polars_errors,
    read_table,
    scanned,
    settled,
    table_parts,
)
from latens.kinds.text.strings import has_lines, read_rows, read_txt, text_parts
from latens.runtime.file_limits import fixed_folder, is_glob, shown_files

_CONVERT = "Convert it: np.savez('data.npz', x=rows, y=labels)."
_OTHERS = {
    (".pkl", ".pickle", ".pt", ".pth", ".joblib"): ("A pickle can run code when it is opened: none is read.", _CONVERT),
    pictures.ENDINGS: ("One picture is not a data set.", "Put it in a folder with others, and give the folder."),
    (".mat", ".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz"): ("This format is not read.", _CONVERT),
}
ALONE = frozenset({".txt", ".dat", ".data"})
"""Endings of tables that are read by name alone: in a folder of rows they are notes."""
REMOTE = ("s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "https", "file")
"""What addresses that Polars reads begin with."""
INSIDE = re.compile(r"(.+\.(?:h5|hdf5)):/(.+)\Z", re.IGNORECASE)
"""An array of rows in a file: `file.h5:/path`."""
_SPLITS = {**{name: code for code, name in enumerate(SPLITS)}, "valid": 1, "val": 1}
"""Names of text files in a folder that say which split their lines are of."""


class Format(NamedTuple):
    """How files of some endings are read: at once, or some rows at a time."""

    shown: str  # what it is called in an error
    endings: tuple[str, ...]
    whole: Callable[[Path, ColumnRoles], Raw] | None = None
    parts: Callable[[Any, ColumnRoles], Iterator[Raw]] | None = None
    beside: bool = False  # whether such files may lie beside those of another format, which then are the data
    larger: int = 1  # how many times as large rows may be in memory


_TEXT = (*TABLES["text"], *(f"{ending}{packed}" for ending in TABLES["text"] for packed in PACKED))
_JSON = (*TABLES["json"][:2], *(f"{ending}.gz" for ending in TABLES["json"][:2]), ".json")

FORMATS: dict[str, Format] = {
    "npy": Format(".npy", (".npy",), lambda path, _: read_object(read_npy(path), ColumnRoles(), str(path)), npy_parts),
    "npz": Format(".npz", (".npz",), read_npz),
    "market": Format(".mtx", (".mtx", ".mtx.gz"), lambda path, _: sparse.read_market(path)),
    "idx": Format("IDX", ("ubyte", "ubyte.gz", ".idx", ".idx.gz"), lambda path, _: Raw(read_idx(path))),
    "csv": Format(".csv, .tsv, .txt (also .gz, .zst)", _TEXT, read_txt, text_parts, beside=True),
    "json": Format(".jsonl, .json", _JSON, read_rows),
    "sheets": Format(".xlsx, .xls, .ods", TABLES["sheets"], read_rows),
    "pictures": Format("pictures", pictures.ENDINGS, lambda path, roles: joined(_picture_parts(path, roles))),
    "parquet": Format(".parquet", TABLES["parquet"], read_rows, table_parts),
    "arrow": Format(".arrow", TABLES["arrow"], read_rows, table_parts),
    "hdf5": Format(".h5 and .h5ad", (".h5", ".hdf5", ".h5ad"), read_hdf5, hdf5_parts, larger=2),
}
"""The formats by name; a file is of the first one that has its ending."""


@dataclass
class Files:
    """Files of one format, whose rows are read some at a time: into memory, or into one file."""

    paths: list[Any]  # sorted: paths, or one address as text
    root: Path
    form: Format
    roles: ColumnRoles
    single: bool = True  # whether this is one file by itself, whose rows are counted

    @property
    def title(self) -> str:
        """What errors call it."""
        return str(self.paths[0] if self.single else self.root)

    def _stats(self) -> list[list[Any]]:
        within = (one for path in self.paths for one in _files_at(path)[1])
        return [[str(one), (stat := one.stat()).st_size, stat.st_mtime_ns] for one in within if one.is_file()]

    @property
    def size(self) -> int:
        """About how many bytes the rows have."""
        return 0 if isinstance(self.paths[0], str) else self.form.larger * sum(size for _, size, _ in self._stats())

    @property
    def lies(self) -> Path | None:
        """The file that can be mapped where it lies: one array of plain numbers."""
        path = self.paths[0]
        if not self.single or not str(path).lower().endswith(".npy"):
            return None
        dtype = np.load(path, mmap_mode="r").dtype
        return path if dtype.kind in "iuf" and dtype.isnative else None

    def told(self) -> dict[str, Any]:
        """Say what the rows are a function of."""
        roles = to_builtins({name: one for name, one in vars(self.roles).items() if name not in ("refuses", "sure")})
        if isinstance(self.paths[0], str):
            scan = scanned(self.paths[0], self.roles)[0]
            files = [[self.paths[0], repr(scan.collect_schema()), scan.select(pl.len()).collect().item()]]
        else:
            files = self._stats()
        return {"form": self.form.shown, "files": files, "roles": roles, "single": self.single}

    @property
    def tables(self) -> bool:
        """Whether these are tables, whose columns may be of several kinds."""
        of_text = self.form.parts is text_parts and has_lines(self.paths[0], self.roles)
        return self.form.parts in (table_parts, text_parts) and not of_text

    def read(self, gather: Callable[[Iterator[Raw]], Any]) -> Any:
        """Hand all rows to a function; once more where later rows of a table hold something else than the first."""
        try:
            return gather(self.parts())
        except OtherCells:
            self.roles = replace(self.roles, sure=True)
            return gather(self.parts())

    def parts(self) -> Iterator[Raw]:
        """Go through all rows; without ids they are named by file and place, or counted in one file."""
        like, splits = None, [_SPLITS.get(Path(path).name.lower().removesuffix(".txt")) for path in self.paths]
        roles = settled(self.paths, self.roles) if self.tables else self.roles
        for path, split in zip(self.paths, splits):
            done, assumed = 0, self.form.parts
            assert assumed is not None
            with file_errors(str(path)):
                for raw in assumed(path, roles):
                    like = like or _Like.of(raw)
                    like.refuse_other(raw, str(path), Path(self.paths[0]).name)
                    n = len(raw.x) if raw.strings is None else len(raw.strings)
                    if raw.names is None and not self.single:
                        name = path.relative_to(self.root).as_posix()
                        raw.names = np.array([f"{name}:{row}" for row in range(done, done + n)])
                    if raw.strings is not None and not self.single:
                        raw.lines = None
                        raw.brought = None if None in splits or TRAIN not in splits else np.full(n, split, np.uint8)
                    raw.label = None if self.roles.label == "none" else raw.label
                    done += n
                    yield raw


class _Like(NamedTuple):
    """What all files must have alike."""

    columns: tuple[str, ...] | None
    shape: tuple[int, ...] | None
    beside: tuple[bool, ...]  # whether there are labels, ids, weights and columns of several kinds

    @classmethod
    def of(cls, raw: Raw) -> "_Like":
        beside = tuple(part is not None for part in (raw.label, raw.names, raw.weight, raw.kinds))
        return cls(raw.columns, None if raw.x is None else raw.x.shape[1:], beside)

    def refuse_other(self, raw: Raw, where: str, first: str) -> None:
        """Refuse rows that are not as those of the first file."""
        own = _Like.of(raw)
        if own.columns != self.columns:
            fix = "Give all files the same columns, of the same types."
            raise DataError(f"has other columns than {first}.", where=where, fix=fix)
        if own != self:
            what = f"has rows of shape {own.shape}, and {first} of {self.shape}, or other labels, ids or weights."
            raise DataError(what, where=where, fix="Give all files rows of one shape and type.")


# --- which files a path stands for ---


def is_address(spec: str) -> bool:
    """Say whether this is the address of an object store, or another one with a scheme."""
    return "://" in spec


def title_of(spec: str) -> str:
    """Name a data set after its file or folder."""
    parts = [part for part in PurePosixPath(spec).parts if not is_glob(part)] if is_address(spec) else []
    path = fixed_folder(Path(spec)) if is_glob(spec) and not Path(spec).exists() else Path(spec)
    return (parts[-1] if parts else path.resolve().name).split(".")[0] or spec


def by_parts() -> dict[str, Format]:
    """Give the formats that are read some rows at a time, by the ending of a name."""
    rows = [row for row in FORMATS.values() if row.parts]
    return {ending: row for row in rows for ending in row.endings if ending.count(".") == 1}  # packed ones are not cut


def files_of(spec: str, roles: ColumnRoles) -> Files | None:
    """Find the files that a path stands for; None for a file of another format, or a folder without such files."""
    known = by_parts()
    if is_address(spec):
        check_address(spec)
        if is_glob(spec) or ending_of(spec) == ".csv":
            fix = "Give one .parquet or .arrow file, or leave --stream out."
            raise DataError("stands for files that do not stay where they lie.", where=spec, fix=fix)
        return Files([spec], Path(), FORMATS["parquet"], roles)
    path = Path(spec)
    if within := INSIDE.match(spec):
        form = FORMATS["hdf5"]._replace(parts=partial(hdf5_parts, only=within[2]))
        return Files([Path(within[1])], Path(within[1]).parent, form, roles)
    if path.is_file():
        form = known.get(path.suffix.lower())
        return None if form is None else Files([path], path.parent, form, roles)
    of_pictures = Files([path], path, FORMATS["pictures"]._replace(parts=_picture_parts), roles)
    if path.is_dir() and pictures_of(path).pictures:
        return of_pictures
    if not path.is_dir() and not is_glob(spec):
        return None
    root, found = _files_at(path)
    found = [one for one in found if not is_beside(one.name)]
    endings = {ending for ending in known if ending not in ALONE} if roles.pieces is None else {".txt"}
    found = [one for one in found if one.suffix.lower() in endings | ({".txt"} if roles.pieces else set())]
    found = [one for one in found if not known[one.suffix.lower()].beside] or found
    if not found:
        if path.is_dir() or pictures_of(path).pictures:
            return None if path.is_dir() else of_pictures
        fix = f"Check the path; known: {', '.join(ending for ending in known if ending not in ALONE)}."
        raise DataError("stands for no file that is read by parts.", where=spec, fix=fix)
    if len(own := sorted({one.suffix.lower() for one in found})) > 1:
        what = f"holds files of several formats: {', '.join(own)}."
        raise DataError(what, where=spec, fix=f"Choose some: '{spec.rstrip('/')}/*{own[0]}'.")
    return Files(found, root, known[own[0]], roles, single=False)


def _files_at(path: Path) -> tuple[Path, list[Path]]:
    """The files that a folder, a glob or a file stands for, and the folder that they are in."""
    if path.is_file():
        return path.parent, [path, *beside(path)]
    root = path if path.is_dir() else fixed_folder(path)
    return root, shown_files(path, root)


def pictures_of(path: Path) -> pictures.Found:
    """The pictures of a folder or a glob, or the one that a file is."""
    if path.is_dir():
        return pictures.find_pictures(path)
    root, found = _files_at(path)
    names = [one.relative_to(root).as_posix() for one in found if one.name.lower().endswith(pictures.ENDINGS)]
    return pictures.Found(root, tuple(names), ())


def _picture_parts(path: Path, roles: ColumnRoles) -> Iterator[Raw]:
    return pictures.picture_parts(pictures_of(path), roles)


def check_address(spec: str) -> None:
    """Refuse an address that Polars does not read."""
    scheme, ending = spec.partition("://")[0], ending_of(spec)
    if scheme not in REMOTE:
        known = ", ".join(f"{one}://" for one in REMOTE)
        fix = f"Download the files first, and give their folder. Read as they lie: {known}."
        raise DataError(f"addresses that begin with {scheme}:// are not read.", where=spec, fix=fix)
    if format_of(spec) not in ("parquet", "arrow") and ending != ".csv":
        fix = "Give the address of a .parquet, .arrow or .csv file, or a glob of these; or copy the files."
        raise DataError("is not a table that is read where it lies.", where=spec, fix=fix)


class TablePath(str):
    """The path of one of several tables: its rows are named as among all of them."""

    root: Path  # the folder that all are in
    of: str  # the folder or glob that was typed


def tables_of(spec: str | Path, most: float = float("inf")) -> list[TablePath]:
    """The tables of a folder or glob, sorted, of at most so many bytes together; none of other files."""
    path, text, made = Path(spec), str(spec), list[TablePath]()
    try:
        if is_address(text) or path.is_file() or not (is_glob(text) or path.is_dir()):
            return []
    except (OSError, ValueError):  # said in words where the path is read
        return []
    root, shown = _files_at(path)
    tables = [one for one in shown if format_of(one.name) and one.suffix.lower() not in ALONE]
    if path.is_dir() and len(tables) < len([one for one in shown if one.suffix.lower() not in (*ALONE, ".json")]):
        return []
    if len({one.suffix.lower() for one in tables}) > 1 or sum(one.stat().st_size for one in tables) > most:
        return []
    for one in tables:
        made.append(TablePath(os.path.abspath(one)))
        made[-1].root, made[-1].of = Path(os.path.abspath(root)), text
    return made


def read_tables(parts: list[TablePath], roles: ColumnRoles) -> Raw:
    """The rows of several tables of the same columns; without ids a row is named by its file and its place in it."""
    frames, notes, root = [], dict[str, None](), parts[0].root
    for path in map(Path, parts):
        frame, said = read_table(path, roles, empty=True)
        if frames and frame.columns != frames[0].columns:
            fix = "Give all files the same columns, in the same order."
            raise DataError(f"has other columns than {Path(parts[0]).name}.", where=str(path), fix=fix)
        frames.append(frame)
        notes |= dict.fromkeys(said)
    titles = [Path(path).relative_to(root).as_posix() for path in parts]
    names = [f"{title}:{row}" for title, one in zip(titles, frames) for row in range(len(one))]
    with polars_errors(str(root)):
        whole = pl.concat(frames, how="vertical_relaxed")
    raw = rows_of(whole, roles, str(root), np.array(names))
    raw.notes = (*notes, *raw.notes)
    return raw


# --- a file, a folder or an object as a whole ---


def read_path(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of a file or folder."""
    where = str(path)
    with file_errors(where), readable(where):
        return with_roles(_read_folder(path, roles) if path.is_dir() else _read_file(path, roles), roles, where)


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
    if anndata.is_annotated(value):
        return anndata.from_annotated(value, roles, where)
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


def check_numeric(x: np.ndarray | SparseRows | None, where: str) -> None:
    """Refuse what cannot be rows of numbers: objects, text, complex numbers, dates; no rows; no columns."""
    if x is None:
        fix = "Give rows of numbers, or a table of columns."
        raise DataError("holds rows of text, which are taken by themselves alone.", where=where, fix=fix)
    if x.dtype.kind not in "biuf":
        kinds = {"O": "Python objects", "U": "text", "S": "text", "c": "complex numbers", "M": "dates", "m": "times"}
        what = f"holds {kinds.get(x.dtype.kind, f'values of type {x.dtype}')}, not numbers."
        raise DataError(what, where=where, fix="Turn it into numbers: np.asarray(x, 'float32').")
    if x.ndim < 2:
        fix = "One value a row? Then give x[:, None]."
        raise DataError(f"has shape {x.shape}; rows and columns are needed.", where=where, fix=fix)
    if x.size == 0:
        raise DataError(f"has shape {x.shape}: there is nothing in it.", where=where, fix="Give at least one row.")


def _read_folder(folder: Path, roles: ColumnRoles) -> Raw:
    fix = "Its labels are known: label files next to MNIST-named images, names of subfolders of pictures."
    no_roles(roles, str(folder), fix, "a folder has")
    if (files := idx_folder(folder)) is not None:
        return read_idx_folder(folder, files)
    if pictures_of(folder).pictures:
        return joined(_picture_parts(folder, roles))
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
    for endings, (why, fix) in _OTHERS.items():
        if name.endswith(endings) and (roles.refuses or endings is not pictures.ENDINGS):
            raise DataError(why, where=where, fix=fix)
    for row in FORMATS.values():
        if row.whole and name.endswith(row.endings):
            return row.whole(path, roles)
    *known, last = (row.shown for row in FORMATS.values() if row.whole)
    fix = f"{_CONVERT} Or read it in Python and give latens.read the array or the frame."
    raise DataError(f"is of no known format. Known: {', '.join(known)}, {last}.", where=where, fix=fix)
