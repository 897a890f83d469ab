"""Gamma latents: what the head makes of its outputs, and gradients through draws against the exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
from checks import agrees, close
from scipy import integrate, stats

from latens.distributions import kl
from latens.models import PositiveHead


def test_mean_and_concentration_of_the_head():
    head = PositiveHead((2,))
    made = head(jnp.asarray([0.0, 3.0, -1.0, -200.0]))
    softplus = lambda r: np.log1p(np.exp(r)) + 0.01  # noqa: E731
    close(made.mean(), [softplus(0.0), softplus(3.0)])
    close(jnp.exp(made.log_concentration), [softplus(-1.0), 0.01], rtol=1e-4)
    x = jnp.asarray([0.4, 2.0])
    scale = [softplus(0.0) / softplus(-1.0), softplus(3.0) / 0.01]
    close(made.log_prob(x), stats.gamma.logpdf(x, [softplus(-1.0), 0.01], scale=scale).sum(), rtol=1e-4)
    assert head.num_outputs == 4


def test_draws_have_gradients_without_bias(float64):
    """d E_q[sqrt z] / d outputs by implicit reparameterisation, in 5 standard errors of quadrature; and that of KL."""
    head, outputs = PositiveHead((1,)), jnp.asarray([0.4, 0.7])

    def exact(outputs):
        mean, shape = np.log1p(np.exp(outputs)) + 0.01
        density = lambda z: np.sqrt(z) * stats.gamma.pdf(z, shape, scale=mean / shape)  # noqa: E731
        return integrate.quad(density, 0, np.inf, epsabs=1e-13, limit=200)[0]

    def slope(f, h=1e-4):
        return [(f(np.asarray(outputs) + h * e) - f(np.asarray(outputs) - h * e)) / (2 * h) for e in np.eye(2)]

    keys = jax.random.split(jax.random.key(0), 20_000)
    draw = lambda o, key: jnp.sqrt(head(o).sample(key=key)[0])  # noqa: E731
    found = jax.jit(jax.vmap(jax.grad(draw), in_axes=(None, 0)))(outputs, keys)
    agrees(found, slope(exact))
    prior = head(jnp.asarray([0.5, 0.5]))
    close(
        jax.grad(lambda o: kl(head(o), prior))(outputs), slope(lambda o: float(kl(head(jnp.asarray(o)), prior))), 1e-5
    )
