"""The tutorials' pictures on MNIST: `python examples/gallery/mnist.py --data PATH`, about an hour on two cores.

PATH is the folder with the four MNIST files (default: the name `mnist`, which downloads them once). Each entry below is
one `latens fit` and the pictures of it; `--steps N` gives every run a smaller budget to try it out, `--only NAME` makes
one entry.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from digits import type_

PLANES = ("30", "60", "100")


def plane(data: str, out: Path, budget: tuple[str, ...]) -> None:
    """The latent scatter, decoder grids (even and by percentiles), morph, and evolution over training in log time."""
    run = str(out / "fast-forward-2d")
    type_("fit", data, "--recipe", "fast-forward-2d", "--out", run, "--snapshots", *budget)
    type_("figures", run)
    for cells in PLANES:
        folder = str(out / f"fast-forward-2d-{cells}")
        type_("figures", run, "--manifold-cells", cells, "--percentiles", "0.01,0.99", "--out", folder)
    type_("animate", run, "morph", "--out", str(out / "morph.gif"))
    type_("animate", run, "walk", "--out", str(out / "walk.gif"))
    type_("animate", run, "latent", "--out", str(out / "latent.gif"))
    type_("animate", run, "manifold", "--out", str(out / "manifold.gif"))
    type_("report", run, "--out", str(out / "report.html"))


def curves(data: str, out: Path, budget: tuple[str, ...]) -> None:
    """Loss curves with validation, reconstructions, prior and posterior predictive."""
    run = str(out / "tiao")
    type_("fit", data, "--recipe", "tiao", "--out", run, *budget)
    type_("figures", run)


def predictive(data: str, out: Path, budget: tuple[str, ...]) -> None:
    """Prior and posterior predictive samples beside their means, of binary pixels."""
    run = str(out / "mlq-vae")
    type_("fit", data, "--recipe", "mlq-vae", "--out", run, *budget)
    type_("figures", run)


def notebook(data: str, out: Path, budget: tuple[str, ...]) -> None:
    """16 samples every 1,000 iterations (in `notebook/samples`)."""
    run = str(out / "notebook")
    type_("fit", data, "--recipe", "notebook", "--out", run, "--plots-every", "1000", *(budget or ("--steps", "50000")))
    type_("figures", run)


def classifiers(data: str, out: Path, budget: tuple[str, ...]) -> None:
    """Samples and means of Bayes classifiers with one density for each class."""
    for recipe in ("mlq-gaussian", "mlq-mixture"):
        type_("fit", data, "--recipe", recipe, "--out", str(out / recipe))
        type_("figures", str(out / recipe))


ENTRIES = {entry.__name__: entry for entry in (plane, curves, predictive, notebook, classifiers)}


def main(argv: Sequence[str] | None = None) -> Path:
    """Make every entry, or one of them; returns the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--out", type=Path, default=Path("runs/gallery-mnist"))
    parser.add_argument("--steps")
    parser.add_argument("--only", choices=ENTRIES)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    budget = ("--steps", args.steps) if args.steps else ()
    for name in [args.only] if args.only else ENTRIES:
        ENTRIES[name](args.data, args.out, budget)
    return args.out


if __name__ == "__main__":
    print(main())
