"""Fields that go on into a gap against conditionals of the whole covariance, and against straight lines."""

import numpy as np
import pytest

from latens.evaluation.carry import LEAST, Carry, Field, carried, filled_from_edge, noise_of

RNG = np.random.default_rng(0)
SEEN = RNG.random((5, 6)) < 0.6


def covariances(carry: Carry, shape: tuple[int, int] = (5, 6)) -> np.ndarray:
    """That of the field: the inverse of the grid's Laplacian and the pull, entry by entry."""
    height, width = shape
    precision = carry.pull * np.eye(height * width)
    for i in range(height * width):
        for j in range(height * width):
            if abs(i // width - j // width) + abs(i % width - j % width) == 1:
                precision[i, i] += 1.0
                precision[i, j] -= 1.0
    return np.linalg.inv(precision)


@pytest.mark.parametrize("carry", [Carry(0.1), Carry(1e-3), Carry(0.1, 2.0), Carry(0.01, 0.3)])
def test_a_field_is_the_conditional_of_its_covariance(carry: Carry) -> None:
    whole, at = covariances(carry), SEEN.reshape(-1)
    residual = RNG.standard_normal((3, 5, 6))
    inner = whole[np.ix_(at, at)] + carry.noise * np.eye(at.sum())
    expected = residual.reshape(3, -1)[:, at] @ np.linalg.solve(inner, whole[at])
    field = Field(SEEN, carry)
    np.testing.assert_allclose(field.mean(residual).reshape(3, -1), expected, atol=1e-8)
    hidden = np.where(SEEN, residual, np.nan)
    np.testing.assert_allclose(field.mean(hidden).reshape(3, -1), expected, atol=1e-8)  # never looked at
    left = whole - whole[:, at] @ np.linalg.solve(inner, whole[at]) + carry.noise * np.eye(30)
    drawn = field.draws(np.random.default_rng(1), 40_000).reshape(40_000, -1)
    assert np.all(drawn[:, at] == 0.0)
    gone = left[np.ix_(~at, ~at)]
    np.testing.assert_allclose(drawn[:, ~at].T @ drawn[:, ~at] / 40_000, gone, atol=0.05 * gone.max())


def test_between_two_rows_the_edge_gives_a_straight_line() -> None:
    x = np.zeros((2, 7, 4, 3))
    x[:, 0], x[:, 6] = 10.0, [40.0, 70.0, 10.0]
    seen = np.zeros(x.shape, bool)
    seen[:, [0, 6]] = True
    ramp = np.arange(7)[:, None, None] / 6.0
    expected = np.broadcast_to(10.0 + ramp * (np.array([40.0, 70.0, 10.0]) - 10.0), (7, 4, 3))
    np.testing.assert_allclose(filled_from_edge(x, seen), np.stack([expected] * 2), atol=1e-3)


def test_nothing_or_all_is_seen() -> None:
    x = RNG.standard_normal((1, 4, 4, 1))
    np.testing.assert_array_equal(filled_from_edge(x, np.ones(x.shape, bool)), x)
    np.testing.assert_array_equal(filled_from_edge(x, np.zeros(x.shape, bool)), 0.0 * x)
    np.testing.assert_array_equal(carried(x, np.ones(x.shape, bool), None), 0.0 * x)


def test_every_channel_has_its_own_mask_and_all_share_noise() -> None:
    residual, seen = RNG.standard_normal((2, 5, 6, 2)), np.ones((2, 5, 6, 2), bool)
    seen[0, ..., 0], seen[1, ..., 1] = SEEN, ~SEEN
    found = carried(residual, seen, Carry(LEAST))
    for row in range(2):
        for channel in range(2):
            alone = Field(seen[row, ..., channel], Carry(LEAST)).mean(residual[row : row + 1, ..., channel])
            np.testing.assert_allclose(found[row, ..., channel], alone[0], atol=1e-10)
    root = np.array([[2.0, 1.0], [0.0, 0.5]])
    gone = np.broadcast_to(SEEN[..., None], (1, 5, 6, 2))
    drawn = noise_of(gone, Carry(0.1), root, 20_000, [[0, 7]])[0].transpose(3, 0, 1, 2)[..., ~SEEN]
    expected = np.einsum("ab,cb->ac", root, root)
    found = np.einsum("anp,cnp->ac", drawn, drawn) / np.einsum("anp->a", drawn**2)[1] * expected[1, 1]
    np.testing.assert_allclose(found, expected, atol=0.1)
    again = noise_of(np.repeat(gone, 2, axis=0), Carry(0.1), root, 20, [[0, 3], [0, 7]])
    np.testing.assert_array_equal(again[1], noise_of(gone, Carry(0.1), root, 20, [[0, 7]])[0])
