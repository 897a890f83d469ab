"""A column that is left out of windows of a series is left out again where a model reads the file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latens.data import load
from latens.errors import DataError


def test_a_model_of_windows_leaves_out_what_its_data_did(tmp_path: Path) -> None:
    rng, file = np.random.default_rng(0), tmp_path / "hours.csv"
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=60, freq="h"), "a": rng.normal(size=60)})
    frame.assign(b=rng.normal(size=60)).to_csv(file, index=False)
    made = load(str(file), window=8, stride=4, columns={"date": "leave out"})
    assert (made.schema.shape, made.schema.ignored) == ((8, 2), ("date",))
    np.testing.assert_array_equal(load(str(file), window=8, stride=4, schema=made.schema).x, made.x)
    frame.assign(b=1.0, other=2.0).to_csv(file, index=False)
    with pytest.raises(DataError, match="does not know: 'other'"):
        load(str(file), window=8, stride=4, schema=made.schema)
