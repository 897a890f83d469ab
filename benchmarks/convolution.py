"""A training step of a convolutional VAE against the same one in eager PyTorch, in turn.

    python benchmarks/convolution.py --torch-python PYTHON [--kernel 4] [--shape 32,32,3] [--compiled] [--json]

28x28x1, 32x32x3 and 64x64x3 pixels, 32 and 64 channels by convolutions of stride 2, 20 latent units, mirrored
transposed convolutions, a Bernoulli likelihood, Adam, batches of 128. `--torch-python` is the interpreter that has
PyTorch; it is asked for the same number of steps after each of ours (A B A B ...). With `--compiled` its model goes
through `torch.compile`, in its layout of channels last. Times are medians, the ratio is the median over pairs; rows are
random, which changes no time. On a busy machine PyTorch's threads wait for each other: run it on a quiet one, or on one
core by `taskset -c 0` with `--threads 1`. The float32 matmul of 2048x2048 is timed before and after. The only
difference between the models: the last bias is one number a pixel here and one for each channel there.
"""

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

BATCH, CHANNELS, LATENT = 128, (32, 64), 20
SHAPES = ("28,28,1", "32,32,3", "64,64,3")


def ours(kernel: int, shape: tuple[int, int, int], steps: int) -> Callable[[], float]:
    """A function that trains `steps` steps with latens and gives the seconds a step."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from latens.data import Preparation
    from latens.data.dataset import Batch
    from latens.distributions import StandardNormal
    from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead
    from latens.networks import decoder_network, encoder_network
    from latens.objectives import ELBO
    from latens.training import make_optimizer
    from latens.training.step import make_program

    keys = jax.random.split(jax.random.key(0))
    head = NormalHead((LATENT,))
    options = {"kernel_size": kernel, "initializer": "lecun-normal"}
    encoder = encoder_network("conv", shape, CHANNELS, head.num_outputs, **options, key=keys[0])
    decoder = decoder_network("conv", LATENT, CHANNELS[::-1], shape, math.prod(shape), **options, key=keys[1])
    model = LatentModel(
        StandardNormal((LATENT,)), Conditional(encoder, head), Conditional(decoder, BernoulliHead(shape))
    )
    optimizer = make_optimizer("adam", learning_rate=1e-3)
    program = make_program(model, ELBO(), optimizer, Preparation(divide=255.0))
    pixels = np.random.default_rng(0).integers(0, 256, (steps, BATCH, *shape), dtype=np.uint8)
    rows = Batch(jnp.asarray(pixels), jnp.arange(steps * BATCH, dtype=jnp.uint32).reshape(steps, BATCH))
    count, limit = jnp.asarray(steps), jnp.asarray(np.inf)
    state = program.init(jax.random.key(0))

    def run() -> float:
        nonlocal state
        began = time.perf_counter()
        state, result = jax.block_until_ready(program.chunk(state, rows, count, limit))
        seconds = (time.perf_counter() - began) / steps
        assert bool(result.good), "a step was not finite"
        return seconds

    return run


def theirs(kernel: int, shape: tuple[int, int, int], steps: int, threads: int, compiled: bool) -> None:
    """The worker: for every line read, train `steps` steps with PyTorch and print the seconds a step."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    more = {"output_padding": 1} if kernel == 3 else {}
    small, channels = shape[0] // 4, shape[2]
    encoder = nn.Sequential(
        nn.Conv2d(channels, CHANNELS[0], kernel, 2, 1),
        nn.ReLU(),
        nn.Conv2d(CHANNELS[0], CHANNELS[1], kernel, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(CHANNELS[1] * small**2, 2 * LATENT),
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT, CHANNELS[1] * small**2),
        nn.ReLU(),
        nn.Unflatten(1, (CHANNELS[1], small, small)),
        nn.ConvTranspose2d(CHANNELS[1], CHANNELS[0], kernel, 2, 1, **more),
        nn.ReLU(),
        nn.ConvTranspose2d(CHANNELS[0], channels, kernel, 2, 1, **more),
    )
    rows = torch.randint(0, 256, (steps, BATCH, channels, *shape[:2]), dtype=torch.uint8)
    layout = torch.channels_last if compiled else torch.contiguous_format
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder, decoder = (part.to(device, memory_format=layout) for part in (encoder, decoder))
    rows = rows.to(device)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    if compiled:
        encoder, decoder = torch.compile(encoder), torch.compile(decoder)
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        for pixels in rows:
            x = (pixels.float() / 255).contiguous(memory_format=layout)
            mean, log_scale = encoder(x).chunk(2, 1)
            scale = torch.exp(log_scale)
            logits = decoder(mean + scale * torch.randn_like(mean))
            cost = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            loss = (cost + (0.5 * (scale**2 + mean**2 - 1) - log_scale).sum()) / BATCH
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # an accelerator is waited for
        print(json.dumps((time.perf_counter() - began) / steps), flush=True)


def compare(
    kernel: int, shape: tuple[int, int, int], steps: int, repeats: int, python: str, threads: int, compiled: bool
) -> dict:
    """Both in turn; the first round warms up and is not counted."""
    import jax

    from hand_written import matmul_rate

    command = [python, __file__, "--worker", "--kernel", str(kernel), "--steps", str(steps), "--threads", str(threads)]
    command += ["--shape", ",".join(map(str, shape)), *(["--compiled"] if compiled else [])]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        about = json.loads(worker.stdout.readline())
        run, times, rates = ours(kernel, shape, steps), [], []
        for repeat in range(repeats + 1):
            if repeat == 1:
                rates += matmul_rate()
            mine = run()
            worker.stdin.write("\n")
            worker.stdin.flush()
            other = json.loads(worker.stdout.readline())
            if repeat:
                times.append((mine, other))
        rates += matmul_rate()
    finally:
        worker.stdin.close()
        worker.wait()
    return {
        "kernel": kernel,
        "shape": shape,
        "compiled": compiled,
        "latens_ms": round(1e3 * statistics.median(mine for mine, _ in times), 2),
        "pytorch_ms": round(1e3 * statistics.median(other for _, other in times), 2),
        "ratio": round(statistics.median(mine / other for mine, other in times), 3),
        "matmul_gflops": round(statistics.median(rates), 1),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        **about,
    }


def read(shape: str) -> tuple[int, int, int]:
    height, width, channels = map(int, shape.split(","))
    return height, width, channels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--kernel", type=int, choices=[3, 4], action="append", help="3 or 4; both where not given")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="all three where not given")
    parser.add_argument("--compiled", action="store_true", help="PyTorch compiled, channels last")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="PyTorch's threads")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        theirs(arguments.kernel[0], read(arguments.shape[0]), arguments.steps, arguments.threads, arguments.compiled)
        return
    results = []
    for shape, kernel in itertools.product(arguments.shape or SHAPES, arguments.kernel or [3, 4]):
        how = (arguments.steps, arguments.repeats, arguments.torch_python, arguments.threads, arguments.compiled)
        results.append(compare(kernel, read(shape), *how))
        if not arguments.json:
            row = results[-1]
            print(
                f"{shape}, kernel {kernel}: latens {row['latens_ms']:.1f} ms, PyTorch {row['pytorch_ms']:.1f} ms, "
                f"ratio {row['ratio']:.2f} (matmul {row['matmul_gflops']:.0f} GF/s)",
                flush=True,
            )
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
