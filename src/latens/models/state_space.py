"""A latent for every step: prior, posterior and likelihood of a sequence are one walk along its steps.

Of linear-Gaussian models the posterior is exact: what later steps say of a latent, backwards in time.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import (
    AbstractDistribution,
    AbstractReparameterised,
    Affine,
    DiagonalNormal,
    StandardNormal,
    kl,
    log_prob,
)
from latens.distributions.continuous import LOG_2PI
from latens.distributions.steps import Steps, key_of_step
from latens.distributions.triangular import cholesky, solve_columns, solve_lower, solve_transposed
from latens.errors import ConfigError
from latens.models.base import AbstractJointModel, AbstractLatentModel, AbstractModelEncoder, Joint
from latens.models.conditional import LatentModel
from latens.models.heads.base import AbstractHead, bounded
from latens.models.priors import AbstractModelPrior
from latens.networks.dense import Dense
from latens.networks.token_networks import GRU, scanned
from latens.trainable import Frozen, value_of
from latens.typing import Array, Bool, Cond, Float, Int, Key, Mask, Nats, PyTree, Shaped

INPUTS = "inputs"
"""The name of what is given at every step, as the actions of an environment: an array (T, a)."""


class StepState(NamedTuple):
    """What the next step of a sequence depends on.

    Args:
        memory: The state of the recurrent unit, of shape (n,); n is 0 for a model without one.
        z: The latent of the last step, of shape (k,).
        seen: The last steps themselves, standardised, the latest one last, of shape (L, d); L is 0 where none is read.
        number: How many steps there were.
    """

    memory: Float[Array, " n"]
    z: Float[Array, " k"]
    seen: Float[Array, "L d"]
    number: Int[Array, ""]


class StepNormal(DiagonalNormal):
    """The Normal of one step."""

    def log_volume(self) -> Nats:
        """What the log density of a draw has beside that of its noise."""
        return -jnp.sum(self.log_scale_array())

    def kl_from(self, prior: DiagonalNormal) -> Nats:
        """KL from the prior of the step, in nats."""
        return kl(DiagonalNormal(self.loc, self.log_scale), DiagonalNormal(prior.loc, prior.log_scale))


class StepDecoder(eqx.Module):
    """The prior of a step given the state, and the likelihood of the step given its latent."""

    cell: Any
    first: Float[Array, "2 k"] | Frozen
    drift: Float[Array, "k k"] | Frozen
    push: Float[Array, "a k"] | Frozen
    rest: Float[Array, "2 k"] | Frozen
    change: Any
    write: Float[Array, "k n_out"] | Frozen
    lagged: Float[Array, "l n_out"] | Frozen
    bias: Float[Array, " n_out"] | Frozen
    say: Callable[..., Array] | None
    head: AbstractHead
    standardise: Callable[..., Array] | None = None
    lags: tuple[int, ...] = eqx.field(static=True, default=())

    @property
    def latent_size(self) -> int:
        """How many numbers the latent of a step has."""
        return value_of(self.rest).shape[1]

    @property
    def action_size(self) -> int:
        """How many numbers are given at every step."""
        return value_of(self.push).shape[0]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one step."""
        return self.head.shape

    def start(self) -> StepState:
        """The state before the first step."""
        units = 0 if self.cell is None else self.cell.state.weight.shape[0]
        seen = jnp.zeros((max(self.lags, default=0), *self.event_shape))
        return StepState(jnp.zeros(units), jnp.zeros(self.latent_size), seen, jnp.asarray(0))

    def inputs_of(self, cond: Cond, steps: int) -> Float[Array, "T a"]:
        """What is given at every step; ConfigError where the model reads it and there is none."""
        if not self.action_size:
            return jnp.zeros((steps, 0))
        if cond is None or INPUTS not in cond:
            what = f"the model reads {self.action_size} numbers at every step, which were not given."
            raise ConfigError(what, where=f"cond[{INPUTS!r}]", fix="Give data with the same --input columns.")
        return jnp.asarray(cond[INPUTS], jnp.float32).reshape(-1, self.action_size)

    def seen(self, x: Shaped[Array, "*d"]) -> Float[Array, "*d"]:
        """A step as the model reads it."""
        return jnp.asarray(x, jnp.float32) if self.standardise is None else self.standardise(x)

    def recalled(self, state: StepState) -> Float[Array, " l"]:
        """The earlier steps that are read, as one vector: 0 and a flag for each that was not yet there."""
        if not self.lags:
            return jnp.zeros(0)
        early = (state.number < jnp.array(self.lags)).astype(jnp.float32)
        return jnp.concatenate([*(state.seen[-lag].reshape(-1) for lag in self.lags), early])

    def remember(self, state: StepState, action: Float[Array, " a"]) -> Float[Array, " n"]:
        """The state of the recurrent unit at the next step."""
        if self.cell is None:
            return state.memory
        gates = self.cell.inputs(jnp.concatenate([state.z, action, self.recalled(state)]))
        return self.cell.step(gates, state.memory)

    def prior(self, state: StepState, memory: Float[Array, " n"], action: Float[Array, " a"]) -> StepNormal:
        """The prior of the next latent."""
        rest, begun = value_of(self.rest), value_of(self.first)
        loc, log_scale = state.z @ value_of(self.drift) + action @ value_of(self.push) + rest[0], rest[1]
        if self.change is not None:
            read = memory if self.cell is not None else jnp.concatenate([state.z, action])
            moved, wider = jnp.split(self.change(read), 2)
            loc, log_scale = loc + moved, log_scale + bounded(wider)
        first = lambda row, later: jnp.where(state.number > 0, later, begun[row])  # noqa: E731
        return StepNormal(first(0, loc), first(1, log_scale))

    def linear_outputs(self, z: Float[Array, " k"], recalled: Float[Array, " l"]) -> Float[Array, " n_out"]:
        """The outputs of a step as far as they are linear."""
        outputs = z @ value_of(self.write) + value_of(self.bias)
        return outputs + recalled @ value_of(self.lagged) if self.lags else outputs

    def outputs(
        self, memory: Float[Array, " n"], z: Float[Array, " k"], recalled: Float[Array, " l"]
    ) -> Float[Array, " n_out"]:
        """What the head of a step reads."""
        outputs = self.linear_outputs(z, recalled)
        return outputs if self.say is None else outputs + self.say(jnp.concatenate([memory, z]))

    def emission(self, memory: Array, z: Array, recalled: Array) -> AbstractDistribution:
        """The distribution of a step."""
        return self.head(self.outputs(memory, z, recalled))

    def next_state(self, state: StepState, memory: Array, z: Array, x: Array | None) -> StepState:
        """The state after a step; x is that step where the model reads earlier ones."""
        seen = state.seen
        if self.lags:
            assert x is not None
            seen = jnp.concatenate([seen[1:], self.seen(x)[None]])
        return StepState(memory, z, seen, state.number + 1)

    def __call__(self, z: Float[Array, "T k_and_d"], *, cond: Cond = None, key: Key | None = None) -> Steps:
        """The distribution of a row, given its latents."""
        walk = StepNormals(self, self.inputs_of(cond, len(z))).walk(event=z)
        return Steps(self.head, walk.outputs, walk.fill if self.lags else None)


