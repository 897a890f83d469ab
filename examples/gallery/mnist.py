"""The tutorials' pictures on MNIST: `python examples/gallery/mnist.py --data PATH`, more than an hour on one core.

PATH is the folder with the four MNIST files (default: the name `mnist`, which downloads them once). Each entry below is
one `latens fit` and the pictures of it. `--steps N` gives every training a smaller budget, `--rows N` every class's
mixture fewer rows, `--only NAME` makes one entry, `--gallery FOLDER` copies small pictures there.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
from digits import type_
from shrink import shrink, side_by_side

PLANES = ("30", "60", "100")


class Budget(NamedTuple):
    """What is added to every `latens fit` of a VAE, and to that of mixtures."""

    steps: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()


def plane(data: str, out: Path, budget: Budget) -> None:
    """The latent scatter, decoder grids (even and by percentiles), morph, and evolution over training in log time."""
    run = str(out / "fast-forward-2d")
    type_("fit", data, "--recipe", "fast-forward-2d", "--out", run, "--snapshots", *budget.steps)
    type_("report", run, "--only", "figures")
    for cells in PLANES:
        folder = str(out / f"fast-forward-2d-{cells}")
        grid = ("--manifold-cells", cells, "--percentiles", "0.01,0.99")
        type_("report", run, "--only", "figures", "--name", "manifold", *grid, "--out", folder)
    grid = ("--manifold-cells", "30", "--manifold-range", "percentile", "--percentiles", "0.01,0.99")
    moving = {
        "morph": ("--between", "0,3,8,6", "--frames", "10"), "walk": ("--frames", "48"), "latent": ("--frames", "36"),
        "manifold": (*grid, "--frames", "24"),
    }  # fmt: skip
    for name, words in moving.items():
        type_("report", run, "--only", "animation", "--name", name, *words, "--out", str(out / f"{name}.gif"))
    type_("report", run, "--out", str(out / "report.html"))


def curves(data: str, out: Path, budget: Budget) -> None:
    """Loss curves with validation."""
    run = str(out / "tiao")
    type_("fit", data, "--recipe", "tiao", "--out", run, *budget.steps)
    type_("report", run, "--only", "figures")


def predictive(data: str, out: Path, budget: Budget) -> None:
    """Reconstructions, prior and posterior predictive samples beside their means, of binary pixels."""
    run = str(out / "mlq-vae")
    type_("fit", data, "--recipe", "mlq-vae", "--out", run, *budget.steps)
    type_("report", run, "--only", "figures")


def notebook(data: str, out: Path, budget: Budget) -> None:
    """16 samples every 1,000 iterations (in `notebook/samples`)."""
    run, steps = str(out / "notebook"), budget.steps or ("--steps", "50000")
    type_("fit", data, "--recipe", "notebook", "--out", run, "--plots-every", "1000", "--log-every", "1000", *steps)
    type_("report", run, "--only", "figures")


def classifiers(data: str, out: Path, budget: Budget) -> None:
    """Samples and means of Bayes classifiers with one density for each class."""
    for recipe, words in (("mlq-gaussian", ()), ("mlq-mixture", budget.rows)):
        type_("fit", data, "--recipe", recipe, "--out", str(out / recipe), *words)
        type_("report", str(out / recipe), "--only", "figures")


Entry = Callable[[str, Path, Budget], None]
ENTRIES: dict[str, Entry] = {entry.__name__: entry for entry in (plane, curves, predictive, notebook, classifiers)}

PICTURES: dict[str, dict[str, str]] = {
    "plane": {
        "latent.png": "fast-forward-2d/figures/latent.png",
        "two-views.png": "fast-forward-2d/figures/two-views.png",
        **{
            f"manifold-{spacing}-{cells}.png": f"fast-forward-2d-{cells}/manifold-{spacing}.png"
            for cells in PLANES
            for spacing in ("linear", "percentile")
        },
        **{f"{kind}.gif": f"{kind}.gif" for kind in ("morph", "latent", "manifold")},
    },
    "curves": {"training.png": "tiao/figures/training.png"},
    "predictive": {
        "reconstructions.png": "mlq-vae/figures/reconstructions.png",
        "samples.png": "mlq-vae/figures/samples.png",
        "posterior-predictive.png": "mlq-vae/figures/posterior-predictive.png",
    },
    "notebook": {},
    "classifiers": {f"{kind}.png": f"mlq-{kind}/figures/classes.png" for kind in ("gaussian", "mixture")},
}


def copy(name: str, out: Path, gallery: Path) -> list[Path]:
    """Small copies of an entry's pictures."""
    made = []
    for target, source in PICTURES[name].items():
        made.append(shrink(out / source, gallery / target))
    if name == "notebook":
        moments = sorted((out / "notebook" / "samples").glob("samples-*.png"))[:10]
        steps = [f"step {int(path.stem.partition('-')[2]):,}" for path in moments]
        made.append(side_by_side(moments, gallery / "every-1000.png", captions=steps, columns=5))
    return made


def main(argv: Sequence[str] | None = None) -> Path:
    """Make every entry, or one of them; returns the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--out", type=Path, default=Path("runs/gallery-mnist"))
    parser.add_argument("--steps")
    parser.add_argument("--rows")
    parser.add_argument("--only", choices=ENTRIES)
    parser.add_argument("--gallery", type=Path)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    steps = ("--steps", args.steps) if args.steps else ()
    rows = ("--set", f"density.rows_per_class={args.rows}") if args.rows else ()
    for name in [args.only] if args.only else ENTRIES:
        ENTRIES[name](args.data, args.out, Budget(steps, rows))
        if args.gallery:
            copy(name, args.out, args.gallery)
    return args.out


if __name__ == "__main__":
    print(main())
