"""Types of random columns of numbers and names against their rules, said once more by loops over cells."""

import itertools

import numpy as np
import pytest

from latens.kinds.tables import columns
from latens.kinds.tables.columns import FrameColumn, category_type, check_types, number_type

CASES = range(150)


def random_numbers(rng: np.random.Generator) -> np.ndarray:
    """Whole numbers with frequent ones, gaps and a few far away at either end."""
    n = int(rng.choice([30, 120, 500]))
    values = np.floor(rng.gamma(2.0, rng.choice([3.0, 40.0]), n))
    frequent = rng.random(n) < rng.choice([0.0, 0.2, 0.6])
    values[frequent] = rng.choice([0.0, 7.0, 50.0], frequent.sum())
    if rng.random() < 0.6:
        far = rng.choice([2000.0, -1500.0, 9000.0])
        values[: rng.choice([1, 2, 30])] = far + rng.integers(0, 2)
    return values * rng.choice([1.0, 0.5]) + rng.choice([0.0, -20.0])


def cut(cells: dict[int, int], size: int) -> list[int]:
    """Where segments begin: a frequent cell alone, others in pieces of at most a part of the rows."""
    total = sum(cells.values())
    heavy = {c: n >= max(columns.HEAVY * total, columns.OFTEN) for c, n in cells.items()}
    light = [n for c, n in cells.items() if not heavy[c]]
    single = len(light) >= columns.FEWEST_SINGLE and sum(light) < 2 * len(light)
    if len(cells) <= columns.ALL_HEAVY and total >= columns.OFTEN * len(cells) and not single:
        heavy = dict.fromkeys(cells, True)
    pieces, piece, begins = [], [], 0  # pieces: where each begins
    for cell in sorted(cells):
        if heavy[cell]:
            pieces += [begins] if begins < cell else []
            pieces.append(cell)
            begins, piece = cell + 1, []
        elif piece and sum(piece) + cells[cell] > total / columns.PIECES:
            pieces.append(begins)
            begins, piece = cell, [cells[cell]]
        else:
            piece.append(cells[cell])
    pieces += [begins] if begins < size else []
    if len(pieces) < 4:
        return pieces
    pieces = without_far(pieces, sorted(cells), heavy)
    # The other end is the same of the grid turned around.
    turned = [size - end for end in (*pieces[1:], size)][::-1]
    again = without_far(turned, sorted(size - 1 - c for c in cells), {size - 1 - c: h for c, h in heavy.items()})
    return sorted({0, *(size - begin for begin in again if begin)})


def without_far(pieces: list[int], cells: list[int], heavy: dict[int, bool]) -> list[int]:
    """Cells of the last two pieces that lie far beyond the others there are a piece of their own."""
    own = [cell for cell in cells if cell >= pieces[-2]]
    if len(own) < 2:
        return pieces
    gaps = [b - a for a, b in itertools.pairwise(own)]
    at = gaps.index(max(gaps))
    wide = own[at] - pieces[-2] + 1
    if gaps[at] > columns.FAR * wide and not any(heavy[c] for c in cells if c >= own[at]):
        return [*(begin for begin in pieces if begin <= own[at]), own[at] + 1]
    return pieces


@pytest.mark.parametrize("case", CASES)
def test_numbers_have_the_segments_and_shares_of_their_rows(case: int) -> None:
    values = random_numbers(np.random.default_rng(case))
    one = number_type(values, values, FrameColumn(dtype="Float64"))
    assert check_types([one]) == ""
    place = np.round((values - one.low) / one.step).astype(int)
    np.testing.assert_allclose(one.low + one.step * place, values)
    if not one.edges:
        np.testing.assert_allclose(one.numbers(place), values)
    size = place.max() + 1
    cells = {int(c): int(n) for c, n in zip(*np.unique(place, return_counts=True))}
    starts = list(one.edges[:-1]) if one.edges else list(one.starts)
    assert starts == cut(cells, size)
    ends = [*starts[1:], size]
    masses = [sum(n for c, n in cells.items() if begin <= c < end) for begin, end in zip(starts, ends)]
    unseen = (sum(n == 1 for n in cells.values()) + 0.5) / max(sum(m == 0 for m in masses), 1)
    full = np.array([mass if mass else unseen for mass in masses])
    np.testing.assert_allclose(one.shares, full / full.sum())


@pytest.mark.parametrize("case", range(30))
def test_names_have_the_shares_of_their_rows(case: int) -> None:
    rng = np.random.default_rng(case)
    count = int(rng.choice([3, 40, columns.MOST_CATEGORIES + 50]))
    codes = np.concatenate([np.arange(count), rng.geometric(0.05, 800) % count])
    found = FrameColumn(tuple(f"n{i}" for i in range(count)), dtype="String", named=True)
    one = category_type(codes, found)
    assert check_types([one]) == ""
    often = np.bincount(codes, minlength=count)
    if count <= columns.MOST_CATEGORIES:
        np.testing.assert_allclose(one.shares, (often + 0.5) / (often + 0.5).sum())
        return
    order = [found.values.index(name) for name in one.values]
    assert np.all(np.diff(often[order]) <= 0)
    ends = [*one.starts[1:], count]
    masses = [often[order[a:b]].sum() for a, b in zip(one.starts, ends)]
    np.testing.assert_allclose(one.shares, np.array(masses) / sum(masses))
    for a, b in zip(one.starts, ends):
        assert b - a == 1 or often[order[a]] < 2 * often[order[b - 1]]
