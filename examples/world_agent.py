"""An agent of Stable-Baselines3 that learns only inside a learned world, and what it earns in the true one.

    pip install 'latens[environments]' stable-baselines3
    python examples/record.py CartPole-v1 cart.parquet --steps 10000
    latens fit cart.parquet --recipe world --out runs/cart
    python examples/world_agent.py runs/cart

Training sees `ModelEnv` alone. The true environment is asked at the end, for the last two lines.
"""

import argparse
import tempfile

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from latens.environments import ModelEnv

COPIES, ROUND = 8, 32
"""Environments that step in turn, and steps of each between two rounds of learning."""


def learned(run, steps, seed):
    """Train an agent inside the model, and give the best of its eight stages there, with copies to judge it in."""
    inside, judge = (VecMonitor(DummyVecEnv([lambda: ModelEnv(run)] * COPIES)) for _ in range(2))
    judge.seed(1000 + seed)
    fading = lambda first: lambda left: first * left  # noqa: E731
    agent = PPO(
        "MlpPolicy", inside, n_steps=ROUND, batch_size=COPIES * ROUND, n_epochs=20, gamma=0.98, gae_lambda=0.8,
        learning_rate=fading(1e-3), clip_range=fading(0.2), seed=seed, device="cpu",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        kept = {"eval_freq": max(1, steps // (8 * COPIES)), "n_eval_episodes": COPIES, "best_model_save_path": folder}
        agent.learn(steps, EvalCallback(judge, **kept, verbose=0))
        return PPO.load(f"{folder}/best_model", device="cpu"), judge


def at_random(env, episodes, seed):
    """The returns of actions that are drawn, whatever is seen."""
    env.action_space.seed(seed)
    found = []
    for episode in range(episodes):
        env.reset(seed=seed + episode)
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total, over = total + float(reward), terminated or truncated
        found.append(total)
    return found


def told(name, returns):
    """Print the mean of some returns with its standard error."""
    error = np.std(returns, ddof=1) / np.sqrt(len(returns))
    print(f"{name}: mean {np.mean(returns):.1f} ± {error:.1f} of {len(returns)} episodes, worst {min(returns):.1f}")


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("run")
    words.add_argument("--steps", type=int, default=60_000, help="inside the model, of all copies together")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--episodes", type=int, default=100, help="of the true environment, at least 2")
    words.add_argument("--out", metavar="FILE", help="where the agent is saved, as .zip")
    args = words.parse_args()
    agent, inside = learned(args.run, args.steps, args.seed)
    if args.out:
        agent.save(args.out)
    told("inside", evaluate_policy(agent, inside, n_eval_episodes=2 * COPIES, return_episode_rewards=True)[0])
    world = inside.get_attr("world")[0]
    true = gymnasium.make(world.env)
    if world.observed is not None:
        shown = list(world.observed)
        box = gymnasium.spaces.Box(true.observation_space.low[shown], true.observation_space.high[shown])
        true = gymnasium.wrappers.TransformObservation(true, lambda seen: seen[shown], box)
    true = VecMonitor(DummyVecEnv([lambda: true]))
    true.seed(10_000 + args.seed)
    told("true", evaluate_policy(agent, true, n_eval_episodes=args.episodes, return_episode_rewards=True)[0])
    told("at random", at_random(gymnasium.make(world.env), args.episodes, 20_000 + args.seed))


if __name__ == "__main__":
    main()
