"""Sparse matrices in files: SciPy's .npz and Matrix Market (.mtx, .mtx.gz), read by SciPy."""

from pathlib import Path
from typing import Any

import numpy as np

from latens.data.raw import Raw, readable
from latens.kinds.counts.sparse import rows_of_file


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

    with readable(str(path)):
        found = scipy.io.mmread(path, spmatrix=False)
    return Raw(found if isinstance(found, np.ndarray) else rows_of_file(found, str(path)))
