"""Small quantisers and models around them: what the tests of quantised latents share."""

import jax
import jax.numpy as jnp
import numpy as np
from tables import dense

from latens.models import BernoulliHead, CodeHead, CodePrior, Conditional, LatentModel, VectorQuantiser
from latens.trees import Frozen

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
