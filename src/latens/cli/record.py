"""`latens record`: steps of an environment as a table that `latens fit --recipe world` reads."""

import shlex
from pathlib import Path

from latens.cli.context import Context
from latens.errors import UsageError


def record(context: Context) -> int:
    """Play an environment and write what it did."""
    args = context.args
    if not args.out:
        fix = "Add --out FILE.parquet."
        raise UsageError("is missing: it says where the recording goes.", where="--out", fix=fix)
    import numpy as np

    from latens.worlds.record import check_path
    from latens.worlds.record import record as played

    path = check_path(args.out)
    observe = None if args.observe is None else tuple(args.observe)
    found = played(args.env, steps=args.steps, policy=args.policy, seed=args.seed, observe=observe)
    found.write(path)
    episodes, ended = int(found.episode.max()) + 1, int(found.terminated.sum())
    lengths = found.t[np.append(found.t[1:] == 0, True)].tolist()  # of every episode its last number
    following = f"latens fit {shlex.quote(args.out)} --recipe world --out {shlex.quote(f'runs/{Path(args.out).stem}')}"
    value = {
        "out": args.out, "env": args.env, "steps": found.steps, "episodes": episodes, "terminated": ended,
        "mean_steps": found.steps / episodes, "most_steps": max(lengths), "next": following,
    }  # fmt: skip
    text = (
        f"{args.out}: {found.steps} steps of {args.env} in {episodes} episodes of {min(lengths)} to {max(lengths)} "
        f"steps (mean {found.steps / episodes:.1f}), {ended} of which the world ended\nnext: {following}"
    )
    context.done(value, text)
    if not ended and found.world.limit is None:
        context.warn("no episode ended, and the environment has no limit of steps: `ModelEnv` needs a horizon.")
    return 0
