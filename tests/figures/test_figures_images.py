"""Pictures of images: what lies in the drawn array is what was given, where it was given."""

import numpy as np
import pytest

from latens.errors import DataError
from latens.figures import image_grid, linear_grid, manifold, percentile_grid, reconstructions
from latens.figures.images import mosaic


def images(n, *, seed=0, colour=False):
    return np.random.default_rng(seed).random((n, 8, 6, 3) if colour else (n, 8, 6), np.float32)


def pixels(ax):
    (drawn,) = ax.images
    return np.asarray(drawn.get_array())


@pytest.mark.parametrize("colour", [False, True])
def test_grid_holds_every_image_in_reading_order(colour):
    given = images(7, colour=colour)
    drawn = pixels(image_grid(given, columns=3))
    assert drawn.shape == (3 * 8 + 2, 3 * 6 + 2, 4)
    for index, image in enumerate(given):
        top, left = (index // 3) * 9, (index % 3) * 7
        cell = drawn[top : top + 8, left : left + 6]
        np.testing.assert_array_equal(cell[..., :3], image if colour else np.repeat(image[..., None], 3, axis=-1))
        assert (cell[..., 3] == 1).all()
    # Nothing but the seven images is opaque.
    assert drawn[..., 3].sum() == 7 * 8 * 6


def test_values_are_clipped():
    given = np.array([[[-0.5, 0.25], [1.0, 3.0]]])
    assert pixels(image_grid(given))[..., 0].tolist() == [[0.0, 0.25], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((0, 4, 4)), "holds nothing"),
        (np.zeros((4, 4)), "2 axes"),
        (np.zeros((1, 4, 4, 2)), "2 channels"),
        (np.full((1, 2, 2), np.nan), "4 of 4 values are NaN"),
        (np.array([[["a"]]]), "not real numbers"),
    ],
)
def test_what_is_not_images_is_refused_with_a_remedy(given, says):
    with pytest.raises(DataError, match=says) as caught:
        image_grid(given)
    assert caught.value.fix


def test_reconstruction_lies_below_its_image():
    original, reconstruction, samples = images(5), images(5, seed=1), images(2, seed=2)
    ax = reconstructions(original, reconstruction, samples, columns=3)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["data", "reconstruction", "data", "reconstruction", "sample"]
    drawn = pixels(ax)
    tops = [round(float(tick) - 3.5) for tick in ax.get_yticks()]
    assert tops == [0, 9, 21, 30, 42]
    rows = [original[:3], reconstruction[:3], original[3:], reconstruction[3:], samples]
    for top, row in zip(tops, rows):
        for column, image in enumerate(row):
            np.testing.assert_array_equal(drawn[top : top + 8, 7 * column : 7 * column + 6, 0], image)


def test_reconstruction_without_samples():
    original, reconstruction = images(1), images(1, seed=1)
    ax = reconstructions(original, reconstruction)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["data", "reconstruction"]


def test_mosaic_groups_rows_by_a_wider_gap():
    whole = mosaic([np.zeros((1, 8, 8, 1))] * 4, group=2)
    assert whole.tops == (0, 9, 21, 30)
    assert whole.pixels.shape == (38, 8, 4)


def decoded(grid):
    """Images whose left half is the first unit and right half the second, moved into [0, 1]."""
    z = (np.asarray(grid, np.float32) + 4) / 8
    return np.repeat(np.repeat(z[..., None, :], 3, axis=-2), 2, axis=-1)


@pytest.mark.parametrize("grid", [linear_grid(5, -2.0, 2.0), percentile_grid(4), linear_grid(1), linear_grid(2)[:1]])
def test_manifold_pixel_is_the_image_of_its_latent_point(grid):
    given = decoded(grid)
    drawn = pixels(manifold(given, grid))
    rows, columns, height, width = given.shape[0], given.shape[1], given.shape[2] + 2, given.shape[3] + 2
    assert drawn.shape == (rows * height, columns * width, 4)
    for i in range(rows):
        for j in range(columns):
            cell = drawn[i * height : (i + 1) * height, j * width : (j + 1) * width]
            np.testing.assert_array_equal(cell[..., 0], np.pad(given[i, j], 1))  # in a black frame


def test_manifold_is_oriented_as_a_scatter():
    """The image under the point (x, y) of the axes is the one decoded from (x, y), also after drawing."""
    grid = linear_grid(5, -2.0, 2.0)
    ax = manifold(decoded(grid), grid)
    left, right, bottom, top = ax.images[0].get_extent()
    assert (left, right, bottom, top) == (-2.5, 2.5, -2.5, 2.5)
    assert ax.get_xlim() == (-2.5, 2.5)
    assert ax.get_ylim() == (-2.5, 2.5)
    drawn = pixels(ax)
    for x, y in grid.reshape(-1, 2):
        row = int((top - y) / (top - bottom) * drawn.shape[0])
        column = int((x - left) / (right - left) * drawn.shape[1])
        cell = drawn[row // 5 * 5 + 1, column // 6 * 6 + 1 : column // 6 * 6 + 5, 0]
        np.testing.assert_allclose(cell, [(x + 4) / 8] * 2 + [(y + 4) / 8] * 2, rtol=1e-6)


def test_percentile_ticks_are_the_latent_values():
    grid = percentile_grid(4, 0.1, 0.9)
    ax = manifold(decoded(grid), grid, units=(4, 9))
    assert ax.get_xticks().tolist() == [0, 1, 2, 3]
    # Phi^-1 of 0.1, 0.3667, 0.6333, 0.9
    values = ["\N{MINUS SIGN}1.28", "\N{MINUS SIGN}0.34", "0.34", "1.28"]
    assert [label.get_text() for label in ax.get_xticklabels()] == values
    assert [label.get_text() for label in ax.get_yticklabels()] == values
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latent unit 4", "latent unit 9")


@pytest.mark.parametrize("change", [lambda g: g[::-1], lambda g: g[..., ::-1], lambda g: g[:, ::-1], lambda g: g[:2]])
def test_points_that_are_not_such_a_grid_are_refused(change):
    grid = linear_grid(3)
    with pytest.raises(DataError) as caught:
        manifold(decoded(grid), change(grid))
    assert caught.value.where == "latents"
