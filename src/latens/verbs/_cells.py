"""Results into a copy of an AnnData file, and the groups of cells that a command names."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.errors import DataError, UsageError, nearest
from latens.verbs._lazy import np
from latens.verbs.kernel import At

if TYPE_CHECKING:
    from latens.data import Dataset

CODES, EXPRESSION = "X_latens", "latens_expression"
"""What latents are called in `obsm`, and normalised expression in `layers`."""


def batches_of(at: At, *, own: bool) -> "np.ndarray | None":
    """The vectors of the batches that an expression is the mean over; None: each cell's own, or none are read."""
    from latens.workflow.expression import every_batch, refuse_others

    refuse_others(at.trained, at.name)
    if own and at.told:
        raise UsageError("--own takes each cell's own batch.", where="--given", fix="Leave one of them out.")
    return None if own else every_batch(at.trained, at.told)


def refuse_annotated(at: At, data: "Dataset | None" = None) -> None:
    """Refuse to write a copy of DATA with more in it where DATA is not an AnnData file, or rows of it were left out."""
    where = f"--out {at.out}"
    if not isinstance(at.data, str | Path) or Path(at.data).suffix.lower() != ".h5ad" or not Path(at.data).is_file():
        fix = "Give DATA as a .h5ad file, or write .npz, .csv or .parquet."
        raise UsageError("a .h5ad file is a copy of DATA with the result in it.", where=where, fix=fix)
    if data is not None and data.kept is not None:
        what = "rows were left out, and a copy of the file has them all."
        raise UsageError(what, where=where, fix="Use --unknown missing, or write .npz.")


def annotated_bytes(at: At, arrays: "dict[str, np.ndarray]", how: str) -> bytes:
    """The bytes of a copy of DATA with these arrays, by their paths (`obsm/NAME`, `layers/NAME`); all else stays."""
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
    return stream.getvalue()


def _folder(file: Any, path: str) -> None:
    """Have a group of that path in a file, as AnnData writes a dictionary."""
    if path not in file:
        group = file.create_group(path)
        group.attrs["encoding-type"], group.attrs["encoding-version"] = "dict", "0.1.0"


def groups_of(data: "Dataset", asked: str) -> "tuple[list[np.ndarray], tuple[str, str]]":
    """The positions of the cells of two groups, "A,B" or "A" against all others, and the words for them."""
    classes, label = list(data.schema.classes or ()), data.label
    if not classes or label is None:
        fix = "Add --column NAME, a column of obs; in Python column='NAME'."
        raise UsageError("no column says which cell is in which group.", where="--groups", fix=fix)
    names = [asked] if asked in classes else [part.strip() for part in asked.split(",")]
    if not 1 <= len(names) <= 2 or len(set(names)) != len(names):
        raise UsageError(f"{asked!r} names no two groups.", where="--groups", fix="Write --groups A,B, or A alone.")
    for name in names:
        if name not in classes:
            what = f"the column {data.label_name!r} has no {name!r}."
            raise UsageError(what, where="--groups", fix=nearest(name, classes))
    codes = [classes.index(name) for name in names]
    first = np.flatnonzero(label == codes[0])
    second = np.flatnonzero(label == codes[1] if len(codes) > 1 else (label != codes[0]) & (label >= 0))
    for name, rows in zip((names[0], names[-1] if len(names) > 1 else "the rest"), (first, second)):
        if len(rows) < 2:
            raise DataError(
                f"the group {name!r} has {len(rows)} cells.", where="--groups", fix="Give groups of 2 or more."
            )
    return [first, second], (names[0], names[1] if len(names) > 1 else "the rest")
