"""What missing values may have been: draws of p(missing | observed) by importance resampling.

One proposal is the posterior of latents as if the decoder were linear: it is exact where it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.distributions import DiagonalNormal, FullNormal, Mixture
from latens.evidence.batched import ModelRows, cells_of, even, in_cache, map_rows
from latens.evidence.importance import proposed
from latens.kinds.tables.columns import ColumnType
from latens.models import AbstractLatentModel, LatentModel
from latens.runtime.compilation import counted
from latens.runtime.random_keys import IMPUTED_EVENTS
from latens.typing import AnyArray, Array, Bool, Cond, Float, Key, Nats, PyTree, UInt32

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


DRAWS = 128
"""Draws of z for each row, where nobody says how many."""

FEW_DRAWS = 10
"""The effective number of draws of z below which a row hangs on too few of them."""

_HALVES, _BESIDE = ("q", "prior"), ("q", *["beside"] * 6, "prior")
"""Whose the draws of z are in turn: an encoder that never saw such gaps may miss the posterior, the prior does not."""

MANY, _FEW = 10, 16
"""Variables that share noise from which on they are many, and rows of such that are taken at once."""

FEW, AT_ONCE = 16, 64
"""Rows of a batch of typed columns: the segments of all columns of every draw stay in a processor's cache."""


class Imputed(NamedTuple):
    r"""What a model makes of incomplete rows, in the unit of its likelihood.

    Args:
        mean: $E[x \mid x_{obs}]$ where a value is missing and the value itself where it is observed, shape (B, *x);
            None of typed columns.
        shares: Of typed columns the probability of each category, or segment of the grid, given what is observed of the
            row, each of shape (B, segments); of an observed cell that of another such cell. None of other rows.
        draws: M samples from $p(x_{mis} \mid x_{obs})$, observed values likewise, shape (B, M, *x).
        effective: The effective number $1/\sum_k w_k^2$ of the K samples, shape (B,): near 1, the mean hangs on a
            single sample.
    """

    mean: Any
    shares: list[np.ndarray] | None
    draws: np.ndarray
    effective: np.ndarray


@counted(num_samples=1, num_draws=0)
def impute(
    rows: ModelRows,
    *,
    num_samples: int = DRAWS,
    num_draws: int = 0,
    noise: bool = True,
    types: Sequence[ColumnType] | None = None,
) -> Imputed:
    r"""Impute missing values: their mean and samples of them, given what is observed of each row.

    $E[x_{mis} \mid x_{obs}] \approx \sum_k w_k\, E[x_{mis} \mid z_k]$ with
    $w_k \propto p(x_{obs} \mid z_k)\,p(z_k)/r(z_k)$, normalised over the K samples. The proposal r is a mixture of
    the encoder's $q(z \mid x_{obs})$ and of the prior: an encoder that never saw such gaps may miss the posterior, the
    prior does not. Where the likelihood has variances, three of four draws come from the posterior as if the decoder
    were linear, which is exact where it is. A sample of the missing values takes one of the $z_k$ with probability
    $w_k$, then x from $p(x \mid z_k)$. K is
    streamed in chunks, so memory does not grow with it.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, samples of z for each row.
        num_draws: M, samples of the missing values of each row.
        noise: Whether a sample of the missing values is a draw given its z; else it is their mean given this z.
        types: The types of the columns of a mixed table, of which probabilities take the place of the mean.

    Returns:
        Means and samples of all rows.

    Source: Mattei & Frellsen (2019), "MIWAE", arXiv 1812.02633, section 3.3, with the mean over x given z in closed
    form; Owen & Zhou (2000) for the defensive mixture.
    """
    rows = _at_once(rows, num_samples) if types is None else _few_rows(rows)
    of = _mean if types is None else _shares
    sizes = {"num_samples": num_samples, "num_draws": num_draws, "noise": noise, "of": of}
    found, draws, effective = map_rows(
        Partial(_impute, samples_per_chunk=even(num_samples, rows.samples_per_chunk), **sizes), rows
    )
    if types is None:
        return Imputed(found, None, draws, effective)
    return Imputed(None, in_order(found, rows.model, types), draws, effective)


def _few_rows(rows: ModelRows) -> ModelRows:
    return replace(rows, batch_size=rows.batch_size or (FEW if len(rows.batch.row_id) <= FEW else AT_ONCE))


