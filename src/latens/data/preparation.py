"""What turns a stored row into what a model sees: scaling, binarisation, dequantisation."""

import dataclasses
import math
from types import ModuleType
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import asdict

from latens.data.dataset import Batch
from latens.data.schema import DAMAGED, MAX_CLASSES
from latens.errors import ConfigError, ModelFileError, nearest
from latens.runtime.atomic import typed
from latens.runtime.random_keys import HIDDEN, MOVED
from latens.typing import AnyArray, Array, Key, Shaped

MOST_SHIFT = 64
"""Pixels that a picture can be moved at the most."""

BINARIZE = ("none", "threshold", "stochastic")
_LATER = ("log1p", "classes", "hide", "shift", "flip", "depth")

DEPTH = "depth"
"""The name of the condition that is the logarithm of the total of a row's observed counts."""


class Preparation(Struct, frozen=True, forbid_unknown_fields=True, weakref=True):
    """What turns a stored row into what a model sees: scaling, binarisation, dequantisation.

    A pure function of (key, row), for use inside jit and vmap. Stored rows stay as they are. With p = x / divide, one
    row becomes

    - p                    by default (grey in [0, 1] for pixels with divide = 255),
    - 1 if p > threshold   with binarize = "threshold",
    - 1 with probability p with binarize = "stochastic" (drawn anew at every call),
    - (x + u) / divide     with dequantize, u ~ U[0, 1): divide is then the number of levels,
    - x as int32           with integer (categorical levels); nothing else may be switched on,
    - log(1 + x)           with log1p (counts); nothing else may be switched on.

    Args:
        divide: What a stored value is divided by.
        binarize: "none", "threshold" or "stochastic".
        threshold: Value of p above which it becomes 1.
        dequantize: Whether uniform noise is added to levels.
        integer: Whether levels stay integers.
        log1p: Whether the logarithm of 1 + x is taken.
        classes: Above 0 a batch also gets `cond["label"]`, the label of each row as a one-hot vector of so many
            numbers: what a conditional model reads.
        hide: The share of the rows of a training batch of which some cells are hidden, so that the encoder learns to
            do with the others (see `hide_cells`).
        shift: How many pixels a picture is moved at the most, down or up and to the right or left, in a training batch.
        flip: Whether every other picture of a training batch is mirrored, left for right.
        depth: Whether a batch also gets `cond["depth"]`, the logarithm of each row's total (of counts; at least 1).

    Raises:
        ConfigError: For settings that contradict each other.
    """

    divide: float = 1.0
    binarize: str = "none"
    threshold: float = 0.5
    dequantize: bool = False
    integer: bool = False
    log1p: bool = False
    classes: int = 0
    hide: Annotated[float, Meta(ge=0, le=1)] = 0.0
    shift: Annotated[int, Meta(ge=0, le=MOST_SHIFT)] = 0
    flip: bool = False
    depth: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.divide) and self.divide > 0):
            raise ConfigError(f"divide must be above 0, not {self.divide!r}.", where="preparation.divide")
        if not math.isfinite(self.threshold):
            raise ConfigError(f"threshold must be finite, not {self.threshold!r}.", where="preparation.threshold")
        if self.binarize not in BINARIZE:
            known = nearest(str(self.binarize), BINARIZE)
            raise ConfigError(f"there is no binarisation {self.binarize!r}.", where="preparation.binarize", fix=known)
        if not 0 <= self.classes <= MAX_CLASSES:
            what = f"classes must be a number from 0 to {MAX_CLASSES}, not {self.classes}."
            raise ConfigError(what, where="preparation.classes", fix="Use fewer classes.")
        chosen = [self.binarize != "none", self.dequantize, self.integer, self.log1p]
        if sum(chosen) > 1 or ((self.integer or self.log1p) and self.divide != 1.0):
            what = "binarize, dequantize, integer and log1p exclude each other, and the last two allow no divide."
            raise ConfigError(what, where="preparation", fix="Choose one of them.")

    @property
    def is_random(self) -> bool:
        """Whether a call needs a key."""
        return self.dequantize or self.binarize == "stochastic"

    def __call__(self, x: Shaped[AnyArray, "*x"], *, key: Key | None) -> Shaped[AnyArray, "*x"]:
        """Prepare one row."""
        # `key` may be None where `is_random` is False.
        # On the host nothing is compiled, where JAX would make a program of each operation.
        xp: ModuleType = np if isinstance(x, np.ndarray) and not self.is_random else jnp
        if self.integer:
            return xp.asarray(x).astype(np.int32)
        values: Any = xp.asarray(x).astype(np.float32)
        if self.log1p:
            return xp.log1p(values)
        if self.is_random:
            if key is None:
                what = "dequantize" if self.dequantize else "stochastic binarize"
                raise ConfigError(f"{what} draws at random and needs a key.", where="preparation", fix="Pass key=...")
            noise = jax.random.uniform(key, values.shape, jnp.float32)
            if self.dequantize:
                # In float32 the sum of 255 and a u just below 1 rounds to 256, outside its half-open bin. The bound
                # is taken after the division, which a compiler may turn into a product with other last bits.
                below = jnp.nextafter((values + 1.0) / self.divide, jnp.zeros_like(values))
                return jnp.minimum((values + noise) / self.divide, below)
            return (noise < values / self.divide).astype(jnp.float32)
        grey = values / self.divide if self.divide != 1.0 else values
        return (grey > self.threshold).astype(np.float32) if self.binarize == "threshold" else grey

    def to_json(self) -> dict[str, Any]:
        """Give the fields for JSON.

        Fields that came later than the rest are given only where they are on: other files stay the same.

        Returns:
            The fields by name.
        """
        return {key: value for key, value in asdict(self).items() if key not in _LATER or value}

    @classmethod
    def from_json(cls, value: object) -> "Preparation":
        """Make a preparation of parsed JSON that may come from a stranger: exactly these fields, of these types.

        Args:
            value: The parsed JSON.

        Returns:
            The preparation.

        Raises:
            ModelFileError: For other fields, types or settings.
        """
        wanted = [name for name in cls.__struct_fields__ if name not in _LATER]
        if not isinstance(value, dict) or not set(wanted) <= set(value):
            raise ModelFileError(f"must have the entries {', '.join(wanted)}.", where="preparation", fix=DAMAGED)
        return typed(value, cls, where="preparation.", fix=DAMAGED)


