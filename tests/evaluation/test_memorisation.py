"""Copies of training rows and dropped modes: by hand, under the null hypothesis, and planted."""

import numpy as np
import pytest

from latens.evaluation import dropped_modes, memorisation


def test_by_hand():
    train, held_out, samples = np.array([0.0, 10.0]), np.array([1.0, 7.0]), np.array([0.5, 11.0, 7.2])
    found = memorisation(samples, train, held_out)
    # Distances to training rows: samples 0.5, 1, 2.8; held-out rows 1, 3. Nearer: 2, 1.5, 1 of 2.
    assert found["memorisation"].value == pytest.approx(4.5 / 6)
    # Nearest of all four rows: 0.5 ties 0 and 1, 11 -> 10, 7.2 -> 7.
    assert found["copied_share"].value in (pytest.approx((1 / 3 - 0.5) / 0.5), pytest.approx((2 / 3 - 0.5) / 0.5))


def test_copies_are_found():
    rng = np.random.default_rng(0)
    train, held_out = rng.normal(size=(300, 4)), rng.normal(size=(100, 4))
    copies = train[rng.integers(300, size=200)] + 1e-3 * rng.normal(size=(200, 4))
    found = {name: estimate.value for name, estimate in memorisation(copies, train, held_out).items()}
    expected = {"memorisation": 1.0, "memorisation_p_value": 0.001, "copied_share": 1.0, "copied_share_p_value": 0.001}
    assert found == pytest.approx(expected)
    half = np.concatenate([copies[:100], rng.normal(size=(100, 4))])
    share = memorisation(half, train, held_out)["copied_share"]
    assert abs(share.value - 0.5) < 5 * share.standard_error


def test_blurred_samples_are_not_called_copies():
    """Samples near the mean are nearer to every row than rows are to each other, but to no kind of rows more."""
    rng = np.random.default_rng(1)
    train, held_out = rng.normal(size=(300, 10)), rng.normal(size=(300, 10))
    found = memorisation(0.3 * rng.normal(size=(300, 10)), train, held_out)
    assert found["memorisation"].value > 0.9
    assert found["memorisation_p_value"].value == 0.001
    assert found["copied_share_p_value"].value > 0.01


def test_p_values_hold_what_they_promise():
    rng = np.random.default_rng(2)
    p_values = []
    for seed in range(300):
        found = memorisation(rng.normal(size=(15, 2)), rng.normal(size=(20, 2)), rng.normal(size=(12, 2)),
                             permutations=39, seed=seed)  # fmt: skip
        p_values.append([found[name].value for name in ("memorisation_p_value", "copied_share_p_value")])
    for level in (0.05, 0.25, 0.5):
        share = np.mean(np.array(p_values) <= level, axis=0)
        deviation = 5 * np.sqrt(level * (1 - level) / 300)
        assert np.all(share < level + deviation)
        assert share[0] > level - deviation  # distances have no ties, so the first test is exact


def test_the_standard_error_is_that_of_repetition():
    rng = np.random.default_rng(3)
    train = rng.normal(size=(50, 2))
    found = [
        memorisation(rng.normal(size=(40, 2)), train, 1.5 * rng.normal(size=(40, 2)), permutations=1)["memorisation"]
        for _ in range(200)
    ]
    stated = np.sqrt(np.mean([e.standard_error**2 for e in found]))
    assert stated == pytest.approx(np.std([e.value for e in found], ddof=1), rel=0.25)  # 5 errors of a spread of 200


def with_a_far_kind(n, share, rng, w):
    """Correlated rows, of which a share lies ten standard deviations away."""
    rows = 0.7 * rng.normal(size=(n, 3)) @ w + 0.5 * rng.normal(size=(n, 8))
    away = np.linalg.norm(w[:, 0]) * 0.7 + 0.5
    rows[rng.random(n) < share] += 10.0 * away
    return rows


def far_kind(share, seed):
    """The dropped share where a far kind is never sampled, and where it is."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(3, 8))
    train = with_a_far_kind(1500, share, rng, w)
    samples = (with_a_far_kind(1000, part, rng, w) for part in (0.0, share))
    return [dropped_modes(train, each, seed=seed).estimate.value for each in samples]


@pytest.mark.parametrize("share", [0.2, 0.05])
def test_a_far_kind_that_is_never_sampled_is_found(share):
    found, healthy = far_kind(share, 0)
    assert abs(found - share) < 5 * np.sqrt(share * (1 - share) / 1500)
    assert healthy == 0.0


@pytest.mark.long
@pytest.mark.parametrize("share", [0.3, 0.2, 0.1, 0.05, 0.04])
def test_a_far_kind_is_found_for_every_seed(share):
    found = np.array([far_kind(share, seed) for seed in range(8)])
    assert np.all(np.abs(found[:, 0] - share) < 5 * np.sqrt(share * (1 - share) / 1500))
    assert np.all(found[:, 1] == 0.0)


def test_a_far_kind_of_one_row_in_a_hundred_is_too_small():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 8))
    train, samples = with_a_far_kind(1500, 0.01, rng, w), with_a_far_kind(1000, 0.0, rng, w)
    assert dropped_modes(train, samples).estimate.value == 0.0


def test_dropped_modes_are_counted():
    rng = np.random.default_rng(4)
    share = np.array([0.4, 0.3, 0.2, 0.1])

    def rows(counts):
        return np.concatenate([100 * i + rng.normal(size=(count, 2)) for i, count in enumerate(counts)])

    train = rows((400, 300, 200, 100))
    found = dropped_modes(train, rows((500, 400, 0, 100)), num_clusters=4)
    assert found.estimate.value == pytest.approx(0.2)
    assert sorted(found.share.tolist()) == pytest.approx(sorted(share))
    assert found.sampled[found.dropped].tolist() == [0.0]
    assert dropped_modes(train, rows((680, 200, 90, 30)), num_clusters=4).estimate.value == 0.0  # rare is not dropped
    scattered = np.concatenate([rows((400, 300, 200)), 300 + 9 * rng.normal(size=(100, 2))])
    assert dropped_modes(scattered, rows((500, 300, 200)), num_clusters=4).estimate.value == 0.0  # a tail, not a kind
    # Of 20 samples two are expected in the smallest cluster: none is no proof.
    assert dropped_modes(train, rows((10, 6, 4, 0)), num_clusters=4).estimate.value == 0.0
