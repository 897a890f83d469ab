"""What belongs to a row beside its features: its name, random key, split, label, weight and conditions.

Every reader of files shares rows as they came, the roles of columns, and bounds on what a file may claim.
"""

import contextlib
import datetime
import errno
import gzip
import hashlib
import importlib
import re
import struct
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from latens.data.columns_and_conditions import MAX_NAME
from latens.data.schema import MAX_CLASSES
from latens.errors import DataError, LatensError, ResourceError
from latens.kinds.tables.columns import FrameColumn
from latens.kinds.tables.derived import Declared
from latens.runtime.file_limits import MAX_RATIO

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLITS = ("train", "validation", "test")
BLOCK = 2**14
"""Numbers that are mixed at a time."""
MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""Words that stand for a missing value in a table (compared in lower case)."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?\Z")
WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
_PLACE = re.compile(r"(.*):(0|[1-9][0-9]{0,17})", re.DOTALL)


def mix(values: np.ndarray) -> np.ndarray:
    """Mix 64-bit integers to evenly spread 32-bit ones."""
    values = np.asarray(values)
    mixed = np.empty(values.shape, np.uint32)
    flat, out = values.reshape(-1), mixed.reshape(-1)
    for start in range(0, flat.size, BLOCK):  # what stays in the cache is mixed several times as fast
        out[start : start + BLOCK] = mix_in_place(flat[start : start + BLOCK].astype(np.uint64)) >> np.uint64(32)
    return mixed


def mix_in_place(v: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Mix unsigned 64-bit integers to evenly spread ones."""
    # Source: the finaliser of SplitMix64, Steele, Lea & Flood (2014).
    with np.errstate(over="ignore"):
        v += np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            v ^= v >> np.uint64(shift)
            v *= np.uint64(factor)
        v ^= v >> np.uint64(31)
    return v


def row_numbers(names: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Make a 64-bit number of each row name, the same on every machine."""
    # Whole numbers stay what they are; of text it is the first 8 bytes of its BLAKE2b hash (UTF-8). FILE:ROW is that
    # of the file plus the row, so that rows on disk need no names to have the numbers that they have in memory.
    names = np.asarray(names)
    if names.dtype.kind in "iu":
        return names.astype(np.int64).view(np.uint64) if names.dtype.kind == "i" else names.astype(np.uint64)
    parts = [found.groups() if (found := _PLACE.fullmatch(str(n))) else (str(n), 0) for n in names.tolist()]
    hashes = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text, _ in parts)
    return np.frombuffer(b"".join(hashes), "<u8") + np.array([int(row) for _, row in parts], np.uint64)


def row_keys(names: np.ndarray) -> np.ndarray:
    """Make a 32-bit number of each row name, mixed from that of `row_numbers`.

    Args:
        names: Whole numbers or text, shape (n,).

    Returns:
        uint32 of shape (n,).
    """
    return mix(row_numbers(names))


def split_by_hash(names: np.ndarray, brought: np.ndarray | None = None) -> np.ndarray:
    """Split rows into training, validation and test, 80/10/10 by a hash of their names, so adding rows moves no others.

    Rows that were brought as validation or test stay what they are. Where a test set was brought, the tenth of the
    training rows that would have become test stays in training; likewise for validation.

    Args:
        names: Names of the rows, shape (n,).
        brought: The split that the data came with, if any (uint8).

    Returns:
        uint8 of shape (n,): 0 training, 1 validation, 2 test.
    """
    return with_brought(split_of(row_keys(names)), brought)


def with_brought(split: np.ndarray, brought: np.ndarray | None) -> np.ndarray:
    """Keep the split that rows came with."""
    if brought is not None:
        for kind in (VALIDATION, TEST):
            if (brought == kind).any():
                split[split == kind] = TRAIN
        split = np.where(brought == TRAIN, split, brought).astype(np.uint8)
    return split


def philox(key: Sequence[int], counter: Sequence[int]) -> np.random.Generator:
    """Make a random stream of its own for each key (two numbers) and each counter (four)."""
    numbers = np.array([number % 2**64 for number in key], np.uint64)
    return np.random.Generator(np.random.Philox(key=numbers, counter=np.array(counter, np.uint64)))


