"""Does a linear VAE find the optimum of probabilistic PCA? After Dai et al. (2018) and Lucas et al. (2019).

    python benchmarks/papers/linear_vae.py [--preset small|full] [--data PATH] [--latents 2,5,10] [--seeds 3]

The best log p(x) of x = W z + mu + noise with K latents is known from the eigenvalues of the data (Tipping & Bishop
1999). Lucas, Tucker, Grosse & Norouzi (2019), "Don't blame the ELBO!" show that the ELBO of a linear VAE with a
diagonal posterior has no other maxima where the noise is learned; Dai, Wang, Aston, Hua & Wipf (2018), "Connections
with robust PCA and the role of emergent sparsity in variational autoencoder models", that latents which are not needed
are switched off. For every K: the mean log p(x) of the training rows by pPCA and in closed form under the trained
model, its ELBO's distance, by the posterior's family and by the encoder, and the active units.

`small`: 500 rows of 20 columns with 5 large eigenvalues, 4,000 updates, 3 seeds; minutes on two cores. `full`: pixels
of --data, 60,000 updates, 10 seeds. Cells are written to --out/cells when done and never computed twice. stdout gets
one JSON object, the table goes to stderr.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cells import cell, interval, say, shown
from latens.data import Dataset, Preparation, load
from latens.data.dataset import Batch
from latens.distributions import StandardNormal
from latens.evidence import ModelRows
from latens.evidence.inference_gaps import gap_rows
from latens.latents import active_units, encode
from latens.models import Conditional, LatentModel, NormalHead, SharedScaleNormalHead
from latens.networks import Dense
from latens.objectives import ELBO
from latens.training import Budget, Settings, Stage, fit, make_optimizer

SPECTRUM = np.concatenate([[16.0, 9.0, 6.0, 4.0, 2.0], np.full(15, 0.25)])
"""Variances of the made rows along their axes."""


@dataclass(frozen=True)
class Preset:
    """What a cell is made of; `rows` None for all training rows."""

    latents: tuple[int, ...]
    steps: int
    seeds: int
    batch_size: int
    made: bool
    rows: int | None = 500


PRESETS = {
    "small": Preset((2, 5, 10), 4000, 3, 500, True),
    "full": Preset((10, 50, 200), 60_000, 10, 500, False, None),
}


def made_rows(n: int) -> np.ndarray:
    """Rows whose covariance is exactly that of SPECTRUM, turned at random; that of the training rows is near it."""
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((n, len(SPECTRUM)))
    u, _, _ = np.linalg.svd(raw - raw.mean(0), full_matrices=False)
    turn = np.linalg.qr(rng.standard_normal((len(SPECTRUM), len(SPECTRUM))))[0]
    return (u * np.sqrt(n) * np.sqrt(SPECTRUM)) @ turn


def ppca(x: np.ndarray, latents: int) -> float:
    """The mean log p(x) of the rows at the maximum, in nats (Tipping & Bishop 1999)."""
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    noise = values[latents:].mean()
    spread = np.log(values[:latents]).sum() + (len(values) - latents) * np.log(noise)
    return float(-0.5 * (len(values) * np.log(2 * np.pi) + spread + len(values)))


def log_p_of(model: LatentModel, x: np.ndarray, latents: int) -> np.ndarray:
    """log p(x) of each row in closed form: N(mu, W W' + diag(scale^2))."""
    at = lambda z: model.likelihood(jnp.asarray(z, jnp.float32))  # noqa: E731
    mean = np.asarray(at(np.zeros(latents)).loc, np.float64)
    weight = np.stack([np.asarray(at(unit).loc, np.float64) - mean for unit in np.eye(latents)], axis=1)
    scale = np.exp(np.asarray(at(np.zeros(latents)).log_scale_array(), np.float64))
    covariance = weight @ weight.T + np.diag(scale**2)
    residual = x - mean
    squared = np.einsum("ni,ni->n", residual, np.linalg.solve(covariance, residual.T).T)
    return -0.5 * (len(mean) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + squared)


def one(latents: int, seed: int, preset: Preset, data: Dataset) -> dict:
    """Train one linear VAE and compare."""
    rows = data.subset("train")
    x = np.asarray(data.x[rows], np.float64).reshape(len(rows), -1)
    width = x.shape[1]
    keys = jax.random.split(jax.random.key(seed))
    model = LatentModel(
        StandardNormal((latents,)),
        Conditional(Dense([width, 2 * latents], key=keys[0]), NormalHead((latents,), "softplus")),
        Conditional(Dense([latents, width], key=keys[1]), SharedScaleNormalHead((width,), jnp.zeros(()))),
    )
    rate = 0.02 if preset.made else 1e-3
    optimizer = make_optimizer("adam", learning_rate=rate, schedule="cosine", total_steps=preset.steps)
    stage = Stage(ELBO(num_samples=4), optimizer, Budget(steps=preset.steps))
    settings = Settings(
        batch_size=min(preset.batch_size, len(x)), seed=seed, chunk_steps=500, validate=False, restore_best=False
    )
    began = time.perf_counter()
    result = fit(model, data, [stage], preparation=Preparation(), settings=settings)
    seconds = time.perf_counter() - began
    few: Batch = data.rows(rows[:100])
    gaps = gap_rows(ModelRows(result.model, few, key=jax.random.key(seed)), num_samples=500, steps=200)
    exact = log_p_of(result.model, x, latents)
    codes = encode(ModelRows(result.model, data.rows(rows), preparation=Preparation()))["mean"]
    return {
        "latents": latents,
        "seed": seed,
        "ppca": ppca(x, latents),
        "log_marginal": float(exact.mean()),
        # log p(x) has a closed form here, so the gaps are against that, not against an estimate of it.
        "approximation_gap": float(np.mean(exact[: len(gaps["elbo"])] - gaps["refined_elbo"])),
        "amortisation_gap": float(np.mean(gaps["amortisation_gap"])),
        "active_units": int(active_units(codes).sum()),
        "train_seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--data", default="mnist", help="of the full preset: a name or a path, as for `latens fit`")
    parser.add_argument("--latents", help="as 2,5,10 (the preset's)")
    parser.add_argument("--seeds", type=int, help="how many, from 0 on (the preset's)")
    parser.add_argument("--steps", type=int, help="updates (the preset's)")
    parser.add_argument("--out", type=Path, help="folder of the cells (runs/linear-vae-PRESET)")
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    sizes = tuple(int(k) for k in arguments.latents.split(",")) if arguments.latents else preset.latents
    preset = replace(preset, steps=arguments.steps or preset.steps, latents=sizes)
    folder = arguments.out or Path("runs") / f"linear-vae-{arguments.preset}"
    if preset.made:
        data = load(made_rows(preset.rows or 500).astype(np.float32), name="made")
    else:
        raw = load(arguments.data)
        pixels = raw.x[raw.subset("train")].reshape(len(raw.subset("train")), -1) / 255.0
        # Pixels that never change have no density of their own: a little noise gives them one.
        noise = 0.02 * np.random.default_rng(0).standard_normal(pixels.shape)
        data = load((pixels + noise).astype(np.float32), name=raw.name)
    cells = []
    for latents in preset.latents:
        for seed in range(arguments.seeds or preset.seeds):
            settings = json.loads(json.dumps({**asdict(preset), "data": data.fingerprint, "measured": "training rows"}))
            compute = lambda latents=latents, seed=seed: one(latents, seed, preset, data)  # noqa: E731
            cells.append(cell(folder, f"{latents}-{seed}", settings, compute))
            say(f"K {latents} seed {seed}: {cells[-1]['log_marginal']:.3f} of {cells[-1]['ppca']:.3f} nats")
    table = []
    say("\n  K   pPCA      log p(x)          short of pPCA   approximation gap  amortisation gap  active")
    for latents in preset.latents:
        own = [c for c in cells if c["latents"] == latents]
        names = ("log_marginal", "approximation_gap", "amortisation_gap", "active_units")
        values = {name: [c[name] for c in own] for name in names}
        short = [c["ppca"] - c["log_marginal"] for c in own]
        table.append({"latents": latents, "ppca": own[0]["ppca"], "short_of_ppca": short, **values})
        table[-1]["short_interval"] = interval(short)
        texts = [shown(values[name]) for name in names[:3]]
        say(
            f"{latents:3d} {own[0]['ppca']:9.3f}  {texts[0]:16s} {shown(short, 3):16s} {texts[1]:16s} {texts[2]:16s} "
            f"{values['active_units']}"
        )
    print(json.dumps({"preset": asdict(preset), "table": table, "cells": cells}))


if __name__ == "__main__":
    main()
