"""Can importance weights be trusted? How many draws they are worth, and how heavy their tail is."""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from latens.typing import Array, Bool, Float, Nats

TRUSTED_K = 0.7
"""Above this Pareto k an importance sampling estimate is not to be trusted (Vehtari et al. 2024)."""

BLOCKS = 8
"""Parts of the draws from which it is seen how the estimate rises with their number."""

_TIED = 0.25
"""Where this share of the tail are weights equal to their neighbour, the tail is one of steps, not of a density."""


def effective_sample_size(log_weights: Float[Array, " K"]) -> Float[Array, ""]:
    r"""The effective sample size of importance weights: as many equal weights would have the same variance.

    $(\sum_k w_k)^2 / \sum_k w_k^2$, from 1 to K. A small one says that few samples carry the estimate. A large one
    proves nothing where q misses a part of the posterior: no sample came from there.

    Args:
        log_weights: Logarithms of the weights, shape (K,), up to a constant.

    Returns:
        The effective sample size, shape ().

    Examples:
        >>> float(effective_sample_size(jnp.zeros(8)))
        8.0

    Source: Kong, Liu & Wong (1994).
    """
    return jnp.exp(2.0 * jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(2.0 * log_weights))


def tail_length(num_samples: int) -> int:
    """Count the largest weights that are the tail: the smaller of K/5 and 3 sqrt(K)."""
    # Source: Vehtari et al. (2024).
    return math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def pareto_k(log_weights: Float[Array, " K"]) -> Float[Array, ""]:
    """The shape k of a generalised Pareto distribution fitted to the largest importance weights.

    The weights have about 1/k finite moments: below 0.5 the error of the estimate is known (finite variance), above
    0.7 the estimate is not to be trusted, above 1 the mean of the tail does not even exist. The estimate is drawn
    towards 0.5 as if by 10 samples more.

    Args:
        log_weights: Logarithms of the weights, shape (K,), up to a constant.

    Returns:
        k, shape (); NaN for K below 25.

    Source: Zhang & Stephens (2009), Technometrics 51; Vehtari, Simpson, Gelman, Yao & Gabry (2024), "Pareto smoothed
    importance sampling", JMLR 25(72).
    """
    length = tail_length(log_weights.shape[0])
    if length < 5:
        return jnp.full((), jnp.nan, log_weights.dtype)
    return tail_shape(jax.lax.top_k(log_weights, length + 1)[0])


def tail_shape(tail: Float[Array, " M_and_1"]) -> Float[Array, ""]:
    """Compute `pareto_k` from the tail of the weights alone."""
    # tail: the M + 1 largest log weights in falling order, in nats; the last one is where the tail begins.
    return tail_fit(tail)[0]


def tail_fit(tail: Float[Array, " M_and_1"]) -> tuple[Float[Array, ""], Nats]:
    """Fit a generalised Pareto distribution to the tail of the weights, and smooth their sum by it."""
    # Smoothed weights are the quantiles $(j - 1/2)/M$ of the fitted distribution in the place of the weights, none of
    # them above the largest weight. A density does not fit weights that are tied, as those of discrete latents: their k
    # is that of the power law $(M/j)^k$ from the cut to the j-th largest weight, the steepest of those in the upper
    # third, drawn towards 0.5 as if by 5 draws more, and nothing is smoothed.
    # Source: Vehtari, Simpson, Gelman, Yao & Gabry (2024), "Pareto smoothed importance sampling", JMLR 25(72).
    # tail: the M + 1 largest log weights in falling order, in nats; the last one is where the tail begins.
    # returns: k as `pareto_k` defines it, and the log of the sum of the M smoothed weights in nats, both
    n = tail.shape[0] - 1
    # w_i - w_cut relative to the largest weight, exact also for weights that are nearly equal.
    excess = jnp.exp(tail[:-1] - tail[0]) * -jnp.expm1(tail[-1] - tail[:-1])
    excess = jnp.flip(jnp.where(tail[:-1] > tail[-1], excess, 0.0))
    quartile = jnp.maximum(excess[math.floor(n / 4 + 0.5) - 1], jnp.finfo(tail.dtype).tiny * 1e6)
    size = 30 + math.floor(math.sqrt(n))
    grid = 1.0 - jnp.sqrt(size / (jnp.arange(1, size + 1, dtype=tail.dtype) - 0.5))
    theta = 1.0 / jnp.maximum(excess[-1], quartile) + grid / (3.0 * quartile)
    shape = jax.vmap(lambda t: jnp.mean(jnp.log1p(-t * excess)))(theta)
    # The profile likelihood of theta; the mean over it as a density is the estimate.
    share = jax.nn.softmax(n * (jnp.log(-theta / shape) - shape - 1.0))
    theta = jnp.sum(share * theta)
    raw = jnp.mean(jnp.log1p(-theta * excess))
    k = (raw * n + 5.0) / (n + 10.0)
    # sigma ((1 - p)^-k - 1) / k, with sigma = -raw / theta; for k near 0 its limit.
    log_rest = jnp.log1p(-(jnp.arange(1, n + 1, dtype=tail.dtype) - 0.5) / n)
    small = jnp.abs(k) < 1e-4
    quantile = jnp.where(small, -log_rest, jnp.expm1(-k * log_rest) / jnp.where(small, 1.0, k)) * (-raw / theta)
    smoothed = jnp.minimum(quantile + jnp.exp(tail[-1] - tail[0]), 1.0)
    # Equal weights have no tail.
    flat = ~(excess[-1] > 0.0)
    steps, k_of_steps = _steps(tail)
    log_sum = jnp.where(flat | steps, jax.nn.logsumexp(tail[:-1]), jnp.log(jnp.sum(smoothed)) + tail[0])
    return jnp.where(flat, 0.0, jnp.where(steps, k_of_steps, k)), log_sum


