"""Record what an environment does as a long table: a row for every state that was arrived at."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Shaped
from msgspec import structs

from latens.data.raw import needed
from latens.errors import DataError, UsageError, nearest
from latens.kinds.steps.world import EPISODE, KEY, REWARD, TERMINATED, TIME, Space, World, box

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.vector import VectorEnv

ENVIRONMENTS = 8
"""How many copies of the environment step together, at the most: fewer where episodes would not fit into the steps."""
MOST_STEPS = 10**8
_PIXELS = 64
"""The longest side of observations that are pictures."""
_MOST = 256
"""Discrete observations at the most: each is a column of its own."""

Policy = Callable[[np.ndarray, np.random.Generator], Any]
"""From one observation and a generator to an action."""


def needed_gymnasium() -> Any:
    """The package gymnasium, or an error that names the extra."""
    return needed("gymnasium", "Environments", "gymnasium", "Install latens[worlds].")


class Recording(NamedTuple):
    """Steps of an environment, led by the rows; a row is a state as it was arrived at."""

    world: World
    episode: Shaped[np.ndarray, " n"]
    t: Shaped[np.ndarray, " n"]
    action: Shaped[np.ndarray, "n a"]
    observation: Shaped[np.ndarray, "n d"]
    reward: Shaped[np.ndarray, " n"]
    terminated: Shaped[np.ndarray, " n"]

    @property
    def steps(self) -> int:
        """How many transitions there are."""
        return int((self.t > 0).sum())

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of the table by name."""
        found = {EPISODE: self.episode, TIME: self.t}
        found |= dict(zip(self.world.actions, self.action.T))
        found |= dict(zip(self.world.observations, self.observation.T))
        return found | {REWARD: self.reward, TERMINATED: self.terminated}

    def write(self, path: str | Path) -> None:
        """Write the table as Parquet, whole or not at all, with the environment in the file's metadata."""
        from latens.io.atomic import as_path, write_atomic

        path = check_path(path)
        table = pl.DataFrame([pl.Series(name, column, nan_to_null=True) for name, column in self.columns().items()])
        stream = io.BytesIO()
        table.write_parquet(stream, metadata={KEY: self.world.encoded()})
        write_atomic(as_path(path), stream.getvalue())


def check_path(path: str | Path) -> Path:
    """Refuse a name of another ending: only Parquet says the spaces beside the rows."""
    from latens.io.atomic import as_path

    if Path(path).suffix.lower() != ".parquet":
        fix = "Give a name that ends in .parquet."
        raise UsageError(f"{str(path)!r} does not end in .parquet.", where="path", fix=fix)
    return as_path(path)


def space_of(space: Any, what: str) -> Space:
    """Say what a space of Gymnasium holds; others than boxes and discrete ones are refused by name."""
    name, fix = type(space).__name__, "Use an environment or a wrapper whose spaces are Box or Discrete."
    if name == "Discrete":
        if what == "observations" and space.n > _MOST:
            fix = "Use an environment or a wrapper with fewer, or with a box."
            raise DataError(f"{space.n} observations are more than {_MOST}.", where=what, fix=fix)
        return Space("discrete", n=int(space.n), start=int(space.start), dtype="int64")
    if name != "Box":
        raise DataError(f"{what} are of a {name} space.", where=what, fix=fix)
    if len(space.shape) > 1 and max(space.shape) > _PIXELS:
        fix = f"Wrap it: gymnasium.wrappers.ResizeObservation(env, ({_PIXELS}, {_PIXELS}))."
        raise DataError(f"{what} are of shape {space.shape}, above {_PIXELS} pixels a side.", where=what, fix=fix)
    return box(space.low, space.high, str(space.dtype))


def make(env: str, num: int = 1) -> "VectorEnv":
    """Make copies of an environment by its name, or say which name is near."""
    gym = needed_gymnasium()
    if "/" not in env and ":" not in env and env not in gym.registry:
        names = [name for name in gym.registry if "/" not in name]
        raise UsageError(f"there is no environment {env!r}.", where="env", fix=nearest(env, names))
    try:
        return gym.vector.SyncVectorEnv([lambda: gym.make(env)] * num)
    except (gym.error.Error, ImportError, AttributeError, TypeError) as error:
        what = f"Gymnasium cannot make {env!r}: {str(error).splitlines()[0][:200].rstrip('.')}."
        raise UsageError(what, where="env", fix="Install what it needs, or name another one.") from None


