"""Rows of text: bits of held-out rows beside the same decoder without a latent, at equal processor time.

    python benchmarks/sequences.py grammar              # arithmetic expressions whose entropy is known
    python benchmarks/sequences.py names.txt            # a line a row, or that file with .gz
    python benchmarks/sequences.py names.txt objective.free_bits=4 --steps 12000
    python benchmarks/sequences.py lines.txt --steps 2000 --equal   # the rival stops at the recipe's processor time

The rival is the recipe with a latent of one number, an encoder of one unit and no free bits: z is not used, and the
bound is log p(x) itself. Its steps are cheaper: it takes `--more` times as many, or as many as its time allows.
Processor time is at the pace of the steps after the first hundred, so that neither pays for compilation.
"""

import argparse
import gzip
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from latens import read
from latens.config import override
from latens.evidence import log_marginal
from latens.fitting import prepare, train
from latens.recipes import get_recipe

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


class Clock:
    """Processor seconds of all steps at the pace of those after the first hundred, and an end after so many."""

    def __init__(self, most: float | None) -> None:
        self.most, self.begun, self.seconds = most, None, 0.0

    def __call__(self, event: Any) -> str | None:
        """Look at the clock; a text asks to stop."""
        steps = event.snapshot.loop.total
        if steps < 100:
            return None
        if self.begun is None:
            self.begun = (steps, time.process_time())
        elif steps > self.begun[0]:
            self.seconds = (time.process_time() - self.begun[1]) * steps / (steps - self.begun[0])
        return "its time is over" if self.most is not None and self.seconds >= self.most else None


def fitted(
    texts: list[str], settings: dict[str, Any], draws: int, seed: int, most: float | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Train, for so many processor seconds where they are given; numbers of the test rows, and log p of each."""
    data = read(texts)
    config = override(get_recipe("text").config, settings)
    clock = Clock(most)
    trained = train(prepare(config, data), callbacks=[clock])[0]
    found = trained.evaluate(data, num_samples=2, seed=seed).value["metrics"]
    places = data.subset("test")
    rows = log_marginal(trained.rows(trained.batch(data, places), seed=seed), num_samples=draws)
    drawn = data.schema.decode(trained.sample(1000, seed=seed))
    known = set(data.schema.decode(data.x[data.subset("train")]))
    test = data.schema.decode(data.x[data.subset("test")])
    return rows, {
        "seconds": clock.seconds,
        "steps": trained.facts["steps"],
        "kept": trained.facts.get("best_step"),
        "log p(x)": rows.mean(),
        "bits a character": -rows.sum() / math.log(2) / sum(len(t) + 1 for t in test),
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
    parser.add_argument("--equal", action="store_true", help="the rival has the processor time of the recipe")
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
    rival = {**RIVAL, "training.steps": round((9.0 if asked.equal else asked.more) * asked.steps)}
    most, rows = None, []
    for name, more in (("text", {"training.steps": asked.steps}), ("no latent", rival)):
        logs, found = fitted(texts, {**settings, **more}, asked.draws, asked.seed, most)
        rows.append(logs)
        most = found["seconds"] if asked.equal else None
        shown = {k: v for k, v in found.items() if asked.rows == "grammar" or k not in ("parse", "law")}
        print(f"{name:10s}", *(f"{k} {v:.4g}" for k, v in shown.items()), sep="  ", flush=True)
    apart, error = rows[0] - rows[1], np.std(rows[0] - rows[1], ddof=1) / math.sqrt(len(rows[0]))
    share = 100 / -rows[1].mean()
    print(f"apart {apart.mean():.3f} ± {error:.3f} nats a row: {apart.mean() * share:.2f} ± {error * share:.2f} %")


if __name__ == "__main__":
    main()
