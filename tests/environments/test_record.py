"""Recordings: what is a transition and what a reset, by an environment that counts."""

import subprocess
import sys

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from paths import ROOT  # noqa: E402

from latens.environments import record  # noqa: E402
from latens.environments.record import space_of  # noqa: E402
from latens.errors import DataError, UsageError  # noqa: E402
from latens.kinds.steps.world import World, recorded, world_of  # noqa: E402


class Counting(gymnasium.Env):
    """Counts its steps from 0; the world ends at `last`, the clock at `limit`; pays the action."""

    observation_space = gymnasium.spaces.Box(0.0, 100.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3, start=1)

    def __init__(self, last=3, limit=100):
        self.last, self.limit, self.at = last, limit, 0

    def seen(self):
        return np.array([self.at, 10 * self.at], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.seen(), {}

    def step(self, action):
        self.at += 1
        return self.seen(), float(action), self.at == self.last, self.at == self.limit, {}


@pytest.mark.parametrize(("last", "limit"), [(3, 100), (100, 2)])
def test_a_reset_is_no_transition(last, limit):
    made = record(Counting(last, limit), steps=13, policy=lambda seen, rng: 1 + int(seen[0]) % 3, seed=0)
    assert made.steps == 13
    assert (made.observation[:, 0] == made.t).all()  # a jump back would be a reset that was taken for a step
    assert (made.observation[:, 1] == 10 * made.t).all()
    lengths = np.bincount(made.episode) - 1
    assert set(lengths[:-1]) == {min(last, limit)}
    assert made.terminated.sum() == (made.t == 3).sum()  # the clock's end is none of the world
    assert (made.terminated == (made.t == 3)).all()
    assert np.isnan(made.action[made.t == 0]).all()
    assert np.isnan(made.reward[made.t == 0]).all()
    assert (made.action[made.t > 0, 0] == made.t[made.t > 0]).all()  # the action taken before: 1 at 0, 2 at 1, 3 at 2
    assert (made.reward[made.t > 0] == made.action[made.t > 0, 0]).all()


def test_a_recording_is_a_table_with_its_environment(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    made = record(Counting(), steps=7, seed=1, observe=(1,))
    assert made.world == World(
        "", None, space_of(gymnasium.spaces.Box(0.0, 100.0, (1,), np.float32), ""), space_of(Counting.action_space, ""),
        (1,), True,
    )  # fmt: skip
    made.write(tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["episode", "t", "action_in", "observation_0", "reward", "terminated"]
    assert table["observation_0"].to_pylist() == [0, 10, 20, 30, 0, 10, 20, 30, 0, 10]
    assert table["action_in"].null_count == 3
    assert recorded(tmp_path / "a.parquet") == made.world
    with pytest.raises(DataError, match=r"damaged.*latens.environments.record"):
        world_of({"latens.world": '{"env": 1}'}, "a")


def test_one_seed_gives_one_recording():
    first, again, other = (record("CartPole-v1", steps=50, seed=seed) for seed in (0, 0, 1))
    for name in ("observation", "action", "reward", "terminated", "episode"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.world.limit == 500
    assert (first.observation[0] != other.observation[0]).all()


def test_discrete_observations_are_columns():
    made = record("FrozenLake-v1", steps=10, seed=0)
    assert made.observation.shape[1] == 16
    assert (made.observation.sum(1) == 1).all()
    assert made.observation[0, 0] == 1
    assert made.world.observations[15] == "observation_15"


def test_what_cannot_be_recorded_is_refused():
    with pytest.raises(UsageError, match="Did you mean 'CartPole-v1'"):
        record("CartPole-v9", steps=5)
    for space, name in (
        (gymnasium.spaces.Dict({}), "Dict"),
        (gymnasium.spaces.Text(5), "Text"),
        (gymnasium.spaces.Graph(gymnasium.spaces.Box(0, 1), None), "Graph"),
        (gymnasium.spaces.Tuple([]), "Tuple"),
    ):
        with pytest.raises(DataError, match=name):
            space_of(space, "observations")
    with pytest.raises(DataError, match="ResizeObservation"):
        space_of(gymnasium.spaces.Box(0, 255, (96, 96, 3), np.uint8), "observations")
    with pytest.raises(DataError, match="more than 256"):
        space_of(gymnasium.spaces.Discrete(500), "observations")
    for steps in (0, -1):
        with pytest.raises(UsageError, match="steps"):
            record(Counting(), steps=steps)
    for action in (0, 4, "left", [1, 2], np.nan):
        with pytest.raises((DataError, UsageError), match="policy"):
            record(Counting(), steps=5, policy=lambda seen, rng, action=action: action)
    with pytest.raises(UsageError, match="observe"):
        record(Counting(), steps=5, observe=(0, 0))


def test_the_example_writes_a_table_of_a_policy(tmp_path):
    policy, out = tmp_path / "p.py", tmp_path / "c.parquet"
    policy.write_text("def policy(seen, rng):\n    return int(seen[2] > 0)\n")
    words = [sys.executable, ROOT / "examples" / "record.py", "CartPole-v1", out, "--steps", "30", "--policy", policy]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{out}: 30 steps of CartPole-v1 in ")
    made = record("CartPole-v1", steps=30, policy=lambda seen, rng: int(seen[2] > 0))
    assert recorded(out) == made.world
    with pytest.raises(UsageError, match=r"does not end in .parquet"):
        made.write(tmp_path / "c.csv")
