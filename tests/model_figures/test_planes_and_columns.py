"""What pictures are made of: axes, columns, dates, sentences, the scale and the pixels of images."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread

from latens.data import Column, Schema
from latens.errors import DataError, UsageError
from latens.latents.codes import principal
from latens.model_figures.draw import PICTURES
from latens.model_figures.image_scale import shown, write_image
from latens.model_figures.latent_pictures import shown_in_plane
from latens.model_figures.table_pictures import _dates, most_varied


def test_principal_axes_are_those_of_the_covariance():
    """Points along (3, 4) / 5 with a tenth of the spread across, in units of noise: 100 / 101 of the variance."""
    along, across = np.array([0.6, -0.8]), np.array([0.8, 0.6])
    t = np.array([-1.0, 1.0, 0.0, 0.0])
    points = 7.0 + 10.0 * np.outer(t, along) + np.outer([0.0, 0.0, 1.0, -1.0], across)
    for noise in (np.ones(2), np.array([0.25, 8.0])):
        found = principal(noise * points, noise)
        # Of each axis the largest is positive.
        np.testing.assert_allclose(found.axes * noise[:, None], np.stack([-along, across], axis=1), atol=1e-12)
        np.testing.assert_allclose(found.axes.T @ found.steps, np.eye(2), atol=1e-12)
        np.testing.assert_allclose(found.shares, [100 / 101, 1 / 101])
        np.testing.assert_allclose(found.of(noise * points)[:, 0], -10.0 * t, atol=1e-12)
    assert principal(np.ones((1, 3)), np.ones(3)).shares.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("units", "support"), [(2, "vector"), (3, "vector"), (3, "sphere"), (5, "sphere")])
def test_the_axes_of_a_plane_make_its_points(units: int, support: str) -> None:
    mean = np.random.default_rng(0).normal(size=(20, units))
    plane = principal(mean, np.full(units, 0.1))
    source = SimpleNamespace(support=support, posteriors=SimpleNamespace(first=[1, 0]), principal=plane)
    found = shown_in_plane(source, mean)  # type: ignore[arg-type]
    assert found.axes.shape == (units, 2)
    np.testing.assert_allclose(np.ptp(found.points - mean @ found.axes, axis=0), 0.0, atol=1e-11)
    whole = units == 2 or support == "sphere"
    assert found.columns == (("latent_1", "latent_0") if whole else ("principal_1", "principal_2"))


def test_the_columns_that_vary_most_are_drawn_in_their_order() -> None:
    rng = np.random.default_rng(0)
    scales = np.array([0.0, 3.0, 0.1, 2.0, 0.0, 5.0])
    data = 100.0 * np.arange(6) + scales * rng.normal(size=(400, 6))
    assert most_varied(data, 3) == [1, 3, 5]
    assert most_varied(data[:, [5, 0, 3]], 2) == [0, 2]
    assert most_varied(data, 6) is None
    # Missing cells count for nothing, and a column without any is the last.
    gaps = data.copy()
    gaps[:, 5], gaps[::2, 1] = np.nan, np.nan
    assert most_varied(gaps, 2) == [1, 3]


DAY = float(np.datetime64("2024-02-28").astype(int))


@pytest.mark.parametrize(
    ("low", "high", "days", "words"),
    [
        (DAY - 0.5, DAY + 0.5, True, "2024-02-28"),
        (DAY - 0.5, DAY + 2.5, True, "2024-02-28 to 2024-03-01"),
        (DAY, DAY + 2, True, "2024-02-28 to 2024-02-29"),  # a bin ends before its upper edge
        (DAY + 0.2, DAY + 0.4, True, "2024-02-29"),
        (DAY + 0.25, DAY + 0.25 + 1 / 96, False, "2024-02-28 06:00 to 2024-02-28 06:15"),
        (-0.5, 0.5, True, "1970-01-01"),
    ],
)
def test_a_bin_is_named_by_its_dates(low: float, high: float, days: bool, words: str) -> None:
    assert _dates(low, high, days) == words


def test_every_picture_says_what_to_see() -> None:
    said = {one.family: one.sees for one in PICTURES.values()}
    assert len(set(said.values())) > len(said) - 3  # graphs of networks share their sentence
    for name, sentence in said.items():
        assert sentence.startswith("See "), name
        assert sentence.endswith("."), name
        assert sentence.count(". ") == 0, name
        assert len(sentence.split()) <= 25, name


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
