"""Models with labels for the generic checks of the objectives that need them, and rows with labels."""

import jax
import jax.numpy as jnp
import numpy as np
from tables import dense

from latens.data import Dataset, Schema
from latens.distributions import StandardNormal
from latens.models import (
    AbstractLatentModel,
    BernoulliHead,
    CategoricalHead,
    Conditional,
    LatentModel,
    NormalHead,
    SemiSupervised,
)


def semi_supervised(shape: tuple[int, ...], head: BernoulliHead | NormalHead, seed: int) -> SemiSupervised:
    """M2 with two classes and two latent units on events of this shape."""
    k, cells = jax.random.split(jax.random.key(seed), 3), 1
    for side in shape:
        cells *= side
    conditional = LatentModel(
        StandardNormal((2,)),
        Conditional(dense([cells + 2, 5, 4], k[0]), NormalHead((2,)), reads=("label",)),
        Conditional(dense([4, 5, head.num_outputs], k[1]), head, reads=("label",)),
    )
    classifier = Conditional(dense([cells, 5, 2], k[2]), CategoricalHead((), 2))
    return SemiSupervised(conditional, classifier, jnp.asarray([0.3, -0.2]))


def with_labels(name: str, model: AbstractLatentModel) -> AbstractLatentModel:
    """The model of binary pixels (2, 3) that an objective with labels takes."""
    return semi_supervised((2, 3), BernoulliHead((2, 3)), 8)


NEED_LABELS = ("SemiSupervisedELBO", "SemiSupervisedELBO, sampled KL")


def two_kinds(n: int = 600, seed: int = 0) -> Dataset:
    """Two kinds of rows of eight coins, with labels; the last hundred are test rows."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n).astype(np.int32)
    x = (rng.random((n, 8)) < np.where(label[:, None] == 1, 0.9, 0.1)).astype(np.uint8)
    split = np.where(np.arange(n) < n - 100, 0, 2).astype(np.uint8)
    ids = np.arange(n)
    return Dataset(x, Schema((8,), "binary", classes=("a", "b")), ids.astype(np.uint32), ids, split, "made", label)
