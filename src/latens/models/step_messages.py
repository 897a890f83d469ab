"""What the later steps of a row say of each latent, in a linear-Gaussian state-space model: messages back in time."""

import jax
import jax.numpy as jnp

from latens.typing import Array, Float


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
) -> tuple[Float[Array, "T k k"], Float[Array, "T k"]]:
    r"""What each step and those behind it say of its latent, as a precision and a shift of it."""
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
        return (back, drift @ (moved - kept @ pushed)), own

    nothing = jnp.zeros((size, size)), jnp.zeros(size)
    return jax.lax.scan(step, nothing, (weight, said, pushed), reverse=True)[1]
