"""Pictures of rows of text: what their tables hold, and that all of it is drawn."""

import numpy as np
import pytest

from latens.errors import DataError
from latens.figures import texts
from latens.figures.style import figure_of, rendered


def words(axes) -> list[str]:
    return [one.get_text() for ax in np.atleast_1d(np.asarray(axes, object)) for one in ax.texts]


def test_columns_of_text_stand_side_by_side_or_below_one_another() -> None:
    axes, table = texts.text_columns([["anna", "$x$"], ["b"]], ["rows", "new"])
    assert table["column"].tolist() == ["rows", "rows", "new"]
    assert table["place"].tolist() == [0, 1, 0]
    assert table["text"].tolist() == ["anna", "$x$", "b"]
    assert words(axes) == ["rows", "anna", r"\$x\$", "new", "b"]
    places = {one.get_text(): one.get_position() for one in axes.texts}
    assert places["new"][1] == places["rows"][1]
    assert places["new"][0] > places["rows"][0]
    long = "y" * 60
    axes, _ = texts.text_columns([[long], [long + "z"]], ["rows", "new"])
    places = {one.get_text(): one.get_position() for one in axes.texts}
    assert places["new"][0] == places["rows"][0]
    assert places["new"][1] > places[long][1]
    with pytest.raises(DataError, match="Give a name for each"):
        texts.text_columns([["a"]], ["a", "b"])


def test_tokens_stand_on_the_colour_of_their_bits() -> None:
    axes, table = texts.token_bits([["a", "Br", "⏎"], ["a"]], [[1.0, 4.0, 0.5], [2.0]])
    assert {name: values.tolist() for name, values in table.items()} == {
        "row": [0, 0, 0, 1],
        "place": [0, 1, 2, 0],
        "token": ["a", "Br", "⏎", "a"],
        "bits": [1.0, 4.0, 0.5, 2.0],
    }
    assert [patch.get_width() for patch in axes.patches] == [1, 4, 1, 1]  # " Br " has blanks around it
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert axes.patches[0].get_facecolor() == texts.ramp("light")(1.0 / np.quantile(table["bits"], 0.98))
    assert rendered(figure_of(axes).axes[0], "png")[:4] == b"\x89PNG"
    with pytest.raises(DataError, match="a number for every token"):
        texts.token_bits([["a"]], [[1.0, 2.0]])


def test_the_bits_by_place_are_the_curves_that_were_given() -> None:
    given = {"one": np.array([2.0, 1.0]), "other": np.array([3.0, 2.5])}
    axes, table = texts.bits_by_position(given, np.array([5, 3]))
    assert table["place"].tolist() == [1, 2]
    assert table["rows"].tolist() == [5, 3]
    assert [line.get_ydata().tolist() for line in axes.get_lines()] == [[2.0, 1.0], [3.0, 2.5]]
    assert axes.get_ylim()[0] == 0
    with pytest.raises(DataError, match="a count for each place"):
        texts.bits_by_position(given, np.array([5]))
