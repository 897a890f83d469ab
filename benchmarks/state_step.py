"""A training step of a model with a latent for every step, beside one written by hand in batched JAX.

The same networks, loss and optimiser; nothing of latens is imported by the yardstick. Both are compiled as a chunk of
steps and timed in turns in one process, in processor time, so that what else the machine does falls on both.

    python benchmarks/state_step.py --length 100
    python benchmarks/state_step.py --length 1000 --steps 2
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from token_step import adam

BATCH, COLUMNS, LATENT, WIDTH, READS = 32, 4, 8, 64, 64


def rows_of(length: int, steps: int) -> np.ndarray:
    """Rows of random numbers."""
    return np.random.default_rng(0).normal(size=(steps, BATCH, length, COLUMNS)).astype(np.float32)


def by_hand(length: int, steps: int) -> Callable[[], float]:
    """A function that takes `steps` steps and gives the processor seconds of one."""

    def glorot(key, a: int, b: int):
        limit = (6 / (a + b)) ** 0.5
        return jax.random.uniform(key, (a, b), minval=-limit, maxval=limit)

    k, size, n = jax.random.split(jax.random.key(0), 9), LATENT, READS
    net = lambda a, b, key: (glorot(key, a, WIDTH), jnp.zeros(WIDTH), jnp.zeros((WIDTH, b)), jnp.zeros(b))  # noqa: E731
    params = {
        "read": (glorot(k[0], 2 * COLUMNS, 3 * n), jnp.zeros(3 * n), glorot(k[1], n, 3 * n), jnp.zeros(3 * n)),
        "change": net(size, 2 * size, k[2]),
        "meet": net(n + size, 2 * size, k[3]),
        "say": net(size, COLUMNS, k[4]),
        "drift": 0.9 * jnp.eye(size),
        "rest": jnp.zeros((2, size)),
        "first": jnp.zeros((2, size)),
        "write": 0.1 * jax.random.normal(k[5], (size, COLUMNS)),
        "bias": jnp.zeros(COLUMNS),
        "noise": jnp.zeros(COLUMNS),
        "gain": jnp.zeros((COLUMNS, size)),
        "precision": jnp.full((COLUMNS, size), -4.0),
    }
    # Strong types: a second chunk of other types would be compiled anew.
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    through = lambda p, x: jnp.tanh(x @ p[0] + p[1]) @ p[2] + p[3]  # noqa: E731
    bounded = lambda x: 5 * jnp.tanh(x / 5)  # noqa: E731

    def loss(p, x, key):
        x = jnp.swapaxes(x, 0, 1)  # time first
        w, b, u, c = p["read"]
        gates = jnp.concatenate([x, jnp.ones_like(x)], axis=2) @ w + b

        def back(state, gate):
            of = state @ u + c
            both = jax.nn.sigmoid(gate[:, : 2 * n] + of[:, : 2 * n])
            new = jnp.tanh(gate[:, 2 * n :] + both[:, :n] * of[:, 2 * n :])
            after = new + both[:, n:] * (state - new)
            return after, after

        messages = jax.lax.scan(back, jnp.zeros((BATCH, n)), gates, reverse=True)[1]
        noise = jax.random.normal(key, (length, BATCH, size))
        sharp = jnp.exp(p["precision"]).sum(0)

        def step(carry, at):
            z, number = carry
            message, x, e = at
            moved, wider = jnp.split(through(p["change"], z), 2, axis=1)
            loc, log = z @ p["drift"] + p["rest"][0] + moved, p["rest"][1] + bounded(wider)
            loc, log = jnp.where(number > 0, loc, p["first"][0]), jnp.where(number > 0, log, p["first"][1])
            moved, wider = jnp.split(through(p["meet"], jnp.concatenate([message, loc], axis=1)), 2, axis=1)
            scale = jnp.exp(log)
            own = loc + (x - loc @ p["write"] - p["bias"]) @ p["gain"] + scale * moved
            own_log = log - 0.5 * jnp.log1p(scale**2 * sharp) + bounded(wider)
            kl = log - own_log + 0.5 * (jnp.exp(2 * (own_log - log)) + ((own - loc) / scale) ** 2 - 1)
            z = own + jnp.exp(own_log) * e
            return (z, number + 1), (z, kl.sum(1))

        (z, kl) = jax.lax.scan(step, (jnp.zeros((BATCH, size)), 0), (messages, x, noise))[1]
        mean = z @ p["write"] + p["bias"] + through(p["say"], z)
        away = (x - mean) * jnp.exp(-p["noise"])
        log_p = -0.5 * away**2 - p["noise"] - 0.5 * jnp.log(2 * jnp.pi)
        return jnp.mean(kl.sum(0) - log_p.sum((0, 2)))

    return adam(loss, params, jnp.asarray(rows_of(length, steps)))


def ours(length: int, steps: int) -> Callable[[], float]:
    """The same with the parts of latens."""
    from latens.data import Preparation
    from latens.data.dataset import Batch
    from latens.models import StateSpaceModel, StepPrior
    from latens.models.heads.base import SharedScaleNormalHead
    from latens.models.state_space import StepDecoder, StepEncoder
    from latens.networks import Dense
    from latens.networks.token_networks import GRU
    from latens.objectives import ELBO
    from latens.training import make_optimizer
    from latens.training.step import make_program

    k = jax.random.split(jax.random.key(0), 5)
    dense = lambda a, b, key: Dense([a, WIDTH, b], key=key, activation="tanh").with_output_weights_times(0.0)  # noqa: E731
    zeros = lambda *shape: jnp.zeros(shape)  # noqa: E731
    decoder = StepDecoder(
        None, zeros(2, LATENT), 0.9 * jnp.eye(LATENT), zeros(0, LATENT), zeros(2, LATENT),
        dense(LATENT, 2 * LATENT, k[0]), 0.1 * jax.random.normal(k[1], (LATENT, COLUMNS)), zeros(0, COLUMNS),
        zeros(COLUMNS), dense(LATENT, COLUMNS, k[2]), SharedScaleNormalHead((COLUMNS,), zeros(COLUMNS)),
    )  # fmt: skip
    reader = GRU.create(2 * COLUMNS, READS, key=k[3])
    precision = jnp.full((COLUMNS, LATENT), -4.0, jnp.float32)
    encoder = StepEncoder(reader, dense(READS + LATENT, 2 * LATENT, k[4]), zeros(COLUMNS, LATENT), precision)
    model = StateSpaceModel(StepPrior(length), encoder, decoder)
    program = make_program(model, ELBO(), make_optimizer("adam", learning_rate=1e-3, clip_norm=5.0), Preparation())
    x = rows_of(length, steps)
    rows = Batch(jnp.asarray(x), jnp.arange(steps * BATCH, dtype=jnp.uint32).reshape(steps, BATCH))
    count, limit, state = jnp.asarray(steps), jnp.asarray(np.inf), program.init(jax.random.key(0))

    def run() -> float:
        nonlocal state
        began = time.process_time()
        state, result = jax.block_until_ready(program.chunk(state, rows, count, limit))
        assert bool(result.good), "a step was not finite"
        return (time.process_time() - began) / steps

    return run


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    runs = {name: make(given.length, given.steps) for name, make in (("hand", by_hand), ("latens", ours))}
    first = {name: run() * given.steps for name, run in runs.items()}
    times = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            times[name].append(run())
    ratios = [a / b for a, b in zip(times["hand"], times["latens"])]
    for name, each in times.items():
        cost = statistics.median(each)
        compiled = first[name] - given.steps * cost
        print(f"{name}: {1e3 * cost:.1f} ms of processor time a step; compilation {compiled:.1f} s")
    error = 1.25 * statistics.stdev(ratios) / len(ratios) ** 0.5
    print(f"length {given.length}: hand / latens {statistics.median(ratios):.3f} +- {error:.3f}")


if __name__ == "__main__":
    main()
