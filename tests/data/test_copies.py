"""Copies of rows and pictures that look alike: found by their positions, and over strengths of what was changed."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latens import load_data
from latens.data.check import check
from latens.data.copies import copies_of, lookalikes, pairs_in_words


def photographs(n: int, size: int = 96, seed: int = 0) -> np.ndarray:
    """Smooth colour pictures of unlike scenes, (n, size, size, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 7, 7, 3)).astype(np.uint8)
    made = [
        np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC), np.float64) for one in coarse
    ]
    return np.clip(np.array(made) + rng.normal(0, 6, (n, size, size, 3)), 0, 255).astype(np.uint8)


def saved_again(one: np.ndarray, quality: int, scale: float = 1.0) -> np.ndarray:
    size = (one.shape[1], one.shape[0])
    shrunk = Image.fromarray(one).resize([round(scale * side) for side in size])
    stream = io.BytesIO()
    shrunk.save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).resize(size))


def test_copies_are_named_with_the_first_of_their_kind() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [1.0, 2.0], [3.0, 4.5]])
    assert copies_of(x) == [(2, 0), (3, 0)]
    assert copies_of(x[:2]) == []
    assert pairs_in_words([(2, 0), (3, 0)], np.array(["a", "b", "c", "d"])) == "c (of a), d (of a)"
    assert pairs_in_words([(1, 0)] * 6, np.array(["a", "b"])).count("b (of a)") == 5


@pytest.mark.parametrize(
    ("quality", "scale", "noise", "found"),
    [(100, 1.0, 0.0, True), (70, 1.0, 0.0, True), (40, 0.5, 0.0, True), (90, 1.0, 12.0, True), (90, 1.0, 60.0, False)],
)
def test_a_picture_that_was_saved_again_looks_alike(quality: int, scale: float, noise: float, found: bool) -> None:
    x = photographs(40)
    again = saved_again(x[7], quality, scale) + np.random.default_rng(1).normal(0, noise, x[7].shape)
    every = np.concatenate([x, np.clip(again, 0, 255).astype(np.uint8)[None]])
    assert lookalikes(every) == ([(40, 7)] if found else [])
    assert lookalikes(every[..., 0]) == ([(40, 7)] if found else [])  # grey ones too


def test_other_pictures_do_not() -> None:
    x = photographs(300)
    assert lookalikes(x) == []
    moved = np.roll(x[:1], 24, axis=2)
    inverted, recoloured = 255 - x[:1], x[:1, ..., ::-1]
    assert lookalikes(np.concatenate([x[:1], moved, inverted, recoloured])) == []
    flat = np.full((5, 64, 64, 3), 200, np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None]
    assert lookalikes(flat) == []  # nothing in them tells them apart
    fog = flat[:2] + np.linspace(0, 6, 64).astype(np.uint8)[:, None, None]
    assert lookalikes(fog) == []  # nor in a slope of a few levels
    assert lookalikes(fog + np.linspace(0, 40, 64).astype(np.uint8)[:, None, None]) == [(1, 0)]
    assert lookalikes(x[:, :28, :28][[0, 0]]) == []  # pictures of digits are alike without being one
    assert lookalikes(x[:0]) == []


def test_check_names_both(tmp_path: Path) -> None:
    x = photographs(30, size=48)
    for k, one in enumerate(x):
        Image.fromarray(one).save(tmp_path / f"p{k:02}.png")
    (tmp_path / "q1.png").write_bytes((tmp_path / "p03.png").read_bytes())
    Image.fromarray(saved_again(x[5], 70)).save(tmp_path / "q2.png")
    report = check(load_data(str(tmp_path)))
    said = " ".join(report["warnings"])
    assert "1 picture is a copy of another: q1.png (of p03.png). A copy of a training row may be tested." in said
    assert "1 picture looks like another: q2.png (of p05.png)." in said
    assert report["look_alikes"] == [["q1.png", "p03.png"], ["q2.png", "p05.png"]]
