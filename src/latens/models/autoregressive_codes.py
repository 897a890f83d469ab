"""Autoregressive priors of codes, by a recurrent network or a transformer: each code given those before it."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.models.priors import AbstractModelPrior
from latens.models.quantised import CodeHead
from latens.models.quantisers import AbstractQuantiser
from latens.models.semi_supervised import LABEL
from latens.networks.recurrent import GRU, StepOutput
from latens.networks.transformer import CausalTransformer
from latens.typing import Array, Cond, Float, Int, Key, Nats

MOST_LOGITS = 2**22
"""Groups of an event times codes of each: a density computes as many logits a row, a draw as many steps as groups."""

_COLDEST = 1e-6
"""The temperature that stands for 0: the most probable code has all the probability."""


class AbstractCodeSequence(AbstractDistribution):
    r"""A distribution of the codes of n groups, each given those before it; events are codes.

    $\log p(k) = \sum_t \log p(k_t \mid k_1, \dots, k_{t-1})$ nats. No gradient reaches the event: codes have a
    probability, and no density. Groups are in the order of the latent: of codes on a map row by row.

    Args:
        quantiser: Maps codes to the vectors that the event holds, and back.
        shape: The shape of an event.
    """

    has_path: ClassVar[bool] = False
    by_volume: ClassVar[bool] = False

    quantiser: AbstractQuantiser
    shape: tuple[int, ...] = eqx.field(static=True)  # pyright: ignore[reportIncompatibleVariableOverride]

    @abstractmethod
    def logits(self, codes: Int[Array, " n"]) -> Float[Array, "n K"]:
        """The logits of every code, given those before it.

        Args:
            codes: The numbers of the codes, of shape (n,), from 0.

        Returns:
            Shape (n, K).
        """

    @abstractmethod
    def draw(self, temperature: float = 1.0, *, key: Key) -> Int[Array, " n"]:
        """Draw the codes of one event, one at a time.

        Args:
            temperature: What the logits are divided by, above 0.
            key: A JAX random key.

        Returns:
            The numbers of the codes, of shape (n,).
        """

    def sample(self, *, key: Key) -> Float[Array, "*z"]:
        """Draw one event, a code at a time."""
        return self.sample_at(1.0, key=key)

    def sample_at(self, temperature: float, *, key: Key) -> Float[Array, "*z"]:
        """Draw one event, a code at a time, with logits divided by the temperature."""
        codes = self.draw(max(temperature, _COLDEST), key=key)
        return self.quantiser.decode(codes[:, None]).reshape(self.shape)

    def log_prob(self, event: Float[Array, "*z"]) -> Nats:
        """The log probability of one event's codes, in nats."""
        codes = self.codes(event)
        return jnp.sum(jax.nn.one_hot(codes, self.quantiser.num_codes) * jax.nn.log_softmax(self.logits(codes)))

    def codes(self, event: Float[Array, "*z"]) -> Int[Array, " n"]:
        """The number of each group's code: an event is exactly one of them, so the nearest.

        Args:
            event: One event.

        Returns:
            Shape (n,), from 0.
        """
        groups = jax.lax.stop_gradient(event).reshape(-1, self.quantiser.code_dim)
        every = self.quantiser.decode(jnp.arange(self.quantiser.num_codes)[:, None])
        return jnp.argmin(0.5 * jnp.sum(every**2, axis=1)[None] - groups @ every.T, axis=1)


