"""Initial weights by law and fan.

They are drawn on the host: a program of random draws takes longer to compile than these take to draw, and every
training would wait for it.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erfinv

from latens.io.keys import threefry
from latens.typing import Array, Float, Key

LAWS: dict[str, tuple[float, str, str]] = {
    "glorot-uniform": (1.0, "fan_avg", "uniform"),
    "he-normal-fan-out": (2.0, "fan_out", "normal"),
    "he-normal": (2.0, "fan_in", "normal"),
    "lecun-normal": (1.0, "fan_in", "normal"),
    "normal-gain-2": (4.0, "fan_in", "normal"),
    "xavier-normal": (1.0, "fan_avg", "normal"),
}
"""Scale, which fan it is divided by, and family: the variance of an initial weight is scale / fan."""


def first_weights(name: str, shape: tuple[int, ...], fan_in: float, fan_out: float, *, key: Key) -> Float[Array, "..."]:
    """Draw initial weights by a law with the fans said outright, for layers whose shape does not tell them."""
    # A pixel of a convolution of stride 2 sees k k c inputs and reaches k k o / 4 outputs; transposed, the reverse.
    scale, mode, family = LAWS[name]
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    spread = math.sqrt((scale if family == "normal" else 3 * scale) / fan)
    drawn = jax.ShapeDtypeStruct(shape, jnp.float32)
    draw = partial(host_draws, shape=shape, family=family)
    return jax.pure_callback(draw, drawn, jax.random.key_data(key), vmap_method="sequential") * spread


INITIALIZERS: dict[str, Callable[[Key, tuple[int, int]], Float[Array, "n_in n_out"]]] = {
    name: lambda key, shape, name=name: first_weights(name, shape, *shape, key=key) for name in LAWS
}
"""Laws of the initial weights of a dense layer, called with a key and (in, out).

Uniform on +-sqrt(6/(in+out)), or normal with standard deviation sqrt(2/in) (he-normal), sqrt(2/out)
(he-normal-fan-out), sqrt(1/in) (lecun), 2/sqrt(in) (normal-gain-2), sqrt(2/(in+out)) (xavier).

The normal laws are not truncated. Glorot & Bengio (2010); He et al. (2015); LeCun et al. (1998).
"""


def host_draws(words: np.ndarray | jax.Array, *, shape: tuple[int, ...], family: str) -> np.ndarray:
    """Draw by NumPy, to a rounding, what JAX draws for a key of two words."""
    # `jax.random.normal`, or `uniform` on [-1, 1), by Threefry, whatever the generator of the key is.
    left, right = threefry(np.asarray(words, np.uint32)[:2], np.arange(math.prod(shape)))
    bits = left ^ right
    unit = ((bits >> np.uint32(9)) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1.0)
    low = np.nextafter(np.float32(-1.0), np.float32(0.0)) if family == "normal" else np.float32(-1.0)
    drawn = np.maximum(unit * (np.float32(1.0) - low) + low, low)
    if family == "normal":
        drawn = np.float32(math.sqrt(2.0)) * erfinv(drawn)
    return drawn.astype(np.float32).reshape(shape)
