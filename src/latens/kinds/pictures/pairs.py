"""Two sets of pictures, paired by row, as one: each row the source on the left and its target on the right."""

from pathlib import PurePath

import numpy as np

from latens.data.raw import Raw
from latens.errors import DataError


def side_by_side(source: Raw, target: Raw, where: str, other: str) -> Raw:
    """Put every picture beside the one that it is paired with, by name where both have names, else by position."""
    # Grey pictures beside colours get three equal channels. Names are compared without their endings.
    both = f"{where} and {other}"
    if len(source.x) != len(target.x):
        what = f"{where} has {len(source.x)} rows, and {other} has {len(target.x)}."
        raise DataError(what, where=both, fix="Give each row of the source its target.")
    order = _order(source, target, where, other)
    left, right = source.x, target.x[order]
    if left.ndim < right.ndim:
        left = as_colours(left)
    elif right.ndim < left.ndim:
        right = as_colours(right)
    if left.ndim not in (3, 4) or left.shape != right.shape:
        what = f"{where} has rows of shape {source.x.shape[1:]}, and {other} of {target.x.shape[1:]}."
        raise DataError(what, where=both, fix="Give pictures of one size; blank what one of them lacks.")
    tops = [float(x.max(initial=0)) for x in (left, right)]
    if (min(tops) <= 1 < max(tops)) or (left.dtype.kind == "f") != (right.dtype.kind == "f"):
        what = f"{where} has {left.dtype} cells up to {tops[0]:g}, and {other} {right.dtype} cells up to {tops[1]:g}."
        raise DataError(what, where=both, fix="Give both one scale: for example 0 to 255, as pictures have it.")
    split = target.brought if target.brought is None else target.brought[order]
    if split is not None and source.brought is not None and np.any(split != source.brought):
        what = f"{where} and {other} bring different divisions into training and test rows."
        raise DataError(what, where=both, fix="Give both from one division, or as plain arrays.")
    split = split if source.brought is None else source.brought
    label = source.label if target.label is None or source.label is not None else target.label[order]
    classes = target.classes if label is not source.label else source.classes
    notes = (f"each row is a row of {where} with its pair of {other} to the right.", *source.notes, *target.notes)
    x = np.concatenate([left, right], axis=2)
    return Raw(x, label, source.names, source.weight, None, split, classes, notes)


def as_colours(x: np.ndarray) -> np.ndarray:
    """Give grey pictures three equal channels."""
    return np.repeat(x[..., None], 3, axis=-1)


def _order(source: Raw, target: Raw, where: str, other: str) -> np.ndarray:
    """The position of each source's target."""
    if source.names is None or target.names is None:
        return np.arange(len(source.x))
    names, others = ([_stem(name) for name in raw.names.tolist()] for raw in (source, target) if raw.names is not None)
    places = {name: place for place, name in enumerate(others)}
    lacking = [name for name in names if name not in places]
    if lacking or len(places) != len(others) or len(set(names)) != len(names):
        known = set(names)
        missing = next((name for name in others if name not in known), None)
        what = f"{where} has {lacking[0]!r}, and {other} has not" if lacking else "a name stands twice"
        what += f"; {other} has {missing!r}, and {where} has not." if missing is not None else "."
        raise DataError(what, where=f"{where} and {other}", fix="Give both sides the same names.")
    return np.array([places[name] for name in names], np.int64)


def _stem(name: object) -> str:
    return str(PurePath(str(name)).with_suffix("")) if str(name) else ""
