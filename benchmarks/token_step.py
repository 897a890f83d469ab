"""A training step on rows of text beside one written by hand in batched JAX: the same networks, loss and optimiser.

Nothing of latens is imported by the yardstick. Both are compiled as a chunk of steps and timed in turns in one process,
in processor time, so that what else the machine does falls on both.

    python benchmarks/token_step.py --length 16
    python benchmarks/token_step.py --torch               also beside eager PyTorch's nn.GRU, where it is installed
    python benchmarks/token_step.py --compile 16 64 256   what compiling costs, by length: no step is timed
    python benchmarks/token_step.py --sample 10000        what rows of 16 tokens cost, compiling apart
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

BATCH, VOCABULARY, WIDTH, READS, LATENT = 128, 27, 128, 64, 16


def rows_of(length: int, steps: int) -> np.ndarray:
    """Rows of random tokens that end within the last four places."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, VOCABULARY, (steps, BATCH, length)).astype(np.int32)
    ends = rng.integers(length - 4, length, (steps, BATCH, 1))
    return np.where(np.arange(length) >= ends, 0, x)


def by_hand(length: int, steps: int) -> Callable[[], float]:
    """A function that takes `steps` steps and gives the processor seconds of one."""

    def glorot(key, a: int, b: int):
        limit = (6 / (a + b)) ** 0.5
        return jax.random.uniform(key, (a, b), minval=-limit, maxval=limit)

    k = jax.random.split(jax.random.key(0), 9)
    n, given = WIDTH, 4 * WIDTH + VOCABULARY
    params = {
        "forth": (glorot(k[0], VOCABULARY + 1, 3 * READS), jnp.zeros(3 * READS), glorot(k[1], READS, 3 * READS)),
        "back": (glorot(k[2], VOCABULARY + 1, 3 * READS), jnp.zeros(3 * READS), glorot(k[3], READS, 3 * READS)),
        "read": (glorot(k[4], 2 * READS, 2 * LATENT), jnp.zeros(2 * LATENT)),
        "given": (glorot(k[5], LATENT, given), jnp.zeros(given)),
        "cell": (glorot(k[6], VOCABULARY, 3 * n), jnp.zeros(3 * n), glorot(k[7], n, 3 * n)),
        "out": (jnp.zeros((n, VOCABULARY)), jnp.zeros(VOCABULARY)),
    }

    def unit(weight, start, gates):
        def step(state, gate):
            of = state @ weight
            m = state.shape[1]
            both = jax.nn.sigmoid(gate[:, : 2 * m] + of[:, : 2 * m])
            new = jnp.tanh(gate[:, 2 * m :] + both[:, :m] * of[:, 2 * m :])
            after = new + both[:, m:] * (state - new)
            return after, after

        return jax.lax.scan(step, start, gates, unroll=2)[1]

    def loss(p, x, key):
        codes = x.T
        seen = jax.nn.one_hot(codes, VOCABULARY + 1)
        over = jnp.cumsum(codes == 0, axis=0) > 0
        over = jnp.concatenate([jnp.zeros_like(over[:1]), over[:-1]])
        last = []
        for name, order in (("forth", 1), ("back", -1)):
            weight, bias, state = p[name]
            held = jnp.where(over[..., None] & (jnp.arange(3 * READS) // READS == 1), 1e4, seen @ weight + bias)
            last.append(unit(state, jnp.zeros((BATCH, READS)), held[::order])[-1])
        mean, raw = jnp.split(jnp.concatenate(last, axis=1) @ p["read"][0] + p["read"][1], 2, axis=1)
        z = mean + jnp.exp(raw) * jax.random.normal(key, mean.shape)
        kl = 0.5 * (mean**2 + jnp.exp(2 * raw) - 1 - 2 * raw).sum(1)
        start, gates, logits = jnp.split(z @ p["given"][0] + p["given"][1], [n, 4 * n], axis=1)
        shifted = jnp.concatenate([jnp.zeros_like(seen[:1]), seen[:-1]])[..., :VOCABULARY]
        weight, bias, state = p["cell"]
        states = unit(state, jnp.tanh(start), shifted @ weight + bias + gates)
        every = states @ p["out"][0] + p["out"][1] + logits
        terms = (seen[..., :VOCABULARY] * every).sum(-1) - jax.nn.logsumexp(every, axis=-1)
        terms = jnp.where(over | (jnp.arange(length) == length - 1)[:, None], 0.0, terms)
        return jnp.mean(kl - terms.sum(0))

    return adam(loss, params, jnp.asarray(rows_of(length, steps)))


def adam(loss, params, rows) -> Callable[[], float]:
    """Steps of Adam by hand on these batches of rows, timed."""
    optimizer = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(1e-3))

    @jax.jit
    def chunk(params, state, key, rows):
        def step(carry, x):
            params, state, key = carry
            key, own = jax.random.split(key)
            value, slope = jax.value_and_grad(loss)(params, x, own)
            updates, state = optimizer.update(slope, state, params)
            return (optax.apply_updates(params, updates), state, key), value

        return jax.lax.scan(step, (params, state, key), rows)

    return timed(chunk, (params, optimizer.init(params), jax.random.key(1)), rows)


def timed(chunk, carry, rows) -> Callable[[], float]:
    def run() -> float:
        nonlocal carry
        began = time.process_time()
        carry, _ = jax.block_until_ready(chunk(*carry, rows))
        return (time.process_time() - began) / len(rows)

    return run


def model_of(length: int) -> Any:
    """The same networks with the parts of latens."""
    from latens.distributions import StandardNormal
    from latens.models import Conditional, LatentModel, NormalHead
    from latens.models.heads.table import TokenHead, TokenInput
    from latens.networks import Dense
    from latens.networks.token_networks import TokenEncoder

    k = jax.random.split(jax.random.key(0), 3)
    latent, head = NormalHead((LATENT,)), TokenHead((length,), VOCABULARY, width=WIDTH).initialised(key=k[0])
    reader = TokenEncoder.create(VOCABULARY, (READS,), latent.num_outputs, key=k[1])
    writer = Dense([LATENT, head.num_outputs], key=k[2])
    return LatentModel(
        StandardNormal((LATENT,)),
        Conditional(reader, latent, TokenInput((length,), VOCABULARY)),
        Conditional(writer, head),
    )


def chunk_of(length: int, steps: int, edges: tuple[int, ...] = ()) -> tuple[Any, Any, tuple[Any, ...]]:
    """The compiled function of a chunk of steps, its first state, and its other arguments."""
    from latens.data import Preparation
    from latens.data.dataset import Batch
    from latens.objectives import ELBO
    from latens.training import make_optimizer
    from latens.training.step import make_program

    optimizer = make_optimizer("adam", learning_rate=1e-3, clip_norm=5.0)
    program = make_program(model_of(length), ELBO(), optimizer, Preparation(), edges=edges)
    x = rows_of(length, steps)
    rows = Batch(jnp.asarray(x), jnp.arange(steps * BATCH, dtype=jnp.uint32).reshape(steps, BATCH))
    return program.chunk, program.init(jax.random.key(0)), (rows, jnp.asarray(steps), jnp.asarray(np.inf))


def ours(length: int, steps: int) -> Callable[[], float]:
    """The same steps with the parts of latens."""
    chunk, state, given = chunk_of(length, steps)

    def run() -> float:
        nonlocal state
        began = time.process_time()
        state, result = jax.block_until_ready(chunk(state, *given))
        assert bool(result.good), "a step was not finite"
        return (time.process_time() - began) / steps

    return run


def by_torch(length: int, steps: int) -> Callable[[], float]:
    """The same networks by `torch.nn.GRU`, eager; what follows the end of a row is read too, which is cheaper."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)  # of two, processor time is twice as much on a busy machine

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reader = nn.GRU(VOCABULARY, READS, bidirectional=True, batch_first=True)
            self.code, self.start = nn.Linear(2 * READS, 2 * LATENT), nn.Linear(LATENT, WIDTH)
            self.writer = nn.GRU(VOCABULARY + LATENT, WIDTH, batch_first=True)
            self.out, self.own = nn.Linear(WIDTH, VOCABULARY), nn.Linear(LATENT, VOCABULARY)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = nn.functional.one_hot(x, VOCABULARY).float()
            _, last = self.reader(seen)
            mean, raw = self.code(torch.cat([last[0], last[1]], dim=1)).chunk(2, dim=1)
            z = mean + raw.exp() * torch.randn_like(mean)
            kl = 0.5 * (mean**2 + (2 * raw).exp() - 1 - 2 * raw).sum(1)
            before = torch.cat([torch.zeros_like(seen[:, :1]), seen[:, :-1]], dim=1)
            every = torch.cat([before, z[:, None].expand(-1, x.shape[1], -1)], dim=2)
            states, _ = self.writer(every, torch.tanh(self.start(z))[None])
            logits = self.out(states) + self.own(z)[:, None]
            terms = -nn.functional.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").view(x.shape)
            over = torch.cumsum(x == 0, dim=1) > 0
            over = torch.cat([torch.zeros_like(over[:, :1]), over[:, :-1]], dim=1)
            return (kl - terms.masked_fill(over, 0.0).sum(1)).mean()

    model, rows = Text(), torch.from_numpy(rows_of(length, steps).astype(np.int64))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run() -> float:
        began = time.process_time()
        for x in rows:
            optimizer.zero_grad()
            loss = model(x)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        return (time.process_time() - began) / steps

    return run


def compiling(lengths: list[int]) -> None:
    """Print what the program of a chunk costs before its first step, for one length and for half of it beside it."""
    for length in lengths:
        for edges in ((), (length // 2, length)):
            chunk, state, given = chunk_of(length, 2, edges)
            times = [time.process_time()]
            traced = chunk.trace(state, *given)
            times.append(time.process_time())
            lowered = traced.lower()
            times.append(time.process_time())
            lowered.compile()
            times.append(time.process_time())
            parts = ", ".join(
                f"{name} {b - a:.1f}" for name, a, b in zip(("trace", "lower", "compile"), times, times[1:])
            )
            size = len(lowered.as_text().splitlines())
            what = f"{len(edges) or 1} bucket{'s' * bool(edges)}"
            print(f"length {length}, {what}: {times[-1] - times[0]:.1f} s ({parts}; {size:,} lines)", flush=True)


def sampling(count: int) -> None:
    """Print what so many rows of 16 tokens cost, after the program is compiled for as many."""
    from latens.latents.codes import new_rows

    model, key = model_of(16), jax.random.key(0)
    for what in ("the first time", "again"):
        began = time.process_time()
        x, _ = new_rows(model, count, mean=False, key=key)
        print(f"{len(x):,} rows of 16 tokens {what}: {time.process_time() - began:.2f} s of processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", type=int, nargs="+", metavar="LENGTH")
    parser.add_argument("--sample", type=int, metavar="ROWS")
    parser.add_argument("--torch", action="store_true")
    given = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    if given.compile or given.sample:
        compiling(given.compile or [])
        return sampling(given.sample) if given.sample else None
    ways = (("hand", by_hand), ("latens", ours), *([("torch", by_torch)] if given.torch else []))
    runs = {name: make(given.length, given.steps) for name, make in ways}
    first = {name: run() * given.steps for name, run in runs.items()}
    times = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            times[name].append(run())
    for name, each in times.items():
        print(
            f"{name}: {1e3 * statistics.median(each):.1f} ms of processor time a step; first chunk {first[name]:.1f} s"
        )
    for name in [name for name in runs if name != "latens"]:
        ratios = [a / b for a, b in zip(times[name], times["latens"])]
        error = 1.25 * statistics.stdev(ratios) / len(ratios) ** 0.5
        print(f"length {given.length}: {name} / latens {statistics.median(ratios):.3f} +- {error:.3f}")


if __name__ == "__main__":
    main()
