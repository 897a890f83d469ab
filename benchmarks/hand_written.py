"""Three VAEs written by hand in batched JAX, as fast as we know how on a CPU: the yardstick for the library.

Nothing of latens is imported. A whole chunk of steps is one compiled `lax.scan`; rows stay uint8 in memory, are
gathered and scaled inside the step; layers are `x @ w + b` with `w` of shape (in, out); the two heads share one
product. What helped, in CPU time on one core: writing the gradients of the ELU and of the Bernoulli term from their
outputs (5 % of a fast-forward step, 8-9 % of the small ones), and an update that waits for all gradients, so that
XLA copies no weights (7 %, on two cores). What did not help by more than 3 % on any shape: one
product for each head, one flat vector for Adam, other noise generators, noise drawn once per chunk, rows passed
instead of gathered, unrolling, transposed weights.

    python benchmarks/hand_written.py --shape fast-forward
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PIXELS = 784


@dataclass(frozen=True)
class Shape:
    """One benchmarked model: encoder widths after the pixels, latent size, and how it is trained."""

    hidden: tuple[int, ...]
    latent: int
    batch: int
    activation: str
    head: str
    optimizer: str
    init: str
    clip: float | None = None
    probability_floor: float | None = None


SHAPES = {
    "fast-forward": Shape((500, 500), 50, 128, "elu", "log_scale", "adam", "he", 5.0, 1e-7),
    "tiao": Shape((256,), 2, 100, "relu", "log_variance", "rmsprop", "glorot", None, 1e-7),
    "notebook": Shape((128,), 100, 64, "elu", "log_variance", "adam", "he"),
}


def flops_per_row(shape: Shape) -> int:
    """6 flops a weight and row, less the first layer's input gradient: 7.37 MFLOP for 784-500-500-50."""
    widths = (PIXELS, *shape.hidden)
    body = sum(a * b for a, b in pairwise(widths))
    weights = 2 * body + 3 * shape.hidden[-1] * shape.latent
    return 6 * weights - 2 * PIXELS * shape.hidden[0]


@jax.custom_vjp
def elu(x):
    """x where positive, exp(x) - 1 elsewhere; its gradient is 1 or output + 1, so nothing is computed twice."""
    return jnp.where(x > 0, x, jnp.exp(jnp.minimum(x, 0.0)) - 1.0)


def _elu_forward(x):
    y = elu(x)
    return y, y


def _elu_backward(y, g):
    return (g * (jnp.minimum(y, 0.0) + 1.0),)


elu.defvjp(_elu_forward, _elu_backward)


def bernoulli_cost(limit: float | None) -> Callable:
    """Sum over the batch of softplus(l) - x l in nats, with logits kept within +-limit where given."""

    def bound(logits):
        return logits if limit is None else jnp.clip(logits, -limit, limit)

    @jax.custom_vjp
    def cost(logits, x):
        held = bound(logits)
        return jnp.sum(jnp.maximum(held, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(held))) - x * held)

    def forward(logits, x):
        return cost(logits, x), (logits, x)

    def backward(saved, g):
        logits, x = saved
        slope = jax.nn.sigmoid(logits) - x
        if limit is not None:
            slope = jnp.where(jnp.abs(logits) < limit, slope, 0.0)
        return g * slope, None

    cost.defvjp(forward, backward)
    return cost


def after(grads, number):
    """`number`, to XLA only once all gradients are there: the weights are then updated where they lie, not copied."""
    total = sum(leaf.ravel()[0] for leaf in jax.tree.leaves(grads))
    return number + jnp.minimum(jax.lax.bitcast_convert_type(total, jnp.int32) & 1, 0).astype(jnp.float32)


