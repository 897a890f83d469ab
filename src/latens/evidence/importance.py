"""log p(x) and the ELBO by importance sampling, of draws from one or several proposals.

The weights say how many draws they are worth, how heavy their tail is, and the error.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, DiagonalNormal, has_closed_form, kl_terms
from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, map_draws, weights_of
from latens.evidence.estimate import Estimate, median
from latens.models import AbstractJointModel, AbstractLatentModel, mean_code
from latens.objectives.base import draw
from latens.runtime.compilation import counted
from latens.typing import AnyArray, Array, Bool, Cond, Float, Key, Mask, Nats, PyTree

TRUSTED_K = 0.7
"""Above this Pareto k an importance sampling estimate is not to be trusted (Vehtari et al. 2024)."""

BLOCKS = 8
"""Parts of the draws from which it is seen how the estimate rises with their number."""

_TIED = 0.25
"""Where this share of the tail are weights equal to their neighbour, the tail is one of steps, not of a density."""

MARGIN = 1.4
"""What errors of draws are multiplied with: 1.96 of them then cover 93 % and more (`benchmarks/coverage.py`)."""

SLOW = 0.75
"""Where a doubling of the draws leaves this part of the rise of the one before, what is lacking is not known."""

_PRIOR_RATIO, _PRIOR_ROWS, _ENOUGH = 0.85, 40, 20
"""The ratio of rises is drawn to this one, as if by so many rows more; a row counts in full from this tail on."""

_LEAST_RATIO, _LEAST_ROWS = 0.5, 20
"""The same for what is lacking at least: the ratio of weights of finite variance, which is the smallest."""

_FEW, _WIDE = 10, 0.2
"""Nor is it known where fewer rows speak than this, and their errors are above this (nats)."""

_UNSEEN = 0.005
"""An error below this is not printed (nats), and so never unknown."""


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


def heavy_by_chance(num_samples: int, rows: float) -> float:
    """The most rows of which chance makes an estimate of Pareto k above `TRUSTED_K` where the k of all is 1/2."""
    # Up to 1/2 weights have a finite variance, and errors are known. The estimate from a tail of M weights has a
    # standard deviation of (1 + k)/sqrt(M), and is drawn to 1/2 as if by 10 more. A count has two standard errors more.
    length = tail_length(num_samples)
    spread = 1.5 / math.sqrt(length) * length / (length + 10)
    share = 0.5 * math.erfc((TRUSTED_K - 0.5) / (spread * math.sqrt(2.0)))
    return rows * share + 2.0 * math.sqrt(rows * share * (1.0 - share))


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
    # A density does not fit weights that are tied, as those of discrete latents: their k is that of the power law
    # $(M/j)^k$ from the cut to the j-th largest weight, the steepest of those in the upper third, drawn towards 0.5 as
    # if by 5 draws more.
    # tail: the M + 1 largest log weights in falling order, in nats; the last one is where the tail begins.
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
    # Equal weights have no tail.
    flat = ~(excess[-1] > 0.0)
    steps, k_of_steps = _steps(tail)
    return jnp.where(flat, 0.0, jnp.where(steps, k_of_steps, k))


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
        return cls(nothing, tail, blocks, jnp.zeros(BLOCKS))

    def sorted_in(self, log_weights: Float[Array, "n B"]) -> "WeightSums":
        """Add samples, which the blocks share evenly."""
        squares = jnp.logaddexp(self.log_sum_squares, jax.nn.logsumexp(2.0 * log_weights, axis=0))
        largest = jnp.concatenate([self.tail, log_weights.T], axis=1)
        ends = np.arange(BLOCKS + 1) * log_weights.shape[0] // BLOCKS
        parts = [log_weights[first:last] for first, last in itertools.pairwise(ends)]
        blocks = jnp.stack([_sum_of(part) for part in parts])
        return self._replace(
            log_sum_squares=squares,
            tail=jax.lax.top_k(largest, self.tail.shape[1])[0],
            log_blocks=jnp.logaddexp(self.log_blocks, blocks),
            counts=self.counts + np.diff(ends).astype(self.counts.dtype),
        )

    def summary(self, count: int) -> "WeightSummary":
        """Compute the summary of all samples, of this number."""
        log_sum = jax.nn.logsumexp(self.log_blocks, axis=0)
        log_mean = log_sum - math.log(count)
        size = jnp.exp(2.0 * log_sum - self.log_sum_squares)
        error, rises = log_mean_error(size, count), self._rises()
        nothing = jnp.full(size.shape, jnp.nan)
        k = nothing if self.tail.shape[1] <= 5 else jax.vmap(tail_shape)(self.tail)
        return WeightSummary(log_mean, error, size, k, rises)

    def _rises(self) -> Float[Array, "B 3"]:
        """By how much the log mean rises from an eighth to a quarter, to a half, to all samples; NaN below 8."""
        top = jnp.max(self.log_blocks, axis=0)
        sums = jnp.exp(self.log_blocks - jnp.where(jnp.isfinite(top), top, 0.0)[None])
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
    return WeightSums.start(rows, count).sorted_in(log_weights.T).summary(count)


def log_mean(log_weights: Float[Array, " K"]) -> Nats:
    r"""The log of the mean importance weight."""
    # $\log\frac1K\sum_k w_k$.
    return jax.nn.logsumexp(log_weights) - math.log(log_weights.shape[0])


class DrawSums(NamedTuple):
    """Sums over rows of weight w that the error of their draws is made of."""

    draws: float  # draws (or runs) of each row, a whole number
    weight: float  # of w
    squares: float  # of (w e)^2, e the error of a row in nats
    variance: float  # of v = w e^2
    variance_squares: float  # of v^2
    untrusted: float  # rows whose Pareto k is above `TRUSTED_K`
    rows: float  # rows that have a k
    # of w times the rise from an eighth of the draws to a quarter, in nats; NaN for fewer than 8, as those that follow
    first_rise: float
    second_rise: float  # from there to a half
    third_rise: float  # from there to all

    @property
    def monte_carlo_error(self) -> float:
        """The standard error of the mean over just these rows: of the draws, not of the choice of rows (nats)."""
        return float(np.sqrt(self.squares) / self.weight)

    @property
    def draws_error(self) -> float:
        """What the draws may make the mean wrong by, in nats; infinite where it is not known."""
        ratio, unknown = self.decay
        error = MARGIN * self._lacking(ratio)
        return float("inf") if unknown and error >= _UNSEEN else error

    @property
    def lacks(self) -> float:
        """The `draws_error` before its margin, in nats: where that is infinite, about so much or more is lacking."""
        ratio, unknown = self.decay
        return self._lacking(self._ratio(_LEAST_RATIO, _LEAST_ROWS) if unknown else ratio)

    def _lacking(self, ratio: float) -> float:
        last = 0.0 if np.isnan(self.third_rise) else self.third_rise / self.weight
        return float(np.hypot(2.0 * ratio * self.monte_carlo_error, last * ratio / (1.0 - ratio)))

    @property
    def decay(self) -> tuple[float, bool]:
        """Which part of a rise the next doubling of the draws leaves, and whether what is lacking is not known."""
        if not np.isfinite(self.variance) or self.variance <= 0:
            return (0.5, False) if self.variance == 0 else (_PRIOR_RATIO, True)
        wide = self.variance / self.weight > _WIDE**2
        heavy = self.untrusted > heavy_by_chance(int(self.draws), self.rows)
        ratio, rows = self._measured
        return self._ratio(_PRIOR_RATIO, _PRIOR_ROWS), bool(heavy or ratio > SLOW or (rows < _FEW and wide))

    @property
    def _measured(self) -> tuple[float, float]:
        """The ratio of rises as it was measured, and how many rows speak for it; 0.5 and 0 where none does."""
        earlier, later = self.first_rise + self.second_rise, self.second_rise + self.third_rise
        if np.isnan(earlier + later) or not 0 < self.variance < np.inf:
            return 0.5, 0.0
        ratio = float(np.clip(later / max(earlier, 1e-30 * self.weight), 0.5, 0.95))
        rows = self.variance**2 / self.variance_squares * min(tail_length(int(self.draws)) / _ENOUGH, 1.0)
        return ratio, float(rows)

    def _ratio(self, prior: float, as_if: float) -> float:
        """The measured ratio, drawn to another one as if by so many rows more."""
        ratio, rows = self._measured
        return (ratio * rows + prior * as_if) / (rows + as_if)


@dataclass(frozen=True)
class LogMarginals:
    """An estimate of log p(x) for each of B rows, and what its samples say about it.

    Args:
        rows: The estimates, shape (B,), nats.
        row_errors: Their Monte Carlo standard errors, shape (B,), nats.
        num_samples: Samples for each row.
        protocol: How it was done, in words.
        effective_sample_size: Of the weights, shape (B,).
        pareto_k: Of the weights, shape (B,).
        degrees: Degrees of freedom that the errors have (samples, or runs, minus 1).
        weight: Weights of the rows, shape (B,).
        rises: The rises from an eighth of the samples to a quarter, to a half, to all, shape (B, 3), nats.
    """

    rows: np.ndarray
    row_errors: np.ndarray
    num_samples: int
    protocol: str
    effective_sample_size: np.ndarray
    pareto_k: np.ndarray
    degrees: int
    weight: np.ndarray | None = None
    rises: np.ndarray | None = None

    @cached_property
    def sums(self) -> DrawSums:
        """The sums over rows that the error of the draws is made of."""
        weight = np.ones(len(self.rows)) if self.weight is None else np.asarray(self.weight, np.float64)
        error, k = np.asarray(self.row_errors, np.float64), np.asarray(self.pareto_k, np.float64)
        variance = weight * error**2
        rises = np.full(3, np.nan) if self.rises is None else weight @ np.asarray(self.rises, np.float64)
        own = (weight, (weight * error) ** 2, variance, variance**2, k > TRUSTED_K, ~np.isnan(k))
        sums = [np.sum(values) for values in own]
        return DrawSums._make((self.degrees + 1, *sums, *rises))

    @property
    def draws_error(self) -> float:
        r"""What the samples may be wrong by, in nats: their Monte Carlo error together with what they still lack.

        $1.4\sqrt{(2\rho e)^2 + b^2}$, e the error of the mean over rows by its draws and b what it still lacks. A bound
        from K samples has risen by r over that from K/2, and every doubling is taken to leave the part $\rho$ of the
        rise of the one before: $b = r\rho/(1 - \rho)$. With weights of finite variance $\rho$ falls to 1/2. It is
        measured over all rows, and drawn to 0.85 as if by 40 rows more: where few samples or few rows speak, errors are
        rather too large. b does not become less with more rows.

        What is lacking is not known where $\rho$ is above 0.75, where more rows have a Pareto k above 0.7 than chance
        makes of rows of k 0.5, or where fewer than ten rows speak and their errors are above 0.2. The error
        is then infinite, and the number a lower bound by an unknown amount. An error below 0.005, which is not printed,
        is never unknown.

        Returns:
            The error in nats; infinite where it is not known.
        """
        return self.sums.draws_error

    def estimate(self) -> Estimate:
        """Give the mean over rows.

        Returns:
            The mean in nats: `standard_error` is of the choice of rows, `draws_error` of the samples.
        """
        found = Estimate.of(self.rows, num_samples=self.num_samples, protocol=self.protocol, weight=self.weight)
        k = np.asarray(self.pareto_k, np.float64)
        heavy = None if np.isnan(k).all() else int(np.sum(k > TRUSTED_K))
        return replace(found.with_draws_error(self.draws_error, self.sums.lacks), untrusted_rows=heavy)

    def estimates(self, name: str = "log_marginal") -> dict[str, Estimate]:
        """Give the means over rows by name, with what the weights say of them.

        Args:
            name: Name of the estimate.

        Returns:
            The estimate in nats under its name, and of its weights `effective_sample_size` and `pareto_k`: the medians
            over rows, with the worst row in words.
        """
        size, k = np.asarray(self.effective_sample_size, np.float64), np.asarray(self.pareto_k, np.float64)
        nan, n = float("nan"), len(self.rows)
        found = {name: self.estimate()}
        words = f"of {self.num_samples} draws, the median over rows; the smallest is {size.min():.1f}"
        found["effective_sample_size"] = Estimate(median(size, self.weight), nan, self.num_samples, n, "draws", words)
        if (bad := found[name].untrusted_rows) is not None:
            words = f"the median over rows; the largest is {k.max():.2f}, and {bad} of {n} rows are above {TRUSTED_K}"
            value = Estimate(median(k, self.weight), nan, self.num_samples, n, "k", words)
            found["pareto_k"] = replace(value, untrusted_rows=bad)
        return found


EVIDENCE = ("q", "q", "q", "wide", "q", "q", "q", "prior")
"""Whose the draws of log p(x) are in turn: those of the wider posterior reach tails, those of the prior all."""

WIDER = math.log(2.0)
"""The logarithm of how many times wider the wider posterior is, where the posterior is a diagonal Normal."""


def proposed(
    model: AbstractLatentModel,
    batch: Batch,
    count: int,
    *,
    first: Array | int,
    num_samples: int,
    proposals: tuple[str, ...],
    key: Key,
    beside: AbstractDistribution | None = None,
) -> tuple[PyTree[Array], Float[Array, "K B"], Float[Array, "K 2 B"]]:
    r"""Some of K draws of z for each row, from the posterior "q", "wide", the "prior" and `beside`, in turn."""
    # $\log w = \log p(x \mid z) + \log p(z) - \log\sum_j \frac{K_j}{K} r_j(z)$, with $K_j$ of the K draws from the
    # proposal $r_j$. The mean of w is p(x) in expectation, whatever K is, and the prior bounds every weight. All draws
    # are of q where its density is known along its own draws only, and those of a wider one where none is known.
    # Source: Owen & Zhou (2000), "Safe and effective importance sampling"; Veach & Guibas (1995).
    # returns: the draws; their log weights; and of those of q log p(x, z) - log q(z | x) and log p(x | z), times what
    # makes a mean over all draws that over these, 0 of the others.
    # first: the number of the first draw, to draw K in parts. num_samples: K. proposals: in turn, at most one "prior".
    index = first + jnp.arange(count)

    def one_row(
        x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask, other: AbstractDistribution | None
    ) -> tuple[PyTree[Array], Array, Array]:
        row_key = jax.random.fold_in(key, row_id)
        keys = jax.vmap(lambda i: jax.random.fold_in(row_key, i))
        posterior, prior = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        known = {"wide": isinstance(posterior, DiagonalNormal), "q": True}
        order = [one if known.get(one, posterior.density_elsewhere) else "q" for one in proposals]
        counts = {one: sum(order[k % len(order)] == one for k in range(num_samples)) for one in order}
        is_of = {one: jnp.asarray(np.array(order) == one)[index % len(order)] for one in counts}

        def put(name: str, z: PyTree[Array], made: PyTree[Array]) -> PyTree[Array]:
            led = lambda leaf: is_of[name].reshape(-1, *(1,) * (leaf.ndim - 1))  # noqa: E731
            return jax.tree.map(lambda leaf, new: jnp.where(led(leaf), new.astype(leaf.dtype), leaf), z, made)

        z, log_q = jax.vmap(lambda own: posterior.sample_and_log_prob(key=own))(keys(index))
        densities = {}
        if isinstance(posterior, DiagonalNormal) and counts.get("wide"):
            z = put("wide", z, posterior.loc + math.exp(WIDER) * (z - posterior.loc))
            densities["wide"] = DiagonalNormal(posterior.loc, posterior.log_scale_array() + WIDER).log_prob
        if other is not None and counts.get("beside"):
            z = put("beside", z, jax.vmap(lambda own: other.sample(key=own))(keys(index)))
            densities["beside"] = other.log_prob
        if counts.get("prior"):
            most, ahead = -(-count // len(order)), (order.index("prior") - first) % len(order)
            source = jax.vmap(lambda own: prior.sample(key=own))(keys(first + ahead + len(order) * jnp.arange(most)))
            at = jnp.clip((jnp.arange(count) - ahead) // len(order), 0, most - 1)
            z = put("prior", z, jax.tree.map(lambda leaf: leaf[at], source))
            log_q = jnp.where(is_of["prior"], jax.vmap(posterior.log_prob)(source)[at], log_q)
        if densities:
            log_q = jax.vmap(posterior.log_prob)(z)
        log_prior, log_likelihood = jax.vmap(lambda z: model.log_joint(z, x, cond=cond, mask=mask))(z)
        found = {"q": log_q, "prior": log_prior} | {one: jax.vmap(density)(z) for one, density in densities.items()}
        parts = [found[one] + math.log(n / num_samples) for one, n in counts.items() if n]
        log_joint = log_likelihood + log_prior
        own = jnp.where(is_of["q"][:, None], jnp.stack([log_joint - log_q, log_likelihood], axis=1), 0.0)
        return z, log_joint - functools.reduce(jnp.logaddexp, parts), own * (num_samples / counts["q"])

    rows = (batch.x, batch.row_id, batch.cond, batch.mask, beside)
    return jax.vmap(one_row, out_axes=(1, 1, 2))(*rows)


_KEPT = 2048
"""Log weights of a row that are kept before they are summed and sorted: 8 kB a row, whatever K is."""

BLIND_DRAWS = 4
"""Draws from the prior a row, that tell whether the decoder reads z at all."""


@counted(num_samples=1)
def importance_sampling(rows: ModelRows, *, num_samples: int = 1000) -> LogMarginals:
    r"""Estimate log p(x) of each row by importance sampling, and say whether to trust it.

    $\log\frac1K\sum_k w_k$ with $w_k = p(x|z_k)\,p(z_k)/r(z_k)$ and $z_k \sim r$: a lower bound of $\log p(x)$ in
    expectation. The proposal r is a mixture: of eight draws six come from the encoder's $q(z|x)$, one from a q of twice
    the scale where that is a diagonal Normal, and one from the prior, which reaches what q misses. Of hierarchies,
    state space models and codes all draws are of q. Memory does not grow with K.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, 2 or more.

    Returns:
        log p(x) in nats with its errors, effective sample sizes and Pareto k.

    Raises:
        ConfigError: For a K below 2.

    Source: Burda, Grosse & Salakhutdinov (2016), equation 8; Owen & Zhou (2000) for the mixture.
    """
    if num_samples < 2:
        raise ConfigError("one draw has no error.", where="num_samples", fix="Use 2 or more; 1000 is usual.")
    found, _ = map_draws(Partial(_weight_rows, num_samples=num_samples), rows)
    protocol = f"importance sampling, {num_samples} draws a row"
    return as_log_marginals(found, num_samples, protocol, rows.batch)


@counted(num_samples=1)
def log_marginal(rows: ModelRows, *, num_samples: int = 1000) -> np.ndarray:
    """Estimate log p(x) of each row by importance sampling: the values of `importance_sampling` alone.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, 2 or more.

    Returns:
        The estimates as a NumPy array, shape (B,), nats.
    """
    numbers = row_numbers(rows, num_samples=num_samples)
    return np.asarray(numbers.weights.log_mean)


class RowNumbers(NamedTuple):
    """What one pass over the rows says of each of them."""

    weights: WeightSummary  # the summary of the K importance weights
    elbo: Float[AnyArray, " B"]  # the ELBO, shape (B,), nats
    log_likelihood: Float[AnyArray, " B"]  # mean of log p(x | z), shape (B,), nats
    kl: Float[AnyArray, " B"]  # mean of log q(z | x) - log p(z), shape (B,), nats
    codes: dict[str, Any]  # what `encode` gives, where it was asked for
    # mean of log p(x | z) over samples of the prior, shape (B,), nats, where it was asked for
    blind_log_likelihood: Float[AnyArray, " B"] | None = None


def row_numbers(rows: ModelRows, *, num_samples: int, codes: bool = False, blind: bool = False) -> RowNumbers:
    """Estimate log p(x) and the parts of the ELBO from the same K samples of each row, in one pass."""
    # The ELBO is of those that come from the posterior. Memory does not grow with K.
    return map_draws(Partial(_row_numbers, num_samples=num_samples, codes=codes, blind=blind), rows)


def _row_numbers(
    model: AbstractLatentModel, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int, codes: bool,
    blind: bool,
) -> RowNumbers:  # fmt: skip
    options = {"num_samples": num_samples, "samples_per_chunk": samples_per_chunk}
    weights, (elbo, log_likelihood) = _weight_rows(model, batch, key, **options)
    found = encode_prepared(model, batch, key) if codes else {}
    unseen = _blind(model, batch, jax.random.fold_in(key, num_samples)) if blind else None
    return RowNumbers(weights, elbo, log_likelihood, log_likelihood - elbo, found, unseen)


def encode_prepared(model: AbstractLatentModel, batch: Batch, key: Key) -> dict[str, Array]:
    """Encode rows that are prepared already, as `encode` does."""

    def one_row(x: PyTree, cond: Cond, mask: Mask) -> dict[str, Array]:
        posterior = model.posterior(x, cond=cond, mask=mask)
        codes = {"mean": mean_code(posterior)}
        if isinstance(posterior, DiagonalNormal):
            codes["log_variance"] = 2.0 * posterior.log_scale_array()
        prior = model.prior(cond=cond)
        if has_closed_form(posterior, prior):
            codes["kl"] = kl_terms(posterior, prior)
        return codes

    return jax.vmap(one_row)(batch.x, batch.cond, batch.mask)


def _blind(model: AbstractLatentModel, batch: Batch, key: Key) -> Array:
    """The mean of log p(x | z) over draws of the prior, for each row."""

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        prior, keys = model.prior(cond=cond), jax.random.split(jax.random.fold_in(key, row_id), BLIND_DRAWS)
        joint = jax.vmap(lambda key: model.log_joint(prior.sample(key=key), x, cond=cond, mask=mask))
        return jnp.mean(joint(keys)[1])

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


@counted(num_samples=1)
def elbo_parts(rows: ModelRows, *, num_samples: int = 16) -> dict[str, np.ndarray]:
    r"""Estimate the ELBO and its two parts of each row.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, over which each part is a mean.

    Returns:
        `elbo`, `log_likelihood` $E_q\log p(x|z)$ and `kl`, each of shape (B,), nats.
    """
    numbers = row_numbers(rows, num_samples=num_samples)
    return {name: getattr(numbers, name) for name in ("elbo", "log_likelihood", "kl")}


def as_log_marginals(found: WeightSummary, num_samples: int, protocol: str, batch: Batch) -> LogMarginals:
    """Turn the summary of B rows into NumPy arrays, under the name of how it was made."""
    value, error, size, k, rises = (np.asarray(part, np.float64) for part in found)
    return LogMarginals(value, error, num_samples, protocol, size, k, num_samples - 1, weights_of(batch), rises)


def _weight_rows(
    model: AbstractLatentModel, batch: Batch, key: Key, *, num_samples: int, samples_per_chunk: int
) -> tuple[WeightSummary, Float[Array, "2 B"]]:
    """Summarise the log weights of each prepared row: all that importance sampling and the ELBO are made of."""

    def draws(first: Array | int, count: int) -> tuple[Array, Array]:
        if isinstance(model, AbstractJointModel):  # one walk gives all densities; draws of the prior need another
            found = draw(model, batch, num_samples=count, first_sample=first, key=key, dropout=False)
            return found.log_weight, jnp.stack([found.log_weight, found.log_likelihood], axis=1)
        return proposed(model, batch, count, first=first, num_samples=num_samples, proposals=EVIDENCE, key=key)[1:]

    return stream(draws, batch.row_id.shape[0], num_samples, samples_per_chunk)


def stream(
    draws: Callable[[Array | int, int], tuple[Array, Array]], rows: int, num_samples: int, samples_per_chunk: int
) -> tuple[WeightSummary, Float[Array, "2 B"]]:
    """Summarise the log weights of each row, made a chunk at a time."""
    size = max(1, min(samples_per_chunk, num_samples // 2))
    full, rest = divmod(num_samples, size)
    chunks = min(full, max(1, _KEPT // size))

    def step(index: Array, carry: tuple[WeightSums, Array, Array]) -> tuple[WeightSums, Array, Array]:
        sums, means, kept = carry
        place, (made, other) = index % chunks, draws(index * size, size)
        # Measured on CPU: without the barrier between draws and copy the whole takes half as long again or more.
        means, made = jax.lax.optimization_barrier((means + jnp.sum(other, axis=0) / num_samples, made))
        kept = jax.lax.dynamic_update_slice(kept, made.astype(kept.dtype), (place * size, 0))
        # Sorting once for many chunks keeps its cost below a hundredth of the draws'.
        sums, kept = jax.lax.cond(place == chunks - 1, empty, lambda sums, kept: (sums, kept), sums, kept)
        return sums, means, kept

    def empty(sums: WeightSums, kept: Array) -> tuple[WeightSums, Array]:
        return sums.sorted_in(kept), jnp.full_like(kept, -jnp.inf)

    start = (WeightSums.start(rows, num_samples), jnp.zeros((2, rows)), jnp.full((chunks * size, rows), -jnp.inf))
    sums, means, kept = jax.lax.fori_loop(0, full, step, start)
    if full % chunks:
        sums = sums.sorted_in(kept[: full % chunks * size])
    if rest:
        made, other = draws(full * size, rest)
        sums, means = sums.sorted_in(made), means + jnp.sum(other, axis=0) / num_samples
    return sums.summary(num_samples), means
