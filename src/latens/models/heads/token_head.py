"""The likelihood of rows of tokens, by a network with weights of its own, and what an encoder sees of them."""

from dataclasses import replace
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from latens.distributions import TokenSequence
from latens.errors import ConfigError
from latens.models.heads.base import AbstractHead, DataKind, Moment, Sees, Started
from latens.networks.token_networks import TokenGRU
from latens.typing import Array, Bool, Float, Key, Shaped


class TokenInput(eqx.Module):
    """What an encoder sees of a row of tokens: its codes, and where nothing was observed a code of its own."""

    sees_mask: ClassVar[bool] = True

    shape: tuple[int, ...] = eqx.field(static=True)
    vocabulary: int = eqx.field(static=True)

    def __call__(self, x: Shaped[Array, " t"], mask: Bool[Array, " t"] | None = None) -> Shaped[Array, " t"]:
        """What an encoder sees of one row."""
        return x if mask is None else jnp.where(mask, x, self.vocabulary)


class TokenHead(AbstractHead):
    """Tokens one after another, by a network that has weights of its own and is given what a decoder says of z."""

    # never_empty: Whether a row has a token before its end.
    # closing: The codes of marks that must close; None: nothing must.

    kinds: ClassVar[tuple[DataKind, ...]] = ("tokens",)
    sees: ClassVar[Sees] = "index"

    vocabulary: int = eqx.field(static=True)
    network: TokenGRU | None = None
    width: int = eqx.field(static=True, default=128)
    never_empty: bool = eqx.field(static=True, default=False)
    closing: tuple[int, int, tuple[int, ...]] | None = eqx.field(static=True, default=None)

    @property
    def num_outputs(self) -> int:
        """As many as the network is given."""
        return 4 * self.width + self.vocabulary

    def initialised(self, *, key: Key) -> "TokenHead":
        """The head with the first weights of its network: at first tokens depend on no others."""
        marks = 0 if self.closing is None else 1 + len(self.closing[2])
        return replace(self, network=TokenGRU.create(self.vocabulary, self.width, marks=marks, key=key))

    def __call__(self, outputs: Float[Array, " n_out"]) -> TokenSequence:
        """The distribution of rows given these outputs."""
        if self.network is None:
            raise ConfigError("this head has no weights yet.", where="likelihood", fix="head.initialised(key=...)")
        return TokenSequence(self.network, outputs, self.shape, never_empty=self.never_empty, closing=self.closing)

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of tokens that come as often as in the data, an end once a row."""
        bias = np.zeros(self.num_outputs)
        if frequencies is not None:
            shares = np.sum(frequencies, axis=0)
            shares[0] = 1.0
            bias[-self.vocabulary :] = np.log(np.maximum(shares / shares.sum(), 1e-4))
        return self, bias
