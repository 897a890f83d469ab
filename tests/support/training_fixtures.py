"""Small data, a small model and a run of the loop: what the tests of training share."""

import equinox as eqx
import jax
import numpy as np

from latens.data import Dataset, Preparation, Schema
from latens.distributions import StandardNormal
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead
from latens.networks import Dense
from latens.objectives import ELBO
from latens.training import Budget, Settings, Stage, fit, make_optimizer


def make_data(n=100, shape=(3, 2), seed=0, validation=10):
    rng = np.random.default_rng(seed)
    x = (rng.random((n, *shape)) < 0.3).astype(np.uint8)
    split = np.zeros(n, np.uint8)
    split[:validation] = 1
    ids = np.arange(n)
    return Dataset(x, Schema(shape, "binary"), ids.astype(np.uint32), ids, split, "made")


def make_model(shape=(3, 2), key=0, **network):
    encoder_key, decoder_key = jax.random.split(jax.random.key(key))
    cells = int(np.prod(shape))
    return LatentModel(
        StandardNormal((2,)),
        Conditional(Dense([cells, 8, 4], key=encoder_key, **network), NormalHead((2,))),
        Conditional(Dense([2, 8, cells], key=decoder_key, **network), BernoulliHead(shape)),
    )


def stage(budget, objective=None, **optimizer):
    return Stage(objective or ELBO(), make_optimizer(**({"name": "adam", "learning_rate": 1e-2} | optimizer)), budget)


def run(data=None, model=None, stages=None, callbacks=(), resume=None, **settings):
    chosen = {"batch_size": 16, "chunk_steps": 4, "seed": 3} | settings
    return fit(
        model or make_model(), data or make_data(), stages or [stage(Budget(epochs=3))], preparation=Preparation(),
        settings=Settings(**chosen), callbacks=callbacks, resume=resume,
    )  # fmt: skip


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


def assert_same_bits(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        assert x.tobytes() == y.tobytes()
