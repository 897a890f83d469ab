"""What is hidden of rows of a Gaussian of factors, exactly: of its closed form, or of a decoder near one latent."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import lu_factor, lu_solve, solve_triangular
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.distributions import DiagonalNormal, FullNormal
from latens.evaluation.batched import Rows, map_rows, of_rows
from latens.evaluation.reductions import Reduction
from latens.models import LatentModel
from latens.networks import LinearPath
from latens.typing import Array, Bool, Float, Key, Nats

_ROUNDS = 3
"""How often a decoder is made linear where the last answer was: of a linear one the first is exact."""

_AXES = 16
"""Directions of a latent along which the decoder's slope is found at once."""


class Gaussian(NamedTuple):
    r"""Rows $x = \mu + W z + \epsilon$ with a standard Normal z; the cells of a group share noise."""

    mean: Float[Array, " d"]
    slope: Float[Array, "d n"]
    noise: Float[Array, "g c c"]

    def answer(
        self, seen: Array, mask: Bool[Array, "..."] | None, reduction: Reduction | None
    ) -> tuple[FullNormal, Nats]:
        """The posterior of z given what is seen, and the log density of that in nats."""
        # seen: the row, of which `mask` says what is seen, or what the reduction leaves of it.
        inner, slope, left, count = self._seen(self.mean, seen, mask, reduction)
        # One call of LAPACK after another: on two cores two at a time may wait for each other for ever.
        factors = lu_factor(inner)
        precise = _solved(factors, jnp.concatenate([slope, left[..., None]], axis=-1))
        n = slope.shape[-1]
        precision = jnp.eye(n) + jnp.einsum("gci,gcj->ij", slope, precise[..., :n])
        along = jnp.einsum("gci,gc->i", slope, precise[..., n])
        # With the axes turned round the root of the precision is upper triangular, and its inverse a lower root of the
        # covariance, without a second one of LAPACK's.
        root = jnp.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]
        tril = solve_triangular(root.T, jnp.eye(n), lower=True)
        loc = tril @ (tril.T @ along)
        own = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(factors[0], axis1=-2, axis2=-1))))
        log_det = own + 2.0 * jnp.sum(jnp.log(jnp.diagonal(root)))
        squared = jnp.sum(left * precise[..., n]) - along @ loc
        log_seen = -0.5 * (squared + log_det + count * math.log(2.0 * math.pi))
        return FullNormal(loc, jnp.tril(tril, -1) + jnp.diag(jnp.log(jnp.diagonal(tril)))), log_seen

    def powered(self, power: float | Array) -> "Gaussian":
        """The Gaussian under which what is seen counts to a power of its likelihood: its noise is that much larger."""
        return self._replace(noise=self.noise / power)

    def completed(
        self, z: Float[Array, " n"], seen: Array, mask: Bool[Array, "..."] | None, reduction: Reduction | None
    ) -> Float[Array, " d"]:
        """The mean of the row given z and what is seen, where the noise of a group's cells is shared."""
        made = self.mean + self.slope @ z
        if reduction is not None:
            return jnp.reshape(reduction.moved(_pixels(reduction, made, self.noise), made, seen), -1)
        inner, _, left, _ = self._seen(made, seen, mask, None)
        moved = jnp.einsum("gij,gj->gi", self.noise, jnp.linalg.solve(inner, left[..., None])[..., 0])
        return made + moved.reshape(-1)

    def _seen(
        self, mean: Float[Array, " d"], seen: Array, mask: Bool[Array, "..."] | None, reduction: Reduction | None
    ) -> tuple[Float[Array, "g c c"], Float[Array, "g c n"], Float[Array, "g c"], Array | int]:
        """The covariance and slope of what is seen, how far it is from a mean, and of how many numbers it is."""
        if reduction is not None:
            inner = reduction.of_blocks(_pixels(reduction, mean, self.noise).covariance)
            left = seen - reduction(mean)
            slope = jnp.moveaxis(jax.vmap(reduction)(self.slope.T), 0, -1)
            cells = inner.shape[-1]
            return (
                inner.reshape(-1, cells, cells),
                slope.reshape(-1, cells, slope.shape[-1]),
                left.reshape(-1, cells),
                left.size,
            )
        groups, cells = self.noise.shape[:2]
        at = jnp.ones((groups, cells), bool) if mask is None else mask.reshape(groups, cells)
        # A hidden cell is one of variance 1 by itself, of which nothing is known.
        inner = jnp.where(at[:, :, None] & at[:, None], self.noise, jnp.eye(cells))
        slope = jnp.where(at[..., None], self.slope.reshape(groups, cells, -1), 0.0)
        left = jnp.where(at, seen.reshape(groups, cells) - mean.reshape(groups, cells), 0.0)
        return inner, slope, left, jnp.sum(at)


