"""A prior by flow matching: noise is carried to latents along a trained velocity, and its density is known."""

import math
from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractReparameterised, StandardNormal
from latens.errors import ConfigError
from latens.models.priors import AbstractModelPrior
from latens.models.semi_supervised import LABEL
from latens.networks import Dense
from latens.trainable import Frozen
from latens.typing import Array, Cond, Float, Key, Nats, PyTree

FREQUENCIES = 4
"""Cosines of the time, and as many sines, that a velocity network reads."""

_CONTEXT = 64
"""Hidden units between time and label and what these do to the layers."""

_HIDDEN = 0.1
"""The share of labels that are hidden in training, for the velocity without a label that guidance needs."""

_TIMES = 4
"""Times, each with noise of its own, at which one draw of q(z | x) is compared in a training step."""


class AbstractVelocity(eqx.Module):
    r"""A velocity $v(z, t)$ of latents in standard units, from time 0 (noise) to time 1."""

    @abstractmethod
    def __call__(self, z: Float[Array, " n"], t: Nats, label: Array | None) -> Float[Array, " n"]:
        """The velocity of one latent."""

    def with_divergence(self, z: Float[Array, " n"], t: Nats, label: Array | None) -> tuple[Array, Nats]:
        r"""The velocity and its divergence $\sum_i \partial v_i / \partial z_i$."""
        # By the whole Jacobian; subclasses override it where there is a formula.
        return self(z, t, label), jnp.trace(jax.jacfwd(self)(z, t, label))


class VelocityNetwork(AbstractVelocity):
    r"""A velocity by two hidden layers, which time and label scale and shift."""

    # $v(z, t) = c(t)\,z + h_2 W_3$ with $h_l = \mathrm{silu}(s_l(t, y) \odot h_{l-1} W_l + b_l(t, y))$ and $h_0 = z$.
    # The first term carries a standard Normal to a standard Normal. Of two layers the divergence is a bilinear form in
    # their slopes: exact for any number of latents, at the cost of the velocity itself.

    first: Float[Array, "n H"]
    second: Float[Array, "H H"]
    last: Float[Array, "H n"]  # starts at 0
    context: Dense  # maps time and label to the scales (less 1) and the shifts of both layers

    @classmethod
    def create(cls, n: int, width: int, classes: int = 0, *, key: Key) -> "VelocityNetwork":
        """Initialise a network of these hidden widths whose velocity is its first term."""
        main, context = jax.random.split(key)
        first, second = Dense([n, width, width], key=main).layers
        read = [2 * FREQUENCIES + classes, _CONTEXT, 4 * width]
        return cls(first.weight, second.weight, jnp.zeros((width, n)), Dense(read, activation="silu", key=context))

    def __call__(self, z: Float[Array, " n"], t: Nats, label: Array | None) -> Float[Array, " n"]:
        """The velocity of one latent."""
        return self._parts(z, t, label)[0]

    def with_divergence(self, z: Float[Array, " n"], t: Nats, label: Array | None) -> tuple[Array, Nats]:
        """The velocity and its divergence."""
        velocity, still, slope, next_slope = self._parts(z, t, label)
        paths = self.second * (self.last @ self.first).T
        return velocity, still * z.size + slope @ paths @ next_slope

    def _parts(self, z: Array, t: Nats, label: Array | None) -> tuple[Array, Array, Array, Array]:
        """The velocity, c(t), and the slope of every unit of both layers."""
        angles = jnp.pi * jnp.arange(1, FREQUENCIES + 1) * t
        read = jnp.concatenate([jnp.cos(angles), jnp.sin(angles), *([] if label is None else [label])])
        scale, shift, next_scale, next_shift = jnp.split(self.context(read), 4)
        hidden, slope = _silu((1.0 + scale) * (z @ self.first) + shift)
        hidden, next_slope = _silu((1.0 + next_scale) * (hidden @ self.second) + next_shift)
        still = (2.0 * t - 1.0) / ((1.0 - t) ** 2 + t**2)
        return still * z + hidden @ self.last, still, (1.0 + scale) * slope, (1.0 + next_scale) * next_slope


def _silu(x: Array) -> tuple[Array, Array]:
    """The activation and its slope."""
    gate = jax.nn.sigmoid(x)
    return x * gate, gate * (1.0 + x * (1.0 - gate))


