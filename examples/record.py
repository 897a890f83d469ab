"""Steps of an environment as a table, to train a model of it.

pip install 'latens[environments]'
python examples/record.py CartPole-v1 cart.parquet --steps 10000
latens fit cart.parquet --recipe world --out runs/cart
"""

import argparse
import runpy

from latens.environments import record


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("env", help="a name in Gymnasium's registry, as gymnasium.pprint_registry() lists them")
    words.add_argument("out", help="the table, as .parquet")
    words.add_argument("--steps", type=int, default=10_000, help="resets are not counted")
    words.add_argument("--policy", metavar="FILE.py", help="has a function `policy(observation, rng)`; default: random")
    words.add_argument("--observe", type=int, nargs="+", metavar="I", help="the entries that are recorded")
    words.add_argument("--seed", type=int, default=0)
    args = words.parse_args()
    policy = runpy.run_path(args.policy)["policy"] if args.policy else None
    observe = tuple(args.observe) if args.observe else None
    made = record(args.env, steps=args.steps, policy=policy, seed=args.seed, observe=observe)
    made.write(args.out)
    episodes, ended = int(made.episode.max()) + 1, int(made.terminated.sum())
    print(f"{args.out}: {made.steps} steps of {args.env} in {episodes} episodes; the world ended {ended} of them")


if __name__ == "__main__":
    main()
