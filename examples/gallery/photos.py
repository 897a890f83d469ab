"""The gallery's pictures in colour: `python examples/gallery/photos.py`, about ten minutes.

A model of patches of 32 x 32 pixels of the two photographs that scikit-learn brings (china.jpg by danielbuechele,
flower.jpg by vultilion, CC BY 2.0): trained on the left three quarters of each, shown on patches of the right quarter.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_sample_images

sys.path.insert(0, str(Path(__file__).resolve().parent))
from digits import type_
from shrink import shrink

SIDE, SHOWN = 32, 3


def patches(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches to train on, anywhere in the left three quarters, and those of the right quarter with most in them."""
    rng, train, test = np.random.default_rng(0), [], []
    for photo in load_sample_images().images:
        height, width = photo.shape[:2]
        cut = width * 3 // 4
        corners = rng.integers((height - SIDE, cut - SIDE), size=(count // 2, 2))
        train += [photo[i : i + SIDE, j : j + SIDE] for i, j in corners]
        places = [(i, j) for i in range(0, height - SIDE, SIDE) for j in range(cut, width - SIDE, SIDE)]
        right = [photo[i : i + SIDE, j : j + SIDE] for i, j in places]
        test += sorted(right, key=lambda patch: -float(patch.astype(float).std(axis=(0, 1)).mean()))[:SHOWN]
    return np.stack(train), np.stack(test)


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """Train, reconstruct and sample, and copy small pictures into the gallery; returns their paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    parser.add_argument("--minutes", default="7")
    parser.add_argument("--count", type=int, default=8000, help="patches to train on")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        run, data, shown = (str(at / name) for name in ("run", "train.npy", "test.npy"))
        for path, rows in zip((data, shown), patches(args.count)):
            np.save(path, rows)
        type_("fit", data, "--minutes", args.minutes, "--num-samples", "5", "--out", run)
        type_("reconstruct", run, shown, "--out", str(at / "photos-reconstructions.png"))
        type_("sample", run, "-n", "24", "--out", str(at / "photos-samples.png"))
        return [shrink(path, args.out / path.name) for path in sorted(at.glob("photos-*.png"))]


if __name__ == "__main__":
    for path in main():
        print(path)
