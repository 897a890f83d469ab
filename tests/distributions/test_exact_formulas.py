"""Densities, entropies and inverses against formulas that are written once more, each at a point or two."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import special

from latens import distributions
from latens.distributions import (
    AbstractDistribution,
    Context,
    DiagonalNormal,
    Mixture,
    RelaxedOneHot,
    StandardNormal,
    VonMisesFisher,
    log_prob,
)
from latens.distributions.bijections import Autoregressive
from latens.distributions.special import _DEBYE, _debye_polynomials
from latens.errors import UsageError
from latens.models.quantised import CodePosterior

RANDOM = np.random.default_rng(0)


def test_what_distributions_say_of_their_samples_and_densities():
    """Samples without a path are those of a choice; densities by area are those on spheres, simplices and codes."""
    kinds = {name: one for name, one in vars(distributions).items() if isinstance(one, type)}
    said = lambda one: [base for base in one.__mro__ if isinstance(vars(base).get("has_path"), bool)][:1]  # noqa: E731
    told = {name: one.has_path for name, one in kinds.items() if said(one) not in ([], [AbstractDistribution])}
    choices = {"Mixture", "VariableMixture", "DiscretisedLogistic", "NegativeBinomial", "Poisson", "ZeroInflated"}
    choices |= {
        "Bernoulli",
        "Categorical",
        "Ordinal",
        "Segments",
        "ColourLogistics",
        "Autoregressive",
    }
    choices |= {"TokenSequence"}
    assert {name for name, path in told.items() if not path} == choices
    assert {"VonMisesFisher", "UniformSphere", "RelaxedOneHot"} <= set(told)
    assert CodePosterior.has_path


def test_a_mixture_of_what_has_no_mean_has_none():
    pair = Mixture(jnp.log(jnp.array([0.25, 0.75])), DiagonalNormal(jnp.array([[0.0], [4.0]]), jnp.zeros((2, 1))))
    close(pair.mean(), [3.0])
    relaxed = jax.jit(jax.vmap(lambda logits: RelaxedOneHot(logits, jnp.zeros(()))))(jnp.zeros((2, 3)))
    with pytest.raises(TypeError, match="RelaxedOneHot has no mean in closed form"):
        Mixture(jnp.zeros(2), relaxed).mean()


def test_a_flow_comes_back():
    flow = Autoregressive.create(3, 2, 8, key=jax.random.key(0))
    flow = jax.tree.map(lambda leaf: leaf + 0.3 * RANDOM.normal(size=leaf.shape).astype(np.float32), flow)
    x, context = jnp.asarray([0.5, -1.0, 2.0]), jnp.asarray([1.0, -0.5])
    y, log_det = flow.transform_and_log_det(x, context)
    back, inverse = flow.inverse_and_log_det(y, context)
    close(back, x, atol=1e-5)
    close(inverse, -log_det)
    jacobian = jax.jacobian(lambda one: flow.transform_and_log_det(one, context)[0])(x)
    close(np.linalg.slogdet(np.asarray(jacobian))[1], log_det, rtol=1e-4)
    close(np.triu(jacobian, 1), np.zeros((3, 3)))


def test_polynomials_of_the_expansion_for_large_orders():
    """DLMF 10.41.10: u_1 = (3 t - 5 t^3) / 24, u_2 = (81 t^2 - 462 t^4 + 385 t^6) / 1152."""
    found = _debye_polynomials(9)
    close(found[0], np.eye(9)[0])
    close(found[1, :3], [3 / 24, -5 / 24, 0.0])
    close(found[2, :4], [81 / 1152, -462 / 1152, 385 / 1152, 0.0])
    close(found, _DEBYE)


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("kind", [VonMisesFisher])
def test_densities_on_spheres(kind, m):
    """By quadrature over the cosine, whose density has the factor (1 - w^2)^((m - 3) / 2) and the area of a circle."""
    kappa = 2.5
    one = kind(2.0 * jnp.ones(m), jnp.log(kappa))
    angle, weight = np.polynomial.legendre.leggauss(200)
    angle = 0.5 * np.pi * (angle + 1.0)
    area = 2.0 * np.pi ** ((m - 1) / 2) / special.gamma((m - 1) / 2)
    weight = 0.5 * np.pi * weight * area * np.sin(angle) ** (m - 2)
    cosine = np.cos(angle)
    raw = kappa * cosine if kind is VonMisesFisher else kappa * np.log1p(cosine)
    log_p = raw - np.log(np.sum(weight * np.exp(raw)))
    unit, other = np.ones(m) / np.sqrt(m), np.eye(m)[0] - np.ones(m) / m
    other /= np.linalg.norm(other)
    some = [20, 100, 150]
    points = cosine[some, None] * unit + np.sin(angle[some, None]) * other
    close(jax.jit(jax.vmap(one.log_prob))(jnp.asarray(points, jnp.float32)), log_p[some], rtol=1e-4, atol=1e-4)
    close(one.entropy(), -np.sum(weight * np.exp(log_p) * log_p), rtol=1e-4)
    close(one.mean(), np.sum(weight * np.exp(log_p) * cosine) * unit, rtol=1e-4)


def test_a_network_of_pixels_starts_without_biases():
    made = Context.drawn(1, 3, 5, width=4, rows=1, sides=1, neighbour_units=2, key=jax.random.key(0))
    close(made.output, np.zeros((5, 4)))
    small = [leaf for leaf in jax.tree.leaves(made) if hasattr(leaf, "ndim") and leaf.ndim == 1]
    assert len(small) == 2
    for leaf in small:
        close(leaf, np.zeros(len(leaf)))


def test_a_batch_is_not_one_event() -> None:
    normal, batch = StandardNormal((3,)), jnp.zeros((2, 3))
    with pytest.raises(UsageError, match=r"shape \(2, 3\) is not one event of shape \(3,\)"):
        log_prob(normal, batch)
    each = jax.jit(jax.vmap(lambda event: log_prob(normal, event)))(batch)
    np.testing.assert_allclose(each, -1.5 * np.log(2 * np.pi), rtol=1e-6)
    assert float(log_prob(normal, batch[0])) == float(each[0])
