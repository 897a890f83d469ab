"""What every tutorial program shares and what needs no PyTorch: MNIST from its four files, options, the JSON line."""

import argparse
import gzip
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path) -> np.ndarray:
    """One IDX file of bytes, gzipped or not, as a uint8 array of its own shape."""
    if not path.exists():
        path = path.with_name(path.name + ".gz")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        raw = file.read()
    if raw[:3] != b"\x00\x00\x08":
        raise SystemExit(f"{path}: not an IDX file of unsigned bytes")
    rank = raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw, ">i4", rank, 4))
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if values.size != math.prod(shape):
        raise SystemExit(f"{path}: holds {values.size} bytes where its header promises {shape}")
    return values.reshape(shape)


def load_mnist(folder: str) -> dict[str, np.ndarray]:
    """`x_train`, `x_test` of shape (N, 784) and `y_train`, `y_test` of shape (N,), all uint8."""
    arrays = {}
    for part, (images, labels) in FILES.items():
        pixels = read_idx(Path(folder) / images)
        arrays[f"x_{part}"] = pixels.reshape(len(pixels), -1)
        arrays[f"y_{part}"] = read_idx(Path(folder) / labels)
    return arrays


def options(text: str | None, *, epochs: int | None = 10) -> argparse.ArgumentParser:
    """The options all programs have: `--data --seed --rows --json`, and those of training where `epochs` is given."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with the four MNIST files, gzipped or not")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, help="train on the first ROWS rows (all 60,000 without it)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    if epochs is not None:
        parser.add_argument("--epochs", type=int, default=epochs)
        parser.add_argument("--threads", type=int, default=2)
        parser.add_argument("--given", help="folder with initial weights, orders of rows and noise to use")
    return parser


def say(arguments: argparse.Namespace, line: str) -> None:
    """Progress for people: on stdout, or on stderr where stdout belongs to the JSON object."""
    print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True)


def finish(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    """The result as one JSON object, if asked for."""
    if arguments.json:
        print(json.dumps(result))
