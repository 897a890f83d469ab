"""Empty cells that are nothing: an invoice is total plus extras, and where extras are empty it is the total."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.config import override
from latens.data.frames import as_frame
from latens.recipes import get_recipe
from latens.workflow.judge import judge


def invoices(n: int = 900, holds: float = 1.0, empty: float = 0.6, seed: int = 0) -> pd.DataFrame:
    """Of the rows without extras the invoice is the total in so many, and 5 more in the others."""
    rng = np.random.default_rng(seed)
    total = np.round(rng.gamma(3.0, 40.0, n), 2)
    extras = np.where(rng.random(n) < empty, np.nan, np.round(rng.gamma(2.0, 9.0, n) + 0.5, 2))
    other = np.isnan(extras) & (rng.random(n) >= holds)
    invoice = np.round(total + np.nan_to_num(extras) + 5.0 * other * (1 + rng.integers(0, 9, n)), 2)
    kind = rng.choice(["card", "cash"], n)
    return pd.DataFrame({"kind": kind, "total": total, "extras": extras, "invoice": invoice})


@pytest.mark.parametrize(("holds", "nothing"), [(1.0, True), (0.99, True), (0.9, False), (0.5, False), (0.0, False)])
def test_an_empty_cell_is_nothing_where_numbers_add_up_so(holds: float, nothing: bool) -> None:
    frame = invoices(holds=holds)
    data = latens.load_data(frame, label="none")
    extras = (data.schema.types or ())[2]
    assert extras.blank is nothing
    assert any("An empty cell of 'extras' is read as 0" in note for note in data.notes) is nothing
    missing = 0 if data.mask is None else int(np.count_nonzero(~data.mask[:, 2]))
    assert missing == (0 if nothing else frame.extras.isna().sum())
    if nothing:
        assert (extras.low + extras.step * data.x[:, 2] == 0).sum() == frame.extras.isna().sum()
        others = [one.blank for k, one in enumerate(data.schema.types or ()) if k != 2]
        assert not any(others)


@pytest.mark.parametrize(("empty", "nothing"), [(0.0, False), (0.01, False), (0.1, True), (0.8, True)])
def test_it_takes_enough_gaps_to_say_so(empty: float, nothing: bool) -> None:
    assert (latens.load_data(invoices(empty=empty), label="none").schema.types or ())[2].blank is nothing


def test_order_units_and_what_is_declared() -> None:
    frame = invoices()
    turned = frame.sample(frac=1.0, random_state=3)[["invoice", "extras", "kind", "total"]]
    cents = turned.assign(**{name: (100 * turned[name]).round() for name in ("invoice", "extras", "total")})
    for other in (turned, cents):
        types = latens.load_data(other, label="none").schema.types or ()
        assert [one.blank for one in types] == [False, True, False, False]
    declared = latens.load_data(frame, label="none", columns={"extras": "number"})
    assert not (declared.schema.types or ())[2].blank
    alone = latens.load_data(frame[["kind", "total", "extras"]], label="none")  # nothing says what a gap is
    assert not (alone.schema.types or ())[2].blank


def test_two_columns_may_be_empty_together() -> None:
    rng, frame = np.random.default_rng(1), invoices()
    refund = np.where(rng.random(len(frame)) < 0.5, np.nan, np.round(rng.gamma(2.0, 3.0, len(frame)) + 0.1, 2))
    frame = frame.assign(refund=refund, invoice=(frame.invoice - np.nan_to_num(refund)).round(2))
    types = latens.load_data(frame, label="none").schema.types or ()
    assert [one.blank for one in types] == [False, False, True, False, True]


def test_by_chance_no_gap_is_nothing() -> None:
    for seed in range(40):
        frame, rng = invoices(400, seed=seed), np.random.default_rng(700 + seed)
        frame["extras"] = frame.extras.mask(rng.random(400) < 0.3)  # gaps that are no nothing
        frame["invoice"] = (frame.total * 1.2).round(2)
        assert not any(one.blank for one in latens.load_data(frame, label="none").schema.types or ()), seed


def test_samples_frames_and_new_rows_keep_what_empty_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = invoices()
    data = latens.load_data(frame, label="none")
    back = as_frame(data.x, data.schema)
    pd.testing.assert_series_equal(back.extras, frame.extras, check_names=False)
    trained = latens.train(latens.prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    trained.save(tmp_path / "model.latens")
    again = latens.load(tmp_path / "model.latens")
    assert (again.schema.types or ())[2].blank
    out = tmp_path / "new.csv"
    assert main(["sample", str(tmp_path / "model.latens"), "-n", "300", "--out", str(out)]) == 0
    new = pd.read_csv(out)
    assert 0.45 < new.extras.isna().mean() < 0.75
    assert not (new.extras == 0).any()
    np.testing.assert_allclose(new.invoice, new.total + new.extras.fillna(0.0), atol=0.006)
    whole = tmp_path / "whole.csv"
    assert main(["sample", str(tmp_path / "model.latens"), "-n", "300", "--out", str(whole), "--gaps", "none"]) == 0
    assert 0.45 < (pd.read_csv(whole).extras == 0).mean() < 0.75
    new.loc[:3, "total"] = np.nan
    new.to_csv(tmp_path / "gaps.csv", index=False)
    filled = tmp_path / "full.csv"
    assert main(["impute", str(tmp_path / "model.latens"), str(tmp_path / "gaps.csv"), "--out", str(filled)]) == 0
    full = pd.read_csv(filled)
    np.testing.assert_allclose(full.total, full.invoice - full.extras.fillna(0.0), atol=0.006)
    pd.testing.assert_series_equal(full.extras, new.extras)
    assert "Filled 4 of" in "".join(capsys.readouterr())


def test_a_judgement_sees_sums_that_break_where_a_cell_is_empty() -> None:
    real, fake = invoices(), invoices(seed=1)
    [good] = judge(real, fake)["equations"]
    broken = fake.assign(invoice=fake.invoice + 7.0 * fake.extras.isna())
    [bad] = judge(real, broken)["equations"]
    assert (good["fake"], good["broken"]) == (1.0, False)
    assert bad["fake"] == pytest.approx(1.0 - fake.extras.isna().mean())
    assert bad["broken"]
