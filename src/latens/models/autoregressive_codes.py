"""An autoregressive prior of codes, by a transformer: each code given those before it."""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.models.priors import AbstractModelPrior
from latens.models.quantised import AbstractQuantiser, CodeHead
from latens.models.semi_supervised import LABEL
from latens.networks.transformer import CausalTransformer
from latens.typing import Array, Cond, Float, Int, Key, Nats

MOST_LOGITS = 2**22
"""Groups of an event times codes of each: a density computes as many logits a row, a draw as many steps as groups."""

_COLDEST = 1e-6
"""The temperature that stands for 0: the most probable code has all the probability."""


class TransformerCodes(AbstractDistribution):
    r"""Codes of n groups, each given those before it, whose logits come from a causal transformer; events are codes.

    $\log p(k) = \sum_t \log p(k_t \mid k_1, \dots, k_{t-1})$ nats. No gradient reaches the event: codes have a
    probability, and no density. Groups are in the order of the latent: of codes on a map row by row. Where several are
    drawn together, they come in an order that scatters them: neighbours depend on one another most.

    Args:
        quantiser: Maps codes to the vectors that the event holds, and back.
        shape: The shape of an event.
        network: The transformer.
        label: The class as a one-hot vector, where the network reads one.
    """

    has_path: ClassVar[bool] = False

    quantiser: AbstractQuantiser
    shape: tuple[int, ...] = eqx.field(static=True)  # pyright: ignore[reportIncompatibleVariableOverride]
    network: CausalTransformer
    label: Float[Array, " C"] | None = None

    def sample(self, *, key: Key) -> Float[Array, "*z"]:
        """Draw one event, a code at a time."""
        return self.sample_at(1.0, key=key)

    def sample_at(self, temperature: float, *, key: Key) -> Float[Array, "*z"]:
        """Draw one event, a code at a time, with logits divided by the temperature."""
        codes = self._draw(max(temperature, _COLDEST), key=key)
        return self.quantiser.decode(codes[:, None]).reshape(self.shape)

    def log_prob(self, event: Float[Array, "*z"]) -> Nats:
        """The log probability of one event's codes, in nats."""
        codes = self.codes(event)
        return jnp.sum(jax.nn.one_hot(codes, self.quantiser.num_codes) * jax.nn.log_softmax(self._logits(codes)))

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

    @property
    def order(self) -> np.ndarray:
        """The group that comes first, the one that comes second, ..., of shape (n,)."""
        n = len(self.network.positions)
        return np.arange(n) if self.network.together == 1 else np.random.default_rng(0).permutation(n)

    def _draw(self, temperature: float = 1.0, *, key: Key) -> Int[Array, " n"]:
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

    def _logits(self, codes: Int[Array, " n"]) -> Float[Array, "n K"]:
        """The logits of every code, given those before it."""
        return self.network(codes[self.order], self.label)[np.argsort(self.order)]


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
        what = f"{quantiser.num_stages} stages of codes cannot be recovered from their sum."
        raise ConfigError(what, where="prior.kind", fix="Use --set prior=uniform-codes, or --set posterior=vq.")
    n, num_codes = math.prod(head.shape) // quantiser.code_dim, quantiser.num_codes
    if n * num_codes > MOST_LOGITS:
        what = f"{n} groups of {num_codes} codes: {n * num_codes} logits a row."
        raise ConfigError(what, where="prior.kind", fix="Use fewer codes a group, or larger groups.")
    return n, num_codes