class _Moments(NamedTuple):
    """A distribution of pixels of which the mean and the covariance of channels are known."""

    mean: Float[Array, "h w c"]
    covariance: Float[Array, "h w c c"]

    def moments(self) -> tuple[Array, Array]:
        """The mean and the covariance, as those of pixels."""
        return self.mean, self.covariance


def _pixels(reduction: Reduction, mean: Float[Array, " d"], noise: Float[Array, "g c c"]) -> _Moments:
    """The moments of a picture, whether its channels share noise or not."""
    shape = reduction.shape
    if noise.shape[1] == shape[2]:
        return _Moments(mean.reshape(shape), noise.reshape(*shape, shape[2]))
    return _Moments(mean.reshape(shape), noise.reshape(shape)[..., None] * jnp.eye(shape[2]))


class Conditioned(NamedTuple):
    """What the Gaussian that a model began with makes of rows, in the unit of its likelihood."""

    mean: np.ndarray  # of every cell given what is seen, shape (B, *x)
    log_seen: np.ndarray  # the log density of what is seen, in nats, shape (B,)
    log_hidden: np.ndarray  # that of what is hidden given what is seen; of reduced rows, which are not known, NaN


@of_rows
def conditioned(rows: Rows, *, reduction: Reduction | None = None, power: float = 1.0) -> Conditioned | None:
    """Complete rows by the Gaussian of factors that a model began with; None where it began with none."""
    # power: that of the likelihood of what is seen, for the mean; log densities are those of the Gaussian as it is.
    # Of whole numbers x the density is that of x + u with uniform u, which bounds their probability.
    if closed_form(rows.model) is None:
        return None
    return Conditioned(*map_rows(Partial(_conditioned, reduction=reduction, power=power), rows))


def _conditioned(
    model: Any, batch: Batch, key: Key, reduction: Reduction | None, power: float
) -> tuple[Array, Array, Array]:
    found = closed_form(model)
    assert found is not None
    shape, whole = model.decoder.head.shape, reduction is None and model.decoder.head.sees == "whole"
    one = found._replace(noise=found.noise + jnp.eye(found.noise.shape[1]) / 12.0) if whole else found

    def of_row(x: Any, row_id: Any, mask: Any) -> tuple[Array, Array, Array]:
        seen = jnp.asarray(x, jnp.float32)
        if whole:
            seen = seen + jax.random.uniform(jax.random.fold_in(key, row_id), seen.shape) - 0.5
        if reduction is not None or mask is None:
            q, log_seen = one.powered(power).answer(seen, mask, reduction)
            log_all = jnp.nan if reduction is not None else log_seen
        else:
            # One after the other, as `answer` says of calls of LAPACK.
            masks = [mask, mask, jnp.ones_like(mask)] if power != 1.0 else [mask, jnp.ones_like(mask)]
            powers = jnp.asarray([power, *[1.0] * (len(masks) - 1)])
            several = jax.lax.map(
                lambda own: one.powered(own[1]).answer(seen, own[0], None), (jnp.stack(masks), powers)
            )
            q, log_seen, log_all = jax.tree.map(lambda leaf: leaf[0], several[0]), several[1][-2], several[1][-1]
        made = found.completed(q.loc, jnp.asarray(x, jnp.float32), mask, reduction)
        return made.reshape(shape), log_seen, log_all - log_seen

    return jax.vmap(of_row)(batch.x, batch.row_id, batch.mask)


