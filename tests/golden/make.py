"""Writes the golden model files of the present format. Run it once when the format's number changes, never again for
a number that was released: the files are evidence that old models still load and give the same numbers.

    python tests/golden/make.py

Each `format-N-NAME.safetensors` has a `format-N-NAME.json` beside it: inputs, and what the model gave for them.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from latens import evidence, latents
from latens.cli.main import main
from latens.config import ClassifierConfig
from latens.data import as_batch, load
from latens.evidence import ModelRows
from latens.predictive.classes import class_log_joint
from latens.trained.trained_model import FORMAT, TrainedModel

FOLDER = Path(__file__).resolve().parent

TABLE = ("--recipe", "default", "--set", "network.hidden=8", "--set", "posterior.latent_dim=2")
PLAIN = ("--set", "prior=standard-normal", "--set", "objective.beta=1")
RECIPES = {
    "table": (*TABLE, "--steps", "60"),
    "pictures": (*TABLE, "--steps", "60", "--set", "likelihood.family=categorical"),
    "classifier": ("--recipe", "mlq-gaussian", "--label", "y"),
    "mixed": (*TABLE, *("--steps", "60", "--num-samples", "2"), *PLAIN),
    "steps": (
        *("--recipe", "linear-gaussian", "--steps", "20", "--num-samples", "2"),
        *("--set", "posterior.latent_dim=2", "--set", "training.batch_size=32"),
    ),
    "tokens": (
        *("--set", "network.hidden=5", "--set", "posterior.latent_dim=2", "--set", "likelihood.width=6"),
        *("--steps", "60", "--num-samples", "2", "--pieces", "atoms"),
    ),
}
FROM_FILES = ("mixed", "tokens")
"""Of these the rows are read again with the schema of the model."""
LINES = "CCO\nCCN\nCCBr\nClCC\nC[NH3+]\nc1ccccc1\nCCCC\nOCC\n"
"""The rows of text."""
OF_STEPS = {"deep-steps": ("--recipe", "vrnn", "--set", "network.hidden=3", "--set", "posterior.latent_dim=2")}
OF_STEPS["deep-steps"] += ("--set", "posterior.units=3", "--set", "posterior.memory=3", "--set", "posterior.lags=[1]")
"""Of these the numbers are estimates of log p(x)."""
SMALL = ("--steps", "40", "--num-samples", "2", "--set", "training.batch_size=32")
OF_PICTURES = {
    "convolutions": ("--set", "network=conv", "--set", "network.hidden=[2,3]", "--set", "network.blocks=1"),
    "ladder-conv": ("--recipe", "ladder-conv", "--set", "network.hidden=[2,2]", "--set", "posterior.latent_dim=1"),
    "pixel-vae": ("--recipe", "pixel-vae", "--set", "network=dense", "--set", "network.hidden=[3]"),
    "codes": ("--recipe", "vq-vae", "--set", "network=conv", "--set", "network.hidden=[2,3]"),
}
"""Of these the numbers are estimates of log p(x), of codes reconstructions: their ways are long to write twice."""
MORE = {
    "convolutions": ("--set", "posterior.latent_dim=2", "--set", "likelihood=logistic-mixture"),
    "pixel-vae": ("--set", "posterior.latent_dim=1", "--set", "likelihood.options.width=8"),
    "codes": ("--set", "posterior.options.codes=4", "--set", "posterior.options.code_dim=2"),
}
COLUMNS = ("size=ordinal:S,M,L,XL", "day=date:Europe/Paris")
"""What is said of the columns of the mixed table."""


def rows(name: str) -> dict[str, np.ndarray]:
    """The data of one golden model: 3 columns of numbers (with labels), pictures of 4 levels, or steps of 2 numbers."""
    random = np.random.default_rng(1)
    if "steps" in name:
        x = np.cumsum(0.5 * random.normal(size=(120, 9, 2)), axis=1) + random.normal(size=(120, 9, 2))
        return {"x": (x * [1.0, 20.0] + [0.0, 5.0]).astype(np.float32)}
    if name in OF_PICTURES:
        steps = random.integers(0, 9, (120, 8, 2, 1)) * np.ones((1, 1, 1, 4), int)
        return {"x": (20 * steps.reshape(120, 8, 8) + random.integers(0, 40, (120, 8, 8))).astype(np.uint8)}
    if name == "pictures":
        return {"x": random.integers(0, 4, (120, 2, 2)).astype(np.uint8)}
    label = random.integers(0, 2, 120)
    x = random.normal(size=(120, 3)) * [1.0, 5.0, 0.1] + label[:, None]
    return {"x": x.astype(np.float32), "y": label}


def table() -> str:
    """The mixed table: names, ordered names, whole numbers with an atom, decimals, days of a zone, gaps."""
    random = np.random.default_rng(3)
    kind = random.integers(0, 3, 150)
    lines = ["city,size,visits,pay,day"]
    for k in kind.tolist():
        visits = "" if random.random() < 0.1 else str(int(random.poisson(k)))
        day = np.datetime64("2021-03-26") + int(random.integers(0, 6))
        offset = "+01:00" if day <= np.datetime64("2021-03-28") else "+02:00"
        size = ("S", "M", "L")[min(k + int(random.integers(0, 2)), 2)]
        lines.append(f"{('Lyon', 'Oslo', 'Porto')[k]},{size},{visits},{random.normal(k):.1f},{day} 00:00{offset}")
    return "\n".join(lines) + "\n"


def written(name: str, folder: Path) -> list[str]:
    """Write the data of one golden model: their file, and the flags that say how it is read."""
    if name == "tokens":
        (folder / "tokens.txt").write_text(15 * LINES)
        return [str(folder / "tokens.txt")]
    if name != "mixed":
        np.savez(folder / f"{name}.npz", **rows(name))  # type: ignore[arg-type]
        return [str(folder / f"{name}.npz")]
    (folder / "mixed.csv").write_text(table())
    return [str(folder / "mixed.csv"), *(word for one in COLUMNS for word in ("--column", one))]


def outputs(trained: TrainedModel, x: np.ndarray, z: np.ndarray) -> dict[str, Any]:
    """What a model gives without drawing anything: a classifier log p(x, c), a VAE codes and means of p(x | z)."""
    batch, prepare, key = trained.batch(x), trained.preparation, jax.random.key(0)
    if isinstance(trained.config, ClassifierConfig):
        return {"log_joint": class_log_joint(ModelRows(trained.model, batch, preparation=prepare)).tolist()}
    if trained.schema.shape == (8, 8):
        if trained.is_point:
            found = latents.reconstruct(ModelRows(trained.model, batch, key=key, preparation=prepare))
            return {"reconstructed": found.tolist()}
        found = evidence.log_marginal(ModelRows(trained.model, batch, key=key, preparation=prepare), num_samples=4)
        return {"log_marginal": found.tolist()}
    if trained.schema.shape == (9, 2):
        found = evidence.log_marginal(ModelRows(trained.model, batch, key=key, preparation=prepare), num_samples=4)
        return {"log_marginal": found.tolist()}
    codes = latents.encode(ModelRows(trained.model, batch, key=key, preparation=prepare))
    decoded = latents.decode(trained.model, z, key=key)
    log_likelihood = jax.vmap(lambda x, z: trained.model.likelihood(z).log_prob(x))(_prepared(trained, x), z)
    return {
        "mean": codes["mean"].tolist(),
        "log_variance": codes["log_variance"].tolist(),
        "decoded": trained.data_units(decoded, mean=True).tolist(),
        "log_likelihood": np.asarray(log_likelihood).tolist(),
    }


def _prepared(trained: TrainedModel, x: np.ndarray) -> jax.Array:
    return jax.vmap(lambda row: trained.preparation(row, key=None))(as_batch(x).x)


def make(name: str) -> None:
    """Train one model and write its two files."""
    with tempfile.TemporaryDirectory() as folder:
        source, run = written(name, Path(folder)), Path(folder) / "run"
        brief = {**OF_PICTURES, **OF_STEPS}
        chosen = (*brief[name], *MORE.get(name, ()), *SMALL) if name in brief else RECIPES[name]
        if main(["fit", *source, *chosen, "--out", str(run), "--quiet"]) != 0:
            sys.exit(f"{name} was not made")
        model = (run / "model.safetensors").read_bytes()
        trained = TrainedModel.from_bytes(model)
        x = load(source[0], schema=trained.schema).x[:5] if name in FROM_FILES else rows(name)["x"][:5]
    stem = FOLDER / f"format-{FORMAT}-{name}"
    stem.with_suffix(".safetensors").write_bytes(model)
    z = np.random.default_rng(2).normal(size=(5, 2)).astype(np.float32)
    value = {"x": x.tolist(), "dtype": str(x.dtype), "z": z.tolist(), "outputs": outputs(trained, x, z)}
    stem.with_suffix(".json").write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or (*RECIPES, *OF_PICTURES, *OF_STEPS):
        make(chosen)
