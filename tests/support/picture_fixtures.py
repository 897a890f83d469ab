"""Small models and data of every kind that pictures are drawn of."""

import csv
from pathlib import Path

import jax
import numpy as np

from latens.data import Dataset, Preparation, Schema
from latens.distributions import StandardNormal
from latens.model_figures.draw import FIRST
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead
from latens.networks import Dense
from latens.trained.trained_model import TrainedModel

HISTORY = [
    {"event": "epoch", "step": 5 * i, "epoch": float(i), "train_elbo": -90.0 + i, "validation_elbo": -95.0 + i}
    for i in range(1, 4)
]


def model_of(head, units=2, posterior=None, key=0):
    encoder_key, decoder_key = jax.random.split(jax.random.key(key))
    posterior = posterior or NormalHead((units,))
    cells = int(np.prod(head.shape))
    encoder = Conditional(Dense([cells, 8, posterior.num_outputs], key=encoder_key), posterior)
    decoder = Conditional(Dense([units, 8, head.num_outputs], key=decoder_key), head)
    return LatentModel(StandardNormal((units,)), encoder, decoder)


def data_of(schema, n=40, labels=True):
    rng = np.random.default_rng(0)
    match schema.kind:
        case "binary":
            x = (rng.random((n, *schema.shape)) < 0.3).astype(np.uint8)
        case "levels":
            x = rng.integers(0, schema.levels, (n, *schema.shape)).astype(np.uint8)
        case _:
            x = rng.normal(size=(n, *schema.shape)).astype(np.float32)
    ids = np.arange(n)
    split = np.repeat([0, 1, 2], [n - 20, 8, 12]).astype(np.uint8)
    label = (ids % 3).astype(np.int32) if labels else None
    return Dataset(x, schema, ids.astype(np.uint32), ids, split, "made", label=label)


def beyond_first(drawn):
    """Name -> table of the pictures that are not for a first look."""
    return {name: table for name, _, table in drawn if name not in FIRST and not name.startswith("manifold-")}


BITS = Schema((5, 4), "binary", classes=("a", "b", "c"))
LEVELS = Schema((8, 8), "levels", levels=17)


def trained_bits(**options):
    return TrainedModel(model_of(BernoulliHead((5, 4)), **options), BITS, Preparation())


def columns(path: Path) -> dict[str, tuple[str, ...]]:
    """The columns of a CSV file, by name."""
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, zip(*rows)))
