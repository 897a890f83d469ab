"""Cells that are empty because their column does not apply: found, kept empty, and filled where that is asked for."""

import csv
import json

import numpy as np
import pytest

from latens import load_data, prepare, train
from latens.cli.main import main
from latens.config import override
from latens.data.inapplicable import Inapplicable, cells_of, found_in, read
from latens.data.suspects import suspicions
from latens.recipes import get_recipe

RULE = Inapplicable("memory", "product", "printer", 30)


def table(folder, printers=30, filled=0, others=200, gaps=4):
    """Printers without memory, of which some have it, beside others of which some lack it."""
    rng, path = np.random.default_rng(0), folder / "t.csv"
    rows = [("printer", 8 if i < filled else "", 100 + i) for i in range(printers)]
    rows += [(("laptop", "phone")[i % 2], "" if i < gaps else (4, 8, 16)[i % 3], 300 + i) for i in range(others)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("product", "memory", "price"), *(rows[i] for i in rng.permutation(len(rows)))])
    return path


@pytest.mark.parametrize(("how", "found"), [
    ({}, (RULE,)),
    ({"printers": 20}, (RULE._replace(rows=20),)),
    ({"printers": 19}, ()),  # too few to tell from chance
    ({"filled": 1}, ()),
    ({"gaps": 10}, (RULE,)),
    ({"gaps": 70}, (RULE,)),  # 30 cells in a row by a chance of 0.35: 2e-14
    ({"gaps": 90}, ()),  # 4e-11
    ({"printers": 400, "gaps": 184}, ()),  # more than nine in ten of the others
    ({"printers": 0}, ()),
])  # fmt: skip
def test_a_rule_holds_in_every_row_and_hardly_elsewhere(tmp_path, how, found):
    data = load_data(str(table(tmp_path, **how)))
    assert found_in(data) == found
    assert any("may not apply" in line for line in suspicions(data)) is bool(found)
    order = np.random.default_rng(1).permutation(len(data.x))
    assert found_in(load_data(str(table(tmp_path, **how))).__class__(**_at(data, order))) == found


def _at(data, order):
    parts = {name: getattr(data, name) for name in data.__dataclass_fields__ if data.__dataclass_fields__[name].init}
    return parts | {name: parts[name][order] for name in ("x", "mask") if parts[name] is not None}


def test_cells_are_those_of_the_rule_alone(tmp_path):
    data = load_data(str(table(tmp_path)))
    cells = cells_of((RULE, Inapplicable("no", "such", "column", 9)), data.schema, data.x)
    names = data.schema.types[0].values
    assert cells[:, 1].tolist() == [names[int(code)] == "printer" for code in data.x[:, 0]]
    assert not cells[:, [0, 2]].any()


def test_what_a_stranger_wrote_is_no_error():
    assert read([["memory", "product", "printer", 30]]) == (RULE,)
    for strange in (None, "abc", 7, [["a"]], [[1, "b", "c", 2]], [{"a": 1}], [None]):
        assert read(strange) == ()
    assert read([["a", "b", "c", "many"], ["a", "b", "c", 0]]) == (Inapplicable("a", "b", "c", 0),)


def test_they_stay_empty_unless_they_are_asked_for(tmp_path, capsys):
    path, run = table(tmp_path), str(tmp_path / "model.safetensors")
    config = override(get_recipe("table-mixture").config, {"posterior.choices": 2, "training.epochs": 3.0})
    train(prepare(config, load_data(str(path))))[0].with_facts(within=[]).save(run)
    for words, empty in (((), 30), (("--inapplicable", "fill"), 0)):
        out = tmp_path / "full.csv"
        more = ("--num-samples", "9", "--interval", "0.9", "--out", str(out), "--json")
        assert main(["impute", run, str(path), *more, *words]) == 0
        value = json.loads(capsys.readouterr().out)
        assert (value["missing"], value.get("inapplicable", 0)) == (34 - empty, empty)
        with out.open() as file:
            rows = list(csv.DictReader(file))
        assert sum(row["memory"] == "" for row in rows) == empty
        assert all((row["memory"] == "") == (row["product"] == "printer") for row in rows) is bool(empty)
        assert sum(row["memory.low"] != "" for row in rows) == 34 - empty  # beside what was filled in alone
    made = tmp_path / "new.csv"
    assert main(["sample", run, "-n", "300", "--gaps", "none", "--out", str(made)]) == 0
    with made.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["memory"] == "" for row in rows if row["product"] == "printer"} == {True}
    assert {row["memory"] for row in rows if row["product"] != "printer"} <= {"4", "8", "16"}
