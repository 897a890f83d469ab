"""Which reader a file, folder or object belongs to. Files are told by their first bytes, then by their name."""

import errno
import gzip
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, Raw, damaged, with_roles
from latens.data.readers import anndata as annotated
from latens.data.readers import hdf5, idx, sparse
from latens.data.readers import images as image_folder
from latens.data.readers import npz as arrays
from latens.data.readers.csv import read_csv
from latens.data.readers.tables import from_frame, is_frame, read_parquet
from latens.data.rows import unmasked
from latens.data.sparse import is_sparse, sparse_rows
from latens.errors import DataError, ResourceError

TEXT_NAMES = (".csv", ".tsv", ".txt", ".dat", ".data", ".csv.gz", ".tsv.gz", ".txt.gz", ".data.gz")

_CONVERT = "Convert it: np.savez('data.npz', x=rows, y=labels)."
_OTHERS = {
    (
        ".pkl",
        ".pickle",
        ".pt",
        ".pth",
        ".joblib",
    ): "a pickle can run code when it is opened, so latens never reads one.",
    (".mat",): "this format is not read.",
    (".zarr",): "a Zarr store is a folder, and this is a file.",
    (".xls", ".xlsx", ".ods"): "spreadsheets are not read.",
    (
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".tif",
        ".tiff",
        ".bmp",
        ".webp",
    ): "single pictures are not read, a folder of them is.",
    (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz"): "archives are not read.",
}
# What the readers below (zipfile, gzip, struct, NumPy, the csv module) raise for damaged bytes.
_DAMAGE = (
    ValueError, EOFError, KeyError, IndexError, OverflowError, RuntimeError, NotImplementedError, struct.error,
    zlib.error, zipfile.BadZipFile, gzip.BadGzipFile,
)  # fmt: skip


def read_path(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of a file or folder."""
    # Known: .npy, .npz (also of SciPy's sparse matrices), .mtx (also .gz), IDX (gzipped or not), a folder with
    # MNIST-named IDX files or with images, text tables (.csv, .tsv, .txt, also .gz), .parquet, HDF5 (.h5, .hdf5),
    # AnnData (.h5ad).
    where = str(path)
    try:
        return with_roles(_read_folder(path, roles) if path.is_dir() else _read_file(path, roles), roles, where)
    except (DataError, ResourceError):
        raise
    except MemoryError:
        raise ResourceError("does not fit into memory.", where=where, fix="Use fewer rows.") from None
    except FileNotFoundError:
        raise DataError("no such file or folder.", where=where, fix="Check the path.") from None
    except PermissionError:
        raise ResourceError("may not be read.", where=where, fix="Give yourself permission to read it.") from None
    except _DAMAGE as error:
        raise damaged(where, f"cannot be read ({type(error).__name__}: {str(error)[:100]}).") from None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # an archive that points before its own start
            raise damaged(where, "cannot be read: its parts are not where it says.") from None
        fix = "Check the disk or the network that it lies on, or copy it to another place."
        raise ResourceError(f"cannot be read ({error.strerror or str(error)[:100]}).", where=where, fix=fix) from None


def read_object(value: Any, roles: ColumnRoles, where: str) -> Raw:
    """Read the rows of an array, a nested list, a sparse matrix, a pandas or polars frame or an AnnData object."""
    if is_frame(value):
        return from_frame(value, roles, where)
    if annotated.is_annotated(value):
        return annotated.from_annotated(value, roles, where)
    if is_sparse(value):
        return with_roles(Raw(sparse_rows(value, where)), roles, where)
    try:
        array = np.asarray(unmasked(value))
    except (ValueError, TypeError):
        raise DataError("is no array: its rows differ in length.", where=where, fix="Give rows of one shape.") from None
    return with_roles(Raw(array), roles, where)


def check_numeric(x: Any, where: str) -> None:
    """Refuse what cannot be rows of numbers: objects, text, complex numbers, dates; no rows; no columns."""
    if x.dtype.kind not in "biuf":
        kinds = {"O": "Python objects", "U": "text", "S": "text", "c": "complex numbers", "M": "dates", "m": "times"}
        what = kinds.get(x.dtype.kind, f"values of type {x.dtype}")
        raise DataError(
            f"holds {what}, not numbers.", where=where, fix="Turn it into numbers: np.asarray(x, 'float32')."
        )
    if x.ndim < 2:
        fix = "One value a row? Then give x[:, None]."
        raise DataError(f"has shape {x.shape}; rows and columns are needed.", where=where, fix=fix)
    if x.size == 0:
        raise DataError(f"has shape {x.shape}: there is nothing in it.", where=where, fix="Give at least one row.")


def _read_folder(folder: Path, roles: ColumnRoles) -> Raw:
    if asked := roles.asked():
        fix = "Its labels are known: label files beside MNIST-named images, names of subfolders of pictures."
        raise DataError(f"a folder has no column {next(iter(asked.values()))!r}.", where=str(folder), fix=fix)
    files = idx.idx_folder(folder)
    if files is not None:
        return idx.read_idx_folder(folder, files)
    found = image_folder.find_pictures(folder)
    if found.pictures:
        return image_folder.read_pictures(folder, found)
    inside = sorted(entry.name for entry in folder.iterdir())[:8]
    raise DataError(
        f"this folder has no pictures and no train-images-idx3-ubyte(.gz); it holds {', '.join(inside) or 'nothing'}.",
        where=str(folder),
        fix="Give one of its files, a folder of pictures, or one with the four MNIST-named IDX files.",
    )


def _read_hdf5(path: Path, roles: ColumnRoles) -> Raw:
    """Rows of an HDF5 file."""
    # In a plain one: x, data, images or features, or its only array of numbers with two axes or more; labels y, label
    # or labels. A dataset in a group has a path: --label group/y.
    store = hdf5.Store(path)
    try:
        return annotated.read_h5ad(store, roles) if store.is_annotated else arrays.from_archive(store, roles)
    finally:
        store.close()


def _read_file(path: Path, roles: ColumnRoles) -> Raw:
    where, name = str(path), path.name.lower()
    if not path.exists():
        raise FileNotFoundError
    if not path.is_file():
        raise DataError("is no regular file.", where=where, fix="Give a file.")
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise DataError("is empty.", where=where, fix="Give a file with at least one row.")
    if start[:6] == arrays.MAGIC:
        return Raw(arrays.read_npy(path))
    if start[:4] == b"PK\x03\x04" and not name.endswith((".xlsx", ".ods", ".zip", ".pt", ".pth")):
        return arrays.read_npz(path, roles)
    if start == sparse.MARKET[:8]:
        return sparse.read_market(path)
    if start[:4] == b"PAR1":
        return read_parquet(path, roles)
    if start == hdf5.MAGIC:
        return _read_hdf5(path, roles)
    if idx.is_idx(start):
        return Raw(idx.read_idx(path))
    if start[:2] == b"\x1f\x8b":
        with gzip.open(path) as stream:
            inner = stream.read(4)
        if idx.is_idx(inner):
            return Raw(idx.read_idx(path))
        if inner == sparse.MARKET[:4]:
            return sparse.read_market(path)
        name = name if name.endswith(TEXT_NAMES) or not name.endswith(".gz") else name.removesuffix(".gz")
    for endings, why in _OTHERS.items():
        if name.endswith(endings):
            raise DataError(f"{why[0].upper()}{why[1:]}", where=where, fix=_CONVERT)
    for ending in (".npy", ".npz", ".mtx", ".parquet", ".h5", ".hdf5", ".h5ad"):
        if name.endswith(ending):
            raise damaged(where, f"does not begin like a {ending} file.")
    if "idx" in name and "ubyte" in name:
        raise damaged(where, "does not begin like an IDX file.")
    if name.endswith(TEXT_NAMES):
        return read_csv(path, roles)
    known = ".npy, .npz, .mtx, IDX, .csv, .tsv, .txt (also .gz), .parquet, .h5 and .h5ad"
    raise DataError(f"is of no known format. Known: {known}.", where=where, fix=_CONVERT)
