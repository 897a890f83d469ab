"""The closed form of sequences: lagged principal components, or a regression on lags; of environments last changes."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latens.data import Dataset, Preparation, prepare_batch
from latens.data.dataset import first_rows
from latens.models import StateSpaceModel
from latens.models.heads.base import raw_scale
from latens.models.heads.likelihoods import InUnits, StepColumnsHead
from latens.models.state_space import StepEncoder, value_of
from latens.recipes.state_space_parts import filled, filled_by_changes
from latens.trainable import Frozen

SHARPEST, SHARP = math.exp(-3.0), math.exp(-4.5)
"""The least noise of a latent at the start, and the noise of what it says, as shares of the spread of a step's change.

The second is the smaller one, so that a latent is what was seen, also where nothing came before.
"""
GAIN = 4.0
"""How many times as large errors of a regression without the last change have to be for it to be a latent."""
_RIDGE = 1e-6


def changes_matter(x: np.ndarray, seen: np.ndarray, inputs: np.ndarray) -> bool:
    """Whether the last change of the numbers (n, T, d) says of the next step what the numbers do not: a velocity."""
    errors = []
    for count in (0, x.shape[2]):
        state, _, pairs = _states(x, np.asarray(seen.all(axis=2)), count)
        read, said = _pairs(state, inputs, pairs)
        errors.append(np.mean((said - read @ _weights(read, said)) ** 2, axis=0)[: x.shape[2]])
    return bool(np.any(errors[0] > GAIN * errors[1] + 1e-9))


def _states(own: np.ndarray, known: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers with the last change of the first `count`, the spread of changes, and which steps have a next one."""
    both = known[:, 1:] & known[:, :-1]
    change = own[:, 1:] - own[:, :-1]
    spread = np.sqrt(np.mean(change[both] ** 2, axis=0)) if both.any() else np.ones(own.shape[2])
    spread = np.maximum(spread, 1e-3)
    deltas = np.zeros((*own.shape[:2], count))
    deltas[:, 1:] = np.where(both[..., None], change / spread, 0.0)[..., :count]
    pairs = both.copy()
    later = both[:, 1:] & both[:, :-1]  # the change before is known too
    if later.any():
        pairs[:, 0], pairs[:, 1:] = False, later
    return np.concatenate([np.where(known[..., None], own, 0.0), deltas], axis=2), spread, pairs