class AutoregressiveCodes(AbstractCodeSequence):
    """Codes whose logits come from a recurrent network that has read those before; each place has a bias of its own.

    Args:
        quantiser: Maps codes to the vectors that the event holds, and back.
        shape: The shape of an event.
        cell: The recurrent unit that reads the codes so far.
        output: The layer from its states to the logits of the next code, of shape (n, K).
    """

    cell: GRU
    output: StepOutput

    def draw(self, temperature: float = 1.0, *, key: Key) -> Int[Array, " n"]:
        """Draw the codes of one event, one at a time."""
        n, num_codes = self.output.bias.shape

        def step(carry: tuple[Array, Array], position: tuple[Array, Key]) -> tuple[tuple[Array, Array], Array]:
            state, previous = carry
            (state,) = self.cell(self.cell.inputs(previous)[None], state)
            bias, step_key = position
            code = jax.random.categorical(step_key, (state @ self.output.weight + bias) / temperature)
            return (state, jax.nn.one_hot(code, num_codes)), code

        start = (jnp.zeros(len(self.cell.state.weight)), jnp.zeros(num_codes))
        return jax.lax.scan(step, start, (self.output.bias, jax.random.split(key, n)))[1]

    def logits(self, codes: Int[Array, " n"]) -> Float[Array, "n K"]:
        """The logits of every code, given those before it."""
        chosen = jax.nn.one_hot(codes, self.output.bias.shape[1])
        before = jnp.concatenate([jnp.zeros_like(chosen[:1]), chosen[:-1]])
        return self.output(self.cell(jax.vmap(self.cell.inputs)(before), jnp.zeros(len(self.cell.state.weight))))


class TransformerCodes(AbstractCodeSequence):
    """Codes whose logits come from a causal transformer.

    Where several are drawn together, they come in an order that scatters them: neighbours depend on one another most.

    Args:
        quantiser: Maps codes to the vectors that the event holds, and back.
        shape: The shape of an event.
        network: The transformer.
        label: The class as a one-hot vector, where the network reads one.
    """

    network: CausalTransformer
    label: Float[Array, " C"] | None = None

    @property
    def order(self) -> np.ndarray:
        """The group that comes first, the one that comes second, ..., of shape (n,)."""
        n = len(self.network.positions)
        return np.arange(n) if self.network.together == 1 else np.random.default_rng(0).permutation(n)

    def draw(self, temperature: float = 1.0, *, key: Key) -> Int[Array, " n"]:
        """Draw the codes of one event, as many at a time as are drawn together; what was computed before is kept."""
        starts = jnp.arange(0, len(self.network.positions), self.network.together)

        def step(carry: tuple[Array, Any], position: tuple[Array, Key]) -> tuple[tuple[Array, Any], Array]:
            start, step_key = position
            logits, memory = self.network.step(carry[0], start, carry[1], self.label)
            codes = jax.random.categorical(step_key, logits / temperature)
            return (codes, memory), codes

        first = (jnp.zeros(self.network.together, jnp.int32), self.network.memory())
        codes = jax.lax.scan(step, first, (starts, jax.random.split(key, len(starts))))[1]
        return codes.reshape(-1)[np.argsort(self.order)]

    def logits(self, codes: Int[Array, " n"]) -> Float[Array, "n K"]:
        """The logits of every code, given those before it."""
        return self.network(codes[self.order], self.label)[np.argsort(self.order)]


class AutoregressiveCodePrior(AbstractModelPrior):
    r"""A prior of codes that depend on those before them: uniform before it is trained.

    $p(k) = \prod_t p(k_t \mid k_{<t})$, for the codes of a quantised posterior, beside its training or after it
    (`latens refit`). In the paper the network is a PixelCNN over a plane of codes; here it is one recurrent network,
    for which the codes of dense and recurrent encoders need no plane.

    Args:
        cell: The recurrent unit that reads the codes so far.
        output: The layer from its states to the logits of the next code, of shape (n, K).

    Source: Van den Oord et al. (2017), arXiv 1711.00937, section 3.3.
    """

    cell: GRU
    output: StepOutput

    @classmethod
    def create(cls, head: CodeHead, x: tuple[int, ...], *, width: int = 128, key: Key) -> "AutoregressiveCodePrior":
        """Initialise the prior so that all codes are equally likely.

        Args:
            head: The head of the quantised posterior whose codes these are.
            x: The shape of one event of the data.
            width: The number of units of the recurrent state.
            key: A JAX random key for the initialisation.

        Returns:
            The prior.

        Raises:
            ConfigError: Codes come in several stages, whose sum does not say which they were, or there are more than
                `MOST_LOGITS` logits.
        """
        n, num_codes = _sizes(head)
        cell = GRU.create(num_codes, width, key=key)
        return cls(cell, StepOutput(jnp.zeros((width, num_codes)), jnp.zeros((n, num_codes))))

    def __call__(self, model: Any, *, cond: Cond = None, key: Key | None = None) -> AutoregressiveCodes:
        """The distribution of codes under the quantiser of the model's encoder."""
        head: CodeHead = model.encoder.head
        return AutoregressiveCodes(head.quantiser, head.shape, self.cell, self.output)


