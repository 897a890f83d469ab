"""Pictures that are odd or have holes: few draws of large ones, a sheet of the oddest, and erased parts filled in."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli_fixtures import Result
from PIL import Image

from latens import pretrained
from latens.commands import detect
from latens.commands.evaluate import next_of, reconstructions
from latens.data import load
from latens.model_figures.image_scale import LETTER, LINE, captioned
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)


def test_erased_parts_of_pictures_are_filled_in(latens: Callable[..., Result], tmp_path: Path) -> None:
    x = np.asarray(load("digits").x)[:20]
    for i, one in enumerate(x):
        alpha = np.full((8, 8), 255, np.uint8)
        alpha[2:5] = 255 * (i != 17)
        Image.fromarray(np.stack([one, alpha], -1), "LA").save(tmp_path / f"{i:02}.png")
    words = ("impute", "pretrained:digits-16d", tmp_path, "--out")
    assert "Filled 24 of 64 cells (37.5%) of 1 rows." in latens(*words, tmp_path / "filled.png").err
    sheet = np.asarray(Image.open(tmp_path / "filled.png").convert("L"), float)
    assert 100 < sheet[40:72, 8:120].mean() < 155  # a hole is grey, which neither a dark nor a light picture hides
    assert "transparent pixels of a .png file" in str(latens(*words[:2], "digits", "--out", tmp_path / "whole.npz"))
    moving = ("--only", "animation", "--name", "morph", "--between", "1796.png,3", "--out", tmp_path / "a.gif")
    assert "Did you mean '1796'?" in latens("report", words[1], "digits", *moving).err


def test_reconstruct_tells_the_error_that_fit_tells(latens: Callable[..., Result], tmp_path: Path) -> None:
    trained, data = TrainedModel.load(pretrained.path("digits-16d")), load("digits")
    told = reconstructions(trained, data, data.subset("test"))
    words = ("reconstruct", "pretrained:digits-16d", "digits", "--out", tmp_path / "again.png")
    error = re.search(r"RMSE of means, 198 test rows: ([\d.]+) of 16 levels", latens(*words).err)
    assert error
    assert f"off by {float(error[1]):.1f} of 16 levels" in told
    assert error[0] in latens(*words, "--no-mean").err


def test_names_stand_below_pictures() -> None:
    x = np.zeros((2, 10, 20, 3))
    x[0, 0, 0], x[1] = 1.0, 0.5
    long = "a" * 60 + "_0123.jpg"
    found = captioned(x, ["1. a", long])
    assert found.shape == (2, 7 * 10 + 3 * LINE, 7 * 20, 3)  # 7 x 20 is the first multiple of 20 from 128 on
    np.testing.assert_array_equal(found[0, :7, :7], 1.0)
    assert found[0, 7:70, :7].max() == 0.0
    ink = [(one[70:] < 0.5).any(axis=(0, 2)) for one in found]
    assert 2 * LETTER < np.flatnonzero(ink[0]).max() < 5 * LETTER
    assert (found[1, -LINE:] < 0.5).any()  # a long name has several lines, each of them inside
    folder = captioned(x[:1], ["1. " + "b" * 13 + "/0123.jpg"])[0]  # a line for the folder, and one for the file
    first = np.flatnonzero((folder[70 : 70 + LINE] < 0.5).any(axis=(0, 2))).max()
    assert 16 * LETTER < first < 18 * LETTER
    grey = captioned(x[..., 0], ["", ""])
    np.testing.assert_array_equal(grey[1, :70], 0.5)


def test_the_oddest_pictures_are_drawn_and_named(latens: Callable[..., Result], tmp_path: Path) -> None:
    found = latens("detect", "pretrained:digits-16d", "digits", "--out", tmp_path / "odd.png", "--num-samples", "2")
    named = re.findall(r"^  (.+): score", found.err, re.MULTILINE)
    ranked = latens("detect", "pretrained:digits-16d", "digits", "--top", "5", "--num-samples", "2")
    assert named == re.findall(r"^  (.+): score", ranked.out, re.MULTILINE)
    assert len(named) == 5
    assert np.asarray(Image.open(tmp_path / "odd.png")).shape[1] > 5 * 120


@pytest.mark.parametrize(("shape", "verb"), [((8, 8, 3), "explore"), ((8, 8), "sample"), ((8, 8, 1), "sample")])
def test_what_to_type_next_shows_pictures_that_are_clear(shape: tuple[int, ...], verb: str) -> None:
    schema = load(np.arange(2 * np.prod(shape)).reshape(2, *shape).astype(np.uint8)).schema
    trained: Any = SimpleNamespace(schema=schema, facts={}, preparation=SimpleNamespace(depth=False))
    assert next_of(trained, "runs/a b").startswith(f"latens {verb} 'runs/a b'")


def test_large_pictures_have_few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = TrainedModel.load(pretrained.path("digits-16d"))
    asked = lambda **options: detect.Detect(run="", data="", **options)._draws(detect.Call(trained))  # noqa: E731
    assert (asked(), asked(num_samples=7)) == (100, 7)
    monkeypatch.setattr(detect, "LARGE", 63)
    assert (asked(), asked(num_samples=7)) == (10, 7)
