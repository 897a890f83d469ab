"""Samples at a temperature: exact for Normals and mixtures, at 1 the draws of `sample`; what has none is refused."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cli_fixtures import Result

from latens.data import Preparation, Schema
from latens.distributions import AbstractDistribution, Categorical, DiagonalNormal, Mixture
from latens.distributions.chain import Chain
from latens.errors import ConfigError, UsageError
from latens.latents import sample_prior
from latens.models import LatentModel
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)

KEY = jax.random.key(0)
NORMAL = DiagonalNormal(jnp.array([1.0, -2.0]), jnp.array([0.3, -0.7]))


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


def with_prior(distribution: AbstractDistribution) -> LatentModel:
    return LatentModel(distribution, jnp.abs, jnp.abs)


def test_what_has_no_temperature_is_refused():
    choice = with_prior(Categorical(jnp.zeros((2, 3))))
    assert sample_prior(choice, 3, key=KEY).shape[0] == 3
    for one in (choice, with_prior(Chain(NORMAL, (lambda z: Categorical(jnp.zeros((2, 3))),)))):
        with pytest.raises(ConfigError, match="the prior of this model has no temperature"):
            sample_prior(one, 3, key=KEY, temperature=0.5)
    for wrong in (-0.1, float("nan"), float("inf"), "warm", None, [0.5], True):
        with pytest.raises(UsageError, match="is not a temperature"):
            sample_prior(with_prior(NORMAL), 3, key=KEY, temperature=wrong)
    trained = TrainedModel(with_prior(NORMAL), Schema((2,), "real"), Preparation())
    for far in (0.5, 2.0):
        with pytest.raises(UsageError, match="cannot be combined with conditions"):
            trained.sample(3, given={"x0": 1.0}, temperature=far)
    for same in (np.float64(2.0), np.int64(2), jnp.float32(2.0)):
        drawn = [sample_prior(with_prior(NORMAL), 3, key=KEY, temperature=one) for one in (same, 2.0)]
        np.testing.assert_array_equal(*drawn)


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
