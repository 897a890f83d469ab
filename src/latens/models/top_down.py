"""Deep hierarchies of pictures: prior, posterior and likelihood are one way down through residual networks."""

import itertools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution, DiagonalNormal, StandardNormal, kl, log_prob
from latens.distributions.chain import AbstractLevels, added
from latens.models.base import AbstractJointModel, AbstractLatentModel, AbstractModelEncoder, Joint
from latens.models.conditional import AbstractDecoderWrapper, Conditional, LatentModel, as_seen
from latens.models.heads.base import bounded
from latens.models.priors import AbstractModelPrior
from latens.networks.pyramid import Features, Grow
from latens.typing import Array, Cond, Float, Key, Mask, Nats, PyTree


class Block(eqx.Module):
    r"""One level of latents on the way down: $p(z_l \mid h)$ and what becomes of the state h.

    The network gives mean and log scale of the prior and what is added to the state; a linear layer adds the latent.

    Args:
        network: Maps the state to the mean, the log scale and what is added to the state, by channel.
        take: The linear layer from a latent to what is added to the state.
        grow: The step from the state of the smaller size; None where the size stays.
        channels: The channels of the latent.
    """

    network: Callable[[Array], Array]
    take: Callable[[Array], Array]
    grow: Grow | None
    channels: int = eqx.field(static=True)

    def prior(self, state: Float[Array, "h w c"]) -> tuple[DiagonalNormal, Float[Array, "h w c"]]:
        """The prior of the level, and the state after the block's network.

        Args:
            state: The state, of the block's size.

        Returns:
            The Normal of a latent of shape (h, w, d), and the state.
        """
        outputs, d = self.network(state), self.channels
        return DiagonalNormal(outputs[..., :d], bounded(outputs[..., d : 2 * d])), state + outputs[..., 2 * d :]


class Meet(eqx.Module):
    r"""The posterior of one level, relative to its prior: $N(\mu_p + \Delta\mu, (\sigma_p \Delta\sigma)^2)$.

    Args:
        network: Maps the state beside the features of x to $\Delta\mu$ and $\log\Delta\sigma$.
        size: The place of the features of the block's size.

    Source: Vahdat & Kautz (2020), arXiv 2007.03898, section 3.2.
    """

    network: Callable[[Array], Array]
    size: int = eqx.field(static=True)

    def __call__(self, state: Array, features: tuple[Array, ...], prior: DiagonalNormal) -> DiagonalNormal:
        """The posterior of the level."""
        moved, wider = jnp.split(self.network(jnp.concatenate([state, features[self.size]], axis=-1)), 2, axis=-1)
        return DiagonalNormal(prior.loc + moved, prior.log_scale + bounded(wider))


class TopDownPass(NamedTuple):
    """What the way down met, level by level from the first that is drawn.

    Args:
        levels: The latents.
        own: The Normals that they are of.
        priors: Their priors, given the same latents above.
        state: The state after the last block.
    """

    levels: list[Array]
    own: list[DiagonalNormal]
    priors: list[DiagonalNormal]
    state: Array


