"""What the columns or pixels of a data set are: enough to build a model without seeing a row."""

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import msgspec
import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import asdict, replace
from numpy.typing import ArrayLike

from latens.data.columns_and_conditions import Column as Column
from latens.data.columns_and_conditions import Condition as Condition
from latens.data.columns_and_conditions import Name, Scale, Shift
from latens.errors import DataError, ModelFileError
from latens.kinds import KINDS, kind_of
from latens.kinds.numbers import CELLS, Cells
from latens.kinds.steps.sequences import Sequences
from latens.kinds.steps.world import World
from latens.kinds.tables.columns import ColumnType
from latens.kinds.tables.derived import Derived
from latens.kinds.text.vocabulary import Tokens, unknown_pieces
from latens.runtime.atomic import typed
from latens.typing import AnyArray

Kind = Literal["binary", "levels", "unit", "real", "counts", "mixed", "tokens"]
"""What a cell holds: 0 or 1; an integer 0..levels-1; a number in [0, 1]; any real number; a whole number from 0 on; of
mixed tables what its column says; the code of a piece of text, where 0 ends the row."""

MAX_CELLS = 2**27
MOST_CORRELATED = 1024  # values of a row above which no covariance of all of them is held
MAX_LEVELS = 65536
MAX_CLASSES = 65536
TINY = 1e-30
"""Below it, values that vary may be 0 in single precision."""

_LATER = ("types", "ignored", "tokens", "conditions", "sequences", "world", "derived")
DAMAGED = "The file was changed or damaged: use an intact copy."


class Schema(Struct, frozen=True, forbid_unknown_fields=True):
    """The shape and meaning of one row.

    Args:
        shape: Shape of one event.
        kind: Kind of its values: "binary", "levels", "unit", "real", "counts", "mixed" or "tokens".
        levels: How many levels there are; for kind "levels".
        columns: The columns of a table (their number is the only entry of `shape`).
        classes: Names of the labels, if there are any.
        shift: Shift that standardises real values that are no columns (images of real numbers).
        scale: Scale of the same.
        types: What each column of a mixed table holds, one for each of `columns`.
        ignored: Names of the columns of a table that are not modelled.
        tokens: How strings are written as rows, for kind "tokens".
        conditions: What the model is told of a row beside its label.
        sequences: Of rows that are steps of a long table, shape (steps, columns): these columns, and the time between
            two steps.
        world: Of a recording of an environment, its name, spaces and limit of steps.
        derived: Columns of a mixed table that are computed of others and not modelled, each after those it needs.
    """

    shape: Annotated[tuple[Annotated[int, Meta(ge=1, le=MAX_CELLS)], ...], Meta(max_length=8)]
    kind: Kind
    levels: Annotated[int, Meta(ge=2, le=MAX_LEVELS)] | None = None
    columns: tuple[Column, ...] | None = None
    classes: Annotated[tuple[Name, ...], Meta(max_length=MAX_CLASSES)] | None = None
    shift: Shift = 0.0
    scale: Scale = 1.0
    types: tuple[ColumnType, ...] | None = None
    ignored: tuple[Name, ...] | None = None
    tokens: Tokens | None = None
    conditions: Annotated[tuple[Condition, ...], Meta(min_length=1, max_length=1000)] | None = None
    sequences: Sequences | None = None
    world: World | None = None
    derived: Annotated[tuple[Derived, ...], Meta(min_length=1, max_length=1000)] | None = None

    @property
    def names(self) -> list[str]:
        """The names of the columns of a table; none of other rows."""
        return [column.name for column in self.columns or ()]

    @property
    def typed_columns(self) -> list[tuple[Column, ColumnType | None]]:
        """The columns of a table, each with what it holds, where that is known."""
        return list(itertools.zip_longest(self.columns or (), self.column_types))

    @property
    def column_types(self) -> tuple[ColumnType, ...]:
        """What the columns of a mixed table hold; none of other rows."""
        return self.types or ()

    @property
    def steps(self) -> Sequences:
        """What rows that are sequences are made of."""
        found = self.sequences
        assert found is not None
        return found

    @property
    def inputs(self) -> tuple[Condition, ...]:
        """What a model is told at every step, of rows that are sequences."""
        return self.sequences.inputs if self.sequences else ()

    @property
    def scaled(self) -> tuple[Column, ...] | None:
        """The columns that have a shift and a scale of their own, of a table or of every step; None of other rows."""
        return self.sequences.columns if self.sequences else self.columns

    @property
    def num_values(self) -> int:
        """How many values a cell of whole numbers may have."""
        return self.tokens.size if self.tokens else self.levels or 2

    @property
    def cells(self) -> Cells:
        """What the cells of a row hold."""
        top, grey = float(self.num_values - 1), self.levels is not None
        return CELLS.get(self.kind) or Cells(f"a whole number from 0 to {top:g}", top, True, pixel=grey, grey=grey)

    @property
    def image(self) -> tuple[int, ...] | None:
        """The shape of rows that are images."""
        return kind_of(self).image(self)

    @property
    def standardised(self) -> bool:
        """Whether a model works on standardised values: real numbers, or the logarithms of counts."""
        return self.cells.logged or self.cells.real

    @property
    def vocabulary(self) -> Tokens:
        """How strings are written as rows of codes; an error of rows that are not text."""
        if found := self.tokens:
            return found
        raise DataError(f"rows of kind {self.kind!r} are not text.", fix="Give and read them as numbers.")

    def encode(self, texts: Sequence[str], *, where: str = "data") -> np.ndarray:
        """Write strings as rows of codes, for kind "tokens".

        Args:
            texts: The strings.
            where: How an error names them.

        Returns:
            Whole numbers of shape (n, *shape): codes from 1 on, then 0.

        Raises:
            DataError: A string is empty or too long, or has a piece that the vocabulary lacks; or rows are not text.
        """
        codes, strange = self.vocabulary.coded(texts, self.shape[0], where)
        if strange:
            raise unknown_pieces(strange, self.vocabulary, where)
        return codes

    def decode(self, x: ArrayLike) -> list[str]:
        """Read rows of codes as strings, up to the first 0 of each.

        Args:
            x: Whole numbers of shape (n, steps).

        Returns:
            The strings.

        Raises:
            DataError: Rows of this kind are not text.
        """
        return self.vocabulary.texts(x)

    def to_json(self) -> dict[str, Any]:
        """Give the fields for JSON.

        Returns:
            The fields by name.
        """
        value = msgspec.to_builtins(self, enc_hook=lambda number: number.item())  # numbers of NumPy
        # Fields that came later are given only where they say something: other files stay the same.
        return {name: entry for name, entry in value.items() if name not in _LATER or entry is not None}

    @classmethod
    def from_json(cls, value: object) -> "Schema":
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
        schema = typed(value, cls, where="schema.", fix=DAMAGED)
        shape, columns = schema.shape, schema.columns
        if math.prod(shape) > MAX_CELLS:
            raise _wrong("shape", f"{shape} has more than {MAX_CELLS} cells")
        if columns is not None and shape != (len(columns),):
            raise _wrong("columns", f"has {len(columns)} columns for rows of shape {shape}")
        for entry, kind in (("levels", "levels"), ("types", "mixed"), ("tokens", "tokens")):
            if (getattr(schema, entry) is not None) != (schema.kind == kind):
                raise _wrong(entry, f"only kind {kind!r} has {entry}, and always: not {schema.kind!r}")
        own = any(getattr(schema, name) is not None for name in ("sequences", "world", "tokens", "types", "derived"))
        for one in KINDS if own else ():
            if wrong := one.wrong(schema):
                raise _wrong(*wrong)
        several = [one.name for one in schema.conditions or ()]
        if any(one.values and one.usual not in range(one.width) for one in schema.conditions or ()):
            raise _wrong("conditions", "name no usual value")
        named = (
            ("columns", [c.name for c in columns or ()]),
            ("classes", schema.classes or ()),
            ("conditions", several),
        )
        for name, names in named:
            if len(set(names)) != len(names):
                raise _wrong(name, "holds a name twice")
        return schema


