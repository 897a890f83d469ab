"""Renyi's divergence and its kin on Normals: quadrature, Monte Carlo, known cases, and the ELBO that takes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import evaluate
from checks import agrees, close
from enumeration import refused_at
from metric_checks import average
from scipy import stats
from tables import MODELS, batch_of, conjugate_pair

from latens.distributions import DiagonalNormal, Gamma, StandardNormal, divergence_terms, kl, kl_terms, renyi_terms
from latens.errors import ConfigError
from latens.objectives import ELBO

Q, P = (np.array([1.0, -0.4]), np.array([0.5, 1.2])), (np.array([0.0, 0.3]), np.array([2.0, 1.1]))


def normal(parameters) -> DiagonalNormal:
    return DiagonalNormal(jnp.asarray(parameters[0]), jnp.log(jnp.asarray(parameters[1])))


def power_integral(order: float) -> np.ndarray:
    """The integral of q^order p^(1 - order), by the trapezium rule on a grid that is wide and fine enough."""
    x = np.linspace(-60.0, 60.0, 400_001)[:, None]
    log = order * stats.norm.logpdf(x, *Q) + (1 - order) * stats.norm.logpdf(x, *P)
    return np.trapezoid(np.exp(log), x, axis=0)


@pytest.mark.parametrize("order", [0.2, 0.5, 1.5, 2.0, 3.0])
def test_renyi_meets_quadrature(order, float64):
    q, p, integral = normal(Q), normal(P), power_integral(order)
    close(renyi_terms(q, p, order), np.log(integral) / (order - 1), rtol=1e-9)
    close(divergence_terms(q, p, "alpha", order=order), (integral.prod() - 1) / (order * (order - 1)), rtol=1e-8)


def test_known_cases(float64):
    """Reference page: KL of N(1, .5^2) and N(0, 2^2). Order 1 is KL and its limit; the others by their definitions."""
    q, p = normal(Q), normal(P)
    close(divergence_terms(q, p, "kl")[0], 1.04254436112)
    close(divergence_terms(q, p, "reverse-kl"), kl_terms(p, q))
    for kind in ("renyi", "alpha"):
        close(divergence_terms(q, p, kind, order=1.0).sum(), kl(q, p))
        for order in (1 - 1e-7, 1 + 1e-7):
            close(divergence_terms(q, p, kind, order=order).sum(), kl(q, p), rtol=1e-6)
    close(divergence_terms(q, p, "chi-square"), power_integral(2.0).prod() - 1, rtol=1e-8)
    # Hellinger's distance is symmetric, and so is Renyi's of order 1/2; skewed, (1 - a) D_a = a D_(1 - a) reversed.
    close(renyi_terms(q, p, 0.5), renyi_terms(p, q, 0.5))
    close(0.7 * renyi_terms(q, p, 0.3), 0.3 * renyi_terms(p, q, 0.7))
    # q wider than p: q^3 / p^2 has no integral, and no gradient either.
    wide = DiagonalNormal(jnp.zeros(1), jnp.asarray([0.5]))
    assert np.isinf(renyi_terms(wide, StandardNormal((1,)), 3.0))
    slope = jax.grad(lambda s: renyi_terms(DiagonalNormal(jnp.zeros(1), s), StandardNormal((1,)), 3.0).sum())
    assert slope(jnp.asarray([0.5])) == 0.0


def test_monte_carlo_agrees(getkey, float64):
    q, p = normal(Q), normal(P)

    def ratios(of, key):
        x = jax.vmap(lambda k: of.sample(key=k))(jax.random.split(key, 100_000))
        return np.asarray(jax.vmap(lambda v: q.log_prob(v) - p.log_prob(v))(x))

    under_q, under_p = ratios(q, getkey()), ratios(p, getkey())
    agrees(-under_p, divergence_terms(q, p, "reverse-kl").sum())
    agrees(np.exp(under_q) - 1, divergence_terms(q, p, "chi-square"))
    agrees(np.exp(-0.5 * under_q), np.exp(-0.5 * float(renyi_terms(q, p, 0.5).sum())))
    agrees((np.exp(1.5 * under_p) - 1) / 0.75, divergence_terms(q, p, "alpha", order=1.5))


@pytest.mark.parametrize("kind", ["reverse-kl", "renyi", "alpha", "chi-square"])
def test_the_elbo_minimises_it_and_reports_both(kind, float64):
    """q = N(0.5, 1) for every row: the divergence is one number, the ELBO stays the ELBO."""
    model, batch = conjugate_pair(0.5, 0.8), batch_of(np.array([[1.5], [-0.3]]))
    q = DiagonalNormal(jnp.asarray([0.5]), jnp.asarray([0.5 * np.log(0.8)]))
    exact = float(divergence_terms(q, StandardNormal((1,)), kind, order=1.7).sum())
    loss, metrics = evaluate(ELBO(divergence=kind, order=1.7, beta=3.0), model, batch)
    plain_loss, plain = evaluate(ELBO(beta=3.0), model, batch)
    close(average(metrics, "divergence"), exact)
    close(loss - plain_loss, 3.0 * (exact - average(plain, "kl")))
    for name in ("elbo", "kl", "log_likelihood"):
        close(average(metrics, name), average(plain, name))


def test_what_has_no_closed_form_is_refused():
    gamma = Gamma(jnp.zeros(1), jnp.zeros(1))
    close(
        divergence_terms(gamma, Gamma(jnp.ones(1), jnp.zeros(1)), "reverse-kl"),
        kl(Gamma(jnp.ones(1), jnp.zeros(1)), gamma),
    )
    with pytest.raises(ConfigError, match=r"Gamma and Gamma has no closed form"):
        divergence_terms(gamma, gamma, "renyi")
    with pytest.raises(ConfigError, match=r"KL\(StandardNormal \|\| Gamma\)"):
        divergence_terms(gamma, StandardNormal((1,)), "reverse-kl")
    with pytest.raises(ConfigError, match="above 0"):
        renyi_terms(gamma, gamma, 0.0)
    assert refused_at(ELBO, divergence="wide") == "objective.divergence"
    assert refused_at(ELBO, order=0.0) == "objective.order"
    model, batch = MODELS["binary pixels"]()
    assert "divergence" not in evaluate(ELBO(), model, batch)[1]
