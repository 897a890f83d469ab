"""Where the KL goes, in linear-Gaussian encoders whose parts are known, and what rates buy at which distortion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from tables import batch_of, linear

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, Bernoulli, DiagonalNormal, StandardNormal
from latens.distributions.chain import Chain
from latens.errors import ConfigError
from latens.evidence import ModelRows, elbo_parts
from latens.latents.decomposition import kl_split, level_kl
from latens.models import (
    Conditional,
    DeterministicHead,
    Downwards,
    FromLowest,
    LatentModel,
    NormalHead,
    SharedScaleNormalHead,
    Upwards,
)
from latens.trainable import Frozen

A, B, S = np.array([[1.2, 0.5], [0.8, -0.9]]), np.array([0.3, -0.2]), np.array([0.5, 0.7])
KEY = jax.random.key(3)


def encoder_only(a: np.ndarray, b: np.ndarray, s: np.ndarray, prior: object = None) -> LatentModel:
    """q(z | x) = N(x A + b, diag(s^2)); its decoder plays no part."""
    n_in, n = a.shape
    weight = np.concatenate([a, np.zeros((n_in, n))], axis=1)
    head = SharedScaleNormalHead((n_in,), Frozen(jnp.zeros(())))
    decoder = Conditional(linear(np.zeros((n, n_in)), np.zeros(n_in)), head)
    encoder = Conditional(linear(weight, np.concatenate([b, np.log(s)])), NormalHead((n,)))
    return LatentModel(prior or StandardNormal((n,)), encoder, decoder)


def gaussian_rows(order: int = 16) -> Batch:
    """Weighted rows whose mixture of smooth things is that of x ~ N(0, I_2): Gauss-Hermite nodes in two dimensions."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    x = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    weight = np.outer(weights, weights).reshape(-1) / weights.sum() ** 2
    return batch_of(x.astype(np.float32), weight=jnp.asarray(weight, jnp.float32))


def test_the_parts_of_a_gaussian_channel() -> None:
    r"""q(z) = N(b, C) with C = A'A + diag(s^2): every part is a formula.

    I = (log det C - sum log s^2) / 2, TC = (sum log C_dd - log det C) / 2, and the units' KLs are those of Normals.
    """
    c = A.T @ A + np.diag(S**2)
    log_det, own = np.log(np.linalg.det(c)), np.diag(c)
    exact = {
        "mutual_information": (log_det - np.sum(np.log(S**2))) / 2,
        "total_correlation": (np.sum(np.log(own)) - log_det) / 2,
        "dimensionwise_kl": np.sum(own + B**2 - 1 - np.log(own)) / 2,
    }
    exact["aggregate_kl"] = exact["total_correlation"] + exact["dimensionwise_kl"]
    exact["kl"] = exact["mutual_information"] + exact["aggregate_kl"]
    rows = gaussian_rows()
    found = kl_split(ModelRows(encoder_only(A, B, S), rows, key=KEY), num_samples=64)
    assert set(found) == set(exact)
    # The rows are no draw but a quadrature: only draws of z are noise. Squares of Normals spread by about 1 nat.
    noise = np.sqrt(np.sum(np.asarray(rows.weight) ** 2) / 64)
    assert noise < 0.03
    for name, value in exact.items():
        assert abs(found[name].value - value) < 5 * noise, (name, found[name], value)
    assert found["kl"].standard_error > 2 * noise  # which takes rows for a draw
    parts = ("mutual_information", "total_correlation", "dimensionwise_kl")
    assert found["kl"].value == pytest.approx(sum(found[name].value for name in parts), abs=1e-9)
    assert "at most log 256 = 5.55" in found["mutual_information"].protocol


def test_two_rows_by_quadrature() -> None:
    """q(z) = (N(-1, 0.5^2) + N(1, 0.5^2)) / 2, its information by quadrature; chunks and order change nothing."""
    model, x = encoder_only(np.eye(1), np.zeros(1), np.array([0.5])), np.array([[-1.0], [1.0]])
    z = np.linspace(-8, 8, 20_001)
    normal = lambda m: np.exp(-0.5 * ((z - m) / 0.5) ** 2) / (0.5 * np.sqrt(2 * np.pi))  # noqa: E731
    p, mixed = normal(1.0), (normal(-1.0) + normal(1.0)) / 2
    inside = p > 1e-300
    exact = np.sum(p[inside] * np.log(p[inside] / mixed[inside])) * (z[1] - z[0])
    many = batch_of(np.repeat(x, 500, axis=0))  # each row 500 times: the same aggregate, 1000 draws
    found = kl_split(ModelRows(model, many, key=KEY), num_samples=4)["mutual_information"]
    assert abs(found.value - exact) < 5 * found.standard_error
    assert found.value < np.log(2)
    again = kl_split(ModelRows(model, many, key=KEY, batch_size=64), num_samples=4)["mutual_information"]
    close(again.value, found.value, rtol=1e-5)
    again = kl_split(ModelRows(model, jax.tree.map(lambda leaf: leaf[::-1], many), key=KEY), num_samples=4)
    close(again["mutual_information"].value, found.value, rtol=1e-5)