def record(
    env: "str | VectorEnv | gymnasium.Env",
    *,
    steps: int,
    policy: Policy | None = None,
    seed: int = 0,
    observe: tuple[int, ...] | None = None,
) -> Recording:
    """Record steps of an environment.

    The step that follows an end under Gymnasium's automatic reset is a reset and not a transition: it begins an
    episode. The observation at an end is kept.

    Args:
        env: A name in Gymnasium's registry, of which 8 copies step together; or an environment, also of several copies.
        steps: How many transitions; resets are not counted.
        policy: A function from an observation and a `numpy.random.Generator` to an action; None for random actions.
        seed: Of the environments, the actions and the generator.
        observe: Which entries of flat observations are recorded; None for all. The policy sees all.

    Returns:
        The recording; `write` makes it a Parquet file that `latens fit FILE --recipe world` reads.

    Raises:
        UsageError: No such environment; steps that are not a whole number from 1 on.
        DataError: Spaces other than boxes and discrete ones; gymnasium is not installed; a policy gives an action
            outside its space.
    """
    if not isinstance(steps, int | np.integer) or not 1 <= steps <= MOST_STEPS:
        raise UsageError(f"{steps!r} is not within 1 and {MOST_STEPS}.", where="steps", fix="Give a whole number.")
    gym = needed_gymnasium()
    made = isinstance(env, str)
    if isinstance(env, str):
        limit = gym.registry[env].max_episode_steps if env in gym.registry else None
        vector: Any = make(env, min(ENVIRONMENTS, max(1, steps // (limit or 1))))
    elif isinstance(env, gym.vector.VectorEnv):
        vector = env
    else:
        one = env
        vector = gym.vector.SyncVectorEnv([lambda: one])
    try:
        world = _world(vector, observe)
        return _played(vector, world, int(steps), policy, seed)
    finally:
        if made:
            vector.close()


def _world(vector: Any, observe: tuple[int, ...] | None) -> World:
    seen = space_of(vector.single_observation_space, "observations")
    action = space_of(vector.single_action_space, "actions")
    spec = vector.spec or getattr(vector.envs[0] if hasattr(vector, "envs") else None, "spec", None)
    name, limit = (spec.id, spec.max_episode_steps) if spec is not None else ("", None)
    if observe is not None:
        if seen.kind != "box" or len(seen.shape) != 1:
            fix = "Leave it out."
            raise UsageError(f"observations of shape {seen.shape} are recorded whole.", where="observe", fix=fix)
        strange = [i for i in observe if not 0 <= i < seen.size]
        if strange or len(set(observe)) != len(observe) or not observe:
            fix = f"Give different numbers within 0 and {seen.size - 1}."
            raise UsageError(f"{list(observe)} are not entries of an observation.", where="observe", fix=fix)
        low, high = (limit[list(observe)] for limit in seen.limits())
        seen = box(low, high, seen.dtype)
    return World(name, limit, seen, action, observe)


def _played(vector: Any, world: World, steps: int, act: Policy | None, seed: int) -> Recording:
    """Step all copies until there are enough transitions; the last round is cut."""
    mode = str(getattr(vector.metadata.get("autoreset_mode"), "value", ""))
    if mode not in ("NextStep", "SameStep"):
        fix = "Use autoreset_mode=AutoresetMode.NEXT_STEP or SAME_STEP."
        raise DataError(f"copies with autoreset mode {mode or 'unknown'} are not recorded.", where="env", fix=fix)
    rng = np.random.default_rng(seed)
    vector.action_space.seed(seed)
    seen, _ = vector.reset(seed=seed)
    copies, size = vector.num_envs, world.action.size
    pick = slice(None) if world.observed is None else list(world.observed)
    flat = lambda array: np.array(array).reshape(copies, -1)  # noqa: E731
    shown = lambda array: world.observation.coded(np.array(array).reshape(len(array), -1))[:, pick]  # noqa: E731
    episodes, following = np.arange(copies), copies
    clock, ended, count = np.zeros(copies, np.int64), np.zeros(copies, bool), 0
    rows: list[tuple[np.ndarray, ...]] = [
        (episodes.copy(), clock.copy(), np.full((copies, size), np.nan), shown(seen),
         np.full(copies, np.nan), np.zeros(copies, bool))
    ]  # fmt: skip
    blank = np.full((copies, size), np.nan)
    while count < steps:
        actions = vector.action_space.sample() if act is None else _actions(act, seen, rng, vector)
        seen, reward, terminated, truncated, info = vector.step(actions)
        step = ~ended  # under NextStep a copy that had ended was reset, whatever the action
        if (excess := count + int(step.sum()) - steps) > 0:
            step[np.flatnonzero(step)[-excess:]] = False
        count += int(step.sum())
        arrived = np.array(seen)
        done = terminated | truncated
        if mode == "SameStep" and done.any():
            for i in np.flatnonzero(done):
                arrived[i] = info["final_obs"][i]
        clock[step] += 1
        each = (flat(actions).astype(np.float64), shown(arrived), np.array(reward, np.float64), terminated)
        rows.append(tuple(np.array(part)[step] for part in (episodes, clock, *each)))
        begun = done if mode == "SameStep" else ended
        if begun.any():
            clock[begun] = 0
            episodes[begun] = following + np.arange(begun.sum())
            following += int(begun.sum())
            gone = np.full(int(begun.sum()), np.nan)
            rows.append((episodes[begun], clock[begun], blank[begun], shown(seen[begun]), gone, gone == 0))
        ended = done & (mode == "NextStep")
    episode, t, *others = (np.concatenate(parts) for parts in zip(*rows))
    order = np.lexsort((t, episode))
    lengths = np.bincount(episode)
    order = order[lengths[episode[order]] > 1]  # an episode that only began has no transition
    episode = np.unique(episode[order], return_inverse=True)[1]
    made = Recording(world, episode, t[order], *(part[order] for part in others))
    return made._replace(world=structs.replace(world, ends=bool(made.terminated.any())))


def _actions(act: Policy, seen: np.ndarray, rng: np.random.Generator, vector: Any) -> np.ndarray:
    """The action of the policy for every copy, each within its space."""
    space = vector.single_action_space
    made = [act(one, rng) for one in seen]
    for action in made:
        plain = np.asarray(action)
        fine = plain.dtype.kind in "biuf" and plain.shape == (space.shape or ()) and bool(np.isfinite(plain).all())
        typed = plain.astype(space.dtype) if fine else plain
        whole = fine and (space.dtype.kind == "f" or bool((typed == plain).all()))
        if not whole or not space.contains(typed[()]):
            what = f"the policy's action {action!r:.100} is not in {space}."
            raise DataError(what, where="policy", fix="Clip it, or give the number of an action.")
    return np.asarray(made, space.dtype)
