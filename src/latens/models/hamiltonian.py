"""A posterior that moves: leapfrog steps on the model's own joint density, from the encoder's sample and a momentum."""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution, StandardNormal
from latens.errors import ConfigError
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.conditional import Conditional
from latens.typing import Array, Cond, Float, Key, Nats

LARGEST_STEP = 0.5
"""No step size is learned beyond this: leapfrog steps explode where a step times the curvature's root is above 2."""


def temperings(log_temperature: Float[Array, ""], num_steps: int) -> Float[Array, " K"]:
    r"""What each leapfrog step multiplies the momentum by."""
    # $\sqrt{\beta_{k-1}/\beta_k}$; together $\sqrt{\beta_0}$.
    start = jnp.exp(-0.5 * log_temperature)
    share = (jnp.arange(num_steps + 1, dtype=start.dtype) / num_steps) ** 2
    roots = (1.0 - start) * share + start
    return roots[1:] / roots[:-1]


def along_draws_only(kind: str) -> ConfigError:
    """The error that says why the density of an event from elsewhere is refused."""
    return ConfigError(
        f"the density of a {kind} posterior is known along its own draws only.",
        where="posterior.kind",
        fix="Use an objective that takes draws with their density, such as elbo (kl=sampled), iwae or renyi.",
    )


def log_joint(q: Any, z: Float[Array, "*z"]) -> Nats:
    r"""The log joint density of a latent and the row that a posterior was made for."""
    # $\log p(x, z)$.
    log_prior, log_likelihood = q.model.log_joint(z, q.x, cond=q.cond, mask=q.mask, key=q.key)
    return log_prior + log_likelihood


