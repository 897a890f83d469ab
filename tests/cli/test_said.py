"""What commands say of what they did: no more and no less than is true."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from msgspec.structs import replace

from latens.cli.main import main
from latens.data import load
from latens.recipes import get_recipe
from latens.verbs._measured import beware


@pytest.mark.parametrize(
    ("rows", "words"), [(100, "a grid of 64 rows, evenly chosen among all 100"), (9, "x.png: 9 rows")]
)
def test_a_picture_of_many_latents_says_how_many_it_shows(
    rows: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "z.npz", z=np.linspace(-1, 1, 2 * rows, dtype=np.float32).reshape(-1, 2))
    assert main(["decode", "pretrained:digits-2d", str(tmp_path / "z.npz"), "--out", str(tmp_path / "x.png")]) == 0
    found = capsys.readouterr()
    assert words in found.out + found.err
    side = 8 if rows == 100 else 3
    height, width = imread(tmp_path / "x.png").shape[:2]
    assert height == width
    assert round(height / (112 * 9 / 8)) == side


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keep": "best"}, "the test rows also chose the epoch that is kept"),
        ({"keep": "last", "patience": 3}, "the test rows also chose when training ended"),
        ({"keep": "last", "patience": None}, "the test rows were validated on in training; they chose nothing"),
    ],
)
def test_what_the_test_rows_chose(given: dict[str, Any], words: str) -> None:
    config = get_recipe("tiao").config
    config = replace(config, training=replace(config.training, **given))
    held_out, warnings = beware("test", load("iris").test_as_validation(), grey=False, config=config)
    assert held_out is False
    assert [name for name, _ in warnings] == ["not-held-out"]
    assert warnings[0][1].startswith(words)
