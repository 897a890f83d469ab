"""Distributions of pixels, classes, grades and counts.

A count is a whole number held as a float (integers are accepted), because networks read it; any other number has
probability 0. Rates and dispersions are logarithms.
"""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from latens.distributions.base import AbstractDistribution, AbstractFactorised
from latens.distributions.special import (
    excess,
    inside_unit,
    log_count_remainder,
    log_sigmoid_difference,
    stirling_error,
    weighted_excess,
)
from latens.typing import Array, Float, Int, Key, Nats, Shaped

LOG_GAP = 80.0
"""The logarithm of a gap between two cuts is held within this of 0: beyond it float32 has no slope left."""


class Bernoulli(AbstractFactorised):
    r"""Independent binary variables.

    $\sum_i x_i l_i - \log(1 + e^{l_i})$ with logits $l$. Values between 0 and 1 are accepted: the result is then the
    cross-entropy $\sum_i x_i \log p_i + (1 - x_i)\log(1 - p_i)$, which is *not* a log density of grey pixels (it does
    not integrate to 1); reports say so.

    Args:
        logits: The logits $l = \log\frac{p}{1 - p}$, of shape (*x).

    Examples:
        >>> round(float(Bernoulli(jnp.zeros(784)).log_prob(jnp.ones(784))), 2)  # -784 log 2
        -543.43
    """

    has_path: ClassVar[bool] = False

    logits: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event of zeros and ones, held as floats."""
        return jax.random.bernoulli(key, jax.nn.sigmoid(self.logits)).astype(self.logits.dtype)

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability (or the negative cross-entropy of a grey value) of each variable, in nats."""
        return event * self.logits - jax.nn.softplus(self.logits)

    def log_prob(self, event: Float[Array, "*x"]) -> Nats:
        """The log probability of one event, in nats, by a function with a gradient in closed form."""
        return _cross_entropy(self.logits.reshape(-1), event.reshape(-1))

    def mean(self) -> Float[Array, "*x"]:
        """The probability of 1 for each variable."""
        return jax.nn.sigmoid(self.logits)

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean p and the variance p (1 - p) of each variable."""
        mean = self.mean()
        return mean, mean * (1.0 - mean)


@jax.custom_jvp
def _cross_entropy(logits: Float[Array, " n"], event: Float[Array, " n"]) -> Nats:
    r"""The Bernoulli log probability with one logarithm for every sixteen terms."""
    # $\sum_i x_i l_i - \log(1 + e^{l_i})$, where $\log(1+e^{l}) = \max(l, 0) + \log(1 + e^{-|l|})$, and a product of
    # sixteen factors in (1, 2] stays below $2^{16}$.
    padded = jnp.pad(jnp.exp(-jnp.abs(logits)), (0, -logits.size % 16))
    logarithms = jnp.log(jnp.prod(1.0 + padded.reshape(-1, 16), axis=1))
    return jnp.sum(event * logits - jax.nn.relu(logits)) - jnp.sum(logarithms)


def _cross_entropy_jvp(primals: tuple, tangents: tuple) -> tuple:
    # One array x - sigmoid(l) is kept for the way back: the derivatives of the products cost more than the sum itself.
    (logits, event), (by_logits, by_event) = primals, tangents
    slope = jnp.zeros((), logits.dtype)
    if not isinstance(by_logits, SymbolicZero):
        slope = slope + jnp.sum((event - jax.nn.sigmoid(logits)) * by_logits)
    if not isinstance(by_event, SymbolicZero):
        slope = slope + jnp.sum(logits * by_event)
    return _cross_entropy(logits, event), slope


_cross_entropy.defjvp(_cross_entropy_jvp, symbolic_zeros=True)


class ContinuousBernoulli(AbstractFactorised):
    r"""Independent continuous Bernoulli variables: a density on [0, 1].

    $p(x) = C(\lambda)\,\lambda^x (1-\lambda)^{1-x}$ with $\lambda = \sigma(l)$. In terms of the logit, $\log p(x) = l x
    - \log\frac{e^{l} - 1}{l}$: an exponential distribution cut to [0, 1].

    Args:
        logits: The logits $l$ of $\lambda$, of shape (*x).

    Source: Loaiza-Ganem & Cunningham (2019), "The continuous Bernoulli: fixing a pervasive error in VAEs", equations 1
    and 8.
    """

    has_path: ClassVar[bool] = True

    logits: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event between 0 and 1 by the inverse of the distribution function."""
        # The inverse of F(x) = (e^{l x} - 1) / (e^l - 1), written for -|l| so that nothing overflows.
        u = jax.random.uniform(key, self.logits.shape, self.logits.dtype)
        size = jnp.maximum(jnp.abs(self.logits), 1e-3)
        small = -jnp.log1p(u * jnp.expm1(-size)) / size
        near_uniform = u + 0.5 * self.logits * u * (1.0 - u)
        event = jnp.where(self.logits > 0, 1.0 - small, small)
        return jnp.clip(jnp.where(jnp.abs(self.logits) < 1e-3, near_uniform, event), 0.0, 1.0)

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats; minus infinity outside [0, 1]."""
        inside = (event >= 0.0) & (event <= 1.0)
        near = jnp.abs(self.logits) < 0.1
        size = jnp.where(near, 1.0, jnp.abs(self.logits))
        # Seen from the end where the density is highest: no difference of large numbers.
        far = -size * jnp.where(self.logits < 0.0, event, 1.0 - event) - jnp.log(-jnp.expm1(-size) / size)
        square = self.logits**2
        series = self.logits * (event - 0.5) - square / 24.0 + square**2 / 2880.0
        return jnp.where(inside, jnp.where(near, series, far), -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable, which is not the probability that belongs to its logit."""
        logits = self.logits
        near = jnp.abs(logits) < 0.1
        # Written for -|l|, so that neither the mean nor its gradient overflows.
        size = jnp.where(near, 1.0, jnp.abs(logits))
        lower = 1.0 / size + jnp.exp(-size) / jnp.expm1(-size)
        series = 0.5 + logits / 12.0 - logits**3 / 720.0
        return jnp.where(near, series, jnp.where(logits < 0, lower, 1.0 - lower))

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean and the variance of each variable: of an exponential family, the mean's slope in the logit."""
        return jax.jvp(lambda logits: ContinuousBernoulli(logits).mean(), (self.logits,), (jnp.ones_like(self.logits),))


