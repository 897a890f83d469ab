"""Masks of `latens complete`: which files are read, and what is refused in words."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latens.data.schema import Schema
from latens.errors import DataError
from latens.verbs._hidden import _mask_file, region_of
from latens.verbs.complete import _hole

MASK = np.array([[0, 1, 0], [1, 0, 0]], bool)


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.float64])
def test_a_mask_hides_where_it_is_above_0(kind: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", MASK.astype(kind))
    np.testing.assert_array_equal(_mask_file(str(tmp_path / "m.npy"), (2, 3)), MASK)
    Image.fromarray(MASK.astype(np.uint8) * 9).save(tmp_path / "m.png")
    np.testing.assert_array_equal(_mask_file(str(tmp_path / "m.png"), (2, 3)), MASK)


def _saved(array: Any) -> Callable[[Path], Any]:
    return lambda path: np.save(path.with_suffix(".npy"), array)


BAD: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "text": ("m.npy", _saved(np.array([["a", "b", "c"]] * 2)), "a mask is of finite numbers, or of True and False"),
    "NaN": ("m.npy", _saved(np.full((2, 3), np.nan)), "a mask is of finite numbers"),
    "complex numbers": ("m.npy", _saved(MASK + 1j), "cannot be read as a mask: "),
    "objects": (
        "m.npy",
        lambda path: np.save(path, MASK.astype(object), allow_pickle=True),
        "cannot be read as a mask",
    ),
    "another shape": ("m.npy", _saved(MASK.T), r"the mask is of shape \(3, 2\), the pictures of \(2, 3\)"),
    "text as a picture": ("m.png", lambda path: path.write_text("no"), "cannot be read as a mask: it is not a picture"),
    "a cut file": ("m.npy", lambda path: path.write_bytes(b"\x93NUMPY"), "cannot be read as a mask"),
    "nothing": ("m.png", lambda path: None, "there is no such file"),
    "a folder": ("m.png", lambda path: path.mkdir(), "is not a file"),
    "a pipe": ("m.npy", lambda path: os.mkfifo(path), "is not a file"),
    "a pipe as a picture": ("m.png", lambda path: os.mkfifo(path), "is not a file"),
    "a device": ("m.png", lambda path: path.symlink_to("/dev/zero"), "is not a file"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mask_that_is_none_is_refused(case: str, tmp_path: Path) -> None:
    name, make, message = BAD[case]
    make(tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        _mask_file(str(tmp_path / name), (2, 3))
    assert caught.value.where == f"--mask {tmp_path / name}"
    assert caught.value.fix


def test_a_picture_of_a_mask_is_read_as_pictures_are(tmp_path: Path) -> None:
    """Its shorter side in size, the middle of the other: each pixel of half the size is two by two."""
    small = np.zeros((4, 6), np.uint8)
    small[1, 2:4] = 255
    Image.fromarray(small).save(tmp_path / "m.png")
    found = _mask_file(str(tmp_path / "m.png"), (8, 8))
    expected = np.zeros((8, 8), bool)
    expected[2:4, 2:6] = True
    np.testing.assert_array_equal(found, expected)


SCHEMA = Schema((8, 8, 3), "levels", levels=256)


@pytest.mark.parametrize(
    ("paint", "hole"), [("white", True), ("two whites", False), ("like its edge", False), ("as it was", False)]
)
def test_one_plain_colour_unlike_its_edge_is_a_hole(paint: str, hole: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(40, 120, (5, 8, 8, 3)).astype(np.float64)
    hidden = np.zeros(x.shape, bool)
    hidden[:, 3:6] = True
    colours = {"white": 255.0, "two whites": np.linspace(254, 255, 5)[:, None, None, None], "like its edge": 80.0}
    if paint in colours:
        x = np.where(hidden, colours[paint], x)
    found = _hole(SCHEMA, x, hidden)
    assert (found is not None) is hole
    if found is not None:
        np.testing.assert_array_equal(found, hidden)  # its edge is not mixed with others
    hidden[0, 0] = True  # parts that differ from picture to picture were hidden by the command, not by paint
    assert _hole(SCHEMA, x, hidden) is None


@pytest.mark.parametrize("painted", [True, False])
def test_paint_that_scaling_mixed_with_its_edge_is_a_hole_of_one_pixel_more(painted: bool) -> None:
    """Of the eight rows that are hidden the first and the last are half painted."""
    rng = np.random.default_rng(0)
    x = rng.integers(40, 120, (5, 16, 8, 3)).astype(np.float64)
    hidden = np.zeros(x.shape, bool)
    hidden[:, 4:12] = True
    if painted:
        x[:, 5:11] = 255.0
        x[:, [4, 11]] = 0.5 * (x[:, [4, 11]] + 255.0)
    found = _hole(Schema((16, 8, 3), "levels", levels=256), x, hidden)
    assert (found is not None) is painted
    if found is not None:
        assert found[0, :, 0, 0].nonzero()[0].tolist() == list(range(3, 13))
        assert found.all(axis=(0, 2, 3)).nonzero()[0].tolist() == list(range(3, 13))


@pytest.mark.parametrize("size", [32, 80])
@pytest.mark.parametrize("paint", [None, (255, 0, 255), (0, 0, 0), (255, 255, 255)])
def test_paint_of_files_of_another_size_is_a_hole(paint: tuple[int, int, int] | None, size: int) -> None:
    """Rows 40 to 65 % of smooth pictures, which Pillow then scales: its filter rings three pixels around an edge."""
    rng, made = np.random.default_rng(size), []
    for _ in range(6):
        small = Image.fromarray(rng.integers(30, 226, (6, 6, 3)).astype(np.uint8))
        picture = np.array(small.resize((size, size), Image.Resampling.BICUBIC))
        if paint is not None:
            picture[round(0.4 * size) : round(0.65 * size)] = paint
        made.append(np.asarray(Image.fromarray(picture).resize((48, 48), Image.Resampling.LANCZOS)))
    hidden = np.zeros((6, 48, 48, 3), bool)
    hidden[:, slice(*region_of("40%:65%,:", (48, 48, 3))[0])] = True
    found = _hole(Schema((48, 48, 3), "levels", levels=256), np.array(made, np.float64), hidden)
    assert (found is not None) == (paint is not None)
    if found is not None:
        assert found.all(axis=(0, 2, 3)).nonzero()[0].tolist() == list(range(18, 33))


def test_percentages_hide_every_pixel_of_which_they_name_a_part() -> None:
    assert region_of("40%:65%,:", (48, 48, 3)) == [(19, 32), (0, 48)]
    assert region_of("25%:50%,50%:", (48, 32)) == [(12, 24), (16, 32)]
