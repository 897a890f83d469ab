"""Copies of rows and pictures that look alike: found by their positions, and over strengths of what was changed."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result
from PIL import Image

from latens import load_data
from latens.data.check import check
from latens.data.copies import copies_of, lookalikes, pairs_in_words

pytest_plugins = ("cli_fixtures",)


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
    assert pairs_in_words([(2, 0), (3, 0)], np.array(["a", "b", "c", "d"])) == " c (of a), d (of a)"
    assert pairs_in_words([(1, 0)] * 6, np.array(["a", "b"])).count("b (of a)") == 5
    more = pairs_in_words([(1, 0)] * 7, np.array(["a", "b"]))
    assert more == " " + ", ".join(["b (of a)"] * 5) + " and 2 more (latens check DATA --out FILE.csv lists all)"
    pictures = pairs_in_words([(1, 0)] * 21, np.array(["a", "b"]), 20, lines=True)
    assert pictures.split("\n  ") == ["", *["b (of a)"] * 20, "and 1 more (latens check DATA --out FILE.csv lists all)"]


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


def in_grey(x: np.ndarray, quality: int) -> np.ndarray:
    """Pictures without their colours, as a picture program saves them."""
    made = [saved_again(np.asarray(Image.fromarray(one).convert("L")), quality) for one in x]
    return np.repeat(np.array(made)[..., None], 3, axis=3)


@pytest.mark.parametrize("quality", [95, 60])
def test_a_black_and_white_copy_looks_like_the_picture_in_colour(quality: int) -> None:
    """Their colours are far apart (the correlation of all cells is 0.75), their greys are not."""
    x = photographs(60)
    grey = in_grey(x, quality)
    apart = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(x, grey)]
    assert np.mean(apart) < 0.9
    assert lookalikes(np.concatenate([x[:30], grey[:30]])) == [(30 + k, k) for k in range(30)]
    assert lookalikes(np.concatenate([x[:30], grey[30:]])) == []  # those of other pictures do not
    assert lookalikes(np.concatenate([x[:30], 255 - grey[:30]])) == []
    darker = np.clip(grey[:30].astype(float) - 40, 0, 255).astype(np.uint8)
    assert lookalikes(np.concatenate([x[:30], darker])) == []


def test_pictures_of_one_brightness_and_other_colours_do_not_look_alike() -> None:
    grey = photographs(1).astype(float) @ [0.299, 0.587, 0.114]
    red, blue = grey + 50, grey - 50 * 0.299 / 0.114
    coloured = np.stack([red, grey - 50 * 0.299 / 0.587, grey], axis=3), np.stack([grey, grey, blue], axis=3)
    assert lookalikes(np.clip(np.concatenate(coloured), 0, 255).astype(np.uint8)) == []


def test_check_names_both(tmp_path: Path) -> None:
    x = photographs(30, size=48)
    for k, one in enumerate(x):
        Image.fromarray(one).save(tmp_path / f"p{k:02}.png")
    (tmp_path / "q1.png").write_bytes((tmp_path / "p03.png").read_bytes())
    Image.fromarray(saved_again(x[5], 70)).save(tmp_path / "q2.png")
    report = check(load_data(str(tmp_path)))
    said = " ".join(report["warnings"])
    copied = "1 picture is a copy of another, and one of them may be tested that is trained on: q1.png (of p03.png)"
    assert copied in said
    assert "1 picture looks like another: q2.png (of p05.png)" in said
    assert report["copies"] == [["q1.png", "p03.png"]]
    assert report["likeness"] == [pytest.approx(1.0), pytest.approx(0.99, abs=0.01)]
    assert report["look_alikes"] == [["q1.png", "p03.png"], ["q2.png", "p05.png"]]


def test_check_writes_every_pair_to_a_file(latens: Callable[..., Result], tmp_path: Path) -> None:
    x = photographs(40, size=48)
    (tmp_path / "p").mkdir()
    for k, one in enumerate(x):
        Image.fromarray(one).save(tmp_path / "p" / f"p{k:02}.png")
    for k, grey in enumerate(in_grey(x[:12], 90)):
        Image.fromarray(grey).save(tmp_path / "p" / f"q{k:02}.png")
    (tmp_path / "p" / "r.png").write_bytes((tmp_path / "p" / "p30.png").read_bytes())
    done = latens("check", str(tmp_path / "p"), "--out", str(tmp_path / "found.csv"))
    assert done.code == 0, done.err
    assert [f"  q{k:02}.png (of p{k:02}.png)" in done.out.splitlines() for k in range(12)] == [True] * 12
    with open(tmp_path / "found.csv", newline="") as file:
        found = list(csv.DictReader(file))
    pairs = [(one["kind"], one["row"], one["of"]) for one in found if one["row"]]
    assert pairs == [("copy", "r.png", "p30.png")] + [
        ("looks alike", f"q{k:02}.png", f"p{k:02}.png") for k in range(12)
    ]
    assert all(0.98 < float(one["alike"]) <= 1 for one in found if one["row"])
    assert any(one["kind"] == "warning" and "look like others" in one["text"] for one in found)
    assert latens("check", str(tmp_path / "p"), "--out", str(tmp_path / "found.txt")).code