def _pairs(state: np.ndarray, inputs: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is read (state, action, 1) and what comes next, led by the pairs."""
    ones = np.ones((int(pairs.sum()), 1))
    return np.concatenate([state[:, :-1][pairs], inputs[:, 1:][pairs], ones], axis=1), state[:, 1:][pairs]


def _weights(read: np.ndarray, said: np.ndarray) -> np.ndarray:
    gram = read.T @ read
    return np.linalg.solve(gram + _RIDGE * max(np.trace(gram), 1.0) / len(gram) * np.eye(len(gram)), read.T @ said)


def begins_at_changes(model: StateSpaceModel) -> bool:
    """Whether a model is one of steps of numbers beside ends, with latents enough for the numbers."""
    decoder: Any = model.decoder
    return filled_by_changes(decoder.head, decoder.latent_size, decoder.action_size, decoder.lags)


def started_changes(model: StateSpaceModel, x: np.ndarray, seen: np.ndarray, inputs: np.ndarray) -> StateSpaceModel:
    """The model begun at $s_{t+1} = A s_t + B a_{t+1} + c$, where s is the numbers of a step and their last change."""
    decoder: Any = model.decoder
    inner: StepColumnsHead = decoder.head.head
    d, size = x.shape[2], decoder.latent_size
    coins = np.array(sorted(inner.binary), int)
    numbers = np.setdiff1d(np.arange(d), coins)
    own = x[..., numbers]
    # What the encoder does not read, the reward, follows from the state and moves nothing; a reset has none.
    foretold = np.isin(numbers, getattr(model.encoder, "blind", ()))
    known = np.asarray(seen[..., numbers[~foretold]].all(axis=2))
    count = min(size - len(numbers), len(numbers))
    state, spread, pairs = _states(own, known, count)
    read, said = _pairs(state, inputs, pairs)
    read[:, : len(numbers)][:, foretold] = 0.0
    weights = _weights(read, said)
    units, found = np.concatenate([spread, np.ones(count)]), state.shape[2]
    moved = np.maximum(np.mean((said - read @ weights) ** 2, axis=0), (SHARPEST * units) ** 2)
    rest = size - found  # latents beyond these say nothing yet
    begun = known[:, 0]
    first = own[:, 0][begun] if begun.any() else np.zeros((1, len(numbers)))
    mean, scale = np.zeros(size), np.ones(size)
    mean[: len(numbers)] = first.mean(axis=0)
    scale[: len(numbers)] = np.maximum(first.std(axis=0), SHARPEST * spread)
    drift = np.zeros((size, size))
    drift[:found, :found] = weights[:found]
    drift[found:, found:] = 0.9 * np.eye(rest)
    push = np.pad(weights[found:-1], ((0, 0), (0, rest)))
    write = np.zeros((size, d))
    write[np.arange(len(numbers)), numbers] = 1.0
    noise = np.full(d, 1.0)
    noise[numbers] = (SHARP * spread) ** 2
    # The posterior does not read what is foretold: all that a regression leaves of it is noise of the step itself.
    hidden = np.flatnonzero(foretold)
    noise[numbers[hidden]] = moved[hidden]
    moved[hidden] = (SHARPEST * units[hidden]) ** 2
    shares = np.clip(x[..., coins].sum((0, 1)) / np.maximum(seen[..., coins].sum((0, 1)), 1), 1e-3, 1 - 1e-3)
    bias = np.zeros((2, d))
    bias[0, coins] = np.log(shares) - np.log1p(-shares)
    bias[1] = raw_scale(np.sqrt(noise), "softplus", inner.scale_floor)
    outputs = np.zeros((size, value_of(decoder.bias).size))
    outputs[:, :d] = write
    given = {
        "bias": bias.reshape(-1),
        "write": outputs,
        "drift": drift,
        "push": push,
        "rest": np.stack([np.pad(weights[-1], (0, rest)), 0.5 * np.log(np.pad(moved, (0, rest), constant_values=0.2))]),
        "first": np.stack([mean, np.log(scale)]),
    }
    left = np.where(np.isin(np.arange(d), coins), 1.0, noise)
    model = filled_in(model, given, np.pad(moved, (0, rest), constant_values=0.2), left)
    if isinstance(model.encoder, StepEncoder):
        write[:, coins] = 0.0
        gain = _gain(drift, np.pad(moved, (0, rest), constant_values=0.2), write, noise)
        precision = np.log(np.maximum(write.T**2 / noise[:, None], math.exp(-8.0)))
        model = filled_in(model, {"gain": gain, "log_precision": precision}, of="encoder")
    return model


def filled_in(
    model: StateSpaceModel,
    given: dict[str, Any],
    moved: np.ndarray | None = None,
    noise: np.ndarray | None = None,
    *,
    of: str = "decoder",
) -> StateSpaceModel:
    """The model with these arrays in one of its parts; its networks add in the unit of these variances of the noise."""
    part: Any = getattr(model, of)
    for name, value in given.items():
        old = getattr(part, name)
        value = value if name == "head" else jnp.asarray(value, jnp.float32)
        value = Frozen(value) if isinstance(old, Frozen) else value
        at = lambda m, name=name: getattr(getattr(m, of), name)  # noqa: E731
        model = eqx.tree_at(at, model, value, is_leaf=lambda node, old=old: node is old)
    for name, variance in (("change", moved), ("say", noise)):
        network = getattr(part, name, None)
        if isinstance(network, InUnits) and variance is not None:
            unit = jnp.ones(network.unit.value.size).at[: len(variance)].set(jnp.sqrt(jnp.float32(variance)))
            model = eqx.tree_at(lambda m, name=name: getattr(m.decoder, name).unit.value, model, unit)
    return model


MOST_STEPS = 200_000
"""Steps of training rows that the closed form sees."""
MOST_LAGGED = 256
"""Numbers of a window of earlier steps, of which the components are taken."""
FADING = 0.999
"""The largest modulus of an eigenvalue of the drift."""
RIDGE = 1e-3
"""The ridge of a regression, as a share of the mean square of what is read."""


def started_steps(model: StateSpaceModel, data: Dataset, prepare: Preparation) -> StateSpaceModel:
    """The model begun at a closed form of its training rows."""
    decoder: Any = model.decoder
    x, seen, inputs = _steps(data, prepare, decoder)
    if begins_at_changes(model):
        return started_changes(model, x, seen, inputs)
    d, size = x.shape[2], decoder.latent_size
    head, located = decoder.head, filled(decoder.head)
    mean = np.sum(x * seen, axis=(0, 1)) / np.maximum(np.sum(seen, axis=(0, 1)), 1)
    unit = decoder.standardise
    low, wide = (
        (np.zeros(d), np.ones(d)) if unit is None else (np.asarray(unit.shift.value), np.asarray(unit.scale.value))
    )
    low, wide = low.reshape(-1), wide.reshape(-1)
    variance = np.sum((x - mean) ** 2 * seen, axis=(0, 1)) / np.maximum(np.sum(seen, axis=(0, 1)), 1)
    if not located:
        shape = head.shape
        shares = _level_shares(low + wide * x, seen, data.schema.levels, shape) if data.schema.levels else None
        head, bias = head.started((low + wide * mean).reshape(shape), shares, (wide**2 * variance).reshape(shape))
        made = filled_in(model, {"head": head, "bias": jnp.asarray(bias, jnp.float32)})
        return _reading(made, np.zeros((d, size)), np.full((d, size), math.exp(-4.0)))
    whole = _filled(x, seen)
    if decoder.lags:
        parts = _lagged(whole, decoder.lags, size)
        parts["push"] = np.zeros((inputs.shape[2], size))
    else:
        parts = _of_components(whole, inputs, size)
    noise = np.maximum(parts["noise"], 1e-4)
    blocks = (noise * wide**2)[:, None, None]
    changed, bias = head.started_around((low + wide * parts["bias"]).reshape(head.shape), blocks)
    width = value_of(decoder.bias).size
    first = lambda rows: jnp.zeros((len(rows), width)).at[:, :d].set(jnp.asarray(rows, jnp.float32))  # noqa: E731
    given = {
        "head": changed,
        "bias": jnp.asarray(bias, jnp.float32),
        "write": first(parts["write"]),
        "drift": jnp.asarray(parts["drift"], jnp.float32),
        "push": jnp.asarray(parts["push"], jnp.float32),
        "rest": jnp.asarray(np.stack([np.zeros(size), 0.5 * np.log(parts["moved"])]), jnp.float32),
        "first": jnp.asarray(np.stack([np.zeros(size), 0.5 * np.log(parts["begun"])]), jnp.float32),
    }
    if decoder.lags:
        flags = np.zeros((len(decoder.lags), width))
        if width == 2 * d:  # scales are outputs too, which are wider before a lag is there
            flags[:, d:] = parts["flags"]
        given["lagged"] = jnp.concatenate([first(parts["lagged"]), jnp.asarray(flags, jnp.float32)])
    model = filled_in(model, given, parts["moved"], noise)
    own = parts["write"].T ** 2 / noise[:, None]
    return _reading(model, _gain(parts["drift"], parts["moved"], parts["write"], noise), own)


def _reading(model: StateSpaceModel, gain: np.ndarray, precision: np.ndarray) -> StateSpaceModel:
    """The model whose posterior begins with what each cell says by itself."""
    if not isinstance(model.encoder, StepEncoder):
        return model
    logs = np.log(np.maximum(precision, math.exp(-8.0)))
    return filled_in(model, {"gain": gain, "log_precision": logs}, of="encoder")


def _steps(data: Dataset, prepare: Preparation, decoder: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some training rows as the model reads them, where they are observed, and what is given at every step."""
    train = data.subset("train")
    steps = data.schema.shape[0]
    most = max(2, min(len(train), MOST_STEPS // steps))
    kept = np.sort(first_rows(data, train, most))
    batch = prepare_batch(prepare, data.rows(kept), key=jax.random.key(0))
    x = np.asarray(jax.vmap(jax.vmap(decoder.seen))(jnp.asarray(batch.x, jnp.float32)), np.float64)
    seen = np.ones(x.shape, bool) if batch.mask is None else np.asarray(batch.mask)
    given = decoder.inputs_of
    inputs = np.asarray(jax.vmap(lambda c: given(c, steps))(batch.cond)) if decoder.action_size else None
    if inputs is None:
        inputs = np.zeros((len(x), steps, 0))
    flat = x.reshape(len(x), steps, -1)
    seen = seen.reshape(flat.shape)
    return np.where(seen, flat, 0.0), seen, inputs.astype(np.float64)


def _level_shares(
    x: Float[np.ndarray, "n T d"], seen: np.ndarray, levels: int, shape: tuple[int, ...]
) -> Float[np.ndarray, "*x L"]:
    """How often each level is at a step, in each column."""
    counts = np.stack([((np.rint(x) == level) & seen).sum(axis=(0, 1)) for level in range(levels)], axis=-1)
    return (counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)).reshape(*shape, levels)


def _filled(x: Float[np.ndarray, "n T d"], seen: np.ndarray) -> Float[np.ndarray, "n T d"]:
    """Rows whose gaps are filled along time; what lies behind the last observed cell of a column is NaN."""
    out, places = np.full(x.shape, np.nan), np.arange(x.shape[1])
    if seen.all():
        return x
    for row in range(len(x)):
        for column in range(x.shape[2]):
            known = places[seen[row, :, column]]
            if len(known):
                out[row, : known[-1] + 1, column] = np.interp(places[: known[-1] + 1], known, x[row, known, column])
    return out


def _regress(read: np.ndarray, said: np.ndarray) -> np.ndarray:
    """The weights of a regression with a small ridge."""
    gram = read.T @ read
    ridge = RIDGE * np.trace(gram) / max(len(gram), 1) + 1e-9
    return (
        np.linalg.solve(gram + ridge * np.eye(len(gram)), read.T @ said) if len(gram) else np.zeros((0, said.shape[1]))
    )


def _of_components(x: np.ndarray, inputs: np.ndarray, size: int, most: int | None = None) -> dict[str, np.ndarray]:
    """A linear state-space model whose latents are components of windows of earlier steps."""
    steps, d = x.shape[1:]
    window = max(1, min(steps // 3, math.ceil(MOST_LAGGED / d), max(32, -(-size // d))) if most is None else most)
    lagged = np.concatenate([x[:, window - 1 - lag : steps - lag] for lag in range(window)], axis=2)
    whole = np.all(np.isfinite(lagged), axis=2)
    if not np.any(whole[:, 1:] & whole[:, :-1]):  # rows too short, or too full of gaps: windows of one step
        window, lagged = 1, np.where(np.isfinite(x), x, 0.0)
        whole = np.any(np.isfinite(x), axis=2)
    flat = lagged[whole]
    mean = flat.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(flat.T, bias=True).reshape(len(mean), -1))
    order = np.argsort(values)[::-1][:size]
    z = (np.where(whole[..., None], lagged, 0.0) - mean) @ vectors[:, order]
    pairs = whole[:, 1:] & whole[:, :-1]
    given = inputs[:, window:][pairs]
    found = z.shape[2]
    weights = _regress(np.concatenate([z[:, :-1][pairs], given], axis=1), z[:, 1:][pairs])
    left = z[:, 1:][pairs] - np.concatenate([z[:, :-1][pairs], given], axis=1) @ weights
    # Directions in which the noise of a step has no correlations, in the unit of their spread.
    _, turn = np.linalg.eigh(np.cov(left.T, bias=True).reshape(found, found))
    spread = np.sqrt(np.maximum(np.mean((z[whole] @ turn) ** 2, axis=0), 1e-9))
    to, back = turn / spread, (turn * spread).T
    z, drift, push = z @ to, back @ weights[:found] @ to, weights[found:] @ to
    radius = np.max(np.abs(np.linalg.eigvals(drift)), initial=0.0)
    drift = drift * min(1.0, FADING / max(radius, 1e-9))
    moved = np.maximum(np.mean((left @ to) ** 2, axis=0), 1e-3)
    now = x[:, window - 1 :][whole]
    bias = now.mean(axis=0)
    write = _regress(z[whole], now - bias)
    noise = np.mean((now - bias - z[whole] @ write) ** 2, axis=0) + 1e-3
    rest = size - found  # latents beyond the components say nothing yet
    pad = lambda a, rows, cols: np.pad(a, ((0, rows), (0, cols)))  # noqa: E731
    return {
        "drift": pad(drift, rest, rest) + np.diag([0.0] * found + [0.9] * rest),
        "push": pad(push, 0, rest),
        "moved": np.pad(moved, (0, rest), constant_values=0.2),
        "begun": np.ones(size),
        "write": pad(write, rest, 0),
        "bias": bias,
        "noise": noise,
    }


def _lagged(x: np.ndarray, lags: tuple[int, ...], size: int) -> dict[str, np.ndarray]:
    """A regression of every column on its own earlier steps, and a linear state-space model of what that leaves."""
    steps, d = x.shape[1:]
    longest = max(lags)
    weights, now, bias = np.zeros((len(lags) * d, d)), x[:, longest:], np.zeros(d)
    for column in range(d):
        read = np.stack([x[:, longest - lag : steps - lag, column] for lag in lags], axis=2)
        whole = np.isfinite(now[..., column]) & np.all(np.isfinite(read), axis=2)
        said = now[..., column][whole]
        bias[column] = said.mean()
        found = _regress(read[whole], said[:, None] - bias[column])
        bias[column] -= np.mean(read[whole] @ found)
        weights[column::d, column] = found[:, 0]
    none = np.where(np.isfinite(x), x, 0.0)
    early = np.concatenate([np.zeros((len(x), longest, d)), none], axis=1)
    read = np.concatenate([early[:, longest - lag : longest - lag + steps] for lag in lags], axis=2)
    left = x - read @ weights - bias
    parts = _of_components(left[:, longest:], np.zeros((len(x), steps - longest, 0)), size, most=1 if size <= d else 4)
    # How far steps are off before a lag is there, one lag after the other from the longest.
    sizes = [np.sqrt(np.nanmean(left[:, longest:] ** 2, axis=(0, 1)))]
    ordered = sorted(range(len(lags)), key=lambda place: -lags[place])
    for place in ordered:
        shorter = max([lag for lag in lags if lag < lags[place]], default=0)
        sizes.append(np.sqrt(np.nanmean(left[:, shorter : lags[place]] ** 2, axis=(0, 1))))
    flags = np.zeros((len(lags), d))
    for number, place in enumerate(ordered):
        flags[place] = np.log(np.maximum(sizes[number + 1], 1e-3) / np.maximum(sizes[number], 1e-3))
    return parts | {"lagged": weights, "bias": bias + parts["bias"], "flags": np.maximum(flags, 0.0)}


def _gain(drift: np.ndarray, moved: np.ndarray, write: np.ndarray, noise: np.ndarray) -> Float[np.ndarray, "d k"]:
    """What an observed step moves a latent by after many steps (Kalman's gain)."""
    covariance, gain = np.diag(moved), np.zeros((write.shape[1], write.shape[0]))
    for _ in range(50):
        covariance = drift.T @ covariance @ drift + np.diag(moved)
        gain = np.linalg.solve(write.T @ covariance @ write + np.diag(noise), write.T @ covariance)
        covariance = covariance - covariance @ write @ gain
    return gain
