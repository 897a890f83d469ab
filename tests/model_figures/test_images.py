"""Rows as images: which data are pictures, their scale, and the pixels of a picture file."""

import numpy as np
import pytest
from matplotlib.image import imread

from latens.data import Column, Schema
from latens.errors import DataError, UsageError
from latens.model_figures.image_scale import shown, write_image

LEVELS = Schema((8, 8), "levels", levels=17)


def tiles(path, shape, across, scale):
    """The images of a picture that `write_image` made, row by row, as numbers from 0 to 255."""
    picture = np.round(255 * imread(path)[..., :3])[::scale, ::scale]
    gap = max(1, round(0.08 * max(shape)))
    height, width = shape[0] + gap, shape[1] + gap
    down = (picture.shape[0] + gap) // height
    return [
        picture[i * height : i * height + shape[0], j * width : j * width + shape[1]]
        for i in range(down)
        for j in range(across)
    ]


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        (Schema((28, 28), "real"), (28, 28)),
        (Schema((6, 5, 3), "unit"), (6, 5, 3)),
        (Schema((6, 5, 1), "unit"), (6, 5, 1)),
        (Schema((6, 5, 2), "unit"), None),
        (Schema((784,), "binary"), (28, 28)),
        (Schema((64,), "levels", levels=17), (8, 8)),
        (Schema((64,), "real"), None),
        (Schema((63,), "binary"), None),
        (Schema((49,), "binary"), None),
        (Schema((64,), "binary", columns=tuple(Column(f"c{i}") for i in range(64))), None),
    ],
)
def test_which_rows_are_pictures(schema, shape):
    assert schema.image == shape


def test_pixels_are_shown_on_the_range_of_the_data():
    assert shown(LEVELS, np.full((2, 8, 8), 4))[0, 0, 0] == 0.25
    assert shown(Schema((64,), "levels", levels=256), np.full((1, 64), 51))[0, 7, 7] == np.float32(0.2)
    real = Schema((2, 2), "real")
    np.testing.assert_allclose(shown(real, [[[-1.0, 0.0], [1.0, 3.0]]])[0], [[0, 0.25], [0.5, 1]])
    np.testing.assert_allclose(shown(real, [[[-1.0, 0.0], [1.0, 3.0]]], (0.0, 2.0))[0], [[-0.5, 0], [0.5, 1.5]])
    with pytest.raises(UsageError, match=r"shape \(3,\) are not images"):
        shown(Schema((3,), "real"), np.zeros((1, 3)))


def test_a_written_picture_holds_the_pixels_in_reading_order(tmp_path):
    rng = np.random.default_rng(1)
    images = rng.uniform(-0.1, 1.1, (5, 10, 9, 3))
    path = write_image(tmp_path / "grid.png", images, columns=2)
    assert [file.name for file in tmp_path.iterdir()] == ["grid.png"]
    found = tiles(path, (10, 9), across=2, scale=12)
    for image, tile in zip(images, found):
        np.testing.assert_array_equal(tile, np.round(255 * np.clip(image.astype(np.float32), 0, 1)))
    assert np.all(found[5] == 255)  # nothing: white
    large = imread(write_image(tmp_path / "large.png", np.zeros((1, 60, 112))))
    assert large.shape[:2] == (60, 112)
    with pytest.raises(UsageError, match=r"end in \.png"):
        write_image(tmp_path / "grid.jpg", images)
    with pytest.raises(DataError, match="NaN"):
        write_image(tmp_path / "nan.png", np.full((1, 2, 2), np.nan))
