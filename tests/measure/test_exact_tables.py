"""How two tables are compared and how far codes move, by hand."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from checks import close
from paths import GOLDEN

from latens.data import load
from latens.evaluation import Estimate
from latens.measure import columns, judge, reach, tables
from latens.measure.tables import Table
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
    monkeypatch.setattr(columns, "nats_by_column", lambda model, batch, **options: found)
    monkeypatch.setattr(TrainedModel, "batch", lambda self, data, positions: None)
    data = dataclasses.replace(load(x[:, :1]), x=x, mask=mask, weight=weight)
    told = columns.column_nats(trained, data, np.arange(1, 4))
    assert len(told) == len(types) + 1
    for i, (row, one) in enumerate(zip(told, types)):
        alone = one.log_shares(x[1:, i]) * (1.0 if mask is None else mask[1:, i])
        assert row["independent"] == pytest.approx(np.average(alone, weights=weight[1:]))
        expected = Estimate.of(nats[1:, i], num_samples=1, protocol="", weight=weight[1:])
        assert (row["nats"], row["standard_error"]) == pytest.approx((expected.value, expected.standard_error))
    assert told[-1]["nats"] == -1.0
