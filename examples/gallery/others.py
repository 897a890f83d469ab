"""The gallery's pictures of a table and of a Bayes classifier: `python examples/gallery/others.py`, half a minute."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from digits import type_
from shrink import shrink

RUNS = {
    "wine": (("fit", "wine", "--set", "posterior.latent_dim=4"), ("marginals", "correlations")),
    "classifier": (("fit", "digits", "--recipe", "mlq-mixture"), ("classes",)),
}


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """Train both, draw, and copy small pictures into the gallery; returns their paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    parser.add_argument("--epochs", default="400")
    args = parser.parse_args(argv)
    written = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (words, pictures) in RUNS.items():
            run = Path(folder) / name
            budget = ("--epochs", args.epochs) if name == "wine" else ()
            type_(*words, *budget, "--out", str(run))
            type_("report", str(run), "--only", "figures", "--name", ",".join(pictures))
            written += [shrink(run / "figures" / f"{p}.png", args.out / f"{name}-{p}.png") for p in pictures]
    return written


if __name__ == "__main__":
    for path in main():
        print(path)
