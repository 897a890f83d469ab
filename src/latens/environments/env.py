"""A trained state-space model of an environment as an environment of Gymnasium: one, or many that step together."""

from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from latens.data import Schema
from latens.errors import UsageError
from latens.kinds.steps.world import REWARD, TERMINATED, Space, World
from latens.models import StepState
from latens.typing import AnyArray, Key, PyTree

_FIX = "Record an environment with `latens.environments.record`, then `latens fit FILE.parquet --recipe world`."


class LearnedWorld(eqx.Module):
    """A state-space model as a simulator of the environment that was recorded."""

    model: Any
    coding: Float[Array, "A a"] | None
    shift: Float[Array, " a"]
    scale: Float[Array, " a"]
    temperature: float = eqx.field(static=True)
    seen: tuple[int, ...] = eqx.field(static=True)
    reward: int = eqx.field(static=True)
    terminated: int = eqx.field(static=True)
    discrete: bool = eqx.field(static=True)

    def init(self, observation: Float[Array, " d"] | None, key: Key) -> tuple[Any, Float[Array, " d"]]:
        """A state and what is seen of it: of the posterior given the observation, or drawn as episodes begin."""
        places, blank = jnp.asarray(self.seen), jnp.zeros(self.model.decoder.action_size)
        if observation is None:
            state, x = self.model.step(self.model.start(), blank, key=key, temperature=self.temperature)
            return state, self._shown(x[places])
        size = self.model.decoder.event_shape[0]
        x = jnp.zeros(size).at[places].set(observation)
        mask = jnp.zeros(size, bool).at[places].set(True)
        cond = {"inputs": blank[None]}
        return self.model.after(x[None], mask=mask[None], cond=cond, key=key), observation

    def step(
        self, state: StepState, action: Float[Array, " a"], key: Key
    ) -> tuple[Any, Float[Array, " d"], Float[Array, ""], Bool[Array, ""]]:
        """The next state, what is seen of it, what was paid, and whether the world ended there."""
        read = (action - self.shift) / self.scale if self.coding is None else self.coding[action[0].astype(int)]
        state, x = self.model.step(state, read, key=key, temperature=self.temperature)
        return state, self._shown(x[jnp.asarray(self.seen)]), x[self.reward], x[self.terminated] > 0.5

    def _shown(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        return jax.nn.one_hot(jnp.argmax(x), len(x)) if self.discrete else x


def coding_of(schema: Schema) -> Float[np.ndarray, "A a"]:
    """What a model reads of each discrete action, from the first on; one that was never taken is none of these."""
    world, (one,) = schema.world, schema.inputs
    assert world is not None
    hot = np.concatenate([np.eye(one.width), np.zeros((1, one.width))])
    places = {float(name): i for i, name in enumerate(one.values)}
    numbers = world.action.start + np.arange(world.action.n)
    return hot[[places.get(float(number), one.width) for number in numbers]] - hot[int(one.usual)]


def simulator_of(run: Any, temperature: float = 1.0) -> tuple[Any, World]:
    """What an environment needs of a run: its simulator, and what the recording said."""
    from latens.trained.trained_model import TrainedModel, load

    if hasattr(run, "init") and hasattr(run, "step") and isinstance(getattr(run, "world", None), World):
        return run, run.world
    if not 0 <= temperature < float("inf"):
        raise UsageError(f"{temperature!r} is below 0.", where="temperature", fix="Give 0 (means), 1, or between.")
    trained = run if isinstance(run, TrainedModel) else load(run)
    where = "run" if isinstance(run, TrainedModel) else str(run)
    schema = trained.schema
    world, sequences = getattr(schema, "world", None), getattr(schema, "sequences", None)
    if world is None or sequences is None or not hasattr(trained.model, "ahead"):
        recipe = getattr(trained.config, "recipe", "built by hand")
        raise UsageError(f"the model is not a world: its recipe is {recipe}.", where=where, fix=_FIX)
    names = [column.name for column in sequences.columns]
    lacking = [name for name in (*world.observations, REWARD, TERMINATED) if name not in names]
    if lacking:
        what = f"the model has no column {lacking[0]!r}, so nothing says when an episode ends or what it pays."
        raise UsageError(what, where=where, fix=_FIX)
    inputs = {one.name: one for one in sequences.inputs}
    if any(name not in inputs for name in world.actions):
        raise UsageError(f"the model does not read {world.actions[0]}.", where=where, fix=_FIX)
    coding = None
    if world.action.kind == "discrete":
        coding = coding_of(schema)
        shift, scale = np.zeros(coding.shape[1]), np.ones(coding.shape[1])
    else:
        shift = np.array([inputs[name].usual for name in world.actions])
        scale = np.array([inputs[name].scale for name in world.actions])
    made = LearnedWorld(
        trained.model, None if coding is None else jnp.float32(coding), jnp.float32(shift), jnp.float32(scale),
        float(temperature), tuple(map(names.index, world.observations)), names.index(REWARD),
        names.index(TERMINATED), world.observation.kind == "discrete",
    )  # fmt: skip
    return made, world


class _Carry(NamedTuple):
    """What an environment holds between two steps, led by the copies."""

    state: PyTree
    seen: Float[Array, "n d"]
    clock: Int[Array, " n"]
    ended: Bool[Array, " n"]  # the next step is a reset


class _Arrived(NamedTuple):
    """What a step gives, led by the copies."""

    seen: Float[Array, "n d"]
    reward: Float[Array, " n"]
    terminated: Bool[Array, " n"]
    truncated: Bool[Array, " n"]


def _keys(key: Key, count: Array | np.int32, num: int) -> Any:
    """A key for each copy, others at every call."""
    return jax.random.split(jax.random.fold_in(key, count), num)


def _begin(simulator: Any, starts: AnyArray | None, keys: Array) -> _Carry:
    """Begin one copy for each key, at given observations or as an episode begins."""
    state, seen = jax.vmap(simulator.init)(starts, keys)
    blank = jnp.zeros(len(keys), int)
    return _Carry(state, seen, blank, blank > 0)


@eqx.filter_jit
def _advance(
    simulator: Any, carry: _Carry, actions: AnyArray, key: Key, count: Array | np.int32, horizon: Array | np.int32
) -> Any:
    """One step of all copies; those whose episode ended are reset instead, as Gymnasium's NEXT_STEP has it."""
    split = jax.vmap(jax.random.split)(_keys(key, count, len(actions)))
    fresh = _begin(simulator, None, split[:, 0])
    state, seen, reward, terminated = jax.vmap(simulator.step)(carry.state, actions, split[:, 1])
    clock = carry.clock + 1
    truncated = (clock >= horizon) & ~terminated
    went = _Carry(state, seen, clock, terminated | truncated)
    gone = carry.ended
    after = jax.tree.map(lambda a, b: jnp.where(gone.reshape(-1, *[1] * (a.ndim - 1)), a, b), fresh, went)
    reward = jnp.where(gone, 0.0, reward)
    return after, _Arrived(after.seen, reward, terminated & ~gone, truncated & ~gone)


@eqx.filter_jit
def _begin_compiled(simulator: Any, starts: AnyArray | None, key: Key, count: Array | np.int32, num: int) -> _Carry:
    """Begin all copies."""
    return _begin(simulator, starts, _keys(key, count, num))


def space_in(space: Space) -> gymnasium.Space:
    """The space of Gymnasium that a recording describes."""
    if space.kind == "discrete":
        return gymnasium.spaces.Discrete(space.n, start=space.start)
    low, high = (limit.reshape(space.shape) for limit in space.limits())
    dtype = np.dtype(space.dtype)
    return gymnasium.spaces.Box(low.astype(dtype), high.astype(dtype), space.shape, dtype.type)


class _Copies:
    """Copies of a world that step together: what both environments are made of."""

    def __init__(self, run: Any, num: int, horizon: int | None, temperature: float) -> None:
        self.simulator, self.world = simulator_of(run, temperature)
        if horizon is not None and (not isinstance(horizon, int | np.integer) or horizon < 1):
            raise UsageError(f"{horizon!r} is not a whole number above 0.", where="horizon", fix="Give 1 or more.")
        self.horizon = horizon or self.world.limit
        if self.horizon is None and not self.world.ends:
            what = "an episode never ends: none of the recording terminated, and the environment has no limit of steps."
            raise UsageError(what, where="horizon", fix="Give a horizon.")
        self.num, self.count, self.carry = num, 0, None
        self.observation, self.action = space_in(self.world.observation), space_in(self.world.action)
        self.low, self.high = (x.astype(np.float64) for x in self.world.action.limits())
        self.reseed(None)

    def reseed(self, seed: int | None) -> None:
        """Begin anew with the random numbers of a seed; None draws one."""
        number: Any = np.random.SeedSequence().entropy if seed is None else seed
        self.key, self.count = jax.random.key(int(number) % 2**32), 0

    def counted(self) -> np.int32:
        """The number of this call, which the keys of its draws are made of."""
        self.count += 1
        return np.int32(self.count)

    def begin(
        self, seed: int | None, options: dict[str, Any] | None, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Reset every copy; a generator draws which of the given starts is taken."""
        if seed is not None:
            self.reseed(seed)
        options = options or {}
        strange = sorted(set(options) - {"start"})
        if strange:
            raise UsageError(f"{strange[0]!r} is not known.", where="options", fix="Valid: start.")
        starts = options.get("start")
        starts = None if starts is None else self.starts(starts, rng)
        fresh = _begin_compiled(self.simulator, starts, self.key, self.counted(), self.num)
        self.carry = fresh
        return self.shown(fresh.seen)

    def starts(self, rows: ArrayLike, rng: np.random.Generator | None = None) -> np.ndarray:
        """The observations that the copies begin at: one for all, or one for each, taken in turn or drawn."""
        space = self.world.observation
        try:
            found = np.asarray(rows, np.float32)
        except (TypeError, ValueError):
            found = np.full((0,), np.nan, np.float32)
        if not found.size or found.size % space.size or not np.isfinite(found).all():
            fix = f"Give finite numbers of shape (n, {space.size}), or ({space.size},)."
            raise UsageError(f"shape {found.shape} is not a set of observations.", where="options['start']", fix=fix)
        found = space.coded(found.reshape(-1, space.size))
        return found[np.arange(self.num) % len(found) if rng is None else rng.integers(len(found), size=self.num)]

    def step(self, actions: ArrayLike) -> _Arrived:
        """Take one action for each copy."""
        if self.carry is None:
            raise gymnasium.error.ResetNeeded("Call reset before step.")
        horizon = np.int32(self.horizon or 2**31 - 1)
        chosen = self.checked(actions)
        self.carry, arrived = _advance(self.simulator, self.carry, chosen, self.key, self.counted(), horizon)
        return jax.device_get(arrived)

    def checked(self, actions: ArrayLike) -> np.ndarray:
        """The actions as the simulator takes them, of shape (copies, size); discrete ones from 0 on."""
        space = self.world.action
        try:
            found = np.asarray(actions, np.float64)
        except (TypeError, ValueError):
            found = np.full(0, np.nan)
        if found.size != self.num * space.size:
            what = f"an action of shape {found.shape} is not {self.num} of shape {space.shape}."
            raise UsageError(what, where="action", fix=f"Give elements of {self.action}.")
        found = found.reshape(self.num, space.size)
        # A box in single precision: the nearest number to a limit may lie a little beyond it.
        slack = 1e-6 * np.maximum(1.0, np.abs(found))
        fine = np.isfinite(found) & (found >= self.low - slack) & (found <= self.high + slack)
        if space.kind == "discrete":
            fine &= found == np.round(found)
        if not fine.all():
            what = f"the action {found[~fine.all(1)][0].tolist()} is not in {self.action}."
            raise UsageError(what, where="action", fix="Clip it, or give an element of the action space.")
        return (found - space.start if space.kind == "discrete" else found).astype(np.float32)

    def shown(self, seen: ArrayLike) -> np.ndarray:
        """Observations as elements of their space: within its limits, of its type and shape."""
        space, found = self.world.observation, np.asarray(seen)
        if space.kind == "discrete":
            return space.start + np.argmax(found, axis=1)
        low, high = space.limits()
        if not space.dtype.startswith("float"):
            found = np.round(found)
        clipped = np.clip(found, low, high).astype(space.dtype)
        return clipped.reshape(self.num, *space.shape)


class _OfModel:
    """What both environments say of their model."""

    _copies: _Copies

    @property
    def world(self) -> World:
        """What the recording said of the environment."""
        return self._copies.world


class ModelEnv(_OfModel, gymnasium.Env):
    """A trained model of an environment as a `gymnasium.Env`: reward and end are the model's own.

    Args:
        run: The folder of a run of the recipe `world`, a model file, or a `TrainedModel`.
        horizon: Steps after which an episode is truncated; None takes the limit of the recorded environment.
        temperature: Factor of the spread of what is drawn; 0 takes means.

    Raises:
        UsageError: The run is no world; an action or a start that is not in its space.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, run: Any, *, horizon: int | None = None, temperature: float = 1.0) -> None:
        self._copies = _Copies(run, 1, horizon, temperature)
        self.observation_space, self.action_space = self._copies.observation, self._copies.action

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Of everything that is drawn from here on; None goes on with the last.
            options: `{"start": observations}` begins at one of these, drawn at random; None as recorded episodes do.

        Returns:
            The observation and an empty dictionary.

        Raises:
            UsageError: Starts of another shape, or another option.
        """
        super().reset(seed=seed)
        return self._one(self._copies.begin(seed, options, self.np_random)), {}

    def step(self, action: ArrayLike) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action.

        Args:
            action: An element of `action_space`.

        Returns:
            Observation, reward, whether the world ended, whether the horizon ended the episode, and an empty `info`.

        Raises:
            UsageError: The action is not in its space, or not finite.
        """
        arrived = self._copies.step(action)
        self._copies.carry = self._copies.carry._replace(ended=np.zeros(1, bool))  # type: ignore[union-attr]
        seen = self._one(self._copies.shown(arrived.seen))
        return seen, float(arrived.reward[0]), bool(arrived.terminated[0]), bool(arrived.truncated[0]), {}

    def _one(self, seen: np.ndarray) -> Any:
        return np.int64(seen[0]) if self.world.observation.kind == "discrete" else seen[0]


class ModelVectorEnv(_OfModel, VectorEnv):
    """Many copies of a trained model of an environment, one compiled call a step.

    A copy whose episode has ended is reset by the next step, whose action it does not read, whose reward is 0 and
    which ends nothing: Gymnasium's `AutoresetMode.NEXT_STEP`.

    Args:
        run: The folder of a run of the recipe `world`, a model file, or a `TrainedModel`.
        num_envs: How many copies.
        horizon: Steps after which an episode is truncated; None takes the limit of the recorded environment.
        temperature: Factor of the spread of what is drawn; 0 takes means.

    Raises:
        UsageError: The run is no world; actions or starts that are not in their space.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, run: Any, num_envs: int, *, horizon: int | None = None, temperature: float = 1.0) -> None:
        if not isinstance(num_envs, int | np.integer) or not 1 <= num_envs <= 2**20:
            raise UsageError(f"{num_envs!r} is not within 1 and {2**20}.", where="num_envs", fix="Give 1 or more.")
        self.num_envs = int(num_envs)
        self._copies = _Copies(run, self.num_envs, horizon, temperature)
        self.single_observation_space, self.single_action_space = self._copies.observation, self._copies.action
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every copy.

        Args:
            seed: Of everything that is drawn from here on; of a list the first. None goes on with the last.
            options: `{"start": observations}` gives them to the copies in turn.

        Returns:
            The observations and an empty dictionary.

        Raises:
            UsageError: Starts of another shape, or another option.
        """
        one = seed[0] if isinstance(seed, list | tuple) else seed
        super().reset(seed=one)
        return self._copies.begin(one, options), {}

    def step(self, actions: ArrayLike) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take an action in every copy.

        Args:
            actions: Elements of `single_action_space`, led by the copies.

        Returns:
            Observations, rewards, terminations and truncations, led by the copies, and an empty dictionary.

        Raises:
            UsageError: An action is not in its space, or not finite.
        """
        arrived = self._copies.step(actions)
        seen = self._copies.shown(arrived.seen)
        return seen, arrived.reward.astype(np.float64), arrived.terminated, arrived.truncated, {}
