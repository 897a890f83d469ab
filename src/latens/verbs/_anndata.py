"""Results in a copy of an AnnData file."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.errors import UsageError
from latens.verbs._lazy import np
from latens.verbs.kernel import At

if TYPE_CHECKING:
    from latens.data import Dataset

CODES = "X_latens"
"""What latents are called in `obsm`."""


def refuse_annotated(at: At, data: "Dataset | None" = None) -> None:
    """Refuse to write a copy of DATA with more in it where DATA is not an AnnData file, or rows of it were left out."""
    where = f"--out {at.out}"
    if not isinstance(at.data, str | Path) or Path(at.data).suffix.lower() != ".h5ad" or not Path(at.data).is_file():
        fix = "Give DATA as a .h5ad file, or write .npz, .csv or .parquet."
        raise UsageError("a .h5ad output needs DATA as a .h5ad file.", where=where, fix=fix)
    if data is not None and data.kept is not None:
        what = "rows were left out, but a .h5ad output contains all rows."
        raise UsageError(what, where=where, fix="Use --unknown missing, or write .npz.")


def annotated_bytes(
    at: At, arrays: "dict[str, np.ndarray]", how: str, columns: "Mapping[str, np.ndarray] | None" = None
) -> bytes:
    """The bytes of a copy of DATA with these arrays, by their paths (`obsm/NAME`, `layers/NAME`); all else stays."""
    # columns: of `obs`, names as categories.
    # how: what they are; `uns/latens/NAME` says it, with the model, its recipe and the batches that it reads.
    import h5py

    from latens import __version__

    batches = [one.name for one in at.trained.schema.conditions or ()]
    told = {"model": Path(at.name).name, "recipe": at.trained.config.recipe if at.trained.config else "",
            "batch_key": ", ".join(batches), "how": how, "latens": __version__}  # fmt: skip

    stream = io.BytesIO(Path(at.data).read_bytes())
    with h5py.File(stream, "r+") as file:
        for key, array in arrays.items():
            parent, name = key.split("/")
            _folder(file, parent)
            if key in file:
                del file[key]
            found: Any = file.create_dataset(key, data=np.ascontiguousarray(array, np.float32), compression="gzip")
            found.attrs["encoding-type"], found.attrs["encoding-version"] = "array", "0.2.0"
            if (about := f"uns/latens/{name}") in file:
                del file[about]
            for path in ("uns", "uns/latens", about):
                _folder(file, path)
            for word, text in told.items():
                line: Any = file.create_dataset(f"{about}/{word}", data=text, dtype=h5py.string_dtype())
                line.attrs["encoding-type"], line.attrs["encoding-version"] = "string", "0.2.0"
        for name, cells in (columns or {}).items():
            add_column(file, name, cells)
    return stream.getvalue()


def add_column(file: Any, name: str, cells: "np.ndarray") -> None:
    """Write a column of `obs`, as AnnData does; one of that name is replaced."""
    import h5py

    obs, key = file["obs"], f"obs/{name}"
    if key in file:
        del file[key]
    if cells.dtype.kind == "U":
        values, codes = np.unique(cells, return_inverse=True)
        group: Any = file.create_group(key)
        group.attrs["encoding-type"], group.attrs["encoding-version"], group.attrs["ordered"] = (
            "categorical",
            "0.2.0",
            False,
        )
        made = [group.create_dataset("codes", data=codes.reshape(-1).astype(np.int32))]
        made += [group.create_dataset("categories", data=values.tolist(), dtype=h5py.string_dtype())]
    else:
        made = [file.create_dataset(key, data=cells)]
    for one in made:
        text = one.dtype.kind == "O"
        one.attrs["encoding-type"], one.attrs["encoding-version"] = "string-array" if text else "array", "0.2.0"
    if "column-order" in obs.attrs:
        order = [str(one) for one in obs.attrs["column-order"]]
        obs.attrs.create("column-order", [*order, *([name] if name not in order else [])], dtype=h5py.string_dtype())


def _folder(file: Any, path: str) -> None:
    """Have a group of that path in a file, as AnnData writes a dictionary."""
    if path not in file:
        group = file.create_group(path)
        group.attrs["encoding-type"], group.attrs["encoding-version"] = "dict", "0.1.0"
