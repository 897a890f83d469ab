"""How much of pictures that did not train a model comes back: of all that differs among them, and of fine detail."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.data.batches import Batch
from latens.data.rows import every_nth
from latens.data.schema import image_shape
from latens.evaluation.batched import map_rows
from latens.typing import Array, Key
from latens.workflow.trained import TrainedModel

LEAST_SIDE = 32
"""The side from which on pictures have detail to speak of."""

BLOCK, ROWS = 4, 64
"""Fine detail is what differs within squares of so many pixels; rows that are looked at, at the most."""

BLURRED = 0.5
"""The share of fine detail below which pictures are called soft."""


class Explained(NamedTuple):
    """Shares of squared differences that are explained, 1 at best; below 0, worse than the mean."""

    whole: float  # of pixels from the mean picture
    fine: float  # of pixels from the mean of their square


def explained(x: Shaped[np.ndarray, "n h w c"], back: Shaped[np.ndarray, "n h w c"]) -> Explained:
    """How much of pictures their reconstructions explain."""
    x, back = np.asarray(x, np.float64), np.asarray(back, np.float64)
    own, other = _fine(x), _fine(back)
    spread, detail = np.square(x - x.mean(axis=0)).sum(), np.square(own).sum()
    whole = 1.0 - np.square(x - back).sum() / spread if spread else 0.0
    return Explained(float(whole), float(1.0 - np.square(own - other).sum() / detail if detail else 0.0))


def _fine(x: Shaped[np.ndarray, "n h w c"]) -> Shaped[np.ndarray, "n m p c"]:
    """Pixels without the mean of their square, of the squares that are whole."""
    n, h, w, c = x.shape
    x = x[:, : h // BLOCK * BLOCK, : w // BLOCK * BLOCK]
    blocks = x.reshape(n, h // BLOCK, BLOCK, w // BLOCK, BLOCK, c)
    return (blocks - blocks.mean(axis=(2, 4), keepdims=True)).reshape(x.shape)


def explained_by(trained: TrainedModel, data: Dataset, positions: Shaped[np.ndarray, " n"]) -> Explained | None:
    """The shares of held-out pictures; None of small pictures, of other rows, and where the mean has no closed form."""
    shape = image_shape(data.schema)
    if shape is None or min(shape[:2]) < LEAST_SIDE or data.mask is not None or not len(positions):
        return None
    chosen = every_nth(positions, ROWS)
    try:
        back = map_rows(_means, trained.rows(trained.batch(data, chosen)))
    except (AttributeError, TypeError, NotImplementedError):
        return None
    pictures = (len(chosen), *shape[:2], -1)
    back = np.asarray(trained.data_units(back, mean=True)).reshape(pictures)
    return explained(np.asarray(data.x[chosen]).reshape(pictures), back)


def _means(model: Any, batch: Batch, key: Key) -> Array:
    def one(x: Any, cond: Any) -> Array:
        z = model.posterior(x, cond=cond).mean()
        return jnp.asarray(model.likelihood(z, cond=cond).moments()[0])

    return jax.vmap(one)(batch.x, batch.cond)


def sharpness_text(found: Explained | None) -> str:
    """What new pictures will look like, in a line; empty where there is nothing to say."""
    if found is None:
        return ""
    fine = max(found.fine, 0.0)
    looks = "soft and blurred" if fine < BLURRED else "nearly as sharp as yours"
    return f"Unseen pictures come back with {fine:.0%} of their fine detail: new ones will look {looks}."
