"""How much what is seen of a picture counts, and how what the model leaves at a gap's edge goes on into it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data import VALIDATION, Dataset
from latens.data.batches import Batch
from latens.data.schema import image_shape
from latens.evaluation.batched import Rows, cells_of, map_rows, prepared_rows
from latens.evaluation.carry import CARRIES, Carry, carried, filled_from_edge, noise_of
from latens.evaluation.complete import Completed
from latens.evaluation.linear_answer import Gaussian, around, closed_form, latents_of, linear_answer
from latens.typing import Array, Key
from latens.workflow.trained import TrainedModel

POWERS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""The powers of the likelihood of what is seen that are tried."""

NEAR = 1024
"""Cells of a row above which its decoder is made linear once for all rows: anew for each takes too long."""

JUDGED = 32
"""Validation rows that judge, at most."""

_ROUNDS = 2
"""How often the linear answer of a large picture is found again where the last one was."""

_SPREAD_ROWS, _SPREAD_DRAWS = 8, 8
"""Validation rows, and draws of z of each, by which it is known how much of an error is that of z."""

SURE = 2.0
"""Standard errors by which another way must be nearer than the model as it is, or than a simpler way."""


class Way(NamedTuple):
    """How hidden parts of pictures are told from what is seen."""

    power: float = 1.0  # of the likelihood of what is seen
    carry: Carry | None = None
    root: np.ndarray | None = None  # of the covariance of channels of what a carry leaves open, shape (c, c)
    rival_power: float = 1.0  # as `power`, of the Gaussian that the model began with
    rows: int = 0  # validation rows that judged, 0 where nobody did
    errors: tuple[float, float] | None = None  # of their hidden cells: the way's, and of a fill from the edge
    near: Gaussian | None = None  # the decoder of large pictures, made linear at zero

    @property
    def as_it_is(self) -> bool:
        """Whether nothing is added to the model."""
        return self.power == 1.0 and self.carry is None


def near_zero(model: Any, batch: Batch) -> Gaussian | None:
    """The decoder made linear at zero, for large rows without conditions; None where it has no variances."""
    if cells_of(batch) <= NEAR or batch.cond is not None:
        return None
    prior = getattr(model, "prior", None)
    try:
        shape = jax.eval_shape(lambda: prior(cond=None).sample(key=jax.random.key(0))).shape  # pyright: ignore
        if len(shape) != 1:
            return None
        return jax.jit(lambda one: around(lambda z: one.likelihood(z, cond=None), jnp.zeros(shape)))(model)
    except (AttributeError, TypeError):
        return None


