"""A world that is written by hand: x' = 0.5 x + a + noise, which ends at |x[0]| > 2 and pays -x'x."""

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.kinds.steps.world import World, box

WORLD = World("", 6, box([-9.0, -9.0], [9.0, 9.0], "float32"), box([-3.0], [3.0], "float32"))


class LinearWorld(eqx.Module):
    noise: float = 0.0
    world: World = eqx.field(static=True, default=WORLD)

    def init(self, observation, key):
        seen = 0.1 * jax.random.normal(key, (2,)) if observation is None else jnp.asarray(observation)
        return seen, seen

    def step(self, state, action, key):
        after = 0.5 * state + jnp.array([1.0, 0.0]) * action[0] + self.noise * jax.random.normal(key, (2,))
        return after, after, -jnp.sum(after**2), jnp.abs(after[0]) > 2
