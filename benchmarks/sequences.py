"""Rows of text: bits of held-out rows beside the same decoder without a latent, at equal processor time.

    python benchmarks/sequences.py grammar              # arithmetic expressions whose entropy is known
    python benchmarks/sequences.py names.txt            # a line a row, or that file with .gz
    python benchmarks/sequences.py names.txt objective.free_bits=4 --steps 12000

The rival is the recipe with a latent of one number, an encoder of one unit and no free bits: z is not used, and the
bound is log p(x) itself. Its steps are cheaper: it takes `--more` times as many, and the seconds of both are printed.
"""

import argparse
import gzip
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from latens import load_data, prepare
from latens.config import override
from latens.recipes import get_recipe
from latens.workflow.experiment import train

OPERATORS = {"+": 0.4, "-": 0.3, "*": 0.2, "/": 0.1}
ENDS, DEEPEST = 0.55, 3
"""The probability that an expression is a digit, and the depth at which it always is one."""
RIVAL = {"posterior.latent_dim": 1, "network.hidden": [1], "objective.free_bits": 0.0}


def expression(rng: np.random.Generator, depth: int = 0) -> str:
    """Draw an expression of the grammar: a digit, or two expressions with an operator in brackets."""
    if depth == DEEPEST or rng.random() < ENDS:
        return str(rng.integers(10))
    operator = rng.choice(list(OPERATORS), p=list(OPERATORS.values()))
    return f"({expression(rng, depth + 1)}{operator}{expression(rng, depth + 1)})"


def log_prob(text: str) -> float:
    """The log probability of a text under the grammar, in nats; -inf where it does not parse."""

    def parsed(at: int, depth: int) -> tuple[float, int]:
        if text[at].isdigit():
            return (0.0 if depth == DEEPEST else math.log(ENDS)) - math.log(10), at + 1
        if text[at] != "(" or depth == DEEPEST:
            raise ValueError
        left, middle = parsed(at + 1, depth + 1)
        right, end = parsed(middle + 1, depth + 1)
        if text[end] != ")":
            raise ValueError
        return math.log1p(-ENDS) + left + math.log(OPERATORS[text[middle]]) + right, end + 1

    try:
        found, end = parsed(0, 0)
    except (ValueError, IndexError, KeyError):
        return -math.inf
    return found if end == len(text) else -math.inf


def fitted(texts: list[str], settings: dict[str, Any], draws: int, seed: int) -> dict[str, float]:
    """Train, and measure on the test rows."""
    data = load_data(texts)
    config = override(get_recipe("text").config, settings)
    start = time.process_time()
    trained = train(prepare(config, data))[0]
    seconds = time.process_time() - start
    found = trained.evaluate(data, num_samples=draws, seed=seed).value["metrics"]
    drawn = data.schema.decode(trained.sample(1000, seed=seed))
    known = set(data.schema.decode(data.x[data.subset("train")]))
    test = data.schema.decode(data.x[data.subset("test")])
    return {
        "seconds": seconds,
        "log p(x)": found["log_marginal"]["value"],
        "bits a character": found["bits_per_character"]["value"],
        "KL": found["kl"]["value"],
        "distinct": len(set(drawn)) / len(drawn),
        "copies": float(np.mean([text in known for text in drawn])),
        "parse": float(np.mean([np.isfinite(log_prob(text)) for text in drawn])),
        "law": -float(np.sum([log_prob(t) for t in test])) / math.log(2) / sum(len(t) + 1 for t in test),
    }


def main() -> None:
    """Print a line for the recipe and one for its rival."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", help="grammar, or a file with a line a row")
    parser.add_argument("settings", nargs="*", metavar="OPTION=VALUE")
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--rows-of-grammar", type=int, default=20_000, dest="count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--more", type=float, default=1.7)
    asked = parser.parse_intermixed_args()
    rng = np.random.default_rng(asked.seed)
    if asked.rows == "grammar":
        texts = [expression(rng) for _ in range(asked.count)]
    else:
        opened = gzip.open if asked.rows.endswith(".gz") else open
        with opened(Path(asked.rows), "rt", encoding="utf-8") as file:
            texts = [line for line in file.read().split("\n") if line]
        rng.shuffle(texts)
    settings = dict(word.split("=", 1) for word in asked.settings)
    settings = {"training.patience": None, **settings}
    rival = {**RIVAL, "training.steps": round(asked.more * asked.steps)}
    for name, more in (("text", {"training.steps": asked.steps}), ("no latent", rival)):
        found = fitted(texts, {**settings, **more}, asked.draws, asked.seed)
        shown = {k: v for k, v in found.items() if asked.rows == "grammar" or k not in ("parse", "law")}
        print(f"{name:10s}", *(f"{k} {v:.4g}" for k, v in shown.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()
