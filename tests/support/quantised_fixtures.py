"""Small quantisers and models around them: what the tests of quantised latents share."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from tables import dense

from latens.models import (
    BernoulliHead,
    CodeHead,
    CodePrior,
    Conditional,
    LatentModel,
    TransformerCodePrior,
    TransformerCodes,
    VectorQuantiser,
)
from latens.trainable import Frozen

KEY = jax.random.key(0)
rng = np.random.default_rng(0)
BOOKS = rng.normal(size=(2, 5, 3))
GROUPS = rng.normal(size=(40, 3))
X = rng.integers(0, 2, (4, 6)).astype(float)


def vectors(books: np.ndarray = BOOKS, averaged: bool = False, counts: object = None, **options) -> VectorQuantiser:
    array = jnp.asarray(books, float)
    if not averaged:
        return VectorQuantiser(array)
    counts = np.zeros(books.shape[:2]) if counts is None else counts
    return VectorQuantiser(Frozen(array), Frozen(jnp.asarray(counts, float)), **options)


def model_of(quantiser, size: int) -> LatentModel:
    k = jax.random.split(jax.random.key(1))
    return LatentModel(
        CodePrior(),
        Conditional(dense([6, 5, size], k[0]), CodeHead((size,), quantiser)),
        Conditional(dense([size, 5, 6], k[1]), BernoulliHead((6,))),
    )


PLACES = 3
HEAD = CodeHead((2 * PLACES,), vectors(np.array([[[0.0, 1.0], [2.0, 0.0], [-1.0, -1.0]]])))
EVERY = np.array(list(itertools.product(range(3), repeat=PLACES)))


def uneven_prior(head: CodeHead, scale: float = 1.5, **sizes: int) -> TransformerCodePrior:
    """A prior whose last weights, at 0 when it is new, are anything but uniform."""
    prior = TransformerCodePrior.create(head, (6,), **{"layers": 2, "width": 8, "heads": 2, **sizes}, key=KEY)
    keys = iter(jax.random.split(jax.random.key(1), 2))
    arrays = lambda p: (p.network.output.weight, p.network.output.bias)  # noqa: E731
    made = [scale * jax.random.normal(next(keys), a.shape, jnp.float32) for a in arrays(prior)]
    return eqx.tree_at(arrays, prior, made)


def uneven() -> TransformerCodes:
    return uneven_prior(HEAD)(model_of(HEAD.quantiser, HEAD.shape[0]))