class ContinuousFlow(AbstractReparameterised[Array]):
    r"""A standard Normal carried along a velocity, then scaled and shifted.

    $\dot z = v(z, t)$ from $z(0) \sim N(0, I)$, and $\log p(z(1)) = \log N(z(0)) - \int_0^1 \nabla \cdot v\,dt$, less
    the logarithms of the scales. Both are solved by Runge-Kutta steps of order 4, whose ends $\sin(\pi u / 2)$ are
    closer together near time 1: a latent of standard deviation 0.1 then has its density within 0.0005 nats.

    Args:
        velocity: The velocity.
        shift: The mean of the latents in their own units.
        scale: Their standard deviations.
        label: The class as a one-hot vector; None where none is read.
        guidance: How far the velocity goes from the one without a label to that of the label, and beyond it above 1.
        steps: The number of steps of the solver.

    Source: Chen et al. (2018), arXiv 1806.07366, section 4, for the density; Ho & Salimans (2022), arXiv 2207.12598,
    for the guidance.
    """

    velocity: AbstractVelocity
    shift: Float[Array, "*z"]
    scale: Float[Array, "*z"]
    label: Float[Array, " C"] | None = None
    guidance: float = eqx.field(static=True, default=1.0)
    steps: int = eqx.field(static=True, default=20)

    def sample_noise(self, *, key: Key) -> Float[Array, "*z"]:
        """Draw from a standard Normal."""
        return jax.random.normal(key, self.shift.shape, self.shift.dtype)

    def from_noise(self, noise: Float[Array, "*z"]) -> Float[Array, "*z"]:
        """The latent to which this noise is carried."""
        return self._latent(self._carried(noise.reshape(-1), density=False)[0])

    def mean(self) -> Float[Array, "*z"]:
        """The image of zero noise: the middle of the distribution, not its expectation."""
        return self.from_noise(jnp.zeros_like(self.shift))

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, "*z"], Nats]:
        """Draw one latent with its log density in nats, by one solution."""
        noise = self.sample_noise(key=key)
        z, grown = self._carried(noise.reshape(-1))
        return self._latent(z), self._log_prob(noise, grown)

    def log_prob(self, event: Float[Array, "*z"]) -> Nats:
        """The log density of one latent, in nats, by the solution back to the noise."""
        noise, shrunk = self._carried(((event - self.shift) / self.scale).reshape(-1), backwards=True)
        return self._log_prob(noise.reshape(event.shape), -shrunk)

    def _latent(self, z: Array) -> Array:
        return self.shift + self.scale * z.reshape(self.shift.shape)

    def _log_prob(self, noise: Array, grown: Nats) -> Nats:
        return StandardNormal(noise.shape).log_prob(noise) - grown - jnp.sum(jnp.log(self.scale))

    def _carried(self, z: Array, *, backwards: bool = False, density: bool = True) -> tuple[Array, Nats]:
        """Where a latent in standard units is carried, and the integral of the divergence on the way."""
        times = jnp.sin(0.5 * jnp.pi * jnp.linspace(0.0, 1.0, self.steps + 1))
        times = times[::-1] if backwards else times

        def given(z: Array, t: Nats, label: Array | None) -> Array:
            if density:
                return jnp.append(*self.velocity.with_divergence(z, t, label))
            return jnp.append(self.velocity(z, t, label), 0.0)

        def rate(state: Array, t: Nats) -> Array:
            told = given(state[:-1], t, self.label)
            if self.label is None or self.guidance == 1.0:
                return told
            untold = given(state[:-1], t, jnp.zeros_like(self.label))
            return untold + self.guidance * (told - untold)

        def step(state: Array, ends: tuple[Nats, Nats]) -> tuple[Array, None]:
            start, size = ends[0], ends[1] - ends[0]
            one = rate(state, start)
            two = rate(state + 0.5 * size * one, start + 0.5 * size)
            three = rate(state + 0.5 * size * two, start + 0.5 * size)
            four = rate(state + size * three, ends[1])
            return state + size / 6.0 * (one + 2.0 * (two + three) + four), None

        state, _ = jax.lax.scan(jax.checkpoint(step), jnp.append(z, 0.0), (times[:-1], times[1:]))
        return state[:-1], state[-1]


