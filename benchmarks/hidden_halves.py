"""Faces with a hidden half, filled in beside a Gaussian of all pixels: error and processor time.

    python benchmarks/hidden_halves.py [--set olivetti|planted|FILE.npy] [--minutes 3] [--pictures 210]

A model is trained on pictures of some people, and pictures of others have a half hidden. Printed are the root mean
square error of the mean where it is hidden, in levels of 255, of latens and of a Gaussian of all pixels conditioned on
the seen ones. Its covariance is shrunk towards one variance by the share that is best for a tenth of the training
pictures. `planted` are pictures of 28 x 20 pixels with twelve factors and noise of a standard deviation of 8 levels. Of
a file of pictures, such as Frey's 1,965 faces in bytes, those with a hidden half are drawn by chance.
"""

import argparse
import json
import time
from dataclasses import replace

import numpy as np

import latens
from latens.config import override
from latens.recipes import get_recipe
from latens.trained.cell_scores import imputed
from latens.trained.inputs import seed_key
from pictures import SETS

SHARES = (1e-5, 1e-4, 1e-3, 0.01, 0.1)


def planted(n: int, seed: int) -> np.ndarray:
    """Smooth pictures of few factors, in levels."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    factors = np.stack([gaussian_filter(rng.standard_normal((28, 20)), 3.0) for _ in range(12)])
    factors *= 25.0 / factors.std(axis=(1, 2), keepdims=True)
    rng = np.random.default_rng([1, seed])
    x = 128 + np.einsum("nk,khw->nhw", rng.standard_normal((n, 12)), factors) / 2 + 8 * rng.standard_normal((n, 28, 20))
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


def conditioned(train: np.ndarray, test: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The mean of hidden pixels given the seen ones, of a shrunk Gaussian of all pixels."""
    rows, others, gone = (one.reshape(len(one), -1).astype(np.float64) for one in (train, test, hidden[None]))
    gone = gone[0] > 0

    def told(fitted: np.ndarray, judged: np.ndarray, share: float) -> np.ndarray:
        mean, covariance = fitted.mean(axis=0), np.cov(fitted.T)
        covariance = (1 - share) * covariance + share * np.diag(covariance).mean() * np.eye(len(covariance))
        gain = np.linalg.solve(covariance[np.ix_(~gone, ~gone)], covariance[np.ix_(~gone, gone)])
        return mean[gone] + (judged - mean)[:, ~gone] @ gain

    tenth = len(rows) // 10
    away = [np.square(told(rows[tenth:], rows[:tenth], share) - rows[:tenth][:, gone]).mean() for share in SHARES]
    return told(rows, others, SHARES[int(np.argmin(away))])


def pictures_of(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures to train on and pictures of which a half is hidden."""
    if name == "planted":
        return planted(1700, 0), planted(count, 1)
    if name in SETS:
        return SETS[name]()
    both = np.random.default_rng(0).permutation(np.load(name))
    return both[count:], both[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="planted")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--pictures", type=int, default=210)
    parser.add_argument("--num-samples", type=int, nargs="*", default=[200])
    args = parser.parse_args()
    train, test = pictures_of(args.set, args.pictures)
    test = test[: args.pictures]
    config = override(get_recipe("default").config, {"training.minutes": args.minutes})
    trained = latens.fitting.train(latens.fitting.prepare(config, latens.read(train)))[0]
    hidden = np.zeros(test.shape[1:], bool)
    hidden[len(hidden) // 2 :] = True
    batch = trained.batch(latens.read(test, schema=trained.schema))
    mask = np.broadcast_to(~hidden.reshape(batch.x.shape[1:]), batch.x.shape)
    truth = test[:, hidden].astype(np.float64)
    rms = lambda made: float(np.sqrt(np.mean(np.square(made - truth))))  # noqa: E731
    found = {"set": args.set, "pictures": len(test), "gaussian": rms(conditioned(train, test, hidden))}
    for count in args.num_samples:
        for turn in ("first", "warm"):
            began = time.process_time()
            filled = imputed(trained, replace(batch, mask=mask), key=seed_key(0), num_samples=count)
            seconds = time.process_time() - began
            mean = filled.x.reshape(test.shape)[:, hidden]
            told = {"error": rms(mean), "seconds": seconds, "effective": float(np.median(filled.effective))}
            found[f"{count} draws, {turn}"] = told
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