class Categorical(AbstractFactorised):
    r"""Independent categorical variables; an event holds integers, never one-hot vectors.

    $\log p(x_i) = l_{i,x_i} - \log\sum_j e^{l_{ij}}$ for values $0 \dots L-1$. `mean` is the expected level, which is
    meaningful where the levels are ordered.

    Args:
        logits: Real numbers $l$, of shape (*x, L).
    """

    has_path: ClassVar[bool] = False

    logits: Float[Array, "*x L"]

    def sample(self, *, key: Key) -> Int[Array, "*x"]:
        """Draw one event of integers."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def log_prob_terms(self, event: Int[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each variable's value, in nats; minus infinity for values outside the range."""
        # A comparison and a sum: a gather here would differentiate to a scatter, which is slow on CPU.
        levels = jax.lax.broadcasted_iota(event.dtype, self.logits.shape, self.logits.ndim - 1)
        chosen = jnp.sum(jnp.where(event[..., None] == levels, self.logits, 0.0), axis=-1)
        inside = (event >= 0) & (event < self.logits.shape[-1])
        return jnp.where(inside, chosen - jax.nn.logsumexp(self.logits, axis=-1), -jnp.inf)

    def probabilities(self) -> Float[Array, "*x L"]:
        """The probability of each value.

        Returns:
            Shape (*x, L); the last axis sums to 1.
        """
        return jax.nn.softmax(self.logits, axis=-1)

    def mean(self) -> Float[Array, "*x"]:
        """The expected level of each variable."""
        return self.probabilities() @ np.arange(self.logits.shape[-1], dtype=np.float32)

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean and the variance of each variable's level."""
        mean, levels = self.mean(), np.arange(self.logits.shape[-1], dtype=np.float32)
        return mean, jnp.sum(self.probabilities() * (levels - mean[..., None]) ** 2, axis=-1)


