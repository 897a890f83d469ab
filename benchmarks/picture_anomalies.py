"""How well pictures of another kind are told from those of the training: Fashion-MNIST and MNIST, both ways.

A VAE is trained on the training pictures of one set; 2,000 test pictures of each are then judged, by the surprise
-log p(x) alone, and by what of it exceeds the length of the picture's code, as `latens detect` does. The number is the
area under the ROC curve; that of a short code alone stands beside it.
`python benchmarks/picture_anomalies.py` prints one line a set and one JSON object; `--minutes` and
`--set PART.OPTION=VALUE` change what is run.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.metrics import roc_auc_score

import latens
from latens.config import override
from latens.io.compilation import enable_compilation_cache
from latens.recipes import get_recipe
from latens.workflow.complexity import detail
from latens.workflow.outliers import scores_of

SHARED = Path(os.environ.get("LATENS_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
SETS = {"fashion_mnist": "mnist", "mnist": "fashion_mnist"}
JUDGED = 2000


def pictures(name: str, part: str, **options: Any) -> Any:
    """Read the pictures of a set."""
    return latens.read(str(SHARED / name / f"{part}-images-idx3-ubyte.gz"), **options)


def judged(name: str, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train on one set and judge test pictures of both."""
    data, began = pictures(name, "train"), time.perf_counter()
    config = override(get_recipe("default").config, {"training.seed": seed, **settings})
    trained, _ = latens.workflow.train(latens.workflow.prepare(config, data))
    seconds, found = time.perf_counter() - began, []
    for other in (name, SETS[name]):
        new = pictures(other, "t10k", schema=trained.schema)
        rows = np.linspace(0, len(new) - 1, JUDGED).astype(int)
        surprise = scores_of(trained, new, rows, others=1, num_samples=100, key=jax.random.key(seed)).surprise
        found.append((surprise, detail(trained, new, rows, seed=seed)))
    surprise, length = (np.concatenate(pair) for pair in zip(*found))
    strange = np.repeat([0, 1], JUDGED)
    scores = {"surprise": surprise, "excess": surprise - length, "length": -length}
    return {"seconds": seconds} | {key: float(roc_auc_score(strange, score)) for key, score in scores.items()}


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    args = parser.parse_args()
    enable_compilation_cache()
    settings: dict[str, Any] = {"training.minutes": args.minutes} | dict(pair.split("=", 1) for pair in args.set)
    results = {}
    for name in args.sets:
        results[name] = judged(name, settings, args.seed)
        print(name, {key: round(value, 4) for key, value in results[name].items()}, file=sys.stderr)
    print(json.dumps({"settings": settings, "results": results}))


if __name__ == "__main__":
    main()
