"""Models as environments of Gymnasium: every number of a world that is written by hand."""

import contextlib
import warnings

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from linear import WORLD, LinearWorld  # noqa: E402
from msgspec.structs import replace  # noqa: E402

from latens.environments import ModelEnv, ModelVectorEnv  # noqa: E402
from latens.errors import UsageError  # noqa: E402
from latens.kinds.steps.world import Space  # noqa: E402


def test_steps_follow_the_world_and_the_clock_truncates():
    env = ModelEnv(LinearWorld())
    seen, info = env.reset(seed=1, options={"start": [[1.0, 2.0]]})
    assert seen.tolist() == [1.0, 2.0]
    assert info == {}
    expected = np.array([1.0, 2.0])
    for t in range(6):
        seen, reward, terminated, truncated, info = env.step(np.array([0.5]))
        expected = 0.5 * expected + [0.5, 0.0]
        np.testing.assert_allclose(seen, expected, rtol=1e-6)
        assert reward == pytest.approx(-(expected**2).sum(), rel=1e-6)
        assert (terminated, truncated) == (False, t == 5)
    assert info == {}


def test_an_end_of_the_world_is_terminated_and_not_truncated():
    env = ModelEnv(LinearWorld(), horizon=1)
    env.reset(options={"start": [1.0, 0.0]})
    assert env.step([3.0])[2:4] == (True, False)
    env.reset(options={"start": [1.0, 0.0]})
    assert env.step([0.0])[2:4] == (False, True)


@pytest.mark.parametrize("limit", [1e-3, 0.7, 3e4])
def test_an_action_may_be_the_nearest_number_to_its_limit(limit):
    """In single precision it lies a little beyond; what is further away is refused."""
    world = replace(WORLD, action=Space("box", (1,), low=(-limit,), high=(limit,)))
    env = ModelEnv(LinearWorld(world=world))
    env.reset(seed=0)
    for share, fine in ((1 - 1e-3, True), (1.0, True), (1 + 1e-7, True), (1 + 1e-2, False)):
        for action in (limit * share, -limit * share):
            if fine or limit * share > limit + 1e-6:
                with contextlib.nullcontext() if fine else pytest.raises(UsageError, match="is not in Box"):
                    env.step([action])


def test_gymnasium_finds_nothing_wrong():
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on ranges
        check_env(ModelEnv(LinearWorld(noise=0.1)), skip_render_check=True)


def test_copies_are_reset_by_the_step_after_their_end():
    env = ModelVectorEnv(LinearWorld(), 3)
    assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.NEXT_STEP
    seen, _ = env.reset(seed=0, options={"start": [[0.0, 1.0], [1.0, 1.0]]})
    assert seen.tolist() == [[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]]
    seen, reward, terminated, truncated, _ = env.step(np.array([[0.0], [2.0], [0.0]]))
    assert terminated.tolist() == [False, True, False]
    assert seen[1].tolist() == [2.5, 0.5]  # the observation at the end is kept
    seen, reward, terminated, truncated, _ = env.step(np.array([[0.0], [2.0], [0.0]]))
    assert reward[1] == 0.0
    assert not terminated.any()
    assert abs(seen[1]).max() < 1  # begun anew, whatever the action
    assert seen[0].tolist() == [0.0, 0.25]
    for _ in range(4):
        *_, truncated, _ = env.step(np.zeros((3, 1)))
    assert truncated.tolist() == [True, False, True]  # the second began a step later


def test_one_seed_gives_one_episode_and_copies_differ():
    episodes = []
    for seed in (3, 3, 4):
        env = ModelVectorEnv(LinearWorld(noise=1.0), 2)
        seen, _ = env.reset(seed=seed)
        episodes.append(np.array([seen, *(env.step(np.zeros((2, 1)))[0] for _ in range(3))]))
    assert (episodes[0] == episodes[1]).all()
    assert (episodes[0] != episodes[2]).all()
    assert (episodes[0][:, 0] != episodes[0][:, 1]).all()
    assert (np.diff(episodes[0], axis=0) != 0).all()


def test_what_is_seen_lies_in_its_space():
    world = replace(WORLD, observation=replace(WORLD.observation, low=(-1.0, None), high=(1.0, None)))
    env = ModelEnv(LinearWorld(world=world))
    env.reset(options={"start": [0.0, 80.0]})
    seen = env.step([1.9])[0]
    assert seen.tolist() == [1.0, 40.0]
    assert seen in env.observation_space


def test_discrete_actions_begin_where_their_space_does():
    world = replace(WORLD, action=Space("discrete", n=2, start=5, dtype="int64"))
    env = ModelEnv(LinearWorld(world=world))
    env.reset(options={"start": [0.0, 0.0]})
    assert env.step(6)[0].tolist() == [1.0, 0.0]
    assert env.step(np.int64(5))[0].tolist() == [0.5, 0.0]
    for action in (4, 7, 5.5, None, "left", [5, 6]):
        with pytest.raises(UsageError, match="action"):
            env.step(action)


@pytest.mark.parametrize("action", [[3.1], [np.nan], [np.inf], [1.0, 2.0], []])
def test_actions_outside_the_space_are_refused(action):
    env = ModelEnv(LinearWorld())
    env.reset()
    with pytest.raises(UsageError, match=r"action.*Box\(-3\.0, 3\.0"):
        env.step(action)


def test_what_cannot_be_an_environment_is_refused():
    with pytest.raises(UsageError, match=r"its recipe is .*latens.environments.record"):
        ModelEnv("pretrained:digits-2d")
    for options in ({"horizon": 0}, {"horizon": -2}):
        with pytest.raises(UsageError):
            ModelEnv(LinearWorld(), **options)
    with pytest.raises(UsageError, match="num_envs"):
        ModelVectorEnv(LinearWorld(), 0)
    env = ModelEnv(LinearWorld())
    for options in ({"begin": 1}, {"start": [1.0]}, {"start": [np.nan, 0.0]}, {"start": "here"}):
        with pytest.raises(UsageError, match="options"):
            env.reset(options=options)
    with pytest.raises(UsageError, match="never ends"):
        ModelEnv(LinearWorld(world=replace(WORLD, limit=None, ends=False)))
