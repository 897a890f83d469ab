"""Colour pixels: mixtures of discretised logistics whose channels depend on one another."""

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution
from latens.distributions.mixtures import DiscretisedLogistic
from latens.distributions.special import log_sum_of_parts
from latens.typing import Array, Bool, Float, Int, Key, Nats, Shaped

_PAIRS = ((), ((0, 1),), ((0, 1), (0, 2), (1, 2)))
"""The pairs (earlier, later) of 1, 2 and 3 channels, in the order of the couplings."""


class ColourLogistics(AbstractDistribution[Array]):
    r"""Pixels of several channels: of each pixel a mixture whose components see the channels one after another.

    $p(x) = \prod_{ij} \sum_k w_{ijk} \prod_c \mathrm{DiscretisedLogistic}(x_{ijc};\ \mu_{ijck} + \sum_{b<c}
    a_{ijbck}\,(v_{ijb} - \mu_{ijbk}),\ s_{ijck})$, with $v_b$ the level of an earlier channel on the scale of [-1, 1].
    All channels of a pixel come from one component.

    Args:
        logits: Any real numbers of shape (h, w, k), whose softmax over the last axis is the weights w.
        loc: The locations $\mu$, of shape (h, w, c, k), on the scale of [-1, 1].
        log_scale: The logarithms $\log s$, of shape (h, w, c, k).
        coupling: The coefficients a, of shape (h, w, c (c - 1) / 2, k): of three channels the first's and the second's,
            the first's and the third's, the second's and the third's.
        levels: How many levels there are.

    Examples:
        >>> zero = jnp.zeros((1, 1, 3, 1))
        >>> one = ColourLogistics(jnp.zeros((1, 1, 1)), zero, zero - 2.302585, zero)
        >>> round(float(one.log_prob(jnp.full((1, 1, 3), 128))), 4)  # three times that of one channel
        -11.797

    Source: Salimans, Karpathy, Chen & Kingma (2017), "PixelCNN++", section 2.2, here with deviations from the
    locations of earlier channels, so that every location is that of its own channel.
    """

    logits: Float[Array, "h w k"]
    loc: Float[Array, "h w c k"]
    log_scale: Float[Array, "h w c k"]
    coupling: Float[Array, "h w p k"]
    levels: int = eqx.field(static=True, default=256)

    def _given(self, values: list[Array]) -> DiscretisedLogistic:
        """The next channel under every component, given the earlier ones on the scale of [-1, 1], each (h, w, 1)."""
        channel = len(values)
        loc = self.loc[:, :, channel]
        for pair, (earlier, later) in enumerate(_PAIRS[self.loc.shape[2] - 1]):
            if later == channel:
                loc = loc + self.coupling[:, :, pair] * (values[earlier] - self.loc[:, :, earlier])
        return DiscretisedLogistic(loc, self.log_scale[:, :, channel], self.levels)

    def _scaled(self, level: Array) -> Array:
        return 2.0 * level.astype(self.loc.dtype) / (self.levels - 1) - 1.0

    def sample(self, *, key: Key) -> Int[Array, "h w c"]:
        """Draw a component of each pixel, then its channels one after another."""
        which, *inside = jax.random.split(key, 1 + self.loc.shape[2])
        chosen = jax.random.categorical(which, self.logits)[..., None]
        values, drawn = [], []
        for own in inside:
            level = jnp.take_along_axis(self._given(values).sample(key=own), chosen, axis=-1)
            values.append(self._scaled(level))
            drawn.append(level)
        return jnp.concatenate(drawn, axis=-1)

    def pixel_terms(self, event: Shaped[Array, "h w c"]) -> Float[Array, "h w"]:
        """The log probability of each pixel.

        Args:
            event: One event, of shape (h, w, c).

        Returns:
            Shape (h, w), in nats.
        """
        joint, values = jax.nn.log_softmax(self.logits), []
        for channel in range(self.loc.shape[2]):
            level = event[:, :, channel, None]
            joint = joint + self._given(values).log_prob_terms(jnp.broadcast_to(level, self.logits.shape))
            values.append(self._scaled(level))
        return log_sum_of_parts(joint)

    def log_prob(self, event: Shaped[Array, "h w c"]) -> Nats:
        """The log probability of one event: the sum over its pixels, in nats."""
        return jnp.sum(self.pixel_terms(event))

    def log_prob_observed(self, event: Shaped[Array, "h w c"], mask: Bool[Array, "h w c"]) -> Nats:
        """The log probability of the pixels of which every channel is observed, in nats.

        A pixel with a missing channel counts as missing: its other channels have no closed form without it.
        """
        whole = jnp.all(mask, axis=-1)
        terms = self.pixel_terms(jnp.where(whole[..., None], event, jnp.zeros_like(event)))
        return jnp.sum(jnp.where(whole, terms, 0.0))

    def mean(self) -> Float[Array, "h w c"]:
        """The expected level of each channel, with earlier channels at their locations; of shape (h, w, c)."""
        weights = jax.nn.softmax(self.logits)[:, :, None]
        return jnp.sum(weights * DiscretisedLogistic(self.loc, self.log_scale, self.levels).mean(), axis=-1)
