"""Questions by a file with a few columns: the rest of each row is drawn, and derived columns are computed."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.recipes import get_recipe
from latens.recipes.closed_forms import started_from
from latens.trained import prepare


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Orders with what they cost: price times count and a fee."""
    rng, n = np.random.default_rng(0), 400
    price, count = np.round(rng.uniform(2, 30, n), 1), rng.integers(1, 12, n)
    fee = rng.choice([0.0, 2.5, 4.0], n)
    frame = {"shop": rng.choice(["north", "south"], n), "price": price, "count": count, "fee": fee}
    total = (price * count + fee).round(2)
    data = latens.read(pd.DataFrame(frame | {"total": total}), label="none", derive={"total": "price * count + fee"})
    experiment = prepare(get_recipe("default").config, data)
    made = started_from(experiment.new_model(), experiment.data, experiment.preparation)
    path = tmp_path_factory.mktemp("orders") / "model.safetensors"
    experiment.trained(made).save(path)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_columns_that_a_file_lacks_are_filled_and_unknown_ones_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, out = tmp_path / "asked.csv", tmp_path / "filled.csv"
    asked.write_text("count,price,fee\n3,12.5,2.5\n,10.0,4.0\n")
    assert main(["impute", str(model), str(asked), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == 5  # also the two totals, which are computed
    first, second = rows_of(out)
    assert list(first)[:3] == ["count", "price", "fee"]
    assert float(first["total"]) == pytest.approx(40.0)
    assert float(second["total"]) == pytest.approx(10.0 * float(second["count"]) + 4.0)
    assert first["shop"] in ("north", "south")
    asked.write_text("coun,price\n3,12.5\n")
    assert main(["impute", str(model), str(asked), "--out", str(out), "--json"]) == 3
    assert "'coun'" in capsys.readouterr().out
