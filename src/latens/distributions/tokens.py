"""Rows of tokens, one after another up to an end: a probability by one pass, samples by a network's memory."""

from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer

from latens.distributions.base import AbstractDistribution
from latens.errors import ConfigError
from latens.typing import Array, Bool, Float, Int, Key, Nats, Shaped

END = 0
"""The token after which a row has no others."""

COLDEST = 1e-6
"""The temperature that stands for 0: the most probable token has all the probability."""

NEVER = -1e30
"""The logit of a token that never comes: its probability is 0 exactly, and its product with a zero is one."""


class TokenSequence(AbstractDistribution[Array]):
    r"""A row of at most T tokens, each given those before it; the first 0 is its end.

    $\log p(x) = \sum_{t \le e} \log p(x_t \mid x_{<t})$ nats with e the place of the first 0. After it every place is 0
    with probability one, and so is the last of T places: over arrays of T whole numbers the probabilities sum to 1. An
    event may have fewer than T places; it is then a row that ends within them. Where rows are never empty, the end has
    the probability 0 at the first place, and the others share what it had. Where marks must close, the end has it while
    one is open, and a closing mark while there is nothing to close. The last place is an end whatever is open.

    Args:
        network: Gives the logits of every token from those before it: `network(codes, given)` of all places, and
            `network.memory(given)` with `network.step(previous, place, memory, given)` of one after the other. Where
            marks must close, both are also told which are open.
        given: What the network reads beside the tokens, of shape (n,), as a decoder gives it.
        shape: The shape of an event, (T,).
        begun: Codes of shape (T,), and True in a beginning of them that samples have; None: nothing is fixed.
        never_empty: Whether a row has a token before its end.
        closing: The codes of an opening and of a closing mark, and of those that open and close by turns, such as the
            ring numbers of SMILES; None: nothing must close.
    """

    has_path: ClassVar[bool] = False

    network: Any
    given: Float[Array, " n"]
    shape: tuple[int, ...] = eqx.field(static=True)  # pyright: ignore[reportIncompatibleVariableOverride]
    begun: tuple[Int[Array, " T"], Bool[Array, " T"]] | None = None
    never_empty: bool = eqx.field(static=True, default=False)
    closing: tuple[int, int, tuple[int, ...]] | None = eqx.field(static=True, default=None)

    def _takes(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape is one event: also the first places of one."""
        return len(shape) == 1 and shape[0] <= self.shape[0]

    def log_prob_terms(self, event: Int[Array, " t"]) -> Float[Array, " t"]:
        """The log probability of every token given those before it; 0 after the end.

        Args:
            event: One event, of shape (t,) with t at most T.

        Returns:
            Shape (t,), in nats; -inf where another token than 0 follows the end, and of an end where none can be.
        """
        codes = event.astype(jnp.int32)
        places = jnp.arange(len(codes))
        marks = self._marks(codes)
        before = jnp.cumsum(marks, axis=0) - marks
        read = () if self.closing is None else (_opened(before),)
        logits = self._possible(self.network(codes, self.given, *read), places[:, None], before)
        chosen = jax.nn.one_hot(codes, logits.shape[-1], dtype=logits.dtype)
        terms = jnp.sum(chosen * logits, axis=-1) - jax.nn.logsumexp(logits, axis=-1)
        terms = jnp.where(terms < NEVER / 2, -jnp.inf, terms)
        fixed = self._after_end(codes) | (places == self.shape[0] - 1)
        allowed = (codes == END) & fixed
        if self.begun is not None:
            known, seen = (a[: len(codes)] for a in self.begun)
            allowed, fixed = jnp.where(seen, codes == known, allowed), fixed | seen
        return jnp.where(fixed, jnp.where(allowed, 0.0, -jnp.inf), terms)

    def _marks(self, codes: Int[Array, "*t"]) -> Int[Array, "*t r"]:
        """What tokens add to the count of open parentheses, and to that of each mark that opens and closes by turns."""
        opens, closes, turns = self.closing or (-1, -1, ())
        depth = (codes == opens).astype(jnp.int32) - (codes == closes)
        return jnp.stack([depth, *(codes == one for one in turns)], axis=-1).astype(jnp.int32)

    def _possible(
        self, logits: Float[Array, "*t V"], place: Int[Array, "..."], marks: Int[Array, "*t r"]
    ) -> Float[Array, "*t V"]:
        """The logits, without an end where a row would be empty or open, and without what has nothing to close."""
        token = jnp.arange(logits.shape[-1])
        if self.never_empty:
            logits = jnp.where((place == 0) & (token == END), NEVER, logits)
        if self.closing is not None:
            opened = _opened(marks) > 0
            never = opened.any(-1, keepdims=True) & (token == END)
            never |= ~opened[..., :1] & (token == self.closing[1])
            logits = jnp.where(never, NEVER, logits)
        return logits

    @staticmethod
    def _after_end(codes: Int[Array, " t"]) -> Bool[Array, " t"]:
        ended = jnp.cumsum(codes == END) > 0
        return jnp.concatenate([jnp.zeros_like(ended[:1]), ended[:-1]])

    def log_prob(self, event: Int[Array, " t"]) -> Nats:
        """The log probability of one event, in nats: all tokens at once."""
        return self.log_prob_observed(event, jnp.ones(event.shape, bool))

    def log_prob_observed(self, event: Int[Array, " t"], mask: Bool[Array, " t"]) -> Nats:
        """The log probability that a row begins with the tokens where the mask is True.

        What comes later is summed out exactly, since no token depends on it.

        Args:
            event: One event; where the mask is False its value has no influence.
            mask: True at the first places, False at the others.

        Returns:
            A number of shape (), in nats; not a number for a mask with a hole that is not known before it is computed.

        Raises:
            ConfigError: The mask is known, and has a hole.
        """
        hole = _refuse_hole(mask)
        terms = self.log_prob_terms(jnp.where(mask, event, END))
        # A row that is seen to its last place and has no end there is longer than the event.
        ends = jnp.any((event == END) | ~mask) if len(event) < self.shape[0] else jnp.asarray(True)
        return jnp.where(hole, jnp.nan, jnp.where(ends, jnp.sum(jnp.where(mask, terms, 0.0)), -jnp.inf))

    def conditioned(self, event: Int[Array, " T"], mask: Bool[Array, " T"]) -> "TokenSequence":
        """The distribution of rows that begin with the tokens where the mask is True.

        Args:
            event: One event, of shape (T,).
            mask: True at the first places, False at the others.

        Returns:
            A distribution over whole events.

        Raises:
            ConfigError: The mask is known, and has a hole.
        """
        _refuse_hole(mask)
        return replace(self, begun=(event.astype(jnp.int32), mask))

    def within(self, low: Shaped[Array, " T"], high: Shaped[Array, " T"]) -> tuple["TokenSequence", Nats]:
        """The distribution of rows that begin with the tokens where two bounds agree.

        Args:
            low: Codes at the first places, of shape (T,).
            high: The same codes there, and others behind them.

        Returns:
            That distribution, and the log probability of the beginning in nats.
        """
        codes, seen = low.astype(jnp.int32), low == high
        return self.conditioned(codes, seen), self.log_prob_observed(codes, seen)

    def sample(self, *, key: Key) -> Int[Array, " T"]:
        """Draw one event, token after token."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_at(self, temperature: float | Float[Array, ""], *, key: Key) -> Int[Array, " T"]:
        """Draw one event with logits divided by the temperature; at 0 every token is the most probable one."""
        return self._draw(temperature, key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Int[Array, " T"], Nats]:
        """Draw one event, with the sum of the log probabilities of what was drawn."""
        return self._draw(1.0, key=key)

    def mean(self) -> Int[Array, " T"]:
        """What stands for the mean, which tokens have not: each token is the most probable one after those before it.

        Returns:
            Shape (T,).
        """
        return self.sample_at(0.0, key=jax.random.key(0))

    def _draw(self, temperature: float | Float[Array, ""], *, key: Key) -> tuple[Int[Array, " T"], Nats]:
        places = jnp.arange(self.shape[0])
        known, seen = (jnp.zeros_like(places), places < 0) if self.begun is None else self.begun

        def step(carry: tuple[Array, Array, Array, Any], at: tuple[Array, ...]) -> tuple[Any, Any]:
            (previous, ended, marks, memory), (place, known, seen, step_key) = carry, at
            read = () if self.closing is None else (_opened(marks),)
            logits, memory = self.network.step(previous, place, memory, self.given, *read)
            logits = self._possible(logits / jnp.maximum(temperature, COLDEST), place, marks)
            drawn = jax.random.categorical(step_key, logits).astype(jnp.int32)
            fixed = ended | (place == self.shape[0] - 1)
            code = jnp.where(seen, known, jnp.where(fixed, END, drawn)).astype(jnp.int32)
            term = jnp.where(seen | fixed, 0.0, jax.nn.log_softmax(logits)[code])
            return (code, ended | (code == END), marks + self._marks(code), memory), (code, term)

        none = jnp.asarray(END, jnp.int32)
        start = (none, jnp.asarray(False), jnp.zeros_like(self._marks(none)), self.network.memory(self.given))
        keys = jax.random.split(key, self.shape[0])
        codes, terms = jax.lax.scan(step, start, (places, known, seen, keys))[1]
        return codes, jnp.sum(terms)


def _opened(marks: Int[Array, "*t r"]) -> Int[Array, "*t r"]:
    """Of each mark whether it is open, as 0 or 1: of parentheses whether any is."""
    return jnp.concatenate([marks[..., :1] > 0, marks[..., 1:] % 2 > 0], axis=-1).astype(jnp.int32)


def _refuse_hole(mask: Bool[Array, " t"]) -> Bool[Array, ""]:
    """Whether a mask is True behind a False; ConfigError where that is known already."""
    hole = jnp.any(mask[1:] & ~mask[:-1])
    if isinstance(hole, Tracer) or not bool(hole):
        return hole
    raise ConfigError(
        "a token behind a missing one has no closed form: only a beginning of a row can be given.",
        where="likelihood.family",
        fix="Give a mask that is True up to a place and False behind it.",
    )
