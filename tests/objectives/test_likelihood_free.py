"""Inference for simulators: each player's own gradient, and the exact posterior of a Gaussian one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bound_checks import STEP, evaluate
from checks import agrees, close
from metric_checks import average, same
from tables import MODELS, batch_of, linear
from test_vae_gan import gradients

from latens.data.batches import Batch
from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.models import Conditional, LatentModel, NormalHead, Simulator
from latens.objectives import ELBO, LikelihoodFree
from latens.objectives.likelihood_free import inferred_pairs, simulated_pairs

KEY = jax.random.key(0)


class Shifted(eqx.Module):
    """x = z + shift + noise."""

    shift: jax.Array

    def __call__(self, z: jax.Array, noise: jax.Array) -> jax.Array:
        return z + self.shift + noise


class PairCritic(eqx.Module):
    """Every quadratic function of x and z."""

    weight: jax.Array

    def __call__(self, v: jax.Array) -> jax.Array:
        x, z = v
        return jnp.dot(self.weight, jnp.stack([jnp.ones_like(x), x, z, x**2, z**2, x * z]))


def simulator_model(bias=(0.0, 0.0), weight=(0.0, 0.0), shift=0.0) -> LatentModel:
    encoder = Conditional(linear(np.array([weight]), np.array(bias)), NormalHead((1,)))
    return LatentModel(StandardNormal((1,)), encoder, Simulator(Shifted(jnp.asarray([shift], float)), 1))


def test_every_player_has_its_own_loss(float64):
    judge = PairCritic(jnp.asarray([0.2, -0.3, 0.5, 0.1, -0.2, 0.4]))
    model, batch = simulator_model((0.3, -0.5), (0.6, 0.1), 0.7), batch_of(np.array([[0.5], [-1.0], [2.0]]))
    by_model, by_objective = gradients(LikelihoodFree(judge), model, batch)
    inferred, simulated = (pairs(model, batch, key=KEY) for pairs in (inferred_pairs, simulated_pairs))
    answer = lambda c, pairs: jnp.stack([c(pair) for pair in pairs])  # noqa: E731
    fixed = lambda pairs: answer(judge, pairs)  # noqa: E731

    def of_encoder(encoder):
        moved = LatentModel(model.prior_part, encoder, model.decoder)
        return jnp.mean(fixed(inferred_pairs(moved, batch, key=KEY)))

    def of_decoder(shift):
        made = simulated.at[:, 0].add(shift[0] - 0.7)
        return -jnp.mean(jnp.log(jax.nn.sigmoid(fixed(made))))

    def of_critic(c):
        right = jnp.log(jax.nn.sigmoid(answer(c, inferred))), jnp.log1p(-jax.nn.sigmoid(answer(c, simulated)))
        return -0.5 * (jnp.mean(right[0]) + jnp.mean(right[1]))

    same(by_model.encoder, eqx.filter_jit(eqx.filter_grad(of_encoder))(model.encoder))
    close(by_model.decoder.function.shift, jax.jit(jax.grad(of_decoder))(jnp.asarray([0.7])))
    same(by_objective.critic, eqx.filter_jit(eqx.filter_grad(of_critic))(judge))
    loss, metrics = evaluate(LikelihoodFree(judge), model, batch)
    close(loss, of_encoder(model.encoder))
    close(average(metrics, "critic_bound"), -loss)
    close(average(metrics, "critic_loss"), of_critic(judge))


def test_pairs_have_the_moments_of_their_joints(float64):
    """x and z of the model: variances 2 and 1, covariance 1, mean of x the shift; the others from the encoder."""
    model = simulator_model((0.3, np.log(0.5)), (0.6, 0.0), 0.7)
    x = np.linspace(-1.0, 1.0, 20_000)[:, None]
    batch = Batch(jnp.asarray(x), jnp.arange(20_000, dtype=jnp.uint32))
    made = np.asarray(simulated_pairs(model, batch, key=KEY))
    agrees(made, [0.7, 0.0])
    agrees(np.stack([(made[:, 0] - 0.7) ** 2, made[:, 1] ** 2, (made[:, 0] - 0.7) * made[:, 1]], 1), [2.0, 1.0, 1.0])
    found = np.asarray(inferred_pairs(model, batch, key=KEY))
    close(found[:, 0], x[:, 0])
    residual = found[:, 1] - 0.6 * x[:, 0] - 0.3
    agrees(np.stack([residual, residual**2], 1), [0.0, 0.25])


def test_the_encoder_of_a_simulator_finds_the_exact_posterior():
    """z ~ N(0, 1), x = z + noise, data from the simulator: q ends at N(x/2, 1/2), from N(1, 1) for every x."""
    start = (jnp.asarray([[0.0, 0.0]]), jnp.asarray([1.0, 0.0]), jnp.zeros(6))
    # Two players circle with momentum; a critic that is faster than the encoder does not.
    rates = {
        "encoder": optax.adam(optax.cosine_decay_schedule(0.02, 2_000), b1=0.0),
        "critic": optax.adam(0.05, b1=0.0),
    }
    optimizer = optax.multi_transform(rates, ("encoder", "encoder", "critic"))

    def loss(params, key):
        data_key, draw_key = jax.random.split(key)
        x = np.sqrt(2.0) * jax.random.normal(data_key, (512, 1))
        model = eqx.tree_at(lambda m: (m.encoder.network.weight, m.encoder.network.bias), simulator_model(), params[:2])
        rows = Batch(x, jnp.arange(512, dtype=jnp.uint32))
        return LikelihoodFree(PairCritic(params[2]))(model, rows, key=draw_key, step=STEP)[0]

    def step(carry, key):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params, key), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params[:2]

    keys = jax.random.split(KEY, 2_000)
    weight, bias = jax.jit(lambda: jax.lax.scan(step, (start, optimizer.init(start)), keys)[1])()
    close(weight[-500:].mean(axis=0)[0], [0.5, 0.0], rtol=0, atol=0.05)
    close(bias[-500:].mean(axis=0), [0.0, 0.5 * np.log(0.5)], rtol=0, atol=0.05)


def test_a_simulator_has_no_density_and_coins_no_gradient():
    model, batch = simulator_model(), batch_of(np.array([[0.5]]))
    close(model.likelihood(jnp.asarray([0.4])).mean(), [0.4])
    with pytest.raises(ConfigError, match="no density"):
        ELBO()(model, batch, key=KEY, step=STEP)
    pixels, rows = MODELS["binary pixels"]()
    judge = eqx.nn.MLP(8, "scalar", 2, 1, key=KEY)
    with pytest.raises(ConfigError, match="samples of a Bernoulli"):
        eqx.filter_grad(lambda m: LikelihoodFree(judge)(m, rows, key=KEY, step=STEP)[0])(pixels)
