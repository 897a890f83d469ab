"""`latens detect` of pictures: few draws of large ones, a sheet of the oddest, and a table that begins with them."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result
from PIL import Image

from latens import pretrained
from latens.data import load
from latens.pictures.sheet import LETTER, LINE, captioned
from latens.verbs import detect
from latens.workflow.trained import TrainedModel

pytest_plugins = ("cli_fixtures",)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty digits beside 30 others; the eleventh is noise, the fifth a flat grey."""
    monkeypatch.chdir(tmp_path)
    x = np.asarray(load("digits").x)
    new = x[:30].copy()
    new[10] = np.random.default_rng(0).integers(0, 17, (8, 8))
    new[4] = 9
    np.save("new.npy", new)
    np.save("held.npy", x[60:90])


def size(name: str) -> tuple[int, int]:
    with Image.open(name) as sheet:
        return sheet.size


WORDS = ("detect", "pretrained:digits-16d", "new.npy", "--held-out", "held.npy")


@pytest.mark.usefixtures("rows")
def test_the_table_begins_with_the_oddest(latens: Callable[..., Result]) -> None:
    told = latens(*WORDS, "--top", 3, "--out", "odd.csv")
    assert told.code == 0, told.err
    found = list(csv.DictReader(Path("odd.csv").read_text().splitlines()))
    assert [one["rank"] for one in found] == ["1", "2", "3"]
    assert "10" in [one["row"] for one in found[:2]]
    assert len({one["row"] for one in found}) == 3
    every = latens(*WORDS, "--alpha", 0.3, "--out", "all.csv")
    assert every.code == 0
    most = sorted(csv.DictReader(Path("all.csv").read_text().splitlines()), key=lambda one: -float(one["excess"]))
    assert len(most) == 30
    assert [one["row"] for one in most[:3]] == [one["row"] for one in found]
    assert "odd.csv lists them, the most unusual first." in told.err
    excess = [float(one["excess"]) for one in found]
    assert excess == sorted(excess, reverse=True)
    assert all(told.err.count(f"row {one['row']}: ") == 1 for one in found)
    listed = told.err.split("Most unusual (--out odd.png draws them):\n")[1].splitlines()[:3]
    assert [line.split(":")[0] for line in listed] == [f"  row {one['row']}" for one in found[:3]]
    assert "Look at these yourself: 7 usual pictures are too few to be sure of single ones." in told.err
    assert "--folds" not in told.err  # rows of another file are compared with already
    # Seven of the 30 others did not train it: 1 / 8, and 30 / 8 / 0.3, rounded up.
    assert "the smallest possible p-value is 0.12\n" in told.err
    many = latens(*WORDS, "--top", 12, "--out", "odd.csv").err.split("Most unusual (--out odd.png draws them):\n")[1]
    assert [line.startswith("  row ") for line in many.splitlines()[:13]] == [True] * 12 + [False]
    own = latens("detect", "pretrained:digits-16d", "new.npy", "--top", 3, "--out", "odd.csv").err
    unsure = " usual pictures are too few to be sure of single ones (--folds 5 compares with all pictures of the run)."
    assert (unsure in own) == ("Look at these yourself" in own)
    more = latens(*WORDS, "--alpha", 0.3, "--out", "odd.csv").err
    assert "the smallest possible p-value is 0.12: at least 13 of 30 rows need it" in more


@pytest.mark.usefixtures("rows")
def test_a_sheet_shows_them_in_order(latens: Callable[..., Result]) -> None:
    assert latens(*WORDS, "--top", 7, "--out", "odd.png").code == 0
    width, height = size("odd.png")
    assert width > 5 * 128  # five in a line
    assert latens(*WORDS, "--out", "all.png").code == 0  # nothing is flagged, and 20 are shown
    assert size("all.png") == (width, pytest.approx(2 * height, abs=40))
    np.save("table.npy", np.zeros((4, 3), np.float32))
    assert latens("fit", "table.npy", "--steps", 1, "--out", "run", "--num-samples", 1).code == 0
    refused = latens("detect", "run", "table.npy", "--out", "odd.png")
    assert "are no pictures" in refused.err


def test_names_stand_below_pictures() -> None:
    x = np.zeros((2, 10, 20, 3))
    x[0, 0, 0], x[1] = 1.0, 0.5
    long = "a" * 60 + "_0123.jpg"
    found = captioned(x, ["1. a", long])
    assert found.shape == (2, 7 * 10 + LINE, 7 * 20, 3)  # 7 x 20 is the first multiple of 20 from 128 on
    np.testing.assert_array_equal(found[0, :7, :7], 1.0)
    assert found[0, 7:70, :7].max() == 0.0
    ink = [(one[70:] < 0.5).any(axis=(0, 2)) for one in found]
    assert 2 * LETTER < np.flatnonzero(ink[0]).max() < 5 * LETTER
    assert ink[1][-2 * LETTER :].any()  # the end of a long name stays
    grey = captioned(x[..., 0], ["", ""])
    np.testing.assert_array_equal(grey[1, :70], 0.5)


def test_large_pictures_have_few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = TrainedModel.load(pretrained.path("digits-16d"))
    asked = lambda **options: detect.Detect(run="", data="", **options)._draws(detect.At(trained))  # noqa: E731
    assert (asked(), asked(num_samples=7)) == (100, 7)
    monkeypatch.setattr(detect, "LARGE", 63)
    assert (asked(), asked(num_samples=7)) == (10, 7)
