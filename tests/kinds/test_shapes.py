"""Drawn shapes: what a picture shows is what its factors say, and the data set `shapes` is made of them."""

import numpy as np
import pytest

from latens.data import load
from latens.errors import UsageError
from latens.kinds.pictures.shapes import (
    COLOURS,
    FACTORS,
    FORMS,
    RADIUS,
    factors_of,
    known_factors,
    level_counts,
    shapes,
)

MIDDLE = {"x": 1, "y": 1}


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
    found = shapes(grid, resolution=resolution, levels=MIDDLE)
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
        at = [np.array([[form, 0, 3, quarter, 0, 0]]) for quarter in range(4)]
        pictures = [shapes(one, levels={"angle": 4, **MIDDLE}).x[0] for one in at]
        for k in range(4):
            # Rows go down, so angles go clockwise; a point exactly on the edge may fall on either side.
            assert np.abs(np.rot90(pictures[0], -k).astype(int) - pictures[k]).mean() < 0.5, (form, k)
    heart, turned = pictures[0].astype(int), pictures[2].astype(int)
    assert np.abs(heart - turned).mean() > 5.0  # a heart has a top and a bottom
    assert heart[:32].sum() > heart[32:].sum()  # and stands upright at angle 0


def test_angles_go_round_once_or_as_far_as_asked() -> None:
    whole = shapes(np.array([[0, 0, 3, k, 0, 0] for k in (0, 10, 20)]), levels=MIDDLE)
    assert np.array_equal(whole.x[0], whole.x[1])
    assert np.array_equal(whole.x[0], whole.x[2])
    quarter = shapes(np.array([[0, 0, 3, k, 0, 0] for k in range(40)]), levels=MIDDLE, turn=0.25)
    assert len(np.unique(quarter.x.reshape(40, -1), axis=0)) == 40


def test_colours_scale_the_grey_picture() -> None:
    grid = np.array([[2, colour, 5, 3, 8, 20] for colour in range(len(COLOURS))])
    plain = shapes(np.where(np.arange(6) == 1, 0, grid), resolution=24).x
    found = shapes(grid, resolution=24, colours=COLOURS).x
    assert found.shape == (6, 24, 24, 3)
    expected = plain[..., None] * np.array(COLOURS)[:, None, None, :]
    assert np.abs(found - expected).max() <= 1.0


def test_numbers_of_combinations_lead_back() -> None:
    found = shapes(500, resolution=8, colours=COLOURS, levels={"x": 5}, seed=3)
    assert len(np.unique(found.row_id)) == 500
    assert np.array_equal(factors_of(found.row_id, colours=COLOURS, levels={"x": 5}), found.factors)
    again = shapes(found.factors, resolution=8, colours=COLOURS, levels={"x": 5})
    assert np.array_equal(again.x, found.x)
    every = shapes(36, resolution=8, levels={"size": 3, "angle": 4, "x": 1, "y": 1}, seed=0)
    assert sorted(every.row_id.tolist()) == list(range(36))


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
    for column, count in enumerate(level_counts()):
        share = np.bincount(factors[:, column], minlength=count) / len(data)
        # Half a percent of the rows were left out as copies, most of them of small shapes.
        assert np.abs(share - 1 / count).max() <= 5 * np.sqrt((1 - 1 / count) / count / len(data)), FACTORS[column]


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (5, {}, "need a seed"),
        (737_281, {"seed": 0}, "there are 737280 different pictures, and 737281"),
        (5, {"seed": 0, "resolution": 2}, "resolution must be 4 or more, not 2"),
        (5, {"seed": 0, "turn": 2.0}, "turn must be above 0 and at most 1, not 2"),
        (5, {"seed": 0, "levels": {"form": 4}}, "4 values of 'form'"),
        (5, {"seed": 0, "levels": {"colour": 2}}, "2 values of 'colour'"),
        (5, {"seed": 0, "levels": {"shape": 2}}, "2 values of 'shape'"),
        (5, {"seed": 0, "colours": ((1.0, 2.0, 0.0),)}, "is not a colour"),
        (np.zeros((3, 5), int), {}, "of shape"),
        (np.zeros((3, 6)), {}, "float64"),
        (np.full((3, 6), 1), {}, "no such value"),
    ],
)
def test_refusals(given: object, options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        shapes(given, **options)  # type: ignore[arg-type]


def test_ids_of_other_levels_are_refused() -> None:
    with pytest.raises(UsageError, match="from 0 to 737279"):
        factors_of(np.array([737_280]))
