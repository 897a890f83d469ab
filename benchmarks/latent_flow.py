"""Priors fitted to the codes of a VAE of MNIST: log p(x), and how easily samples are told from test pictures.

    python benchmarks/latent_flow.py [--rows 20000] [--latents 16] [--minutes 2] [--steps 2000] [--json]
    python benchmarks/latent_flow.py --pictures cifar --rows 5000 --priors full-mixture,flow-matching --grid cifar.png

With --pictures it is the recipe kl-tokenizer, trained on photographs of CIFAR-10 or on faces of Olivetti; there
samples are means of p(x | z), and --grid writes some of them, first those of the standard Normal.

A dense VAE is trained on the first rows of MNIST with fixed binarisation; then each prior is fitted to the codes of
the same rows. Three numbers for each: the change of log p(x) on 1,000 test pictures (100 draws each, paired); the area
under the curve of a small convolutional classifier that tells 5,000 samples from 5,000 test pictures (0.5: not at
all), on halves it was not trained on; and the distance of Frechet in the features of the one that told the samples of
the standard Normal. The last line decodes draws of q(z | x) of training rows: a prior cannot be better than that, since
the decoder stays. With --export the codes are written (one draw of each row that trains), and with --made latents that
other programs drew are judged: NAME.npy of a folder, and seconds.json with the seconds of each.
"""

import argparse
import io
import itertools
import json
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image
from scipy.io import loadmat
from sklearn.metrics import roc_auc_score

from latens.config import override
from latens.data import Dataset, Schema
from latens.evidence import log_marginal
from latens.fitting import prepare, train
from latens.latents import decode
from latens.latents.codes import new_rows
from latens.latents.fit_prior import aggregated_draws
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache
from latens.trained.prior_refit import refit_prior
from latens.trained.trained_model import TrainedModel
from latens.typing import Array

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
JUDGED, SEEN, CLASSIFIER_STEPS = 1000, 5000, 400
PRIORS = {"full-mixture": {"components": 50}, "flow": {"layers": 4, "width": 128}, "flow-matching": {}}


def mnist(path: Path, rows: int) -> Dataset:
    """The first training rows, a tenth of them validating, and the test rows."""
    with np.load(path) as kept:
        parts = [np.unpackbits(kept[name], axis=1)[:, :784] for name in ("train", "test")]
    x = np.concatenate([parts[0][:rows], parts[1]]).reshape(-1, 28, 28)
    ids = np.arange(len(x))
    split = np.where(ids >= rows, 2, (ids % 10 == 0).astype(np.uint8)).astype(np.uint8)
    return Dataset(x, Schema((28, 28), "binary"), ids.astype(np.uint32), ids, split, "binarised MNIST")


def cifar(path: Path, rows: int) -> Dataset:
    """The first training rows of the JPEG copy of CIFAR-10, a tenth of them validating, and 5,000 test rows."""
    parts = []
    for name, count in (("train", rows), ("test", SEEN)):
        kept = np.load(path / "cifar10_jpeg" / f"cifar10_{name}_jpeg.npz")
        raw, ends = kept["jpeg"], kept["offsets"][: count + 1]
        parts += [np.asarray(Image.open(io.BytesIO(raw[a:b].tobytes()))) for a, b in itertools.pairwise(ends)]
    return _levels(np.stack(parts), np.arange(len(parts)) >= rows, "CIFAR-10")


def faces(path: Path, rows: int) -> Dataset:
    """The faces of Olivetti: of 10 pictures of each of 40 people 2 are test rows, and every tenth other validates."""
    x = loadmat(path / "olivetti_faces" / "olivettifaces.mat")["faces"].T.reshape(-1, 64, 64).transpose(0, 2, 1)
    return _levels(np.ascontiguousarray(x), np.arange(len(x)) % 5 == 4, "faces")


def _levels(x: np.ndarray, test: np.ndarray, name: str) -> Dataset:
    ids = np.arange(len(x))
    split = np.where(test, 2, ids % 10 == 0).astype(np.uint8)
    return Dataset(x, Schema(x.shape[1:], "levels", levels=256), ids.astype(np.uint32), ids, split, name)


