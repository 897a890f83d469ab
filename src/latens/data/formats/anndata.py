"""AnnData: a matrix of cells by genes with annotations, from memory or from a .h5ad file.

The file is read with h5py alone, by the documented format (https://anndata.readthedocs.io/en/stable/fileformat-prose.html):
X dense or as CSR or CSC, `obs` and `var` as columns with an index.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from latens.data.formats.tables import check_column_names, frame_column
from latens.data.raw import ColumnRoles, Raw, damaged
from latens.data.rows import unmasked
from latens.data.sparse import compressed, is_sparse, sparse_rows
from latens.errors import DataError, nearest

if TYPE_CHECKING:
    from latens.data.formats.hdf5 import Store

_REWRITE = "Write it again with anndata 0.8 or newer: anndata.read_h5ad(path).write_h5ad(new)."


def is_annotated(value: Any) -> bool:
    """Say whether this is an AnnData object, without importing anndata."""
    return type(value).__name__ == "AnnData" and type(value).__module__.split(".")[0] == "anndata"


def from_annotated(value: Any, roles: ColumnRoles, where: str) -> Raw:
    """Read the rows of an AnnData object: X, with obs_names as row ids and var_names as columns."""
    if getattr(value, "isbacked", False):
        raise DataError("is still on disk.", where=where, fix="Load it first: adata.to_memory(), or give its path.")
    if value.X is None:
        raise DataError("has no X.", where=where, fix="Set it: adata.X = adata.layers['counts'].")
    matrix = value.X
    x = sparse_rows(matrix, where) if is_sparse(matrix) else np.asarray(unmasked(matrix))
    columns = [str(name) for name in value.obs.columns]
    picked = {
        role: frame_column(value.obs.iloc[:, columns.index(name)]) for role, name in _asked(columns, roles, where)
    }
    return _raw(x, picked, [str(v) for v in value.obs_names], [str(v) for v in value.var_names], where, roles)


def read_h5ad(store: "Store", roles: ColumnRoles) -> Raw:
    """Read the rows of an open .h5ad file."""
    where = store.where
    for name in ("obs", "var", "X"):
        if store.file.get(name, getlink=True) is None:
            raise damaged(where, f"has no {name}, which every AnnData file with data has.", _REWRITE)
    obs, var = store.item("obs"), store.item("var")
    if not store.is_group(obs) or not store.is_group(var):
        raise DataError("is written by an anndata older than 0.7.", where=where, fix=_REWRITE)
    skipped = ("__categories", store.attribute(obs, "_index"))
    columns = [name for name in obs if name not in skipped]
    picked = {role: _column(store, obs, f"obs/{name}") for role, name in _asked(columns, roles, where)}
    names, genes = _index(store, obs, "obs"), _index(store, var, "var")
    return _raw(store.matrix() if store.stays else _matrix(store), picked, names, genes, where, roles)


def _asked(columns: Sequence[str], roles: ColumnRoles, where: str) -> list[tuple[str, str]]:
    for name in roles.asked().values():
        if name not in columns:
            hint = nearest(name, columns) if columns else "It has none: leave --label and --id out."
            raise DataError(f"obs has no column {name!r}.", where=where, fix=hint)
    return list(roles.asked().items())


def _raw(x: Any, picked: dict[str, Any], names: Any, columns: Sequence[str], where: str, roles: ColumnRoles) -> Raw:
    if x.ndim != 2 or x.shape != (len(names), len(columns)):
        raise damaged(where, f"X has shape {x.shape}, for {len(names)} names in obs and {len(columns)} in var.")
    check_column_names(columns, where, "Run adata.var_names_make_unique().")
    ids = picked.get("row_id")
    if ids is None and len(set(names)) != len(names):
        fix = "Run adata.obs_names_make_unique(), or name a column of ids with --id."
        raise DataError("two rows have the same name in obs.", where=where, fix=fix)
    ids = np.array(names) if ids is None else ids
    label_name = roles.asked().get("label")
    return Raw(x, picked.get("label"), ids, picked.get("weight"), tuple(columns), label_name=label_name)


def _index(store: "Store", group: Any, name: str) -> list[str]:
    key = store.attribute(group, "_index")
    if not isinstance(key, str):
        raise damaged(f"{store.where}[{name}]", "has no index.", _REWRITE)
    return [str(v) for v in _column(store, group, f"{name}/{key}").tolist()]


def _column(store: "Store", group: Any, path: str) -> np.ndarray:
    """One column of obs or var: plain, categorical (also as before 0.8) or with missing values."""
    item = store.item(path)
    if not store.is_group(item):
        values = store.array(item, path)
        parent, name = path.rsplit("/", 1)
        if store.is_group(group) and "__categories" in group and name in store.item(f"{parent}/__categories"):
            return _decoded(values, store[f"{parent}/__categories/{name}"], store.where, path)
        return values
    encoding = store.attribute(item, "encoding-type")
    if encoding == "categorical":
        return _decoded(store[f"{path}/codes"], store[f"{path}/categories"], store.where, path)
    if isinstance(encoding, str) and encoding.startswith("nullable-"):
        values, missing = store[f"{path}/values"], store[f"{path}/mask"]
        if missing.dtype != bool or missing.shape != values.shape:
            raise damaged(f"{store.where}[{path}]", "the mask does not belong to the values.")
        return np.array(["" if gone else str(v) for v, gone in zip(values.tolist(), missing)], dtype=str)
    what = f"a column of encoding {str(encoding)[:40]!r} is not used."
    raise DataError(what, where=f"{store.where}[{path}]", fix="Make it a column of numbers, text or categories.")


def _decoded(codes: np.ndarray, categories: np.ndarray, where: str, path: str) -> np.ndarray:
    if codes.dtype.kind not in "iu" or codes.ndim != 1 or (codes.size and int(codes.max()) >= len(categories)):
        raise damaged(f"{where}[{path}]", "the codes do not belong to the categories.")
    words = np.array([*(str(v) for v in categories.tolist()), ""], dtype=str)
    return words[np.where(codes < 0, len(categories), codes)]


def _matrix(store: "Store") -> Any:
    item, where = store.item("X"), f"{store.where}[X]"
    if not store.is_group(item):
        return store.array(item, "X")
    encoding, shape = store.attribute(item, "encoding-type"), store.attribute(item, "shape")
    if (
        encoding not in ("csr_matrix", "csc_matrix")
        or not isinstance(shape, np.ndarray)
        or shape.shape != (2,)
        or shape.dtype.kind not in "iu"
    ):
        raise DataError("is neither a dense nor a CSR or CSC matrix.", where=where, fix=_REWRITE)
    data, indices, indptr = (store[f"X/{name}"] for name in ("data", "indices", "indptr"))
    found = compressed(str(encoding)[:3], data, indices, indptr, (int(shape[0]), int(shape[1])))
    if found is None:
        raise damaged(where, "its data, indices and indptr do not make a sparse matrix.")
    return sparse_rows(found, where)
