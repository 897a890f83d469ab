"""Mixtures of whole events or of each variable; logistics over the levels of a pixel, whose channels may depend."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions.base import AbstractDistribution, AbstractFactorised
from latens.distributions.special import log_sigmoid_difference, log_sum_of_parts
from latens.typing import Array, Bool, Float, Int, Key, Nats, PyTree, Shaped


class Mixture(AbstractDistribution[Any]):
    r"""A mixture of whole events: components of one family, one of which makes the whole event.

    $p(x) = \sum_k w_k\,p_k(x)$. A sample is differentiable in the component that it came from, not in the weights.

    Args:
        logits: Real numbers $l$ of shape (k,): $w = \mathrm{softmax}(l)$.
        components: One distribution whose arrays are led by k (`jax.vmap(DiagonalNormal)(locs, log_scales)`).

    Examples:
        >>> from latens.distributions import Bernoulli
        >>> pair = Mixture(jnp.zeros(2), jax.vmap(Bernoulli)(jnp.array([[20.0], [-20.0]])))
        >>> round(float(pair.log_prob(jnp.ones(1))), 6)  # log(1/2)
        -0.693147
    """

    has_path: ClassVar[bool] = False

    logits: Float[Array, " k"]
    components: AbstractDistribution

    def component(self, index: Int[Array, ""] | int) -> AbstractDistribution:
        """One component of the mixture.

        Args:
            index: Its number, from 0.

        Returns:
            The distribution of an event that comes from this component.
        """
        return jax.tree.map(lambda leaf: leaf[index], self.components)

    def sample(self, *, key: Key) -> Any:
        """Draw a component, then one event of it."""
        which, inside = jax.random.split(key)
        return self.component(jax.random.categorical(which, self.logits)).sample(key=inside)

    def sample_at(self, temperature: float, *, key: Key) -> Any:
        """Draw a component by its weight, then one event of it at the temperature."""
        which, inside = jax.random.split(key)
        return self.component(jax.random.categorical(which, self.logits)).sample_at(temperature, key=inside)

    def log_responsibilities(self, event: PyTree) -> Float[Array, " k"]:
        r"""How likely it is that an event came from each component.

        $\log p(k \mid x)$.

        Args:
            event: One event.

        Returns:
            Log probabilities of shape (k,), in nats.
        """
        return jax.nn.log_softmax(self._log_joint(event))

    def log_prob(self, event: PyTree) -> Nats:
        """The log density of one event, in nats, over all components."""
        return log_sum_of_parts(self._log_joint(event))

    def _log_joint(self, event: PyTree) -> Float[Array, " k"]:
        return jax.nn.log_softmax(self.logits) + jax.vmap(lambda part: part.log_prob(event))(self.components)

    def mean(self) -> Any:
        """The mean over all components.

        Returns:
            An array of the event's shape.

        Raises:
            ConfigError: The components have no mean in closed form.
        """
        weights = jax.nn.softmax(self.logits)
        means = jax.vmap(lambda part: part.mean())(self.components)
        return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=1), means)

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean and the variance of each variable over all components."""
        means, variances = jax.vmap(lambda part: part.moments())(self.components)
        mean = self.mean()
        return mean, jnp.tensordot(jax.nn.softmax(self.logits), variances + (means - mean) ** 2, axes=1)


