"""How two tables are compared and how far codes move, by hand."""

import dataclasses

import numpy as np
import pytest
from checks import close
from paths import GOLDEN

from latens.data import load
from latens.trained import cell_scores as cells
from latens.trained import sample_sets
from latens.trained.trained_model import TrainedModel

RANDOM = np.random.default_rng(0)


def test_the_reach_of_a_model_is_that_of_its_decoder(monkeypatch):
    trained = TrainedModel.load(GOLDEN / "format-2-table.safetensors")
    data = load(RANDOM.normal(size=(9, 3)), schema=trained.schema)
    given = {}

    def told(decode, codes, labels, directions):
        given.update(codes=codes, labels=labels, directions=directions, pictures=decode(codes))
        return sample_sets.Reach(np.zeros(1), None)

    monkeypatch.setattr(sample_sets, "reach", told)
    sample_sets.reach_of(trained, data, np.arange(8), 4)
    order = np.random.default_rng(4).permutation(8)
    close(given["codes"], trained.encode(data.x[:8])[order], rtol=1e-4)
    close(given["pictures"], trained.decode(given["codes"].astype(np.float32)), rtol=1e-4)
    close(np.linalg.norm(given["directions"], axis=1), np.ones(len(given["directions"])))
    assert given["directions"].shape[1] == 2
    assert given["labels"] is None
    labelled = dataclasses.replace(data, label=np.arange(9, dtype=np.int32) % 3)
    sample_sets.reach_of(trained, labelled, np.arange(8), 4)
    assert given["labels"].tolist() == (order % 3).tolist()


def test_places_without_a_cell_are_those_of_none(monkeypatch):
    trained = TrainedModel.load(GOLDEN / "format-2-mixed.safetensors")
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
    trained = TrainedModel.load(GOLDEN / "format-2-mixed.safetensors")
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
    trained = TrainedModel.load(GOLDEN / "format-2-mixed.safetensors")
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