class StepPass(NamedTuple):
    """What a walk along the steps met; every array is led by T, but for the last state."""

    z: Array  # the latents
    fill: Array  # what was drawn of every step itself, where the model reads earlier ones
    outputs: Array  # what the head reads
    log_posterior: Array  # the log density of the latents, and of what was drawn of the steps, in nats
    log_prior: Array  # the same under the prior
    kl: Array  # of the latents' own Normals from their priors
    state: StepState  # the state after the last step


class StepNormals(AbstractReparameterised[Array]):
    r"""Normals of every step, each given the steps before it.

    $\prod_t p(z_t \mid z_{<t}, a_{\le t})$, or with a meeting $\prod_t q(z_t \mid z_{<t}, x, a)$. An event has shape
    (T, k). Of a model that reads earlier steps it is (T, k + d): behind the latents stands the step itself, drawn from
    the likelihood where it was not observed. A cell that is drawn has the same density under q and p, so that weights
    stay what they are.

    Args:
        decoder: The priors of the steps.
        inputs: What is given at every step, of shape (T, a).
        encoder: The posterior of a step; None: its prior.
        messages: What the encoder read, led by T.
        alive: Whether a step or one after it was observed, of shape (T,).
        x: The row, of shape (T, d), where the model reads earlier steps; None: none was observed.
        mask: True where x is observed; None: everywhere.
        held: Which steps the state that is left goes along; None: all.
    """

    has_path: ClassVar[bool] = True

    decoder: StepDecoder
    inputs: Float[Array, "T a"]
    encoder: Any = None
    messages: Any = None
    alive: Bool[Array, " T"] | None = None
    x: Shaped[Array, "T d"] | None = None
    mask: Bool[Array, "T d"] | None = None
    held: Bool[Array, " T"] | None = None

    @property
    def density_elsewhere(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the density of a draw of the prior is known too: not where it belongs to the observed steps."""
        return not self.decoder.lags

    @property
    def steps(self) -> int:
        """T."""
        return self.inputs.shape[0]

    def walk(self, *, noise: PyTree[Array] = None, event: Array | None = None, outputs: bool = True) -> StepPass:
        """Go along the steps with the latents of some noise, or with those of an event.

        Args:
            noise: As `sample_noise` gives it.
            event: One event, where there is no noise.
            outputs: Whether what the heads read is needed.

        Returns:
            What was met.
        """
        decoder, size, reads = self.decoder, self.decoder.latent_size, bool(self.decoder.lags)
        alive = jnp.full(self.steps, self.encoder is not None) if self.alive is None else self.alive

        def step(state: StepState, at: tuple) -> tuple[StepState, StepPass]:
            action, message, alive, x, mask, noise, event, held = at
            memory, recalled = decoder.remember(state, action), decoder.recalled(state)
            prior = decoder.prior(state, memory, action)
            own: Any = prior
            x_key = None
            if self.encoder is not None:
                own = self.encoder.meet(decoder, message, alive, prior, memory, recalled)
            if event is not None:
                z = event[:size]
                log_posterior = own.log_prob(z)
            else:
                normal, x_key = noise if reads else (noise, None)
                z = own.from_noise(normal)
                log_posterior = StandardNormal(normal.shape).log_prob(normal) + own.log_volume()
            log_prior = prior.log_prob(z)
            log_posterior = jnp.where(alive, log_posterior, log_prior)
            divergence = jnp.where(alive, own.kl_from(prior), 0.0)
            fill, given, kept = jnp.zeros(0), jnp.zeros(0), None
            if reads:
                given = decoder.outputs(memory, z, recalled)
                emission = decoder.head(given)
                fill = _drawn(emission, x_key) if event is None else event[size:].reshape(decoder.event_shape)
                missing = jnp.ones(fill.shape, bool) if x is None else ~mask
                kind = jax.eval_shape(lambda k, e=emission: e.sample(key=k), jax.random.key(0)).dtype
                density = log_prob(emission, fill.astype(kind), missing)
                log_prior, log_posterior = log_prior + density, log_posterior + density
                fill = kept = fill if x is None else jnp.where(mask, x, fill)
            after = decoder.next_state(state, memory, z, kept)
            state = after if held is None else jax.tree.map(lambda new, old: jnp.where(held, new, old), after, state)
            return state, StepPass(z, fill, given if reads else memory, log_posterior, log_prior, divergence, ())  # pyright: ignore[reportArgumentType]

        if self.encoder is None and event is None and noise is None:
            raise TypeError("a walk needs noise or an event")
        x, mask = self.x if reads else None, self.mask
        if x is not None:
            mask = jnp.ones(x.shape, bool) if mask is None else mask
            x = jnp.where(mask, x, jnp.zeros_like(x))
        at = (self.inputs, self.messages, alive, x, mask if reads else None, noise, event, self.held)
        state, walk = scanned(step, decoder.start(), at)
        if not reads and outputs:
            # The products that no later step waits for are taken of all steps at once.
            nothing = jnp.zeros((self.steps, 0))
            walk = walk._replace(outputs=jax.vmap(decoder.outputs)(walk.outputs, walk.z, nothing))
        return walk._replace(state=state)

    def event_of(self, walk: StepPass) -> Float[Array, "T k_and_d"]:
        """The event of a walk.

        Args:
            walk: What a walk along the steps found.

        Returns:
            The latents, beside what filled the gaps where earlier steps are read.
        """
        if not self.decoder.lags:
            return walk.z
        return jnp.concatenate([walk.z, walk.fill.reshape(self.steps, -1)], axis=1)

    def sample_noise(self, *, key: Key) -> Any:
        """Draw the noise of every step: that of the first steps is the same whatever follows."""
        normal = jax.random.normal(key, (self.steps, self.decoder.latent_size))
        if not self.decoder.lags:
            return normal
        x_key = jax.random.fold_in(key, 1)
        return normal, jax.vmap(lambda t: key_of_step(x_key, t))(jnp.arange(self.steps))

    def from_noise(self, noise: PyTree[Array]) -> Float[Array, "T k_and_d"]:
        """The event that belongs to this noise, each step given those before it."""
        return self.event_of(self.walk(noise=noise, outputs=False))

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, "T k_and_d"], Nats]:
        """Draw one event with its log density in nats."""
        walk = self.walk(noise=self.sample_noise(key=key), outputs=False)
        return self.event_of(walk), jnp.sum(walk.log_posterior)

    def log_prob(self, event: Float[Array, "T k_and_d"]) -> Nats:
        """The log density of one event, in nats."""
        return jnp.sum(self.walk(event=event, outputs=False).log_posterior)

    def sample_at(self, temperature: float, *, key: Key) -> Float[Array, "T k_and_d"]:
        """Draw one event with the noise of the latents multiplied by the temperature."""
        noise = self.sample_noise(key=key)
        scaled = (temperature * noise[0], noise[1]) if self.decoder.lags else temperature * noise
        return self.from_noise(scaled)

    def mean(self) -> Float[Array, "T k_and_d"]:
        """The mean of the first step, and of each next one given the means before it."""
        still = jnp.zeros((self.steps, self.decoder.latent_size))
        return self.from_noise((still, None) if self.decoder.lags else still)


def _drawn(emission: Any, key: Key | None) -> Array:
    """A draw of a step, its mean without a key; discrete draws let no gradient through."""
    if key is None:
        return emission.mean()
    x = jnp.asarray(emission.sample(key=key), jnp.float32)
    return x if emission.without_path(x) is None else jax.lax.stop_gradient(x)


Reads = Literal["all", "past"]


class StepEncoder(AbstractModelEncoder):
    """The posterior of a step relative to its prior, by a unit that reads the row from its end, or from its start."""

    cell: GRU
    change: Dense
    gain: Float[Array, "d k"] | Frozen
    log_precision: Float[Array, "d k"]
    reads: Reads = eqx.field(static=True, default="all")
    logits: bool = eqx.field(static=True, default=False)
    blind: tuple[int, ...] = eqx.field(static=True, default=())
    scaled: bool = eqx.field(static=True, default=False)

    def __call__(
        self, model: AbstractLatentModel, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> StepNormals:
        """The posterior of all steps of one row."""
        return posterior_of(self, model, x, cond=cond, mask=mask)

    def messages(self, decoder: StepDecoder, x: Array, mask: Array, inputs: Array, alive: Array) -> tuple[Any, ...]:
        """What is read of the row for every step, with the step itself."""
        steps = len(x)
        flat, seen = x.reshape(steps, -1), mask.reshape(steps, -1).astype(jnp.float32)
        if self.blind:
            blind = jnp.array(self.blind)
            flat, seen = flat.at[:, blind].set(0.0), seen.at[:, blind].set(0.0)
        gates = self.cell.inputs(jnp.concatenate([flat, seen, inputs], axis=1))

        def step(state: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
            gate, alive = at
            state = jnp.where(alive, self.cell.step(gate, state), state)
            return state, state

        nothing = jnp.zeros(self.cell.state.weight.shape[0])
        return scanned(step, nothing, (gates, alive), reverse=self.reads == "all")[1], flat, seen

    def meet(
        self, decoder: StepDecoder, message: PyTree, alive: Array, prior: DiagonalNormal, memory: Array, recalled: Array
    ) -> StepNormal:
        """The posterior of one step."""
        read, x, seen = message
        expected = decoder.linear_outputs(prior.loc, recalled)[: x.size]
        expected = jax.nn.sigmoid(expected) if self.logits else expected
        moved, wider = jnp.split(self.change(jnp.concatenate([read, memory, prior.loc])), 2)
        scale = jnp.exp(prior.log_scale)
        narrower = 0.5 * jnp.log1p(scale**2 * (seen @ jnp.exp(self.log_precision)))
        unit = scale * jnp.exp(-narrower) if self.scaled else scale
        loc = prior.loc + (seen * (x - expected)) @ value_of(self.gain) + unit * moved
        log_scale = prior.log_scale - narrower + bounded(wider)
        return StepNormal(jnp.where(alive, loc, prior.loc), jnp.where(alive, log_scale, prior.log_scale))


def posterior_of(encoder: Any, model: Any, x: PyTree, *, cond: Cond, mask: Mask) -> StepNormals:
    """The posterior of all steps, from what an encoder reads of the row."""
    decoder: StepDecoder = model.decoder
    steps = len(x)
    inputs = decoder.inputs_of(cond, steps)
    # Before and after: a NaN in a missing cell must reach neither the value nor a gradient.
    known = jnp.ones(x.shape, bool) if mask is None else jnp.asarray(mask, bool)
    row = jax.vmap(decoder.seen)(jnp.where(known, x, jnp.zeros_like(x)))
    row = jnp.where(known, row, 0.0)
    observed = jnp.any(known.reshape(steps, -1), axis=1)
    alive = jnp.flip(jax.lax.cummax(jnp.flip(observed.astype(jnp.int32)))) > 0
    messages = encoder.messages(decoder, row, known, inputs, alive)
    return StepNormals(decoder, inputs, encoder, messages, alive, jnp.asarray(x) if decoder.lags else None, known)


class StepPrior(AbstractModelPrior):
    """The prior that the model's decoder holds, of a number of steps; it has no arrays of its own.

    Args:
        steps: The number of steps where the conditions do not say it.
    """

    steps: int = eqx.field(static=True)

    def __call__(self, model: Any, *, cond: Cond = None, key: Key | None = None) -> StepNormals:
        """The prior of all steps."""
        return StepNormals(model.decoder, model.decoder.inputs_of(cond, self.steps))


class StateSpaceModel(LatentModel, AbstractJointModel):
    r"""A latent-variable model of sequences with a latent for every step.

    $p(x, z) = \prod_t p(z_t \mid z_{<t}, x_{<t}, a_{\le t})\, p(x_t \mid z_{\le t}, x_{<t}, a_{\le t})$. Rows are
    arrays (T, d), with a mask where not all of it was observed; no array of the model depends on T. What lies after the
    last observed step is a sample of the model: padding, a shorter row and a forecast are one thing.

    Source: Krishnan, Shalit & Sontag (2017), arXiv 1609.09869; Chung et al. (2015), arXiv 1506.02216; Hafner et al.
    (2019), arXiv 1811.04551.
    """

    def start(self) -> StepState:
        """The state before the first step.

        Returns:
            The state.
        """
        return _decoder(self).start()

    def step(
        self, state: StepState, action: Float[Array, " a"] | None = None, *, key: Key, temperature: float = 1.0
    ) -> tuple[StepState, Shaped[Array, "*d"]]:
        """Draw the next step: a pure function, for `jax.jit`, `jax.vmap` and `jax.lax.scan`.

        Args:
            state: The state, of `start`, `after` or the last call.
            action: What is given at this step, of shape (a,); None for a model that reads nothing.
            key: A JAX random key.
            temperature: What the noise of the latent, and of a likelihood that has a temperature, is multiplied by.

        Returns:
            The state after the step, and the step, of shape (*d), in the unit of the data.
        """
        z_key, x_key = jax.random.split(key)
        memory, z, emission = self._ahead(state, action, z_key, temperature)
        try:
            x = emission.sample(key=x_key) if temperature is None else emission.sample_at(temperature, key=x_key)
        except TypeError:  # a family without a temperature
            x = emission.sample(key=x_key)
        return _decoder(self).next_state(state, memory, z, x), x

    def ahead(
        self, state: StepState, action: Float[Array, " a"] | None = None, *, key: Key, temperature: float = 1.0
    ) -> tuple[StepState, AbstractDistribution]:
        """Draw the latent of the next step, and give the distribution of the step.

        Args:
            state: The state, of `start`, `after` or the last call.
            action: What is given at this step, of shape (a,); None for a model that reads nothing.
            key: A JAX random key.
            temperature: What the noise of the latent is multiplied by.

        Returns:
            The state after the step, and the distribution of the step.

        Raises:
            ConfigError: The model reads earlier steps: its next state depends on what is drawn (`step`).
        """
        if _decoder(self).lags:
            what = "the next state of a model that reads earlier steps depends on the step that is drawn."
            raise ConfigError(what, where="model", fix="Use step.")
        memory, z, emission = self._ahead(state, action, key, temperature)
        return _decoder(self).next_state(state, memory, z, None), emission

    def _ahead(self, state: StepState, action: Array | None, key: Key, temperature: float) -> tuple[Array, Array, Any]:
        decoder = _decoder(self)
        action = jnp.zeros(decoder.action_size) if action is None else jnp.asarray(action, jnp.float32)
        memory, recalled = decoder.remember(state, action), decoder.recalled(state)
        z = decoder.prior(state, memory, action).sample_at(temperature, key=key)
        return memory, z, decoder.emission(memory, z, recalled)

    def after(self, x: Shaped[Array, " T *d"], *, mask: Mask = None, cond: Cond = None, key: Key) -> StepState:
        """The state after a row, with latents drawn from their posterior: where a forecast or a rollout starts.

        Args:
            x: The row.
            mask: True where x is observed; None: everywhere.
            cond: The conditions, with what is given at every step as `inputs`.
            key: A JAX random key.

        Returns:
            The state.
        """
        posterior: Any = self.posterior(x, cond=cond, mask=mask)
        return posterior.walk(noise=posterior.sample_noise(key=key), outputs=False).state

    def roll(
        self, state: StepState, steps: int, *, inputs: Float[Array, "H a"] | None = None, key: Key
    ) -> Shaped[Array, " H *d"]:
        """Draw several steps one after the other.

        Args:
            state: The state before them.
            steps: H, how many.
            inputs: What is given at every step; None for a model that reads nothing.
            key: A JAX random key.

        Returns:
            The steps, in the unit of the data.
        """
        given = jnp.zeros((steps, _decoder(self).action_size)) if inputs is None else inputs
        keys = jax.vmap(lambda t: key_of_step(key, t))(jnp.arange(steps))
        return jax.lax.scan(lambda s, at: self.step(s, at[0], key=at[1]), state, (given, keys))[1]

    def draw_joint(self, posterior: Any, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key) -> Joint:
        """A draw of the posterior with all its log densities, from one walk along the steps."""
        walk = posterior.walk(noise=posterior.sample_noise(key=key))
        return Joint(
            z=posterior.event_of(walk),
            log_likelihood=log_prob(Steps(_decoder(self).head, walk.outputs), x, mask),
            log_prior=jnp.sum(walk.log_prior),
            log_posterior=jnp.sum(walk.log_posterior),
            kl=walk.kl,
        )

    def log_joint(
        self, z: PyTree, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        """The log prior and the log likelihood, in nats, from one walk along the steps."""
        decoder = _decoder(self)
        seen = x if decoder.lags else None
        prior = StepNormals(decoder, decoder.inputs_of(cond, len(z)), x=seen, mask=mask)
        walk = prior.walk(event=z)
        return jnp.sum(walk.log_prior), log_prob(Steps(decoder.head, walk.outputs), x, mask)


def _decoder(model: StateSpaceModel) -> StepDecoder:
    assert isinstance(model.decoder, StepDecoder)
    return model.decoder


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
