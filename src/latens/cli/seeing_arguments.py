"""What can be typed after the commands that show a model: figures, animate, report; and what fit keeps for them."""

import argparse
from collections.abc import Mapping
from typing import Any

from latens.cli.shared_arguments import dry_run, number, run_and_data, seed, theme, whole

SNAPSHOTS = 24
"""How many models `--snapshots` keeps without a number."""

_CELLS, _RATE = whole(2, 100), number(0.1, 60.0)


def seeing(made: Mapping[str, argparse.ArgumentParser]) -> None:
    """Add the arguments of `figures`, `animate` and `report`, but for those that say how to read data.

    Args:
        made: Parsers by command.
    """
    _figures(made["figures"])
    _animate(made["animate"])
    report = made["report"]
    report.add_argument("run", metavar="RUN")
    report.add_argument("other", metavar="RUN2", nargs="?", help="a second run: the two side by side")
    report.add_argument("--out", metavar="FILE", help="default: RUN/report.html, of two RUN/comparison.html")
    dry_run(report)


def keeping(group: Any) -> None:
    """Add the flag by which a training keeps models on its way.

    Args:
        group: The parser or group that gets it.
    """
    words = f"keep about N models of this training, evenly in log time, for `latens animate` (default {SNAPSHOTS})"
    group.add_argument("--snapshots", type=whole(2, 1000), nargs="?", const=SNAPSHOTS, metavar="N", help=words)


def _figures(command: argparse.ArgumentParser) -> None:
    run_and_data(command)
    command.add_argument("--out", metavar="FOLDER", help="default: RUN/figures")
    theme(command)
    group = command.add_argument_group("the latent plane, of models with two units")
    group.add_argument(
        "--manifold-cells", type=_CELLS, metavar="N", help="images along each side, 2 to 100 (default 21)"
    )
    words = "even in z or in the prior's percentiles (default: both)"
    group.add_argument("--manifold-range", choices=("linear", "percentile"), help=words)
    words = "probabilities at the edges (default 0.05,0.95)"
    group.add_argument("--percentiles", type=_percentiles, metavar="LOW,HIGH", help=words)
    dry_run(command)


def _animate(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN")
    what = "between rows or classes, at random, or over training (needs fit --snapshots)"
    command.add_argument("kind", choices=("morph", "walk", "manifold", "latent"), metavar="KIND",
                         help=f"morph, walk, manifold or latent: {what}")  # fmt: skip
    command.add_argument("data", metavar="DATA", nargs="?", help="default: the data of the run")
    command.add_argument("--out", metavar="FILE", help="where it goes: gif, mp4 (where ffmpeg is installed)")
    words = "classes or row ids to go through (default: every class, else rows of the data)"
    command.add_argument("--between", metavar="A,B,...", help=words)
    command.add_argument("--path", choices=("spherical", "linear"), default="spherical", help="default spherical")
    command.add_argument(
        "--frames", type=whole(1, 100_000), metavar="N", help="of each stretch (default 12), of a walk (120)"
    )
    command.add_argument("--fps", type=_RATE, default=12.0, metavar="N", help="frames a second (default 12)")
    command.add_argument("--manifold-cells", type=_CELLS, metavar="N", help="images along each side (default 15)")
    theme(command)
    seed(command, "of a random walk")
    dry_run(command)


def _percentiles(text: str) -> tuple[float, float]:
    low, comma, high = text.partition(",")
    try:
        pair = (float(low), float(high))
    except ValueError:
        pair = (0.0, 0.0)
    if not comma or not 0.0 < pair[0] < pair[1] < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH with 0 < LOW < HIGH < 1, as in 0.05,0.95")
    return pair