def _steps(tail: Float[Array, " M_and_1"]) -> tuple[Bool[Array, ""], Float[Array, ""]]:
    """Whether a tail is one of ties, and the k of the power law that its highest steps lie on."""
    n = tail.shape[0] - 1
    rounding = 16 * jnp.finfo(tail.dtype).eps * jnp.maximum(jnp.abs(tail[0]), 1.0)
    # Two weights of 0 are tied: -inf - -inf is not above anything.
    steps = jnp.sum(~(tail[:-1] - tail[1:] > rounding)) >= _TIED * n
    above = tail[:-1] - jnp.min(jnp.where(jnp.isfinite(tail), tail, tail[0]))
    count = jnp.sum(above > rounding)
    upper = max(n // 3, 1)
    slope = jnp.max(above[:upper] / jnp.log(n / jnp.arange(1, upper + 1)))
    return steps, jnp.where(count > 0, (slope * count + 2.5) / (count + 5), 0.0)


class WeightSums(NamedTuple):
    """What is kept of the log weights of B rows while their samples stream by."""

    # log of the sum of the weights w over each of the two halves of the samples, shape (2, B)
    log_sums: Float[Array, "2 B"]
    log_sum_squares: Float[Array, " B"]  # log of the sum of w^2, shape (B,)
    tail: Float[Array, "B M_and_1"]  # the M + 1 largest log weights of each row in falling order, shape (B, M + 1)
    log_blocks: Float[Array, "8 B"]  # log of the sum of the weights over each of 8 blocks of the samples, shape (8, B)
    counts: Float[Array, " 8"]  # samples in each of these blocks, shape (8,)

    @classmethod
    def start(cls, rows: int, num_samples: int) -> "WeightSums":
        """Begin without samples."""
        nothing = jnp.full(rows, -jnp.inf)
        tail = jnp.full((rows, tail_length(num_samples) + 1), -jnp.inf)
        blocks = jnp.full((BLOCKS, rows), -jnp.inf)
        return cls(jnp.full((2, rows), -jnp.inf), nothing, tail, blocks, jnp.zeros(BLOCKS))

    def summed(self, log_weights: Float[Array, "n B"], half: Array | int) -> "WeightSums":
        """Add samples to the sum of one half; squares and tail wait for `sorted_in`."""
        more = jax.nn.logsumexp(log_weights, axis=0)
        own = (jnp.arange(2) == half)[:, None]
        return self._replace(log_sums=jnp.logaddexp(self.log_sums, jnp.where(own, more, -jnp.inf)))

    def sorted_in(self, log_weights: Float[Array, "n B"]) -> "WeightSums":
        """Add samples to the squares, the tail and the blocks, which share them evenly."""
        squares = jnp.logaddexp(self.log_sum_squares, jax.nn.logsumexp(2.0 * log_weights, axis=0))
        largest = jnp.concatenate([self.tail, log_weights.T], axis=1)
        ends = np.arange(BLOCKS + 1) * log_weights.shape[0] // BLOCKS
        parts = [log_weights[first:last] for first, last in itertools.pairwise(ends)]
        blocks = jnp.stack([_sum_of(part) for part in parts])
        return self._replace(
            log_sum_squares=squares,
            tail=jax.lax.top_k(largest, self.tail.shape[1])[0],
            log_blocks=jnp.logaddexp(self.log_blocks, blocks),
            counts=self.counts + np.diff(ends),
        )

    def summary(self, halves: tuple[int, int]) -> "WeightSummary":
        """Compute the summary of all samples."""
        count = sum(halves)
        log_sum = jnp.logaddexp(*self.log_sums)
        log_mean = log_sum - math.log(count)
        size = jnp.exp(2.0 * log_sum - self.log_sum_squares)
        rise = jnp.full(size.shape, jnp.nan)
        if min(halves):
            parts = (n / count * (one - math.log(n)) for n, one in zip(halves, self.log_sums))
            # Not below 0 by Jensen's inequality, but for rounding; nan - nan of rows without any weight stays.
            rise = jnp.maximum(log_mean - sum(parts), 0.0)
        error, rises = log_mean_error(size, count), self._rises()
        if self.tail.shape[1] <= 5:
            return WeightSummary(log_mean, error, size, jnp.full(size.shape, jnp.nan), rise, log_mean, rises)
        k, smooth = jax.vmap(tail_fit)(self.tail)
        # The rest is the sum without the tail: 1 - tail / sum, of which nothing may be left.
        tail = jax.nn.logsumexp(self.tail[:, :-1], axis=1)
        body = log_sum + jnp.log(jnp.maximum(-jnp.expm1(jnp.minimum(tail - log_sum, 0.0)), 0.0))
        smoothed = jnp.logaddexp(body, smooth) - math.log(count)
        return WeightSummary(log_mean, error, size, k, rise, smoothed, rises)

    def _rises(self) -> Float[Array, "B 3"]:
        """By how much the log mean rises from an eighth to a quarter, to a half, to all samples; NaN below 8."""
        top = jnp.max(self.log_blocks, axis=0)
        sums = jnp.exp(self.log_blocks - jnp.where(jnp.isfinite(top), top, 0.0))
        levels = []
        for size in (1, 2, 4, BLOCKS):
            # The mean over all choices of so many blocks: a fraction of the noise of one choice.
            chosen = [[i in own for i in range(BLOCKS)] for own in itertools.combinations(range(BLOCKS), size)]
            means = jnp.asarray(chosen, sums.dtype) @ sums / (jnp.asarray(chosen, sums.dtype) @ self.counts)[:, None]
            levels.append(jnp.mean(jnp.log(jnp.maximum(means, jnp.finfo(means.dtype).tiny)), axis=0))
        rises = jnp.maximum(jnp.diff(jnp.stack(levels, axis=1), axis=1), 0.0)
        return jnp.where(jnp.min(self.counts) > 0, rises, jnp.nan)


def _sum_of(log_weights: Float[Array, "n B"]) -> Float[Array, " B"]:
    if not len(log_weights):
        return jnp.full(log_weights.shape[1], -jnp.inf)
    return jax.nn.logsumexp(log_weights, axis=0)


class WeightSummary(NamedTuple):
    """What the importance weights of each row say: the evidence, its error and whether to trust it."""

    log_mean: Float[Array, " B"]  # log of the mean weight, shape (B,), nats
    error: Float[Array, " B"]  # its standard error, shape (B,), nats
    effective_sample_size: Float[Array, " B"]  # effective samples, shape (B,)
    pareto_k: Float[Array, " B"]  # pareto k, shape (B,)
    # by how much the log mean of all samples lies above the mean of those of two halves, shape (B,), nats, not
    # negative: half of the samples fall that much shorter
    rise: Float[Array, " B"]
    smoothed: Float[Array, " B"]  # the log mean with a Pareto-smoothed tail, shape (B,), nats
    # by how much the log mean rises from an eighth to a quarter, from there to a half and from there to all of the
    # samples, shape (B, 3), nats; NaN for fewer than 8 samples
    rises: Float[Array, "B 3"]


def log_mean_error(size: Float[Array, "..."], num_samples: int) -> Float[Array, "..."]:
    r"""The standard error of the log of the mean importance weight, by the delta method."""
    # $\mathrm{sd}(w)/(\sqrt K\,\bar w)$, which from the effective sample size S is $\sqrt{(1/S - 1/K)\,K/(K - 1)}$.
    if num_samples < 2:
        return jnp.full_like(size, jnp.nan)
    return jnp.sqrt(jnp.maximum(1.0 / size - 1.0 / num_samples, 0.0) * (num_samples / (num_samples - 1)))


def summarise(log_weights: Float[Array, "B K"]) -> WeightSummary:
    """Summarise importance weights that are all there."""
    rows, count = log_weights.shape
    half, weights = count // 2, log_weights.T
    sums = WeightSums.start(rows, count).summed(weights[half:], 1).sorted_in(weights)
    sums = sums.summed(weights[:half], 0) if half else sums
    return sums.summary((half, count - half))


def log_mean(log_weights: Float[Array, " K"]) -> Nats:
    r"""The log of the mean importance weight."""
    # $\log\frac1K\sum_k w_k$.
    return jax.nn.logsumexp(log_weights) - math.log(log_weights.shape[0])
