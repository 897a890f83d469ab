"""AnnData: a matrix of cells by genes with annotations, from memory or from a .h5ad file.

The file is read with h5py alone, by the documented format (https://anndata.readthedocs.io/en/stable/fileformat-prose.html):
X dense or as CSR or CSC, `obs` and `var` as columns with an index.
"""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from latens.data.infer import store_numbers
from latens.data.row_fields import ColumnRoles, LackingColumn, Raw, damaged, readable, unmasked
from latens.data.schema import Schema
from latens.errors import DataError, nearest
from latens.kinds.base import Stored
from latens.kinds.counts.sparse import SparseRows, is_sparse, rows_of_file, sparse_rows
from latens.kinds.tables.frame import check_names, from_pandas
from latens.kinds.tables.infer_columns import plain_cells

if TYPE_CHECKING:
    from latens.data.loading import IncomingRows
    from latens.kinds.numbers.hdf5 import Store


CODES = "obsm/X_latens"
"""Where posterior means stand in a copy of a file."""
_REWRITE = "Write it again with anndata 0.8 or newer: anndata.read_h5ad(path).write_h5ad(new)."


def is_annotated(value: object) -> bool:
    """Say whether this is an AnnData object, without importing anndata."""
    return type(value).__name__ == "AnnData" and type(value).__module__.split(".")[0] == "anndata"


def from_annotated(value: Any, roles: ColumnRoles, where: str) -> Raw:
    """Read the rows of an AnnData object: X, with obs_names as row ids and var_names as columns."""
    if getattr(value, "isbacked", False):
        raise DataError("is still on disk.", where=where, fix="Load it first: adata.to_memory(), or give its path.")
    layers = [str(name) for name in getattr(value, "layers", None) or ()]
    columns = [str(name) for name in value.obs.columns]

    def matrix() -> Any:
        found = value.X if roles.layer is None else value.layers[roles.layer]
        if found is None:
            raise DataError("has no X.", where=where, fix="Name a layer (layer='counts'), or set adata.X.")
        return sparse_rows(found, where) if is_sparse(found) else np.asarray(unmasked(found))

    def column(name: str) -> np.ndarray:
        return plain_cells(from_pandas(value.obs[[value.obs.columns[columns.index(name)]]], where).to_series())

    names, genes = ([str(name) for name in index] for index in (value.obs_names, value.var_names))
    return _counted(_cells(matrix, names, genes, columns, column, layers, roles, where), layers, roles)


def read_h5ad(store: "Store", roles: ColumnRoles) -> Raw:
    """Read the rows of an open .h5ad file."""
    key, where = "X" if roles.layer is None else f"layers/{roles.layer}", store.where
    for name in ("obs", "var", "X")[: 3 if roles.layer is None else 2]:
        if name not in store.items:
            raise damaged(where, f"has no {name}, which every AnnData file with data has.", _REWRITE)
    obs, var = store.item("obs"), store.item("var")
    layers = [name.removeprefix("layers/") for name in store.items if re.fullmatch("layers/[^/]+", name)]
    if not store.is_group(obs) or not store.is_group(var):
        raise DataError("is written by an anndata older than 0.7.", where=where, fix=_REWRITE)

    def matrix() -> Any:
        return _matrix(store, key)

    def column(name: str) -> np.ndarray:
        return _column(store, obs, f"obs/{name}")

    names, genes = _index(store, obs, "obs"), _index(store, var, "var")
    columns = [name for name in obs if name not in ("__categories", store.attribute(obs, "_index"))]
    made = _cells(matrix, names, genes, columns, column, layers, roles, where)
    return made if store.stays else _counted(made, layers, roles)


def _cells(
    matrix: Callable[[], Any],
    names: Sequence[str],
    genes: Sequence[str],
    columns: Sequence[str],
    column: Callable[[str], np.ndarray],
    layers: Sequence[str],
    roles: ColumnRoles,
    where: str,
) -> Raw:
    """The rows of a matrix with names of its rows and columns, and what was asked for of the columns of obs."""
    if roles.layer is not None and roles.layer not in layers:
        fix = nearest(roles.layer, layers) if layers else "It has none: leave --layer out."
        raise DataError(f"has no layer {roles.layer!r}.", where=where, fix=fix)
    asked = roles.asked()
    for name in asked.values():
        if name not in columns:
            hint = nearest(name, columns) if columns else "It has none: leave --label and --id out."
            raise LackingColumn(f"obs has no column {name!r}.", where=where, fix=hint)
    x, picked = matrix(), {role: column(name) for role, name in asked.items()}
    if x.ndim != 2 or x.shape != (len(names), len(genes)):
        raise damaged(where, f"X has shape {x.shape}, for {len(names)} names in obs and {len(genes)} in var.")
    check_names(genes, where, "Run adata.var_names_make_unique().")
    ids = picked.get("row_id")
    if ids is None and len(set(names)) != len(names):
        fix = "Run adata.obs_names_make_unique(), or name a column of ids with --id."
        raise DataError("two rows have the same name in obs.", where=where, fix=fix)
    ids = np.array(names) if ids is None else ids
    # Conditions that are genes stay such.
    missing = [name for name in roles.beside if name not in columns and name not in genes]
    if missing and roles.refuses:
        hint = nearest(missing[0], columns) if columns else "obs has no columns."
        raise DataError(f"obs has no column {missing[0]!r}, a condition.", where=where, fix=hint)
    beside = {name: column(name) for name in roles.beside if name in columns}
    label, weight = picked.get("label"), picked.get("weight")
    return Raw(x, label, ids, weight, tuple(genes), label_name=asked.get("label"), beside=beside)


