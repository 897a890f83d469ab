"""Rows that were asked for are judged by the real rows that fulfil what was asked for."""

import numpy as np
import pandas as pd
import pytest

from latens.cli.main import main
from latens.errors import DataError
from latens.workflow.judge import judge


def rows(n: int, seed: int, share: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kind = np.where(rng.random(n) < share, "truss", "beam")
    load = np.round(rng.normal(5.0 + 4.0 * (kind == "truss"), 1.0), 1)
    return pd.DataFrame({"kind": kind, "strands": rng.choice([20, 30, 60], n), "load": load})


def only(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["kind"] == "truss"].reset_index(drop=True)


def test_rows_that_were_asked_for_are_judged_by_rows_like_them() -> None:
    real, fake = rows(1200, 0), only(rows(1200, 1))
    whole, part = judge(real, fake), judge(real, fake, where=["kind=truss"])
    assert whole["verdict"]["word"] == "poor"
    assert part["verdict"]["word"] == "very good"
    assert whole["narrower"]["where"] == "kind=truss"
    assert whole["narrower"]["share"] == pytest.approx((real["kind"] == "truss").mean())
    assert "narrower" not in part
    assert part["rows"]["real"] == (real["kind"] == "truss").sum()
    assert part["shape"]["value"] == judge(only(real), fake)["shape"]["value"]


def test_new_rows_are_those_like_them_too() -> None:
    real, fake, new = rows(1200, 0), only(rows(1200, 1)), rows(600, 2)
    found = judge(real, fake, test=new, where=["kind=truss"])
    assert found["rows"]["test"] == (new["kind"] == "truss").sum()
    assert found["rows"]["fake"] == len(fake)
    gone = new.copy()
    gone.loc[gone.index[:50], "kind"] = None  # what is not known fulfils nothing
    assert judge(real, fake, test=gone, where=["kind=truss"])["rows"]["test"] == (gone["kind"] == "truss").sum()


def test_a_condition_on_a_number_takes_the_rows_within() -> None:
    real = rows(1200, 0)
    found = judge(real, real[real["strands"] >= 30].reset_index(drop=True), where=["strands>=30", "kind=beam"])
    assert found["rows"]["real"] == ((real["strands"] >= 30) & (real["kind"] == "beam")).sum()


@pytest.mark.parametrize(("share", "told"), [(0.3, True), (0.6, True), (0.9, False), (1.0, False)])
def test_it_is_told_only_where_many_real_rows_have_something_else(share: float, told: bool) -> None:
    assert ("narrower" in judge(rows(600, 0, share), only(rows(600, 1, share)))) == told


def test_rows_of_all_kinds_are_not_called_narrower() -> None:
    assert all("narrower" not in judge(rows(600, 2 * k), rows(600, 2 * k + 1)) for k in range(3))


def test_too_few_rows_say_which_option_left_them(tmp_path, capsys) -> None:
    with pytest.raises(DataError, match="too few") as error:
        judge(rows(100, 0), only(rows(600, 1)), where=["kind=truss"])
    assert "leave out --where 'kind=truss'" in str(error.value)
    real, fake = tmp_path / "real.csv", tmp_path / "fake.csv"
    rows(600, 0).to_csv(real, index=False)
    only(rows(600, 1)).to_csv(fake, index=False)
    assert main(["judge", str(real), str(fake)]) == 0
    assert 'if they were asked for so, add --where "kind=truss"' in capsys.readouterr().out
    assert main(["judge", str(real), str(fake), "--where", "kind=truss"]) == 0
    assert "real ones where kind=truss" in capsys.readouterr().out


@pytest.mark.parametrize(("share", "warned"), [(0.05, True), (0.3, False)])
def test_few_new_rows_like_them_are_left_out_with_a_warning(share: float, warned: bool, tmp_path, capsys) -> None:
    """Of 300 new rows 15 are like them, fewer than 30; or 90."""
    names = [str(tmp_path / f"{name}.csv") for name in ("real", "fake", "new")]
    for name, frame in zip(names, (rows(1200, 0), only(rows(1200, 1)), rows(300, 2, share))):
        frame.to_csv(name, index=False)
    asked = ["judge", names[0], names[1], "--test", names[2], "--where", "kind=truss"]
    assert main(asked) == 0
    said = capsys.readouterr().err
    assert ("fewer than 30 of the rows of --test fulfil kind=truss: judged without them" in said) == warned
    assert main([*asked, "--target", "strands"]) == (3 if warned else 0)
