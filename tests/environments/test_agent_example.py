"""The example that trains an agent of Stable-Baselines3 inside a world; skipped where that library is not installed."""

import runpy
from pathlib import Path

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")

from linear import LinearWorld  # noqa: E402

EXAMPLE = Path(__file__).parents[2] / "examples" / "world_agent.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


def test_an_agent_learns_inside_the_model_alone_and_a_seed_repeats_it(example, monkeypatch):
    monkeypatch.setattr(gymnasium, "make", lambda *_: pytest.fail("the true environment was asked for"))
    first, again, other = (example["learned"](LinearWorld(noise=0.1), 512, seed) for seed in (3, 3, 4))
    agent, inside = first
    assert 0 < agent.num_timesteps <= 512
    assert inside.num_envs == example["COPIES"]
    assert agent.predict(np.array([0.5, 0.5], np.float32))[0] in inside.get_attr("action_space")[0]
    weights = [one[0].policy.action_net.weight.detach().numpy() for one in (first, again, other)]
    assert (weights[0] == weights[1]).all()
    assert (weights[0] != weights[2]).any()


def test_returns_are_sums_of_rewards_until_an_end(example):
    found = example["at_random"](gymnasium.make("CartPole-v1"), 40, 7)
    assert found == example["at_random"](gymnasium.make("CartPole-v1"), 40, 7)
    assert 8 <= min(found) < max(found) < 200  # 1 a step; 21 steps in the mean of random actions
    assert np.mean(found) == pytest.approx(21, abs=6)
    short = example["at_random"](gymnasium.make("CartPole-v1", max_episode_steps=5), 3, 7)
    assert short == [5.0, 5.0, 5.0]


def test_the_mean_has_its_standard_error(example, capsys):
    example["told"]("true", [1.0, 2.0, 3.0])
    assert capsys.readouterr().out == "true: mean 2.0 ± 0.6 of 3 episodes, worst 1.0\n"
