"""Names that no training row had: refused by row, taken as missing, or left out with their rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latens.cli.main import main
from latens.data import load
from latens.errors import DataError, UsageError
from latens.estimators import VAE

FRAME = pd.DataFrame({"city": np.resize(["Lyon", "Oslo", "Porto"], 60), "kind": np.resize(["a", "b"], 60)})
NEW = pd.DataFrame({"city": ["Oslo", "Nice", "Lyon", "Rome"], "kind": ["a", "b", "q", "z"], "id": [7, 5, 9, 4]})
AS_MISSING = pd.DataFrame({"city": ["Oslo", None, "Lyon", None], "kind": ["a", "b", None, None], "id": [7, 5, 9, 4]})
OWN = ["city", "kind"]


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE(2, hidden=(4,), steps=2, settings={"num_samples": 2}, random_state=0).fit(FRAME)


def test_an_error_names_every_row(vae: VAE) -> None:
    schema = vae.model_.schema
    with pytest.raises(DataError) as error:
        load(NEW, schema=schema, row_id="id")
    assert error.value.message == (
        "column 'city' holds 'Nice', which no training row had. 3 rows have such a name: row 5 (city 'Nice'), "
        "row 4 (city 'Rome'), row 9 (kind 'q')."
    )
    assert "--unknown skip" in error.value.fix
    many = pd.concat([NEW[1:2]] * 8, ignore_index=True).drop(columns="id")
    with pytest.raises(DataError, match=r"8 rows have such a name: row 0 \(city 'Nice'\), .*row 4 .* and 3 more"):
        load(many, schema=schema)
    with pytest.raises(DataError, match=r"1 row has such a name: row 1 \(city 'Nice'\)"):
        vae.score_samples(NEW[OWN][:2])
    with pytest.raises(UsageError, match="'drop' is not known"):
        load(NEW, schema=schema, unknown="drop")


def test_missing_and_skip_are_what_they_say() -> None:
    schema = load(FRAME).schema
    missing, empty = (
        load(d, schema=schema, row_id="id", **o) for d, o in ((NEW, {"unknown": "missing"}), (AS_MISSING, {}))
    )
    np.testing.assert_array_equal(missing.x, empty.x)
    np.testing.assert_array_equal(missing.mask, empty.mask)
    assert not missing.x[~missing.mask].any()
    assert missing.unseen == ((1, 0, "Nice"), (3, 0, "Rome"), (2, 1, "q"), (3, 1, "z"))
    left = load(NEW, schema=schema, row_id="id", unknown="skip")
    alone = load(NEW[:1], schema=schema, row_id="id")
    assert left.names.tolist() == [7]
    np.testing.assert_array_equal(left.row_id, alone.row_id)
    np.testing.assert_array_equal(left.x, alone.x)
    assert left.kept is not None
    assert left.kept.tolist() == [0]
    assert left.notes[-1] == "3 of 4 rows hold names that no training row had, and are left out: 5, 9, 4."
    with pytest.raises(DataError, match="every row holds a name that no training row had"):
        load(NEW[1:], schema=schema, row_id="id", unknown="skip")
    assert load(FRAME, schema=schema, unknown="skip").kept is None


def test_commands_count_and_name_what_they_leave_out(
    vae: VAE, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, rows = str(vae.save(tmp_path / "model.safetensors")), str(tmp_path / "new.csv")
    NEW.to_csv(rows, index=False)
    common = [model, rows, "--id", "id"]
    assert main(["encode", *common, "--out", str(tmp_path / "z.npz")]) == 3
    assert "row 5 (city 'Nice')" in capsys.readouterr().err
    assert main(["encode", *common, "--out", str(tmp_path / "z.npz"), "--unknown", "skip"]) == 0
    assert "3 of 4 rows hold names that no training row had, and are left out: 5, 9, 4" in capsys.readouterr().err
    assert np.load(tmp_path / "z.npz")["row_id"].tolist() == [7]
    assert main(["evaluate", *common, "--unknown", "missing", "--num-samples", "2"]) == 0
    assert "4 cells hold names that no training row had, and count as missing" in capsys.readouterr().err
    for choice, count in (("skip", 1), ("missing", 4)):
        out = tmp_path / f"{choice}.csv"
        assert main(["impute", *common, "--unknown", choice, "--num-samples", "2", "--out", str(out)]) == 0
        filled = pd.read_csv(out)
        assert filled["id"].tolist() == [7, 5, 9, 4][:count]
        assert set(filled["city"]) <= set(FRAME["city"])