def way_of(
    trained: TrainedModel, own: Dataset | None, seen: np.ndarray, near: Gaussian | None, *,
    power: float | None = None, seed: int = 0,
) -> Way:  # fmt: skip
    """The way that hidden cells of validation rows ask for, where the same is seen of them."""
    # own: the data that the model was trained on; None: they are not at hand.
    # seen: true where a value is seen, of the rows that are asked about; validation rows take these masks in turn.
    # power: the power that was asked for; None: any.
    shape = image_shape(trained.schema)
    asked = Way(1.0 if power is None else power, near=near)
    held = np.zeros(0, int) if own is None else np.flatnonzero(own.split == VALIDATION)
    held = held if own is None or len(held) else own.subset("validation")
    if shape is None or own is None or len(held) < 2 or power == 1.0:
        return asked
    held = held[np.argsort(own.row_id[held], kind="stable")][:JUDGED]
    mask = seen[~seen.reshape(len(seen), -1).all(axis=1)]
    mask = mask[np.arange(len(held)) % len(mask)]
    shown = np.ones(mask.shape, bool) if own.mask is None else np.asarray(own.mask[held])
    hidden = shown & ~mask
    if not hidden.any():
        return asked
    batch = replace(trained.batch(own, held), mask=shown & mask)
    powers = POWERS if power is None else (power,)
    rows = trained.rows(batch, seed=seed)
    prepared, flat = np.asarray(prepared_rows(rows), np.float64).reshape(len(held), -1), (len(held), -1)
    try:
        if near is None:
            found = map_rows(Partial(_decoded, powers=powers), rows)
        else:
            found = _moments_at(trained.model, latents_of(near, prepared, (shown & mask).reshape(flat), powers))
    except (AttributeError, TypeError):  # no Normals of one vector, or no variances
        return asked
    x = np.asarray(own.x[held], np.float64)
    whole = lambda values: values.reshape(len(values), *shape[:2], -1)  # noqa: E731
    pictures, open_, gone = whole(x), whole(shown & mask), whole(hidden)
    error = lambda made: np.where(gone, np.square(made - pictures), 0.0).sum(axis=(1, 2, 3))  # noqa: E731
    cells = max(int(gone.sum()), 1)
    means = [whole(trained.data_units(found[:, k], mean=True).astype(np.float64)) for k in range(len(powers))]

    def after(k: int, carry: Carry | None) -> np.ndarray:
        return means[k] + carried(pictures - means[k], open_, carry)

    tried = {(k, carry): error(after(k, carry)) for k in range(len(powers)) for carry in (None, CARRIES[0])}
    best = min((pair for pair in tried if pair[1] is not None), key=lambda pair: tried[pair].mean())
    for k in {0, best[0]}:
        tried |= {(k, carry): error(after(k, carry)) for carry in CARRIES[1:]}
    k, carry = _chosen(tried)
    root = None
    if carry is not None:
        root = _root(trained, _some_draws(rows, powers[k], near), after(k, carry) - pictures, gone, open_, carry)
    edge = error(filled_from_edge(pictures, open_))
    errors = tuple(float(np.sqrt(one.sum() / cells)) for one in (tried[k, carry], edge))
    rival = _rival_power(trained.model, prepared, (shown & mask).reshape(flat), hidden.reshape(flat))
    return Way(powers[k], carry, root, rival, len(held), errors, near)  # pyright: ignore


def _chosen(tried: dict[tuple[int, Carry | None], np.ndarray]) -> tuple[int, Carry | None]:
    """The simplest of ways that are not clearly behind the best: the model as it is, a carry, a power, both."""
    best = min(tried, key=lambda pair: tried[pair].mean())
    kinds = (
        lambda pair: pair == (0, None), lambda pair: pair[0] == 0, lambda pair: pair[1] is None, lambda pair: True,
    )  # fmt: skip
    for kind in kinds:
        one = min(filter(kind, tried), key=lambda pair: tried[pair].mean())
        behind = tried[one] - tried[best]
        if behind.mean() <= SURE * behind.std(ddof=1) / np.sqrt(len(behind)):
            return one
    return best


def _decoded(model: Any, batch: Batch, key: Key, powers: tuple[float, ...], draws: int = 0) -> Array:
    """The mean of p(x | z) at the linear answer of each power, (B, P, *x), or at draws of the first, (B, draws, *x)."""

    def of_row(x: Any, row_id: Any, cond: Any, mask: Any) -> Array:
        decode: Callable[[Any], Any] = lambda z: model.likelihood(z, cond=cond)  # noqa: E731
        encoded = model.posterior(x, cond=cond, mask=mask)

        def answer(power: Any) -> Any:
            found = linear_answer(decode, encoded, x, mask, None, power)
            if found is None:
                raise TypeError("a latent that is no vector, or a likelihood without moments")
            return found

        mean = lambda z: decode(z).moments()[0]  # noqa: E731
        if not draws:
            return jax.lax.map(lambda power: mean(answer(power).loc), jnp.asarray(powers))
        q, own = answer(powers[0]), jax.random.fold_in(key, row_id)
        return jax.lax.map(lambda k: mean(q.sample(key=k)), jax.random.split(own, draws))

    return jax.vmap(of_row)(batch.x, batch.row_id, batch.cond, batch.mask)


