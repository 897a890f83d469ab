"""The speed of log p(x) by importance sampling, its share of the matmul rate, and its memory against K.

    python benchmarks/evidence.py [--rows 500] [--samples 1000] [--json]

A 784-200-200-50 model with a Bernoulli likelihood. Work is 2 flops a weight of the decoder for every sample and row
(the encoder runs once a row and chunk and is not counted). Memory is the process's peak, read after each K in turn.
"""

import argparse
import json
import os
import resource
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from hand_written import matmul_rate
from latens.data import Preparation
from latens.data.dataset import as_batch
from latens.distributions import StandardNormal
from latens.evidence import ModelRows, importance_sampling, log_marginal
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead
from latens.networks import Dense

DECODER_WEIGHTS = 50 * 200 + 200 * 200 + 200 * 784


def model() -> LatentModel:
    """The network of Burda, Grosse & Salakhutdinov (2016) with one stochastic layer."""
    keys = jax.random.split(jax.random.key(0))
    return LatentModel(
        StandardNormal((50,)),
        Conditional(Dense([784, 200, 200, 100], activation="tanh", key=keys[0]), NormalHead((50,))),
        Conditional(Dense([50, 200, 200, 784], activation="tanh", key=keys[1]), BernoulliHead((784,))),
    )


def peak_megabytes() -> float:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    x = (np.random.default_rng(0).random((arguments.rows, 784)) < 0.2).astype(np.uint8)
    vae, batch, key = model(), as_batch(x), jax.random.key(1)

    def run(num_samples: int) -> np.ndarray:
        return log_marginal(ModelRows(vae, batch, key=key, preparation=Preparation()), num_samples=num_samples)

    memory = {}
    for num_samples in (50, 500, 5000):
        run(num_samples)
        memory[num_samples] = round(peak_megabytes(), 1)
    run(arguments.samples)
    rows, options = ModelRows(vae, batch, key=key), {"num_samples": arguments.samples}
    importance_sampling(rows, **options)
    rates, times, diagnosed = matmul_rate(), [], []
    for _ in range(arguments.repeats):
        began = time.perf_counter()
        values = run(arguments.samples)
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
        importance_sampling(rows, **options)
        diagnosed.append(time.perf_counter() - began)
    rates += matmul_rate()
    seconds, matmul = statistics.median(times), statistics.median(rates)
    work = 2 * DECODER_WEIGHTS * arguments.samples * arguments.rows / seconds / 1e9
    result = {
        "rows": arguments.rows,
        "num_samples": arguments.samples,
        "seconds": round(seconds, 3),
        "rows_per_second_at_5000": round(arguments.rows / seconds * arguments.samples / 5000, 1),
        "gflops": round(work, 1),
        "matmul_gflops": round(matmul, 1),
        "share_of_matmul": round(work / matmul, 3),
        # The same draws with errors, effective sample sizes and Pareto k.
        "with_diagnostics_over_without": round(statistics.median(b / a for a, b in zip(times, diagnosed)), 3),
        "peak_megabytes": memory,
        "mean": round(float(np.mean(values)), 3),
        "jax": jax.__version__,
        "cores": os.cpu_count(),
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"log p(x), K={arguments.samples}, {arguments.rows} rows: {seconds:.2f} s, "
            f"{result['share_of_matmul']:.2f} of the matmul rate ({matmul:.0f} GF/s); peak MB by K: {memory}"
        )


if __name__ == "__main__":
    jnp.zeros(()).block_until_ready()
    main()
