"""What is said of rows beside their cells: conditions by name or as arrays, and labels that number named classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.given import arrays_of, plain_name, taken_out
from latens.data.raw import Raw
from latens.data.rows import encode_labels
from latens.data.schema import Schema
from latens.errors import DataError, UsageError, nearest
from latens.kinds.numbers.npy import read_npy


def conditions_of_rows(raw: Raw, asked: Any, schema: Schema | None, n: int, where: str) -> dict[str, np.ndarray]:
    """The cells of the conditions that are asked for, or that a schema has, which are no columns any more."""
    named = isinstance(asked, Mapping)
    given = dict(asked) if named else {}
    texts = [] if named or asked is None else [asked] if isinstance(asked, str) else list(asked)
    given |= {Path(text).stem: array_file(Path(text)) for text in texts if str(text).endswith(".npy")}
    texts = [text for text in texts if not str(text).endswith(".npy")]
    if schema is not None:
        known = [one.name for one in schema.conditions or ()]
        unknown = [name for name in (*map(plain_name, texts), *given) if name not in known]
        if unknown:
            fix = nearest(unknown[0], known) if known else "Train a model with --condition COLUMN."
            raise UsageError(f"the model reads no condition {unknown[0]!r}.", where="condition", fix=fix)
        texts = [name for name in known if name in (raw.columns or ()) or name in (raw.beside or {})]
    own = {name: name if name in (raw.beside or {}) else plain_name(name) for name in texts}
    beside = {asked: raw.beside[name] for asked, name in own.items() if raw.beside and name in raw.beside}
    given |= _known_batches(raw, beside, given, schema) if schema is not None else beside
    found = taken_out(raw, [name for name in texts if name in (raw.columns or ()) or name not in given], where)
    return arrays_of({name: values for name, values in given.items() if name not in found}, n, where) | found


def _known_batches(
    raw: Raw, beside: dict[str, np.ndarray], given: dict[str, Any], schema: Schema
) -> dict[str, np.ndarray]:
    """The conditions of cells; what is said of all stands for the names that no training cell had."""
    made = dict(beside)
    for one in schema.conditions or ():
        cells = beside.get(one.name)
        if cells is None or cells.dtype.kind != "U" or not one.values or one.name not in given:
            continue
        new = ~np.isin(cells, one.values)
        if new.any():
            made[one.name] = np.where(new, str(given[one.name]), cells)
            raw.notes += (f"{int(new.sum())} cells of other {one.name} names count as {one.name}={given[one.name]}",)
    return made


def names_beside(condition: Any, schema: Schema | None) -> tuple[str, ...]:
    """The names of conditions that may stand beside the matrix of AnnData."""
    if schema is not None:
        return tuple(one.name for one in schema.conditions or ())
    if condition is None or isinstance(condition, Mapping):
        return ()
    texts = [condition] if isinstance(condition, str) else list(condition)
    return tuple(plain_name(str(text)) for text in texts if not str(text).endswith(".npy"))


def numbered(labels: Any, names: tuple[str, ...], n: int, where: str) -> np.ndarray:
    """Codes of labels whose classes have names: the labels number them, or are these names themselves."""
    codes, words = encode_labels(labels, n, where)
    numbers = {str(i): i for i in range(len(names))}
    known = numbers if any(word in numbers for word in words) else {name: i for i, name in enumerate(names)}
    unknown = [word for word in words if word not in known]
    if unknown:
        what = f"label {unknown[0]!r} has no name among the {len(names)} class names."
        raise DataError(what, where=where, fix="Give labels from 0 on with one name for each, or the names as labels.")
    places = np.array([known[word] for word in words], np.int32)
    return np.where(codes < 0, np.int32(-1), places[codes]) if len(words) else codes


def array_file(path: Path) -> np.ndarray:
    """Read the array of a .npy file."""
    try:
        return read_npy(path)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}).", where=str(path), fix="Check the path.") from None
