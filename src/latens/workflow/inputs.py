"""What callers give a trained model, checked: rows, latents, codes of classes and seeds."""

from typing import Any

import jax
import numpy as np

from latens.data.formats.tables import is_frame
from latens.data.rows import plain_numbers
from latens.errors import DataError, UsageError
from latens.typing import Key, checked_later


def rows_of(data: Any, positions: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """An array of rows as the model takes them: finite numbers, of which flattened ones get their shape back."""
    if np.ma.is_masked(data):
        what, fix = "rows with masked cells are no plain array.", "Give latens.load_data(rows, schema=...)."
        raise DataError(what, where="data", fix=fix)
    if is_frame(data):  # whose columns have names, which an array of it would lose
        fix = "Give latens.load_data(frame, schema=model.schema)."
        raise DataError("a frame is not an array of rows.", where="data", fix=fix)
    rows = plain_numbers(data, "data")
    rows = rows if positions is None else rows[positions]
    if rows.ndim == 0 or rows.size == 0:
        raise DataError(f"has shape {rows.shape}: no rows.", where="data", fix="Give at least one row.")
    if rows.shape[1:] != shape and rows[0].size == np.prod(shape):
        rows = rows.reshape(len(rows), *shape)
    bad = np.argwhere(~np.isfinite(rows)) if rows.dtype.kind == "f" else np.zeros((0, 0))
    if len(bad):
        row, cell = int(bad[0][0]), ", ".join(map(str, bad[0][1:].tolist()))
        fix = 'For missing cells: latens.load_data(rows, missing="nan", schema=model.schema). Infinity is never taken.'
        raise DataError(f"cell [{cell}] of row {row} is {rows[tuple(bad[0])]}.", where="data", fix=fix)
    return rows if rows.dtype == np.uint8 else rows.astype(np.float32)


def latents_of(z: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Latents of a model with latents of this shape, also flattened ones."""
    z = plain_numbers(z, "z")
    if z.shape[1:] != shape and z.shape[1:] == (int(np.prod(shape)),):
        z = z.reshape(len(z), *shape)
    if z.ndim == 0 or z.shape[1:] != shape or not len(z) or not np.isfinite(z).all():
        found = f"of shape {z.shape}" if z.shape[1:] != shape or not z.size else "that are not finite"
        fix = f"Give finite numbers of shape (n, {', '.join(map(str, shape))})."
        raise DataError(f"there are latents {found}.", where="z", fix=fix)
    return z


def one_hot(codes: Any, count: int) -> np.ndarray:
    """One-hot vectors of codes of classes, of which there are `count`."""
    found = np.asarray(codes)
    if found.dtype.kind not in "iu" or not ((found >= 0) & (found < count)).all():
        fix = f"Give codes from 0 to {count - 1}; `code_of` has them by name." if count else "Leave it out."
        raise UsageError(f"{codes!r:.100} holds no codes of the {count} classes.", where="label", fix=fix)
    return np.eye(count, dtype=np.float32)[found]


@checked_later
def seed_key(seed: Any) -> Key:
    """The random key of a seed."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not -(2**63) <= seed < 2**63:
        raise UsageError(f"{seed!r:.100} is not a seed.", where="seed", fix="Give a whole number of at most 63 bits.")
    return jax.random.key(int(seed))