class FlowMatching(AbstractModelPrior):
    r"""A prior whose velocity is trained on straight lines from noise to draws of q(z | x).

    $E\,\|v(z_t, t) - (z - z_0)\|^2$ with $z_t = (1 - t) z_0 + t z$, noise $z_0$ and $t$ uniform is smallest where the
    velocity carries noise to the aggregated posterior (`latens refit`); no step of it solves an equation. Beside the
    networks of a model (`prior=flow-matching`) the velocity is trained by the density itself, which does.

    Args:
        velocity: The velocity of latents in standard units.
        shift: The mean of the latents; as an array it is not trained.
        scale: Their standard deviations, likewise.
        classes: The number of classes of a label that is read; 0: none is.
        guidance: See `ContinuousFlow`.
        steps: The number of steps of the solver.

    Source: Lipman et al. (2023), arXiv 2210.02747; Liu, Gong & Liu (2023), arXiv 2209.03003.
    """

    velocity: AbstractVelocity
    shift: Frozen
    scale: Frozen
    classes: int = eqx.field(static=True, default=0)
    guidance: float = eqx.field(static=True, default=1.0)
    steps: int = eqx.field(static=True, default=20)

    @classmethod
    def create(
        cls,
        latent: tuple[int, ...],
        x: PyTree,
        *,
        width: int = 256,
        guidance: float = 1.0,
        steps: int = 20,
        classes: int = 0,
        key: Key,
    ) -> "FlowMatching":
        """Initialise the prior at a standard Normal.

        Args:
            latent: The shape of one latent.
            x: The shape of one event of the data.
            width: The number of units of each hidden layer of the velocity.
            guidance: See `ContinuousFlow`; other than 1 only with classes.
            steps: The number of steps of the solver.
            classes: The number of classes of a label that is read; 0: none is.
            key: A JAX random key for the initialisation.

        Returns:
            The prior.

        Raises:
            ConfigError: There is guidance, and no label.
        """
        if guidance != 1.0 and not classes:
            what = f"guidance of {guidance:g} goes from latents of any class to those of one, and no label is read."
            raise ConfigError(what, where="prior.guidance", fix="Leave it out, or use a model that reads labels.")
        network = VelocityNetwork.create(math.prod(latent), width, classes, key=key)
        return cls(network, Frozen(jnp.zeros(latent)), Frozen(jnp.ones(latent)), classes, guidance, steps)

    def standardised(self, mean: Array, scale: Array) -> "FlowMatching":
        """The same prior in the units of latents with these means and standard deviations.

        Args:
            mean: As many numbers as a latent has.
            scale: Likewise, above 0.

        Returns:
            A new prior.
        """
        units = (mean.reshape(self.shift.value.shape), scale.reshape(self.shift.value.shape))
        return eqx.tree_at(lambda p: (p.shift.value, p.scale.value), self, units)

    def __call__(self, model: object, *, cond: Cond = None, key: Key | None = None) -> ContinuousFlow:
        """The distribution, of the class where it reads one; it does not look at the model."""
        return ContinuousFlow(
            self.velocity, self.shift.value, self.scale.value, self._label(cond), self.guidance, self.steps
        )

    def loss(self, z: Float[Array, "*z"], *, cond: Cond = None, key: Key) -> Float[Array, ""]:
        """The mean squared error of the velocity between noise and a latent, at several times.

        Args:
            z: One draw of q(z | x).
            cond: The conditions of the row.
            key: A JAX random key: of the times, of the noise, and of whether the label is hidden.

        Returns:
            A number of shape (), in squared standard units.
        """
        end, label = ((z - self.shift.value) / self.scale.value).reshape(-1), self._label(cond)
        time_key, noise_key, hide_key = jax.random.split(key, 3)
        # One time in each part of [0, 1]: the mean over them varies less than that of as many draws.
        times = (jnp.arange(_TIMES) + jax.random.uniform(time_key, (_TIMES,))) / _TIMES
        noise = jax.random.normal(noise_key, (_TIMES, end.size))
        if label is not None:
            label = jnp.where(jax.random.bernoulli(hide_key, _HIDDEN), 0.0, label)

        def error(start: Array, t: Nats) -> Array:
            return self.velocity((1.0 - t) * start + t * end, t, label) - (end - start)

        return jnp.mean(jnp.sum(jax.vmap(error)(noise, times) ** 2, axis=1))

    def _label(self, cond: Cond) -> Array | None:
        if not self.classes:
            return None
        if cond is None or LABEL not in cond:
            raise ConfigError("the prior reads the condition 'label', which was not given", where="cond")
        return jnp.asarray(cond[LABEL], jnp.float32)