def test_a_collapsed_and_a_far_posterior() -> None:
    """A posterior that ignores x says nothing of it; one whose rows never overlap says log n."""
    x = batch_of(np.arange(40.0)[:, None])
    nothing = kl_split(ModelRows(encoder_only(np.zeros((1, 1)), np.zeros(1), np.ones(1)), x, key=KEY), num_samples=2)
    for name in ("kl", "mutual_information", "total_correlation", "dimensionwise_kl"):
        assert nothing[name].value == pytest.approx(0.0, abs=1e-5)
    everything = kl_split(ModelRows(encoder_only(np.eye(1), np.zeros(1), np.array([1e-3])), x, key=KEY))
    assert everything["mutual_information"].value == pytest.approx(np.log(40), abs=1e-5)
    assert everything["total_correlation"].value == pytest.approx(0.0, abs=1e-4)


def test_parts_that_do_not_exist_are_not_given() -> None:
    prior = Downwards(StandardNormal((1,)), (Conditional(linear(np.ones((1, 2)), np.zeros(2)), NormalHead((1,))),))
    up = [Conditional(linear(np.array([[a, 0.0]]), np.array([0.0, -0.5])), NormalHead((1,))) for a in (1.0, 0.5)]
    decoder = Conditional(linear(np.ones((1, 1)), np.zeros(1)), SharedScaleNormalHead((1,), Frozen(jnp.zeros(()))))
    model = LatentModel(prior, Upwards(tuple(up)), FromLowest(decoder))
    batch = batch_of(np.linspace(-1, 1, 30)[:, None])
    found = kl_split(ModelRows(model, batch, key=KEY), num_samples=8)
    assert set(found) == {"kl", "mutual_information", "aggregate_kl"}
    levels = level_kl(ModelRows(model, batch, key=KEY), num_samples=64)
    # z1 ~ N(x, v), z2 ~ N(z1 / 2, v), v = e^-1; p: z2 ~ N(0, 1), z1 | z2 ~ N(z2, e^(2 z2)).
    # The upper level: E log N(z2; z1/2, v) - log N(z2; 0, 1) = (E z2^2 - 1 + 1) / 2, E z2^2 = (x^2 + v) / 4 + v.
    v, x = np.exp(-1.0), np.asarray(batch.x)[:, 0]
    upper = np.mean(((x**2 + v) / 4 + v - 1.0 + 1.0) / 2)
    assert abs(levels[1].value - upper) < 5 * np.hypot(levels[1].standard_error, 0.01)
    parts = elbo_parts(ModelRows(model, batch, key=KEY), num_samples=64)["kl"]
    together = levels[0].value + levels[1].value
    assert abs(together - parts.mean()) < 5 * np.sqrt(2 * parts.var() / 30 + 0.01)
    point = Conditional(linear(np.eye(1), np.zeros(1)), DeterministicHead((1,)))
    with pytest.raises(ConfigError, match="no density"):
        kl_split(ModelRows(LatentModel(StandardNormal((1,)), point, decoder), batch, key=KEY))


class Together(AbstractDistribution):
    """Two standard Normals that are told together."""

    def sample(self, *, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.random.normal(key, (1,)), jax.random.normal(jax.random.fold_in(key, 1), (1,))

    def log_prob(self, event: tuple[jax.Array, jax.Array]) -> jax.Array:
        return sum(StandardNormal((1,)).log_prob(z) for z in event)


def test_levels_that_a_prior_tells_together_have_one_kl() -> None:
    """The sum of both levels' KL, by the formula of Normals."""
    normal = lambda loc, scale: DiagonalNormal(jnp.full(1, loc), jnp.log(jnp.full(1, scale)))  # noqa: E731
    model = LatentModel(Together(), lambda x, **how: Chain(normal(1.0, 0.5), (lambda z: normal(-2.0, 1.5),)), jnp.abs)
    (level,) = level_kl(ModelRows(model, batch_of(np.zeros((300, 1))), key=KEY), num_samples=32)
    exact = (1.0 + 0.25 - 1.0 - np.log(0.25)) / 2 + (4.0 + 2.25 - 1.0 - np.log(2.25)) / 2
    assert abs(level.value - exact) < 5 * level.standard_error < 0.2


def test_a_discrete_code() -> None:
    """A Bernoulli posterior with probability 0.9 or 0.1 by row: I = log 2 - H(0.9), nothing else is left."""

    encoder = linear(np.array([[np.log(9.0)]]), np.zeros(1))

    def posterior(x: jax.Array, *, cond: object = None, mask: object = None, key: object = None) -> Bernoulli:
        return Bernoulli(encoder(x))

    decoder = Conditional(linear(np.ones((1, 1)), np.zeros(1)), SharedScaleNormalHead((1,), Frozen(jnp.zeros(()))))
    model = LatentModel(Bernoulli(jnp.zeros(1)), posterior, decoder)
    found = kl_split(ModelRows(model, batch_of(np.tile([[1.0], [-1.0]], (500, 1))), key=KEY), num_samples=4)
    h = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert abs(found["mutual_information"].value - (np.log(2) - h)) < 5 * found["mutual_information"].standard_error
    assert found["aggregate_kl"].value == pytest.approx(0.0, abs=1e-5)


def test_a_prior_that_is_fitted_to_the_units() -> None:
    """With the prior N(b, diag C) the units have no distance left, and the KL is information and dependence."""
    c = A.T @ A + np.diag(S**2)
    prior = DiagonalNormal(jnp.asarray(B, jnp.float32), jnp.asarray(0.5 * np.log(np.diag(c)), jnp.float32))
    found = kl_split(ModelRows(encoder_only(A, B, S, prior), gaussian_rows(), key=KEY), num_samples=8)
    assert abs(found["dimensionwise_kl"].value) < 5 * found["dimensionwise_kl"].standard_error
