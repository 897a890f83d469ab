"""Importance-weighted bounds: exact values by quadrature and enumeration, identities, unbiased gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import BEST_ELBO, LOG_P, evaluate
from checks import close
from enumeration import gradient_of, gradients, only
from scipy import special
from tables import MODELS, batch_of, conjugate_pair

from latens.objectives import CIWAE, ELBO, IWAE, MIWAE, PIWAE, Renyi
from latens.objectives import draw as plain_draw
from latens.objectives.base import generative_part, recognition_part
from latens.objectives.elbo import importance_bound, renyi_bound

CHI2 = 0.203829472709
ONE = np.array([[1.5]])


def quadrature(pair, nodes=40):
    """Log weights of the conjugate pair at Gauss-Hermite nodes for two draws: (2, n n), and the share of each."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    noise = jnp.asarray(points)[:, None, None]
    log_weight = draw_plain(pair, noise)
    pairs = jnp.stack(jnp.meshgrid(log_weight, log_weight)).reshape(2, -1)
    return pairs, jnp.asarray(np.outer(weights, weights).ravel() / weights.sum() ** 2)


def draw_plain(model, noise):
    return plain_draw(model, batch_of(ONE), num_samples=noise.shape[0], noise=noise).log_weight[:, 0]


def value(objective, model, batch, name):
    total, weight = evaluate(objective, model, batch)[1][name]
    return float(total / weight)


def test_bounds_by_quadrature(float64):
    """E[L_2] = -1.89926512043 of the reference page; Renyi at 0 and 1, and -1 from the chi-square of the pair."""
    pairs, share = quadrature(conjugate_pair(), 200)
    close(share @ importance_bound(pairs), -1.89926512043, rtol=1e-9)
    close(share @ renyi_bound(pairs, 0.0), -1.89926512043, rtol=1e-9)
    close(share @ renyi_bound(pairs, 1.0), BEST_ELBO, rtol=1e-9)
    # Of one draw the bound is its log weight, whatever alpha; the limit of many is log p + log(1 + chi2) / 2.
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    log_weight = draw_plain(conjugate_pair(), jnp.asarray(points)[:, None, None])
    second = special.logsumexp(2 * np.asarray(log_weight), b=weights / weights.sum()) / 2
    close(second, LOG_P + 0.5 * np.log1p(CHI2), rtol=1e-9)


def test_renyi_bound_by_numpy(float64):
    """Every branch against its formula, and the limit at alpha 1 to ten digits."""
    log_weight = np.random.default_rng(0).normal(size=(6, 5)) - 90.0
    for alpha in (-3.0, -0.5, 0.0, 0.5, 0.95, 1.05, 2.0):
        exact = special.logsumexp((1 - alpha) * log_weight, axis=0, b=1 / 6) / (1 - alpha)
        close(renyi_bound(jnp.asarray(log_weight), alpha), exact, rtol=1e-10)
    close(renyi_bound(jnp.asarray(log_weight), -np.inf), log_weight.max(axis=0), rtol=0)
    close(renyi_bound(jnp.asarray(log_weight), 1.0), log_weight.mean(axis=0), rtol=1e-14)
    variance = log_weight.var(axis=0)
    near = renyi_bound(jnp.asarray(log_weight), 1.0 - 1e-6)
    close((near - log_weight.mean(axis=0)) * 2e6, variance, rtol=1e-4)


@pytest.mark.parametrize(
    ("objective", "name", "other", "other_name"),
    [
        (IWAE(1), "iwae", ELBO(kl="sampled"), "elbo"),
        (IWAE(3), "elbo", ELBO(kl="sampled", num_samples=3), "elbo"),
        (MIWAE(4, 1), "miwae", IWAE(4), "iwae"),
        (MIWAE(1, 4), "miwae", ELBO(kl="sampled", num_samples=4), "elbo"),
        (PIWAE(4, 1), "iwae", IWAE(4), "iwae"),
        (PIWAE(2, 2), "miwae", MIWAE(2, 2), "miwae"),
        (CIWAE(4, 1.0), "ciwae", ELBO(kl="sampled", num_samples=4), "elbo"),
        (CIWAE(4, 0.0), "ciwae", IWAE(4), "iwae"),
        (Renyi(1.0, 4), "renyi", ELBO(kl="sampled", num_samples=4), "elbo"),
        (Renyi(1.0 - 1e-7, 4), "renyi", ELBO(kl="sampled", num_samples=4), "elbo"),
        (Renyi(0.0, 4), "renyi", IWAE(4), "iwae"),
    ],
    ids=lambda part: part if isinstance(part, str) else type(part).__name__,
)
def test_identities(objective, name, other, other_name):
    model, batch = MODELS["binary pixels"]()
    close(value(objective, model, batch, name), value(other, model, batch, other_name), rtol=2e-6)


def test_identities_of_gradients(float64):
    """Mixed objectives mix gradients: PIWAE's are IWAE's for the decoder and MIWAE's for q."""
    model, batch = MODELS["conjugate pair"]()
    one = lambda objective: gradients(objective, model, batch, 1)[0]  # noqa: E731
    plain = one(IWAE(4))
    close(one(CIWAE(4, 0.25)), 0.25 * one(ELBO(kl="sampled", num_samples=4)) + 0.75 * plain, rtol=1e-9)
    encoder, decoder = only(model, "encoder"), only(model, "decoder")
    mixed, averaged = one(PIWAE(2, 2)), one(MIWAE(2, 2))
    close(mixed[decoder], plain[decoder], rtol=1e-9)
    close(mixed[encoder], averaged[encoder], rtol=1e-9)
    assert np.abs(averaged[decoder] - plain[decoder]).max() > 1e-4


def test_roles_split_the_gradient(float64):
    """The gradients of the two roles have disjoint parts and add up to the whole."""
    model, batch = MODELS["binary pixels"]()

    def bound(make):
        return lambda m: plain_draw(make(m), batch, num_samples=3, key=jax.random.key(0)).log_weight.sum()

    whole = gradient_of(bound(lambda m: m), model)
    one, two = gradient_of(bound(generative_part), model), gradient_of(bound(recognition_part), model)
    close(one + two, whole, rtol=1e-9)
    close(one[only(model, "encoder")], np.zeros(only(model, "encoder").sum()), atol=0)
    close(two[only(model, "decoder")], np.zeros(only(model, "decoder").sum()), atol=0)


@pytest.mark.parametrize("gradient", ["stl", "dreg"])
def test_no_gradient_is_left_at_the_exact_posterior(gradient, float64):
    """For every single draw the encoder's gradient is 0; the plain one is not."""
    pair = conjugate_pair(0.75, 0.5)
    encoder = only(pair, "encoder")
    close(gradients(IWAE(5, gradient), pair, batch_of(ONE), 50)[:, encoder], np.zeros((50, 4)), atol=1e-12)
    assert gradients(IWAE(5), pair, batch_of(ONE), 50)[:, encoder].std(axis=0).min() > 0.1