def in_order(found: dict[str, np.ndarray], model: AbstractLatentModel, types: Sequence[ColumnType]) -> list[np.ndarray]:
    """What was computed of columns together, as one array for each."""
    columns = {i: found[name][:, k] for name, own in model_places(model).items() for k, i in enumerate(own)}
    return [columns[i][:, : one.count].astype(np.float64) for i, one in enumerate(types)]


def _at_once(rows: ModelRows, num_samples: int) -> ModelRows:
    """The rows a few at a time and all draws of each at once, where what is seen of a row is costly to prepare."""
    # Of correlated variables the covariance of the observed ones is inverted once for all draws of a row.
    head = getattr(getattr(rows.model, "decoder", None), "head", None)
    if getattr(head, "group", 1) < MANY:
        return in_cache(rows, min(num_samples, rows.samples_per_chunk))
    return replace(rows, batch_size=rows.batch_size or _FEW, samples_per_chunk=min(num_samples, 1000))


def _impute(
    model: AbstractLatentModel, batch: Batch, key: Key, num_samples: int, num_draws: int, samples_per_chunk: int,
    noise: bool, of: Callable[..., Any],
) -> tuple[Any, Array, Array]:  # fmt: skip
    sizes = {"num_samples": num_samples, "num_draws": num_draws, "samples_per_chunk": samples_per_chunk}
    state, choice_key = given_observed(partial(of, model), model, batch, key, **sizes)
    mask = _observed(batch)
    events = _events(model, state.chosen, batch, num_draws, jax.random.fold_in(choice_key, IMPUTED_EVENTS), noise)
    exact = jnp.result_type(float)
    observed = batch.x.astype(exact)
    found = jnp.where(mask, observed, state.mean) if of is _mean else state.mean
    draws = jnp.where(mask[:, None], observed[:, None], events.astype(exact))
    return found, draws, state.effective


def _observed(batch: Batch) -> Array:
    return jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask


def _nothing(model: AbstractLatentModel, z: PyTree, cond: Cond, x: PyTree, mask: Array) -> Array:
    """What draws are weighed for where only their weights are asked for."""
    return jnp.zeros(())


def _shares(model: Any, z: PyTree, cond: Cond, x: PyTree, mask: Array) -> dict[str, Array]:
    """The probability of every segment of every column given z and the observed cells."""
    joined = model.likelihood(z, cond=cond).each_given(x, mask)
    return {name: jnp.exp(part.log_shares()) for name, part in joined.parts.items()}


def given_observed(
    of: Callable[[Any, Any, Any, Array], PyTree[Array]],
    model: AbstractLatentModel,
    batch: Batch,
    key: Key,
    *,
    num_samples: int,
    num_draws: int,
    samples_per_chunk: int,
) -> tuple["WeighedDraws", Key]:
    r"""Average a function of z over $p(z \mid x_{obs})$, and choose some z by their weights."""
    posterior_key, choice_key = jax.random.split(key)
    beside = linear_posteriors(model, batch)
    values = lambda z: jax.vmap(jax.vmap(of), (0, None, None, None))(z, batch.cond, batch.x, _observed(batch))  # noqa: E731
    rows = batch.row_id.shape[0]
    how = {"num_samples": num_samples, "proposals": _HALVES if beside is None else _BESIDE, "key": posterior_key}
    how["beside"] = beside
    like = jax.eval_shape(lambda: jax.tree.map(lambda leaf: leaf[None], _drawn(model, batch, key)))

    def add(state: WeighedDraws, first: Array | int, count: int) -> WeighedDraws:
        z, log_weight, _ = proposed(model, batch, count, first=first, **how)
        return state.with_draws(log_weight, values(z), z, first, batch.row_id, choice_key)

    state = WeighedDraws(
        jnp.full(rows, -jnp.inf),
        jnp.full(rows, -jnp.inf),
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:]), jax.eval_shape(values, like)),
        jnp.full((rows, num_draws), -jnp.inf),
        jax.tree.map(lambda leaf: jnp.zeros((rows, num_draws, *leaf.shape[2:]), leaf.dtype), like),
    )
    full, rest = divmod(num_samples, samples_per_chunk)
    state = jax.lax.fori_loop(0, full, lambda i, s: add(s, i * samples_per_chunk, samples_per_chunk), state)
    return add(state, full * samples_per_chunk, rest) if rest else state, choice_key


