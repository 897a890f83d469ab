"""Densities, entropies and inverses against formulas that are written once more, each at a point or two."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import special

from latens.distributions import DiagonalNormal, Mixture, RelaxedOneHot, VonMisesFisher
from latens.distributions.special import _DEBYE, _debye_polynomials
from latens.errors import ConfigError


def test_a_mixture_of_what_has_no_mean_has_none():
    pair = Mixture(jnp.log(jnp.array([0.25, 0.75])), DiagonalNormal(jnp.array([[0.0], [4.0]]), jnp.zeros((2, 1))))
    close(pair.mean(), [3.0])
    relaxed = jax.jit(jax.vmap(lambda logits: RelaxedOneHot(logits, jnp.zeros(()))))(jnp.zeros((2, 3)))
    with pytest.raises(ConfigError, match="RelaxedOneHot has no mean in closed form"):
        Mixture(jnp.zeros(2), relaxed).mean()


def test_polynomials_of_the_expansion_for_large_orders():
    """DLMF 10.41.10: u_1 = (3 t - 5 t^3) / 24, u_2 = (81 t^2 - 462 t^4 + 385 t^6) / 1152."""
    found = _debye_polynomials(9)
    close(found[0], np.eye(9)[0])
    close(found[1, :3], [3 / 24, -5 / 24, 0.0])
    close(found[2, :4], [81 / 1152, -462 / 1152, 385 / 1152, 0.0])
    close(found, _DEBYE)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_densities_on_spheres(m):
    """By quadrature over the cosine, whose density has the factor (1 - w^2)^((m - 3) / 2) and the area of a circle."""
    kappa = 2.5
    one = VonMisesFisher(2.0 * jnp.ones(m), jnp.log(kappa))
    angle, weight = np.polynomial.legendre.leggauss(200)
    angle = 0.5 * np.pi * (angle + 1.0)
    area = 2.0 * np.pi ** ((m - 1) / 2) / special.gamma((m - 1) / 2)
    weight = 0.5 * np.pi * weight * area * np.sin(angle) ** (m - 2)
    cosine = np.cos(angle)
    log_p = kappa * cosine - np.log(np.sum(weight * np.exp(kappa * cosine)))
    unit, other = np.ones(m) / np.sqrt(m), np.eye(m)[0] - np.ones(m) / m
    other /= np.linalg.norm(other)
    some = [20, 100, 150]
    points = cosine[some, None] * unit + np.sin(angle[some, None]) * other
    close(jax.jit(jax.vmap(one.log_prob))(jnp.asarray(points, jnp.float32)), log_p[some], rtol=1e-4, atol=1e-4)
    close(one.entropy(), -np.sum(weight * np.exp(log_p) * log_p), rtol=1e-4)
    close(one.mean(), np.sum(weight * np.exp(log_p) * cosine) * unit, rtol=1e-4)
