"""What the abstraction costs: the compiled step of five models against the same step written by hand in batched JAX.

    python benchmarks/overhead.py [--models elbo,iwae,vamp,iaf,two-level] [--json]

Both run in one process in turn (A B A B ...), chunks of the same number of steps on the same thresholded rows with
optax's Adam; ratios are taken pair by pair, above 1 latens is faster. The hand-written ones use nothing of latens:
arrays led by the batch (and by the draws), no classes, no vmap.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax

from latens import config as configuration
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.training.loop import pad_rows
from latens.training.step import make_program
from throughput import random_pixels

PIXELS, HIDDEN, LATENT, BATCH = 784, (200, 200), 40, 128
LEVEL, LEVEL_HIDDEN, PSEUDO, FLOW_WIDTH, CONTEXT = 20, (100, 100), 500, 64, 16
LOG_2_PI = float(np.log(2.0 * np.pi))

SAME = {
    "optimizer.name": "adam",
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "optimizer.learning_rate": 1e-3,
    "network.hidden": list(HIDDEN),
    "posterior.latent_dim": LATENT,
    "posterior.scale": "log-scale",
    "likelihood.family": "bernoulli",
    "data.binarize": "threshold",
    "training.batch_size": BATCH,
    "training.epochs": 1,
}
"""What every recipe is set to."""

MODELS: dict[str, tuple[str, dict]] = {
    "elbo": ("default", {}),
    "iwae": ("iwae", {"objective.num_samples": 50}),
    "vamp": ("vamp-prior", {"prior.components": PSEUDO}),
    "iaf": ("iaf", {}),
    "two-level": ("two-level", {"posterior.levels": [LEVEL], "network.level_hidden": list(LEVEL_HIDDEN)}),
}
"""Name -> recipe and its own settings."""


def mlp(layers, x):
    for weight, bias in layers[:-1]:
        x = jax.nn.silu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def bernoulli(logits, x):
    return jnp.sum(x * logits - jax.nn.softplus(logits), axis=-1)


def normal(z, mean, log_scale):
    return -0.5 * jnp.sum(((z - mean) * jnp.exp(-log_scale)) ** 2 + 2.0 * log_scale + LOG_2_PI, axis=-1)


def from_noise(noise, log_scale):
    """log q of mean + exp(log_scale) * noise."""
    return -0.5 * jnp.sum(noise**2 + 2.0 * log_scale + LOG_2_PI, axis=-1)


def standard(z):
    return -0.5 * jnp.sum(z**2 + LOG_2_PI, axis=-1)


def elbo(params, x, key):
    mean, log_scale = jnp.split(mlp(params["encoder"], x), 2, axis=-1)
    scale = jnp.exp(log_scale)
    z = mean + scale * jax.random.normal(key, mean.shape)
    kl = jnp.sum(0.5 * (scale**2 + mean**2 - 1.0) - log_scale, axis=-1)
    return jnp.mean(kl - bernoulli(mlp(params["decoder"], z), x))


def iwae(params, x, key):
    mean, log_scale = jnp.split(mlp(params["encoder"], x), 2, axis=-1)
    noise = jax.random.normal(key, (50, *mean.shape))
    z = mean + jnp.exp(log_scale) * noise
    log_weight = bernoulli(mlp(params["decoder"], z), x) + standard(z) - from_noise(noise, log_scale)
    return -jnp.mean(jax.nn.logsumexp(log_weight, axis=0) - np.log(50))


def vamp(params, x, key):
    mean, log_scale = jnp.split(mlp(params["encoder"], x), 2, axis=-1)
    noise = jax.random.normal(key, mean.shape)
    z = mean + jnp.exp(log_scale) * noise
    centre, width = jnp.split(mlp(params["encoder"], params["pseudo"]), 2, axis=-1)
    prior = jax.nn.logsumexp(normal(z[:, None], centre, width), axis=1) - np.log(PSEUDO)
    return jnp.mean(from_noise(noise, log_scale) - prior - bernoulli(mlp(params["decoder"], z), x))


def iaf(params, x, key):
    out = mlp(params["encoder"], x)
    mean, log_scale, context = out[:, :LATENT], out[:, LATENT : 2 * LATENT], out[:, 2 * LATENT :]
    noise = jax.random.normal(key, mean.shape)
    z, density = mean + jnp.exp(log_scale) * noise, from_noise(noise, log_scale)
    seen, degree = np.arange(LATENT), np.arange(FLOW_WIDTH) % (LATENT - 1)
    mask = (degree[None, :] >= seen[:, None]).astype(np.float32)
    output_mask = np.tile((seen[None, :] > degree[:, None]).astype(np.float32), (1, 2))
    for weight, bias, given, output, shift in params["flow"]:
        hidden = jax.nn.relu(z @ (weight * mask) + bias + context @ given)
        target, gate = jnp.split(hidden @ (output * output_mask) + shift, 2, axis=-1)
        share = jax.nn.sigmoid(gate)
        z = (share * z + (1.0 - share) * target)[:, ::-1]
        density = density - jnp.sum(jax.nn.log_sigmoid(gate), axis=-1)
    return jnp.mean(density - standard(z) - bernoulli(mlp(params["decoder"], z), x))


def two_level(params, x, key):
    first, second = jax.random.split(key)
    mean, log_scale = jnp.split(mlp(params["encoder"], x), 2, axis=-1)
    noise = jax.random.normal(first, mean.shape)
    z = mean + jnp.exp(log_scale) * noise
    top_mean, top_log_scale = jnp.split(mlp(params["up"], z), 2, axis=-1)
    top_noise = jax.random.normal(second, top_mean.shape)
    top = top_mean + jnp.exp(top_log_scale) * top_noise
    posterior = from_noise(noise, log_scale) + from_noise(top_noise, top_log_scale)
    prior = standard(top) + normal(z, *jnp.split(mlp(params["down"], top), 2, axis=-1))
    return jnp.mean(posterior - prior - bernoulli(mlp(params["decoder"], z), x))


def parameters(name: str, key):
    """The arrays of one model."""

    def layers(widths, key):
        keys = jax.random.split(key, len(widths) - 1)
        return [
            (jax.random.normal(k, (a, b)) * np.float32(np.sqrt(2 / a)), jnp.zeros(b))
            for k, (a, b) in zip(keys, pairwise(widths))
        ]

    keys = jax.random.split(key, 6)
    outputs = 2 * LATENT + (CONTEXT if name == "iaf" else 0)
    params = {
        "encoder": layers((PIXELS, *HIDDEN, outputs), keys[0]),
        "decoder": layers((LATENT, *HIDDEN, PIXELS), keys[1]),
    }
    if name == "vamp":
        params["pseudo"] = jax.random.uniform(keys[2], (PSEUDO, PIXELS))
    if name == "two-level":
        params["up"] = layers((LATENT, *LEVEL_HIDDEN, 2 * LEVEL), keys[2])
        params["down"] = layers((LEVEL, *LEVEL_HIDDEN, 2 * LATENT), keys[3])
    if name == "iaf":
        shapes = ((LATENT, FLOW_WIDTH), (FLOW_WIDTH,), (CONTEXT, FLOW_WIDTH), (FLOW_WIDTH, 2 * LATENT), (2 * LATENT,))
        params["flow"] = [tuple(0.05 * jax.random.normal(keys[4], shape) for shape in shapes) for _ in range(2)]
    return params


LOSSES: dict[str, Callable] = {"elbo": elbo, "iwae": iwae, "vamp": vamp, "iaf": iaf, "two-level": two_level}


def by_hand(name: str) -> tuple[Callable, Callable]:
    """`init(key)` and `chunk(state, rows of shape (n, B, 784) uint8, key)` of one model."""
    adam, loss = optax.adam(1e-3), LOSSES[name]

    def init(key):
        params = parameters(name, key)
        return params, adam.init(params)

    @jax.jit
    def chunk(state, rows, key):
        def step(state, inputs):
            number, row = inputs
            params, moments = state
            x = (row.astype(jnp.float32) / 255.0 > 0.5).astype(jnp.float32)
            value, slope = jax.value_and_grad(loss)(params, x, jax.random.fold_in(key, number))
            updates, moments = adam.update(slope, moments, params)
            return (optax.apply_updates(params, updates), moments), value

        return jax.lax.scan(step, state, (jnp.arange(rows.shape[0]), rows))

    return init, chunk


def compare(name: str, *, steps: int, repeats: int) -> dict:
    """One model: latens and the hand-written step in turn."""
    data = random_pixels(steps * BATCH)
    recipe, settings = MODELS[name]
    experiment = prepare(configuration.override(get_recipe(recipe).config, {**SAME, **settings}), data)
    stage = experiment.stages()[0]
    assert stage.objective is not None
    assert stage.optimizer is not None
    model = stage.start(experiment.new_model(), data)
    program = make_program(model, stage.objective, stage.optimizer, experiment.preparation)
    state = program.init(jax.random.key(0))
    rows = jax.device_put(pad_rows(data, np.arange(steps * BATCH), steps, BATCH))
    count, limit = jnp.asarray(steps), jnp.asarray(np.inf)
    init, chunk = by_hand(name)
    other, pixels = init(jax.random.key(0)), jnp.asarray(data.x.reshape(steps, BATCH, PIXELS))
    times: list[tuple[float, float]] = []
    for repeat in range(repeats + 1):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(program.chunk(state, rows, count, limit))
        middle = time.perf_counter()
        other, _ = jax.block_until_ready(chunk(other, pixels, jax.random.key(repeat)))
        if repeat:  # the first one compiles
            times.append((middle - began, time.perf_counter() - middle))
    ours, theirs = (statistics.median(pair[i] for pair in times) / steps * 1e3 for i in (0, 1))
    ratio = statistics.median(hand / mine for mine, hand in times)
    return {"model": name, "ms_a_step": round(ours, 3), "by_hand_ms": round(theirs, 3), "ratio": round(ratio, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = [compare(name, steps=arguments.steps, repeats=arguments.repeats) for name in arguments.models.split(",")]
    about = {"jax": jax.__version__, "python": platform.python_version(), "cores": os.cpu_count()}
    if arguments.json:
        print(json.dumps({"results": results, **about}))
        return
    for row in results:
        print(f"{row['model']:10s} {row['ms_a_step']:7.3f} ms  by hand {row['by_hand_ms']:7.3f} ms  {row['ratio']:.3f}")


if __name__ == "__main__":
    main()
