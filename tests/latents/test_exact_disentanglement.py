"""Scores of factors on a grid of four cells, of numbers by hand."""

import numpy as np
import pytest

from latens.latents.disentanglement import factor_vae_score, sap

FACTORS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 25)


@pytest.mark.parametrize(
    ("codes", "score"),
    [
        (FACTORS, 1.0),  # each factor has a unit of its own: squared correlations 1 and 0
        (FACTORS[:, :1], 0.5),  # the only unit has factor 0 alone: gaps 1 and 0
        (FACTORS[:, [0, 0]], 0.0),  # two units that say the same: gaps 0 and 0
        (np.stack([FACTORS[:, 0], FACTORS.sum(1)], axis=1), 0.5),  # r^2 of (1, 1/2) and of (0, 1/2): gaps 1/2 and 1/2
        (np.stack([FACTORS.sum(1), FACTORS[:, 0]], axis=1), 0.5),
        (np.stack([-3.0 * FACTORS[:, 0] + 7.0, FACTORS.sum(1) / 9.0], axis=1), 0.5),
    ],
)
def test_the_gap_of_squared_correlations(codes: np.ndarray, score: float) -> None:
    assert sap(codes.astype(float), FACTORS, seed=0).value == pytest.approx(score, abs=1e-9)


def test_the_scale_of_a_unit_does_not_vote() -> None:
    noise = np.random.default_rng(0).normal(size=(400, 2))
    factors = np.tile(FACTORS, (4, 1))
    codes = (factors + 0.05 * noise) * [1.0, 0.1]  # both above the threshold of live units
    assert factor_vae_score(codes, factors, seed=0).value == pytest.approx(1.0)
