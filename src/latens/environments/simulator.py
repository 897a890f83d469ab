"""A trained state-space model as the pure functions that an environment is made of."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from latens.data import Schema
from latens.errors import UsageError
from latens.kinds.steps.world import REWARD, TERMINATED, World
from latens.models import StepState
from latens.typing import Key

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
