"""Results into a copy of an AnnData file, and the groups of cells that a command names."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.errors import DataError, LatensError, UsageError, nearest
from latens.verbs._lazy import np
from latens.verbs.kernel import At

if TYPE_CHECKING:
    from latens.data import Dataset

CODES, EXPRESSION = "X_latens", "latens_expression"
"""What latents are called in `obsm`, and normalised expression in `layers`."""
UNLIKE = 0.1
"""The share of cells of a group that would have another type, were its types those of the other, that is warned of."""


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


def column_of(at: At, data: "Dataset", name: str, where: str) -> "np.ndarray":
    """The cells of a column beside the rows, as text: the label, a condition of the model, or one read anew."""
    from latens.data import Dataset
    from latens.data.given import GIVEN, cells_of

    if name == data.label_name and data.label is not None:
        return words_of(data)
    known = (
        {} if data.cond is None or GIVEN not in data.cond else cells_of(data.schema.conditions or (), data.cond[GIVEN])
    )
    if name in known:
        return known[name].astype(str)
    if isinstance(at.data, Dataset):
        listed = [one for one in (data.label_name, *known) if one]
        raise UsageError(f"the data set has no column {name!r}.", where=where, fix=nearest(name, listed))
    given, options, warn = at.given, at.options, at.warn
    try:
        at.given, at.warn = {**given, "label": name}, lambda words: None  # it is said already
        return words_of(at.load(own_classes=True))
    finally:
        at.given, at.options, at.warn = given, options, warn


def words_of(data: "Dataset") -> "np.ndarray":
    """The labels of rows as names; empty where there is none."""
    assert data.label is not None
    return np.array([*(str(one) for one in data.schema.classes or ()), ""])[data.label]


def within(at: At, data: "Dataset", asked: Sequence[str]) -> "Dataset":
    """The rows with the label of those alone that have these values, COLUMN=VALUE; the others have none."""
    from dataclasses import replace

    kept = np.ones(len(data), bool)
    for text in asked:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise UsageError(f"{text!r} is no COLUMN=VALUE.", where="--within", fix="Write --within COLUMN=VALUE.")
        cells = column_of(at, data, name, "--within")
        if value not in cells:
            listed = [one for one in np.unique(cells).tolist() if one]
            raise UsageError(f"the column {name!r} has no {value!r}.", where="--within", fix=nearest(value, listed))
        kept &= cells == value
    assert data.label is not None
    return replace(data, label=np.where(kept, data.label, -1).astype(data.label.dtype))


def unlike_types(at: At, data: "Dataset", groups: "list[np.ndarray]", names: tuple[str, str]) -> str:
    """A warning where two groups of cells hold the types of the run in other shares; else nothing."""
    from latens.verbs._sources import remembered

    source = at.trained.facts.get("read_with") if at.run is None else at.run.info["data"]
    name = remembered(source).get("label")
    if name is None or name == data.label_name:
        return ""
    try:
        types = column_of(at, data, name, "--column")
    except LatensError:  # rows without the types of the run
        return ""
    found = sorted({*np.concatenate([types[rows] for rows in groups]).tolist()} - {""})
    counts = np.array([[np.sum(types[rows] == one) for one in found] for rows in groups], np.float64)
    if len(found) < 2 or (counts.sum(axis=1) == 0).any():
        return ""
    shares = counts / counts.sum(axis=1, keepdims=True)
    # Within three standard errors a difference of two shares may be chance.
    middle = counts.sum(axis=0) / counts.sum()
    error = np.sqrt(middle * (1.0 - middle) * (1.0 / counts.sum(axis=1)).sum())
    away = np.abs(shares[0] - shares[1])
    if away.sum() / 2.0 <= UNLIKE or not (away > 3.0 * error).any():
        return ""
    most = int(away.argmax())
    what = (
        f"{shares[0, most]:.0%} of {names[0]} and {shares[1, most]:.0%} of {names[1]} are {found[most]}, so genes may"
    )
    return f"warning: {what} differ because types do; --within {name}={found[most]} compares these alone"
