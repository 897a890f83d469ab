"""Priors fitted to the codes of a VAE of MNIST: log p(x), and how easily samples are told from test pictures.

    python benchmarks/latent_flow.py [--rows 20000] [--latents 16] [--minutes 2] [--steps 2000] [--json]
    python benchmarks/latent_flow.py --pictures cifar --rows 5000 --priors full-mixture,flow-matching --grid cifar.png

With --pictures it is the recipe kl-tokenizer, trained on photographs of CIFAR-10 or on faces of Olivetti; there
samples are means of p(x | z), and --grid writes some of them, first those of the standard Normal.

A dense VAE is trained on the first rows of MNIST with fixed binarisation; then each prior is fitted to the codes of
the same rows. Three numbers for each: the change of log p(x) on 1,000 test pictures (100 draws each, paired); the area
under the curve of boosted trees that tell 5,000 samples from 5,000 test pictures by their 50 principal components
(0.5: not at all), on halves they were not trained on; and the distance of Frechet in these components. The last line
decodes draws of q(z | x) of training rows: a prior cannot be better than that, since the decoder stays.
"""

import argparse
import io
import itertools
import json
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from scipy.io import loadmat
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from latens.config import override
from latens.data import Dataset, Schema
from latens.evaluation import decode, log_marginal
from latens.io.compilation import enable_compilation_cache
from latens.latents.aggregate import aggregated_draws
from latens.latents.codes import new_rows
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare, train
from latens.workflow.prior_refit import refit_prior
from latens.workflow.trained import TrainedModel

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
JUDGED, SEEN = 1000, 5000
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


class Judge:
    """Tells samples from test pictures."""

    def __init__(self, real: np.ndarray) -> None:
        self.top = max(1.0, float(real.max()))
        self.pca = PCA(min(50, len(real) // 2), random_state=0).fit(real.reshape(len(real), -1) / self.top)
        self.real = self.features(real)

    def features(self, x: np.ndarray) -> np.ndarray:
        return self.pca.transform(np.asarray(x, np.float64).reshape(len(x), -1) / self.top)

    def told(self, made: np.ndarray) -> tuple[float, float]:
        """The area, mean of both ways of training on one half and judging the other, and the distance of Frechet."""
        fake = self.features(made)
        x, y = np.concatenate([self.real, fake]), np.repeat([0, 1], [len(self.real), len(fake)])
        half, areas = np.random.default_rng(0).random(len(x)) < 0.5, []
        for train_half in (half, ~half):
            trees = HistGradientBoostingClassifier(max_iter=200, random_state=0).fit(x[train_half], y[train_half])
            areas.append(roc_auc_score(y[~train_half], trees.predict_proba(x[~train_half])[:, 1]))
        one, two = np.cov(self.real.T), np.cov(fake.T)
        away = np.sum((self.real.mean(0) - fake.mean(0)) ** 2)
        return float(np.mean(areas)), float(away + np.trace(one + two - 2 * sqrtm(one @ two).real))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the file of binarised MNIST, with --pictures the folder of data")
    parser.add_argument("--pictures", choices=("cifar", "faces"))
    parser.add_argument("--grid", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--latents", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--priors", default="full-mixture,flow,flow-matching")
    parser.add_argument("--model", type=Path, help="where the VAE is kept: trained if there is none")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    enable_compilation_cache()
    pictures = {"cifar": cifar, "faces": faces}.get(given.pictures)
    if pictures is None:
        data = mnist(given.data or SHARED / "binarized_mnist" / "binarized_mnist.npz", given.rows)
    else:
        data = pictures(given.data or SHARED, given.rows)
    trained, shown = _vae(data, given), []
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
    z = aggregated_draws(trained.rows(trained.batch(data, train_rows), seed=3), num_draws=1)
    x = decode(trained.model, z, key=jax.random.key(2), mean=pictures is not None)
    shown.append(trained.data_units(x, mean=pictures is not None))
    area, distance = judge.told(shown[-1])
    print(f"| draws of q(z \\| x) of training rows | | | {area:.3f} | {distance:.3f} | |")
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
