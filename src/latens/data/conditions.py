"""Conditions: columns of names or numbers that a model is told of a row, beside its label, and does not model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike

from latens.data.columns_and_conditions import MOST_NAMES, Condition
from latens.data.row_fields import Raw, encode_labels, is_number
from latens.data.schema import Schema
from latens.errors import DataError, UsageError, nearest
from latens.kinds.numbers.npy import read_npy
from latens.kinds.tables.columns import FrameColumn

GIVEN = "given"
"""What the conditions of a batch are called: one vector a row, 0 where all of them are usual."""

INPUTS = "inputs"
"""What the columns are called that are told at every step of a sequence: one vector a step, 0 where nothing is said."""

_CODES = 10  # so few whole numbers may be codes of names
_AS_NAMES = ":names"

Cells = Mapping[str, np.ndarray]
"""The cells of each condition, shape (n,): text for names, float64 for numbers, "" and NaN where missing."""


def plain_name(asked: str) -> str:
    """The name of a condition, without what says that it holds names."""
    return asked.removesuffix(_AS_NAMES)


def taken_out(raw: Raw, wanted: Sequence[str], where: str) -> dict[str, np.ndarray]:
    """Take the columns of conditions out of the rows of a table."""
    columns = list(raw.columns or ())
    cells: dict[str, np.ndarray] = {}
    places: set[int] = set()
    for asked in wanted:
        name = asked if asked in columns else plain_name(asked)
        if name not in columns:
            hint = nearest(name, columns) if columns else "Give a table with named columns, or a file NAME.npy."
            raise DataError(f"has no column {name!r}, a condition.", where=where, fix=hint)
        if name in cells:
            raise UsageError(f"the condition {name!r} is given twice.", where=where, fix="Name it once.")
        place = columns.index(name)
        found, column = (raw.kinds or {}).get(place), np.asarray(raw.x[:, place], np.float64)
        column = column if found is None or found.kind == "number" else _named(column, found, name, where)
        cells[name] = _as_cells(column, asked, where)
        places.add(place)
    if places:
        kept = [i for i in range(len(columns)) if i not in places]
        if not kept:
            raise DataError("has no column other than the conditions.", where=where, fix="Name fewer conditions.")
        raw.x, raw.columns = raw.x[:, kept], tuple(columns[i] for i in kept)
        if raw.kinds is not None:
            raw.kinds = {kept.index(i): one for i, one in raw.kinds.items() if i in kept}
            if all(one.kind == "number" for one in raw.kinds.values()):
                raw.kinds = None
    return cells


def _named(codes: np.ndarray, found: FrameColumn, name: str, where: str) -> np.ndarray:
    if not found.named:
        what = f"column {name!r} holds {found.kind}s, which cannot be a condition."
        raise DataError(what, where=where, fix="Write it as a number, days since the first one say.")
    return np.array([*found.values, ""])[np.where(np.isfinite(codes), codes, len(found.values)).astype(np.int64)]


def _as_cells(values: ArrayLike, asked: str, where: str) -> np.ndarray:
    """Cells of an array: text, or float64."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biufUO":
        what = f"the condition {asked!r} is of shape {array.shape} and type {array.dtype}."
        raise DataError(what, where=where, fix="Give one name or number for each row.")
    if array.dtype.kind in "iuf" and not asked.endswith(_AS_NAMES):
        return array.astype(np.float64)
    return np.array(["" if value is None or value != value else text_of(value) for value in array.tolist()], np.str_)


def text_of(value: object) -> str:
    """A label or a name as text, the same for 2 and 2.0."""
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def arrays_of(given: Mapping[str, Any], n: int, where: str) -> dict[str, np.ndarray]:
    """Turn arrays by name into cells; one value is that of all rows."""
    cells = {}
    for name, values in given.items():
        array = np.asarray(values)
        array = np.full(n, values) if array.ndim == 0 else array
        if len(array) != n:
            what = f"the condition {name!r} has {len(array)} values for {n} rows."
            raise DataError(what, where=where, fix="Give one for each row, or one for all.")
        cells[plain_name(name)] = _as_cells(array, name, where)
    return cells


def learned(cells: Cells, train: Shaped[np.ndarray, " n"], where: str) -> tuple[Condition, ...]:
    """Find out what conditions hold, and what is usual among training rows."""
    return tuple(
        _learned(name, column, column[train] if train.any() else column, where) for name, column in cells.items()
    )


def _learned(name: str, every: np.ndarray, rows: np.ndarray, where: str) -> Condition:
    _refuse_gaps(name, every, where)
    if every.dtype.kind == "U":
        values, counts = np.unique(np.concatenate([np.unique(every), rows]), return_counts=True)
        if len(values) > MOST_NAMES:
            what = f"the condition {name!r} has {len(values)} categories, more than {MOST_NAMES}."
            raise DataError(what, where=where, fix="Leave it out, or merge rare categories.")
        return Condition(name, tuple(values.tolist()), float(np.argmax(counts)))
    scale = float(rows.std())
    usual = float(np.quantile(rows, 0.5, method="lower"))
    if not np.abs(rows).max() < 1e37:
        raise DataError(f"the condition {name!r} has numbers beyond 1e37.", where=where, fix="Rescale the column.")
    return Condition(name, (), usual, scale if scale > 1e-30 else 1.0, float(rows.min()), float(rows.max()))


