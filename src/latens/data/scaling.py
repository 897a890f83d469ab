"""The shifts and scales that standardise a row, also where they come as arrays of a program."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from msgspec.structs import asdict, replace

from latens.data.schema import Schema
from latens.typing import AnyArray


class ScaledLater(Schema, frozen=True):
    """A schema whose shifts and scales are arrays that a program is given; its columns hold NaN instead."""

    numbers: tuple[Any, Any] = (None, None)  # the pair of shifts and scales; the other fields are those of `Schema`

    @classmethod
    def of(cls, blank: Schema, numbers: tuple[Any, Any]) -> "ScaledLater":
        """Put arrays in the place of a schema's shifts and scales."""
        return cls(**asdict(blank), numbers=numbers)


def unscaled(schema: Schema) -> tuple[Schema, tuple[Any, Any]]:
    """Give a schema with NaN for its shifts and scales, and these."""
    nan, given, sequences = float("nan"), schema.columns, schema.sequences
    if sequences is not None:
        given = sequences.columns
        blank = tuple(replace(one, shift=nan, scale=nan) for one in given)
        sequences = replace(sequences, columns=blank)
    columns = None if schema.columns is None else tuple(replace(c, shift=nan, scale=nan) for c in schema.columns)
    pairs = [(schema.shift, schema.scale)] if given is None else [(c.shift, c.scale) for c in given]
    shifts, scales = np.array(pairs, np.float32).T
    numbers = (shifts[0], scales[0]) if given is None else (shifts, scales)
    return replace(schema, shift=nan, scale=nan, columns=columns, sequences=sequences), numbers


def scaling(schema: Schema) -> tuple[AnyArray, AnyArray]:
    """Give the shifts and scales that standardise a row."""
    if isinstance(schema, ScaledLater):
        shift, scale = schema.numbers
        return jnp.broadcast_to(shift, schema.shape), jnp.broadcast_to(scale, schema.shape)
    if schema.sequences is not None:
        shift, scale = schema.sequences.scaling
        return np.broadcast_to(shift, schema.shape), np.broadcast_to(scale, schema.shape)
    if schema.columns is None:
        # jax's, not NumPy's: under eval_shape they take no memory, whatever shape a stranger's file claims.
        return jnp.full(schema.shape, schema.shift, jnp.float32), jnp.full(schema.shape, schema.scale, jnp.float32)
    return np.array([c.shift for c in schema.columns]), np.array([c.scale for c in schema.columns])


def restricted(schema: Schema, shape: tuple[int, ...], places: tuple[int, ...]) -> Schema:
    """Give the schema of some columns, or of a part of an image."""
    if schema.columns is None:
        return replace(schema, shape=shape)
    schema = replace(schema, shape=shape, columns=tuple(schema.columns[place] for place in places))
    if isinstance(schema, ScaledLater):
        shift, scale = (numbers[np.array(places)] for numbers in schema.numbers)
        schema = replace(schema, numbers=(shift, scale))
    return schema
