"""A method of a module that many programs hold is traced once for all of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.trainable import traced_once
from latens.typing import Array


class Scaled(eqx.Module):
    """Counts how often its method is traced."""

    scale: Array
    power: int = eqx.field(static=True, default=2)

    @traced_once
    def value(self, x: Array, *, plus: float = 0.0) -> Array:
        """The scale times a power of x."""
        TRACED.append(self.power)
        return self.scale * x**self.power + plus


TRACED: list[int] = []


def test_two_programs_trace_it_once_and_have_their_own_numbers() -> None:
    TRACED.clear()
    x = jnp.arange(3.0)
    one = jax.jit(lambda s, x: jax.vmap(Scaled(s).value)(x))
    two = jax.jit(lambda s, x: jax.vmap(jax.grad(lambda y: Scaled(s).value(y)))(x) + 1.0)
    assert np.allclose(one(jnp.asarray(3.0), x), [0.0, 3.0, 12.0])
    assert np.allclose(two(jnp.asarray(2.0), x), [1.0, 5.0, 9.0])
    assert TRACED == [2]


def test_another_static_field_or_option_is_traced_anew() -> None:
    TRACED.clear()
    x = jnp.asarray(2.0)
    values = [Scaled(x).value(x), Scaled(x, 3).value(x), Scaled(x).value(x, plus=1.0), Scaled(x).value(x, plus=2.0)]
    assert np.allclose(values, [8.0, 16.0, 9.0, 10.0])
    assert len(TRACED) == 4
