"""Parts of data: every row once, in their order, and nothing that depends on who asks."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latens.data import load, parts
from latens.data.formats import npy as npy_shards
from latens.data.parts import Parts, borders


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 30))
def test_parts_are_whole_blocks_or_pieces_of_one(blocks: list[int], most: int) -> None:
    found, ends = borders(np.array(blocks, np.int64), most).tolist(), np.cumsum([0, *blocks]).tolist()
    assert (found[0], found[-1]) == (0, ends[-1])
    for low, high in pairwise(found):
        assert 0 < high - low <= most
        inside = [end for end in ends if low < end < high]
        if low not in ends:  # a piece begins where another of full length ends
            assert low - most in found
            assert high - low == most or high in ends
        elif inside:
            assert high in ends


def test_as_many_whole_blocks_as_fit_make_a_part() -> None:
    assert borders(np.array([30, 30, 30, 250, 30, 0, 70, 1]), 100).tolist() == [0, 90, 190, 290, 370, 441]


def test_data_in_memory_and_on_disk_are_cut_into_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy_shards, "BLOCK_ROWS", 25)
    monkeypatch.setattr(parts, "LEAST", 40)
    x = np.arange(420, dtype=np.float32).reshape(210, 2)
    for i in range(3):
        np.save(tmp_path / f"part-{i}.npy", x[i * 70 : (i + 1) * 70])
    memory, stream = load(x), load(tmp_path, stream=True)
    assert Parts(memory).borders.tolist() == [0, 40, 80, 120, 160, 200, 210]
    assert Parts(stream).borders.tolist() == [0, 25, 50, 70, 95, 120, 140, 165, 190, 210]  # no two blocks of 25 fit
    monkeypatch.setattr(parts, "LEAST", 10)
    assert Parts(stream).borders.tolist()[:9] == [0, 10, 20, 25, 35, 45, 50, 60, 70]
    monkeypatch.setattr(parts, "BYTES", 3 * 8)
    assert Parts(stream).borders.tolist()[:4] == [0, 3, 6, 9]
    for data in (memory, stream):
        found = Parts(data)
        taken = [found.part(number) for number in range(len(found))]
        np.testing.assert_array_equal(np.concatenate([rows.x[at] for rows, at in taken]), x)
        keys = load(tmp_path, stream=False).row_id if data is stream else memory.row_id
        np.testing.assert_array_equal(np.concatenate([rows.row_id[at] for rows, at in taken]), keys)