def _wrong(entry: str, what: str) -> ModelFileError:
    return ModelFileError(f"{what}.", where=f"schema.{entry}", fix=DAMAGED)


class ScaledLater(Schema, frozen=True):
    """A schema whose shifts and scales are arrays that a program is given; its columns hold NaN instead."""

    numbers: tuple[Any, Any] = (None, None)  # the pair of shifts and scales; the other fields are those of `Schema`

    @classmethod
    def of(cls, blank: Schema, numbers: tuple[Any, Any]) -> "ScaledLater":
        """Put arrays in the place of a schema's shifts and scales."""
        return cls(**asdict(blank), numbers=numbers)


def unscaled(schema: Schema) -> tuple[Schema, tuple[Any, Any]]:
    """Give a schema with NaN for its shifts and scales, and these."""
    nan, given, sequences = float("nan"), schema.scaled, schema.sequences
    shifts, scales = np.array([(c.shift, c.scale) for c in given or (schema,)], np.float32).T
    numbers = (shifts[0], scales[0]) if given is None else (shifts, scales)
    blank = None if given is None else tuple(replace(one, shift=nan, scale=nan) for one in given)
    found = replace(schema, shift=nan, scale=nan)
    if sequences:
        return replace(found, sequences=replace(sequences, columns=blank)), numbers
    return replace(found, columns=blank), numbers


def scaling(schema: Schema) -> tuple[AnyArray, AnyArray]:
    """Give the shifts and scales that standardise a row."""
    if isinstance(schema, ScaledLater):
        shift, scale = schema.numbers
        return jnp.broadcast_to(shift, schema.shape), jnp.broadcast_to(scale, schema.shape)
    if schema.scaled is None:
        # jax's, not NumPy's: under eval_shape they take no memory, whatever shape a stranger's file claims.
        return jnp.full(schema.shape, schema.shift, jnp.float32), jnp.full(schema.shape, schema.scale, jnp.float32)
    pairs = np.array([(c.shift, c.scale) for c in schema.scaled]).T
    return np.broadcast_to(pairs[0], schema.shape), np.broadcast_to(pairs[1], schema.shape)


def is_series(schema: Schema) -> bool:
    """Whether rows are windows of several times by several real numbers, few enough to hold all their correlations."""
    times, *rest = schema.shape
    few = math.prod(schema.shape) <= MOST_CORRELATED
    return schema.cells.real and len(rest) == 1 and min(times, *rest) > 0 and times > 1 and few


def restricted(schema: Schema, shape: tuple[int, ...], places: tuple[int, ...]) -> Schema:
    """Give the schema of some columns, or of a part of an image."""
    if schema.columns is None:
        return replace(schema, shape=shape)
    schema = replace(schema, shape=shape, columns=tuple(schema.columns[place] for place in places))
    if isinstance(schema, ScaledLater):
        shift, scale = (numbers[np.array(places)] for numbers in schema.numbers)
        schema = replace(schema, numbers=(shift, scale))
    return schema
