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
    """Name -> Axes of the pictures that are not for a first look."""
    return {name: axes for name, axes, _ in drawn if name not in FIRST and not name.startswith("manifold-")}


def pictured(ax, cells=0):
    """The grey images that Axes show, a row each, in reading order; `cells` of them along each side of a plane."""
    drawn = np.asarray(ax.images[0].get_array())
    if cells:  # without gaps, each in a frame of one pixel
        grid = drawn[..., 0].reshape(cells, drawn.shape[0] // cells, cells, -1)[:, 1:-1, :, 1:-1]
        return grid.transpose(0, 2, 1, 3).reshape(cells * cells, -1)
    seen = drawn[..., 3] > 0
    places = [np.flatnonzero(seen.any(axis)) for axis in (1, 0)]
    rows, columns = (np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) for at in places)
    return np.stack([drawn[np.ix_(i, j)][..., 0].ravel() for i in rows for j in columns if seen[np.ix_(i, j)].all()])


BITS = Schema((5, 4), "binary", classes=("a", "b", "c"))
LEVELS = Schema((8, 8), "levels", levels=17)


def trained_bits(**options):
    return TrainedModel(model_of(BernoulliHead((5, 4)), **options), BITS, Preparation())


def columns(path: Path) -> dict[str, tuple[str, ...]]:
    """The columns of a CSV file, by name."""
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, zip(*rows)))