def prepare_batch(preparation: Preparation, batch: Batch, *, key: Key | None) -> Batch:
    """Prepare every row of a batch, each with its own random key.

    A row's key is `fold_in(key, row_id)`, so permuting, chunking or padding a batch keeps every row's noise. Labels
    become conditions where the preparation has `classes`; a row without a label gets zeros.

    Args:
        preparation: What is done to a row.
        batch: The stored rows, B of them.
        key: Random key; None where nothing is random.

    Returns:
        The batch as the model sees it.
    """
    if not preparation.is_random or key is None:
        x = preparation(batch.x, key=None)
    else:

        def one(row: Array, row_id: Array) -> AnyArray:
            return preparation(row, key=jax.random.fold_in(key, row_id))

        x = jax.vmap(one)(jnp.asarray(batch.x), jnp.asarray(batch.row_id))
    if preparation.depth:
        batch = dataclasses.replace(batch, cond={**(batch.cond or {}), DEPTH: jax.vmap(log_depth)(x, batch.mask)})
    if preparation.classes == 0 or batch.label is None:
        return dataclasses.replace(batch, x=x)
    label = jax.nn.one_hot(jnp.asarray(batch.label), preparation.classes, dtype=jnp.float32)
    return dataclasses.replace(batch, x=x, cond={**(batch.cond or {}), "label": label})


def log_depth(x: Shaped[AnyArray, "*x"], mask: AnyArray | None = None) -> Array:
    r"""The logarithm of a row's total, $\log\max(\sum_g x_g, 1)$ over what is observed: an empty row counts as 1."""
    counts = jnp.asarray(x) if mask is None else jnp.where(mask, x, 0)
    return jnp.log(jnp.maximum(jnp.sum(counts.astype(jnp.float32)), 1.0))


def move_pictures(preparation: Preparation, batch: Batch, *, key: Key) -> Batch:
    """Move and mirror the pictures of a training batch at random, each by itself."""
    # A picture is moved by whole pixels, each offset as likely as the others; what comes in repeats its edge.
    most = preparation.shift
    if not (most or preparation.flip):
        return batch

    def one(row_id: Array, parts: tuple[Array, ...]) -> tuple[Array, ...]:
        offsets, side = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, MOVED), row_id))
        down, right = jax.random.randint(offsets, (2,), 0, 2 * most + 1)
        mirrored = preparation.flip & jax.random.bernoulli(side)

        def move(x: Array) -> Array:
            rest = ((0, 0),) * (x.ndim - 2)
            wide = jnp.pad(x, ((most, most), (most, most), *rest), mode="edge") if most else x
            found = jax.lax.dynamic_slice(wide, (down, right, *(0 for _ in rest)), x.shape)
            return jnp.where(mirrored, found[:, ::-1], found)

        return tuple(move(part) for part in parts)

    parts = (jnp.asarray(batch.x),) if batch.mask is None else (jnp.asarray(batch.x), jnp.asarray(batch.mask))
    x, *mask = jax.vmap(one)(jnp.asarray(batch.row_id), parts)
    return dataclasses.replace(batch, x=x, mask=mask[0] if mask else None)


def hide_cells(preparation: Preparation, batch: Batch, *, key: Key) -> Batch:
    """Hide cells of some rows of a training batch at random: they count as missing in this step."""
    # A row of which some cells are hidden hides each with one probability, which is uniform and its own: so every set
    # of cells is seen without the others, and the encoder learns q(z | any part of x). Of every other picture it is a
    # rectangle of pixels that is hidden instead, or, as often, all but one; its edges are uniform.
    if preparation.hide == 0.0:
        return batch

    def one(row_id: Array) -> Array:
        which, how_many, cells = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, HIDDEN), row_id), 3)
        left = jax.random.uniform(cells, batch.x.shape[1:]) >= jax.random.uniform(how_many)
        if len(batch.x.shape) > 2:
            left = _region(batch.x.shape[1:], left, key=jax.random.fold_in(cells, 1))
        return left | (jax.random.uniform(which) >= preparation.hide)

    left = jax.vmap(one)(jnp.asarray(batch.row_id))
    return dataclasses.replace(batch, mask=left if batch.mask is None else left & jnp.asarray(batch.mask))


def _region(shape: tuple[int, ...], scattered: Array, *, key: Key) -> Array:
    """What is seen of one picture: all but a rectangle, a rectangle, or as often as both the scattered values."""
    which, *sides = jax.random.split(key, 3)
    inside = jnp.ones(shape[:2], bool)
    for axis, side in enumerate(sides):
        low, high = jnp.sort(jax.random.randint(side, (2,), 0, shape[axis] + 1))
        place = jnp.arange(shape[axis])
        inside = inside & jnp.expand_dims((place >= low) & (place < high), 1 - axis)
    inside = inside.reshape(*shape[:2], *(1 for _ in shape[2:]))
    kind = jax.random.randint(which, (), 0, 4)
    return jnp.where(kind < 2, scattered, jnp.where(kind == 2, ~inside, inside) & jnp.ones(shape, bool))
