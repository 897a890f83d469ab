"""Does the default recipe earn its place? Held-out log p(x) against probabilistic PCA of the same latent size.

    python benchmarks/default_recipe.py --sets digits,wine [--folds 10] [--json]

`latens fit SET` as a user would type it, then log p(x) of every test row by importance sampling (K = 500). The rival,
probabilistic PCA (scikit-learn, maximum likelihood), sees the same training rows, standardised where they are columns,
dequantised with the same kind of noise where they are whole numbers; its number is brought to the same units. For
binary data the comparison is a model of independent Bernoullis. Differences are paired by row. Small tables are
measured on every row, by cross-validation.
"""

import argparse
import json
import math
import time
from dataclasses import replace

import jax
import numpy as np
from sklearn.decomposition import PCA

from latens.config import override
from latens.data import Dataset, load, prepare_batch
from latens.evidence import Estimate, ModelRows, independent_baseline, log_marginal
from latens.fitting import prepare, train
from latens.recipes import get_recipe


def folds_of(data: Dataset, folds: int) -> list[Dataset]:
    """The data with each fold in turn as the test rows, and the next one as validation rows."""
    if folds < 2:
        return [data]
    place = np.random.default_rng(0).permutation(len(data)) % folds
    return [
        replace(data, split=np.where(place == f, 2, np.where(place == (f + 1) % folds, 1, 0)).astype(np.uint8))
        for f in range(folds)
    ]


def rival(data: Dataset, latent_dim: int) -> np.ndarray:
    """log p(x) of the test rows under the other model, in nats and the data's own units."""
    train_rows, test = data.subset("train"), data.subset("test")
    x = data.x.reshape(len(data), -1)
    if data.schema.kind == "binary":
        return independent_baseline(x[train_rows], x[test], "binary")
    if data.schema.kind == "levels":
        noise = np.random.default_rng(0).random(x.shape)
        scale = np.full(x.shape[1], 1.0 / (data.schema.levels or 1))
        values, shift = (x + noise) * scale, np.zeros(x.shape[1])
        log_volume = 0.0 if (data.schema.levels or 0) > 32 else -x.shape[1] * math.log(data.schema.levels or 1)
    else:
        shift, spread = x[train_rows].mean(0, dtype=np.float64), x[train_rows].std(0, dtype=np.float64)
        spread = np.where(spread > 0, spread, 1.0)
        values, log_volume = (x - shift) / spread, -float(np.log(spread).sum())
    pca = PCA(min(latent_dim, x.shape[1] - 1)).fit(values[train_rows])
    return pca.score_samples(values[test]) + log_volume


def compare(name: str, folds: int, seed: int, settings: dict[str, str]) -> dict:
    """The paired difference on one data set."""
    ours, theirs, seconds, config = [], [], 0.0, None
    for data in folds_of(load(name), folds):
        experiment = prepare(override(get_recipe("default").config, {"training.seed": seed, **settings}), data)
        config = experiment.config
        began = time.perf_counter()
        trained, result = train(experiment)
        seconds += time.perf_counter() - began
        batch = trained.batch(data, data.subset("test"))
        if experiment.preparation.dequantize:
            batch = prepare_batch(experiment.preparation, batch, key=jax.random.key(5))
            plain = type(experiment.preparation)()
        else:
            plain = experiment.preparation
        ours.append(
            log_marginal(ModelRows(trained.model, batch, key=jax.random.key(seed), preparation=plain), num_samples=500)
        )
        theirs.append(rival(data, config.posterior.latent_dim))
    a, b = np.concatenate(ours), np.concatenate(theirs)
    gain = Estimate.of(a - b, num_samples=500, protocol="")
    value = Estimate.of(a, num_samples=500, protocol="")
    return {
        "data": name,
        "likelihood": config.likelihood.family,
        "latent_dim": config.posterior.latent_dim,
        "log_marginal": round(value.value, 3),
        "standard_error": round(value.standard_error, 3),
        "rival": round(float(b.mean()), 3),
        "gain": round(gain.value, 3),
        "gain_standard_error": round(gain.standard_error, 3),
        "errors": round(gain.value / gain.standard_error, 1),
        "rows": len(a),
        "folds": folds,
        "steps": result.snapshot.loop.step,
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="digits,wine")
    parser.add_argument("--folds", type=int, default=1, help="cross-validation; 1 uses the data's own split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings = dict(item.split("=", 1) for item in arguments.set)
    results = []
    for name in arguments.sets.split(","):
        row = compare(name, arguments.folds, arguments.seed, settings)
        results.append(row)
        if not arguments.json:
            print(
                f"{name}: {row['log_marginal']:.2f} ± {row['standard_error']:.2f} nats ({row['likelihood']}, "
                f"{row['latent_dim']} units, {row['rows']} rows), the other model {row['rival']:.2f}: "
                f"{row['gain']:+.2f} ± {row['gain_standard_error']:.2f}, {row['errors']:.1f} standard errors; "
                f"{row['steps']} steps, {row['seconds']:.0f} s",
                flush=True,
            )
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