def _some_draws(rows: Rows, power: float, near: Gaussian | None) -> np.ndarray:
    """Decoded draws of z of a few rows, shape (B, draws, *x)."""
    few = jax.tree.map(lambda leaf: leaf[:_SPREAD_ROWS], rows.batch)
    if near is None:
        return map_rows(Partial(_decoded, powers=(power,), draws=_SPREAD_DRAWS), replace(rows, batch=few))
    x, mask = (
        np.asarray(one).reshape(len(few.row_id), -1) for one in (prepared_rows(replace(rows, batch=few)), few.mask)
    )
    noise = np.random.default_rng(0).standard_normal((_SPREAD_DRAWS, len(x), 1, near.slope.shape[1]))
    z = [latents_of(near, x, mask, (power,), one) for one in noise]
    return _moments_at(rows.model, np.concatenate(z, axis=1))


@eqx.filter_jit
def _moments_each(model: Any, z: Array) -> Array:
    return jax.lax.map(lambda one: model.likelihood(one, cond=None).moments()[0], z)


def _moments_at(model: Any, z: np.ndarray) -> np.ndarray:
    """The mean of p(x | z) at several latents of each row, (B, K, n)."""
    found = _moments_each(eqx.nn.inference_mode(model), jnp.asarray(z.reshape(-1, z.shape[-1]), jnp.float32))
    return np.asarray(found).reshape(*z.shape[:2], *found.shape[1:])


@eqx.filter_jit
def _events_each(model: Any, z: Array, keys: Array) -> Array:
    return jax.lax.map(lambda one: model.likelihood(one[0], cond=None).sample(key=one[1]), (z, keys))


def near_answers(rows: Rows, way: Way, num_draws: int, means: bool) -> Completed:
    """Complete large pictures by the linear answer at the power of a way; decoded also where they are seen."""
    # What judged on validation rows is the mean of p(x | z) at the mean of z, which is the mean here.
    assert way.near is not None
    near, few = way.near, rows.batch
    x, mask = (np.asarray(one).reshape(len(few.row_id), -1) for one in (prepared_rows(rows), few.mask))
    made, decoded = near, np.zeros(())
    z = latents_of(near, x, mask, (way.power,))
    for _ in range(_ROUNDS):
        decoded = _moments_at(rows.model, z)[:, 0]
        mean = decoded.reshape(len(x), -1) - z[:, 0] @ np.asarray(near.slope, np.float64).T
        made = near._replace(mean=mean)
        z = latents_of(made, x, mask, (way.power,))
    decoded = _moments_at(rows.model, z)[:, 0]
    seeds = [np.random.default_rng([int(one), *_words(rows.key)]) for one in np.asarray(few.row_id)]
    noise = np.stack([one.standard_normal((num_draws, 1, near.slope.shape[1])) for one in seeds], axis=1)
    drawn = np.concatenate([latents_of(made, x, mask, (way.power,), one) for one in noise], axis=1)
    if means or way.carry is not None:
        draws = _moments_at(rows.model, drawn)
    else:
        flat = jnp.asarray(drawn.reshape(-1, drawn.shape[-1]), jnp.float32)
        keys = jax.vmap(lambda one: jax.random.split(jax.random.fold_in(rows.key, one), num_draws))(few.row_id)
        events = _events_each(eqx.nn.inference_mode(rows.model), flat, keys.reshape(-1))
        draws = np.asarray(events).reshape(*drawn.shape[:2], *events.shape[1:])
    # Nothing is weighed: log p of what is seen is not known, and no draw counts for more than another.
    return Completed(decoded, draws, np.full(len(x), np.nan), np.full(len(x), float(num_draws)))


def _words(key: Key) -> list[int]:
    return [int(word) for word in np.asarray(jax.random.key_data(key)).reshape(-1)]


