"""What can be typed after the commands that show a model: figures, animate, report; and what fit keeps for them."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

SNAPSHOTS = 24
"""How many models `--snapshots` keeps without a number."""

Type = Callable[[str], Any]


def seeing(made: Mapping[str, argparse.ArgumentParser], count: Type, whole: Type) -> None:
    """The arguments of `figures`, `animate` and `report`, but for those that say how to read data.

    **Arguments:** `made` the parsers by command; `count` and `whole` read whole numbers from 1 and from 0.
    """
    _figures(made["figures"])
    _animate(made["animate"], count, whole)
    report = made["report"]
    report.add_argument("run", metavar="RUN")
    report.add_argument("other", metavar="RUN2", nargs="?", help="a second run: the two side by side")
    report.add_argument("--out", metavar="FILE", help="default: RUN/report.html, of two RUN/comparison.html")
    report.add_argument("--dry-run", action="store_true", help="write nothing, say what would be done")


def keeping(group: Any, count: Type) -> None:
    """The flag by which a training keeps models on its way."""
    words = f"keep about N models of this training, evenly in log time, for `latens animate` (default {SNAPSHOTS})"
    group.add_argument("--snapshots", type=count, nargs="?", const=SNAPSHOTS, metavar="N", help=words)


def _figures(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN")
    command.add_argument("data", metavar="DATA", nargs="?", help="default: the data of the run")
    command.add_argument("--out", metavar="FOLDER", help="default: RUN/figures")
    command.add_argument("--theme", choices=("light", "dark"), default="light", help="colours (default light)")
    group = command.add_argument_group("the latent plane, of models with two units")
    group.add_argument(
        "--manifold-cells", type=_cells, metavar="N", help="images along each side, 2 to 100 (default 21)"
    )
    words = "even in z or in the prior's percentiles (default: both)"
    group.add_argument("--manifold-range", choices=("linear", "percentile"), help=words)
    words = "probabilities at the edges (default 0.05,0.95)"
    group.add_argument("--percentiles", type=_percentiles, metavar="LOW,HIGH", help=words)
    command.add_argument("--dry-run", action="store_true", help="write nothing, say what would be done")


def _animate(command: argparse.ArgumentParser, count: Type, whole: Type) -> None:
    command.add_argument("run", metavar="RUN")
    what = "between rows or classes, at random, or over training (needs fit --snapshots)"
    command.add_argument("kind", choices=("morph", "walk", "manifold", "latent"), metavar="KIND",
                         help=f"morph, walk, manifold or latent: {what}")  # fmt: skip
    command.add_argument("data", metavar="DATA", nargs="?", help="default: the data of the run")
    command.add_argument("--out", metavar="FILE", help="where it goes: gif, mp4 (where ffmpeg is installed)")
    words = "classes or row ids to go through (default: every class, else rows of the data)"
    command.add_argument("--between", metavar="A,B,...", help=words)
    command.add_argument("--path", choices=("spherical", "linear"), default="spherical", help="default spherical")
    command.add_argument("--frames", type=count, metavar="N", help="of each stretch (default 12), of a walk (120)")
    command.add_argument("--fps", type=_rate, default=12.0, metavar="N", help="frames a second (default 12)")
    command.add_argument("--manifold-cells", type=_cells, metavar="N", help="images along each side (default 15)")
    command.add_argument("--theme", choices=("light", "dark"), default="light", help="colours (default light)")
    command.add_argument("--seed", type=whole, default=0, metavar="S", help="of a random walk (default 0)")
    command.add_argument("--dry-run", action="store_true", help="write nothing, say what would be done")


def _cells(text: str) -> int:
    value = int(text)
    if not 2 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not within 2 and 100")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 60.0:
        raise argparse.ArgumentTypeError(f"{text} is not within 0.1 and 60")
    return value


def _percentiles(text: str) -> tuple[float, float]:
    low, comma, high = text.partition(",")
    try:
        pair = (float(low), float(high))
    except ValueError:
        pair = (0.0, 0.0)
    if not comma or not 0.0 < pair[0] < pair[1] < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH with 0 < LOW < HIGH < 1, as in 0.05,0.95")
    return pair


_cells.__name__, _rate.__name__ = "whole number", "number"