def with_genes(raw: Raw, schema: Schema, unknown: str, where: str, layer: str | None = None) -> np.ndarray | None:
    """Bring counts of cells to the genes of a model, by name; those of other genes are left out, with a note."""
    # layer: the name of the matrix that was read, None for X.
    # returns: true where a gene was counted, where genes are missing and `unknown` allows that; else None.
    if not _whole(raw.x):
        fix = "Give the counts, as the training cells had them."
        if raw.layers:
            fix = f"Name the layer with the counts: --layer {raw.layers[0]} (in Python layer={raw.layers[0]!r})."
        raise DataError(f"{_matrix_of(layer)} {_FRACTIONS}; the model is of counts.", where=where, fix=fix)
    wanted, have = schema.names, list(raw.columns or ())
    place = {name: at for at, name in enumerate(have)}
    lacking = [name for name in wanted if name not in place]
    if len(lacking) == len(wanted):
        what = f"has none of the model's {len(wanted)} genes; the model has {wanted[0]!r}, and these rows {have[0]!r}."
        raise DataError(what, where=where, fix="Name genes as the model does: adata.var_names = ...")
    if lacking and unknown != "missing":
        some = ", ".join(map(repr, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
        what = f"lacks {len(lacking)} of the model's {len(wanted)} genes: {some}."
        fix = "Add them (with counts of 0 where they were looked for); or take them as missing: --unknown missing"
        fix += " (in Python unknown='missing')."
        raise DataError(what, where=where, fix=fix)
    if extra := len(have) - (len(wanted) - len(lacking)):
        words = "gene that the model does not know is" if extra == 1 else "genes that the model does not know are"
        raw.notes += (f"{extra} {words} left out",)
    if have == wanted:
        return None
    at = [place[name] for name in wanted if name in place]
    x = raw.x.columns_at(at) if isinstance(raw.x, SparseRows) else raw.x[:, at]
    raw.columns = tuple(wanted)
    if not lacking:
        raw.x = x
        return None
    one = len(lacking) == 1
    raw.notes += (f"{len(lacking)} gene{'' if one else 's'} of the model {'is' if one else 'are'} missing",)
    found = np.array([name in place for name in wanted])
    raw.x = np.zeros((len(x), len(wanted)), x.dtype)
    raw.x[:, found] = np.asarray(x)
    return np.broadcast_to(found, raw.x.shape).copy()


def _counted(raw: Raw, layers: Sequence[str], roles: ColumnRoles) -> Raw:
    """The rows, marked as cells; with a note where they are no counts and a layer may hold these."""
    raw.cells, raw.layers = True, tuple(name for name in layers if name != roles.layer)
    if not _whole(raw.x):
        also = f"; --layer takes one of {', '.join(raw.layers)}" if raw.layers else ""
        raw.notes += (f"{_matrix_of(roles.layer)} {_FRACTIONS}{also}",)
    return raw


def counts_elsewhere(notes: Sequence[str]) -> str | None:
    """The sentence that a matrix holds no counts and which layers there are, where the notes of cells have one."""
    return next((note for note in notes if _FRACTIONS in note and "--layer" in note), None)


_FRACTIONS = "holds fractions, not counts (log-normalised, say)"


def _whole(x: np.ndarray | SparseRows) -> bool:
    values = x.matrix.data if isinstance(x, SparseRows) else x
    return values.dtype.kind in "iub" or bool(np.all((values == np.floor(values)) | np.isnan(values)))


def _matrix_of(layer: str | None) -> str:
    return "X" if layer is None else f"the layer {layer!r}"


def _index(store: "Store", group: object, name: str) -> list[str]:
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
        return _decoded(store[f"{path}/codes"], _column(store, item, f"{path}/categories"), store.where, path)
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


def _matrix(store: "Store", key: str) -> Any:
    import scipy.sparse

    item, where = store.item(key), f"{store.where}[{key}]"
    if not store.is_group(item):
        return store[key]
    form = str(store.attribute(item, "encoding-type")).removesuffix("_matrix")
    if form not in ("csr", "csc"):
        raise DataError("is neither a dense nor a CSR or CSC matrix.", where=where, fix=_REWRITE)
    parts = tuple(store[f"{key}/{name}"] for name in ("data", "indices", "indptr"))
    with readable(where):
        maker = scipy.sparse.csr_array if form == "csr" else scipy.sparse.csc_array
        return rows_of_file(maker(parts, shape=tuple(map(int, store.attribute(item, "shape")))), where)


def store_cells(rows: "IncomingRows") -> Stored:
    """Store cells, whose matrix is of counts where it can be."""
    raw, schema, seen = rows.raw, rows.schema, None
    if schema is None and rows.counts is None:
        rows.counts = _are_counts(raw.x) or None
    if schema is not None and schema.kind == "counts" and schema.columns is not None:
        seen = with_genes(raw, schema, rows.unknown, rows.where, rows.asked.layer)
    return store_numbers(rows, seen)


def _are_counts(x: "np.ndarray | SparseRows") -> bool:
    """Whether cells hold whole numbers of 0 or more, with some above 1."""
    values = x.matrix.data if isinstance(x, SparseRows) else x
    if not values.size or values.dtype.kind not in "iuf" or values.min() < 0 or values.max() < 2:
        return False
    return values.dtype.kind in "iu" or bool(np.all(values == np.floor(values)))


def with_codes(path: Path, codes: Float[np.ndarray, "n units"]) -> bytes:
    """The bytes of a copy of an AnnData file with `obsm["X_latens"]`, as AnnData writes an array."""
    import h5py

    stream = io.BytesIO(path.read_bytes())
    with h5py.File(stream, "r+") as file:
        if "obsm" not in file:
            file.create_group("obsm").attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
        if CODES in file:
            del file[CODES]
        made = file.create_dataset(CODES, data=codes.astype(np.float32), compression="gzip")
        made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return stream.getvalue()
