"""Distributions over whole events: formula, oracle, integral, samples, gradients, file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close

from latens.distributions import DiagonalNormal, Laplace, Mixture, Product, StandardNormal, VonMisesFisher, log_prob


def test_mixtures_know_their_components():
    """Two Normals 4 apart with weights 1/4 and 3/4: at the middle the weights are all that is known."""
    pair = Mixture(
        jnp.log(jnp.array([1.0, 3.0])), jax.jit(jax.vmap(DiagonalNormal))(jnp.array([[-2.0], [2.0]]), jnp.zeros((2, 1)))
    )
    close(jnp.exp(pair.log_responsibilities(jnp.zeros(1))), [0.25, 0.75])
    close(pair.mean(), [1.0])
    close(pair.component(1).mean(), [2.0])
    spheres = Mixture(jnp.zeros(2), jax.jit(jax.vmap(VonMisesFisher))(jnp.eye(2), jnp.zeros(2)))
    close(jax.jit(lambda: spheres.mean())(), np.full(2, 0.5 * 0.44639))  # I1(1)/I0(1) = 0.44639


def test_products_name_their_columns():
    both = Product({"b": StandardNormal((1,)), "a": Laplace(jnp.zeros(1), jnp.zeros(1))})
    event = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    close(both.log_prob_by_part(event)["a"], -np.log(2.0))
    other = Product({"a": both.parts["a"], "b": both.parts["b"]})
    key = jax.random.key(0)
    close(other.sample(key=key)["b"], both.sample(key=key)["b"], rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"columns \['a'\] under a Product of \['a', 'b'\]"):
        both.log_prob({"a": jnp.zeros(1)})
    observed = {"a": jnp.array([True]), "b": jnp.array([False])}
    close(log_prob(both, {**event, "b": jnp.array([jnp.nan])}, observed), -np.log(2.0))
