"""Train the models that ship with latens: `python examples/pretrained.py FOLDER`, a minute on two cores."""

import sys
from pathlib import Path

import jax

from latens import evaluation
from latens.config import override
from latens.data import load
from latens.io.compilation import enable_compilation_cache
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare, train
from latens.workflow.trained import TrainedModel

MODELS = {"digits-2d": 2, "digits-16d": 16}
"""Names and their numbers of latent dimensions."""

HIDDEN = (128, 128)
"""Widths that keep a file under 1 MB: the decoder ends in 17 levels for each of 64 pixels."""


def make(latent_dim: int) -> TrainedModel:
    """Train the default recipe on the digits until validation stops it, and note test log p(x) in its facts.

    Args:
        latent_dim: The number of latent dimensions.

    Returns:
        The trained model.
    """
    data = load("digits")
    settings = {"posterior.latent_dim": latent_dim, "network.hidden": HIDDEN, "training.seed": 0}
    experiment = prepare(override(get_recipe("default").config, settings), data)
    trained, _ = train(experiment)
    batch = trained.batch(data, data.subset("test"))
    rows = evaluation.log_marginal(
        trained.model, batch, num_samples=1000, key=jax.random.key(0), preparation=trained.preparation
    )
    estimate = evaluation.Estimate.of(rows, num_samples=1000, protocol="importance sampling, test rows")
    return trained.with_facts(test_log_marginal=estimate.to_json())


def main(folder: Path) -> None:
    """Train all of them and write them to a folder.

    Args:
        folder: The folder, which exists.
    """
    enable_compilation_cache()
    for name, latent_dim in MODELS.items():
        trained = make(latent_dim)
        file = trained.save(folder / f"{name}.safetensors")
        steps, found = trained.facts["best_step"], trained.facts["test_log_marginal"]
        value = f"{found['value']:.2f} ± {found['standard_error']:.2f} nats"
        print(f"{file}: {file.stat().st_size:,} bytes, test log p(x) {value}, best after {steps} steps")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
