"""The speed of three VAEs in plain PyTorch: eager as a user would write it, with fused Adam, and compiled.

The models are those of `hand_written.py` (fast-forward, tiao, notebook), with `nn.Linear` layers and PyTorch's own
losses and optimizers. The matmul rate is measured in the same process before and after. PyTorch's MKL takes a slower
path on processors not made by Intel; `--unlock` starts the program again with a shim loaded before MKL that answers
its question `mkl_serv_intel_cpu_true` with yes (compiled by `cc` from the line of C below). MKL_DEBUG_CPU_TYPE, which
did this once, has no effect since MKL 2020.1.

    python benchmarks/peers.py --shape fast-forward --mode fused --unlock
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

SHIM = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"
UNLOCKED = "LATENS_BENCHMARK_MKL_SHIM"
PIXELS = 784
# shape: (hidden widths, latent units, batch, activation, log-variance head, optimizer, bound of a gradient's entry)
SHAPES: dict[str, tuple[tuple[int, ...], int, int, str, bool, str, float | None]] = {
    "fast-forward": ((500, 500), 50, 128, "elu", False, "adam", 5.0),
    "tiao": ((256,), 2, 100, "relu", True, "rmsprop", None),
    "notebook": ((128,), 100, 64, "elu", True, "adam", None),
}


def unlock() -> None:
    """Start this program again with the shim in LD_PRELOAD; returns only in the second run (where it tidies up)."""
    folder = os.environ.get(UNLOCKED)
    if folder:
        # The shim is mapped by now: neither its file nor the variables are needed any more.
        shutil.rmtree(folder, ignore_errors=True)
        return
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        raise SystemExit("--unlock needs Linux and a C compiler named cc or gcc")
    folder = tempfile.mkdtemp(prefix="mkl-shim-")
    library = Path(folder, "libshim.so")
    command = [compiler, "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=SHIM, text=True, check=True)
    preload = f"{library}:{os.environ['LD_PRELOAD']}" if os.environ.get("LD_PRELOAD") else str(library)
    environment = {**os.environ, "LD_PRELOAD": preload, UNLOCKED: folder}
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def build(shape: str, mode: str) -> tuple[Any, Callable]:
    """The model's parameters and `step(pixels uint8 (B, 784)) -> negative ELBO in nats per row` of one shape."""
    import torch
    from torch import nn

    hidden, latent, _, activation, log_variance, optimizer_name, clip = SHAPES[shape]
    act = nn.functional.elu if activation == "elu" else nn.functional.relu

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            encoder, decoder = (PIXELS, *hidden), (latent, *reversed(hidden))
            self.encoder = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(encoder))
            self.mean, self.raw = nn.Linear(hidden[-1], latent), nn.Linear(hidden[-1], latent)
            self.decoder = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(decoder))
            self.logits = nn.Linear(hidden[0], PIXELS)
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, 0.0, (2 / layer.in_features) ** 0.5)
                    nn.init.zeros_(layer.bias)

        def forward(self, x):
            h = x
            for layer in self.encoder:
                h = act(layer(h))
            mean, log_scale = self.mean(h), self.raw(h) * (0.5 if log_variance else 1.0)
            scale = torch.exp(log_scale)
            h = mean + scale * torch.randn_like(mean)
            for layer in self.decoder:
                h = act(layer(h))
            cost = nn.functional.binary_cross_entropy_with_logits(self.logits(h), x, reduction="sum")
            kl = (0.5 * (scale**2 + mean**2 - 1) - log_scale).sum()
            return (cost + kl) / x.shape[0]

    model = VAE()
    fused = {"fused": True} if mode != "eager" else {}
    if optimizer_name == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **fused)
    else:
        # RMSprop has no fused form; foreach is the nearest.
        foreach = {"foreach": True} if fused else {}
        optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7, **foreach)
    forward = torch.compile(model) if mode == "compiled" else model

    def step(pixels):
        loss = forward(pixels.float() / 255)
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_value_(model.parameters(), clip)
        optimizer.step()
        return loss

    return model, step


def matmul_rate(repeats: int = 5, size: int = 2048) -> list[float]:
    """GF/s of float32 products of two (size, size) arrays, one figure per repeat."""
    import torch

    a = torch.ones(size, size)
    torch.mm(a, a)
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        torch.mm(a, a)
        rates.append(2 * size**3 / (time.perf_counter() - began) / 1e9)
    return rates


def flops_per_row(shape: str) -> int:
    """6 flops a weight and row, less the first layer's input gradient."""
    hidden, latent, *_ = SHAPES[shape]
    body = sum(a * b for a, b in pairwise((PIXELS, *hidden)))
    return 6 * (2 * body + 3 * hidden[-1] * latent) - 2 * PIXELS * hidden[0]


def measure(shape: str, mode: str, rows: np.ndarray, *, steps: int, repeats: int, unlocked: bool) -> dict[str, Any]:
    """Rows a second (median over `repeats` times `steps` steps) and its share of the matmul rate around it."""
    import torch

    batch = SHAPES[shape][2]
    resident = torch.from_numpy(rows)
    _, step = build(shape, mode)
    began = time.perf_counter()
    step(resident[:batch])
    first = time.perf_counter() - began
    for start in range(10):
        step(resident[start * batch : (start + 1) * batch])
    rates, times, loss = matmul_rate(), [], None
    for _ in range(repeats):
        began = time.perf_counter()
        order = torch.randint(len(resident), (steps, batch))
        for chosen in order:
            loss = step(resident[chosen])
        times.append(time.perf_counter() - began)
    rates += matmul_rate()
    speed, matmul = steps * batch / statistics.median(times), statistics.median(rates)
    work = speed * flops_per_row(shape) / 1e9
    return {
        "program": "pytorch",
        "mode": mode,
        "shape": shape,
        "rows_per_second": round(speed, 1),
        "steps_per_second": round(speed / batch, 2),
        "gflops": round(work, 1),
        "matmul_gflops": round(matmul, 1),
        "share_of_matmul": round(work / matmul, 4),
        "first_step_seconds": round(first, 2),
        "last_loss_nats": round(loss.item(), 3),
        "matmul_path": "MKL with mkl_serv_intel_cpu_true preloaded to say yes" if unlocked else "MKL as installed",
        "steps": steps,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES, "all"], default="all")
    parser.add_argument("--mode", choices=["eager", "fused", "compiled", "all"], default="eager")
    parser.add_argument("--steps", type=int, default=100, help="steps in one timing")
    parser.add_argument("--repeats", type=int, default=7, help="timings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", help="a .npy file of uint8 rows; random rows without it")
    parser.add_argument("--unlock", action="store_true", help="let MKL take its fast path on any processor")
    arguments = parser.parse_args()
    if arguments.unlock:
        unlock()
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.data:
        rows = np.load(arguments.data).reshape(-1, PIXELS)
    else:
        rows = np.random.default_rng(0).integers(0, 256, (20000, PIXELS), dtype=np.uint8)
    for shape in SHAPES if arguments.shape == "all" else [arguments.shape]:
        for mode in ["eager", "fused", "compiled"] if arguments.mode == "all" else [arguments.mode]:
            size = {"steps": arguments.steps, "repeats": arguments.repeats}
            try:
                result = measure(shape, mode, rows, unlocked=arguments.unlock, **size)
            except Exception as error:
                if mode != "compiled":
                    raise
                # torch.compile needs a C++ compiler and Python's headers: say what was missing and go on.
                result = {"program": "pytorch", "mode": mode, "shape": shape, "failed": str(error).splitlines()[0]}
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
