"""Pictures of rows of text: what their tables hold, and that all of it is drawn."""

import numpy as np
import pytest

from latens.errors import DataError
from latens.figures import texts


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
