"""Names of answers stand in the order that everyone knows, where all of them belong to one scale."""

import numpy as np
import pandas as pd
import pytest

from latens import load_data
from latens.data.scales import _PLACES, in_order


@pytest.mark.parametrize(("names", "order"), [
    (["agree", "disagree", "Strongly agree", "strongly disagree", "neither agree nor disagree"],
     ("strongly disagree", "disagree", "neither agree nor disagree", "agree", "Strongly agree")),
    (["M", "XL", "S", "L"], ("S", "M", "L", "XL")),
    (["often", "never", "sometimes"], ("never", "sometimes", "often")),
    (["low", "high"], ("high", "low")),  # two names are no scale
    (["low", "high", "blue"], ("blue", "high", "low")),
    (["low", "Low", "high", "medium"], ("Low", "high", "low", "medium")),  # a spelling comes twice
    (["b", "a", "c"], ("a", "b", "c")),
])  # fmt: skip
def test_names_of_a_scale_are_in_its_order(names, order):
    assert in_order(names) == order
    assert in_order(reversed(names)) == order


def test_no_name_stands_twice_in_a_scale():
    for places in _PLACES:
        assert sorted(places.values()) == list(range(len(places)))


def test_a_table_has_its_answers_in_order():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"mood": rng.choice(["agree", "disagree", "neutral"], 200), "n": rng.normal(size=200)})
    data = load_data(frame, label="none")
    assert data.schema.types is not None
    assert data.schema.types[0].values == ("disagree", "neutral", "agree")
    assert [data.schema.types[0].values[int(code)] for code in data.x[:20, 0]] == frame["mood"][:20].tolist()
