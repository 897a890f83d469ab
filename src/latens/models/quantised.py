"""Quantised latents: a posterior with all its mass on one code, and a prior that has every code alike."""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.models.heads.base import AbstractHead
from latens.models.priors import AbstractModelPrior
from latens.models.quantisers import AbstractQuantiser, Assignment
from latens.typing import Array, Cond, Float, Key, Nats

MOST_CODES = 65_536
"""Of a group in a stage: their use is counted."""


class CodePosterior(AbstractDistribution):
    r"""A posterior with all its mass on one code.

    $\log q(z \mid x) = 0$ nats there, a probability and no density. The sample is the code; its gradient is that of the
    encoder's output, as if nothing had been rounded (straight-through).

    Args:
        assignment: What met the codes, and the codes met.
        quantiser: The quantiser of the codes.
        shape: The shape of one latent.

    Source: van den Oord, Vinyals & Kavukcuoglu (2017), arXiv 1711.00937, section 3.2.
    """

    has_path: ClassVar[bool] = True
    by_volume: ClassVar[bool] = False

    assignment: Assignment
    quantiser: AbstractQuantiser
    shape: tuple[int, ...] = eqx.field(static=True)  # pyright: ignore[reportIncompatibleVariableOverride]

    def sample(self, *, key: Key | None = None) -> Float[Array, "*z"]:
        """The code, with the gradient of the encoder's output.

        Args:
            key: Not used: there is one code.

        Returns:
            One latent of shape (*z).
        """
        inputs = self.assignment.inputs[:, 0]
        # The difference is exactly 0, so that the value is the code itself to the last bit.
        through = inputs - jax.lax.stop_gradient(inputs)
        code = jax.lax.stop_gradient(jnp.sum(self.assignment.chosen, axis=1))
        return (code + through).reshape(self.shape)

    def log_prob(self, event: Float[Array, "*z"]) -> Nats:
        """Zero nats: the log probability of the one code, which the event must be."""
        return jnp.zeros((), event.dtype)

    def mean(self) -> Float[Array, "*z"]:
        """The code itself."""
        return self.sample()


class UniformCodes(AbstractDistribution):
    r"""A distribution under which every code is equally likely; events are codes.

    $\log p(z) = -n S \log K$ nats for n groups, S stages of K codes. Beside a `CodePosterior` the ELBO is $\log p(x
    \mid z_q) - n S \log K$, an honest bound on $\log p(x)$.

    Args:
        quantiser: The quantiser of the codes.
        shape: The shape of one latent.
    """

    has_path: ClassVar[bool] = False
    by_volume: ClassVar[bool] = False

    quantiser: AbstractQuantiser
    shape: tuple[int, ...] = eqx.field(static=True)  # pyright: ignore[reportIncompatibleVariableOverride]

    def sample(self, *, key: Key) -> Float[Array, "*z"]:
        """Draw a code for each group and stage."""
        size = (math.prod(self.shape) // self.quantiser.code_dim, self.quantiser.num_stages)
        return self.quantiser.decode(jax.random.randint(key, size, 0, self.quantiser.num_codes)).reshape(self.shape)

    def log_prob(self, event: Float[Array, "*z"]) -> Nats:
        """The log probability of any code, in nats."""
        count = event.size // self.quantiser.code_dim * self.quantiser.num_stages
        return jnp.asarray(-count * math.log(self.quantiser.num_codes), event.dtype)


class CodeHead(AbstractHead):
    """A head that cuts a vector into groups of numbers, and puts each at its nearest code.

    Args:
        shape: The shape of one latent, a whole number of groups of `quantiser.code_dim` numbers.
        quantiser: The quantiser of the groups.

    Raises:
        ConfigError: The latent is no whole number of groups, or a group has more than `MOST_CODES` codes.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    quantiser: AbstractQuantiser

    def __check_init__(self) -> None:
        size, each = math.prod(self.shape), self.quantiser.code_dim
        if size % each:
            what = f"{size} latent units are no whole number of groups of {each}."
            raise ConfigError(what, where="posterior.latent_dim", fix=f"Use {max(1, size // each) * each}.")
        if self.quantiser.num_codes > MOST_CODES:
            what = f"{self.quantiser.num_codes} codes a group."
            raise ConfigError(what, where="posterior", fix=f"Use at most {MOST_CODES}: smaller groups, fewer values.")

    def __call__(self, outputs: Float[Array, " n_out"]) -> CodePosterior:
        """The posterior with all mass at the codes of these outputs."""
        assignment = self.quantiser(outputs.reshape(-1, self.quantiser.code_dim))
        return CodePosterior(assignment, self.quantiser, self.shape)


class CodePrior(AbstractModelPrior):
    """The uniform prior over the codes of the model's encoder."""

    def __call__(self, model: Any, *, cond: Cond = None, key: Key | None = None) -> UniformCodes:
        """The uniform distribution over the codes of the model's encoder."""
        head: CodeHead = model.encoder.head
        return UniformCodes(head.quantiser, head.shape)
