"""What follows rows that are sequences: draws of it, their quantiles, and how good they were where it is known."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Bool, Float, Int, Shaped

from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.evidence.annealing import filtered, resampled
from latens.evidence.batched import ModelRows, map_rows
from latens.models import StateSpaceModel
from latens.models.state_space import INPUTS
from latens.runtime.compilation import counted
from latens.typing import AnyArray, Array, Key, Mask

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles of a forecast: the median, and the ends of bands of 50 and 90 %."""
BANDS = {0.5: (1, 3), 0.9: (0, 4)}
"""The share of a band, and the places of its ends among the quantiles."""


@counted(steps=1, num_draws=1, particles=0)
def forecast(
    rows: ModelRows,
    *,
    steps: int,
    num_draws: int = 200,
    inputs: Float[np.ndarray, "B H a"] | None = None,
    lengths: Int[np.ndarray, " B"] | None = None,
    particles: int = 0,
) -> Shaped[np.ndarray, "B M H d"]:
    r"""Draw what follows each row: M samples of $p(x_{T+1:T+H} \mid x_{1:T})$.

    The state after a row is drawn from its posterior, and then the model steps on.

    Args:
        rows: The model, with a latent for every step, and the stored rows, B of them.
        steps: H, how many steps follow.
        num_draws: M, how many draws.
        inputs: What is given at these steps, of shape (B, H, a), for a model that reads it.
        lengths: How many steps each row has before padding, of shape (B,); None: all have T.
        particles: Where it is not 0, so many states of each row are weighed by a particle filter, from which the draws
            start: for a posterior that is not to be trusted.

    Returns:
        The draws, of shape (B, M, H, *d), in the unit of the likelihood.

    Raises:
        ConfigError: The model has no latent for every step, or reads what was not given.
    """
    model = rows.model
    if not isinstance(model, StateSpaceModel):
        what = f"a {type(model).__name__} has no steps to forecast."
        raise ConfigError(what, where="model", fix="Train with --recipe deep-kalman, vrnn, world or linear-gaussian.")
    decoder: Any = model.decoder
    if decoder.action_size and inputs is None:
        what = (
            f"the model reads {decoder.action_size} numbers at every step, and those of the steps to come are missing."
        )
        raise ConfigError(
            what, where="inputs", fix="Give data with lines for the steps to come, their inputs filled in."
        )
    batch = rows.batch
    length = batch.x.shape[1]
    ends = np.full(len(batch.row_id), length) if lengths is None else np.asarray(lengths)
    cond = {**(batch.cond or {}), "held": np.arange(length) < ends[:, None]}
    cond |= {} if inputs is None else {"ahead": np.asarray(inputs, np.float32)}
    function = Partial(_forecast, steps=steps, num_draws=num_draws, particles=particles)
    size = rows.batch_size or 16
    return map_rows(function, replace(rows, batch=replace(batch, cond=cond), batch_size=size))


def _forecast(model: StateSpaceModel, batch: Batch, key: Key, steps: int, num_draws: int, particles: int) -> Array:
    def one_row(x: Array, row_id: AnyArray, cond: Any, mask: Mask) -> Array:
        own = jax.random.fold_in(key, row_id)
        given, held = cond.get("ahead"), cond["held"]
        known = {INPUTS: cond[INPUTS]} if INPUTS in cond else None
        keys = jax.random.split(own, num_draws)
        if particles:
            run = filtered(model, x, mask, known, count=particles, held=held, key=jax.random.fold_in(own, 1))
            spread = jnp.arange(num_draws) % particles
            even = resampled(run.particles, run.log_weights, key=jax.random.fold_in(own, 2))
            states = jax.tree.map(lambda leaf: leaf[spread], even)
            return jax.vmap(lambda s, k: model.roll(s, steps, inputs=given, key=k))(states, keys)
        posterior: Any = replace(model.posterior(x, cond=known, mask=mask), held=held)

        def one(key: Key) -> Array:
            z_key, x_key = jax.random.split(key)
            state = posterior.walk(noise=posterior.sample_noise(key=z_key), outputs=False).state
            return model.roll(state, steps, inputs=given, key=x_key)

        return jax.vmap(one)(keys)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


def crps(draws: Float[np.ndarray, "B M *x"], truth: Float[np.ndarray, " B *x"]) -> Float[np.ndarray, " B *x"]:
    r"""How far draws are from what came: $E|X - y| - \frac12 E|X - X'|$, in the unit of the data, of each cell."""
    # The second mean is over pairs of different draws (the fair form), so that it does not depend on how many there
    # are. Source: Gneiting & Raftery (2007); fair: Ferro (2014).
    ordered = np.sort(np.asarray(draws, np.float64), axis=1)
    count = ordered.shape[1]
    if count < 2:
        raise ConfigError("one draw has no spread.", where="draws", fix="Use 2 or more.")
    rank = (2.0 * np.arange(1, count + 1) - count - 1.0).reshape(1, count, *(1,) * (ordered.ndim - 2))
    spread = np.sum(rank * ordered, axis=1) * 2.0 / (count * (count - 1.0))
    return np.mean(np.abs(ordered - truth[:, None]), axis=1) - 0.5 * spread


class Judged(NamedTuple):
    """How good a forecast was, in the unit of the data; means are over what was observed."""

    crps: float
    by_step: Float[np.ndarray, " H"]  # CRPS of each step ahead
    by_column: Float[np.ndarray, " d"]  # CRPS of each column
    error: float  # the mean absolute error of the median
    cover: dict[float, float]  # of each band the share of cells within it
    cover_by_step: dict[float, Float[np.ndarray, " H"]]
    cells: int  # how many cells were compared


def judged(
    draws: Float[np.ndarray, "B M H d"],
    truth: Float[np.ndarray, "B H d"],
    seen: Bool[np.ndarray, "B H d"],
    scale: Float[np.ndarray, " d"] | float = 1.0,
) -> Judged:
    """Compare a forecast with what came, where it is known; NaN where nothing is."""
    # scale: what CRPS and error are divided by, of each column, so that columns of other units can be averaged.
    away = crps(draws, truth) / scale
    low = np.quantile(np.asarray(draws, np.float64), QUANTILES, axis=1)
    mean = lambda a, axis=None: np.sum(np.where(seen, a, 0.0), axis) / np.where(seen.sum(axis), seen.sum(axis), np.nan)  # noqa: E731
    inside = {share: (truth >= low[a]) & (truth <= low[b]) for share, (a, b) in BANDS.items()}
    return Judged(
        float(mean(away)), mean(away, (0, 2)), mean(away, (0, 1)), float(mean(np.abs(truth - low[2]) / scale)),
        {share: float(mean(one)) for share, one in inside.items()},
        {share: mean(one, (0, 2)) for share, one in inside.items()}, int(seen.sum()),
    )  # fmt: skip
