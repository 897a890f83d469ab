"""Train small models on the first 1, 2 and 4 devices of a process, and print a hash of all numbers for each.

A program of its own: `python shard_hashes.py RECIPE...` prints one JSON object a line.
"""

import hashlib
import json
import sys
from typing import Any

import equinox as eqx
import jax
import numpy as np

from latens.config import override
from latens.data import Dataset, load
from latens.fitting import prepare, train
from latens.recipes import get_recipe

SMALL = {"network.hidden": 8, "posterior.latent_dim": 3, "training.shards": 4, "training.steps": 4}
# 1,437 rows: the second batch of an epoch has 413, so that one shard of four is half padding and another all of it.
SMALL |= {"training.batch_size": 1024, "training.chunk_steps": 2}
IMAGES = {"network": "conv", "network.hidden": (4, 4)}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "dense": ("default", {}),
    "fast-forward": ("fast-forward", {"training.steps": 3, "training.epochs": None}),
    "convolutional": ("default", IMAGES),
    "flow": ("default", {"posterior": "iaf"}),
    "hierarchical": ("default", {"posterior.levels": 2}),
    "linear-path": ("default", IMAGES | {"likelihood": "normal", "network.linear": True}),
    "mixed-table": ("default", {"training.batch_size": 64}),
}


def table() -> Dataset:
    """A table with a column of names, one of whole numbers, and two of numbers with gaps: 150 rows."""
    import pandas as pd

    rng = np.random.default_rng(0)
    kind, size = rng.integers(0, 3, 150), rng.normal(size=150)
    size[rng.random(150) < 0.2] = np.nan
    names = {"kind": np.array(["a", "b", "c"])[kind], "size": size, "count": rng.poisson(2.0 + kind)}
    return load(pd.DataFrame({**names, "weight": rng.gamma(2.0, size=150)}))


def numbers_of(name: str) -> str:
    """Train a recipe; the hash of weights, the optimiser's state and every metric."""
    recipe, settings = RECIPES[name]
    data = table() if name == "mixed-table" else load("digits")
    small = {key: value for key, value in SMALL.items() if recipe == "default" or key.startswith("training")}
    config = override(get_recipe(recipe).config, {**small, **settings})
    records: list[dict[str, Any]] = []
    result = train(prepare(config, data), callbacks=[lambda event: records.append(event.record)])[1]
    state = result.snapshot.state
    leaves = jax.tree.leaves(eqx.filter((state.trainable, state.opt_state, state.step), eqx.is_array))
    digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves))
    digest.update(json.dumps(records).encode())
    return digest.hexdigest()[:16]


def main(names: list[str]) -> None:
    """Print the hashes."""
    every = jax.devices()
    for name in names:
        found = {}
        for count in (1, 2, 4):
            jax.devices = lambda count=count: every[:count]
            found[str(count)] = numbers_of(name)
        print(json.dumps({"recipe": name, "hashes": found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
