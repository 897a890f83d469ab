"""What the columns or pixels of a data set are: enough to build a model without seeing a row."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, NoReturn, get_args

from latens.errors import ModelFileError, nearest

Kind = Literal["binary", "levels", "unit", "real", "counts"]
"""What a cell holds: 0 or 1; an integer 0..levels-1; a number in [0, 1]; any real number; a whole number from 0 on."""

SMALLEST_SIDE = 8  # 16 yes-or-no answers are not a picture of 4 by 4
MAX_CELLS = 2**27
MAX_LEVELS = 65536
MAX_CLASSES = 65536
MAX_NAME = 1000
# A shift or scale must survive float32, also when it is inverted.
MAX_SHIFT, MIN_SCALE, MAX_SCALE = 1e38, 1e-37, 1e37


@dataclass(frozen=True)
class Column:
    """One column of a table: its name and, for real columns, the shift and scale that standardise it.

    Those of a column of counts standardise log(1 + x).

    Args:
        name: Name of the column.
        shift: What is subtracted, in the unit of the column.
        scale: What the difference is divided by, above 0.
    """

    name: str
    shift: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Schema:
    """The shape and meaning of one row.

    Args:
        shape: Shape of one event.
        kind: Kind of its values: "binary", "levels", "unit", "real" or "counts".
        levels: How many levels there are; for kind "levels".
        columns: The columns of a table (their number is the only entry of `shape`).
        classes: Names of the labels, if there are any.
        shift: Shift that standardises real values that are no columns (images of real numbers).
        scale: Scale of the same.
    """

    shape: tuple[int, ...]
    kind: Kind
    levels: int | None = None
    columns: tuple[Column, ...] | None = None
    classes: tuple[str, ...] | None = None
    shift: float = 0.0
    scale: float = 1.0

    @property
    def standardised(self) -> bool:
        """Whether a model works on standardised values: real numbers, or the logarithms of counts."""
        return self.kind in ("real", "counts")

    def to_json(self) -> dict[str, Any]:
        """Give the fields for JSON.

        Returns:
            The fields by name.
        """
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Schema":
        """Make a schema of parsed JSON that may come from a stranger.

        Every type and bound is checked before anything is built: at most 2**27 features, 2 to 65536 levels, unique
        names of at most 1000 characters, finite numbers, scales above 0.

        Args:
            value: The parsed JSON.

        Returns:
            The schema.

        Raises:
            ModelFileError: Naming the entry.
        """
        entry = _object(value, "schema", ("shape", "kind"), ("levels", "columns", "classes", "shift", "scale"))
        shape = _shape(entry["shape"])
        kind = entry["kind"]
        if kind not in get_args(Kind):
            known = nearest(kind, get_args(Kind)) if isinstance(kind, str) else f"Valid: {', '.join(get_args(Kind))}."
            _bad("schema.kind", f"{str(kind)[:50]!r} is no kind of cell. {known}")
        levels = entry.get("levels")
        if kind == "levels":
            levels = _integer(levels, "schema.levels", 2, MAX_LEVELS)
        elif levels is not None:
            _bad("schema.levels", f"only kind 'levels' has levels, not {kind!r}.")
        columns = entry.get("columns")
        if columns is not None:
            columns = _columns(columns, shape)
        classes = entry.get("classes")
        if classes is not None:
            classes = _names(_list(classes, "schema.classes", MAX_CLASSES), "schema.classes")
        shift, scale = (
            _number(entry.get("shift", 0.0), "schema.shift"),
            _number(entry.get("scale", 1.0), "schema.scale"),
        )
        if abs(shift) > MAX_SHIFT or not MIN_SCALE <= scale <= MAX_SCALE:
            _bad("schema.scale", f"a shift of {shift:g} and a scale of {scale:g} do not survive float32.")
        return cls(shape, kind, levels, columns, classes, shift, scale)


def image_shape(schema: Schema) -> tuple[int, ...] | None:
    """Give the shape of rows that are images.

    Images are rows with two axes, or three of which the last has length 1 or 3; and unnamed rows of one axis whose
    values are binary, levels or in [0, 1] and whose length is a square, 8 by 8 or more (784 is 28 by 28).

    Args:
        schema: The schema of a row.

    Returns:
        (H, W) or (H, W, C), or None for rows that are no images.
    """
    shape = schema.shape
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)):
        return shape
    if len(shape) == 1 and schema.columns is None and schema.kind != "real":
        side = math.isqrt(shape[0])
        return (side, side) if side * side == shape[0] and side >= SMALLEST_SIDE else None
    return None


def _bad(where: str, message: str) -> NoReturn:
    raise ModelFileError(message, where=where, fix="The file was changed or damaged: use an intact copy.")


def _object(value: Any, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """A JSON object with exactly these keys; also used by the other parts of a model file."""
    if not isinstance(value, dict):
        _bad(where, f"must be an object, not {type(value).__name__}.")
    for key in value:
        if key not in required + optional:
            hint = nearest(str(key)[:MAX_NAME], required + optional)
            _bad(where, f"has an unknown entry {str(key)[:50]!r}. {hint}")
    for key in required:
        if key not in value:
            _bad(where, f"lacks the entry {key!r}.")
    return value


def _list(value: Any, where: str, most: int) -> list[Any]:
    if not isinstance(value, list | tuple):
        _bad(where, f"must be a list, not {type(value).__name__}.")
    if len(value) > most:
        _bad(where, f"has {len(value)} entries, at most {most} are allowed.")
    return list(value)


def _integer(value: Any, where: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        _bad(where, f"must be a whole number from {low} to {high}, not {str(value)[:50]!r}.")
    return value


def _number(value: Any, where: str) -> float:
    """A finite JSON number; booleans are not numbers, and an integer too large for a float is not finite."""
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        _bad(where, f"must be a finite number, not {str(value)[:50]!r}.")
    return number


def _shape(value: Any) -> tuple[int, ...]:
    shape = tuple(_integer(n, "schema.shape", 1, MAX_CELLS) for n in _list(value, "schema.shape", 8))
    if math.prod(shape) > MAX_CELLS:
        _bad("schema.shape", f"{shape} has more than {MAX_CELLS} cells.")
    return shape


def _names(values: list[Any], where: str) -> tuple[str, ...]:
    for i, name in enumerate(values):
        if not isinstance(name, str) or len(name) > MAX_NAME:
            _bad(f"{where}[{i}]", f"must be text of at most {MAX_NAME} characters.")
    if len(set(values)) != len(values):
        _bad(where, "holds a name twice.")
    return tuple(values)


def _columns(value: Any, shape: tuple[int, ...]) -> tuple[Column, ...]:
    entries = _list(value, "schema.columns", MAX_CELLS)
    if shape != (len(entries),):
        _bad("schema.columns", f"has {len(entries)} columns for rows of shape {shape}.")
    columns = []
    for i, entry in enumerate(entries):
        where = f"schema.columns[{i}]"
        item = _object(entry, where, ("name", "shift", "scale"))
        _names([item["name"]], where)
        shift, scale = _number(item["shift"], f"{where}.shift"), _number(item["scale"], f"{where}.scale")
        if abs(shift) > MAX_SHIFT:
            _bad(f"{where}.shift", f"must lie within {MAX_SHIFT:g}, not {shift!r}.")
        if not MIN_SCALE <= scale <= MAX_SCALE:
            _bad(f"{where}.scale", f"must lie between {MIN_SCALE:g} and {MAX_SCALE:g}, not {scale!r}.")
        columns.append(Column(item["name"], shift, scale))
    _names([column.name for column in columns], "schema.columns")
    return tuple(columns)
