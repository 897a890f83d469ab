"""The example that looks for a policy inside a world: what its policy reads, and the two that read nothing."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BOX = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
SPACES = {
    "continuous": gymnasium.spaces.Box(-2.0, 4.0, (1,), np.float32),
    "three": gymnasium.spaces.Discrete(3, start=5),
}


STILL = lambda weights, seen, last: None  # noqa: E731


@pytest.fixture(scope="module")
def returns():
    return runpy.run_path(str(ROOT / "examples" / "world_policy.py"))["returns"]


@pytest.fixture(scope="module")
def linear():
    return runpy.run_path(str(ROOT / "examples" / "world_policy.py"))["Linear"]


def of(linear, action, **options):
    return linear(SimpleNamespace(observation_space=BOX, action_space=SPACES[action]), **options)


def test_a_policy_reads_products_after_the_numbers_and_a_one_last(linear):
    policy = of(linear, "continuous", products=True)
    seen = np.array([[2.0, 3.0]])
    # the numbers, their three products, and 1: the action is 1 + 3 tanh(said)
    for place, value in enumerate((2.0, 3.0, 4.0, 6.0, 9.0, 1.0)):
        weights = 0.1 * np.eye(policy.size)[[place]]
        assert policy(weights, seen, seen)[0, 0] == pytest.approx(1 + 3 * np.tanh(0.1 * value), abs=1e-6)
    assert policy.size == 6


def test_changes_are_ten_times_the_last_one_and_enter_the_products(linear):
    policy = of(linear, "continuous", changes=True, products=True)
    seen, last = np.array([[2.0, 3.0]]), np.array([[1.99, 3.02]])
    assert policy.size == 4 + 10 + 1
    weights = np.eye(policy.size)[[2]]
    assert policy(weights, seen, last)[0, 0] == pytest.approx(1 + 3 * np.tanh(0.1), abs=1e-6)
    weights = np.eye(policy.size)[[4 + 2]]  # the first number times its change
    assert policy(weights, seen, last)[0, 0] == pytest.approx(1 + 3 * np.tanh(0.2), abs=1e-6)


def test_without_products_a_policy_reads_what_it_read(linear):
    assert of(linear, "continuous").size == 3
    assert of(linear, "three").size == 9
    assert of(linear, "three", changes=True).size == 15


@pytest.mark.parametrize(("action", "middle"), [("continuous", [1.0]), ("three", 6)])
def test_standing_still_is_the_middle_action_and_chance_has_all_of_them(linear, action, middle):
    policy, seen = of(linear, action), np.zeros((400, 2))
    policy.space.seed(0)
    still, drawn = policy.still(None, seen, seen), policy.at_random(None, seen, seen)
    assert len(still) == len(drawn) == 400
    assert all(np.all(one == middle) and policy.space.contains(one) for one in still)
    assert all(policy.space.contains(one) for one in drawn)
    spread = {"continuous": 6 / np.sqrt(12), "three": np.sqrt(2 / 3)}[action]
    assert np.std(drawn) == pytest.approx(spread, rel=0.1)


class Ladder:
    """Copies that pay their first observation at every step; at the second, two of them end."""

    def reset(self, *, seed=None, options=None):
        starts = np.array([[100.0]]) if options is None else np.asarray(options["start"])
        self.seen = starts[np.arange(6) % len(starts)]
        return self.seen, {}

    def step(self, action):
        self.clock = getattr(self, "clock", 0) + 1
        ends = (self.clock == 2) & np.isin(np.arange(6), [3, 4])
        return self.seen, self.seen[:, 0], ends, np.zeros(6, bool), {}


def test_episodes_begin_at_the_starts_that_are_given_the_same_for_each_candidate(returns):
    assert returns(Ladder(), STILL, None, 0, 5).tolist() == [500.0, 500.0, 500.0, 200.0, 200.0, 500.0]
    begun = np.array([[1.0], [2.0], [3.0]])
    assert returns(Ladder(), STILL, None, 0, 5, begun=begun).tolist() == [5.0, 10.0, 15.0, 2.0, 4.0, 15.0]