class HamiltonianPosterior(AbstractDistribution[Array]):
    r"""The latent after leapfrog steps from an encoder's sample and a random momentum.

    $z_K$ of $(z_K, \rho_K)$, after K steps from $z_0 \sim q_0$ and $\rho_0 \sim N(0, 1/\beta_0)$. A step is $\rho' =
    \rho + \frac\epsilon2\nabla\log p(x, z)$, $z \leftarrow z + \epsilon\rho'$, $\rho'' = \rho' +
    \frac\epsilon2\nabla\log p(x, z)$ and the tempering $\rho \leftarrow \sqrt{\beta_{k-1}/\beta_k}\,\rho''$, with
    $\beta_K = 1$ and $\beta_k^{-1/2} = (1 - \beta_0^{-1/2}) k^2/K^2 + \beta_0^{-1/2}$. The steps keep volumes; all
    temperings together multiply them by $\beta_0^{d/2}$.

    `sample_and_log_prob` gives $z_K$ and $\log q_0(z_0) + \log N(\rho_0; 0, 1/\beta_0) - \frac d2\log\beta_0 - \log
    N(\rho_K; 0, 1)$: with it the mean of $p(x, z_K)$ over it is $p(x)$, so every importance-weighted bound holds, and
    the ELBO is the one on the space of both. The density of $z_K$ alone would need an integral over momenta.

    Args:
        base: The distribution $q_0$ of the first sample.
        model: The model whose joint density with `x` gives the gradient.
        x: The row that the posterior is for.
        cond: Named arrays that the model is conditioned on, or None.
        mask: True where `x` is observed, or None.
        key: A JAX random key for dropout in the model, or None.
        step_size: The step sizes $\epsilon$, of shape (*z).
        log_temperature: $\log\beta_0 \le 0$, of shape ().
        num_steps: The number K of steps.

    Source: Caterini, Doucet & Sejdinovic (2018), arXiv 1805.11328.
    """

    has_path: ClassVar[bool] = True

    density_elsewhere: ClassVar[bool] = False

    base: AbstractDistribution
    model: AbstractLatentModel
    x: Any
    cond: Any
    mask: Any
    key: Key | None
    step_size: Float[Array, "*z"]
    log_temperature: Float[Array, ""]
    num_steps: int = eqx.field(static=True)

    def sample(self, *, key: Key) -> Float[Array, "*z"]:
        """Draw one latent."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, "*z"], Nats]:
        """Draw one latent with the number, in nats, that stands for its log density in every bound."""
        base_key, momentum_key = jax.random.split(key)
        z, log_base = self.base.sample_and_log_prob(key=base_key)
        noise = jax.random.normal(momentum_key, z.shape, z.dtype)
        standard = StandardNormal(z.shape)
        z, momentum = self.moved(z, noise * jnp.exp(-0.5 * self._log_temperature()))
        # log N(rho_0; 0, 1/beta_0) is log N(noise) + d/2 log beta_0, and the log determinant takes that away again.
        return z, log_base + standard.log_prob(noise) - standard.log_prob(momentum)

    def moved(self, z: Float[Array, "*z"], momentum: Float[Array, "*z"]) -> tuple[Array, Array]:
        r"""The latent and momentum after all steps.

        $(z_K, \rho_K)$ from $(z_0, \rho_0)$; its Jacobian has the determinant $\beta_0^{d/2}$.

        Args:
            z: The first latent, of shape (*z).
            momentum: The first momentum, of shape (*z).

        Returns:
            The last latent and the last momentum, both of shape (*z).
        """
        half = 0.5 * self.step_size

        def step(carry: tuple[Array, Array, Array], scaling: Array) -> tuple[tuple[Array, Array, Array], None]:
            z, momentum, slope = carry
            momentum = momentum + half * slope
            z = z + self.step_size * momentum
            slope = self._slope(z)
            return (z, scaling * (momentum + half * slope), slope), None

        if self.num_steps == 0:
            return z, momentum
        # The slope at the end of a step is that at the start of the next one: K + 1 of them in all.
        scalings = temperings(self.log_temperature, self.num_steps)
        (z, momentum, _), _ = jax.lax.scan(step, (z, momentum, self._slope(z)), scalings)
        return z, momentum

    def log_prob(self, event: Float[Array, "*z"]) -> Nats:
        """Refuse: the density is known along the posterior's own samples only.

        Args:
            event: One latent of shape (*z).

        Raises:
            ConfigError: Always.
        """
        raise along_draws_only("Hamiltonian")

    def mean(self) -> Float[Array, "*z"]:
        """Where the base's mean moves to without a momentum: the middle of the samples, not their expectation.

        Returns:
            Shape (*z).
        """
        base: Any = self.base
        middle = base.mean()
        return self.moved(middle, jnp.zeros_like(middle))[0]

    def _log_temperature(self) -> Float[Array, ""]:
        return self.log_temperature if self.num_steps else jnp.zeros_like(self.log_temperature)

    def _slope(self, z: Float[Array, "*z"]) -> Float[Array, "*z"]:
        return jax.grad(lambda z: log_joint(self, z))(z)


class Hamiltonian(AbstractModelEncoder):
    """Leapfrog steps after an encoder.

    Their sizes (one for each latent dimension) and the first temperature are trained with the model.

    Args:
        encoder: The encoder of the first sample.
        raw_step: The logits of step size / `LARGEST_STEP`, of shape (*z).
        raw_temperature: The logit of the first temperature, of shape ().
        num_steps: The number K of steps.
    """

    encoder: Conditional
    raw_step: Float[Array, "*z"]
    raw_temperature: Float[Array, ""]
    num_steps: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, encoder: Conditional, *, steps: int = 3, step_size: float = 0.05, temperature: float = 0.5
    ) -> "Hamiltonian":
        r"""Put leapfrog steps after an encoder.

        Args:
            encoder: The encoder of the first sample.
            steps: The number of steps.
            step_size: What all step sizes start at, between 0 and `LARGEST_STEP`.
            temperature: What the first temperature $\beta_0$ starts at.

        Returns:
            The encoder with its steps.

        Raises:
            ConfigError: A value is out of its range.
        """
        if not 0.0 < step_size < LARGEST_STEP:
            what = f"a first step size of {step_size}; it lies between 0 and {LARGEST_STEP}."
            raise ConfigError(what, where="posterior.step_size", fix="Use 0.05.")
        if not 0.0 < temperature < 1.0:
            what = f"a first temperature of {temperature}; it lies between 0 and 1."
            raise ConfigError(what, where="posterior.temperature", fix="Use 0.5.")
        logit = lambda share: math.log(share) - math.log1p(-share)  # noqa: E731
        raw_step = jnp.full(encoder.head.shape, logit(step_size / LARGEST_STEP))
        return cls(encoder, raw_step, jnp.asarray(logit(temperature)), steps)

    def __call__(
        self, model: AbstractLatentModel, x: Any, *, cond: Cond = None, mask: Any = None, key: Key | None = None
    ) -> HamiltonianPosterior:
        """The posterior of one row, which holds the model and the row."""
        base = self.encoder(x, cond=cond, mask=mask, key=key)
        step_size = LARGEST_STEP * jax.nn.sigmoid(self.raw_step)
        log_temperature = jax.nn.log_sigmoid(self.raw_temperature)
        return HamiltonianPosterior(base, model, x, cond, mask, key, step_size, log_temperature, self.num_steps)
