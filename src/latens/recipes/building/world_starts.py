"""The closed form of environments: latents are the numbers of a step and their last change, moved by a regression."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from latens.models import StateSpaceModel
from latens.models.heads.base import raw_scale
from latens.models.heads.likelihoods import InUnits, StepColumnsHead
from latens.models.state_space import StepEncoder, value_of
from latens.recipes.parts.state_space_parts import filled_by_changes
from latens.trees import Frozen

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
    from latens.recipes.building.step_starts import _gain

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
