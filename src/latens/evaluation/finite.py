"""What a model gives is finite, or it is refused: no NaN and no infinity is ever written or returned as a result."""

import numpy as np

from latens.errors import DivergedError

_FIX = (
    "The weights of the model are too large for its precision, or these rows lie far outside of those it was trained "
    "on: `latens info` shows the model, `latens check` the rows."
)


def finite(values: np.ndarray, what: str, *, where: str = "model", minus_infinity: bool = False) -> np.ndarray:
    r"""Refuse values that are NaN or infinite, and return them where all are finite.

    Args:
        values: Numbers of any shape, with the rows as leading axis.
        what: What they are called in the message.
        where: The file or model that the message names.
        minus_infinity: Whether $-\infty$ may be among them: the logarithm of a probability of 0.

    Returns:
        The values.

    Raises:
        DivergedError: With the number of rows that hold NaN or infinity, and the first of them.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fc":
        return values
    good = np.asarray(np.isfinite(array))
    if minus_infinity:
        good |= np.isneginf(array)
    if good.all():
        return values
    bad = np.asarray(~good.reshape(len(array) if array.ndim else 1, -1).all(axis=1))
    message = f"{what}: {int(bad.sum())} of {bad.size} rows hold NaN or infinity, row {int(bad.argmax())} is the first."
    raise DivergedError(message, where=where, fix=_FIX)