class VariableMixture(AbstractFactorised):
    r"""A mixture for each variable by itself, as for the pixels of PixelCNN++.

    $p(x_i) = \sum_k w_{ik}\,p_{ik}(x_i)$. Samples are differentiable in the components, not in the weights.

    Args:
        logits: Real numbers of shape (*x, k), whose softmax over the last axis is the weights.
        components: A factorised distribution over events of shape (*x, k).

    Examples:
        >>> from latens.distributions import Bernoulli
        >>> pair = VariableMixture(jnp.zeros((1, 2)), Bernoulli(jnp.array([[20.0, -20.0]])))
        >>> round(float(pair.log_prob(jnp.ones(1))), 6)  # log(1/2)
        -0.693147
    """

    has_path: ClassVar[bool] = False

    logits: Float[Array, "*x k"]
    components: AbstractFactorised

    def sample(self, *, key: Key) -> Shaped[Array, "*x"]:
        """Draw a component and a value for each variable."""
        which, inside = jax.random.split(key)
        chosen = jax.random.categorical(which, self.logits)[..., None]
        events = self.components.sample(key=inside)
        levels = jax.lax.broadcasted_iota(chosen.dtype, self.logits.shape, self.logits.ndim - 1)
        return jnp.sum(jnp.where(chosen == levels, events, jnp.zeros_like(events)), axis=-1, dtype=events.dtype)

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable under its own mixture, in nats."""
        terms = self.components.log_prob_terms(jnp.broadcast_to(event[..., None], self.logits.shape))
        return log_sum_of_parts(jax.nn.log_softmax(self.logits) + terms)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable over its components."""
        return jnp.sum(jax.nn.softmax(self.logits) * self.components.mean(), axis=-1)

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean and the variance of each variable over its components."""
        weights, (means, variances) = jax.nn.softmax(self.logits), self.components.moments()
        mean = jnp.sum(weights * means, axis=-1)
        return mean, jnp.sum(weights * (variances + (means - mean[..., None]) ** 2), axis=-1)


class DiscretisedLogistic(AbstractFactorised):
    r"""Levels of pixels: a logistic over [-1, 1] seen through bins, whose outermost bins hold the tails.

    Level $j$ lies at $v_j = 2 j / (L - 1) - 1$ and its bin reaches $1/(L - 1)$ to both sides: $p(j) = \sigma(\frac{v_j
    + h - \mu}{s}) - \sigma(\frac{v_j - h - \mu}{s})$ with $h = 1/(L-1)$. An event holds integers $0 \dots L-1$, and the
    mean is the expected level.

    Args:
        loc: The locations $\mu$, of shape (*x), on the scale of [-1, 1].
        log_scale: The logarithms $\log s$, of shape (*x), on the same scale.
        levels: How many levels $L \ge 2$ there are.

    Examples:
        >>> one = DiscretisedLogistic(jnp.zeros(1), jnp.log(jnp.full(1, 0.1)))
        >>> round(float(one.log_prob(jnp.array([128]))), 5)
        -3.93234

    Source: Salimans, Karpathy, Chen & Kingma (2017), "PixelCNN++", section 2.1.
    """

    has_path: ClassVar[bool] = False

    loc: Float[Array, "*x"]
    log_scale: Float[Array, "*x"]
    levels: int = eqx.field(static=True, default=256)

    def sample(self, *, key: Key) -> Int[Array, "*x"]:
        """Draw one event of integer levels."""
        noise = jax.random.logistic(key, self.loc.shape, self.loc.dtype)
        value = self.loc + jnp.exp(self.log_scale) * noise
        last = self.levels - 1
        return jnp.clip(jnp.round(0.5 * last * (value + 1.0)), 0.0, float(last)).astype(jnp.int32)

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each pixel's level, in nats; minus infinity for anything but a level."""
        level = event.astype(self.loc.dtype)
        last = self.levels - 1
        per_scale = jnp.exp(-self.log_scale)
        width = per_scale * (2.0 / last)
        low, high = (((2.0 * level + side - last) / last - self.loc) * per_scale for side in (-1.0, 1.0))
        terms = jnp.where(level <= 0.0, -jax.nn.softplus(-high), log_sigmoid_difference(low, high, width))
        terms = jnp.where(level >= float(last), -jax.nn.softplus(low), terms)
        valid = (level >= 0.0) & (level <= float(last)) & (level == jnp.floor(level))
        return jnp.where(valid, terms, -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The expected level of each pixel."""
        # The expectation of a whole number is the sum of P(x >= j) over j = 1, 2, ...
        edges = (2.0 * np.arange(1, self.levels) - 1.0) / (self.levels - 1) - 1.0
        edges = jnp.asarray(edges, self.loc.dtype).reshape(*(1,) * self.loc.ndim, -1)
        above = (self.loc[..., None] - edges) * jnp.exp(-self.log_scale)[..., None]
        return jnp.sum(jax.nn.sigmoid(above), axis=-1)

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        r"""The mean and the variance of each pixel's level, without a sum over levels.

        They are those of the logistic clipped to $[0, L - 1]$, in closed form, and the variance has 1/12 more for the
        rounding of what is inside (Sheppard's correction): sums over levels become integrals. At scales of a level or
        more the mean is off by less than 0.02 of a level, at a third of a level by up to 0.05.
        """
        last = float(self.levels - 1)
        loc, scale = 0.5 * last * (self.loc + 1.0), 0.5 * last * jnp.exp(self.log_scale)
        near = jnp.clip(loc, 0.0, last)
        (up, up_square), (down, down_square) = (
            _beyond(sign * (loc - near) / scale, sign * (loc - end) / scale) for sign, end in ((1.0, last), (-1.0, 0.0))
        )
        inside = self.inside()
        first = up - down
        return near + scale * first, scale**2 * (up_square + down_square - first**2) + inside / 12.0

    def inside(self) -> Float[Array, "*x"]:
        """The probability that the logistic lies between the lowest and the highest level."""
        low, high = ((self.loc - end) * jnp.exp(-self.log_scale) for end in (-1.0, 1.0))
        return jax.nn.sigmoid(low) - jax.nn.sigmoid(high)


def _beyond(start: Array, end: Array) -> tuple[Array, Array]:
    r"""$E[(Y - c)_+]$ and $E[(Y - c)_+^2]$ of a standard logistic Y clipped above."""
    # With the location seen from c, `start`, and from where Y is clipped, `end`, of which none is above 0 where Y
    # reaches beyond c: $\int_{end}^{start} \sigma$ and $2 \int_{end}^{start} (start - u)\,\sigma(u)\,du$.
    start, end = jnp.minimum(start, 0.0), jnp.minimum(end, 0.0)
    first, last = jax.nn.softplus(start), jax.nn.softplus(end)
    # The integral of softplus up to u is -Li2(-e^u): a series in softplus(u) <= log 2, to 1e-6.
    above, below = (s + s**2 / 4.0 + s**3 / 36.0 - s**5 / 3600.0 for s in (first, last))
    return first - last, 2.0 * (above - below - (start - end) * last)


FEW_LEVELS, BLOCKS, REACH = 32, 16, 6.0
"""Up to so many levels a mean is a sum over all of them; beyond, over so many blocks of neighbouring levels, which
reach so many scales to either side."""

_PAIRS = ((), ((0, 1),), ((0, 1), (0, 2), (1, 2)))
"""The pairs (earlier, later) of 1, 2 and 3 channels, in the order of the couplings."""


class ColourLogistics(AbstractDistribution[Array]):
    r"""Pixels of several channels: of each pixel a mixture whose components see the channels one after another.

    $p(x) = \prod_{ij} \sum_k w_{ijk} \prod_c \mathrm{DiscretisedLogistic}(x_{ijc};\ \mu_{ijck} + \sum_{b<c}
    a_{ijbck}\,(v_{ijb} - \mu_{ijbk}),\ s_{ijck})$, with $v_b$ the level of an earlier channel on the scale of [-1, 1].
    All channels of a pixel come from one component.

    Args:
        logits: Real numbers of shape (k, h, w), whose softmax over the first axis is the weights w.
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
        """The expected level of each channel, of shape (h, w, c): a sum over the levels of the channels before it.

        Up to 32 levels it is exact; of 256 it is within 0.3 of a level, and mostly within 0.01. The first is always.
        """
        exact = self.levels <= FEW_LEVELS
        split, middle = (_every_level, DiscretisedLogistic.mean) if exact else (_in_blocks, _nearly_mean)

        def expected(values: list[Array]) -> list[Array]:
            """The mean of the next channel and of all after it, given earlier ones; each of shape (k, h, w)."""
            one = self._given(values)
            if len(values) == len(self.loc) - 1:
                return [middle(one)]
            levels, shares = split(one)

            # Given two channels all levels go at once; given one they go one by one, or memory would grow with both.
            def of(level: Array, share: Array) -> list[Array]:
                return [share * later for later in expected([*values, self._scaled(level)])]

            if len(values) == len(self.loc) - 2:
                return [middle(one), *(jnp.sum(later, axis=0) for later in jax.vmap(of)(levels, shares))]
            none = [jnp.zeros_like(self.logits) for _ in self.loc[len(values) + 1 :]]
            add = jax.checkpoint(lambda found, own: (jax.tree.map(jnp.add, found, of(*own)), None))
            return [middle(one), *jax.lax.scan(add, none, (levels, shares))[0]]

        means = jnp.stack([self._given([]).mean(), *expected([])[1:]])
        return jnp.moveaxis(jnp.sum(jax.nn.softmax(self.logits, axis=0) * means, axis=1), 0, -1)

    def moments(self) -> tuple[Float[Array, "h w c"], Float[Array, "h w c c"]]:
        r"""The mean of each channel, and the covariance of the channels of each pixel, in levels; cheap and nearly so.

        Of a component, a channel is taken as one logistic whose variance is its own and that of what it is moved by,
        $\sum_{b<c} a_{bc} v_b$, with $v_b$ as clipped. Its covariance with an earlier channel is that of these terms,
        times the probability of being neither the lowest nor the highest level. Components then add what their means
        differ by. `mean` is the exact one.

        Returns:
            The means, of shape (h, w, c), and the covariances, of shape (h, w, c, c).
        """
        weights, half = jax.nn.softmax(self.logits, axis=0), 0.5 * (self.levels - 1)
        means: list[Array] = []
        within: list[list[Array]] = []
        for channel in range(len(self.loc)):
            given = self._given([mean / half - 1.0 for mean in means])
            slopes = [self.coupling[p] for p, (_, later) in enumerate(_PAIRS[len(self.loc) - 1]) if later == channel]
            moved = [sum(a * within[i][j] for i, a in enumerate(slopes)) for j in range(channel)]
            spread = sum(a * shared for a, shared in zip(slopes, moved)) + jnp.zeros_like(self.logits)
            # pi^2 / 3 is the variance of a standard logistic.
            log_scale = 0.5 * jnp.logaddexp(2.0 * given.log_scale, jnp.log(3.0 * spread / (jnp.pi * half) ** 2 + 1e-30))
            one = DiscretisedLogistic(given.loc, log_scale, self.levels)
            (mean, variance), inside = one.moments(), one.inside()
            shared = [inside * each for each in moved]
            for row, each in zip(within, shared):
                row.append(each)
            # Never less than what is explained, or the matrix would not be positive.
            within.append([*shared, jnp.maximum(variance, 1.001 * inside**2 * spread)])
            means.append(mean)
        every = jnp.asarray(means)
        mean = jnp.sum(weights * every, axis=1)
        apart = every - mean[:, None]
        covariance = jnp.sum(weights * (jnp.asarray(within) + apart[:, None] * apart[None]), axis=2)
        return jnp.moveaxis(mean, 0, -1), jnp.moveaxis(covariance, (0, 1), (-2, -1))


def _every_level(one: DiscretisedLogistic) -> tuple[Array, Array]:
    """Every level and its probability, led by the levels."""
    levels = jnp.broadcast_to(jnp.arange(one.levels).reshape(-1, *(1,) * one.loc.ndim), (one.levels, *one.loc.shape))
    return levels, jnp.exp(jax.vmap(one.log_prob_terms)(levels))


def _in_levels(one: DiscretisedLogistic) -> tuple[Array, Array]:
    """The location and the scale in levels."""
    half = 0.5 * (one.levels - 1)
    return half * (one.loc + 1.0), half * jnp.exp(one.log_scale)


def _in_blocks(one: DiscretisedLogistic) -> tuple[Array, Array]:
    """The lowest and the highest level, the means of blocks of levels between them, and the probability of each."""
    # The blocks lie around the location, as narrow as lets them reach `REACH` scales to either side or both ends. With
    # the mean of each block a sum is exact for what is linear within it.
    last = one.levels - 1
    loc, scale = _in_levels(one)
    width = jax.lax.stop_gradient(jnp.clip(jnp.ceil(2.0 * REACH * scale / BLOCKS), 1.0, -(-(last - 1) // BLOCKS)))
    first = jnp.round(jax.lax.stop_gradient(loc) - 0.5 * BLOCKS * width)
    first = jnp.clip(first, 1.0, jnp.maximum(last - BLOCKS * width, 1.0))
    place = jnp.arange(BLOCKS, dtype=loc.dtype).reshape(-1, *(1,) * loc.ndim)
    middles = jnp.clip(first + place * width + 0.5 * (width - 1.0), 1.0, last - 1.0)
    # The outermost blocks take what is left up to the end levels.
    end = jnp.ones_like(loc)[None]
    edges = jnp.concatenate([0.5 * end, jnp.minimum(first + place[1:] * width, last) - 0.5, (last - 0.5) * end])
    below = jax.nn.sigmoid((edges - loc) / scale)
    shares = jnp.diff(below, axis=0, prepend=jnp.zeros_like(end), append=end)
    # E[v; a < v < b] = [v F(v)] - scale [softplus]; of blocks of one level, or without mass, the middle is the mean.
    area = edges * below - scale * jax.nn.softplus((edges - loc) / scale)
    mass = shares[1:-1]
    means = jnp.clip(jnp.diff(area, axis=0) / jnp.maximum(mass, 1e-3), edges[:-1], edges[1:])
    means = jnp.where((mass > 1e-3) & (jnp.diff(edges, axis=0) > 1.5), means, middles)
    return jnp.concatenate([0.0 * end, means, last * end]), shares


def _nearly_mean(one: DiscretisedLogistic) -> Array:
    """The expected level without a sum over levels: an integral with the correction of Euler and Maclaurin."""
    # From a third of a level on, the least scale of a head for 256 levels, it is off by less than 0.01 of a level.
    loc, scale = _in_levels(one)
    low, high = loc / scale, (loc - (one.levels - 1)) / scale
    slope = lambda u: jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)  # noqa: E731
    return scale * (jax.nn.softplus(low) - jax.nn.softplus(high)) + (slope(high) - slope(low)) / (24.0 * scale)
