"""An encoder of a user's own: attention between the columns."""

import equinox as eqx
import jax

import latens


class Transformer(eqx.Module):
    embed: eqx.nn.Linear
    places: jax.Array
    attention: eqx.nn.MultiheadAttention
    out: eqx.nn.Linear

    def __init__(self, schema, key):
        keys, n = jax.random.split(key, 4), schema.shape[0]
        self.embed = eqx.nn.Linear(1, 16, key=keys[0])
        self.places = 0.02 * jax.random.normal(keys[1], (n, 16))
        self.attention = eqx.nn.MultiheadAttention(2, 16, key=keys[2])
        self.out = eqx.nn.Linear(16, 8, key=keys[3])

    def __call__(self, x):
        h = jax.vmap(self.embed)(x[:, None]) + self.places
        return self.out((h + self.attention(h, h, h)).mean(0))


latens.register_part("encoder", "transformer", Transformer)
