"""A policy found only inside a learned world, by the cross-entropy method, and what it earns in the true one.

    python examples/record.py CartPole-v1 cart.parquet --steps 10000
    latens fit cart.parquet --recipe world --out runs/cart
    python examples/world_policy.py runs/cart

The true environment is not touched before the last three lines.
"""

import argparse

import gymnasium
import numpy as np
import pandas

from latens.environments import ModelVectorEnv


class Linear:
    """Actions from one matrix: of the observation, its products, and its last change where something is hidden."""

    def __init__(self, env, changes=False, products=False):
        space = env.single_action_space if hasattr(env, "single_action_space") else env.action_space
        seen = (
            env.single_observation_space if hasattr(env, "single_observation_space") else env.observation_space
        ).shape[0]
        self.space, self.discrete, self.changes = space, hasattr(space, "n"), changes
        self.outputs = (1 if space.n == 2 else space.n) if self.discrete else space.shape[0]
        numbers = seen * (2 if changes else 1)
        self.pairs = np.triu_indices(numbers) if products else ([], [])
        self.inputs = numbers + len(self.pairs[0]) + 1
        self.size = self.inputs * self.outputs

    def at_random(self, weights, seen, last):
        """An action of the space at random, whatever is seen."""
        return np.stack([self.space.sample() for _ in seen])

    def still(self, weights, seen, last):
        """The action in the middle of the space, whatever is seen."""
        middle = self.space.start + self.space.n // 2 if self.discrete else (self.space.high + self.space.low) / 2
        return np.stack([np.asarray(middle, self.space.dtype)] * len(seen))

    def __call__(self, weights, seen, last):
        read = np.concatenate([seen, 10 * (seen - last)], axis=1) if self.changes else seen
        products = read[:, self.pairs[0]] * read[:, self.pairs[1]]
        read = np.concatenate([read, products, np.ones((len(seen), 1))], axis=1)
        said = np.einsum("ni,nio->no", read, weights.reshape(len(seen), self.inputs, self.outputs))
        if self.discrete:
            chosen = said[:, 0] > 0 if self.outputs == 1 else said.argmax(1)
            return self.space.start + chosen.astype(int)
        middle, reach = (self.space.high + self.space.low) / 2, (self.space.high - self.space.low) / 2
        return (middle + reach * np.tanh(said)).astype(self.space.dtype)


def returns(env, policy, weights, seed, horizon, begun=None):
    """The return of one episode in every copy, begun at some observations in turn, or as the environment draws them."""
    seen, _ = env.reset(seed=seed) if begun is None else env.reset(seed=seed, options={"start": begun})
    last, total, alive = seen, np.zeros(len(seen)), np.ones(len(seen), bool)
    for _ in range(horizon):
        action = policy(weights, seen, last)
        last = seen
        seen, reward, terminated, truncated, _ = env.step(action)
        total += reward * alive
        alive &= ~(terminated | truncated)
        if not alive.any():
            break
    return total


def search(env, policy, *, rounds=12, candidates=48, starts=16, horizon=500, seed=0, known=None):
    """The cross-entropy method: draw candidates, keep the best eighth, draw around these."""
    rng = np.random.default_rng(seed)
    mean, spread = np.zeros(policy.size), np.ones(policy.size)
    for turn in range(rounds):
        drawn = mean + spread * rng.normal(size=(candidates, policy.size))
        begun = None if known is None else known[rng.integers(len(known), size=starts)]  # the same for each candidate
        draw = int(rng.integers(2**31))
        earned = returns(env, policy, np.repeat(drawn, starts, 0), draw, horizon, begun)
        earned = earned.reshape(candidates, starts).mean(1)
        best = drawn[np.argsort(-earned)[: candidates // 8]]
        mean, spread = best.mean(0), best.std(0) + 0.02
        print(f"round {turn + 1}: best {earned.max():.1f}, mean {earned.mean():.1f} inside")
    return mean


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("run")
    words.add_argument("--rounds", type=int, default=12)
    words.add_argument("--changes", action="store_true", help="the policy also sees the last change of the observation")
    words.add_argument("--products", action="store_true", help="the policy also sees products of two numbers")
    words.add_argument("--recording", metavar="FILE", help="how episodes begin")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--episodes", type=int, default=100, help="of the true environment")
    args = words.parse_args()
    inside = ModelVectorEnv(args.run, 48 * 16)
    policy, horizon = Linear(inside, args.changes, args.products), inside.world.limit or 500
    known = None
    if args.recording:
        rows = pandas.read_parquet(args.recording)
        known = np.asarray(rows.loc[rows["t"] == 0, inside.world.observations])
    found = search(inside, policy, known=known, rounds=args.rounds, horizon=horizon, seed=args.seed)
    several = np.repeat(found[None], 48 * 16, 0)
    print(f"inside: {returns(inside, policy, several, args.seed + 1, horizon, begun=known).mean():.1f}")
    true = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(inside.world.env)] * args.episodes)
    if inside.world.observed is not None:
        true = Some(true, list(inside.world.observed))
    policy.space.seed(args.seed)
    for name, acts in (("true", policy), ("at random", policy.at_random), ("standing still", policy.still)):
        earned = returns(true, acts, np.repeat(found[None], args.episodes, 0), 10_000 + args.seed, horizon)
        print(f"{name}: mean {earned.mean():.1f} of {args.episodes} episodes, worst {earned.min():.1f}")


class Some:
    """Copies of the true environment that show some entries of the observation alone."""

    def __init__(self, env, entries):
        self.env, self.entries = env, entries

    def reset(self, **options):
        seen, info = self.env.reset(**options)
        return seen[:, self.entries], info

    def step(self, action):
        seen, *others = self.env.step(action)
        return seen[:, self.entries], *others


if __name__ == "__main__":
    main()
