"""Rows as a file of bits that a model gives back exactly: the proof that its nats are real.

    pip install constriction
    python examples/compress.py

A row is encoded in three steps (bits back): its latent z is *decoded* from the bits that are there, with q(z | x),
which frees -log q(z | x); then x is encoded with p(x | z), and z with p(z). On average that costs the negative ELBO.
Latents are rounded to a grid, whose cells cancel in the ratio of q and p.

For models with independent Normal latents, a standard Normal prior, and a likelihood of zeros and ones or of levels.
Both ends must run on the same machine: one other last bit of a network would spoil all rows that follow.

Source: Townsend, Bird & Barber (2019), "Practical lossless compression with latent variables using bits back coding".
"""

import math

import constriction
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import latens
from latens.distributions import Bernoulli, DiagonalNormal, StandardNormal

WIDTH, CELLS = 0.125, 64
"""Latents are coded as an interval of this width, then one of so many cells in it: else the coder's smallest
probability, spread over a fine grid, would be a thousandth of the mass, far from where p(x | z) was trained."""
REACH = 128
"""Intervals to either side of 0."""

CODER = constriction.stream.model
INTERVAL = CODER.QuantizedGaussian(-REACH, REACH)
NAMES, YES = CODER.Categorical(perfect=False), CODER.Bernoulli(perfect=False)


class Stack:
    """A stack of bits: what is encoded last is decoded first."""

    def __init__(self, words: np.ndarray) -> None:
        self.coder = constriction.stream.stack.AnsCoder(np.ascontiguousarray(words))

    def push(self, symbols: np.ndarray, kind, *parameters: np.ndarray) -> None:
        """Encode symbols."""
        self.coder.encode_reverse(symbols.astype(np.int32), kind, *parameters)

    def pop(self, kind, *parameters: np.ndarray) -> np.ndarray:
        """Decode symbols."""
        return np.asarray(self.coder.decode(kind, *parameters))

    def scramble(self, number: int, count: int) -> None:
        """Flip the topmost words by a pattern of random bits; the same call once more undoes it."""
        # The bits on top are those of the last row's latent. Read as they are, they would give the next row a latent of
        # nearly the same quantiles, and no sample of q.
        words = self.words
        count = min(count, len(words) - 1)
        words[len(words) - 1 - count : -1] ^= np.random.Philox(key=number).random_raw(count).astype(np.uint32)
        self.coder = constriction.stream.stack.AnsCoder(words)

    @property
    def words(self) -> np.ndarray:
        """All that lies on it, the topmost word last."""
        return np.array(self.coder.get_compressed(), np.uint32)


