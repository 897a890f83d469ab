"""Numbers that all have as many decimals in a file keep them where latens writes some."""

from pathlib import Path

import numpy as np
import pytest

from latens.data.formats.csv import dialect_of
from latens.text import COMMAS, csv_bytes, fixed_decimals
from latens.verbs._files import kept_dialect


@pytest.mark.parametrize(
    ("cells", "count"),
    [
        (["4.20", "38.50", "2.99"], 2),
        (["-1.000", "+2.125"], 3),
        (["4.21", "38.55"], 0),  # none ends in 0: the shortest text may be how they are written
        (["4.20", "38.5"], 0),
        (["4.20", "3"], 0),
        (["€4.20", "€3.10"], 0),
        ([], 0),
    ],
)
def test_decimals_are_fixed_where_all_have_as_many_and_one_ends_in_0(cells: list[str], count: int) -> None:
    assert fixed_decimals(cells) == count


def test_columns_of_a_file_keep_theirs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,price,kg,left\na,4.20,1.5,NA\nb,38.55,2.0,3.10\nc,7.10,12,2.00\n")
    dialect = dialect_of(tmp_path / "t.csv")
    assert dialect is not None
    assert dialect.decimals == {"price": 2, "left": 2}
    rows = {"price": np.array([4.2, 38.5]), "kg": np.array([1.0, 2.5]), "left": np.array([3.125, np.nan])}
    # A number with more decimals than the file had is never rounded.
    assert csv_bytes(rows, dialect=dialect).decode().splitlines() == [
        "price,kg,left",
        "4.20,1.0,3.125",
        "38.50,2.5,nan",
    ]
    gone = csv_bytes({"left": np.array([3.1, np.nan])}, dialect=dialect).decode()
    assert gone.splitlines() == ["left", "3.10", "nan"]
    # Beside empty cells, too; names beside numbers stay as they are.
    written = lambda *cells: csv_bytes({"left": np.array(cells, object)}, dialect=dialect).decode().split("\n")  # noqa: E731
    assert written(1.1, "", 2.01) == ["left", "1.10", '""', "2.01", ""]
    assert written(1.1, "a") == ["left", "1.1", "a", ""]


def test_a_model_file_keeps_them_and_a_strangers_are_refused() -> None:
    facts = {"separator": ",", "mark": "", "encoding": "utf-8", "decimals": {"price": 2}}
    assert kept_dialect(facts).decimals == {"price": 2}
    assert kept_dialect(facts | {"decimals": {"price": 900, "kg": "2", "left": True}}).decimals == {}
    assert kept_dialect({"decimals": {"price": 2}}) == COMMAS


def test_a_file_of_long_lines_is_looked_at_no_further_than_its_separator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["a,b", *["1.20,3"] * 30, *["1.234,3"] * 30]))
    for most, decimals in ((2**20, {}), (60, {"a": 2})):  # 20 lines at least, 61 where they are short
        monkeypatch.setattr("latens.data.formats.csv.MOST_HEAD", most)
        dialect = dialect_of(tmp_path / "t.csv")
        assert dialect is not None
        assert dialect.decimals == decimals
