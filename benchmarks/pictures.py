"""The default for pictures against dense networks at equal time: bits for each value of test pictures.

Both train for the same minutes on the training pictures of each set; the bits are those of the ELBO (a bound from
above) on test pictures, with the paired difference and its standard error over pictures; PNG and lossless WebP of the
same pictures stand beside them. Settings were chosen on validation pictures of CIFAR (JPEG-decoded) and Fashion-MNIST;
the other sets were looked at once. `python benchmarks/pictures.py` prints a line for each set and one JSON object;
`--minutes`, `--sets` and `--set PART.OPTION=VALUE` (of the first model) change what is run, `--split validation` what
is measured.
"""

import argparse
import io
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import loadmat

import latens
from latens.config import override
from latens.evidence import elbo_parts
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache

SHARED = Path(os.environ.get("LATENS_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
JUDGED = 1000
DENSE = {"network.kind": "dense", "network.hidden": [500, 500], "posterior.latent_dim": 32}
"""What the default was before: dense networks, and the likelihood of the pixels' scale."""


def idx(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read training and test pictures of an MNIST-like set."""
    files = [SHARED / name / f"{part}-images-idx3-ubyte.gz" for part in ("train", "t10k")]
    first, second = (np.asarray(latens.read(str(file)).x) for file in files)
    return first, second


def cifar() -> tuple[np.ndarray, np.ndarray]:
    """Read and decode the JPEG copy of CIFAR-10."""
    found = []
    for part in ("train", "test"):
        kept = np.load(SHARED / "cifar10_jpeg" / f"cifar10_{part}_jpeg.npz")
        jpeg, at = kept["jpeg"], kept["offsets"]
        opened = (Image.open(io.BytesIO(jpeg[a:b].tobytes())) for a, b in itertools.pairwise(at))
        found.append(np.stack([np.asarray(picture) for picture in opened]))
    return found[0], found[1]


def cifar_small() -> tuple[np.ndarray, np.ndarray]:
    """Read the 2,500 decoded pictures of CIFAR-10."""
    kept = np.load(SHARED / "cifar10_jpeg" / "cifar10_small_decoded.npz")
    return kept["x_train"], kept["x_test"]


def omniglot() -> tuple[np.ndarray, np.ndarray]:
    """Read Omniglot's background and evaluation alphabets at 28 x 28."""
    kept = np.load(SHARED / "omniglot" / "omniglot_28.npz")
    return kept["images"][~kept["evaluation"]], kept["images"][kept["evaluation"]]


def olivetti() -> tuple[np.ndarray, np.ndarray]:
    """Read Olivetti's faces; the last four persons of each ten are the test."""
    faces = loadmat(SHARED / "olivetti_faces" / "olivettifaces.mat")["faces"].T.reshape(-1, 64, 64).transpose(0, 2, 1)
    test = np.arange(len(faces)) // 10 % 10 >= 8
    return faces[~test], faces[test]


SETS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "cifar": cifar,
    "cifar-2500": cifar_small,
    "fashion": lambda: idx("fashion_mnist"),
    "mnist": lambda: idx("mnist"),
    "olivetti": olivetti,
    "omniglot": omniglot,
}


def bits_of_files(x: np.ndarray, **options: Any) -> float:
    """Measure how many bits a value takes in files of one picture each, without loss."""
    size = 0
    for picture in x:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, **options)
        size += file.tell()
    return 8 * size / x.size


def bits(x: np.ndarray, judged: np.ndarray | None, settings: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Train, and give the bits a value of each judged picture; None judges the validation rows."""
    data = latens.read(x)
    config = override(get_recipe("default").config, settings)
    began = time.perf_counter()
    trained, result = latens.fitting.train(latens.fitting.prepare(config, data))
    seconds = time.perf_counter() - began
    if judged is None:
        judged = x[data.subset("validation")[:JUDGED]]
    rows = trained.rows(latens.read(judged, schema=trained.schema), seed=1)
    elbo = np.asarray(elbo_parts(rows, num_samples=8)["elbo"], np.float64)
    row = -elbo / np.log(2.0) / judged[0].size
    if trained.preparation.dequantize:
        row += np.log2(trained.preparation.divide)
    facts = {"seconds": seconds, "steps": int(result.steps) if hasattr(result, "steps") else None}
    return row, facts | {"family": trained.config.likelihood.family, "bits": float(row.mean())}


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    parser.add_argument("--alone", action="store_true", help="leave out the dense networks and the files")
    args = parser.parse_args()
    enable_compilation_cache()
    common: dict[str, Any] = {"training.minutes": args.minutes, "training.seed": args.seed}
    given = common | dict(pair.split("=", 1) for pair in args.set)
    results = {}
    for name in args.sets:
        x, test = SETS[name]()
        test = test[np.random.default_rng(0).permutation(len(test))[:JUDGED]]
        judged = test if args.split == "test" else None
        ours, facts = bits(x, judged, given)
        found: dict[str, Any] = {"ours": facts}
        if not args.alone:
            dense, found["dense"] = bits(x, judged, common | DENSE | {"likelihood.family": dense_family(x)})
            apart = ours - dense
            found["difference"] = [float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart)))]
            found["png"] = bits_of_files(test, format="PNG", optimize=True)
            found["webp"] = bits_of_files(test, format="WEBP", lossless=True, quality=100, method=6)
        results[name] = found
        print(name, json.dumps(found), file=sys.stderr, flush=True)
    print(json.dumps({"minutes": args.minutes, "split": args.split, "settings": given, "results": results}))


def dense_family(x: np.ndarray) -> str:
    """Choose the likelihood of the former default: by the share of values near black or white."""
    return "continuous-bernoulli" if np.mean((x <= 0.05 * 255) | (x >= 0.95 * 255)) > 0.5 else "normal"


if __name__ == "__main__":
    main()
