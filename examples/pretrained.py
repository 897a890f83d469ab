"""Train the models that ship with latens: `python examples/pretrained.py FOLDER [NAME ...]`.

The models of digits take a minute on two cores, those of MNIST a quarter of an hour; MNIST is downloaded, or read from
LATENS_DATA/mnist.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from latens import evidence
from latens.config import override
from latens.data import Dataset, load
from latens.data.row_fields import evenly_spaced
from latens.evidence import Estimate
from latens.figures.paths import medoid
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache
from latens.trained.trained_model import TrainedModel

ROWS = 1000
"""Test rows that the loss of half precision is measured on."""


class Shipped(NamedTuple):
    """One model.

    Args:
        data: The name of the data.
        recipe: The name of the recipe.
        settings: Its options.
        half: Whether its file holds half precision.
    """

    data: str
    recipe: str
    settings: dict[str, Any]
    half: bool = False


def _digits(latent_dim: int) -> Shipped:
    # These widths keep a file under 1 MB: the decoder ends in 17 levels for each of 64 pixels.
    return Shipped("digits", "default", {"posterior.latent_dim": latent_dim, "network.hidden": (128, 128)})


MODELS = {
    "digits-2d": _digits(2),
    "digits-16d": _digits(16),
    "mnist-2d": Shipped("mnist", "fast-forward-2d", {"training.steps": 40_000}, half=True),
    "mnist-50d": Shipped("mnist", "fast-forward", {"training.steps": 20_000}, half=True),
}
"""The models by name."""


def measured(trained: TrainedModel, data: Dataset, rows: Any) -> Estimate:
    """Estimate the mean of log p(x) (or of its bound, where pixels are grey) by importance sampling.

    Args:
        trained: The model.
        data: The data.
        rows: The positions of rows.

    Returns:
        The estimate in nats.
    """
    batch, key = trained.batch(data, rows), jax.random.key(0)
    found = evidence.log_marginal(trained.rows(batch, key=key), num_samples=1000)
    return Estimate.of(found, num_samples=1000, protocol="importance sampling, test rows")


def class_codes(trained: TrainedModel, data: Dataset, most: int = 200) -> dict[str, list[float]]:
    """Find a code of each class, for a morph without rows: the medoid of the means of its training rows.

    Args:
        trained: The model.
        data: The data, with labels.
        most: Rows of each class that are looked at.

    Returns:
        Codes by the name of the class, with three decimals.
    """
    train, found, labels = data.subset("train"), {}, np.asarray(data.label)
    for code, name in enumerate(data.schema.classes or ()):
        means = trained.encode(data.x[evenly_spaced(train[labels[train] == code], most)])
        found[name] = [round(float(value), 3) for value in medoid(means)]
    return found


def make(shipped: Shipped) -> tuple[TrainedModel, Dataset]:
    """Train one model, and note what it makes of test rows in its facts.

    Args:
        shipped: What is trained.

    Returns:
        The trained model and its data.
    """
    data = load(shipped.data)
    config = override(get_recipe(shipped.recipe).config, {"training.seed": 0, **shipped.settings})
    trained, _ = train(prepare(config, data))
    rows = data.subset("test")[: ROWS if shipped.half else None]
    return trained.with_facts(test_log_marginal=measured(trained, data, rows).to_json()), data


def main(folder: Path, names: list[str]) -> None:
    """Train models and write them to a folder.

    Args:
        folder: The folder, which exists.
        names: The names of the models; none stands for all.
    """
    enable_compilation_cache()
    for name in names or MODELS:
        shipped = MODELS[name]
        trained, data = make(shipped)
        file = trained.save(folder / f"{name}.safetensors", half=shipped.half)
        found = trained.facts["test_log_marginal"]
        words = [f"{file.stat().st_size:,} bytes", f"test {found['value']:.2f} ± {found['standard_error']:.2f} nats"]
        if shipped.half:
            again = measured(TrainedModel.load(file), data, data.subset("test")[:ROWS])
            (folder / f"{name}.json").write_text(json.dumps(class_codes(trained, data)) + "\n")
            words.append(f"half precision {again.value - found['value']:+.4f} nats")
        print(f"{file}: {', '.join(words)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