def _refuse_gaps(name: str, cells: np.ndarray, where: str) -> None:
    bad = cells == "" if cells.dtype.kind == "U" else ~np.isfinite(cells)
    if bad.any():
        what = f"row {int(bad.argmax())} has no {name!r}, a condition ({int(bad.sum())} rows lack it)."
        raise DataError(what, where=where, fix="Fill the cells in, or leave the rows out.")


def vectors(
    conditions: Sequence[Condition], cells: Cells, where: str, unknown: str = ""
) -> Float[np.ndarray, "n width"]:
    """What a model reads of conditions: a vector a row, which is 0 where all of them are usual."""
    # unknown: of cells "error", or "missing": a name that no training row had is the mean of all that they had.
    parts = []
    for one in conditions:
        if one.name not in cells:
            what = f"has no {one.name!r}, a condition that the model reads."
            fix = f"Add the column, or say it of all rows: --given {one.name}={one.usually}."
            raise DataError(what, where=where, fix=fix)
        column = cells[one.name]
        if not one.values:
            if column.dtype.kind == "U":
                column = _numbers(one, column, where)
            _refuse_gaps(one.name, column, where)
            parts.append((column[:, None] - one.usual) / one.scale)
            continue
        words = column if column.dtype.kind == "U" else _as_cells(column, one.name + _AS_NAMES, where)
        _refuse_gaps(one.name, words, where)
        found, back = np.unique(words, return_inverse=True)
        places = []
        for word in found.tolist():
            if word not in one.values and unknown != "missing":
                what = f"the condition {one.name!r} has no name {word!r:.100}; no training row had it."
                known = f"{one.name}={one.usually}"
                fix = f"Count such cells as a known one ({', '.join(one.values[:8])}{', ...' * (one.width > 8)}): "
                fix += f"--given {known}; or as the mean of all known ones: --unknown missing."
                fix += " In Python unknown='missing', or another name in the column."
                raise DataError(what, where=where, fix=fix if unknown else nearest(word, one.values))
            places.append(one.values.index(word) if word in one.values else one.width)
        hot = np.concatenate([np.eye(one.width), np.full((1, one.width), 1.0 / one.width)])
        parts.append(hot[np.array(places, np.int64)[back]] - hot[int(one.usual)])
    return np.concatenate(parts, axis=1).astype(np.float32)


def averaged(conditions: Sequence[Condition], cells: Cells) -> tuple[str, ...]:
    """A sentence for each condition of which some rows have names that no training row had."""
    named = [(one, int((~np.isin(cells[one.name], one.values)).sum())) for one in conditions if one.values]
    return tuple(f"{n} cells of unknown {one.name} count as the mean of all categories" for one, n in named if n)


def learned_inputs(cells: Cells, train: Shaped[np.ndarray, " n"], where: str) -> tuple[Condition, ...]:
    """Find out what the columns hold that are told at every step; a cell may be missing."""
    seen = {name: column != "" if column.dtype.kind == "U" else np.isfinite(column) for name, column in cells.items()}
    for name, there in seen.items():
        if not there.any():
            raise DataError(f"the input {name!r} has no cell.", where=where, fix="Leave it out.")
    rows = {name: train[: len(there)][there] for name, there in seen.items()}
    return tuple(learned({name: cells[name][seen[name]]}, rows[name], where)[0] for name in cells)


def input_vectors(conditions: Sequence[Condition], cells: Cells, where: str) -> Float[np.ndarray, "lines width"]:
    """What a model reads of the inputs of lines: a vector each, 0 where a cell is missing."""
    parts = []
    for one in conditions:
        column = cells[one.name] if one.name in cells else np.zeros(0)
        seen = column != "" if column.dtype.kind == "U" else np.isfinite(column)
        made = np.zeros((len(column), one.width), np.float32)
        made[seen] = vectors([one], {one.name: column[seen]} if one.name in cells else {}, where)
        parts.append(made)
    return np.concatenate(parts, axis=1)


def _numbers(one: Condition, words: np.ndarray, where: str) -> np.ndarray:
    try:
        return words.astype(np.float64)
    except ValueError:
        what = f"the condition {one.name!r} is a number, {one.low:g} to {one.high:g} in training rows."
        bad = next(word for word in words.tolist() if not is_number(word))
        raise DataError(f"{what} {bad!r:.100} is none.", where=where, fix="Write a plain number.") from None


