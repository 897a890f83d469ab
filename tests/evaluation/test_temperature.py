"""Samples at a temperature: exact for Normals and mixtures, at 1 the draws of `sample`; what has none is refused."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cli_fixtures import Result

from latens import VAE, read
from latens.distributions import (
    Categorical,
    DiagonalNormal,
    Laplace,
    Mixture,
    Product,
    StandardNormal,
    as_reparameterised,
)
from latens.distributions.chain import Chain
from latens.errors import ConfigError, UsageError
from latens.evaluation import sample_prior

pytest_plugins = ("cli_fixtures",)
KEY = jax.random.key(0)
NORMAL = DiagonalNormal(jnp.array([1.0, -2.0]), jnp.array([0.3, -0.7]))
FAMILIES = {
    "standard-normal": StandardNormal((2,)),
    "normal": NORMAL,
    "laplace": Laplace(jnp.array([0.5, 4.0]), jnp.array([0.1, 0.2])),
    "product": Product({"a": NORMAL, "b": StandardNormal((3,))}),
    "chain": Chain(NORMAL, (lambda z: DiagonalNormal(2.0 * z - 1.0, jnp.array([-0.5, 0.2])),)),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 0.3, 0.8, 1.0, 1.5])
def test_deviations_from_the_mean_are_those_of_a_draw_times_the_temperature(name, temperature):
    distribution = as_reparameterised(FAMILIES[name])
    ordinary = distribution.sample(key=KEY)
    found = distribution.sample_at(temperature, key=KEY)
    mean = distribution.from_noise(jax.tree.map(jnp.zeros_like, distribution.sample_noise(key=KEY)))
    expected = jax.tree.map(lambda m, x: m + temperature * (x - m), mean, ordinary)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)
    if temperature == 1.0:
        jax.tree.map(np.testing.assert_array_equal, found, ordinary)


def test_a_mixture_keeps_its_weights_and_narrows_its_components():
    locs, logits = jnp.array([[-4.0], [3.0]]), jnp.log(jnp.array([0.25, 0.75]))
    mixture = Mixture(logits, jax.vmap(DiagonalNormal)(locs, jnp.log(jnp.array([[0.5], [1.0]]))))
    keys = jax.random.split(KEY, 20_000)
    x = np.asarray(jax.vmap(lambda key: mixture.sample_at(0.2, key=key))(keys))[:, 0]
    first = x < 0
    assert abs(first.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(x))
    for own, loc, scale in ((x[first], -4.0, 0.1), (x[~first], 3.0, 0.2)):
        assert abs(own.mean() - loc) < 5 * scale / np.sqrt(len(own))
        assert abs(own.std() / scale - 1.0) < 5 / np.sqrt(2 * len(own))
    ordinary = jax.vmap(lambda key: mixture.sample(key=key))(keys[:100])
    np.testing.assert_array_equal(ordinary, jax.vmap(lambda key: mixture.sample_at(1.0, key=key))(keys[:100]))


class Prior:
    """What `sample_prior` asks of a model."""

    def __init__(self, distribution):
        self.distribution = distribution

    def prior(self, *, cond=None):
        return self.distribution


def test_what_has_no_temperature_is_refused():
    choice = Prior(Categorical(jnp.zeros((2, 3))))
    assert sample_prior(choice, 3, key=KEY).shape[0] == 3
    for one in (choice, Prior(Chain(NORMAL, (lambda z: Categorical(jnp.zeros((2, 3))),)))):
        with pytest.raises(ConfigError, match="the prior of this model has no temperature"):
            sample_prior(one, 3, key=KEY, temperature=0.5)
    for wrong in (-0.1, float("nan"), float("inf"), "warm", None, [0.5], True):
        with pytest.raises(UsageError, match="is not a temperature"):
            sample_prior(Prior(NORMAL), 3, key=KEY, temperature=wrong)


def test_an_estimator_samples_at_a_temperature():
    x = read("iris").x
    vae = VAE(epochs=1, random_state=0).fit(x)
    np.testing.assert_array_equal(vae.sample(5), vae.sample(5, temperature=1.0))
    means = vae.prior_predictive(40, mean=True, temperature=0.0)
    np.testing.assert_array_equal(means, np.broadcast_to(means[:1], means.shape))
    spread = [vae.prior_predictive(400, mean=True, temperature=t).std(axis=0).sum() for t in (0.3, 1.0)]
    assert spread[0] < 0.6 * spread[1]
    np.testing.assert_array_equal(
        vae.model_.sample(5, seed=1, temperature=0.7), vae.model_.sample(5, seed=1, temperature=0.7)
    )


@pytest.mark.parametrize(
    ("run", "flags", "message"),
    [
        ("pretrained:digits-16d", ["--temperature", "-1"], "--temperature"),
        ("pretrained:digits-16d", ["--temperature", "warm"], "--temperature"),
        ("pretrained:digits-16d", ["--temperature", "0.5", "--complete", "x.csv"], "z is drawn given a row"),
    ],
)
def test_a_temperature_that_would_do_nothing_is_refused(
    latens: Callable[..., Result], run: str, flags: list[str], message: str, tmp_path: Path
):
    found = latens("sample", run, *flags, "--out", str(tmp_path / "a.npz"))
    assert found.code
    assert message in found.err
    assert not list(tmp_path.iterdir())


def test_the_command_samples_at_a_temperature(latens: Callable[..., Result], tmp_path: Path):
    def sample(name: str, *flags: str) -> np.ndarray:
        latens("sample", "pretrained:digits-16d", "-n", "50", *flags, "--out", str(tmp_path / name), "--json")
        with np.load(tmp_path / name) as made:
            return made["z"]

    ordinary, half = sample("a.npz"), sample("b.npz", "--temperature", "0.5")
    np.testing.assert_allclose(half, 0.5 * ordinary, rtol=1e-6)
    np.testing.assert_array_equal(sample("c.npz", "--temperature", "1"), ordinary)
    assert not sample("d.npz", "--temperature", "0").any()
