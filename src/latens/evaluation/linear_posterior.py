"""The posterior of latents as if the decoder were linear: a proposal that is exact where it is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from latens.data.batches import Batch
from latens.distributions import DiagonalNormal, FullNormal
from latens.evaluation.batched import cells_of
from latens.models import LatentModel
from latens.typing import Array, Bool, Float

ROUNDS = 3
"""How often a decoder is made linear where the last answer was: of a linear one the first is exact."""

AXES = 16
"""Directions of a latent along which the decoder's slope is found at once."""

SHARED = 1024
"""Cells of a row above which all rows share the slope at zero: a slope of its own takes a decoding for each latent."""


class Linear(NamedTuple):
    r"""Rows $x = \mu + W z + \epsilon$ with a standard Normal z; the cells of a group share noise."""

    mean: Float[Array, " d"]
    slope: Float[Array, "d n"]
    noise: Float[Array, "g c c"]

    def posterior(self, x: Array, mask: Bool[Array, "..."]) -> FullNormal:
        r"""Give $p(z \mid x_{obs})$."""
        groups, cells = self.noise.shape[:2]
        at = mask.reshape(groups, cells)
        slope = jnp.where(at[..., None], self.slope.reshape(groups, cells, -1), 0.0)
        left = jnp.where(at, x.reshape(groups, cells) - self.mean.reshape(groups, cells), 0.0)
        right = jnp.concatenate([slope, left[..., None]], axis=-1)
        if cells == 1:
            precise = right / self.noise
        else:  # a missing cell is one of variance 1 by itself, of which nothing is known
            precise = jnp.linalg.solve(jnp.where(at[:, :, None] & at[:, None], self.noise, jnp.eye(cells)), right)
        n = slope.shape[-1]
        precision = jnp.eye(n) + jnp.einsum("gci,gcj->ij", slope, precise[..., :n])
        # With the axes turned round the root of the precision is upper triangular, and its inverse a lower root of the
        # covariance.
        root = jnp.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]
        tril = solve_triangular(root.T, jnp.eye(n), lower=True)
        loc = tril @ (tril.T @ jnp.einsum("gci,gc->i", slope, precise[..., n]))
        return FullNormal(loc, jnp.tril(tril, -1) + jnp.diag(jnp.log(jnp.diagonal(tril))))


def linear_posteriors(model: Any, batch: Batch) -> FullNormal | None:
    """The linear posterior of each row given its observed cells; None where the model's noise has no variances."""
    if batch.mask is None or not isinstance(batch.x, jax.Array) or not isinstance(model, LatentModel):
        return None
    first = jax.tree.map(lambda leaf: leaf[0], (batch.x, batch.cond, batch.mask))
    size = _latents(model, *first)
    if size is None:
        return None
    shared = None
    if batch.cond is None and cells_of(batch) > SHARED:
        mean, spread = _prior_moments(model, None, size)
        shared = around(lambda u: model.likelihood(mean + spread * u, cond=None), jnp.zeros(size)).slope

    def of_row(x: Any, cond: Any, mask: Any) -> FullNormal:
        mean, spread = _prior_moments(model, cond, size)
        found = linear_posterior(lambda u: model.likelihood(mean + spread * u, cond=cond), size, x, mask, shared)
        factor = spread[:, None] * jnp.tril(found.factor, -1)
        diagonal = jnp.diag(jnp.diagonal(found.factor) + jnp.log(spread))
        return FullNormal(mean + spread * found.loc, factor + diagonal)

    return jax.vmap(of_row)(batch.x, batch.cond, batch.mask)


def _prior_moments(model: Any, cond: Any, size: int) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The mean and the standard deviation of each latent under the prior; those of noise where they are not known."""
    # A prior that was refitted to the codes is narrower than noise: weights of a proposal for noise would vary by more.
    try:
        mean, variance = model.prior(cond=cond).moments()
    except (AttributeError, TypeError):
        return jnp.zeros(size), jnp.ones(size)
    return mean, jnp.sqrt(variance)


def _latents(model: Any, x: Any, cond: Any, mask: Any) -> int | None:
    """How many latents a model has, if they are a vector of Normals and what they say of a cell has a variance."""
    q = jax.eval_shape(lambda: model.posterior(x, cond=cond, mask=mask))
    if not isinstance(q, DiagonalNormal) or q.loc.ndim != 1:
        return None
    try:
        jax.eval_shape(lambda: model.likelihood(jnp.zeros(q.loc.shape), cond=cond).moments())
    except (AttributeError, TypeError):
        return None
    return q.loc.size


def linear_posterior(
    decode: Callable[[Any], Any], size: int, x: Array, mask: Bool[Array, "..."], shared: Array | None = None
) -> FullNormal:
    """The posterior of a vector of latents, of a decoder made linear again and again where the last answer was."""
    # shared: a slope that serves everywhere; None finds that of each place.
    first = FullNormal(jnp.zeros(size), jnp.zeros((size, size)))

    def again(_: Array, last: FullNormal) -> FullNormal:
        found = around(decode, last.loc, shared).posterior(x, mask)
        usable = jnp.all(jnp.isfinite(found.loc)) & jnp.all(jnp.isfinite(found.factor))
        return jax.tree.map(lambda new, old: jnp.where(usable, new.astype(old.dtype), old), found, last)

    return jax.lax.fori_loop(0, ROUNDS, again, first)


def around(decode: Callable[[Any], Any], z: Float[Array, " n"], slope: Array | None = None) -> Linear:
    """A decoder made linear near a latent, with the noise that it has there."""
    mean, spread = decode(z).moments()
    if slope is None:
        along = lambda axis: jax.jvp(lambda one: decode(one).moments()[0], (z,), (axis,))[1].reshape(-1)  # noqa: E731
        slope = jnp.transpose(jax.lax.map(along, jnp.eye(z.size), batch_size=AXES))
    cells = 1 if spread.ndim == mean.ndim else spread.shape[-1]
    return Linear(mean.reshape(-1) - slope @ z, slope, spread.reshape(-1, cells, cells))