class TransformerCodePrior(AbstractModelPrior):
    r"""A prior of codes that depend on all before them, by a causal transformer: uniform before it is trained.

    $p(k) = \prod_t p(k_t \mid k_{<t})$, for the codes of a quantised posterior, beside its training or after it
    (`latens refit`). Every place looks at all places before it, so that on a map of codes the place above is as near as
    the one to the left. With several codes `together` a draw takes fewer steps: those of one step are scattered over
    the map and depend on all codes of the steps before, not on one another. The probability stays exact.

    Args:
        network: The transformer over the codes; where it has classes, the prior reads the condition `label`.

    Source: Esser, Rombach & Ommer (2021), arXiv 2012.09841, section 3.2; Vaswani et al. (2017), arXiv 1706.03762. Steps
    of several codes are after MaskGIT (Chang et al., 2022, arXiv 2202.04200), whose order depends on what was drawn, so
    that it gives no probability.
    """

    network: CausalTransformer

    @classmethod
    def create(
        cls,
        head: CodeHead,
        x: tuple[int, ...],
        *,
        layers: int = 2,
        width: int = 128,
        heads: int = 4,
        together: int = 1,
        classes: int = 0,
        key: Key,
    ) -> "TransformerCodePrior":
        """Initialise the prior so that all codes are equally likely.

        Args:
            head: The head of the quantised posterior whose codes these are.
            x: The shape of one event of the data.
            layers: The number of blocks.
            width: The number of units of each place, a multiple of `heads`.
            heads: The number of attentions in a block.
            together: The number of codes that are drawn at once, a divisor of the number of codes.
            classes: The number of classes of a label that is read; 0: none is.
            key: A JAX random key for the initialisation.

        Returns:
            The prior.

        Raises:
            ConfigError: Codes come in several stages, whose sum does not say which they were, there are more than
                `MOST_LOGITS` logits, the width is no multiple of the heads, or the number of codes none of `together`.
        """
        sizes = {"layers": layers, "width": width, "heads": heads, "together": together, "classes": classes}
        return cls(CausalTransformer.create(*_sizes(head), **sizes, key=key))

    def __call__(self, model: Any, *, cond: Cond = None, key: Key | None = None) -> TransformerCodes:
        """The distribution of codes under the quantiser of the model's encoder, of the class where it reads one."""
        head: CodeHead = model.encoder.head
        if self.network.classes is None:
            return TransformerCodes(head.quantiser, head.shape, self.network)
        if cond is None or LABEL not in cond:
            raise ConfigError("the prior reads the condition 'label', which was not given", where="cond")
        return TransformerCodes(head.quantiser, head.shape, self.network, cond[LABEL])


def _sizes(head: CodeHead) -> tuple[int, int]:
    """How many groups there are, and how many codes of each; ConfigError where no sequence of them can be modelled."""
    quantiser = head.quantiser
    if quantiser.num_stages > 1:
        what = f"{quantiser.num_stages} stages of codes: from their sum they cannot be told."
        raise ConfigError(what, where="prior.kind", fix="Use --set prior=uniform-codes, or --set posterior=vq.")
    n, num_codes = math.prod(head.shape) // quantiser.code_dim, quantiser.num_codes
    if n * num_codes > MOST_LOGITS:
        what = f"{n} groups of {num_codes} codes: {n * num_codes} logits a row."
        raise ConfigError(what, where="prior.kind", fix="Use fewer codes a group, or larger groups.")
    return n, num_codes
