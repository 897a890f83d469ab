"""Leapfrog steps as a posterior: weights whose mean is the evidence, and a map with a known determinant."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import evaluate
from checks import close
from tables import MODELS, MU, SIGMA, W, X, linear_gaussian

from latens.errors import ConfigError
from latens.models import Hamiltonian, LatentModel, VampPrior
from latens.objectives import ELBO, draw

"""log p(X) of the linear-Gaussian model: the reference page."""


def moving(model: LatentModel, **options) -> LatentModel:
    encoder = Hamiltonian.create(model.encoder, **options)
    # In JAX's current precision.
    encoder = eqx.tree_at(
        lambda e: (e.raw_step, e.raw_temperature),
        encoder,
        (jnp.asarray(encoder.raw_step, float), jnp.asarray(encoder.raw_temperature, float)),
    )
    return LatentModel(model.prior_part, encoder, model.decoder)


def test_the_temperings_are_the_determinant(float64):
    """By automatic differentiation: volumes are multiplied by beta_0^(d/2), wherever the map starts."""
    model, batch = MODELS["binary pixels"]()
    for temperature in (0.3, 0.999999):
        q = moving(model, steps=4, step_size=0.3, temperature=temperature).posterior(batch.x[0])
        jacobian = jax.jacfwd(lambda v, q=q: jnp.concatenate(q.moved(v[:2], v[2:])))(jnp.asarray([0.4, -1.0, 0.7, 0.2]))
        close(np.linalg.slogdet(np.asarray(jacobian))[1], np.log(temperature), rtol=1e-9)


def test_one_step_by_hand(float64):
    """Linear Gaussian: the slope is W' (x - W z - mu) / sigma^2 - z."""
    q = moving(linear_gaussian("prior"), steps=1, step_size=0.1, temperature=0.25).posterior(jnp.asarray(X))
    slope = lambda z: W.T @ (X - W @ z - MU) / SIGMA**2 - z  # noqa: E731
    z, momentum = np.array([0.3, -0.6]), np.array([1.0, 0.5])
    half = momentum + 0.05 * slope(z)
    end = z + 0.1 * half
    actual = q.moved(jnp.asarray(z), jnp.asarray(momentum))
    close(actual[0], end)
    close(actual[1], 0.5 * (half + 0.05 * slope(end)))
    rest = q.moved(jnp.zeros(2), jnp.zeros(2))[0]
    close(q.mean(), rest)


def test_what_needs_a_density_is_refused():
    model, batch = MODELS["binary pixels"]()
    moved = moving(model)
    with pytest.raises(ConfigError, match=r"along its own draws"):
        draw(moved, batch, num_samples=2, key=jax.random.key(0), stop_posterior_gradient=True)
    with pytest.raises(ConfigError, match=r"no closed form"):
        evaluate(ELBO(kl="analytic"), moved, batch)
    vamp = VampPrior.create((2,), (2, 3), components=3, key=jax.random.key(0))
    with pytest.raises(ConfigError, match=r"along its own draws"):
        evaluate(ELBO(kl="sampled"), LatentModel(vamp, moved.encoder, moved.decoder), batch)
    for options, where in (({"step_size": 0.5}, "step_size"), ({"temperature": 1.0}, "temperature")):
        with pytest.raises(ConfigError) as error:
            moving(model, **options)
        assert error.value.where == f"posterior.{where}"
