"""A model of a user's own: three levels of latents, with a network for each arrow."""

import equinox as eqx
import jax
import jax.numpy as jnp

import latens
from latens.distributions import StandardNormal
from latens.models import Conditional, Downwards, FromLowest, LatentModel, NormalHead, SharedScaleNormalHead, Upwards


def arrow(n_in, n_out, key):
    network = eqx.nn.MLP(n_in, 2 * n_out, width_size=16, depth=1, key=key)
    return Conditional(network, NormalHead((n_out,), "softplus"))


def three_levels(schema, key):
    (n,) = schema.shape
    keys = jax.random.split(key, 6)
    up = Upwards((arrow(n, 4, keys[0]), arrow(4, 3, keys[1]), arrow(3, 2, keys[2])))
    down = Downwards(StandardNormal((2,)), (arrow(2, 3, keys[3]), arrow(3, 4, keys[4])))
    cells = eqx.nn.MLP(4, n, width_size=16, depth=1, key=keys[5])
    likelihood = SharedScaleNormalHead((n,), jnp.zeros(n), scale_floor=1e-3)
    return LatentModel(down, up, FromLowest(Conditional(cells, likelihood)))


latens.register_part("model", "three-levels", three_levels)
