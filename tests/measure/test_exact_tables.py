"""How two tables are compared and how far codes move, by hand."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from checks import close
from paths import GOLDEN

from latens.data import load
from latens.errors import DataError, UsageError
from latens.evaluation import Estimate
from latens.evaluation.samples import tables
from latens.evaluation.samples.tables import Table
from latens.workflow import cells, judge, reach
from latens.workflow import measurement as columns
from latens.workflow.trained import TrainedModel

RANDOM = np.random.default_rng(0)
NAMES = np.array([True, False])


def table(n, seed=0, name="real"):
    random = np.random.default_rng(seed)
    x = np.stack([random.integers(0, 3, n), random.normal(size=n)], axis=1)
    return Table(name, ("kind", "size"), x, NAMES)


def test_the_error_is_that_of_so_many_drawn_tables(monkeypatch):
    monkeypatch.setattr(tables, "SHUFFLES", 3)
    monkeypatch.setattr(tables, "DRAWS", 5)
    seen = []

    def likeness(a, b):
        assert (len(a.x), len(b.x)) == (20, 30)
        seen.append(1.0 - abs(float(a.x[:, 1].mean() - b.x[:, 1].mean())))
        return seen[-1]

    found, error = tables.with_error(likeness, table(20), table(30, 1), seed=0)
    assert found == seen[0]
    assert len(seen) == 1 + 3 + 5
    assert error == pytest.approx(np.std(seen[-5:], ddof=1))


def test_distances_of_columns():
    a, b = np.array([0.0, 1.0, 1.0, 3.0]), np.array([1.0, 2.0, 2.0, 2.0, 5.0])
    every = np.unique([*a, *b])
    gaps = [abs(np.mean(a <= v) - np.mean(b <= v)) for v in every]
    assert tables._kolmogorov(a, b) == pytest.approx(max(gaps))
    shares = [abs(np.mean(a == v) - np.mean(b == v)) for v in every]
    assert tables._variation(a, b) == pytest.approx(0.5 * sum(shares))
    positive, negative = np.array([0.3, 0.8, 0.8]), np.array([0.1, 0.8, 0.2, 0.9])
    wins = np.mean([(p > q) + 0.5 * (p == q) for p in positive for q in negative])
    assert tables.area(positive, negative)[0] == pytest.approx(wins)


class Trees:
    """Trees that say the column that they are shown: a name's scores, or a number."""

    def __init__(self, regression):
        self.regression = regression

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, x):
        return x[:, 0]

    def predict_proba(self, x):
        return np.stack([x[:, 0] == code for code in self.classes_], axis=1).astype(float)


@pytest.mark.parametrize("target", ["size", "kind", "two kinds"])
def test_what_is_learned_of_a_column(monkeypatch, target):
    monkeypatch.setattr(tables, "_trees", lambda shown, seed, regression=False: Trees(regression))
    real, fake, test = (table(40, seed, name) for seed, name in enumerate(("real", "fake", "test")))
    if target == "two kinds":
        real, fake, test = (one._replace(x=np.minimum(one.x, [1.0, np.inf])) for one in (real, fake, test))
    if target != "size":  # the other column says the name, of most rows
        real, fake, test = (
            one._replace(x=np.stack([one.x[:, 0], np.where(np.arange(40) % 4, one.x[:, 0], 0.0)], axis=1))
            for one in (real, fake, test)
        )
    found = tables.utility(fake, real, test, target.split()[-1].replace("kinds", "kind"), seed=3)
    if target == "size":
        y, guess = test.x[:, 1], test.x[:, 0]
        expected = 1.0 - np.mean((y - guess) ** 2) / np.var(y)
    else:
        y, guess = test.x.T
        codes = [1.0] if target == "two kinds" else [0.0, 1.0, 2.0]
        areas = [tables.area((guess == c).astype(float)[y == c], (guess == c).astype(float)[y != c])[0] for c in codes]
        expected = np.mean(areas)
    assert found["real"].value == pytest.approx(expected)
    assert found["difference"].value == pytest.approx(0.0)
    assert found["real"].n == 40
    assert found["real"].standard_error > 0
    assert found["real"].unit == ("R squared" if target == "size" else "area under the ROC curve")


def test_cells_within_what_the_real_columns_have():
    real = Table("real", ("kind", "size"), np.array([[0.0, 1.0], [1.0, 5.0], [np.nan, np.nan]] * 20), NAMES)
    fake = Table("fake", ("kind", "size"), np.array([[0.0, 0.5], [0.0, 5.0], [7.0, 1.0], [np.nan, 3.0]]), NAMES)
    found = judge._validity(real, fake)
    assert found["cells_inside"] == pytest.approx((2 + 3) / 7)
    assert found["names_of_20_rows_that_are_lacking"] == [{"column": "kind", "names": 1}]
    gone = real._replace(x=real.x * [np.nan, 1.0])
    assert judge._validity(gone, fake)["cells_inside"] == pytest.approx(3 / 7)