def _drawn(model: AbstractLatentModel, batch: Batch, key: Key) -> PyTree[Array]:
    """A z for each row, which says of what shapes they are: a weight takes long to trace."""
    draw = lambda x, cond, mask: model.posterior(x, cond=cond, mask=mask).sample(key=key)  # noqa: E731
    return jax.vmap(draw)(batch.x, batch.cond, batch.mask)


@counted(num_samples=1)
def log_observed(rows: ModelRows, *, num_samples: int = 1000) -> np.ndarray:
    r"""Estimate log p of what is observed of each row, in nats, by the draws of `impute`."""
    rows = _at_once(rows, num_samples)
    return map_rows(Partial(_log_observed, samples_per_chunk=rows.samples_per_chunk, num_samples=num_samples), rows)


def _log_observed(
    model: AbstractLatentModel, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int
) -> Array:
    size = even(num_samples, samples_per_chunk)
    sizes = {"num_samples": num_samples, "num_draws": 0, "samples_per_chunk": size}
    state, _ = given_observed(partial(_nothing, model), model, batch, key, **sizes)
    return state.total - jnp.log(float(num_samples))


class WeighedDraws(eqx.Module):
    """What of the draws so far is kept."""

    total: Float[Array, " B"]  # the log sum of the weights, of shape (B,)
    squares: Float[Array, " B"]  # the log sum of their squares, of shape (B,)
    mean: PyTree[Array]  # the weighted mean of a function of z, every leaf with B as its leading axis
    best: Float[Array, "B M"]  # the largest log weight with Gumbel noise, for each z that is chosen, of shape (B, M)
    chosen: PyTree[Array]  # the z that are chosen, every leaf with the leading axes (B, M)

    @property
    def effective(self) -> Float[Array, " B"]:
        """The effective number of draws of each row."""
        return jnp.exp(2.0 * self.total - self.squares)

    def with_draws(
        self, log_weight: Float[Array, "K B"], values: PyTree[Array], z: PyTree, first: Array | int,
        ids: UInt32[AnyArray, " B"], key: Key,
    ) -> "WeighedDraws":  # fmt: skip
        """Add some draws."""
        total = jnp.logaddexp(self.total, jax.nn.logsumexp(log_weight, axis=0))
        squares = jnp.logaddexp(self.squares, jax.nn.logsumexp(2.0 * log_weight, axis=0))
        share = jnp.exp(log_weight - total)
        kept = jnp.exp(self.total - total)
        # An einsum, so that the product with the weights is never held.
        add = lambda mean, leaf: jnp.einsum("b,b...->b...", kept, mean) + jnp.einsum("kb,kb...->b...", share, leaf)  # noqa: E731
        mean = jax.tree.map(add, self.mean, values)
        if self.best.shape[1] == 0:
            return WeighedDraws(total, squares, mean, self.best, self.chosen)
        # The largest log weight + Gumbel noise is a draw by weight (Gumbel-max), also one chunk after the other.
        count = log_weight.shape[0]

        def noise(row_id: AnyArray, sample: Array) -> Array:
            own = jax.random.fold_in(jax.random.fold_in(key, row_id), sample)
            return jax.random.gumbel(own, self.best.shape[1:])

        gumbel = jax.vmap(lambda k: jax.vmap(lambda i: noise(i, k))(ids))(first + jnp.arange(count))
        scores = log_weight[:, :, None] + gumbel
        which, best = jnp.argmax(scores, axis=0), jnp.max(scores, axis=0)
        better = best > self.best

        def choose(new: Array, old: Array) -> Array:
            picked = jax.vmap(lambda leaf, index: leaf[index], in_axes=(1, 0))(new, which)
            return jnp.where(better.reshape(*better.shape, *(1,) * (old.ndim - 2)), picked, old)

        chosen = jax.tree.map(choose, z, self.chosen)
        return WeighedDraws(total, squares, mean, jnp.where(better, best, self.best), chosen)


def _mean(model: Any, z: PyTree, cond: Cond, x: PyTree, mask: Array) -> Float[Array, "*x"]:
    r"""$E[x \mid z, x_{obs}]$."""
    return model.likelihood(z, cond=cond).conditioned(x, mask).mean()


