"""Quantised latents: groups of numbers as the nearest of K codes, and priors of codes, uniform or autoregressive."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.models.heads.base import AbstractHead
from latens.models.priors import AbstractModelPrior
from latens.models.semi_supervised import LABEL
from latens.networks.token_networks import CausalTransformer
from latens.trainable import Frozen
from latens.typing import Array, Cond, Float, Int, Key, Nats


class Assignment(eqx.Module):
    """The codes of n groups in S stages."""

    inputs: Float[Array, "n S d"]  # the numbers that met the codes, of shape (n, S, d)
    chosen: Float[Array, "n S d"]  # the codes that they met, with their gradient, of shape (n, S, d)
    codes: Int[Array, "n S"]  # the numbers of these codes, of shape (n, S), from 0


class AbstractQuantiser(eqx.Module):
    """From groups of numbers to one of K codes in each of S stages; a group becomes their sum."""

    @property
    @abstractmethod
    def code_dim(self) -> int:
        """How many numbers make a group."""

    @property
    @abstractmethod
    def num_codes(self) -> int:
        """How many codes K each stage has."""

    @property
    def num_stages(self) -> int:
        """How many stages S there are."""
        return 1

    @abstractmethod
    def __call__(self, inputs: Float[Array, "n d"]) -> Assignment:
        """Assign groups to codes."""

    @abstractmethod
    def decode(self, codes: Int[Array, "n S"]) -> Float[Array, "n d"]:
        """The vectors that belong to the numbers of codes.

        Args:
            codes: The number of a code for each group and stage, of shape (n, S), from 0.

        Returns:
            Shape (n, d).
        """

    @property
    def trained(self) -> bool:
        """Whether the codes have a gradient."""
        return False

    @property
    def moves(self) -> bool:
        """Whether the codes move without a gradient, by `moved`."""
        return False

    def moved(
        self, inputs: Float[Array, "R S d"], codes: Int[Array, "R S"], weights: Float[Array, " R"], *, key: Key
    ) -> "AbstractQuantiser":
        """The same quantiser after a batch of groups was assigned to codes.

        Args:
            inputs: The numbers that met the codes, of shape (R, S, d).
            codes: The numbers of the codes met, of shape (R, S).
            weights: The weight of each group, of shape (R,).
            key: A JAX random key.

        Returns:
            A new quantiser, or the same one where its codes do not move.
        """
        return self


class VectorQuantiser(AbstractQuantiser):
    r"""The nearest of K learned vectors; with S > 1 stages each of what the stages before it left over (residual).

    An array is trained by gradient. In a `Frozen` it is the average of what was assigned to it: with $n_k$ groups of
    sum $m_k$ in a batch $N_k \leftarrow \gamma N_k + (1-\gamma) n_k$ and $e_k \leftarrow (\gamma N_k e_k + (1-\gamma)
    m_k) / N_k'$. A code with less than `reset_below` of the average use is dead, and put at a group of the batch; so
    all start, with a count of 0.

    Args:
        codebooks: The codes $e$, of shape (S, K, d); an array is trained by gradient, a `Frozen` one by averages.
        counts: The counts N, of shape (S, K), beside a `Frozen` only; else None.
        decay: The rate $\gamma$ at which averages keep what they were.
        reset_below: Below which part of the average use a code is dead.

    Source: Van den Oord et al. (2017), arXiv 1711.00937, appendix A.1; stages: Zeghidour et al. (2021), arXiv
    2107.03312.
    """

    codebooks: Float[Array, "S K d"] | Frozen
    counts: Frozen | None = None
    decay: float = eqx.field(static=True, default=0.99)
    reset_below: float = eqx.field(static=True, default=0.05)

    @classmethod
    def create(
        cls, code_dim: int, *, codes: int, stages: int = 1, averaged: bool = False, key: Key, **options: Any
    ) -> "VectorQuantiser":
        """Initialise codes from N(0, 1).

        They are as wide as a fresh encoder's outputs: in a small box few codes would ever be met.

        Args:
            code_dim: How many numbers make a group.
            codes: How many codes each stage has.
            stages: How many stages there are.
            averaged: Whether codes are averages of what was assigned to them, instead of trained by gradient.
            key: A JAX random key for the initialisation.
            options: `decay` and `reset_below`, for averages only.

        Returns:
            The quantiser.
        """
        books = jax.random.normal(key, (stages, codes, code_dim))
        return cls(Frozen(books), Frozen(jnp.zeros((stages, codes))), **options) if averaged else cls(books)

    @property
    def books(self) -> Float[Array, "S K d"]:
        """The codes of all stages, of shape (S, K, d), frozen or not."""
        return self.codebooks.value if isinstance(self.codebooks, Frozen) else self.codebooks

    @property
    def num_stages(self) -> int:
        """How many stages S there are."""
        return self.books.shape[0]

    @property
    def num_codes(self) -> int:
        """How many codes K each stage has."""
        return self.books.shape[1]

    @property
    def code_dim(self) -> int:
        """How many numbers make a group."""
        return self.books.shape[2]

    @property
    def trained(self) -> bool:
        """Whether the codes have a gradient: where they are not averages."""
        return not isinstance(self.codebooks, Frozen)

    @property
    def moves(self) -> bool:
        """Whether the codes move without a gradient: where they are averages."""
        return self.counts is not None

    def __call__(self, inputs: Float[Array, "n d"]) -> Assignment:
        """Assign each group to its nearest code, stage by stage."""
        met, chosen, codes, rest = [], [], [], inputs
        for book in self.books:
            # Half the squared distance, without the part that all codes share.
            distance = 0.5 * jnp.sum(book**2, axis=1)[None] - rest @ book.T
            codes.append(jnp.argmin(distance, axis=1).astype(jnp.int32))
            met.append(rest)
            # A product: a gather would differentiate to a scatter, which is slow on CPU.
            chosen.append(jax.nn.one_hot(codes[-1], book.shape[0], dtype=book.dtype) @ book)
            rest = rest - jax.lax.stop_gradient(chosen[-1])
        return Assignment(jnp.stack(met, 1), jnp.stack(chosen, 1), jnp.stack(codes, 1))

    def decode(self, codes: Int[Array, "n S"]) -> Float[Array, "n d"]:
        """The sum of the codes of all stages."""
        return jnp.sum(jnp.stack([book[codes[:, stage]] for stage, book in enumerate(self.books)]), axis=0)

    def moved(
        self, inputs: Float[Array, "R S d"], codes: Int[Array, "R S"], weights: Float[Array, " R"], *, key: Key
    ) -> "VectorQuantiser":
        """The same quantiser with its averages after a batch, and dead codes put at groups of it."""
        if self.counts is None:
            return self

        def one_stage(book: Array, count: Array, met: Array, number: Array, key: Key) -> tuple[Array, Array]:
            hits = weights[:, None] * jax.nn.one_hot(number, book.shape[0], dtype=book.dtype)
            after = self.decay * count + (1.0 - self.decay) * jnp.sum(hits, axis=0)
            total = self.decay * count[:, None] * book + (1.0 - self.decay) * hits.T @ met
            used = (after > 0.0)[:, None]
            book = jnp.where(used, total / jnp.where(used, after[:, None], 1.0), book)
            average = jnp.mean(after)
            dead = after < self.reset_below * average
            rows = jax.random.categorical(key, jnp.log(weights), shape=count.shape)
            return jnp.where(dead[:, None], met[rows], book), jnp.where(dead, average, after)

        keys = jax.random.split(key, self.num_stages)
        over = jax.vmap(one_stage, in_axes=(0, 0, 1, 1, 0))
        books, counts = over(self.books, self.counts.value, inputs, codes, keys)
        return VectorQuantiser(Frozen(books), Frozen(counts), self.decay, self.reset_below)


class ScalarQuantiser(AbstractQuantiser):
    r"""Every number of a group rounded to one of its levels after a tanh: no codebook, and no code that dies.

    With $h = (L-1)(1 - 10^{-3})/2$ and $o = \frac12$ for even L, else 0: $\mathrm{round}(h \tanh(z + \tan(o/h)) - o) /
    \lfloor L/2 \rfloor$ (finite scalar quantisation).

    Args:
        grid: The levels $L \ge 3$ of each number of a group.

    Raises:
        ConfigError: An entry of the grid is below 3.

    Source: Mentzer, Minnen, Agustsson & Tschannen (2023), arXiv 2309.15505, appendix A.1.
    """

    grid: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not self.grid or min(self.grid) < 3:
            raise ConfigError(
                f"every entry of the grid must be 3 or more, not {self.grid}.",
                where="posterior.grid",
                fix="Use 3 or more, such as 8,5,5.",
            )

    @property
    def code_dim(self) -> int:
        """How many numbers make a group."""
        return len(self.grid)

    @property
    def num_codes(self) -> int:
        """How many codes there are: the product of all levels."""
        return math.prod(self.grid)

    @property
    def _steps(self) -> np.ndarray:
        """How far the joint number goes with one level of each number."""
        return np.cumprod([1, *self.grid[:-1]]).astype(np.int32)

    def __call__(self, inputs: Float[Array, "n d"]) -> Assignment:
        """Round each number to its nearest level."""
        levels = np.asarray(self.grid, np.float64)
        half, offset = (levels - 1.0) * (1.0 - 1e-3) / 2.0, np.where(levels % 2 == 1, 0.0, 0.5)
        of = lambda numbers: jnp.asarray(numbers, inputs.dtype)[None]  # noqa: E731
        bounded = jnp.tanh(inputs + of(np.tan(offset / half))) * of(half) - of(offset)
        rounded, width = jnp.round(bounded), of(levels // 2)
        codes = jnp.sum((rounded + width).astype(jnp.int32) * self._steps[None], axis=1, dtype=jnp.int32)
        return Assignment((bounded / width)[:, None], (rounded / width)[:, None], codes[:, None])

    def decode(self, codes: Int[Array, "n S"]) -> Float[Array, "n d"]:
        """The levels that belong to the numbers of codes."""
        levels = np.asarray(self.grid, np.int32)[None]
        digits = codes // self._steps[None] % levels
        return (digits - levels // 2).astype(jnp.float32) / jnp.asarray(levels // 2, jnp.float32)


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
    density_elsewhere: ClassVar[bool] = False

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

    quantiser: AbstractQuantiser

    def __check_init__(self) -> None:
        size, each = math.prod(self.shape), self.quantiser.code_dim
        if size % each:
            what = f"{size} latent units are not a whole number of groups of {each}."
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
