"""What is seen of a picture that was made grey, smaller or noisy, and what the picture may have been."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latens.data.copies import LUMA as LUMA
from latens.distributions.base import AbstractFactorised
from latens.errors import ConfigError
from latens.typing import AnyArray, Array, Float, Key, Nats

_ROUNDS = 10
"""How often what clipping took away is spread over the cells of a block that are not at the end of the range."""


@dataclass(frozen=True)
class Reduction:
    r"""What is seen of a picture: the mean of each block of pixels, of each channel or their weighted sum, under noise.

    $y = A x + \epsilon$ with $\epsilon \sim N(0, noise^2 I)$. Blocks do not overlap, and the weights of a sum are 1
    together, so $A A^+ y = y$ where $A^+$ gives every pixel of a block what is seen of it.

    Args:
        shape: Height, width and channels (h, w, c) of the whole picture.
        weights: The share of each of the c channels; None keeps the channels apart.
        side: Height and width n of a block in pixels; it divides h and w.
        step: The width to which what is seen was rounded, in the unit of the likelihood; 0 where it was not.
        low: The least value of a pixel, in the same unit.
        high: The largest.
        noise: The standard deviation of the noise in what is seen, in the same unit; 0 for none.

    Examples:
        >>> half = Reduction((2, 2, 1), None, 2)
        >>> half(np.array([[0.0, 4.0], [8.0, 4.0]])).tolist()
        [[[4.0]]]
    """

    shape: tuple[int, int, int]
    weights: tuple[float, ...] | None = None
    side: int = 1
    step: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    noise: float = 0.0

    @property
    def variance(self) -> float:
        r"""What is added to the variances of what is seen: $\frac{step^2}{12} + noise^2$."""
        return self.step**2 / 12.0 + self.noise**2

    @property
    def seen_shape(self) -> tuple[int, int, int]:
        """Height and width in blocks (m, p) and the numbers r that are seen of a block."""
        height, width, channels = self.shape
        return height // self.side, width // self.side, channels if self.weights is None else 1

    def __call__(self, x: AnyArray) -> AnyArray:
        """Reduce one picture."""
        return self._sums(x.reshape(self.shape)) / self.side**2

    def spread(self, seen: Float[AnyArray, "m p r"]) -> Float[Array, "h w c"]:
        """Give every pixel what is seen of its block, the same in all channels of a sum."""
        tall = jnp.repeat(jnp.repeat(seen, self.side, axis=0), self.side, axis=1)
        return jnp.broadcast_to(tall, self.shape)

    def num_levels(self, likelihood: Any) -> int:
        r"""How many levels independent whole numbers may have, all of them seen through noise alone."""
        # returns: the number of levels, over all of which `log_prob` and `given` then sum; 0 elsewhere.
        if self.side > 1 or self.weights is not None or not self.noise:
            return 0
        if not isinstance(likelihood, AbstractFactorised) or self.low != 0.0 or not math.isfinite(self.high):
            return 0
        event = jax.eval_shape(lambda: likelihood.sample(key=jax.random.key(0)))
        return round(self.high) + 1 if jnp.issubdtype(event.dtype, jnp.integer) else 0

    def log_prob(self, likelihood: Any, seen: Float[Array, "m p r"], *, by_moments: bool = False) -> Nats:
        r"""The log density of what is seen, given the latent that the likelihood is of."""
        # $\log N(y;\ A m,\ A \Sigma A^T + s^2 I)$ with the mean m and the covariance $\Sigma$ of $p(x \mid z)$, and s²
        # the `variance`. It is exact for Normal pixels; a sum of many others is nearly Normal, of few it need not be.
        # Independent whole numbers under noise alone are summed over their levels: $\sum_i \log \sum_k p(x_i = k \mid
        # z) N(y_i; k, s^2)$, which is exact.
        # returns: the log density in nats, with the rounding spread as if it were uniform noise.
        if not by_moments and (levels := self.num_levels(likelihood)):
            return self._by_level(likelihood, levels, seen)[0]
        mean, covariance = self._moments(likelihood)
        residual = seen - self(mean)
        solved, log_det = _solve(self.of_blocks(covariance), residual)
        return -0.5 * (jnp.sum(residual * solved) + log_det + residual.size * math.log(2.0 * math.pi))

    def given(self, likelihood: Any, x: Any, seen: Float[Array, "m p r"], key: Key | None = None) -> Any:
        r"""Move a draw from $p(x \mid z)$, or its mean, to where it is seen as it was."""
        # $x + K (y - A x - e)$ with $K = \Sigma A^T (A \Sigma A^T + s^2 I)^{-1}$, s² the `variance`, and e drawn as the
        # noise is, 0 for the mean: for Normal pixels and nothing rounded, exactly a draw from $p(x \mid z, y)$, or its
        # mean. The result is then clipped to the range of pixels; without noise, what is then missing of y is spread
        # evenly over the cells of a block that are not at its end. Of independent whole numbers under noise alone it is
        # a draw from $p(x \mid z, y)$ by their levels, or its mean, whatever x was.
        # key: a JAX random key for e; None where x is the mean.
        if levels := self.num_levels(likelihood):
            return self._by_level(likelihood, levels, seen, key)[1].reshape(x.shape)
        return self.moved(likelihood, x, seen, key)

    def moved(self, likelihood: Any, x: Any, seen: Float[Array, "m p r"], key: Key | None = None) -> Any:
        """Do as `given` does by moments alone, also for independent whole numbers."""
        _, covariance = self._moments(likelihood)
        found = jnp.asarray(x, seen.dtype).reshape(self.shape)
        left = seen - self(found)
        if self.noise and key is not None:
            left = left - math.sqrt(self.variance) * jax.random.normal(key, left.shape, left.dtype)
        solved, _ = _solve(self.of_blocks(covariance), left)
        moved = self.spread(solved) if self.weights is None else self.spread(solved) * jnp.asarray(self.weights)
        found = found + jnp.einsum("hwij,hwj->hwi", covariance, moved) / self.side**2
        if math.isfinite(self.high - self.low):
            if not self.noise:
                found = jax.lax.fori_loop(0, _ROUNDS, lambda _, at: self._nearer(at, seen), found)
            found = jnp.clip(found, self.low, self.high)
        return (jnp.round(found) if jnp.issubdtype(x.dtype, jnp.integer) else found).reshape(x.shape)

    def _by_level(
        self, likelihood: AbstractFactorised, levels: int, seen: Float[Array, "m p r"], key: Key | None = None
    ) -> tuple[Nats, Float[Array, "*x"]]:
        """The log density of y, and a draw from p(x | z, y) or without a key its mean, one level after another."""
        shape = jax.eval_shape(lambda: likelihood.sample(key=jax.random.key(0))).shape
        y = seen.reshape(shape)

        def step(carry: tuple[Array, Array, Array], level: Array) -> tuple[tuple[Array, Array, Array], None]:
            total, found, best = carry
            term = likelihood.log_prob_terms(jnp.full(shape, level)) - 0.5 * (y - level) ** 2 / self.variance
            total = jnp.logaddexp(total, term)
            if key is None:
                found = found + jnp.where(jnp.isneginf(total), 0.0, jnp.exp(term - total)) * (level - found)
            else:  # the largest of the terms, each with noise of Gumbel, is at a level with its probability
                noisy = term + jax.random.gumbel(jax.random.fold_in(key, level), shape)
                found, best = jnp.where(noisy > best, level, found), jnp.maximum(noisy, best)
            return (total, found, best), None

        none = jnp.full(shape, -jnp.inf, y.dtype)
        (total, found, _), _ = jax.lax.scan(step, (none, jnp.zeros(shape, y.dtype), none), jnp.arange(levels))
        return jnp.sum(total) - 0.5 * y.size * math.log(2.0 * math.pi * self.variance), found

    def _nearer(self, found: Float[Array, "h w c"], seen: Float[Array, "m p r"]) -> Float[Array, "h w c"]:
        """Clip a picture, and spread what is then missing of y over the cells of a block that can still move."""
        found = jnp.clip(found, self.low, self.high)
        left = seen - self(found)
        free = jnp.where(self.spread(left) > 0.0, found < self.high, found > self.low).astype(found.dtype)
        return found + free * self.spread(left / jnp.maximum(self(free), 1e-6))

    def _sums(self, x: AnyArray) -> AnyArray:
        """The sums over the pixels of each block, of the channels or of their weighted sum."""
        rows, columns, _ = self.seen_shape
        found = x.reshape(rows, self.side, columns, self.side, self.shape[2]).sum(axis=(1, 3))
        if self.weights is None:
            return found
        return (found * np.asarray(self.weights, found.dtype)).sum(axis=-1, keepdims=True)

    def _moments(self, likelihood: Any) -> tuple[Array, Array]:
        """The mean (h, w, c), and the covariance of the channels of each pixel (h, w, c, c)."""
        try:
            mean, covariance = likelihood.moments()
        except (AttributeError, TypeError):
            what = f"a {type(likelihood).__name__} gives no variances, which a sum of pixels needs."
            fix = "Train with --set likelihood=logistic-mixture or normal; --region and --mask take every likelihood."
            raise ConfigError(what, where="--grey, --scale, --noise", fix=fix) from None
        if covariance.ndim == mean.ndim:
            covariance = covariance.reshape(self.shape)[..., None] * jnp.eye(self.shape[2])
        return mean.reshape(self.shape), covariance

    def of_blocks(self, covariance: Float[Array, "h w c c"]) -> Float[Array, "m p r r"]:
        """The covariance of what is seen of each block, given that of the channels of each pixel."""
        rows, columns, count = self.seen_shape
        if self.weights is not None:
            weights = jnp.asarray(self.weights)
            covariance = jnp.einsum("hwij,i,j->hw", covariance, weights, weights)[..., None, None]
        blocks = covariance.reshape(rows, self.side, columns, self.side, count, count).sum(axis=(1, 3))
        return blocks / self.side**4 + self.variance * jnp.eye(count)


def _solve(matrix: Float[Array, "m p r r"], vector: Float[Array, "m p r"]) -> tuple[Float[Array, "m p r"], Array]:
    """Solve for each block, and sum the log determinants: Gauss's way written out, as r is 3 at most."""
    count, log_det = vector.shape[-1], jnp.zeros(())
    rows = [[*(matrix[..., i, j] for j in range(count)), vector[..., i]] for i in range(count)]
    for i in range(count):
        log_det = log_det + jnp.sum(jnp.log(rows[i][i]))
        for k in range(i + 1, count):
            share = rows[k][i] / rows[i][i]
            rows[k] = [a - share * b for a, b in zip(rows[k], rows[i])]
    solved: list[Array] = [jnp.zeros(())] * count
    for i in reversed(range(count)):
        known = sum((rows[i][j] * solved[j] for j in range(i + 1, count)), start=jnp.zeros(()))
        solved[i] = (rows[i][count] - known) / rows[i][i]
    return jnp.stack(solved, axis=-1), log_det