def test_the_reach_of_a_model_is_that_of_its_decoder(monkeypatch):
    trained = TrainedModel.load(GOLDEN / "format-1-table.safetensors")
    data = load(RANDOM.normal(size=(9, 3)), schema=trained.schema)
    given = {}

    def told(decode, codes, labels, directions):
        given.update(codes=codes, labels=labels, directions=directions, pictures=decode(codes))
        return reach.Reach(np.zeros(1), None)

    monkeypatch.setattr(reach, "reach", told)
    reach.reach_of(trained, data, np.arange(8), 4)
    order = np.random.default_rng(4).permutation(8)
    close(given["codes"], trained.encode(data.x[:8])[order], rtol=1e-4)
    close(given["pictures"], trained.decode(given["codes"].astype(np.float32)), rtol=1e-4)
    close(np.linalg.norm(given["directions"], axis=1), np.ones(len(given["directions"])))
    assert given["directions"].shape[1] == 2
    assert given["labels"] is None
    labelled = dataclasses.replace(data, label=np.arange(9, dtype=np.int32) % 3)
    reach.reach_of(trained, labelled, np.arange(8), 4)
    assert given["labels"].tolist() == (order % 3).tolist()


@pytest.mark.parametrize("gaps", [False, True])
def test_nats_of_columns_beside_those_of_independent_ones(monkeypatch, gaps):
    trained = TrainedModel.load(GOLDEN / "format-1-mixed.safetensors")
    types = trained.schema.types
    x = np.zeros((4, len(types)), np.float32)
    mask = np.arange(4 * len(types)).reshape(4, -1) % 3 > 0 if gaps else None
    weight = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    nats = RANDOM.normal(size=(4, len(types)))
    found = SimpleNamespace(columns=nats[1:], latents=-np.ones(3))
    asked = []
    monkeypatch.setattr(columns, "nats_by_column", lambda rows, **options: asked.append(rows) or found)
    data = dataclasses.replace(load(x[:, :1]), x=x, mask=mask, weight=weight, schema=trained.schema)
    told = columns.column_nats(trained, data, np.arange(1, 4))
    assert [(rows.model is trained.model, rows.batch.x.shape) for rows in asked] == [(True, (3, len(types)))]
    assert len(told) == len(types) + 1
    for i, (row, one) in enumerate(zip(told, types)):
        alone = one.log_shares(x[1:, i]) * (1.0 if mask is None else mask[1:, i])
        assert row["independent"] == pytest.approx(np.average(alone, weights=weight[1:]))
        expected = Estimate.of(nats[1:, i], num_samples=1, protocol="", weight=weight[1:])
        assert (row["nats"], row["standard_error"]) == pytest.approx((expected.value, expected.standard_error))
    assert told[-1]["nats"] == -1.0


def frame_of(one):
    return {"kind": np.array(["a", "b", "c"])[one.x[:, 0].astype(int)].tolist(), "size": one.x[:, 1].tolist()}


@pytest.mark.parametrize("new", [True, False])
def test_a_judgement_puts_together_what_each_number_says(monkeypatch, new):
    real, fake, test = (pd.DataFrame(frame_of(table(60, seed))) for seed in range(3))
    called = []

    def stub(name, value):
        def function(*given, **options):
            called.append((name, *(one.name for one in given if isinstance(one, Table)), *options.values()))
            return value(*given) if callable(value) else value

        monkeypatch.setattr(judge, name, function)

    stub("with_error", lambda function, a, b, seed: (function(a, b), 0.5))
    stub("detection", (0.75, 0.1))
    stub("telltales", [("kind", 0.2)])
    stub("utility", {"real": Estimate(0.5, 0.1, 1, 60)})
    stub("copies", 3)
    stub("attacks", {"area": 0.5})
    stub("nearest_distances", lambda rows, among, like: np.arange(100.0) if rows.name == "--test" else np.full(50, 1.5))
    if not new:
        found = judge.judge(real, fake, seed=5)
        assert not {"utility", "near", "attacks"} & set(found)
        assert found["detection"]["beside"] == "real rows"
        assert found["copies"] == {"fake": 3}
        with pytest.raises(
            UsageError, match=r"there are none\. Give the run that made FAKE, or such rows: --test RUN or REAL2"
        ):
            judge.judge(real, fake, target="kind")
        with pytest.raises(DataError, match=r"has 40 rows; too few to judge anything by\. Give at least 50"):
            judge.judge(real, fake[:40])
        return
    found = judge.judge(real, fake, test=test, target="kind", seed=5)
    assert found["rows"] == {"real": 60, "fake": 60, "test": 60}
    assert found["detection"]["beside"] == "test rows"
    told = [{"column": "kind", "fall": 0.2}]
    assert found["detection"]["trees"] == {"value": 0.5, "standard_error": 0.2, "auc": 0.75, "told_by": told}
    assert found["copies"] == {"fake": 3, "test": 3}
    assert found["near"] == {"share": 1.0, "of_new_rows": 0.02}  # 1.5 is below the second of a hundred
    assert found["attacks"] == {"area": 0.5}
    assert found["utility"]["target"] == "kind"
    assert {"new_rows"} <= set(found["shape"]) & set(found["trend"])
    shapes = [row["shape"] for row in found["worst_columns"]]
    assert shapes == sorted(shapes)
    assert found["shape"]["value"] == pytest.approx(np.mean(shapes))
    assert ("utility", "FAKE", "REAL", "--test", 5) in called
    assert "utility" not in judge.judge(real, fake, test=test)
    with pytest.raises(UsageError, match="there is no column 'kin'"):
        judge.judge(real, fake, test=test, target="kin")


