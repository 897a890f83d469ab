"""The figure of a sweep: a dot for each seed, the mean and its interval where they belong."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from latens.errors import DataError
from latens.figures.settings import settings, settings_table
from latens.figures.style import theme_named


def test_dots_means_and_intervals_stand_at_their_numbers() -> None:
    nan = float("nan")
    ax = settings([[-1.0, -2.0], [-3.0], []], [(-1.5, -2.5, -0.5), (-3.0, nan, nan), None], ["a", "b", "c"])
    first = theme_named("light").first
    dots = [line.get_xydata().tolist() for line in ax.lines if to_hex(line.get_color()) == first]
    assert dots == [[[-1.0, 0.0], [-2.0, 0.0]], [[-3.0, 1.0]], []]
    ends = [segment.tolist() for bars in ax.containers for segment in bars[2][0].get_segments()]
    assert ends == [[[-2.5, 0.0], [-0.5, 0.0]]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the best at the top


def test_the_table_has_a_line_for_each_run_and_lengths_must_fit() -> None:
    table = settings_table([[-1.0, -2.0], [], [-3.0]], ["a", "b", "c"])
    assert table["setting"].tolist() == ["a", "a", "c"]
    np.testing.assert_array_equal(table["value"], [-1.0, -2.0, -3.0])
    for given in (lambda: settings_table([[1.0]], ["a", "b"]), lambda: settings_table([[]], ["a"]),
                  lambda: settings([[1.0]], [], ["a"])):  # fmt: skip
        with pytest.raises(DataError):
            given()


def test_many_settings_are_cut_from_the_best_on() -> None:
    ax = settings([[float(-i)] for i in range(50)], [(float(-i),) * 3 for i in range(50)], range(50))
    assert len(ax.get_yticks()) == 40
    assert "the best 40 of 50 settings" in ax.get_title(loc="left")
