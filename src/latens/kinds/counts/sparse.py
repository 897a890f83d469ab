"""Rows of a sparse matrix, kept as they are: only the rows that are asked for become an array."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from latens.data.row_fields import Raw, damaged, readable
from latens.errors import DataError, ResourceError
from latens.runtime.file_limits import unpacked

SMALL = 2**24
"""A matrix with up to so many cells becomes an array at once: 64 MB in single precision."""

MOST_DENSE = 2**28
"""Cells of the rows that become an array at a time, at the most: 1 GB in single precision."""

_GROUPS, _CELLS = 8, 2**19


class SparseRows:
    """The rows of a SciPy sparse matrix, as far as an array of shape (n, D) is asked of them."""

    # Rows that are indexed become an array; all of them only where they have at most 2^28 cells.

    ndim = 2

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.shape: tuple[int, int] = tuple(map(int, matrix.shape))  # type: ignore[assignment]
        self.dtype: np.dtype = matrix.dtype
        self.size = self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Some rows as an array, `x[rows]` and `x[row]`, or single cells, `x[rows, columns]`."""
        if isinstance(key, tuple):
            return np.asarray(self.matrix[key]).reshape(-1)
        if np.ndim(key) == 0 and not isinstance(key, slice):
            if not -len(self) <= int(key) < len(self):
                raise IndexError(f"row {key} of {len(self)}")
            return self._dense(self.matrix[[int(key) % len(self)]])[0]
        return self._dense(self.matrix[key])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        found = self._dense(self.matrix)
        return found if dtype is None else found.astype(dtype, copy=False)

    def _dense(self, matrix: Any) -> np.ndarray:
        cells = int(matrix.shape[0]) * int(matrix.shape[1])
        if cells > MOST_DENSE:
            raise ResourceError(
                f"{matrix.shape[0]} rows of {matrix.shape[1]} columns are sparse, and all at once as an array would "
                f"take {cells * self.dtype.itemsize} bytes.",
                where="data",
                fix=f"Give at most {MOST_DENSE // max(1, self.shape[1])} rows, or fewer columns.",
            )
        return matrix.toarray()

    def cells(self) -> Iterator[np.ndarray]:
        """Go through the cells that are stored, some at a time, and one 0 where others are not."""
        stored = self.matrix.data
        yield from np.array_split(stored, max(1, -(-len(stored) // _CELLS))) if len(stored) else ()
        if len(stored) < self.size:
            yield np.zeros(1, self.dtype)

    def place(self, stored: int) -> tuple[int, int]:
        """The row and the column of a stored cell."""
        row = int(np.searchsorted(self.matrix.indptr, stored, side="right")) - 1
        return row, int(self.matrix.indices[stored])

    def take(self, rows: np.ndarray, axis: int = 0) -> "SparseRows":
        """Some of the rows, which stay sparse."""
        assert axis == 0
        return SparseRows(self.matrix[rows])

    def columns_at(self, columns: list[int]) -> "SparseRows":
        """All rows with some columns, in this order."""
        return SparseRows(self.matrix[:, columns].tocsr())

    def columns(self) -> Iterator[np.ndarray]:
        """Go through the columns as arrays; beside the rows an eighth of them is held once more."""
        step = -(-self.shape[1] // _GROUPS)
        for start in range(0, self.shape[1], step):
            group = self.matrix[:, start : start + step].tocsc()
            for j in range(group.shape[1]):
                own = slice(group.indptr[j], group.indptr[j + 1])
                column = np.zeros(len(self), self.dtype)
                column[group.indices[own]] = group.data[own]
                yield column

    def of_values(self, function: Callable[[np.ndarray], np.ndarray]) -> "SparseRows":
        """The rows after a function of each cell that leaves 0 as it is."""
        made = type(self.matrix)((function(self.matrix.data), self.matrix.indices, self.matrix.indptr), self.shape)
        made.has_canonical_format = True
        return SparseRows(made)

    def astype(self, dtype: DTypeLike) -> "SparseRows":
        """The rows with cells of another type."""
        return self if self.dtype == dtype else self.of_values(lambda values: values.astype(dtype))

    def reshape(self, *shape: int) -> "SparseRows":
        """The rows as they are, which have one axis each."""
        assert shape == (len(self), -1)
        return self

    def min(self, axis: int | None = None) -> Any:
        """The least cell."""
        return self.matrix.min() if axis is None else self.matrix.min(axis=0).toarray().reshape(-1)

    def max(self, axis: int | None = None) -> Any:
        """The largest cell."""
        return self.matrix.max() if axis is None else self.matrix.max(axis=0).toarray().reshape(-1)


def columns_of(x: "np.ndarray | SparseRows") -> Iterable[np.ndarray]:
    """The columns of rows."""
    return x.columns() if isinstance(x, SparseRows) else x.T


def is_sparse(value: object) -> bool:
    """Say whether this is a SciPy sparse matrix or array, without importing SciPy."""
    return hasattr(value, "toarray") and hasattr(value, "nnz") and hasattr(value, "format")


def sparse_rows(matrix: Any, where: str) -> Any:
    """Keep a sparse matrix as rows, with duplicate entries summed; a small one becomes an array."""
    import scipy.sparse

    if len(matrix.shape) != 2:
        fix = "Give a matrix of rows and columns."
        raise DataError(f"is a sparse array of shape {tuple(matrix.shape)}.", where=where, fix=fix)
    rows = scipy.sparse.csr_array(matrix)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    kept = SparseRows(rows)
    return rows.toarray() if kept.size <= SMALL else kept


def rows_of_file(matrix: Any, where: str) -> Any:
    """Keep a sparse matrix from a file as rows, after SciPy's check that its arrays fit together."""
    # SciPy's own readers look at no index, and its loops in C trust each of them.
    with readable(where):
        if matrix.format in ("csr", "csc", "bsr"):
            matrix.check_format(full_check=True)
        if matrix.shape[0] > 2**20 + 1000 * matrix.nnz:  # empty rows take memory on the file's word alone
            raise damaged(where, f"declares {matrix.shape[0]} rows for {matrix.nnz} cells.")
        return sparse_rows(matrix, where)


def holds_matrix(archive: Any) -> bool:
    """Say whether an archive was written by `scipy.sparse.save_npz`."""
    return {"format", "shape", "data"} <= set(archive.keys) and bool({"indices", "row", "coords"} & set(archive.keys))


def read_matrix(path: Path) -> Raw:
    """Read the rows of a file that `scipy.sparse.save_npz` wrote."""
    import scipy.sparse

    with readable(str(path)):
        return Raw(rows_of_file(scipy.sparse.load_npz(path), str(path)))


def read_market(path: Path) -> Raw:
    """Read the rows of a Matrix Market file."""
    import scipy.io

    with readable(str(path)), unpacked(path) as (stream, packed):
        found = scipy.io.mmread(stream if packed else path, spmatrix=False)
    return Raw(found if isinstance(found, np.ndarray) else rows_of_file(found, str(path)))
