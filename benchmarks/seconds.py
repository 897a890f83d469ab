"""Processor seconds of what a person does first, with an empty cache of compiled programs and again, beside rivals.

    python benchmarks/seconds.py [--repeats 3] [--peers PYTHON] [--only WORDS] [--json]

Whole processes, children included, measured from outside; medians over repeats. The table has 1,000 rows: 13 columns of
names and 8 of numbers that depend on three hidden traits; the array is 1,000 x 20. `--peers` names an interpreter with
SDV, PyOD and, if there is one, Pythae. Nothing else may run on the machine.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

ARRAY = (
    "import numpy as np; rng = np.random.default_rng(0); "
    "X = rng.normal(size=(1000, 4)) @ rng.normal(size=(4, 20)) + 0.5 * rng.normal(size=(1000, 20)); "
    "X = X.astype('float32'); "
)
GAPS = "G = X.copy(); G[rng.random(X.shape) < 0.2] = np.nan; "
READ = "import pandas as pd; frame = pd.read_csv('table.csv'); "
COMMANDS = {
    "latens --help": ["--help"],
    "fit": ["fit", "table.csv", "--out", "run", "--force"],
    "evaluate": ["evaluate", "run"],
    "detect": ["detect", "run", "table.csv", "--top", "5"],
    "impute": ["impute", "run", "gaps.csv", "--out", "filled.csv"],
    "report": ["report", "run"],
    "explore": ["explore", "run", "--export", "page.html", "--force"],
    "sample": ["sample", "run", "-n", "1000", "--out", "new.csv"],
    "fit digits": ["fit", "digits", "--epochs", "3", "--out", "digits", "--force"],
}
SCRIPTS = {
    "import latens": "import latens",
    "import VAE": "from latens import VAE",
    "VAE().fit": ARRAY + "from latens import VAE; VAE(random_state=0).fit(X)",
    "VAEDetector": ARRAY + "from latens import VAEDetector; VAEDetector(random_state=0).fit(X).score_samples(X)",
    "VAEImputer": ARRAY + GAPS + "from latens import VAEImputer; VAEImputer(random_state=0).fit_transform(G)",
}
PEERS = {
    "SDV GaussianCopula, fit": READ
    + "from sdv.metadata import Metadata; from sdv.single_table import GaussianCopulaSynthesizer as S; "
    + "S(Metadata.detect_from_dataframes({'rows': frame})).fit({'rows': frame})",
    "SDV TVAE, fit": READ
    + "from sdv.metadata import Metadata; from sdv.single_table import TVAESynthesizer as S; "
    + "S(Metadata.detect_from_dataframes({'rows': frame})).fit({'rows': frame})",
    "PyOD VAE, fit and scores": ARRAY + "from pyod.models.vae import VAE; VAE(verbose=0).fit(X).decision_function(X)",
    "IterativeImputer": ARRAY
    + GAPS
    + "from sklearn.experimental import enable_iterative_imputer; from sklearn.impute import IterativeImputer; "
    + "IterativeImputer(random_state=0).fit_transform(G)",
    "Pythae VAE, fit": ARRAY
    + "from pythae.models import VAE, VAEConfig; from pythae.pipelines import TrainingPipeline; "
    + "from pythae.trainers import BaseTrainerConfig; "
    + "TrainingPipeline(model=VAE(VAEConfig(input_dim=(20,), latent_dim=8)), training_config=BaseTrainerConfig("
    + "num_epochs=100, per_device_train_batch_size=64, output_dir='pythae'))(X[:900], X[900:])",
}


def table() -> pl.DataFrame:
    """Names and numbers of 1,000 rows."""
    rng, weights = np.random.default_rng(0), np.random.default_rng(99)
    traits = rng.normal(size=(1000, 3))
    columns: dict[str, np.ndarray] = {}
    for at in range(13):
        count = (2, 3, 4, 5, 10)[at % 5]
        logits = 0.9 * traits @ weights.normal(size=(3, count)) + 0.7 * weights.normal(size=count)
        columns[f"a{at}"] = np.array([f"A{at}{i}" for i in range(count)])[
            (logits + rng.gumbel(size=logits.shape)).argmax(1)
        ]
    for at in range(8):
        value = traits[:, at % 3] + 0.6 * rng.normal(size=1000)
        columns[f"n{at}"] = np.round(np.exp(3 + 0.6 * value) if at < 2 else 35 + 9 * value).astype(int)
    return pl.DataFrame(columns)


def seconds(command: list[str], folder: Path, cache: Path) -> float | None:
    """Processor seconds of a command and its children; None where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a package that pip installed has its bytecode
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(done.stderr.decode()[-300:], file=sys.stderr)
        return None
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--only", default="", help="only what has one of these words, separated by commas")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    tasks = {name: [sys.executable, "-m", "latens.cli.main", *words] for name, words in COMMANDS.items()}
    tasks |= {name: [sys.executable, "-c", script] for name, script in SCRIPTS.items()}
    if arguments.peers:
        tasks |= {name: [arguments.peers, "-c", script] for name, script in PEERS.items()}
    asked = [name for name in tasks if any(word in name for word in arguments.only.split(","))]
    times: dict[str, list[tuple[float | None, float | None]]] = {name: [] for name in asked}
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as root:
            folder, cache = Path(root, "work"), Path(root, "cache")
            folder.mkdir()
            frame, rng = table(), np.random.default_rng(1)
            frame.write_csv(folder / "table.csv")
            frame.with_columns(
                pl.when(pl.Series(rng.random(len(frame)) > 0.1)).then(pl.col(name)) for name in frame.columns
            ).write_csv(folder / "gaps.csv")
            for name in asked:
                first = seconds(tasks[name], folder, cache)
                times[name].append((first, seconds(tasks[name], folder, cache)))
    result = {
        name: [statistics.median(values) if None not in values else None for values in zip(*pairs, strict=True)]
        for name, pairs in times.items()
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{'processor seconds':26s}  first  again")
    for name, values in result.items():
        print(f"{name:26s} " + " ".join("   --" if value is None else f"{value:6.1f}" for value in values))


if __name__ == "__main__":
    main()
