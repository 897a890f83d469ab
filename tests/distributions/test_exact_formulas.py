"""Densities, entropies and inverses against formulas that are written once more, each at a point or two."""

import jax
import jax.numpy as jnp
import pytest
from checks import close

from latens.distributions import (
    DiagonalNormal,
    Mixture,
    RelaxedOneHot,
)


def test_a_mixture_of_what_has_no_mean_has_none():
    pair = Mixture(jnp.log(jnp.array([0.25, 0.75])), DiagonalNormal(jnp.array([[0.0], [4.0]]), jnp.zeros((2, 1))))
    close(pair.mean(), [3.0])
    relaxed = jax.jit(jax.vmap(lambda logits: RelaxedOneHot(logits, jnp.zeros(()))))(jnp.zeros((2, 3)))
    with pytest.raises(TypeError, match="RelaxedOneHot has no mean in closed form"):
        Mixture(jnp.zeros(2), relaxed).mean()
