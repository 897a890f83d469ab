"""The exact posterior of a linear-Gaussian state-space model: what later steps say of a latent, backwards in time."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from latens.distributions import Affine, DiagonalNormal
from latens.distributions.base import AbstractReparameterised
from latens.distributions.continuous import LOG_2PI
from latens.distributions.triangular import cholesky, solve_columns, solve_lower, solve_transposed
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.state_space import StepDecoder, StepNormals, posterior_of, value_of
from latens.typing import Array, Cond, Float, Key, Mask, Nats, PyTree


class PrecisionNormal(AbstractReparameterised[Array]):
    r"""A Normal by the Cholesky factor of its precision.

    $N(\mu, (U U^\top)^{-1})$ with a lower triangular $U$.

    Args:
        loc: The mean, of shape (k,).
        factor: U, of shape (k, k).
    """

    has_path: ClassVar[bool] = True

    loc: Float[Array, " k"]
    factor: Float[Array, "k k"]

    def sample_noise(self, *, key: Key) -> Float[Array, " k"]:
        """Draw standard Normal noise."""
        return jax.random.normal(key, self.loc.shape, self.loc.dtype)

    def from_noise(self, noise: Float[Array, " k"]) -> Float[Array, " k"]:
        """The event that belongs to this noise."""
        return self.loc + solve_transposed(self.factor, noise)

    def log_volume(self) -> Nats:
        """What the log density of a draw has beside that of its noise."""
        return jnp.sum(jnp.log(jnp.diagonal(self.factor)))

    def log_prob(self, event: Float[Array, " k"]) -> Nats:
        """The log density of one event, in nats."""
        residual = self.factor.T @ (event - self.loc)
        return -0.5 * (jnp.sum(residual**2) + event.size * LOG_2PI) + self.log_volume()

    def mean(self) -> Float[Array, " k"]:
        """The mean."""
        return self.loc

    def kl_from(self, prior: DiagonalNormal) -> Nats:
        """KL from a Normal without correlations, in nats.

        Args:
            prior: The Normal that it is measured from, over the same k latents.

        Returns:
            KL(this || prior).
        """
        rates = jnp.exp(-prior.log_scale_array())
        trace = jnp.sum(solve_columns(self.factor, jnp.diag(rates)) ** 2)
        moved = jnp.sum((rates * (self.loc - prior.loc)) ** 2)
        volumes = self.log_volume() + jnp.sum(prior.log_scale_array())
        return 0.5 * (trace + moved - self.loc.size) + volumes


class ExactSmoother(AbstractModelEncoder):
    r"""The exact $q(z_t \mid z_{t-1}, x)$ of a model that is linear and Gaussian; it has no arrays of its own."""

    def __call__(
        self, model: AbstractLatentModel, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> StepNormals:
        """The posterior of all steps of one row."""
        return posterior_of(self, model, x, cond=cond, mask=mask)

    def messages(self, decoder: StepDecoder, x: Array, mask: Array, inputs: Array, alive: Array) -> tuple[Array, Array]:
        """Precision and shift of what each step and those after it say, of shapes (T, k, k) and (T, k)."""
        noise, rest = _noise_of(decoder), value_of(decoder.rest)
        weight = mask.astype(jnp.float32) * jnp.exp(-2.0 * noise.log_scale_array())
        pushed = inputs @ value_of(decoder.push) + rest[0]
        drift, write, alone = value_of(decoder.drift), value_of(decoder.write), x - value_of(decoder.bias)
        return messages_back(drift, write, jnp.exp(2.0 * rest[1]), weight, alone, pushed)

    def meet(
        self, decoder: StepDecoder, message: PyTree, alive: Array, prior: DiagonalNormal, memory: Array, recalled: Array
    ) -> PrecisionNormal:
        """The posterior of one step."""
        precision, shift = message
        own = jnp.exp(-2.0 * prior.log_scale_array())
        factor = cholesky(precision + jnp.diag(own))
        moved = solve_transposed(factor, solve_lower(factor, shift - precision @ prior.loc))
        return PrecisionNormal(prior.loc + moved, factor)


def _noise_of(decoder: StepDecoder) -> DiagonalNormal:
    """The noise of a step, in the unit in which the model reads it."""
    made: Any = decoder.head(value_of(decoder.bias))
    base: Any = made.base if isinstance(made, Affine) else made
    return base


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
