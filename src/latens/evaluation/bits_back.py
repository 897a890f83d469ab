"""Lossless coding of rows by a model: asymmetric numeral systems with bits back."""

import importlib
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from latens.distributions import Autoregressive, Bernoulli, DiagonalNormal, FullNormal, StandardNormal, VariableMixture
from latens.distributions.chain import Chain
from latens.distributions.discrete import Categorical, Ordinal
from latens.distributions.mixtures import DiscretisedLogistic, Mixture
from latens.errors import UsageError
from latens.typing import Array

WIDTH, CELLS = 0.125, 64
"""Latents are rounded to cells: so many in an interval of this width. Cells of a Normal's far tails get the smallest
probability of the coder, 2^-24 each, so that intervals, of which there are few, are coded first."""

_FIX = "Models with Normal posteriors, priors of Normals or mixtures of them, and discrete likelihoods can be coded."


def constriction() -> Any:
    """The library whose entropy coder is used."""
    try:
        return importlib.import_module("constriction")
    except ImportError:
        fix = "Install it: pip install 'latens[compress]'."
        raise UsageError("coding needs the package constriction.", where="compress", fix=fix) from None


class Stack:
    """A stack of bits: what is encoded last is decoded first."""

    # `words`: What lies on it, as `words` gives it: uint32, of shape (n,).

    def __init__(self, words: np.ndarray) -> None:
        self._make = constriction().stream.stack.AnsCoder
        self._below: list[np.ndarray] = []
        self._coder = self._make(np.ascontiguousarray(words))

    def push(self, symbols: Shaped[np.ndarray, " n"], kind: Any, *parameters: np.ndarray) -> None:
        """Encode symbols."""
        self._coder.encode_reverse(symbols, kind, *parameters)

    def pop(self, kind: Any, *parameters: np.ndarray) -> Shaped[np.ndarray, " n"]:
        """Decode symbols."""
        most = len(parameters[0]) + 2  # a symbol takes 24 bits at the most
        if self._below and self._coder.num_words() < most:
            self._coder = self._make(self._top(most))
        return np.asarray(self._coder.decode(kind, *parameters))

    def _top(self, count: int) -> np.ndarray:
        """The topmost words, at least so many where there are."""
        words = np.array(self._coder.get_compressed(), np.uint32)
        while self._below and len(words) < count:
            words = np.concatenate([self._below.pop(), words])
        return words

    def scramble(self, number: int, count: int) -> None:
        """Flip the topmost words by a pattern of random bits; the same call once more undoes it."""
        # The bits on top are those of the last row's latent. Read as they are, they would give the next row a latent of
        # nearly the same quantiles, and no sample of q.
        words = self._top(2 * count + 2)
        if len(words) > 64 * count + 2:  # or every row would copy all of them
            self._below.append(words[: -2 * count - 2])
            words = words[-2 * count - 2 :]
        count = min(count, len(words) - 1)
        pattern = np.random.Philox(key=number).random_raw(count).astype(np.uint32)
        words[len(words) - 1 - count : -1] ^= pattern  # the last word holds the leading bit
        self._coder = self._make(words)

    @property
    def words(self) -> np.ndarray:
        """All that lies on it, the topmost word last: uint32, of shape (n,)."""
        return np.concatenate([*self._below, np.asarray(self._coder.get_compressed(), np.uint32)])


