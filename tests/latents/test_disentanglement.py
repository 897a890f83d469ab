"""Scores of codes whose score is known: perfect, rotated by 45 degrees, independent of the factors, with dead units."""

import numpy as np
import pytest

from latens.errors import UsageError
from latens.latents.disentanglement import dci, mig

V = 8
PAIR = np.stack(np.divmod(np.arange(V * V), V), axis=1)  # every combination of two factors of 8 values, once
GRID = np.tile(PAIR, (10, 1))
SUMS = np.stack([GRID[:, 0] + GRID[:, 1], GRID[:, 0] - GRID[:, 1]], axis=1) / np.sqrt(2.0)  # turned by 45 degrees


def third_digit(found: object, expected: float) -> None:
    assert abs(found.value - expected) < 5e-4, found


def test_perfect_codes_have_every_score_1() -> None:
    """Units in another order, on other scales, one of them downwards, and two that never move."""
    codes = np.stack([np.ones(len(GRID)), -3.0 * GRID[:, 1], GRID[:, 0] + 5.0, np.zeros(len(GRID))], axis=1)
    found = {"mig": mig(codes, GRID, seed=0), **dci(codes, GRID, seed=0)}
    assert set(found) == {*("mig", "dci_disentanglement", "dci_completeness", "dci_informativeness")}
    for name, estimate in found.items():
        third_digit(estimate, 1.0)
        # Without a tenth of its rows the grid is not balanced, and other units seem to know a little.
        assert estimate.standard_error < 2e-3, name
        assert estimate.protocol, name


def test_codes_turned_by_45_degrees() -> None:
    """Each unit says as much of the one factor as of the other, and so does the other unit."""
    third_digit(mig(SUMS, GRID, seed=0), 0.0)
    scores = dci(SUMS, GRID, seed=0)
    # The two units are alike under exchange, up to the trees' draws: shares 1/2 +- e give 2 e^2 / log 2.
    assert scores["dci_disentanglement"].value < 0.01
    assert scores["dci_completeness"].value < 0.01
    third_digit(scores["dci_informativeness"], 1.0)


def test_codes_that_know_nothing() -> None:
    """A third and fourth coordinate of a full grid are independent of the first two, exactly."""
    four = np.stack(np.unravel_index(np.arange(6**4), (6, 6, 6, 6)), axis=1)
    codes, factors = four[:, 2:].astype(float), four[:, :2]
    third_digit(mig(codes, factors, seed=0), 0.0)
    # Held-out rows of an exact grid are no draw (what the others lack, they have too much of): here by chance.
    rng = np.random.default_rng(0)
    codes, factors = rng.normal(size=(2000, 2)), rng.integers(0, 6, (2000, 2))
    accuracy = dci(codes, factors, seed=0)["dci_informativeness"]
    assert abs(accuracy.value - 1 / 6) < 5 * accuracy.standard_error


def test_constant_units_and_factors_change_nothing() -> None:
    rng = np.random.default_rng(1)
    codes = GRID + rng.normal(size=GRID.shape)
    more = np.concatenate([codes, np.full((len(codes), 3), 0.7)], axis=1)
    with_constant = np.concatenate([GRID, np.full((len(GRID), 1), 4)], axis=1)
    assert mig(more, with_constant, seed=0).value == pytest.approx(mig(codes, GRID, seed=0).value, abs=1e-9)
    # Completeness counts units: with more of them, the same entropy is a smaller share of the largest.
    plain, padded = dci(codes, GRID, seed=0), dci(more, with_constant, seed=0)
    c = plain["dci_completeness"].value
    assert padded["dci_completeness"].value == pytest.approx(1 - (1 - c) * np.log(2) / np.log(5), abs=0.02)
    assert mig(np.ones((len(GRID), 2)), GRID, seed=0).value == 0.0


@pytest.mark.parametrize(
    ("codes", "factors", "words"),
    [
        (np.zeros((4, 2)), np.zeros((3, 1), int), "codes"),
        (np.zeros((4, 2)), np.zeros((4, 1)), "float64"),
        (np.full((4, 2), np.nan), np.arange(4)[:, None], "NaN or infinite"),
        (np.zeros((4, 2)), np.zeros((4, 1), int), "one value only"),
    ],
)
def test_refusals(codes: np.ndarray, factors: np.ndarray, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        mig(codes, factors, seed=0)
