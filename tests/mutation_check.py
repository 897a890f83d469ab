"""Does the quick suite notice a wrong line? `python tests/mutation_check.py [NAME ...]` plants one fault at a time.

Each fault of `FAULTS` is one line of a core file with a wrong sign, constant, key, index or reduction. A copy of the
package gets it, and the quick suite runs against the copy until its first failure: first the folder of tests that
mirrors the file, then the rest. What survives is printed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Fault(NamedTuple):
    """One wrong line: the file below src/latens, the text that stands there once, what takes its place."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = (
    Fault(
        "sign-of-log-scale",
        "distributions/continuous.py",
        "return -0.5 * (residual**2 + LOG_2PI) - self.log_scale",
        "return -0.5 * (residual**2 + LOG_2PI) + self.log_scale",
        "distributions",
    ),
    Fault(
        "affine-without-jacobian",
        "distributions/continuous.py",
        "return terms - jnp.log(self.scale)",
        "return terms",
        "distributions",
    ),
    Fault(
        "mask-ignored",
        "distributions/base.py",
        "return jnp.sum(jnp.where(mask, terms, 0.0))",
        "return jnp.sum(terms)",
        "distributions",
    ),
    Fault(
        "one-noise-for-all-samples",
        "objectives/draws.py",
        "sample_key = jax.random.fold_in(row_key, index)",
        "sample_key = row_key",
        "objectives",
    ),
    Fault(
        "one-noise-for-all-rows",
        "objectives/draws.py",
        "row_key = jax.random.fold_in(key, row_id)",
        "row_key = key",
        "objectives",
    ),
    Fault(
        "surrogate-not-stopped",
        "objectives/base.py",
        "return surrogate + jax.lax.stop_gradient(value - surrogate)",
        "return surrogate + (value - surrogate)",
        "objectives",
    ),
    Fault(
        "mean-for-sum-of-weights",
        "objectives/base.py",
        "return jnp.sum(jnp.where(weights > 0, weights * values, 0.0)), jnp.sum(weights)",
        "return jnp.mean(jnp.where(weights > 0, weights * values, 0.0)), jnp.sum(weights)",
        "objectives",
    ),
    Fault(
        "l2-without-half",
        "objectives/base.py",
        "counted = [leaf for path, leaf in leaves if form",
        "leaves = [(p, 2.0**0.5 * leaf) for p, leaf in leaves]; counted = [leaf for path, leaf in leaves if form",
        "objectives",
    ),
    Fault(
        "elbo-plus-kl",
        "objectives/elbo.py",
        '"elbo": (log_likelihoods - divergences, weight),',
        '"elbo": (log_likelihoods + divergences, weight),',
        "objectives",
    ),
    Fault(
        "free-bits-minimum",
        "objectives/elbo.py",
        "return jnp.sum(jnp.maximum(groups, self.free_bits))",
        "return jnp.sum(jnp.minimum(groups, self.free_bits))",
        "objectives",
    ),
    Fault("adam-off-by-one", "training/adam.py", "count = state.count + 1", "count = state.count + 2", "training"),
    Fault(
        "adam-second-without-square",
        "training/adam.py",
        "(1 - b2) * g**2 + b2 * v",
        "(1 - b2) * g + b2 * v",
        "training",
    ),
    Fault("schedule-free-weight", "training/schedule_free.py", "weight = largest**2", "weight = largest", "training"),
    Fault(
        "schedule-free-average",
        "training/schedule_free.py",
        "(y - (1 - beta) * z) / beta",
        "(y - beta * z) / (1 - beta)",
        "training",
    ),
    Fault(
        "key-reuse-in-step",
        "training/step.py",
        "data_key, draw_key = jax.random.split(jax.random.fold_in(state.key, state.step))",
        "data_key, draw_key = jax.random.split(state.key)",
        "training",
    ),
    Fault(
        "padding-counts",
        "training/rows.py",
        "weight[padded < 0] = 0.0",
        "weight[padded < 0] = 1.0",
        "training",
    ),
    Fault(
        "dequantise-twice",
        "data/preparation.py",
        "return jnp.minimum((values + noise) / self.divide, below)",
        "return jnp.minimum((values + 2 * noise) / self.divide, below)",
        "data",
    ),
    Fault(
        "binarise-flipped",
        "data/preparation.py",
        "return (noise < values / self.divide).astype(jnp.float32)",
        "return (noise > values / self.divide).astype(jnp.float32)",
        "data",
    ),
    Fault("threshold-at-least", "data/preparation.py", "(grey > self.threshold)", "(grey >= self.threshold)", "data"),
    Fault(
        "kept-weights-lost",
        "evaluation/evidence/importance.py",
        "if full % chunks:",
        "if full % chunks == 1:",
        "evaluation",
    ),
)


def survives(fault: Fault, jobs: str) -> bool:
    """Whether the quick suite passes with the fault in place."""
    with tempfile.TemporaryDirectory(prefix="latens-fault-") as folder:
        shutil.copytree(ROOT / "src", Path(folder) / "src")
        path = Path(folder) / "src" / "latens" / fault.file
        text = path.read_text(encoding="utf-8")
        if text.count(fault.right) != 1:
            raise SystemExit(f"{fault.name}: {fault.file} does not hold the right line once; bring FAULTS up to date.")
        path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(Path(folder) / "src")}
        for tests in (f"tests/{fault.tests}", "tests"):
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "-n",
                jobs,
                "--no-header",
                "-p",
                "no:cacheprovider",
                "-m",
                "not more and not long",
                tests,
            ]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            # xdist ends with 2 where it stops at the first failure.
            if done.returncode in (1, 2) and " failed" in done.stdout:
                return False
            if done.returncode != 0:
                raise SystemExit(f"{fault.name}: pytest ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these faults")
    parser.add_argument("-n", "--jobs", default="2", help="pytest's workers")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    alive = []
    for fault in chosen:
        began = time.perf_counter()
        lives = survives(fault, options.jobs)
        alive += [fault.name] if lives else []
        print(f"{fault.name}: {'SURVIVED' if lives else 'caught'} ({time.perf_counter() - began:.0f} s)", flush=True)
    print(f"{len(chosen) - len(alive)} of {len(chosen)} faults caught")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