class Ordinal(AbstractFactorised):
    r"""Ordered grades: a logistic variable seen through cuts (proportional odds).

    $P(x_i \le j) = \sigma(c_j - \mu_i)$ for grades $0 \dots L-1$ and $L - 1$ cuts, with $c_0$ given and $c_j = c_{j-1}
    + e^{g_j}$, so that the cuts are always in order. An event holds integers, the mean is the expected grade.

    Args:
        loc: The location $\mu$ of the logistic, of shape (*x).
        cuts: $c_0$, then the logarithms $g_j$ of the gaps, of shape (*x, L - 1), or (L - 1,) for all variables.

    Examples:
        >>> round(float(Ordinal(jnp.zeros(1), jnp.zeros(1)).log_prob(jnp.array([0]))), 6)  # one cut at loc: log(1/2)
        -0.693147

    Source: McCullagh (1980), "Regression models for ordinal data".
    """

    has_path: ClassVar[bool] = False

    loc: Float[Array, "*x"]
    cuts: Float[Array, "..."]

    @property
    def levels(self) -> int:
        """How many grades there are."""
        return self.cuts.shape[-1] + 1

    def _from_loc(self) -> tuple[Array, Array]:
        """The cuts seen from `loc`, of shape (*x, L - 1), and the gaps between them."""
        gaps = jnp.exp(jnp.clip(self.cuts[..., 1:], -LOG_GAP, LOG_GAP))
        cuts = jnp.cumsum(jnp.concatenate([self.cuts[..., :1], gaps], axis=-1), axis=-1)
        shape = (*self.loc.shape, self.levels - 1)
        return jnp.broadcast_to(cuts, shape) - self.loc[..., None], jnp.broadcast_to(gaps, (*shape[:-1], shape[-1] - 1))

    def log_probabilities(self) -> Float[Array, "*x L"]:
        """The log probability of each grade.

        Returns:
            Shape (*x, L), in nats.
        """
        cuts, gaps = self._from_loc()
        first, last = -jax.nn.softplus(-cuts[..., :1]), -jax.nn.softplus(cuts[..., -1:])
        return jnp.concatenate([first, log_sigmoid_difference(cuts[..., :-1], cuts[..., 1:], gaps), last], axis=-1)

    def sample(self, *, key: Key) -> Int[Array, "*x"]:
        """Draw one event of integer grades."""
        return jax.random.categorical(key, self.log_probabilities()).astype(jnp.int32)

    def log_prob_terms(self, event: Int[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each variable's grade, in nats; minus infinity outside the grades."""
        every = self.log_probabilities()
        levels = jax.lax.broadcasted_iota(event.dtype, every.shape, every.ndim - 1)
        chosen = jnp.sum(jnp.where(event[..., None] == levels, every, 0.0), axis=-1)
        return jnp.where((event >= 0) & (event < self.levels), chosen, -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The expected grade of each variable."""
        # The expectation of a whole number is the sum of P(x > j) over j = 0, 1, ...
        return jnp.sum(jax.nn.sigmoid(-self._from_loc()[0]), axis=-1)


class Segments(AbstractFactorised):
    r"""Independent variables on grids of whole numbers that are cut into segments, alike within each.

    $\log P(x_i) = \log p_{i,s(x_i)} - \log w_{i,s(x_i)}$ where the segment $s$ holds x, p is the softmax of the logits,
    and w the number of cells of a segment. A categorical variable has segments of one cell.

    Args:
        logits: Real numbers, of shape (m, S).
        starts: The first cell of each segment, rising, of shape (m, S).
        widths: How many cells each segment has, of shape (m, S); 0 where a variable has fewer than S segments.
        ordered: Whether the cells have an order, so that they have a mean, of all variables or of each; `mean` is else
            the most probable one.

    Examples:
        >>> die = Segments(jnp.zeros((1, 3)), jnp.array([[0, 1, 2]]), jnp.array([[1, 1, 4]]))
        >>> [round(float(jnp.exp(die.log_prob(jnp.array([x])))), 4) for x in (0.0, 1.0, 2.0, 5.0)]
        [0.3333, 0.3333, 0.0833, 0.0833]
    """

    has_path: ClassVar[bool] = False

    logits: Float[Array, "m S"]
    starts: Int[Array, "m S"]
    widths: Int[Array, "m S"]
    ordered: bool | tuple[bool, ...] = eqx.field(static=True, default=True)

    def log_shares(self) -> Float[Array, "m S"]:
        """The log probability of each segment.

        Returns:
            Shape (m, S), in nats; minus infinity where there is no segment.
        """
        logits = jnp.where(self.widths > 0, self.logits, -jnp.inf)
        return logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)

    def sample(self, *, key: Key) -> Float[Array, " m"]:
        """Draw one event of whole numbers, held as floats."""
        return self.sample_by(jax.random.uniform(key, (self.noise,), self.logits.dtype, jnp.finfo(jnp.float32).tiny))

    @property
    def noise(self) -> int:
        """How many numbers in (0, 1) a draw takes."""
        return self.starts.size + len(self.starts)

    def sample_by(self, u: Float[Array, " noise"]) -> Float[Array, " m"]:
        """The event that uniform noise draws, so that many variables share one draw of it.

        Args:
            u: `noise` numbers in (0, 1).

        Returns:
            Whole numbers of shape (m,), held as floats.
        """
        cells, m = self.starts.size, len(self.starts)
        gumbel = -jnp.log(-jnp.log(u[:cells])).reshape(self.starts.shape)
        chosen = jnp.argmax(self.log_shares() + gumbel, axis=1)[:, None]
        start, width = (jnp.take_along_axis(array, chosen, axis=1)[:, 0] for array in (self.starts, self.widths))
        return start + jnp.minimum(jnp.floor(u[cells : cells + m] * width), width - 1.0)

    def log_prob_terms(self, event: Shaped[Array, " m"]) -> Float[Array, " m"]:
        """The log probability of each variable's value, in nats; minus infinity outside its grid."""
        place = event[:, None] - self.starts
        here = (place >= 0) & (place < self.widths)
        # A comparison and a sum, as of a `Categorical`.
        widths = jnp.maximum(self.widths, 1).astype(self.logits.dtype)
        terms = jnp.where(here, self.log_shares() - jnp.log(widths), 0.0)
        return jnp.where(jnp.any(here, axis=1), jnp.sum(terms, axis=1), -jnp.inf)

    def within(self, low: Float[Array, " m"], high: Float[Array, " m"]) -> tuple["Segments", Nats]:
        r"""The same variables, given that each lies in a range.

        $P(x \mid l \le x \le h)$: each segment keeps its cells in the range, and probability in proportion.

        Args:
            low: The first cell of each range, of shape (m,); minus infinity for none.
            high: The last one, of shape (m,); infinity for none.

        Returns:
            The distribution, and the log probability of the ranges under this one, in nats.
        """
        first, kept = self._in_range(low, high)
        left = self.log_kept(low, high)
        mass = jnp.sum(jax.nn.logsumexp(self.log_shares() + left, axis=-1))
        logits = jnp.where(kept > 0, self.logits + left, 0.0)
        cut = lambda cells: jnp.where(kept > 0, cells, 0.0).astype(self.starts.dtype)  # noqa: E731
        return Segments(logits, cut(first), cut(kept), self.ordered), mass

    def _in_range(self, low: Float[Array, " m"], high: Float[Array, " m"]) -> tuple[Array, Array]:
        """The first cell of each segment that lies in the range, and how many do."""
        first = jnp.maximum(self.starts.astype(low.dtype), low[:, None])
        last = jnp.minimum((self.starts + self.widths - 1).astype(high.dtype), high[:, None])
        return first, jnp.maximum(last - first + 1.0, 0.0)

    def log_kept(self, low: Float[Array, " m"], high: Float[Array, " m"]) -> Float[Array, "m S"]:
        """The log share of each segment's cells that lie in a range.

        Args:
            low: The first cell of each range, of shape (m,); minus infinity for none.
            high: The last one, of shape (m,); infinity for none.

        Returns:
            Shape (m, S), in nats; minus infinity where none does.
        """
        kept = self._in_range(low, high)[1]
        return jnp.log(kept) - jnp.log(jnp.maximum(self.widths, 1).astype(low.dtype))

    def mean(self) -> Float[Array, " m"]:
        """The expected cell of each variable, or without an order the most probable one."""
        ordered, shares = np.asarray(self.ordered), self.log_shares()
        widths = jnp.maximum(self.widths, 1).astype(self.logits.dtype)
        mean = jnp.sum(jnp.exp(shares) * (self.starts + 0.5 * (widths - 1)), axis=1)
        if ordered.all():
            return mean
        # Of a segment of several cells each has its part; one cell has all of it.
        best = jnp.argmax(shares - jnp.log(widths), axis=1)[:, None]
        likeliest = jnp.take_along_axis(self.starts, best, axis=1)[:, 0].astype(self.logits.dtype)
        return jnp.where(ordered, mean, likeliest)


class RelaxedOneHot(AbstractDistribution[Array]):
    r"""The Concrete or Gumbel-softmax distribution: relaxed one-hot vectors on the simplex.

    $x = \mathrm{softmax}((l + g)/\tau)$ with Gumbel noise $g$. $\log p(x) = \log (n-1)! + (n-1)\log\tau + \sum_i [l_i -
    (\tau + 1)\log x_i] - n\log\sum_i e^{l_i} x_i^{-\tau}$, with respect to the first $n - 1$ entries.

    Args:
        logits: Real numbers $l$ of shape (*k, n): independent choices, each among n.
        log_temperature: The logarithm $\log\tau$, of shape ().

    Examples:
        >>> near = RelaxedOneHot(jnp.log(jnp.array([0.7, 0.2, 0.1])), jnp.log(0.5))
        >>> round(float(near.log_prob(jnp.array([0.6, 0.3, 0.1]))), 5)
        -0.31766

    Source: Maddison, Mnih & Teh (2017), "The Concrete distribution"; Jang, Gu & Poole (2017), "Categorical
    reparameterization with Gumbel-softmax".
    """

    has_path: ClassVar[bool] = True

    logits: Float[Array, "*k n"]
    log_temperature: Float[Array, ""]

    def sample(self, *, key: Key) -> Float[Array, "*k n"]:
        """Draw one event on the simplex, differentiable in both parameters."""
        return self._at(jax.random.gumbel(key, self.logits.shape, self.logits.dtype))

    def from_uniform(self, noise: Float[Array, "*k n"]) -> Float[Array, "*k n"]:
        """The event that belongs to uniform noise between 0 and 1, differentiable in both parameters.

        Args:
            noise: Uniform numbers from 0 to 1, of the shape of the event.

        Returns:
            The event.
        """
        return self._at(-jnp.log(-jnp.log(inside_unit(noise))))

    def _at(self, noise: Float[Array, "*k n"]) -> Float[Array, "*k n"]:
        event = jax.nn.softmax((self.logits + noise) * jnp.exp(-self.log_temperature))
        return jnp.maximum(event, float(jnp.finfo(event.dtype).tiny))  # whose logarithm is finite

    def log_prob(self, event: Float[Array, "*k n"]) -> Nats:
        """The log density of one event, in nats; minus infinity outside the simplex."""
        inside = event > 0.0
        log_x = jnp.log(jnp.where(inside, event, 0.5))
        n, choices = event.shape[-1], event.size // event.shape[-1]
        # Written with s = l - tau log x, so that no power is taken.
        scores = self.logits - jnp.exp(self.log_temperature) * log_x
        total = jnp.sum(jax.nn.log_softmax(scores)) - jnp.sum(log_x)
        constant = choices * (math.lgamma(n) + (n - 1) * self.log_temperature)
        return jnp.where(jnp.all(inside), constant + total, -jnp.inf)


def _as_counts(event: Shaped[Array, "*x"], like: Float[Array, "..."]) -> tuple[Array, Array]:
    """The counts in the precision of the parameters, and which of them are counts at all."""
    count = event.astype(like.dtype)
    valid = (count >= 0.0) & (count == jnp.floor(count))
    return jnp.where(valid, count, 0.0), valid


class Poisson(AbstractFactorised):
    r"""Independent Poisson counts.

    $\prod_i \frac{\lambda_i^{x_i} e^{-\lambda_i}}{x_i!}$.

    Args:
        log_rate: The logarithms $\log\lambda$ of the rates, of shape (*x).

    Examples:
        >>> round(float(Poisson(jnp.log(jnp.array([3.0]))).log_prob(jnp.array([0.0]))), 5)
        -3.0
    """

    has_path: ClassVar[bool] = False

    log_rate: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event of counts, held as floats."""
        return jax.random.poisson(key, jnp.exp(self.log_rate)).astype(self.log_rate.dtype)

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each count, in nats; minus infinity for anything but whole numbers from 0."""
        count, valid = _as_counts(event, self.log_rate)
        is_zero, rate = count == 0.0, jnp.exp(self.log_rate)
        safe = jnp.where(is_zero, 1.0, count)
        # x log(rate) - rate - log x! for x > 0, with the large terms cancelled: the loss for the ratio of rate and x.
        some = -weighted_excess(safe, self.log_rate - jnp.log(safe), rate) - log_count_remainder(safe)
        return jnp.where(valid, jnp.where(is_zero, -rate, some), -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The rate of each variable."""
        return jnp.exp(self.log_rate)


class NegativeBinomial(AbstractFactorised):
    r"""Independent negative binomial counts: each a Poisson whose rate is Gamma distributed.

    $\frac{\Gamma(x + \theta)}{\Gamma(\theta)\,x!} \left(\frac{\theta}{\theta + \mu}\right)^\theta
    \left(\frac{\mu}{\theta + \mu}\right)^x$ with mean $\mu$ and variance $\mu + \mu^2/\theta$; a large dispersion
    parameter $\theta$ makes it a Poisson. Samples are not differentiable.

    Args:
        log_mean: The logarithms $\log\mu$ of the means, of shape (*x).
        log_dispersion: The logarithms $\log\theta$, of a shape that broadcasts to that of `log_mean`.

    Examples:
        >>> density = NegativeBinomial(jnp.log(jnp.array([3.0])), jnp.log(jnp.array([2.0])))
        >>> round(float(density.log_prob(jnp.array([4.0]))), 5)
        -2.26645
    """

    has_path: ClassVar[bool] = False

    log_mean: Float[Array, "*x"]
    log_dispersion: Float[Array, "..."]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event of counts, held as floats: a Gamma rate, then a Poisson count."""
        rate_key, count_key = jax.random.split(key)
        log_dispersion = jnp.broadcast_to(self.log_dispersion, self.log_mean.shape)
        log_rate = jax.random.loggamma(rate_key, jnp.exp(log_dispersion)) + self.log_mean - log_dispersion
        return jax.random.poisson(count_key, jnp.exp(log_rate)).astype(self.log_mean.dtype)

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each count, in nats; minus infinity for anything but whole numbers from 0."""
        count, valid = _as_counts(event, self.log_mean)
        log_mean, log_theta = jnp.broadcast_arrays(self.log_mean, self.log_dispersion)
        theta, log_sum = jnp.exp(log_theta), jnp.logaddexp(log_mean, log_theta)
        is_zero = count == 0.0
        safe = jnp.where(is_zero, 1.0, count)
        total = safe + theta
        # t = log((x + theta) / (mean + theta)): by the share that x lies away from the mean where that is small, else
        # by the logarithms. The sum of both losses has no slope in t, so its rounding hardly matters.
        share = safe * jnp.exp(-log_sum) - jnp.exp(log_mean - log_sum)
        near = jnp.abs(share) < 0.5
        t = jnp.where(near, jnp.log1p(jnp.where(near, share, 0.0)), jnp.log(total) - log_sum)
        shifted = t + log_mean - jnp.log(safe)
        of_count = weighted_excess(safe, shifted, jnp.exp(t + log_mean)) + log_count_remainder(safe)
        some = 0.5 * (log_theta - jnp.log(total)) + stirling_error(total) - stirling_error(theta)
        some = some - weighted_excess(theta, t, jnp.exp(log_theta + t)) - of_count
        # theta log(1 + v) with v = mean / theta; where v is small, the mean less theta (v - log(1 + v)).
        log_ratio = log_mean - log_theta
        small = log_ratio < -1.5
        log_one_more = jnp.log1p(jnp.exp(jnp.where(small, log_ratio, -1.5)))
        none = jnp.where(small, theta * excess(log_one_more) - jnp.exp(log_mean), -theta * jax.nn.softplus(log_ratio))
        return jnp.where(valid, jnp.where(is_zero, none, some), -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each count."""
        return jnp.exp(self.log_mean)


class ZeroInflated(AbstractFactorised):
    r"""Counts that are 0 with an extra probability, and else drawn from another distribution.

    $p(0) = \pi + (1 - \pi)\,p_{inner}(0)$ and $p(x) = (1 - \pi)\,p_{inner}(x)$ for $x > 0$.

    Args:
        inner: The distribution of counts, over events of shape (*x).
        logits: The logits of $\pi$, of shape (*x).
    """

    has_path: ClassVar[bool] = False

    inner: AbstractFactorised
    logits: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event: extra zeros, and counts of the inner distribution elsewhere."""
        coin_key, count_key = jax.random.split(key)
        is_extra = jax.random.bernoulli(coin_key, jax.nn.sigmoid(self.logits))
        return jnp.where(is_extra, 0.0, self.inner.sample(key=count_key))

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each count, in nats, with the extra zeros."""
        inner = self.inner.log_prob_terms(event)
        # An impossible count must reach neither the value of the other counts nor a gradient; 0 is always possible.
        possible, is_zero = inner > -jnp.inf, event == 0
        kept = jnp.where(possible, inner, 0.0) - jax.nn.softplus(self.logits)
        extra = -jax.nn.softplus(-self.logits)
        with_extra = jnp.where(possible, jnp.logaddexp(extra, kept), extra)
        return jnp.where(is_zero, with_extra, jnp.where(possible, kept, -jnp.inf))

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each count, with the extra zeros."""
        return jax.nn.sigmoid(-self.logits) * self.inner.mean()
