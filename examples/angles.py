"""A kind of rows of one's own: directions on a circle, such as winds and times of the day, with their likelihood.

python examples/angles.py
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from msgspec.structs import replace

import latens
from latens.distributions import AbstractFactorised, VonMisesFisher
from latens.kinds import Kind, option
from latens.models import AbstractHead

TURN = 2 * np.pi


@dataclass(kw_only=True, eq=False)
class Angles(Kind):
    """Rows of angles, each from minus to plus half a turn."""

    turn: float = option("how much a whole turn is: 360 for degrees, 24 for hours", "T", default=360.0)

    def read(self, rows):
        """Count every angle from minus to plus half a turn."""
        rows.raw.x = (np.asarray(rows.raw.x, np.float64) + self.turn / 2) % self.turn - self.turn / 2

    def store(self, rows):
        """Store numbers that a model sees in radians, not standardised; its density is one of the unit of the data."""
        stored = super().store(rows)
        if rows.schema is not None:
            return stored
        columns = stored.schema.columns or ()
        columns = tuple(replace(one, shift=0.0, scale=self.turn / TURN) for one in columns)
        return stored._replace(schema=replace(stored.schema, kind="real", levels=None, columns=columns))


class VonMises(AbstractFactorised):
    """Independent angles: log p(x) = k cos(x - loc) - log(2 pi I0(k))."""

    loc: jax.Array
    log_concentration: jax.Array

    def sample(self, *, key):
        """Draw directions in the plane, and take their angles."""

        def one(loc, log_concentration, key):
            x, y = VonMisesFisher(jnp.stack([jnp.cos(loc), jnp.sin(loc)]), log_concentration).sample(key=key)
            return jnp.arctan2(y, x)

        keys = jax.random.split(key, self.loc.size)
        angles = jax.vmap(one)(self.loc.reshape(-1), self.log_concentration.reshape(-1), keys)
        return angles.reshape(self.loc.shape)

    def log_prob_terms(self, event):
        """The log density of each angle."""
        k = jnp.exp(self.log_concentration)
        return k * (jnp.cos(event - self.loc) - 1) - jnp.log(TURN * jax.scipy.special.i0e(k))

    def mean(self):
        """The mean direction, from minus to plus half a turn."""
        return jnp.arctan2(jnp.sin(self.loc), jnp.cos(self.loc))


class VonMisesHead(AbstractHead):
    """Three outputs for each angle: a vector that points to it, and the logarithm of the concentration."""

    kinds: ClassVar = ("real",)

    @property
    def num_outputs(self):
        """Three for each angle."""
        return 3 * int(np.prod(self.shape))

    def __call__(self, outputs):
        """The angles with these outputs."""
        x, y, log_concentration = outputs.reshape(3, *self.shape)
        return VonMises(jnp.arctan2(y, x + 1e-6), jnp.clip(log_concentration, -5.0, 7.0))

    def output_bias(self, mean, frequencies=None):
        """Begin at the mean, hardly concentrated."""
        flat = np.asarray(mean, np.float64).reshape(-1)
        return np.concatenate([np.cos(flat), np.sin(flat), np.zeros_like(flat)])


def winds(n: int, seed: int = 0) -> np.ndarray:
    """Two stations with one wind around north: the second lags by 40 degrees."""
    rng = np.random.default_rng(seed)
    first = np.where(rng.random(n) < 0.5, 350.0, 170.0) + rng.normal(0, 12, n)
    return np.stack([first, first - 40 + rng.normal(0, 8, n)], axis=1) % 360


def main() -> None:
    rows = Angles(winds(2000))
    vae = latens.VAE(2, likelihood=VonMisesHead, epochs=30, random_state=0).fit(rows)
    print("log p(x) of new rows, in nats:", float(np.mean(vae.score_samples(Angles(winds(500, seed=1))))))
    drawn = vae.sample(2000) % 360
    lag = (drawn[:, 0] - drawn[:, 1] + 180) % 360 - 180
    print("the second station lags by", float(np.median(lag)), "degrees")


if __name__ == "__main__":
    main()