def grid(path: Path, parts: list[np.ndarray]) -> None:
    """Sixteen pictures of each part, in two rows each."""
    x = np.clip(np.concatenate([part[:16] for part in parts]), 0, 255).astype(np.uint8)
    x = np.pad(x.reshape(-1, 8, *x.shape[1:3], x[0, 0, 0].size), ((0, 0), (0, 0), (0, 2), (0, 2), (0, 0)), "maximum")
    whole = x.transpose(0, 2, 1, 3, 4).reshape(x.shape[0] * x.shape[2], -1, x.shape[-1])
    Image.fromarray(np.repeat(np.repeat(whole, 2, 0), 2, 1).squeeze()).save(path)


class Classifier(eqx.Module):
    """Two convolutions with a stride of 2 and a hidden layer, whose units are the features of a picture."""

    layers: tuple[eqx.nn.Conv2d, eqx.nn.Conv2d, eqx.nn.Linear, eqx.nn.Linear]

    def __init__(self, shape: tuple[int, int, int], key: Array) -> None:
        one, two, three, four = jax.random.split(key, 4)
        first = eqx.nn.Conv2d(shape[0], 8, 5, 2, 2, key=one)
        second = eqx.nn.Conv2d(8, 16, 3, 2, 1, key=two)
        size = 16 * -(-shape[1] // 4) * -(-shape[2] // 4)
        self.layers = (first, second, eqx.nn.Linear(size, 32, key=three), eqx.nn.Linear(32, 1, key=four))

    def features(self, x: Array) -> Array:
        for layer in self.layers[:2]:
            x = jax.nn.silu(layer(x))
        return jax.nn.silu(self.layers[2](x.reshape(-1)))

    def __call__(self, x: Array) -> Array:
        """The logit of a sample."""
        return self.layers[3](self.features(x))[0]


@eqx.filter_jit
def _trained(model: Classifier, x: Array, y: Array, key: Array) -> Classifier:
    """Trained for the cross-entropy by 400 steps of Adam on 64 pictures each."""
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, CLASSIFIER_STEPS))
    free, rest = eqx.partition(model, eqx.is_inexact_array)

    def loss(free: Classifier, rows: Array) -> Array:
        return jnp.mean(jax.nn.softplus(jnp.where(y[rows] == 1, -1, 1) * jax.vmap(eqx.combine(free, rest))(x[rows])))

    def step(state: Any, key: Array) -> tuple[Any, None]:
        free, moments = state
        slopes = jax.grad(loss)(free, jax.random.randint(key, (64,), 0, len(x)))
        change, moments = optimizer.update(slopes, moments)
        return (optax.apply_updates(free, change), moments), None

    (free, _), _ = jax.lax.scan(step, (free, optimizer.init(free)), jax.random.split(key, CLASSIFIER_STEPS))
    return eqx.combine(free, rest)


