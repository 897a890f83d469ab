"""What every reader of files shares: rows as they came, the roles of columns, and bounds on what a file may claim."""

import contextlib
import errno
import gzip
import importlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latens.data.row_fields import TEST, TRAIN, VALIDATION
from latens.errors import DataError, LatensError, ResourceError
from latens.io.file_limits import MAX_RATIO
from latens.kinds.tables.columns import FrameColumn
from latens.kinds.tables.derived import Declared

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