def _root(
    trained: TrainedModel, draws: np.ndarray, error: np.ndarray, gone: np.ndarray, seen: np.ndarray, carry: Carry
) -> np.ndarray:
    """A root of the covariance of channels of what the carry leaves open, without what draws of z vary by."""
    some = slice(0, _SPREAD_ROWS)
    draws = trained.data_units(draws.reshape(-1, *draws.shape[2:]), mean=True).astype(np.float64)
    draws = draws.reshape(-1, _SPREAD_DRAWS, *gone.shape[1:])
    varied = draws - draws.mean(axis=1, keepdims=True)
    mask = np.repeat(seen[some], _SPREAD_DRAWS, axis=0)
    varied = varied - carried(varied.reshape(mask.shape), mask, carry).reshape(varied.shape)
    away = _covariance(error, gone)
    of_z = _covariance(varied.reshape(mask.shape), ~mask) * _SPREAD_DRAWS / (_SPREAD_DRAWS - 1)
    unit = noise_of(seen[some], carry, np.eye(seen.shape[-1]), 8, [[0, row] for row in range(len(seen[some]))])
    share = np.square(unit).sum() / max(8 * (~seen[some]).sum(), 1)
    values, vectors = np.linalg.eigh(away - of_z)
    values = np.maximum(values, 0.05 * np.trace(away) / len(away)) / max(share, 1e-12)
    return vectors * np.sqrt(values) @ vectors.T


def _covariance(error: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """The second moments of channels over pixels of which all are hidden."""
    at = gone.all(axis=-1)
    return np.einsum("pc,pd->cd", error[at], error[at]) / max(int(at.sum()), 1)


def _rival_power(model: Any, x: np.ndarray, seen: np.ndarray, hidden: np.ndarray) -> float:
    """The power at which the Gaussian that the model began with is nearest; all of rows as the model sees them."""
    if (made := closed_form(model)) is None:
        return 1.0
    z = latents_of(made, x, seen, POWERS)
    means = np.asarray(made.mean) + z @ np.asarray(made.slope, np.float64).T
    away = [np.square(means[:, k] - x)[hidden].sum() for k in range(len(POWERS))]
    return POWERS[int(np.argmin(away))]


def carried_on(
    trained: TrainedModel, way: Way, mean: np.ndarray, draws: np.ndarray, x: np.ndarray, seen: np.ndarray, *,
    means: bool, seeds: np.ndarray, seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Carry on what decoded means and draws leave at the edge, all in stored units; draws are of pixels, or means."""
    # seeds: the id of each row, so that its noise is the same wherever it stands.
    # mean, draws: of p(x | z) in every cell, shape (B, *x) and (B, M, *x).
    shape = image_shape(trained.schema)
    if way.carry is None or shape is None or way.root is None:
        return mean, draws
    whole = lambda values: values.reshape(*values.shape[: values.ndim - len(trained.schema.shape)], *shape[:2], -1)  # noqa: E731
    pictures, mask, middle, several = (whole(one) for one in (np.asarray(x, np.float64), seen, mean, draws))
    count = several.shape[1]
    middle = middle + carried(pictures - middle, mask, way.carry)
    left = (pictures[:, None] - several).reshape(-1, *pictures.shape[1:])
    several = several + carried(left, np.repeat(mask, count, axis=0), way.carry).reshape(several.shape)
    if not means:
        several = several + noise_of(mask, way.carry, way.root, count, [[seed, int(one)] for one in seeds])
    schema = trained.schema
    if schema.kind in ("levels", "unit", "binary"):
        top = float((schema.levels or 2) - 1) if schema.kind == "levels" else 1.0
        middle, several = np.clip(middle, 0.0, top), np.clip(several, 0.0, top)
        several = several if means or schema.kind == "unit" else np.round(several)
    return middle.reshape(mean.shape), several.reshape(draws.shape)