class Judge:
    """Tells samples from test pictures by a small convolutional classifier, and compares features of both."""

    def __init__(self, real: np.ndarray) -> None:
        self.top = max(1.0, float(real.max()))
        self.real = self._planes(real)
        self.first: Classifier | None = None  # the one that told the first samples: its features serve for all

    def _planes(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float32) / self.top
        return x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)

    def told(self, made: np.ndarray) -> tuple[float, float]:
        """The area, mean of both ways of training on one half and judging the other, and the distance of Frechet."""
        fake = self._planes(made)
        x, y = np.concatenate([self.real, fake]), np.repeat([0, 1], [len(self.real), len(fake)])
        half, areas, key = np.random.default_rng(0).random(len(x)) < 0.5, [], jax.random.key(0)
        for rows in (half, ~half):
            found = _trained(Classifier(x.shape[1:], key), jnp.asarray(x[rows]), jnp.asarray(y[rows]), key)
            areas.append(roc_auc_score(y[~rows], np.asarray(jax.lax.map(found, x[~rows], batch_size=500))))
            self.first = self.first or found
        real, fake = (np.asarray(jax.lax.map(self.first.features, each, batch_size=500), np.float64)
                      for each in (self.real, fake))  # fmt: skip
        one, two = np.cov(real.T), np.cov(fake.T)
        shared = np.sqrt(np.maximum(np.linalg.eigvals(one @ two).real, 0.0)).sum()
        away = np.sum((real.mean(0) - fake.mean(0)) ** 2)
        return float(np.mean(areas)), float(away + np.trace(one) + np.trace(two) - 2.0 * shared)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the file of binarised MNIST, with --pictures the folder of data")
    parser.add_argument("--pictures", choices=("cifar", "faces"))
    parser.add_argument("--grid", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--latents", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--priors", default="full-mixture,flow,flow-matching")
    parser.add_argument("--model", type=Path, help="where the VAE is kept: trained if there is none")
    parser.add_argument("--export", type=Path, help="write the codes there, as .npy")
    parser.add_argument("--made", type=Path, help="a folder of latents of other programs")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    enable_compilation_cache()
    pictures = {"cifar": cifar, "faces": faces}.get(given.pictures)
    if pictures is None:
        data = mnist(given.data or SHARED / "binarized_mnist" / "binarized_mnist.npz", given.rows)
    else:
        data = pictures(given.data or SHARED, given.rows)
    trained, shown = _vae(data, given), []
    if given.export is not None:
        codes = aggregated_draws(trained.rows(trained.batch(data, data.subset("train")), seed=3), num_draws=1)
        np.save(given.export, codes.astype(np.float32))
    test = data.subset("test")
    judge = Judge(data.x[test[::2] if pictures is None else test])
    rows, draws = (JUDGED, 100) if pictures is None else (80, 50)
    batch, found = trained.batch(data, test[:: max(1, len(test) // rows)][:rows]), []
    seen = min(SEEN, len(judge.real))

    def judged(name: str, model: TrainedModel, seconds: float) -> None:
        start = time.process_time()
        x, _ = new_rows(model.model, seen, mean=pictures is not None, key=jax.random.key(1))
        drawing = time.process_time() - start
        x = model.data_units(x, mean=pictures is not None)
        shown.append(x)
        values = log_marginal(model.rows(batch, seed=0), num_samples=draws).astype(np.float64)
        gain = values - found[0]["values"] if found else np.zeros(len(values))
        area, distance = judge.told(x)
        row = {"prior": name, "seconds": seconds, "drawing": drawing, "values": values, "area": area}
        row |= {"distance": distance, "log_p": values.mean(), "change": gain.mean()}
        found.append(row | {"error": gain.std(ddof=1) / np.sqrt(len(gain))})
        _say(found[-1])

    judged("standard-normal", trained, 0.0)
    for name in given.priors.split(","):
        start = time.process_time()
        model = refit_prior(trained, data, name, options=PRIORS[name], steps=given.steps, num_samples=2).trained
        judged(name, model, time.process_time() - start)
    train_rows = data.subset("train")
    train_rows = train_rows[:: len(train_rows) // seen or 1][:seen]
    others = {"draws of q(z \\| x) of training rows": aggregated_draws(
        trained.rows(trained.batch(data, train_rows), seed=3), num_draws=1
    )}  # fmt: skip
    taken = {}
    if given.made is not None:
        taken = json.loads((given.made / "seconds.json").read_text())
        others = {f"`{path.stem}`": np.load(path) for path in sorted(given.made.glob("*.npy"))} | others
    for name, z in others.items():
        x = decode(trained.model, jnp.asarray(z), key=jax.random.key(2), mean=pictures is not None)
        shown.append(trained.data_units(x, mean=pictures is not None))
        area, distance = judge.told(shown[-1])
        seconds = taken.get(name.strip("`"))
        print(
            f"| {name} | {'' if seconds is None else f'{seconds:.0f}'} | | {area:.3f} | {distance:.3f} | |", flush=True
        )
    if given.grid is not None:
        grid(given.grid, shown)
    if given.json:
        print(json.dumps([{k: v for k, v in row.items() if k != "values"} for row in found]))


def _vae(data: Dataset, given: argparse.Namespace) -> TrainedModel:
    if given.model is not None and given.model.exists():
        return TrainedModel.load(given.model)
    chosen = {"network.kind": "dense", "network.hidden": [400, 400], "posterior.latent_dim": given.latents}
    chosen |= {"prior.refit": False, "likelihood.family": "bernoulli"}
    recipe, chosen = ("kl-tokenizer", {}) if given.pictures else ("default", chosen)
    chosen |= {"training.minutes": given.minutes}
    trained, _ = train(prepare(override(get_recipe(recipe).config, chosen), data))
    if given.model is not None:
        trained.save(given.model)
    return trained


def _say(row: dict) -> None:
    change = f"{row['change']:+.2f} ± {row['error']:.2f}" if row["change"] else f"{row['log_p']:.2f}"
    judged = f"{row['area']:.3f} | {row['distance']:.3f} | {row['drawing']:.1f}"
    print(f"| `{row['prior']}` | {row['seconds']:.0f} | {change} | {judged} |", flush=True)


if __name__ == "__main__":
    main()