def split_of(keys: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Split rows 80/10/10 by what their random keys are made of."""
    mixed = mix(keys)
    return (mixed > np.uint32(8 * 2**32 // 10)).astype(np.uint8) + (mixed > np.uint32(9 * 2**32 // 10))


def row_names(values: ArrayLike, n: int, where: str) -> Shaped[np.ndarray, " n"]:
    """Check the user's row ids: one for each row, none missing, none twice."""
    array = _flat(values, n, where, "row ids")
    if array.dtype.kind == "f" and _whole(array):
        array = array.astype(np.int64)
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        array = array.astype(str)
    if array.dtype.kind in "iu":
        names = array.astype(np.int64)
    elif array.dtype.kind in "OUSMf":
        text = _texts(array, where, "id")
        if "" in text:
            raise DataError(f"row {text.index('')} has no id.", where=where, fix="Give every row an id of its own.")
        names = np.array([int(t) for t in text], np.int64) if all(map(WHOLE.match, text)) else np.array(text)
    else:
        fix = "Use whole numbers or text."
        raise DataError(f"row ids must be whole numbers or text, not {array.dtype}.", where=where, fix=fix)
    unique, count = np.unique(names, return_counts=True)
    if len(unique) != n:
        twice = unique[count > 1][0].item()
        fix = "Give every row an id of its own (for a frame: reset_index(drop=True))."
        raise DataError(f"the row id {twice!r} is used {count[count > 1][0]} times.", where=where, fix=fix)
    return names


def encode_labels(values: ArrayLike, n: int, where: str, classes: tuple[str, ...] | None = None, as_text: bool = False):
    """Encode labels as numbers of classes.

    Whole numbers and text are classes, sorted; a missing label (NaN, an empty cell) gets the code -1, and so does a
    label that is not among `classes` where these are given.

    Args:
        values: One label for each row.
        n: Number of rows.
        where: How an error names the data.
        classes: Names of the classes, if they are known.
        as_text: Whether "1", "01" and "NA" are classes as they are written, and not 1, 1 and a missing label.

    Returns:
        int32 codes of shape (n,), and the tuple of class names.

    Raises:
        DataError: For labels with a fraction (a measured quantity, not a class).
    """
    array = _flat(values, n, where, "labels")
    if array.dtype.kind in "OUSM":
        text = _texts(array, where, "label")
        text = ["" if t.lower() in MISSING_WORDS and not as_text else t for t in text]
        array = np.array(text)
        # Longer numbers would lose digits as a float: they stay text.
        if not as_text and all(t == "" or (len(t) < 16 and _NUMBER.match(t)) for t in text) and any(text):
            array = np.array([float(t) if t else np.nan for t in text])
    if array.dtype.kind == "f":
        missing = np.isnan(array)
        if not _whole(array[~missing]):
            bad = next(v for v in array[~missing].tolist() if not _whole(np.array(v)))
            fix = "Choose another column with --label NAME, or --label none to leave labels out."
            raise DataError(f"labels must be classes (whole numbers or text), not {bad!r}.", where=where, fix=fix)
        array = np.where(missing, 0, array).astype(np.int64)
    elif array.dtype.kind == "U":
        missing = array == ""
    elif array.dtype.kind in "biu":
        missing = np.zeros(n, bool)
    else:
        fix = "Use whole numbers or text."
        raise DataError(f"labels must be whole numbers or text, not {array.dtype}.", where=where, fix=fix)
    found, codes = np.unique(array[~missing], return_inverse=True)
    words = tuple(str(v) for v in found.tolist())
    if len(words) > MAX_CLASSES:
        what = f"there are {len(words)} different labels (at most {MAX_CLASSES})."
        fix = "Choose another column with --label NAME, or --label none to leave labels out."
        raise DataError(what, where=where, fix=fix)
    if classes is not None:
        known = {word: i for i, word in enumerate(classes)}
        codes = np.array([known.get(word, -1) for word in words], np.int32)[codes] if len(words) else codes
        words = classes
    result = np.full(n, -1, np.int32)
    result[~missing] = codes
    return result, words


def missing_words(values: ArrayLike) -> Counter[str]:
    """Count the words among labels that mean a missing one; an empty cell is not a word."""
    words = (value.strip() for value in np.ravel(np.asarray(values, object)).tolist() if isinstance(value, str))
    return Counter(word for word in words if word and word.lower() in MISSING_WORDS)


def missing_labels(found: Mapping[str, int]) -> tuple[str, ...]:
    """Say which words among labels count as missing ones."""
    said = ", ".join(f"{word!r} ({n:,})" for word, n in sorted(found.items()))
    return (f"labels that count as missing: {said}; write a class of that name otherwise",) if found else ()


def row_weights(values: ArrayLike | None, n: int, where: str) -> Shaped[np.ndarray, " n"] | None:
    """Check the weights of rows."""
    if values is None:
        return None
    try:
        with np.errstate(over="ignore"):  # what overflows is refused below
            weights = np.asarray(values, np.float32)
        # 1_0 is no 10, and 1j no 1
        if np.asarray(values).dtype.kind in "cOU" and set("_j") & set("".join(map(str, np.ravel(values)))):
            raise ValueError
    except (ValueError, TypeError):
        raise DataError("weights must be numbers.", where=where, fix="Give every row a weight of 0 or more.") from None
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any():
        fix = "Give every row a weight of 0 or more."
        raise DataError(f"weights must be {n} finite numbers of 0 or more.", where=where, fix=fix)
    return weights


def row_conditions(given: Mapping[str, Any] | None, n: int, where: str) -> dict[str, np.ndarray] | None:
    """Check the conditions of rows: of each name an array of n finite values, whole numbers kept as such."""
    if not given:
        return None
    found = {}
    for name, values in given.items():
        array = np.asarray(values)
        whole = array.dtype.kind in "iub"
        what = None
        if array.dtype.kind not in "iubf" or np.ma.is_masked(values) or array.shape[:1] != (n,):
            what = f"condition {name!r} is of shape {array.shape} and type {array.dtype}."
        elif not np.isfinite(array).all() or (whole and array.size and np.abs(array.astype(float)).max() >= 2**31):
            what = f"condition {name!r} has values that are not finite, or beyond 32 bits."
        elif name == "label":
            raise DataError("labels cannot be a condition here.", where=f"{where}, cond", fix="Give them as label=.")
        if what is not None:
            raise DataError(what, where=f"{where}, cond", fix=f"Give an array of numbers, led by {n} rows.")
        found[str(name)] = array.astype(np.int32 if whole else np.float32)
    return found


def _flat(values: ArrayLike, n: int, where: str, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n,):
        fix = "Give one value for each row."
        raise DataError(f"{what} must have the shape ({n},), not {array.shape}.", where=where, fix=fix)
    return array


def _whole(array: np.ndarray) -> bool:
    return bool(np.all(np.isfinite(array)) and np.all(array == np.floor(array)) and np.all(np.abs(array) < 2**53))


def _texts(array: np.ndarray, where: str, what: str) -> list[str]:
    """Cells as text, of which NumPy takes the longest for each, and of which it drops zero bytes at the end."""
    text = [_text(value) for value in array.tolist()]
    for row, cell in enumerate(text):
        if len(cell) > MAX_NAME or cell.endswith("\0"):
            said = (
                "ends in a zero byte" if len(cell) <= MAX_NAME else f"has {len(cell)} characters, of {MAX_NAME} at most"
            )
            fix = f"Shorten it, or choose another column with --{what} NAME."
            raise DataError(f"row {row}: its {what} {said}.", where=where, fix=fix)
    return text


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def unmasked(values: Any) -> Any:
    """Turn NumPy's masked arrays into plain ones whose masked values are NaN, and leave anything else as it is."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if not np.ma.is_masked(values) or values.dtype.kind not in "biuf":
        return np.ma.getdata(values)
    floats = np.array(np.ma.getdata(values), values.dtype if values.dtype.kind == "f" else np.float64)
    floats[np.ma.getmaskarray(values)] = np.nan
    return floats


def refuse_other_cells(values: object, where: str) -> None:
    """Refuse an array, or lists, of unequal rows, text, dates, records or None; other objects pass."""
    if not isinstance(values, np.ndarray | list | tuple):
        return
    frame = "Give numbers; columns of several kinds go into a frame: pandas.DataFrame."
    try:
        array = np.asarray(values)
    except ValueError:
        lengths = sorted({np.size(row) if np.ndim(row) == 0 else len(row) for row in values})
        what = f"rows are of unequal length ({', '.join(map(str, lengths[:5]))} cells)."
        raise DataError(what, where=where, fix="Give every row the same number of cells.") from None
    kinds = {"M": "dates", "m": "durations", "U": "text", "S": "text", "V": "records"}
    if array.dtype.kind in kinds:
        raise DataError(f"holds {kinds[array.dtype.kind]}, not numbers.", where=where, fix=frame)
    if array.dtype.kind != "O" or isinstance(values, np.ma.MaskedArray):
        return
    others = datetime.date | datetime.timedelta | np.datetime64 | np.timedelta64
    for place in np.ndindex(array.shape):
        cell = array[place]
        if cell is None or isinstance(cell, others) or (isinstance(cell, str) and not is_number(cell)):
            what = f"cell {list(place)} is {cell!r:.100}, not a number."
            raise DataError(what, where=where, fix="Write np.nan for a missing cell." if cell is None else frame)


def is_number(text: str) -> bool:
    """Say whether a word is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def plain_numbers(values: ArrayLike, where: str) -> np.ndarray:
    """An array of real numbers none of which is masked: what models take beside data sets."""
    refuse_masked(values, where)
    refuse_other_cells(values, where)
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        with contextlib.suppress(TypeError, ValueError):
            if found.dtype.kind == "O":
                return found.astype(np.float64)
        raise DataError(f"holds {found.dtype} values, not real numbers.", where=where, fix="Give an array of numbers.")
    return found


def refuse_masked(values: object, where: str) -> None:
    """Refuse a masked array where nothing may be missing."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        at = list(map(int, np.argwhere(np.ma.getmaskarray(values))[0]))
        raise DataError(f"cell {at} is masked.", where=where, fix="Give a plain array: every cell is used here.")


MEASURED = 10_000
"""Held-out rows that a run's numbers and pictures are of."""


def every_nth(positions: Shaped[np.ndarray, " n"], most: int) -> np.ndarray:
    """Keep every n-th position, with the least n that keeps no more than `most`: the rows that a run is measured on."""
    # Every gap is the same, so fewer than `most` may be kept and the last may be left out, unlike by `evenly_spaced`.
    return positions[:: max(1, -(-len(positions) // most))]


def evenly_spaced(positions: Shaped[np.ndarray, " n"], most: int) -> np.ndarray:
    """Choose positions evenly spaced, in order: sorted data must not show one class only.

    Args:
        positions: Positions of rows.
        most: How many are kept at the most, from the first to the last.

    Returns:
        All positions, or `most` of them where there are more.
    """
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).round().astype(np.int64)]


HOLLOW_BYTES = 2**30
"""How much an array may declare beyond what its stored bytes can hold: a chunk of one value need not be stored."""

DAMAGE = (
    ValueError, TypeError, SyntaxError, LookupError, ArithmeticError, EOFError, RuntimeError, struct.error, zlib.error,
    zipfile.BadZipFile, gzip.BadGzipFile, tokenize.TokenError,
)  # fmt: skip
"""What NumPy, SciPy, h5py and the standard library raise for damaged bytes."""


class LackingColumn(DataError):
    """A label, id or weight was asked for by name, and the rows have none of that name."""


class OtherCells(DataError):
    """A row that is read by parts holds something else in a column than the first rows do."""


@dataclass
class Raw:
    """Rows as they came, and where the source had them labels, row ids, weights and column names."""

    x: Any  # the rows, with n as leading axis: an array, or `SparseRows`
    label: np.ndarray | None = None  # one label for each row
    names: np.ndarray | None = None  # one id for each row
    weight: np.ndarray | None = None  # one weight for each row
    columns: tuple[str, ...] | None = None  # names of the columns
    # the split that came with the data (uint8: 0 training, 1 validation, 2 test); None without one
    brought: np.ndarray | None = None
    classes: tuple[str, ...] | None = None  # names of the labels
    notes: tuple[str, ...] = ()  # what was left out or changed, a sentence each
    label_name: str | None = None  # what the source calls the label; None where it has no name for it
    # of a table with columns of several kinds what each of them is, by position; `x` then holds numbers and codes, and
    # NaN where a cell is missing. None: every column is of numbers
    kinds: dict[int, FrameColumn] | None = None
    strings: list[str] | None = None  # rows of text, in place of `x`
    lines: list[int] | None = None  # of rows of a file of text the lines where they begin, from 1
    beside: dict[str, np.ndarray] | None = None  # conditions of the rows that are no columns, by name
    cells: bool = False  # whether rows are cells and columns genes
    layers: tuple[str, ...] = ()  # of cells the layers beside the matrix that was read
    split: np.ndarray | None = None  # the split of every row, where it does not follow from its id (as of `brought`)


def without_columns(raw: Raw, names: Sequence[str]) -> Raw:
    """The same without some columns, where it has them."""
    kept = [i for i, name in enumerate(raw.columns or ()) if name not in names]
    if raw.columns is None or len(kept) == len(raw.columns):
        return raw
    kinds = None if raw.kinds is None else {at: raw.kinds[i] for at, i in enumerate(kept)}
    return replace(raw, x=raw.x[:, kept], columns=tuple(raw.columns[i] for i in kept), kinds=kinds)


@dataclass(frozen=True)
class ColumnRoles:
    """Which named columns or keys are not data."""

    label: str | None = None  # name of the label ("none" for no label at all)
    row_id: str | None = None  # name of the row id
    weight: str | None = None  # name of the weight
    # what is said of the others, by name; None: columns that are all of numbers stay an array of one type
    declared: Mapping[str, Declared] | None = None
    # of a folder of pictures what each becomes: (N, N), or (height, width, channels) of a trained model
    pictures: tuple[int, ...] | None = None
    missing: str | None = None  # "nan": transparent pixels of pictures are missing too
    pieces: str | None = None  # what rows of text are cut into; None: what has columns is a table
    # how a file is to be read, where that was said
    null: tuple[str, ...] = ()  # words that stand for an empty cell
    decimal_comma: bool = False  # whether commas stand before decimals
    separator: str | None = None  # between the cells of a line
    encoding: str | None = None  # of a text file
    sheet: str | None = None  # the name of a sheet, or its number from 1
    header: bool | None = None  # whether the first line names the columns
    layer: str | None = None  # of AnnData the layer that is read in the place of X
    beside: tuple[str, ...] = ()  # of AnnData the columns of obs that are read as conditions
    refuses: bool = True  # whether each of these must be there
    sure: bool = False  # whether all rows of a table of text say what its columns hold, not the first ones

    def asked(self) -> dict[str, str]:
        """Give the roles that were asked for by name."""
        roles = {"label": self.label, "row_id": self.row_id, "weight": self.weight}
        return {role: name for role, name in roles.items() if name is not None and (role, name) != ("label", "none")}


def no_roles(roles: ColumnRoles, where: str, fix: str, has: str = "has") -> None:
    """Refuse a label, id or weight that was asked for by name of data without columns."""
    if asked := roles.asked():
        raise LackingColumn(f"{has} no column {next(iter(asked.values()))!r}.", where=where, fix=fix)


def with_roles(raw: Raw, roles: ColumnRoles, where: str) -> Raw:
    """Refuse a label, id or weight that was asked for by name where the source has no names; drop unwanted labels."""
    have = {"label": raw.label, "row_id": raw.names, "weight": raw.weight}
    for role, name in roles.asked().items():
        if have[role] is None:
            flag = {"label": "--label", "row_id": "--id", "weight": "--weight"}[role]
            fix = f"Leave {flag} out, or use .npz."
            raise LackingColumn(f"has no named columns, so no {name!r}.", where=where, fix=fix)
    if roles.label == "none":
        raw.label = raw.classes = None
    return raw


def needed(module: str, what: str, where: str, fix: str) -> Any:
    """Import a package that only some formats need."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.split(".")[0]
        raise DataError(f"reading {what} needs {package}, which is not installed.", where=where, fix=fix) from None


def damaged(where: str, message: str, fix: str = "") -> DataError:
    """Make the error for a file that is damaged."""
    return DataError(message, where=where, fix=fix or "The file is cut off, damaged or not what its name says.")


@contextlib.contextmanager
def readable(where: str) -> Iterator[None]:
    """Say in words what a library says of a damaged file."""
    try:
        yield
    except LatensError:
        raise
    except (*DAMAGE, OSError) as error:
        # an archive that points before its own start is of EINVAL
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise damaged(where, f"cannot be read ({str(error)[:100] or type(error).__name__}).") from None


def check_stored(where: str, declared: int, stored: int) -> None:
    """Refuse an array whose chunks are not there: what is declared costs nothing, and going through it never ends."""
    if declared > HOLLOW_BYTES + MAX_RATIO * stored:
        raise damaged(where, f"its shape declares {declared / 2**30:.3g} GiB, but {stored} bytes are stored.")


def check_bytes(array: np.ndarray, where: str) -> None:
    """Refuse bytes that are no values of an array's type: a yes-or-no of 2, text of numbers that are no characters."""
    flat = array.ravel(order="K")
    if flat.dtype == np.bool_ and flat.size and flat.view(np.uint8).max() > 1:
        raise damaged(where, "a yes-or-no value is neither 0 nor 1.")
    if flat.dtype.kind == "U" and flat.size:
        # NumPy makes text of any four bytes; Python's own functions break on numbers beyond Unicode.
        points = flat.view(f"{flat.dtype.str[0]}u4")
        if points.max() > 0x10FFFF or ((points >= 0xD800) & (points < 0xE000)).any():
            raise damaged(where, "a text holds a number that is not a character.")


def join_parts(parts: dict[str, Raw], where: str) -> Raw:
    """Join training, validation and test rows that came apart, and keep the split."""
    codes = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    present = [(code, parts[name]) for name, code in codes.items() if name in parts]
    shapes = [part.x.shape[1:] for _, part in present]
    if any(shape != shapes[0] for shape in shapes):
        raise damaged(where, f"training and other rows have different shapes: {shapes}.", "Give all parts one shape.")
    for name, part in parts.items():
        if part.label is not None and np.shape(part.label)[:1] != part.x.shape[:1]:
            shown = f"the {name} part has {len(part.x)} rows and labels of shape {np.shape(part.label)}."
            raise damaged(where, shown, "Give one label for each row.")
    # NaN ("no label") where only other parts have some
    labels = [np.full(len(part.x), np.nan) if part.label is None else part.label for _, part in present]
    return Raw(
        x=np.concatenate([part.x for _, part in present]),
        label=np.concatenate(labels) if any(part.label is not None for _, part in present) else None,
        brought=np.concatenate([np.full(len(part.x), code, np.uint8) for code, part in present]),
    )


@contextlib.contextmanager
def file_errors(where: str) -> Iterator[None]:
    """Say in words why a file could not be read."""
    try:
        yield
    except LatensError:
        raise
    except MemoryError:
        raise ResourceError("does not fit into memory.", where=where, fix="Use fewer rows.") from None
    except FileNotFoundError:
        raise DataError("no such file or folder.", where=where, fix="Check the path.") from None
    except PermissionError:
        raise ResourceError("may not be read.", where=where, fix="Give yourself permission to read it.") from None
    except OSError as error:
        fix = "Check the disk or the network that it lies on, or copy it to another place."
        raise ResourceError(f"cannot be read ({error.strerror or str(error)[:100]}).", where=where, fix=fix) from None
