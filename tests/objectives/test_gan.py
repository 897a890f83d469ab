"""A GAN: the value of its game by enumeration, the loss of each player by hand, and what is never claimed of it."""

from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP, evaluate
from checks import close
from cli_fixtures import Result
from metric_checks import average, same
from tables import dense

from latens import read
from latens.data.dataset import Batch
from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.models import BernoulliHead, Conditional, LatentModel
from latens.models.heads.base import DeterministicHead
from latens.objectives import GAN
from latens.objectives.base import prior_samples
from latens.trainable import partition_trainable
from latens.trained.paired import per_row
from latens.trained.sample_sets import SampleSets, compared
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)

KEY = jax.random.key(0)


def test_every_player_has_its_own_loss(float64) -> None:
    encoder = Conditional(dense([6, 3, 2], jax.random.key(1)), DeterministicHead((2,)))
    decoder = Conditional(dense([2, 4, 6], jax.random.key(2)), BernoulliHead((6,)))
    model = LatentModel(StandardNormal((2,)), encoder, decoder)
    x = jax.random.uniform(jax.random.key(3), (5, 6))
    batch, critic = Batch(x, jnp.arange(5, dtype=jnp.uint32)), dense([6, 3, 1], jax.random.key(4))
    z = prior_samples(model, batch, key=KEY)
    made = lambda part: jax.vmap(lambda v: jax.nn.sigmoid(part(v).logits))(z)  # noqa: E731
    logit = lambda part, x: jax.vmap(lambda row: part(row)[0])(x)  # noqa: E731
    sigmoid = jax.nn.sigmoid

    def of_decoder(part):
        return -jnp.mean(jnp.log(sigmoid(logit(critic, made(part)))))

    def of_encoder(part):
        back = jax.vmap(lambda row: part(row).mean())(made(decoder))
        return 0.5 * jnp.mean(jnp.sum((z - back) ** 2, axis=1))

    def of_critic(part):
        real, fake = logit(part, x), logit(part, made(decoder))
        return -0.5 * jnp.mean(jnp.log(sigmoid(real))) - 0.5 * jnp.mean(jnp.log1p(-sigmoid(fake)))

    trainable, rest = partition_trainable((model, GAN(critic)))

    def loss(arrays):
        own, objective = eqx.combine(arrays, rest)
        return objective(own, batch, key=KEY, step=STEP)[0]

    by_model, by_objective = jax.grad(loss)(trainable)
    same(by_model.decoder, eqx.filter_grad(of_decoder)(decoder))
    same(by_model.encoder, eqx.filter_grad(of_encoder)(encoder))
    same(by_objective.critic, eqx.filter_grad(of_critic)(critic))
    metrics = evaluate(GAN(critic), model, batch)[1]
    close(average(metrics, "generator_loss"), of_decoder(decoder))
    close(average(metrics, "code_error"), of_encoder(encoder))
    close(average(metrics, "critic_loss"), of_critic(critic))
    assert not {"elbo", "log_likelihood", "kl"} & set(metrics)


def test_no_likelihood_is_claimed(latens: Callable[..., Result], tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ("--steps", 5, "--set", "network.hidden=8", "--set", "posterior.latent_dim=2")
    fitted = latens("fit", "digits", "--recipe", "gan", *small, "--out", run, "--json")
    assert fitted.code == 0, fitted.err
    found = latens("evaluate", run, "--json").json["metrics"]
    assert {"two_sample_accuracy", "precision", "recall", "frechet_distance"} <= set(found)
    assert not [name for name in found if "log" in name or name in ("elbo", "kl", "bits_per_dimension")]
    data = read("digits")
    sets = SampleSets(TrainedModel.load(run / "model.safetensors"), data, data.subset("test"), 0)
    assert found["two_sample_accuracy"]["value"] == compared(sets)["two_sample_accuracy"].value
    other = latens("evaluate", run, "digits", "--label", "none", "--json")
    assert other.code == 3
    assert "gan has no likelihood, and the model was trained on other data" in other.json["error"]["message"]
    refused = latens(
        "fit", "digits", "--recipe", "gan", "--set", "posterior=normal", "--out", tmp_path / "no", "--json"
    )
    assert (refused.code, refused.json["error"]["where"]) == (4, "objective.name")
    assert not (tmp_path / "no").exists()
    with pytest.raises(ConfigError, match="no number for each row"):
        per_row(sets.trained, data, data.subset("test"), 2, 0)
    assert latens("sample", run, "-n", 9, "--out", tmp_path / "s.npz").code == 0
    with np.load(tmp_path / "s.npz") as drawn:
        assert drawn["x"].shape == (9, 8, 8)