class TopDownNormals(AbstractLevels):
    r"""Levels of Normals, each given all those before it through a state.

    $\prod_l p(z_l \mid z_{>l})$, or $\prod_l q(z_l \mid z_{>l}, x)$ where there are features of x. An event is a tuple
    with the lowest level, which is drawn last, first.

    Args:
        decoder: The way down.
        meetings: The posterior of every block; empty for the prior.
        features: The features of x of every size; empty for the prior.
    """

    has_path: ClassVar[bool] = True

    decoder: "TopDownDecoder"
    meetings: tuple[Meet, ...] = ()
    features: tuple[Float[Array, "..."], ...] = ()

    def walk(self, choose: Callable[[int, DiagonalNormal], Array]) -> TopDownPass:
        """Go down through all blocks.

        Args:
            choose: Gives the latent of a level from its number, in the order of drawing, and its Normal.

        Returns:
            What was met.
        """
        state, walk = self.decoder.start, TopDownPass([], [], [], self.decoder.start)
        for number, block in enumerate(self.decoder.blocks):
            prior, state = block.prior(state if block.grow is None else block.grow(state))
            own = self.meetings[number](state, self.features, prior) if self.meetings else prior
            z = choose(number, own)
            state = state + block.take(z)
            walk.levels.append(z)
            walk.own.append(own)
            walk.priors.append(prior)
        return walk._replace(state=state)

    def sample_and_log_prob(self, *, key: Key) -> tuple[tuple[Array, ...], Nats]:
        """Draw every level in turn; the log density is the sum over the levels, in nats."""
        walk, density = self.drawn(key=key)
        return tuple(reversed(walk.levels)), density

    def drawn(self, *, key: Key) -> tuple[TopDownPass, Nats]:
        """Go down through all blocks with a draw of every level.

        Args:
            key: A JAX random key.

        Returns:
            What was met, and the log density of the draw in nats, of shape ().
        """
        noise = self.sample_noise(key=key)
        walk = self.walk(lambda number, own: own.from_noise(noise[-1 - number]))
        # By the noise, as `DiagonalNormal` does: exact where a scale is very small.
        logs = [
            StandardNormal(n.shape).log_prob(n) - jnp.sum(own.log_scale) for n, own in zip(reversed(noise), walk.own)
        ]
        return walk, added(logs)

    def sample(self, *, key: Key) -> tuple[Array, ...]:
        """Draw every level in turn."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_noise(self, *, key: Key) -> tuple[Array, ...]:
        """Draw the noise of every level: a tuple in the order of an event."""
        levels = jax.eval_shape(lambda: self.walk(lambda number, own: own.loc).levels)
        ends = list(itertools.accumulate(level.size for level in levels))
        # All at once: a program of many draws takes long to compile.
        parts = jnp.split(jax.random.normal(key, (ends[-1],), levels[0].dtype), ends[:-1])
        return tuple(part.reshape(level.shape) for part, level in zip(reversed(parts), reversed(levels)))

    def from_noise(self, noise: tuple[Array, ...]) -> tuple[Array, ...]:
        """The levels that belong to this noise, each given those before it."""
        walk = self.walk(lambda number, own: own.from_noise(noise[-1 - number]))
        return tuple(reversed(walk.levels))

    def mean(self) -> tuple[Array, ...]:
        """The mean of the first level, and of each next one given the means before it."""
        return tuple(reversed(self.walk(lambda number, own: own.loc).levels))

    def log_prob_by_level(self, event: tuple[Array, ...]) -> list[Nats]:
        """The log density of every level given those before it, in the order of an event, in nats."""
        walk = self.walk(lambda number, own: event[-1 - number])
        return [own.log_prob(z) for own, z in zip(reversed(walk.own), event)]


class TopDownDecoder(AbstractDecoderWrapper):
    r"""The way down: a state that starts as an array, blocks that change it, and the likelihood of the last state.

    $p(x \mid z_1, \dots, z_L)$.

    Args:
        start: The first state, of shape (1, 1, c).
        blocks: The blocks in the order of drawing, from the point to the largest size.
        finish: A last residual block.
        part: The likelihood, given the last state.
    """

    start: Float[Array, "1 1 c"]
    blocks: tuple[Block, ...]
    finish: Callable[[Array], Array]
    part: Conditional

    def __call__(self, z: tuple[Array, ...], *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The distribution of a row, given the latents of all levels."""
        return self.of_state(TopDownNormals(self).walk(lambda number, own: z[-1 - number]).state)

    def of_state(self, state: Float[Array, "h w c"]) -> AbstractDistribution:
        """The distribution of a row, given the state after the last block.

        Args:
            state: The state, of the largest size.

        Returns:
            The distribution of one row.
        """
        return self.part(state + self.finish(state))


class TopDownPrior(AbstractModelPrior):
    """The prior that the model's decoder holds; it has no arrays of its own."""

    def __call__(self, model: Any, *, cond: Cond = None, key: Key | None = None) -> TopDownNormals:
        """The prior of all levels."""
        return TopDownNormals(model.decoder)


class TopDownEncoder(AbstractModelEncoder):
    r"""The encoder: features of x go up a pyramid without noise, and meet the prior's state on the way down.

    $\prod_l q(z_l \mid z_{>l}, x)$.

    Args:
        features: The features of every size of a row.
        meetings: The posterior of each block of the decoder.
        standardise: Applied to a row first; None: it stays as it is.
    """

    features: Features
    meetings: tuple[Meet, ...]
    standardise: Callable[..., Array] | None = None

    def __call__(
        self, model: AbstractLatentModel, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> TopDownNormals:
        """The posterior of all levels for one row."""
        decoder: Any = getattr(model, "decoder")  # noqa: B009
        return TopDownNormals(decoder, self.meetings, self.features(as_seen(x, self.standardise, mask)))


class TopDownModel(LatentModel, AbstractJointModel):
    r"""A latent-variable model of which one way down gives a draw, its densities and the likelihood.

    $p(x, z)$ and $q(z \mid x)$ share the state, so that a training step goes down once and back once.

    Source: Child (2021), "Very Deep VAEs", arXiv 2011.10650; Vahdat & Kautz (2020), arXiv 2007.03898; Sonderby et al.
    (2016), arXiv 1602.02282.
    """

    def draw_joint(self, posterior: Any, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key) -> Joint:
        """A draw of the posterior with all its log densities, from one way down.

        Args:
            posterior: The posterior of the row, as `posterior` gives it.
            x: The row.
            cond: Not read.
            mask: True where x is observed; None: everywhere.
            key: The key of the draw, as `sample` of the posterior takes it.

        Returns:
            The draw, its log densities, and the KL of each level given the draws above it.
        """
        walk, log_posterior = posterior.drawn(key=key)
        log_prior = [prior.log_prob(z) for prior, z in zip(walk.priors, walk.levels)]
        by_level = [kl(own, prior) for own, prior in zip(reversed(walk.own), reversed(walk.priors))]
        decoder: Any = self.decoder
        return Joint(
            z=tuple(reversed(walk.levels)),
            log_likelihood=log_prob(decoder.of_state(walk.state), x, mask),
            log_prior=added(log_prior),
            log_posterior=log_posterior,
            kl=jnp.stack(by_level),
        )

    def log_joint(
        self, z: PyTree, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        """The log prior and the log likelihood, in nats, from one way down."""
        decoder: Any = self.decoder
        walk = TopDownNormals(decoder).walk(lambda number, own: z[-1 - number])
        log_prior = [prior.log_prob(level) for prior, level in zip(walk.priors, walk.levels)]
        return added(log_prior), log_prob(decoder.of_state(walk.state), x, mask)
