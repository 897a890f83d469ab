"""Drawn shapes: what a picture shows is what its factors say, and the data set `shapes` is made of them."""

import numpy as np
import pytest

from latens.data import load
from latens.errors import UsageError
from latens.kinds.pictures.drawn_shapes import FACTORS, FORMS, LEVELS, RADIUS, factors_of, known_factors, shapes


def moments(picture: np.ndarray) -> tuple[float, np.ndarray]:
    """The lit area (of the picture's area 1) and the centre of the light (x, y)."""
    light = picture.astype(float) / 255.0
    at = (np.arange(len(picture)) + 0.5) / len(picture)
    total = light.sum()
    return total / picture.size, np.array([light.sum(0) @ at, light.sum(1) @ at]) / total


@pytest.mark.parametrize("resolution", [32, 64])
def test_areas_are_those_of_geometry(resolution: int) -> None:
    """A square that reaches to r has area 2 r^2, an ellipse of axes r and r/2 has pi r^2 / 2, at every angle."""
    grid = np.array([[form, 0, size, angle, 0, 0] for form in (0, 1) for size in range(6) for angle in range(0, 40, 3)])
    found = shapes(grid, resolution=resolution)
    r = RADIUS * np.linspace(0.5, 1.0, 6)[grid[:, 2]]
    exact = np.where(grid[:, 0] == 0, 2.0, np.pi / 2) * r**2
    area = np.array([moments(picture)[0] for picture in found.x])
    # A point in 16 of a pixel decides at the edge: the error is a few points on hundreds, and has no direction.
    assert np.abs(area / exact - 1.0).max() < 0.06
    assert np.abs((area / exact).mean() - 1.0) < 0.004


def test_positions_are_evenly_spaced_and_inside() -> None:
    grid = np.array([[form, 0, 5, 10, x, y] for form in range(3) for x in range(0, 32, 5) for y in (0, 13, 31)])
    found = shapes(grid)
    exact = RADIUS + (1.0 - 2.0 * RADIUS) * grid[:, 4:] / 31
    centres = np.array([moments(picture)[1] for picture in found.x])
    symmetric = grid[:, 0] < 2
    np.testing.assert_allclose(centres[symmetric], exact[symmetric], atol=0.002)
    # A heart's centre of light is off its middle by the same step wherever it stands.
    hearts = (centres - exact)[~symmetric]
    np.testing.assert_allclose(hearts, np.broadcast_to(hearts.mean(0), hearts.shape), atol=0.003)
    edge = shapes(np.array([[f, 0, 5, a, x, y] for f in range(3) for a in range(40) for x in (0, 31) for y in (0, 31)]))
    assert np.all(np.sum(edge.x > 0, axis=(1, 2)) > 300)  # none is cut off: 2 r^2 is 396 pixels, pi r^2 / 2 is 311


def test_a_quarter_turn_turns_the_picture() -> None:
    for form in range(3):
        places = ((16, 16), (15, 16), (15, 15), (16, 15))  # the place of the first one, turned about the middle
        at = [np.array([[form, 0, 3, 10 * quarter, *place]]) for quarter, place in enumerate(places)]
        pictures = [shapes(one).x[0] for one in at]
        for k in range(4):
            # Rows go down, so angles go clockwise; a point exactly on the edge may fall on either side.
            assert np.abs(np.rot90(pictures[0], -k).astype(int) - pictures[k]).mean() < 0.5, (form, k)
    heart, turned = pictures[0].astype(int), pictures[2].astype(int)
    assert np.abs(heart - turned).mean() > 5.0  # a heart has a top and a bottom
    assert heart[:32].sum() > heart[32:].sum()  # and stands upright at angle 0


def test_angles_go_round_once_or_as_far_as_asked() -> None:
    whole = shapes(np.array([[0, 0, 3, k, 0, 0] for k in (0, 10, 20)]))
    assert np.array_equal(whole.x[0], whole.x[1])
    assert np.array_equal(whole.x[0], whole.x[2])
    quarter = shapes(np.array([[0, 0, 3, k, 0, 0] for k in range(40)]), turn=0.25)
    assert len(np.unique(quarter.x.reshape(40, -1), axis=0)) == 40


def test_the_data_set() -> None:
    data = load("shapes")
    assert (data.x.shape, data.x.dtype, data.schema.kind) == ((10_000, 32, 32), np.uint8, "binary")
    assert data.schema.classes == FORMS
    assert len(np.unique(np.packbits(data.x.reshape(10_000, -1), axis=1), axis=0)) == 10_000
    factors = factors_of(data.names)
    assert np.array_equal(known_factors(data), factors)
    assert known_factors(load(data.x[:9], label=data.label[:9], name="shapes")) is None
    assert np.array_equal(factors[:, FACTORS.index("form")], data.label)
    assert np.array_equal(shapes(factors[:50], resolution=32, turn=0.25).x > 127, data.x[:50] == 1)
    for column, count in enumerate(LEVELS):
        share = np.bincount(factors[:, column], minlength=count) / len(data)
        # Half a percent of the rows were left out as copies, most of them of small shapes.
        assert np.abs(share - 1 / count).max() <= 5 * np.sqrt((1 - 1 / count) / count / len(data)), FACTORS[column]


def test_numbers_of_combinations_lead_back() -> None:
    found = shapes(500, resolution=8, seed=3)
    assert len(np.unique(found.row_id)) == 500
    assert np.array_equal(factors_of(found.row_id), found.factors)
    assert np.array_equal(shapes(found.factors, resolution=8).x, found.x)
    with pytest.raises(UsageError, match="no such value"):
        shapes(np.full((3, 6), 1))
