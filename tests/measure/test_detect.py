"""Unusual rows: p-values that are what they say, false alarms that are kept."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.errors import DataError
from latens.recipes import get_recipe
from latens.trained.cell_scores import blame, named_cells
from latens.trained.outliers import detect

# --- names that no training row had ---


def towns(n, seed):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    city = np.array(["Lyon", "Oslo", "Porto"])[kind]
    return pd.DataFrame({"city": city, "country": np.array(["F", "N", "P"])[kind], "x": rng.integers(0, 9, n)})


@pytest.fixture(scope="module")
def of_towns():
    settings = {"training.steps": 300, "posterior.latent_dim": 2, "network.hidden": [16], "prior": "standard-normal"}
    data = latens.read(towns(600, 0))
    return latens.trained.train(latens.trained.prepare(override(get_recipe("default").config, settings), data))[0]


def test_a_name_that_nobody_had_is_a_certain_anomaly(of_towns):
    strange = towns(40, 1)
    strange.loc[7, "city"] = "Atlantis"
    with pytest.raises(DataError, match="column 'city' holds 'Atlantis', which no training row had"):
        latens.read(strange, schema=of_towns.schema)
    new = latens.read(strange, schema=of_towns.schema, unknown="missing")
    assert new.unseen == ((7, 0, "Atlantis"),)
    assert np.argwhere(~new.mask).tolist() == [[7, 0]]
    held = latens.read(towns(300, 2), schema=of_towns.schema)
    options = {"num_samples": 5, "alpha": 0.05}
    found = detect(of_towns, held, np.arange(300), new, **options)
    assert found.surprise[7] == np.inf
    assert found.p_value[7] == 1 / 301
    assert found.flagged[7]
    # The other rows are judged as without it.
    plain = latens.read(towns(40, 1), schema=of_towns.schema)
    others = np.arange(40) != 7
    without = detect(of_towns, held, np.arange(300), plain, **options)
    np.testing.assert_array_equal(found.p_value[others], without.p_value[others])
    # A held-out row with such a name is as surprising, so that p-values stay what they say.
    odd = towns(300, 2)
    odd.loc[[5, 6], "country"] = "X"
    held = latens.read(odd, schema=of_towns.schema, unknown="missing")
    assert detect(of_towns, held, np.arange(300), new, **options).p_value[7] == 3 / 301
    blamed = blame(of_towns, new, np.array([7]), others=300, cells=2, num_samples=100)
    told = named_cells(blamed, new, np.array([7]))
    assert (told["cell_1"][7], told["value_1"][7], told["p_1"][7]) == ("city", "Atlantis", "0")
    assert told["expected_1"][7] == {"F": "Lyon", "N": "Oslo", "P": "Porto"}[strange["country"][7]]


def test_a_row_without_any_cell_is_as_usual_as_can_be(of_towns):
    empty = towns(20, 3)
    empty.loc[4] = None
    new = latens.read(empty, schema=of_towns.schema)
    held = latens.read(towns(100, 2), schema=of_towns.schema)
    found = detect(of_towns, held, np.arange(100), new, num_samples=5)
    assert found.surprise[4] == 0.0
    assert found.p_value[4] == 1.0