def latents_of(
    made: Gaussian,
    x: Float[np.ndarray, "n d"],
    seen: Bool[np.ndarray, "n d"],
    powers: tuple[float, ...],
    noise: Float[np.ndarray, "n p m"] | None = None,
) -> Float[np.ndarray, "n p m"]:
    r"""The mean of $p(z \mid x_{seen})$ with each power t of the likelihood, $(I + t G)^{-1} t\,b$; in NumPy."""
    # made: its mean may be one for each row.
    # noise: standard Normal numbers, of which draws are made in place of means.
    # $G = W^T N^{-1} W$ and $b = W^T N^{-1} (x - \mu)$ over what is seen: once for each mask, whatever the power.
    mean, slope, own = (np.asarray(part, np.float64) for part in made)
    groups, cells = own.shape[:2]
    found, masks = np.zeros((len(x), len(powers), slope.shape[1])), [one.tobytes() for one in seen]
    for name in dict.fromkeys(masks):
        rows = [row for row, mask in enumerate(masks) if mask == name]
        at = seen[rows[0]].reshape(groups, cells)
        some = at.any(axis=1)
        inner = np.where(at[:, :, None] & at[:, None], own, np.eye(cells))[some]
        along = np.where(at[..., None], slope.reshape(groups, cells, -1), 0.0)[some]
        precise = np.linalg.solve(inner, along).reshape(-1, slope.shape[1])
        left = np.where(at, (x - mean)[rows].reshape(-1, groups, cells), 0.0)[:, some].reshape(len(rows), -1)
        values, vectors = np.linalg.eigh(along.reshape(precise.shape).T @ precise)
        right = left @ precise @ vectors
        for k, power in enumerate(powers):
            of_axes = power * right / (1.0 + power * values)
            if noise is not None:
                of_axes = of_axes + noise[rows, k] / np.sqrt(1.0 + power * values)
            found[rows, k] = of_axes @ vectors.T
    return found


def closed_form(model: Any) -> Gaussian | None:
    """The Gaussian of factors that a model began with, in the unit of its likelihood; None: it began with none."""
    decoder: Any = getattr(model, "decoder", None) if isinstance(model, LatentModel) else None
    path = getattr(decoder, "network", None)
    if not isinstance(path, LinearPath) or path.mean is None or path.noise is None:
        return None
    _, shift, scale = decoder.head.located
    noise = path.noise.value
    wide = jnp.broadcast_to(jnp.asarray(scale, jnp.float32), decoder.head.shape).reshape(-1)
    size = wide.reshape(noise.shape[:2])
    mean = jnp.broadcast_to(jnp.asarray(shift, jnp.float32), decoder.head.shape).reshape(-1) + wide * path.mean.value
    return Gaussian(mean, wide[:, None] * path.weight.value.T, noise * size[:, :, None] * size[:, None])


def linear_answer(
    decode: Callable[[Any], Any],
    q: Any,
    seen: Array,
    mask: Bool[Array, "..."] | None,
    reduction: Reduction | None,
    power: float | Array = 1.0,
    near: Gaussian | None = None,
) -> FullNormal | None:
    """The posterior of a latent as if the decoder were linear; None where its rows have no variances."""
    # q: the encoder's posterior, whose kind of latent it is.
    # power: that of the likelihood of what is seen.
    # near: the decoder made linear at zero, whose slope and noise then serve everywhere; None finds them anew.
    if not isinstance(q, DiagonalNormal) or q.loc.ndim != 1:
        return None
    try:
        jax.eval_shape(lambda: decode(q.loc).moments())
    except (AttributeError, TypeError):
        return None
    n = q.loc.size
    first = FullNormal(jnp.zeros_like(q.loc), jnp.zeros((n, n), q.loc.dtype))

    def again(_: Array, last: FullNormal) -> FullNormal:
        if near is None:
            made = around(decode, last.loc)
        else:
            at = jnp.reshape(decode(last.loc).moments()[0], -1)
            made = near._replace(mean=at - near.slope @ last.loc)
        found, _ = made.powered(power).answer(seen, mask, reduction)
        usable = jnp.all(jnp.isfinite(found.loc)) & jnp.all(jnp.isfinite(found.factor))
        return jax.tree.map(lambda new, old: jnp.where(usable, new.astype(old.dtype), old), found, last)

    return jax.lax.fori_loop(0, _ROUNDS, again, first)


def _solved(factors: tuple[Array, Array], right: Float[Array, "g c n"]) -> Float[Array, "g c n"]:
    """The solutions of one system for each group."""
    return jax.vmap(lambda lu, pivot, b: lu_solve((lu, pivot), b))(*factors, right)


def around(decode: Callable[[Any], Any], z: Float[Array, " n"]) -> Gaussian:
    """A decoder made linear near a latent, with the noise that it has there."""
    mean, spread = decode(z).moments()
    along = lambda axis: jax.jvp(lambda one: decode(one).moments()[0], (z,), (axis,))[1].reshape(-1)  # noqa: E731
    slope = jax.lax.map(along, jnp.eye(z.size), batch_size=_AXES).T
    cells = 1 if spread.ndim == mean.ndim else spread.shape[-1]
    return Gaussian(mean.reshape(-1) - slope @ z, slope, spread.reshape(-1, cells, cells))
