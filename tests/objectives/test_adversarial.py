"""Critics: each player's gradient is that of its own loss, and a trained one meets the closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP, evaluate
from checks import agrees, close
from metric_checks import average, same
from tables import MODELS, autoencoder
from tables_objectives import QuadraticCritic, critic

from latens.data.dataset import Batch
from latens.objectives import AAE, FactorVAE, draw
from latens.objectives.adversarial import shuffled_units
from latens.objectives.base import evidence, flat_codes, prior_samples
from latens.objectives.mmd import reconstruct
from latens.trainable import partition_trainable

KEY = jax.random.key(0)


def gradients_of(objective, model, batch):
    """(by the model, by the critic)."""
    trainable, rest = partition_trainable((model, objective))

    def loss(trainable):
        m, o = eqx.combine(trainable, rest)
        return o(m, batch, key=KEY, step=STEP)[0]

    return jax.jit(jax.grad(loss))(trainable)


def cross_entropy(weights, positive, negative):
    """By the formula, of codes that are plain numbers."""
    logits = lambda codes: jnp.stack([QuadraticCritic(weights)(code) for code in codes])  # noqa: E731
    own, other = jax.nn.sigmoid(logits(positive)), jax.nn.sigmoid(logits(negative))
    return -0.5 * jnp.mean(jnp.log(own)) - 0.5 * jnp.mean(jnp.log1p(-other))


def fixed_logit(v):
    """The critic of the tables as a formula without anything to train."""
    s, t = jnp.sum(v, axis=1), jnp.sum(v**2, axis=1)
    return 0.1 - 0.4 * s + 0.2 * t - 0.05 * s**2


def model_gradient(value, model):
    trainable, rest = partition_trainable(model)
    return jax.jit(jax.grad(lambda t: value(eqx.combine(t, rest))))(trainable)


def test_factor_vae_gives_each_player_its_own_loss(float64):
    """Model: -ELBO + 10 E[logit] under a critic that is a constant formula. Critic: its cross-entropy alone."""
    model, batch = MODELS["binary pixels"]()
    objective = FactorVAE(critic())
    by_model, by_critic = gradients_of(objective, model, batch)
    loss, metrics = evaluate(objective, model, batch)

    def codes_and_bound(m):
        parts = evidence(m, batch, key=KEY)
        return draw(m, batch, num_samples=1, key=KEY).z[0], jnp.mean(parts.log_likelihood - parts.kl)

    def value(m):
        z, bound = codes_and_bound(m)
        return -bound + 10.0 * jnp.mean(fixed_logit(z))

    close(loss, value(model))
    same(by_model, model_gradient(value, model))
    codes = np.asarray(codes_and_bound(model)[0])
    shuffled = np.asarray(shuffled_units(jnp.asarray(codes), batch, key=KEY))
    own = lambda w: cross_entropy(w, codes, shuffled)  # noqa: E731
    close(by_critic.critic.weight, jax.grad(own)(critic().weight))
    close(average(metrics, "critic_loss"), own(critic().weight))
    close(average(metrics, "total_correlation"), fixed_logit(jnp.asarray(codes)).mean())
    right = np.concatenate([fixed_logit(codes) > 0, fixed_logit(shuffled) < 0]).mean()
    close(average(metrics, "critic_accuracy"), right)


@pytest.mark.parametrize("make", [MODELS["binary pixels"], autoencoder], ids=["with noise", "without noise"])
def test_aae_gives_each_player_its_own_loss(make, float64):
    """Model: -log p(x|z) + 3 E[softplus(-logit)] under a constant critic. Critic: prior against codes."""
    model, batch = make()
    objective = AAE(critic(), 3.0)
    by_model, by_critic = gradients_of(objective, model, batch)
    loss, metrics = evaluate(objective, model, batch)

    def value(m):
        z, log_likelihood = reconstruct(m, batch, key=KEY)
        return -jnp.mean(log_likelihood) + 3.0 * jnp.mean(jax.nn.softplus(-fixed_logit(z)))

    close(loss, value(model))
    same(by_model, model_gradient(value, model))
    codes, prior = reconstruct(model, batch, key=KEY)[0], prior_samples(model, batch, key=KEY)
    own = lambda w: cross_entropy(w, np.asarray(prior), np.asarray(codes))  # noqa: E731
    close(by_critic.critic.weight, jax.grad(own)(critic().weight))
    close(average(metrics, "critic_loss"), own(critic().weight))


def test_shuffled_units_keep_margins_and_lose_correlation(getkey):
    """Every unit of a shuffled row is one of its column's values, drawn by weight, each on its own."""
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal([1.0, -1.0], [[1.0, 0.9], [0.9, 1.0]], 5_000)
    weight = np.where(np.arange(5_000) < 1_000, 0.0, 1.0)
    batch = Batch(jnp.zeros((5_000, 1)), jnp.arange(5_000, dtype=jnp.uint32)[::-1], weight=jnp.asarray(weight))
    shuffled = np.asarray(shuffled_units(jnp.asarray(z, jnp.float32), batch, key=getkey()))
    kept = z[1_000:].astype(np.float32)
    for unit in range(2):
        assert set(shuffled[:, unit]) <= set(kept[:, unit])
    agrees(shuffled, kept.mean(axis=0))
    centred = shuffled - kept.mean(axis=0)
    agrees(centred**2, kept.var(axis=0))
    agrees(centred[:, 0] * centred[:, 1], 0.0)


def test_codes_are_laid_side_by_side():
    close(flat_codes({"a": jnp.ones((2, 1, 2)), "b": jnp.zeros((2,))}), [[1.0, 1.0, 0.0]] * 2)