def make(name: str) -> tuple[Callable, Callable]:
    """The functions `init(key) -> state` and `chunk(state, rows, order, key) -> (state, losses)` of one shape.

    `rows` is the resident uint8 array (N, 784), `order` the row numbers of every step (steps, batch), and `losses` the
    negative ELBO of every step in nats per row. The state given to `chunk` is used up (donated).
    """
    shape = SHAPES[name]
    activation = elu if shape.activation == "elu" else jax.nn.relu
    floor = shape.probability_floor
    bernoulli = bernoulli_cost(None if floor is None else float(np.log1p(-floor) - np.log(floor)))

    def layer(key, fan_in: int, fan_out: int):
        if shape.init == "he":
            weight = jax.random.normal(key, (fan_in, fan_out)) * np.float32(np.sqrt(2 / fan_in))
        else:
            limit = float(np.sqrt(6 / (fan_in + fan_out)))
            weight = jax.random.uniform(key, (fan_in, fan_out), minval=-limit, maxval=limit)
        return weight, jnp.zeros(fan_out)

    def init(key) -> Any:
        encoder = (PIXELS, *shape.hidden)
        decoder = (shape.latent, *reversed(shape.hidden), PIXELS)
        pairs = [*pairwise(encoder), *pairwise(decoder)]
        *keys, mean_key, scale_key = jax.random.split(key, len(pairs) + 2)
        layers = [layer(k, *pair) for k, pair in zip(keys, pairs)]
        # Each head is drawn with its own fan-out, then both are laid side by side.
        heads = [layer(k, shape.hidden[-1], shape.latent) for k in (mean_key, scale_key)]
        head = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *heads)
        depth = len(shape.hidden)
        params = {"encoder": layers[:depth], "head": head, "decoder": layers[depth:]}
        moments = [jax.tree.map(jnp.zeros_like, params) for _ in range(2 if shape.optimizer == "adam" else 1)]
        return params, tuple(moments), jnp.float32(0)

    def loss(params, x, noise):
        hidden = x
        for weight, bias in params["encoder"]:
            hidden = activation(hidden @ weight + bias)
        weight, bias = params["head"]
        mean, raw = jnp.split(hidden @ weight + bias, 2, axis=-1)
        log_scale = raw if shape.head == "log_scale" else 0.5 * raw
        scale = jnp.exp(log_scale)
        hidden = mean + scale * noise
        for weight, bias in params["decoder"][:-1]:
            hidden = activation(hidden @ weight + bias)
        weight, bias = params["decoder"][-1]
        kl = jnp.sum(0.5 * (scale * scale + mean * mean - 1.0) - log_scale)
        return (bernoulli(hidden @ weight + bias, x) + kl) / x.shape[0]

    def adam(params, moments, grads, count, rate):
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], grads)
        unbias_first, unbias_second = 1 / (1 - 0.9**count), 1 / (1 - 0.999**count)
        params = jax.tree.map(
            lambda p, m, v: p - rate * unbias_first * m / (jnp.sqrt(unbias_second * v) + 1e-8), params, first, second
        )
        return params, (first, second)

    def rmsprop(params, moments, grads, count, rate):
        square = jax.tree.map(lambda v, g: 0.9 * v + 0.1 * g * g, moments[0], grads)
        params = jax.tree.map(lambda p, g, v: p - rate * g / (jnp.sqrt(v) + 1e-7), params, grads, square)
        return params, (square,)

    update = adam if shape.optimizer == "adam" else rmsprop

    def chunk(state, rows, order, key):
        def step(carry, inputs):
            params, moments, count = carry
            chosen, step_key = inputs
            x = rows[chosen].astype(jnp.float32) * np.float32(1 / 255)
            noise = jax.random.normal(step_key, (shape.batch, shape.latent))
            value, grads = jax.value_and_grad(loss)(params, x, noise)
            if shape.clip is not None:
                grads = jax.tree.map(lambda g: jnp.clip(g, -shape.clip, shape.clip), grads)
            count = count + 1
            params, moments = update(params, moments, grads, count, after(grads, jnp.float32(1e-3)))
            return (params, moments, count), value

        return jax.lax.scan(step, state, (order, jax.random.split(key, order.shape[0])))

    return init, jax.jit(chunk, donate_argnums=0)


def matmul_rate(repeats: int = 5, size: int = 2048) -> list[float]:
    """GF/s of float32 products of two (size, size) arrays, one figure per repeat."""
    a = jnp.ones((size, size), jnp.float32)
    product = jax.jit(lambda u, v: u @ v)
    product(a, a).block_until_ready()
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        product(a, a).block_until_ready()
        rates.append(2 * size**3 / (time.perf_counter() - began) / 1e9)
    return rates


def measure(name: str, rows: np.ndarray, *, steps: int, repeats: int, seed: int = 0) -> dict[str, Any]:
    """Rows a second of one shape (median over `repeats` chunks) and its share of the matmul rate around it."""
    shape = SHAPES[name]
    init, chunk = make(name)
    resident = jnp.asarray(rows)
    draws = np.random.default_rng(seed)
    order = jnp.asarray(draws.integers(0, len(rows), (steps, shape.batch)), jnp.int32)
    keys = jax.random.split(jax.random.key(seed), repeats + 2)
    state = init(keys[0])
    began = time.perf_counter()
    state, losses = jax.block_until_ready(chunk(state, resident, order, keys[1]))
    first = time.perf_counter() - began
    rates, times = matmul_rate(), []
    for key in keys[2:]:
        began = time.perf_counter()
        state, losses = jax.block_until_ready(chunk(state, resident, order, key))
        times.append(time.perf_counter() - began)
    rates += matmul_rate()
    speed, matmul = steps * shape.batch / statistics.median(times), statistics.median(rates)
    work = speed * flops_per_row(shape) / 1e9
    return {
        "program": "hand-written jax",
        "shape": name,
        "rows_per_second": round(speed, 1),
        "steps_per_second": round(speed / shape.batch, 2),
        "gflops": round(work, 1),
        "matmul_gflops": round(matmul, 1),
        "share_of_matmul": round(work / matmul, 4),
        "first_chunk_seconds": round(first, 2),
        "last_loss_nats": round(float(losses[-1]), 3),
        "steps": steps,
        "repeats": repeats,
        "jax": jax.__version__,
        "cores": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES, "all"], default="all")
    parser.add_argument("--steps", type=int, default=100, help="steps in one compiled chunk")
    parser.add_argument("--repeats", type=int, default=7, help="timed chunks")
    parser.add_argument("--data", help="a .npy file of uint8 rows; random rows without it")
    arguments = parser.parse_args()
    if arguments.data:
        rows = np.load(arguments.data).reshape(-1, PIXELS)
    else:
        rows = np.random.default_rng(0).integers(0, 256, (20000, PIXELS), dtype=np.uint8)
    for name in SHAPES if arguments.shape == "all" else [arguments.shape]:
        print(json.dumps(measure(name, rows, steps=arguments.steps, repeats=arguments.repeats)), flush=True)


if __name__ == "__main__":
    main()
