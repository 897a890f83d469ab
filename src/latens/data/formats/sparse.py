"""Sparse matrices in files: SciPy's .npz and Matrix Market (.mtx, .mtx.gz), read as their stored cells alone."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.raw import MAX_BYTES, Raw, damaged, unpacked
from latens.data.sparse import compressed, most_rows, sparse_rows
from latens.errors import DataError, ResourceError

MARKET = b"%%MatrixMarket"
_STEP = 2**20
_TO_CSR = "Write it as CSR: scipy.sparse.save_npz(path, matrix.tocsr())."


def holds_matrix(archive: Any) -> bool:
    """Say whether an archive was written by `scipy.sparse.save_npz`."""
    return {"format", "shape", "data"} <= set(archive.keys) and bool({"indices", "row", "coords"} & set(archive.keys))


def read_matrix(archive: Any) -> Raw:
    """Read the rows of a file that `scipy.sparse.save_npz` wrote: CSR, CSC or COO."""
    where, keys = archive.where, set(archive.keys)
    words, shape = archive["format"], archive["shape"]
    name = str(words.reshape(-1)[0])[:20] if words.size == 1 and words.dtype.kind == "U" else ""
    if words.size == 1 and words.dtype.kind == "S":
        name = words.reshape(-1)[0].decode("ascii", "replace")[:20]
    if name not in ("csr", "csc", "coo"):
        raise DataError(f"holds a sparse matrix in the format {name!r}.", where=where, fix=_TO_CSR)
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise DataError("holds a sparse array that is not a matrix.", where=where, fix="Give rows and columns.")
    size = (int(shape[0]), int(shape[1]))
    wrong = damaged(where, "its arrays do not make a sparse matrix.")
    if name == "coo":
        places = archive["coords"] if "coords" in keys else None
        if places is None and not {"row", "col"} <= keys:
            raise wrong
        row, column = places if places is not None and len(places) == 2 else (archive["row"], archive["col"])
        return Raw(sparse_rows(_from_places(archive["data"], row, column, size, wrong), where))
    if not {"indices", "indptr"} <= keys:
        raise wrong
    found = compressed(name, archive["data"], archive["indices"], archive["indptr"], size)
    if found is None:
        raise wrong
    return Raw(sparse_rows(found, where))


def _from_places(
    data: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int], wrong: DataError
) -> Any:
    import scipy.sparse

    if shape[0] > most_rows(len(data)):
        raise wrong
    for places, most in zip((row, column), shape):
        if places.shape != data.shape or places.ndim != 1 or places.dtype.kind not in "iu":
            raise wrong
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) < most:
            raise wrong
    return scipy.sparse.coo_array((data, (row, column)), shape=shape)


def read_market(path: Path) -> Raw:
    """Read the rows of a Matrix Market file of coordinates: real, integer or pattern; general or symmetric."""
    where = str(path)
    with unpacked(path) as (stream, _):
        head = stream.readline(_STEP).decode("ascii", "replace").lower().split()
        if len(head) != 5 or head[1] != "matrix":
            raise damaged(where, "does not begin like a Matrix Market file.")
        if head[2] != "coordinate":
            fix = "Write it as .npy, or sparse: scipy.io.mmwrite(path, scipy.sparse.coo_array(x))."
            raise DataError(f"holds a matrix of the form {head[2][:20]!r}, which is dense.", where=where, fix=fix)
        if head[3] not in ("real", "integer", "pattern") or head[4] not in ("general", "symmetric"):
            kinds = "real, integer and pattern ones are read, general or symmetric"
            what = f"holds {head[3][:20]} {head[4][:20]} entries; {kinds}."
            raise DataError(what, where=where, fix="Write real numbers: scipy.io.mmwrite(path, matrix.real).")
        line = stream.readline(_STEP)
        while line.startswith(b"%") or (line and not line.strip()):
            line = stream.readline(_STEP)
        sizes = line.split()
        if len(sizes) != 3 or not all(word.isdigit() for word in sizes):
            raise damaged(where, "has no line with its rows, columns and entries.")
        rows, columns, entries = map(int, sizes)
        parts = _entries(stream, 2 if head[3] == "pattern" else 3, entries, where)
    row, column = parts[0] - 1, parts[1] - 1
    data = np.ones(len(row), np.uint8) if head[3] == "pattern" else parts[2]
    if head[4] == "symmetric":
        off = row != column
        pairs = ((row, column), (column, row), (data, data))
        row, column, data = (np.concatenate([one, other[off]]) for one, other in pairs)
    wrong = damaged(where, f"an entry lies outside of its {rows} rows and {columns} columns.")
    return Raw(sparse_rows(_from_places(data, row, column, (rows, columns), wrong), where))


def _entries(stream: Any, width: int, entries: int, where: str) -> list[np.ndarray]:
    """The numbers of all lines, a part of the file at a time: places as int32, cells as float64."""
    found: list[list[np.ndarray]] = [[] for _ in range(width)]
    count, held, rest = 0, 0, b""
    while True:
        block = stream.read(_STEP)
        text, rest = (rest + block).rpartition(b"\n")[::2] if block else (rest, b"")
        held += len(block)
        if held > MAX_BYTES:
            raise ResourceError(f"holds more than {MAX_BYTES} bytes.", where=where, fix="Use fewer rows.")
        try:
            values = np.loadtxt(io.BytesIO(text), ndmin=2, comments="%") if text.strip() else np.zeros((0, width))
        except ValueError:
            raise damaged(where, f"one of the lines of entry {count + 1} and the next is not an entry.") from None
        count += len(values)
        if values.shape[1] != width or count > entries or not np.all(values[:, :2] == np.floor(values[:, :2])):
            raise damaged(where, f"has other entries than the {entries} of {width} numbers that it declares.")
        if len(values) and not (values[:, :2].min() >= 1 and values[:, :2].max() < 2**31):
            raise damaged(where, "an entry is in no row or no column; they are counted from 1.")
        for i, part in enumerate(found):
            part.append(values[:, i].astype(np.int32) if i < 2 else values[:, i].copy())
        if not block:
            break
    if count != entries:
        raise damaged(where, f"has {count} entries; it declares {entries}.")
    return [np.concatenate(part) for part in found]
