"""ELBO in parts, paths, traversals, rate and distortion of an estimator; schedules of beta by name."""

import jax
import numpy as np
import pytest

from latens import VAE
from latens.config import VAEConfig, override
from latens.errors import ConfigError, UsageError
from latens.objectives.elbo import SCHEDULES, Schedule, check_schedule

X = np.random.default_rng(0).normal(size=(40, 4)) @ np.array([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE(2, hidden=(4,), steps=9, settings={"num_samples": 8, "validation_fraction": 0}, random_state=0).fit(X)


def test_the_parts_of_the_elbo_add_up_exactly(vae: VAE) -> None:
    found, many = vae.elbo(X), vae.elbo(X, num_samples=400)
    assert np.array_equal(found.log_likelihood - found.kl, found.elbo)
    assert (many.elbo < vae.model_.log_marginal(X, num_samples=400)).all()  # by a KL, of some 0.05 nats or more
    assert np.allclose(vae.elbo(X[5:9]).kl, found.kl[5:9], atol=1e-4)  # a row has draws of its own
    # The linear-Gaussian KL by formula, from what `encode` says of q(z | x): many draws come to it.
    mean, scale = vae.encode(X)
    exact = 0.5 * (mean**2 + scale**2 - 1.0 - 2.0 * np.log(scale)).sum(axis=1)
    assert np.mean(many.kl) == pytest.approx(np.mean(exact), abs=0.03)


def test_paths_begin_and_end_at_their_rows(vae: VAE) -> None:
    for path in ("linear", "spherical"):
        rows = vae.interpolate(X[:1], X[1:2], 5, path=path)
        assert np.allclose(rows[[0, 4]], vae.reconstruct(X[:2]), atol=1e-4)
    z = vae.transform(X[:2])
    middle = vae.interpolate(z[0], z[1], 3, path="linear")[1]
    assert np.allclose(middle, vae.inverse_transform(z.mean(axis=0)[None])[0], atol=1e-5)


def test_what_cannot_be_looked_at_is_refused(vae: VAE) -> None:
    for work in (
        lambda: vae.interpolate(X[:1], X[1:2], path="round"),
        lambda: vae.interpolate(X[:1], X[1:2], 1),
        lambda: vae.elbo(X, num_samples=0),
    ):
        with pytest.raises(UsageError):
            work()


def test_schedules_by_name() -> None:
    steps = np.arange(20)
    assert np.allclose(jax.vmap(Schedule("cyclical", 8))(steps), np.minimum(1.0, steps % 8 / 4.0))
    assert np.allclose([Schedule("linear", 10, 3.0)(step) for step in (0, 5, 10, 15)], [0.0, 1.5, 3.0, 3.0])
    assert np.allclose([Schedule("cosine", 10)(step) for step in (0, 5, 10, 15)], [0.0, 0.5, 1.0, 1.0])
    assert np.allclose([Schedule("sigmoid", 10)(step) for step in (0, 5, 15)], [0.00247262, 0.5, 0.99752738], atol=1e-6)
    for name in SCHEDULES:
        assert check_schedule(f"{name}:4") == (name, 4.0)
    for text in ("cyclical", "cyclical:", "cyclical:0", "cyclical:-1", "cyclical:nan", "square:4"):
        with pytest.raises(ConfigError):
            check_schedule(text)


def test_beta_takes_the_name_of_a_schedule() -> None:
    for name in ("beta", "objective.beta"):
        assert override(VAEConfig(), {name: "cyclical:4"}).objective.beta_schedule == "cyclical:4"
    held = VAE(
        2, hidden=(4,), epochs=2, batch_size=10, beta="linear:1e9", settings={"validation_fraction": 0}, random_state=0
    ).fit(X)
    free = VAE(
        2, hidden=(4,), epochs=2, batch_size=10, beta=0.0, settings={"validation_fraction": 0}, random_state=0
    ).fit(X)
    assert np.allclose(held.transform(X), free.transform(X), atol=1e-5)  # a weight that stays at 0
    for given in ("linear", "square:4"):
        with pytest.raises(ConfigError):
            VAE(2, beta=given).fit(X)
    both = {"objective.beta_warmup_epochs": 2, "objective.beta": "linear:2"}
    with pytest.raises(ConfigError, match="warm-up and a schedule"):
        VAE(2, hidden=(4,), steps=1, settings=both).fit(X)
    with pytest.raises(ConfigError, match="no beta"):
        VAE(2, hidden=(4,), steps=1, objective="iwae", beta="linear:2").fit(X)
