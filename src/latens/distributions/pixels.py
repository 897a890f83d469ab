"""Colour pixels: mixtures of discretised logistics whose channels depend on one another."""

from typing import ClassVar

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
        logits: Any real numbers of shape (k, h, w), whose softmax over the first axis is the weights w.
        loc: The locations $\mu$, of shape (c, k, h, w), on the scale of [-1, 1]. Pixels come last in all of these, so
            that a processor computes neighbours at once.
        log_scale: The logarithms $\log s$, of shape (c, k, h, w).
        coupling: The coefficients a, of shape (c (c - 1) / 2, k, h, w): of three channels the first's and the second's,
            the first's and the third's, the second's and the third's.
        levels: How many levels there are.

    Examples:
        >>> zero = jnp.zeros((3, 1, 1, 1))
        >>> one = ColourLogistics(jnp.zeros((1, 1, 1)), zero, zero - 2.302585, zero)
        >>> round(float(one.log_prob(jnp.full((1, 1, 3), 128))), 4)  # three times that of one channel
        -11.797

    Source: Salimans, Karpathy, Chen & Kingma (2017), "PixelCNN++", section 2.2, here with deviations from the
    locations of earlier channels, so that every location is that of its own channel.
    """

    has_path: ClassVar[bool] = False

    logits: Float[Array, "k h w"]
    loc: Float[Array, "c k h w"]
    log_scale: Float[Array, "c k h w"]
    coupling: Float[Array, "p k h w"]
    levels: int = eqx.field(static=True, default=256)

    def _given(self, values: list[Array]) -> DiscretisedLogistic:
        """The next channel under every component, given the earlier ones on the scale of [-1, 1], each (h, w)."""
        channel = len(values)
        loc = self.loc[channel]
        for pair, (earlier, later) in enumerate(_PAIRS[len(self.loc) - 1]):
            if later == channel:
                loc = loc + self.coupling[pair] * (values[earlier] - self.loc[earlier])
        return DiscretisedLogistic(loc, self.log_scale[channel], self.levels)

    def _scaled(self, level: Array) -> Array:
        return 2.0 * level.astype(self.loc.dtype) / (self.levels - 1) - 1.0

    def sample(self, *, key: Key) -> Int[Array, "h w c"]:
        """Draw a component of each pixel, then its channels one after another."""
        which, *inside = jax.random.split(key, 1 + len(self.loc))
        chosen = jax.random.categorical(which, self.logits, axis=0)[None]
        values, drawn = [], []
        for own in inside:
            level = jnp.take_along_axis(self._given(values).sample(key=own), chosen, axis=0)[0]
            values.append(self._scaled(level))
            drawn.append(level)
        return jnp.stack(drawn, axis=-1)

    def pixel_terms(self, event: Shaped[Array, "h w c"]) -> Float[Array, "h w"]:
        """The log probability of each pixel.

        Args:
            event: One event, of shape (h, w, c).

        Returns:
            Shape (h, w), in nats.
        """
        joint, values = jax.nn.log_softmax(self.logits, axis=0), []
        for channel in range(len(self.loc)):
            level = event[..., channel]
            joint = joint + self._given(values).log_prob_terms(jnp.broadcast_to(level, self.logits.shape))
            values.append(self._scaled(level))
        return joint[0] if len(joint) == 1 else log_sum_of_parts(jnp.moveaxis(joint, 0, -1))

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
        means = DiscretisedLogistic(self.loc, self.log_scale, self.levels).mean()
        return jnp.moveaxis(jnp.sum(jax.nn.softmax(self.logits, axis=0) * means, axis=1), 0, -1)

    def moments(self) -> tuple[Float[Array, "h w c"], Float[Array, "h w c c"]]:
        r"""The mean of each channel, and the covariance of the channels of each pixel, in levels.

        The channels of a component are taken as linear: the deviation of a channel is its own, as if earlier channels
        were at their locations, and $g_c \sum_{b<c} a_{bc}$ times the deviations of earlier ones, with $g_c$ the
        probability of being neither the lowest nor the highest level. Components then add what their means differ by.

        Returns:
            The means, of shape (h, w, c), and the covariances, of shape (h, w, c, c).
        """
        own = DiscretisedLogistic(self.loc, self.log_scale, self.levels)
        means, variances = own.moments()
        inside, weights, count = own.inside(), jax.nn.softmax(self.logits, axis=0), len(self.loc)
        # Deviations as combinations of the channels' own ones: a unit lower triangle, row by row.
        rows = [[jnp.ones_like(self.logits)] for _ in range(count)]
        for later in range(1, count):
            pairs = [(pair, b) for pair, (b, c) in enumerate(_PAIRS[count - 1]) if c == later]
            of = [sum(self.coupling[p] * rows[b][k] for p, b in pairs if b >= k) for k in range(later)]
            rows[later] = [inside[later] * slope for slope in of] + rows[later]
        within = [
            [sum(rows[i][k] * rows[j][k] * variances[k] for k in range(min(i, j) + 1)) for j in range(count)]
            for i in range(count)
        ]
        mean = jnp.sum(weights * means, axis=1)
        apart = means - mean[:, None]
        covariance = jnp.sum(weights * (jnp.asarray(within) + apart[:, None] * apart[None]), axis=2)
        return jnp.moveaxis(mean, 0, -1), jnp.moveaxis(covariance, (0, 1), (-2, -1))