class BitsBack:
    r"""Rows to bits and back, at a cost of the negative ELBO."""

    # A row is encoded in three steps: its latent z is *decoded* from the bits that are there, with $q(z \mid x)$, which
    # frees $-\log q(z \mid x)$; then x is encoded with $p(x \mid z)$ and z with $p(z)$. On average that costs $E_q[\log
    # q(z \mid x) - \log p(x \mid z) - \log p(z)]$, the negative ELBO. Latents are rounded to a grid, whose cells cancel
    # in the ratio of q and p. Levels of a hierarchy are coded one after the other. A component of a mixture prior is
    # one more latent, whose posterior $p(k \mid z)$ is exact, so that a mixture costs $-\log p(z)$.
    # Source: Townsend, Bird & Barber (2019), "Practical lossless compression with latent variables using bits back
    # coding"; Kingma, Abbeel & Ho (2019), "Bit-Swap", for levels.
    # `levels`: How many values a variable of a row has, from 0 on.
    # `reach`: How far from 0 a latent can be coded.
    # `dtype`: What the model takes a row as.

    def __init__(
        self, model: Any, shape: tuple[int, ...], *, levels: int, reach: float, dtype: Any = np.float32
    ) -> None:
        self.model, self.shape, self.levels, self.dtype = model, shape, levels, dtype
        models = constriction().stream.model
        intervals = math.ceil(reach / WIDTH)
        self._interval = models.QuantizedGaussian(-intervals, intervals)
        self._names, self._yes = models.Categorical(perfect=False), models.Bernoulli(perfect=False)
        self._q, self._x = eqx.filter_jit(_posterior), eqx.filter_jit(_likelihood)
        # Once: no row decides it.
        self._whole = eqx.filter_jit(lambda model: model.prior())(model)
        self._first = _codable(_level(self._whole, ()))
        self._next, self._shares = eqx.filter_jit(_codable_level), eqx.filter_jit(_responsibilities)
        x = np.zeros(shape, dtype)
        posterior = eqx.filter_eval_shape(lambda model: model.posterior(jnp.asarray(x)), model)
        levels_of = len(posterior.parts) + 1 if isinstance(posterior, Chain) else 1
        if levels_of != (len(self._whole.parts) + 1 if isinstance(self._whole, Chain) else 1):
            raise UsageError("prior and posterior have other levels.", where="compress", fix=_FIX)
        self._downwards = isinstance(posterior, Chain) and posterior.backwards
        drawn: tuple[Array, ...] = ()
        for _ in range(levels_of):
            drawn = (*drawn, jnp.zeros(self._q(model, x, drawn).loc.shape))
        self._sizes = [z.size for z in drawn]

    def _turned(self, z: tuple[Array, ...]) -> tuple[Array, ...]:
        """Levels in the order in which q draws them as levels from the lowest up, or back."""
        return z[::-1] if self._downwards else z

    @property
    def words_before(self) -> int:
        """A number of words that suffices for the latent of one row: so many must be there before the first one."""
        return 2 * sum(self._sizes) + len(self._sizes) + 4

    def encode(self, stack: Stack, x: Shaped[np.ndarray, "*x"]) -> None:
        """Push one row."""
        # stack: the stack, with enough bits on it for a latent.
        z: tuple[Array, ...] = ()
        for _ in self._sizes:
            z = (*z, self._popped(stack, self._q(self.model, x.astype(self.dtype), z)))
        z = self._turned(z)
        kind, probabilities = self._row(z)
        stack.push(np.ascontiguousarray(x.reshape(-1), np.int32), kind, probabilities)
        for level in range(len(z)):
            prior = self._prior(z[level + 1 :])
            if isinstance(prior, Mixture):
                k = int(stack.pop(self._names, np.asarray(self._shares(prior, z[level])))[0])
                self._push(stack, z[level], prior.component(k))
                stack.push(np.array([k], np.int32), self._names, _shares_of(prior))
            else:
                self._push(stack, z[level], prior)

    def decode(self, stack: Stack) -> Shaped[np.ndarray, "*x"]:
        """Pop one row."""
        z: tuple[Array, ...] = ()
        for _ in self._sizes:
            prior = self._prior(z)
            if isinstance(prior, Mixture):
                k = int(stack.pop(self._names, _shares_of(prior))[0])
                z = (self._popped(stack, prior.component(k)), *z)
                stack.push(np.array([k], np.int32), self._names, np.asarray(self._shares(prior, z[0])))
            else:
                z = (self._popped(stack, prior), *z)
        x = np.asarray(stack.pop(*self._row(z))).astype(np.int32).reshape(self.shape)
        z = self._turned(z)
        for level in reversed(range(len(z))):
            self._push(stack, z[level], self._q(self.model, x.astype(self.dtype), z[:level]))
        return x

    def _prior(self, above: tuple[Array, ...]) -> Any:
        """The prior of a level given those above it, the nearest one first."""
        return self._next(self._whole, above) if above else self._first

    def _row(self, z: tuple[Array, ...]) -> tuple[Any, np.ndarray]:
        found = np.asarray(self._x(self.model, z, self.levels), np.float32)
        return (self._yes if found.ndim == 1 else self._names), found

    def _popped(self, stack: Stack, part: Any) -> Array:
        if not isinstance(part, FullNormal):
            return jnp.asarray(self._popped_at(stack, *self._moments(part)).reshape(part.loc.shape))
        (loc, factor), z = _full(part), np.zeros(part.loc.shape, np.float32)
        for unit in range(len(z)):
            z[unit] = self._popped_at(stack, *_given_before(loc, factor, z, unit))[0]
        return jnp.asarray(z)

    def _popped_at(self, stack: Stack, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
        intervals = stack.pop(self._interval, loc / WIDTH, scale / WIDTH)
        cells = stack.pop(self._names, _cells(intervals, loc, scale))
        return _centres(intervals, cells).astype(np.float32)

    def _push(self, stack: Stack, z: Array, part: Any) -> None:
        if not isinstance(part, FullNormal):
            return self._push_at(stack, z, *self._moments(part))
        (loc, factor), whole = _full(part), np.asarray(z)
        for unit in reversed(range(len(whole))):  # popped unit after unit, each given those before it
            self._push_at(stack, whole[unit], *_given_before(loc, factor, whole, unit))

    def _push_at(self, stack: Stack, z: Any, loc: np.ndarray, scale: np.ndarray) -> None:
        place = np.round(np.asarray(z, np.float64).reshape(-1) * (CELLS / WIDTH) + (CELLS - 1) / 2).astype(np.int64)
        intervals = place // CELLS
        stack.push((place - CELLS * intervals).astype(np.int32), self._names, _cells(intervals, loc, scale))
        stack.push(intervals.astype(np.int32), self._interval, loc / WIDTH, scale / WIDTH)

    def _moments(self, part: DiagonalNormal) -> tuple[np.ndarray, np.ndarray]:
        loc, scale = np.asarray(part.loc, np.float64), np.exp(np.asarray(part.log_scale_array(), np.float64))
        if not (np.isfinite(loc).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise UsageError("a latent has no finite mean or scale.", where="compress", fix="Train the model further.")
        return loc.reshape(-1), scale.reshape(-1)


def _centres(intervals: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return (intervals * float(CELLS) + cells - (CELLS - 1) / 2) * (WIDTH / CELLS)


def _cells(intervals: np.ndarray, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The shares of the cells of each interval, of shape (n, CELLS)."""
    log_density = -0.5 * ((_centres(intervals[:, None], np.arange(CELLS)) - loc[:, None]) / scale[:, None]) ** 2
    return np.exp(log_density - log_density.max(axis=1, keepdims=True)).astype(np.float32)


def _normal(part: Any) -> DiagonalNormal:
    if isinstance(part, DiagonalNormal):
        return part
    if isinstance(part, StandardNormal):
        return DiagonalNormal(jnp.zeros(part.shape), jnp.zeros(part.shape))
    what = f"the latents have a {type(part).__name__}, which cannot be coded."
    raise UsageError(what, where="compress", fix=_FIX)


def _codable(part: Any) -> DiagonalNormal | FullNormal | Mixture:
    if isinstance(part, Mixture):
        return Mixture(part.logits, eqx.filter_vmap(_codable)(part.components))
    return part if isinstance(part, FullNormal) else _normal(part)


def _full(part: FullNormal) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(part.loc, np.float64), np.asarray(part.scale_tril(), np.float64)


def _given_before(loc: np.ndarray, factor: np.ndarray, z: np.ndarray, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of one unit of a Normal with all correlations, given the units before it."""
    noise = np.zeros(unit)
    for i in range(unit):  # always in this order: both directions have the same numbers
        noise[i] = (z[i] - loc[i] - factor[i, :i] @ noise[:i]) / factor[i, i]
    return loc[unit : unit + 1] + factor[unit, :unit] @ noise, factor[unit, unit : unit + 1]


def _level(whole: Any, given: tuple[Array, ...]) -> Any:
    """The distribution of the level that is drawn next, given those drawn so far, the nearest one first."""
    if not isinstance(whole, Chain):
        return whole
    return whole.parts[len(given) - 1](given[0]) if given else whole.first


def _codable_level(whole: Any, given: tuple[Array, ...]) -> DiagonalNormal | FullNormal | Mixture:
    return _codable(_level(whole, given))


def _posterior(model: Any, x: Any, drawn: tuple[Array, ...]) -> DiagonalNormal:
    return _normal(_level(model.posterior(jnp.asarray(x)), drawn[::-1]))


def _responsibilities(prior: Mixture, z: Array) -> Array:
    return jnp.exp(prior.log_responsibilities(z))[None]


def _shares_of(prior: Mixture) -> np.ndarray:
    return np.asarray(jax.nn.softmax(prior.logits), np.float32)[None]


def _likelihood(model: Any, z: tuple[Array, ...], levels: int) -> Array:
    """The probability of 1 for each variable, (n,), or of every value, (n, levels)."""
    found: Any = model.likelihood(z[0] if len(z) == 1 else z)
    if isinstance(found, Bernoulli):
        return found.mean().reshape(-1)
    inner = found.components if isinstance(found, VariableMixture) else found
    if not isinstance(inner, Categorical | Ordinal | DiscretisedLogistic):
        if isinstance(found, Autoregressive):
            what = "pixels that depend on one another would be decoded one after another, which is not done."
            raise UsageError(what, where="compress", fix="Use a likelihood without autoregressive- in its name.")
        what = f"a likelihood of {type(found).__name__} gives no probabilities of a bounded number of values."
        raise UsageError(what, where="compress", fix=_FIX)
    one = lambda value: found.log_prob_terms(jnp.full(found.mean().shape, value, jnp.int32)).reshape(-1)  # noqa: E731
    return jax.nn.softmax(jax.vmap(one, out_axes=1)(jnp.arange(levels)), axis=1)


def is_binary(model: Any) -> bool:
    """Whether the likelihood of a model is one of zeros and ones."""
    found = eqx.filter_eval_shape(lambda m, key: m.likelihood(m.prior().sample(key=key)), model, jax.random.key(0))
    return isinstance(found, Bernoulli)
