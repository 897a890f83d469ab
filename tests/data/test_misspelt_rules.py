"""A misspelt name is written right only where it keeps what the other columns say."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data.mistakes import all_mistaken, misspelt

PLACES = {"mat": "gymnasium", "floor": "gymnasium", "grass": "schoolyard", "sand": "schoolyard"}


@pytest.mark.parametrize(("landed", "told"), [("grass", True), ("sand", True), ("floor", False), ("mat", False)])
def test_a_name_that_breaks_a_rule_as_it_is_meant_stays_empty(landed: str, told: bool) -> None:
    rng = np.random.default_rng(0)
    ground = rng.choice(list(PLACES), 400)
    ground[7] = landed
    place = np.array([PLACES[name] for name in ground], object)
    place[7] = "schoolyrd"
    frame = pd.DataFrame({"landed": ground, "place": place, "load": np.round(rng.normal(5, 1, 400), 1)})
    data = latens.load_data(frame, label="none")
    at = data.schema.names.index("place")
    assert misspelt(data) == ({(7, at): "schoolyard"} if told else {})
    assert all_mistaken(data)[7, at]
