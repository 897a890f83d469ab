"""A column that is left out of windows of a series is left out again where a model reads the file."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from latens.cli.training import steps_text
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


@pytest.mark.parametrize("what", ["the Gaussian of the training rows", None])
def test_what_is_kept_is_named(what: str | None) -> None:
    start = {"kept": True} | ({} if what is None else {"what": what})
    info = {"step": 100, "best_step": 0, "stopped_because": "budget", "start": start}
    run: Any = SimpleNamespace(path="w", config={}, info=info)
    kept = what or "the tree of columns"
    assert steps_text(run) == f"w: 100 steps, ended because the budget was used up; {kept}, before step 1, is kept"
