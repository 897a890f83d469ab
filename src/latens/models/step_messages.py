"""What the later steps of a row say of each latent, in a linear-Gaussian state-space model: messages back in time."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from latens.trees import Frozen, value_of
from latens.typing import Array, Float


class Said(NamedTuple):
    """What is said of each latent, as a precision and a shift of it, and that precision through the noise before it."""

    precision: Float[Array, "T k k"]
    shift: Float[Array, "T k"]
    kept: Float[Array, "T k k"]


class Linear(NamedTuple):
    r"""The posterior of a step of a linear model, relative to its prior: $m + G (x - C m) + s - B m$, of mean m."""

    gain: Float[Array, "T d k"]  # G transposed
    shift: Float[Array, "T k"]  # s, of the later steps
    pull: Float[Array, "T k k"]  # B, of the later steps
    precision: Float[Array, "T k"]  # what the later steps say of each latent, beside what the step says itself


def through_noise(
    precision: Float[Array, "k k"], shift: Float[Array, " k"], variance: Float[Array, " k"]
) -> tuple[Float[Array, "k k"], Float[Array, " k"]]:
    r"""What a Normal says of a number before noise: $(\Lambda^{-1} + Q)^{-1}$ and $(I + \Lambda Q)^{-1} \eta$."""
    # One update of rank one for each latent: a precision may be singular, as that behind the last step.

    def one(i: Array, both: Array) -> Array:
        row = both[i]
        return both - variance[i] / (1.0 + variance[i] * row[i]) * row[:-1, None] * row

    both = jax.lax.fori_loop(0, len(shift), one, jnp.concatenate([precision, shift[:, None]], axis=1))
    return both[:, :-1], both[:, -1]


def messages_back(
    drift: Float[Array, "k k"],
    write: Float[Array, "k d"],
    variance: Float[Array, " k"],
    weight: Float[Array, "T d"],
    x: Float[Array, "T d"],
    pushed: Float[Array, "T k"],
) -> tuple[Said, Said]:
    r"""What the steps behind each one say of its latent, and the same with what it says itself."""
    # They are exp(eta_t' z - z' Lambda_t z / 2) of z_t, for z_t = A z_(t-1) + c_t + Q^(1/2) e and x_t = C z_t with
    # noise of precision `weight`, which is 0 where a cell was not observed; `drift` and `write` are A and C transposed.
    # Source: Kalman (1960); the information form: Fraser & Potter (1969).
    size = drift.shape[0]
    said = (weight * x) @ write.T  # of each step by itself

    @jax.checkpoint  # its gradient keeps one matrix a step, not one for each latent of it
    def step(carry: tuple, at: tuple) -> tuple[tuple, tuple]:
        (precision, shift), (weight, said, pushed) = carry, at
        own = precision + (write * weight) @ write.T, shift + said
        kept, moved = through_noise(*own, variance)
        back = 0.5 * drift @ (kept + kept.T) @ drift.T
        return (back, drift @ (moved - kept @ pushed)), (Said(precision, shift, kept), Said(own[0], own[1], kept))

    nothing = jnp.zeros((size, size)), jnp.zeros(size)
    return jax.lax.scan(step, nothing, (weight, said, pushed), reverse=True)[1]


def smoothed(
    later: Said,
    write: Float[Array, "k d"],
    variance: Float[Array, " k"],
    first: Float[Array, " k"],
    weight: Float[Array, "T d"],
) -> Linear:
    """The posterior of every step, given the one before it and all that follows."""
    own = later.precision[0] + (write * weight[0]) @ write.T
    kept = later.kept.at[0].set(through_noise(own, later.shift[0], first)[0])
    scale = jnp.broadcast_to(variance, later.shift.shape).at[0].set(first)
    # (Q^-1 + Lambda)^-1 = Q - Q (Lambda^-1 + Q)^-1 Q
    covariance = jax.vmap(jnp.diag)(scale) - scale[:, :, None] * kept * scale[:, None]
    gain = jnp.einsum("tkj,jd,td->tdk", covariance, write, weight)
    shift = jnp.einsum("tkj,tj->tk", covariance, later.shift)
    return Linear(gain, shift, covariance @ later.precision, jnp.diagonal(later.precision, axis1=1, axis2=2))


def linear_posterior(
    decoder: Any,
    moved: Frozen,
    noise: Frozen,
    x: Float[Array, "T d"],
    seen: Float[Array, "T d"],
    inputs: Float[Array, "T a"],
) -> Linear:
    """The posterior of every step in the linear part of a model, through which no gradient goes."""
    names = ("drift", "push", "rest", "first", "write", "bias", "lagged")
    of = jax.lax.stop_gradient({name: value_of(getattr(decoder, name)) for name in names})
    (steps, d), variance, left = x.shape, *jax.lax.stop_gradient((moved.value, noise.value))
    write, expected, unsure = of["write"][:, :d], of["bias"][:d], 0.0
    if decoder.lags:
        before = lambda rows: [jnp.zeros_like(rows).at[lag:].set(rows[: steps - lag]) for lag in decoder.lags]  # noqa: E731
        early = (jnp.arange(steps)[:, None] < jnp.array(decoder.lags)).astype(jnp.float32)
        outputs = jnp.concatenate([*before(x), early], axis=1) @ of["lagged"]
        expected = expected + outputs[:, :d]
        if outputs.shape[1] == 2 * d:  # scales, which are wider before a lag is there
            left = left * jnp.exp(2.0 * outputs[:, d:])
        # What is read of a cell that was not seen is 0, and has the variance of its column, which is 1.
        unsure = jnp.concatenate(before(1.0 - seen), axis=1) @ of["lagged"][: -len(decoder.lags), :d] ** 2
    pushed = inputs @ of["push"] + of["rest"][0]
    later, _ = messages_back(of["drift"], write, variance, seen / (left + unsure), x - expected, pushed)
    weight = seen / left
    if decoder.lags:  # at its own step the model knows what it reads
        own = jnp.einsum("kd,td,jd->tkj", write, weight, write)
        kept = jax.vmap(lambda a, b: through_noise(a, b, variance)[0])(later.precision + own, later.shift)
        later = later._replace(kept=kept)
    return smoothed(later, write, variance, jnp.exp(2.0 * of["first"][1]), weight)