def one_vector(conditions: Sequence[Condition], given: Mapping[str, Any], where: str) -> Float[np.ndarray, " width"]:
    """The vector of one row of which some conditions are said; the others are usual."""
    names = [one.name for one in conditions]
    for name in given:
        if name not in names:
            fix = (
                nearest(str(name), names)
                if names
                else "Train a model with --condition COLUMN, or ask for rows with --where."
            )
            raise UsageError(f"the model reads no condition {name!r}.", where=where, fix=fix)
    said = {one.name: given.get(one.name, one.usually if one.values else one.usual) for one in conditions}
    return vectors(conditions, arrays_of(said, 1, where), where)[0]


def parse_given(texts: Sequence[str], conditions: Sequence[Condition]) -> dict[str, str]:
    """Read CONDITION=VALUE as it is typed."""
    found: dict[str, str] = {}
    names = sorted((one.name for one in conditions), key=len, reverse=True)
    for text in texts:
        name = next((name for name in names if text.startswith(f"{name}=")), text.partition("=")[0])
        if "=" not in text or name in found:
            what = f"{text!r} is not CONDITION=VALUE." if "=" not in text else f"{name!r} is given twice."
            raise UsageError(what, where="--given", fix="Write for example --given batch=2.")
        found[name] = text[len(name) + 1 :]
    return found


def cells_of(conditions: Sequence[Condition], given: Float[np.ndarray, "n width"]) -> dict[str, np.ndarray]:
    """The names and numbers that vectors stand for."""
    found, at = {}, 0
    for one in conditions:
        part = given[:, at : at + one.width].astype(np.float64)
        at += one.width
        if one.values:
            hot = part + np.eye(one.width)[int(one.usual)]
            # "": the mean of all names, where a row had one of its own.
            found[one.name] = np.where(hot.max(axis=1) > 0.99, np.array(one.values)[hot.argmax(axis=1)], "")
        else:
            digits = 5 - int(np.floor(np.log10(one.scale)))  # what single precision keeps, so that 0 comes back as 0
            found[one.name] = np.round(part[:, 0] * one.scale + one.usual, digits).astype(np.float32)
    return found


def brought(conditions: Sequence[Condition], given: Float[np.ndarray, "n width"], said: Mapping[str, Any]) -> list[str]:
    """The conditions that are said, and that rows bring with other values."""
    ends = np.cumsum([one.width for one in conditions])
    differs = (given != one_vector(conditions, said, "given")).any(axis=0)
    return [one.name for one, end in zip(conditions, ends) if one.name in said and differs[end - one.width : end].any()]


def cells_of_one(conditions: Sequence[Condition], said: Mapping[str, Any]) -> dict[str, Any]:
    """The names and numbers of one row of which some conditions are said; the others are usual."""
    every = {one.name: said.get(one.name, one.usually if one.values else one.usual) for one in conditions}
    return {one.name: str(every[one.name]) if one.values else float(every[one.name]) for one in conditions}


def beyond(conditions: Sequence[Condition], said: Mapping[str, Any]) -> list[str]:
    """A sentence for each number that lies beyond those of the training rows."""
    return [
        f"{one.name}={said[one.name]} lies beyond the training rows, which have {one.low:g} to {one.high:g}"
        for one in conditions
        if not one.values and one.name in said and not one.low <= float(said[one.name]) <= one.high
    ]


def told(conditions: Sequence[Condition], cells: Cells) -> str:
    """The sentence that says what the conditions are."""
    coded = lambda x: bool((x == np.round(x)).all()) and len(np.unique(x)) <= _CODES  # noqa: E731
    maybe = [one.name for one in conditions if not one.values and coded(cells[one.name])]
    also = f"; if {maybe[0]} holds codes: --condition {maybe[0]}{_AS_NAMES}" if maybe else ""
    return f"conditions: {', '.join(one.told for one in conditions)}{also}"


def usual_inputs(schema: Schema) -> dict[str, np.ndarray]:
    """What is usual at every step of a row that is a sequence with inputs, shape (steps, width)."""
    width = sum(one.width for one in schema.inputs)
    return {INPUTS: np.zeros((schema.shape[0], width), np.float32)} if width else {}


def conditions_of_rows(
    raw: Raw, asked: str | Sequence[str] | Mapping[str, ArrayLike] | None, schema: Schema | None, n: int, where: str
) -> dict[str, np.ndarray]:
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
            raw.notes += (f"{int(new.sum())} cells of unknown {one.name} count as {one.name}={given[one.name]}",)
    return made


def names_beside(
    condition: str | Sequence[str] | Mapping[str, ArrayLike] | None, schema: Schema | None
) -> tuple[str, ...]:
    """The names of conditions that may stand beside the matrix of AnnData."""
    if schema is not None:
        return tuple(one.name for one in schema.conditions or ())
    if condition is None or isinstance(condition, Mapping):
        return ()
    texts = [condition] if isinstance(condition, str) else list(condition)
    return tuple(plain_name(str(text)) for text in texts if not str(text).endswith(".npy"))


def numbered(labels: ArrayLike, names: tuple[str, ...], n: int, where: str) -> np.ndarray:
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
