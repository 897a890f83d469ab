"""Mixtures: of whole events, or of each variable by itself; and the logistic over the levels of a pixel."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions.base import AbstractDistribution, AbstractFactorised
from latens.distributions.special import log_sigmoid_difference, log_sum_of_parts
from latens.typing import Array, Float, Int, Key, Nats, PyTree, Shaped


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
