"""Record what an environment does as a long table: a row for every state that was arrived at."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Shaped
from msgspec import structs
from numpy.typing import ArrayLike

from latens.data.row_fields import needed
from latens.errors import DataError, UsageError, nearest
from latens.kinds.steps.world import EPISODE, KEY, REWARD, TERMINATED, TIME, Space, World, box

if TYPE_CHECKING:
    import gymnasium

MOST_STEPS = 10**8
_PIXELS = 64
"""The longest side of observations that are pictures."""
_MOST = 256
"""Discrete observations at the most: each is a column of its own."""

Policy = Callable[[np.ndarray, np.random.Generator], Any]
"""From one observation and a generator to an action."""


def needed_gymnasium() -> Any:
    """The package gymnasium, or an error that names the extra."""
    return needed("gymnasium", "Environments", "gymnasium", "Install latens[environments].")


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
        from latens.runtime.atomic import as_path, write_atomic

        path = check_path(path)
        table = pl.DataFrame([pl.Series(name, column, nan_to_null=True) for name, column in self.columns().items()])
        stream = io.BytesIO()
        table.write_parquet(stream, metadata={KEY: self.world.encoded()})
        write_atomic(as_path(path), stream.getvalue())


def check_path(path: str | Path) -> Path:
    """Refuse a name of another ending: only Parquet says the spaces beside the rows."""
    from latens.runtime.atomic import as_path

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


def make(env: str) -> "gymnasium.Env":
    """Make an environment by its name, or say which name is near."""
    gym = needed_gymnasium()
    if "/" not in env and ":" not in env and env not in gym.registry:
        names = [name for name in gym.registry if "/" not in name]
        raise UsageError(f"there is no environment {env!r}.", where="env", fix=nearest(env, names))
    try:
        return gym.make(env)
    except (gym.error.Error, ImportError, AttributeError, TypeError) as error:
        what = f"Gymnasium cannot make {env!r}: {str(error).splitlines()[0][:200].rstrip('.')}."
        raise UsageError(what, where="env", fix="Install what it needs, or name another one.") from None


def record(
    env: "str | gymnasium.Env",
    *,
    steps: int,
    policy: Policy | None = None,
    seed: int = 0,
    observe: tuple[int, ...] | None = None,
) -> Recording:
    """Record steps of an environment.

    A reset begins an episode and is no transition. The observation at an end is kept.

    Args:
        env: A name in Gymnasium's registry, or an environment.
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
    needed_gymnasium()
    one = make(env) if isinstance(env, str) else env
    try:
        return _played(one, _world(one, observe), int(steps), policy, seed)
    finally:
        if isinstance(env, str):
            one.close()


def _world(env: Any, observe: tuple[int, ...] | None) -> World:
    seen, action = space_of(env.observation_space, "observations"), space_of(env.action_space, "actions")
    name, limit = (env.spec.id, env.spec.max_episode_steps) if env.spec is not None else ("", None)
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


def _played(env: Any, world: World, steps: int, policy: Policy | None, seed: int) -> Recording:
    """Step an environment until there are enough transitions; the last episode is cut."""
    rng, size = np.random.default_rng(seed), world.action.size
    env.action_space.seed(seed)
    pick = slice(None) if world.observed is None else list(world.observed)
    rows: list[tuple[Any, ...]] = []

    def arrived(t: int, action: ArrayLike, seen: ArrayLike, reward: float, ended: bool) -> None:
        shown = world.observation.coded(np.asarray(seen).reshape(1, -1))[0, pick]
        rows.append((episode, t, np.asarray(action, np.float64).reshape(size), shown, reward, ended))

    count, episode = 0, 0
    while count < steps:
        seen, _ = env.reset(seed=seed if episode == 0 else None)
        arrived(0, np.full(size, np.nan), seen, np.nan, False)
        t, done = 0, False
        while not done and count < steps:
            action = env.action_space.sample() if policy is None else _action(policy(seen, rng), env.action_space)
            seen, reward, terminated, truncated, _ = env.step(action)
            t, count, done = t + 1, count + 1, bool(terminated or truncated)
            arrived(t, action, seen, float(reward), bool(terminated))
        episode += 1
    made = Recording(world, *map(np.array, zip(*rows)))
    return made._replace(world=structs.replace(world, ends=bool(made.terminated.any())))


def _action(action: ArrayLike, space: Any) -> Any:
    """An action of a policy, which must be within its space."""
    plain = np.asarray(action)
    fine = plain.dtype.kind in "biuf" and plain.shape == (space.shape or ()) and bool(np.isfinite(plain).all())
    typed = plain.astype(space.dtype) if fine else plain
    if not fine or not (space.dtype.kind == "f" or (typed == plain).all()) or not space.contains(typed[()]):
        what = f"the policy's action {action!r:.100} is not in {space}."
        raise DataError(what, where="policy", fix="Clip it, or give the number of an action.")
    return typed[()]