class BitsBack:
    """Rows to bits and back, at a cost of the negative ELBO."""

    def __init__(self, model, levels: int, shape: tuple[int, ...]) -> None:
        if not isinstance(model.prior(), StandardNormal):
            raise SystemExit("the prior must be a standard Normal: --set prior=standard-normal")
        self.model, self.shape, self.size = model, shape, model.prior().shape[0]
        self.before = 2 * self.size + 5  # words that suffice for one latent
        self._q = eqx.filter_jit(lambda model, x: _moments(model.posterior(x)))
        self._x = eqx.filter_jit(lambda model, z: _shares(model.likelihood(z), levels))

    def encode(self, stack: Stack, x: np.ndarray) -> None:
        """Push one row of whole numbers."""
        z = self._pop(stack, *self._posterior(x))
        stack.push(x.reshape(-1), *self._likelihood(z))
        self._push(stack, z, *self._prior())

    def decode(self, stack: Stack) -> np.ndarray:
        """Pop one row."""
        z = self._pop(stack, *self._prior())
        x = stack.pop(*self._likelihood(z)).reshape(self.shape)
        self._push(stack, z, *self._posterior(x))
        return x

    def _posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        loc, scale = self._q(self.model, jnp.asarray(x, jnp.float32))
        return np.asarray(loc, np.float64), np.asarray(scale, np.float64)

    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(self.size), np.ones(self.size)

    def _likelihood(self, z: np.ndarray):
        shares = np.asarray(self._x(self.model, jnp.asarray(z, jnp.float32)), np.float32)
        return (YES if shares.ndim == 1 else NAMES), shares

    def _pop(self, stack: Stack, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
        intervals = stack.pop(INTERVAL, loc / WIDTH, scale / WIDTH)
        cells = stack.pop(NAMES, _cells(intervals, loc, scale))
        return _centres(intervals, cells)

    def _push(self, stack: Stack, z: np.ndarray, loc: np.ndarray, scale: np.ndarray) -> None:
        place = np.round(z * (CELLS / WIDTH) + (CELLS - 1) / 2).astype(np.int64)
        intervals = place // CELLS
        stack.push(place - CELLS * intervals, NAMES, _cells(intervals, loc, scale))
        stack.push(intervals, INTERVAL, loc / WIDTH, scale / WIDTH)


def _centres(intervals: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return (intervals * float(CELLS) + cells - (CELLS - 1) / 2) * (WIDTH / CELLS)


def _cells(intervals: np.ndarray, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The shares of the cells of each interval, of shape (n, CELLS)."""
    log_density = -0.5 * ((_centres(intervals[:, None], np.arange(CELLS)) - loc[:, None]) / scale[:, None]) ** 2
    return np.exp(log_density - log_density.max(axis=1, keepdims=True)).astype(np.float32)


def _moments(posterior: DiagonalNormal) -> tuple[jax.Array, jax.Array]:
    return posterior.loc.reshape(-1), jnp.exp(posterior.log_scale_array()).reshape(-1)


def _shares(likelihood, levels: int) -> jax.Array:
    """The probability of 1 for each variable, (n,), or of every value, (n, levels)."""
    if isinstance(likelihood, Bernoulli):
        return likelihood.mean().reshape(-1)

    def one(value: jax.Array) -> jax.Array:
        return likelihood.log_prob_terms(jnp.full(likelihood.mean().shape, value, jnp.int32)).reshape(-1)

    return jax.nn.softmax(jax.vmap(one, out_axes=1)(jnp.arange(levels)), axis=1)


def compress(coder: BitsBack, rows: np.ndarray) -> np.ndarray:
    """The words of a stack that holds all rows."""
    stack = Stack(np.ones(coder.before, np.uint32))
    for number, row in enumerate(rows):
        stack.scramble(number, coder.before)
        coder.encode(stack, row)
    return stack.words


def decompress(coder: BitsBack, words: np.ndarray, count: int) -> np.ndarray:
    """The rows that `compress` coded."""
    stack, found = Stack(words), []
    for number in reversed(range(count)):
        found.append(coder.decode(stack))
        stack.scramble(number, coder.before)
    return np.array(found[::-1])


def main() -> None:
    settings = {"prior": "standard-normal", "posterior": "normal", "posterior.latent_dim": 16, "training.steps": 600}
    data = latens.read("digits")
    trained, *_ = latens.fitting.train(
        latens.fitting.prepare(latens.config.override(latens.recipes.get_recipe("default").config, settings), data)
    )
    x = np.asarray(data.x)[:400].astype(np.int32)
    coder = BitsBack(trained.model, levels=trained.schema.levels, shape=x.shape[1:])
    words = compress(coder, x)
    assert np.array_equal(decompress(coder, words, len(x)), x)
    data = latens.read(x.astype(np.uint8), schema=trained.schema)
    elbo = latens.evidence.elbo_parts(trained.rows(data, np.arange(len(x)), seed=0), num_samples=4)["elbo"]
    bits, said = 32 * len(words), -float(np.sum(elbo, dtype=np.float64)) / math.log(2.0)
    print(f"{len(x)} rows in {bits:,} bits, {bits / said - 1:+.2%} against the ELBO, and back bit for bit")


if __name__ == "__main__":
    main()
