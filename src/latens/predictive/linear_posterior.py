"""The posterior of latents as if the decoder were linear: a proposal that is exact where it is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from latens.data.dataset import Batch
from latens.distributions import DiagonalNormal, FullNormal, Mixture
from latens.evidence.batched import cells_of
from latens.models import AbstractLatentModel, LatentModel
from latens.typing import Array, Bool, Cond, Float, Nats

ROUNDS = 2
"""How often a decoder is made linear, first at the encoder's mean, then where the last answer was."""

COMPONENTS = 64
"""Components of a prior up to which each has a posterior of its own; of more the moments count."""

KEPT = 4
"""Components of the posterior that are kept, the most probable: each costs every draw a density."""

AXES = 16
"""Directions of a latent along which the decoder's slope is found at once."""

SHARED = 2**19
"""Numbers of a slope above which all rows share the one at the prior's mean: each takes a decoding for each latent."""


class Linear(NamedTuple):
    r"""Rows $x = \mu + W z + \epsilon$ with a standard Normal z; the cells of a group share noise."""

    mean: Float[Array, " d"]
    slope: Float[Array, "d n"]
    noise: Float[Array, "g c c"]

    def posterior(self, x: Array, mask: Bool[Array, "..."], prior: Mixture) -> Mixture:
        r"""Give $p(z \mid x_{obs})$ of a mixture of Normals; of many components those that count most."""
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
        both = jnp.einsum("gci,gcj->ij", slope, precise)
        gram, pull = both[:, :n], both[:, n]

        def of(part: FullNormal) -> tuple[FullNormal, Nats]:
            """The posterior of a component, and log p(x_obs) but for what is the same for all of them."""
            spread = part.scale_tril()
            precision = jnp.eye(n) + spread.T @ gram @ spread
            # With the axes turned round the root of the precision is upper triangular, and its inverse a lower root of
            # the covariance.
            root = jnp.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]
            tril, own = solve_triangular(root.T, jnp.eye(n), lower=True), spread.T @ (pull - gram @ part.loc)
            moved = tril @ (tril.T @ own)
            told = 0.5 * moved @ own + jnp.sum(jnp.log(jnp.diagonal(tril)))
            told += part.loc @ (pull - 0.5 * gram @ part.loc)
            whole = spread @ tril
            factor = jnp.tril(whole, -1) + jnp.diag(jnp.log(jnp.diagonal(whole)))
            return FullNormal(part.loc + spread @ moved, factor), told

        posteriors, told = jax.vmap(of)(prior.components)  # pyright: ignore[reportArgumentType]
        logits, best = jax.lax.top_k(jax.nn.log_softmax(prior.logits) + told, min(KEPT, len(told)))
        return Mixture(logits, jax.tree.map(lambda leaf: leaf[best], posteriors))


def linear_posteriors(model: AbstractLatentModel, batch: Batch) -> Mixture | None:
    """The linear posterior of each row given its observed cells; None where the model's noise has no variances."""
    if batch.mask is None or not isinstance(batch.x, jax.Array) or not isinstance(model, LatentModel):
        return None
    found = jax.vmap(lambda x, cond, mask: model.posterior(x, cond=cond, mask=mask))(batch.x, batch.cond, batch.mask)
    size = _latents(model, found, batch.cond)
    if size is None:
        return None
    shared = None
    if batch.cond is None and cells_of(batch) * size > SHARED:
        prior = _normals(model, None, size)
        middle = jax.nn.softmax(prior.logits) @ prior.components.loc  # pyright: ignore[reportAttributeAccessIssue]
        shared = around(lambda z: model.likelihood(z, cond=None), middle).slope

    def of_row(z: Array, x: Array, cond: Cond, mask: Array) -> Mixture:
        decode = lambda z: model.likelihood(z, cond=cond)  # noqa: E731
        return linear_posterior(decode, z, _normals(model, cond, size), x, mask, shared)

    return jax.vmap(of_row)(found.loc, batch.x, batch.cond, batch.mask)  # pyright: ignore[reportAttributeAccessIssue]


def _normals(model: Any, cond: Cond, size: int) -> Mixture:
    """The prior as a mixture of Normals: its own components, else one of its moments, else noise."""
    prior = model.prior(cond=cond)
    full = lambda loc, log_scale: FullNormal(loc, jnp.diag(log_scale))  # noqa: E731
    if isinstance(prior, Mixture) and len(prior.logits) <= COMPONENTS:
        if isinstance(prior.components, FullNormal):
            return prior
        if isinstance(prior.components, DiagonalNormal):
            return Mixture(prior.logits, jax.vmap(full)(prior.components.loc, prior.components.log_scale))
    try:
        mean, variance = prior.moments()
    except (AttributeError, TypeError):
        mean, variance = jnp.zeros(size), jnp.ones(size)
    return Mixture(jnp.zeros(1), jax.vmap(full)(mean[None], 0.5 * jnp.log(variance)[None]))


def _latents(model: Any, q: object, cond: Cond) -> int | None:
    """How many latents a model has, if they are a vector of Normals and what they say of a cell has a variance."""
    # q: the posteriors of rows.
    if not isinstance(q, DiagonalNormal) or q.loc.ndim != 2:
        return None
    z, own = jax.tree.map(lambda leaf: leaf[0], (q.loc, cond))
    try:
        jax.eval_shape(lambda: model.likelihood(z, cond=own).moments())
    except (AttributeError, TypeError):
        return None
    return q.loc.shape[1]


def linear_posterior(
    decode: Callable[[Any], Any], z: Float[Array, " n"], prior: Mixture, x: Array, mask: Bool[Array, "..."],
    shared: Array | None = None,
) -> Mixture:  # fmt: skip
    """The posterior of a vector of latents, of a decoder made linear again and again where the last answer was."""
    # z: where it is linear first. prior: of Normals, each of which has a posterior that counts by how probable it makes
    # the observed cells. shared: a slope that serves everywhere; None finds that of each place.

    def again(_: object, last: Mixture) -> Mixture:
        found = around(decode, last.components.loc[0], shared).posterior(x, mask, prior)  # pyright: ignore[reportAttributeAccessIssue]
        usable = jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda leaf: jnp.all(jnp.isfinite(leaf)), found))
        return jax.tree.map(lambda new, old: jnp.where(usable, new.astype(old.dtype), old), found, last)

    kept = jax.tree.map(lambda leaf: leaf[:KEPT], prior)
    first = eqx.tree_at(lambda m: m.components.loc, kept, kept.components.loc.at[0].set(z))  # pyright: ignore[reportAttributeAccessIssue]
    return jax.lax.fori_loop(0, ROUNDS, again, first)


def around(decode: Callable[[Any], Any], z: Float[Array, " n"], slope: Array | None = None) -> Linear:
    """A decoder made linear near a latent, with the noise that it has there."""
    mean, spread = decode(z).moments()
    if slope is None:
        along = lambda axis: jax.jvp(lambda one: decode(one).moments()[0], (z,), (axis,))[1].reshape(-1)  # noqa: E731
        slope = jnp.transpose(jax.lax.map(along, jnp.eye(z.size), batch_size=AXES))
    cells = 1 if spread.ndim == mean.ndim else spread.shape[-1]
    return Linear(mean.reshape(-1) - slope @ z, slope, spread.reshape(-1, cells, cells))