def test_places_without_a_cell_are_those_of_none(monkeypatch):
    trained = TrainedModel.load(GOLDEN / "format-1-mixed.safetensors")
    types = trained.schema.types
    x, mask = np.zeros((2, len(types)), np.float32), np.zeros((2, len(types)), bool)
    mask[0, 1] = mask[1, :2] = True
    data = dataclasses.replace(load(x[:, :1]), x=x, mask=mask, schema=trained.schema)
    even = lambda trained, data, rows, **options: [np.full((len(rows), t.count), 1.0 / t.count) for t in types]  # noqa: E731
    monkeypatch.setattr(cells, "given_rest", even)
    found = cells.blame(trained, data, np.arange(2), others=10, cells=3)
    assert found.column[0].tolist() == [1, -1, -1]
    assert sorted(found.column[1].tolist()) == [-1, 0, 1]
    assert found.p_value[0, 1:].tolist() == [1.0, 1.0]
    for part in (found.expected, found.low, found.high):
        assert part[0, 1:].tolist() == [0.0, 0.0]


def test_numbers_beyond_those_of_the_training_rows_are_as_odd_as_their_tail(monkeypatch):
    trained = TrainedModel.load(GOLDEN / "format-1-mixed.safetensors")
    types = trained.schema.types
    number = [kind.kind for kind in types].index("number")
    x = np.zeros((3, len(types)), np.float32)
    outside = np.zeros(x.shape, np.float32)
    outside[1:, number] = 1.0, 2.0
    data = dataclasses.replace(load(x[:, :1]), x=x, mask=None, schema=trained.schema, outside=outside)
    even = lambda trained, data, rows, **options: [np.full((len(rows), t.count), 1.0 / t.count) for t in types]  # noqa: E731
    monkeypatch.setattr(cells, "given_rest", even)
    monkeypatch.setattr(cells, "tails", lambda outside, types, others, ends: (None, np.where(outside == 1.0, 0.9, 0.1)))
    found = cells.blame(trained, data, np.arange(3), others=10, cells=len(types))
    p = np.take_along_axis(found.p_value, np.argsort(found.column, axis=1), axis=1)[:, number]
    assert p[1:].tolist() == [1.0, pytest.approx(0.2)]


@pytest.mark.parametrize(("side", "outer"), [(1, 0.002), (-1, 0.03), (1, 0.2)])
def test_a_number_beyond_is_no_likelier_than_the_outermost_segment_given_the_rest(monkeypatch, side, outer):
    """Beyond 99 rows with 1/100 of the tail's share; where the rest of the row leaves less than 1/100, with that."""
    trained = TrainedModel.load(GOLDEN / "format-1-mixed.safetensors")
    types = trained.schema.types
    number = [kind.kind for kind in types].index("number")
    x, outside = np.zeros((1, len(types)), np.float32), np.zeros((1, len(types)), np.float32)
    outside[0, number] = 3.0 * side
    data = dataclasses.replace(load(x[:, :1]), x=x, mask=None, schema=trained.schema, outside=outside)

    def given(trained, data, rows, **options):
        every = [np.full((len(rows), one.count), (1.0 - outer) / (one.count - 1)) for one in types]
        for shares in every:
            shares[:, -1 if side > 0 else 0] = outer
        return every

    monkeypatch.setattr(cells, "given_rest", given)
    alone = cells.tails(outside, types, 99)[1][0, number]
    found = cells.blame(trained, data, np.arange(1), others=99, cells=len(types))
    p = found.p_value[0, found.column[0] == number]
    assert p == pytest.approx(2.0 * alone * min(1.0, 100.0 * outer))
