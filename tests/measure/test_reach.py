"""How far a code moves before what it decodes to changes: a linear decoder, whose distances are known."""

import numpy as np
import pytest
from checks import close

from latens.errors import DataError
from latens.figures.latent import reach_curves
from latens.trained.code_reach import MOST, reach

CODES = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 2.0]])
DIRECTIONS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])


def decode(z: np.ndarray) -> np.ndarray:
    return z @ np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]])


def test_a_linear_decoder_changes_where_its_length_says() -> None:
    """The picture moves by 3, 4, 3 and the root of 1.8^2 + 3.2^2 for each unit of z, up to half the median distance."""
    distances = [3.0, np.hypot(1.5, 8.0), np.hypot(1.5, 8.0)]
    found = reach(decode, CODES, None, DIRECTIONS)
    assert found.label is None
    speed = np.array([3.0, 4.0, 3.0, np.hypot(1.8, 3.2)])
    close(found.picture, np.broadcast_to(0.5 * np.median(distances) / speed, (3, 4)), rtol=1e-9)


def test_a_class_changes_at_the_bisector_or_never() -> None:
    """Two classes with means at (0, 0, 0) and (3, 0, 0): the border is at 1.5 of the first pixel, z of a half."""
    codes = np.array([[0.1, 0.0], [0.8, 1.0], [-0.1, 0.0], [1.2, -1.0]])
    found = reach(decode, codes, np.array([0, 1, 0, 1]), DIRECTIONS)
    expected = np.array([[0.4, np.inf, np.inf, 0.4 / 0.6], [np.inf, np.inf, 0.3, np.inf]])
    close(found.label[:2], expected, rtol=1e-9)  # pyright: ignore[reportOptionalSubscript]
    fewer = reach(decode, codes, np.array([0, 1, -1, -1]), DIRECTIONS, rows=2)
    # Rows without a label are of no class, and the border then lies between (0.1, 0) and (0.8, 1).
    middle = 0.5 * np.array([0.7, 1.0]) * [3, 4] @ (np.array([0.7, 1.0]) * [3, 4]) / (np.array([2.1, 4.0]) @ [3.0, 0.0])
    close(fewer.label[0, 0], middle, rtol=1e-9)  # pyright: ignore[reportOptionalSubscript]


def test_a_picture_that_never_changes_is_never_another() -> None:
    still = reach(lambda z: np.zeros((len(z), 3)), CODES, np.array([0, 1, 1]), DIRECTIONS)
    assert np.isinf(still.picture).all()
    table = reach_curves({"picture": still.picture, "class": [1.0, 3.0, np.inf, 3.0]}, MOST)[1]
    assert np.all(table["same_picture"] == 1.0)
    steps = {0.0: 1.0, 0.95: 1.0, 1.0: 0.75, 2.95: 0.75, 3.0: 0.25, 6.0: 0.25}
    for distance, share in steps.items():
        assert table["same_class"][np.isclose(table["distance"], distance)] == share, distance
    with pytest.raises(DataError, match="there is no distance"):
        reach_curves({"picture": [np.nan]}, MOST)