def _events(model: AbstractLatentModel, z: PyTree, batch: Batch, num_draws: int, key: Key, noise: bool) -> Array:
    """One x for each chosen z, or without noise its mean: (B, M, *x)."""
    if num_draws == 0:
        return jnp.zeros((batch.row_id.shape[0], 0, *batch.x.shape[1:]))

    def one(z: PyTree, cond: Cond, x: PyTree, mask: Array, key: Key) -> Array:
        if not noise:
            return _mean(model, z, cond, x, mask)
        return model.likelihood(z, cond=cond).conditioned(x, mask).sample(key=key)

    def of_row(z: PyTree, cond: Cond, x: PyTree, mask: Array, row_id: AnyArray) -> Array:
        keys = jax.random.split(jax.random.fold_in(key, row_id), num_draws)
        return jax.vmap(lambda z, k: one(z, cond, x, mask, k))(z, keys)

    return jax.vmap(of_row)(z, batch.cond, batch.x, _observed(batch), batch.row_id)


def model_places(model: AbstractLatentModel) -> dict[str, tuple[int, ...]]:
    """The columns of a mixed table that are computed together."""
    z = jax.eval_shape(lambda: model.prior(cond=None).sample(key=jax.random.key(0)))
    one = jax.eval_shape(lambda z: model.likelihood(z, cond=None), z)
    blocks = getattr(one, "columns", one).blocks
    return dict(zip(blocks.names, blocks.places))


def left_out(rows: ModelRows, types: Sequence[ColumnType], *, num_samples: int = 100) -> list[np.ndarray]:
    r"""Compute the probability of every category, or segment, of each column given the other cells of its row."""
    # By the same draws for all columns: $p(x_j \mid x_{-j}) \approx \sum_k w_{kj}\, p(x_j \mid x_{-j}, z_k)$ with
    # $w_{kj} \propto w_k / p(x_j \mid x_{-j}, z_k)$, what draw k weighs without this cell.
    # Source: Gelfand, Dey & Chang (1992), "Model determination using predictive distributions", for the weights.
    rows = _few_rows(rows)
    places = model_places(rows.model)
    function = Partial(
        _left_out, places=places, num_samples=num_samples, at_once=even(num_samples, rows.samples_per_chunk)
    )
    return in_order(map_rows(function, rows), rows.model, types)


def _left_out(
    model: Any, batch: Batch, key: Key, places: dict[str, tuple[int, ...]], num_samples: int,
    at_once: int,
) -> dict[str, Array]:  # fmt: skip
    def of(z: PyTree, cond: Cond, x: PyTree, mask: Array) -> tuple[dict[str, Array], Array]:
        joined = model.likelihood(z, cond=cond).each_given(x, mask)
        shares = {name: jnp.exp(part.log_shares()) for name, part in joined.parts.items()}
        return shares, jnp.where(mask, joined.log_prob_terms(x), 0.0)

    how = {"num_samples": num_samples, "proposals": _HALVES, "key": key}

    def add(state: tuple[Array, dict[str, Array]], first: Array | int, count: int) -> tuple[Array, dict[str, Array]]:
        z, log_weight, _ = proposed(model, batch, count, first=first, **how)
        shares, own = jax.vmap(jax.vmap(of), (0, None, None, None))(z, batch.cond, batch.x, _observed(batch))
        log_weights = log_weight[..., None] - own
        total = jnp.logaddexp(state[0], jax.nn.logsumexp(log_weights, axis=0))
        kept, share = jnp.exp(state[0] - total), jnp.exp(log_weights - total)
        mean = {
            name: kept[:, list(at), None] * state[1][name]
            + jnp.einsum("kbm,kbms->bms", share[:, :, list(at)], shares[name])
            for name, at in places.items()
        }
        return total, mean

    like, _ = jax.eval_shape(lambda: jax.vmap(of)(_drawn(model, batch, key), batch.cond, batch.x, _observed(batch)))
    state = jnp.full(batch.x.shape, -jnp.inf), {name: jnp.zeros(leaf.shape) for name, leaf in like.items()}
    full, rest = divmod(num_samples, at_once)
    state = jax.lax.fori_loop(0, full, lambda i, s: add(s, i * at_once, at_once), state)
    return (add(state, full * at_once, rest) if rest else state)[1]
