"""The gallery's pictures of the embedded digits: `python examples/gallery/digits.py` makes them in about a minute.

Every picture comes from one `latens` command on one trained model, which this script types.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from latens.cli.main import main as latens

sys.path.insert(0, str(Path(__file__).resolve().parent))
from shrink import shrink

PICTURES = (
    *("training", "latent", "two-views", "manifold-linear", "manifold-percentile", "reconstructions"),
    *("samples", "posterior-predictive", "traversals", "interpolations", "arithmetic", "units"),
    *("aggregated-posterior", "graph"),
)
MOVING = {
    "morph": ("--between", "0,3,8", "--frames", "10"),
    "walk": ("--frames", "24"),
    "latent": ("--frames", "36"),
    "manifold": ("--frames", "24", "--manifold-cells", "11", "--manifold-range", "percentile"),
}


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """Train, draw, animate, and copy small pictures into the gallery; returns their paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    parser.add_argument("--epochs", default="60")
    parser.add_argument("--frames", help="of each moving picture (default: as many as look smooth)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "digits-2d")
        type_("fit", "digits", "--out", run, "--set", "posterior.latent_dim=2", "--epochs", args.epochs, "--snapshots")
        type_("report", run, "--only", "figures", "--name", ",".join(PICTURES))
        for kind, words in MOVING.items():
            frames = args.frames or words[words.index("--frames") + 1]
            others = [word for i, word in enumerate(words) if "--frames" not in words[max(i - 1, 0) : i + 1]]
            moving = ("--only", "animation", "--name", kind, *others, "--frames", frames)
            type_("report", run, *moving, "--out", str(Path(folder) / f"{kind}.gif"))
        made = [Path(run) / "figures" / f"{name}.png" for name in PICTURES]
        made += [Path(folder) / f"{kind}.gif" for kind in MOVING]
        small = [path.stem + ("-moving" if path.suffix == ".gif" else "") + path.suffix for path in made]
        return [shrink(path, args.out / f"digits-{name}") for path, name in zip(made, small)]


def type_(*words: str) -> None:
    """Run one `latens` command; the script ends where it fails."""
    code = latens([*words, "--quiet"])
    if code:
        sys.exit(code)


if __name__ == "__main__":
    for path in main():
        print(path)
