"""The three players of a VAE-GAN: each one's gradient is that of its own loss, written out by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP, evaluate
from checks import close
from enumeration import refused_at
from metric_checks import average, same
from tables import MODELS, dense

from latens.distributions import StandardNormal, kl_terms
from latens.errors import ConfigError
from latens.models import Conditional, FullNormalHead, LatentModel, NormalHead
from latens.networks import Dense
from latens.objectives import ELBO, VAEGAN, draw
from latens.objectives.feature_matching import FeatureCritic
from latens.objectives.roles import prior_samples
from latens.trees import partition_trainable

KEY, WEIGHT = jax.random.key(0), 0.7


def critic(cells: int = 6) -> FeatureCritic:
    return FeatureCritic(dense([cells, 4, 3, 1], jax.random.key(9)))


def gradients(objective, model, batch):
    trainable, rest = partition_trainable((model, objective))
    loss = lambda t: eqx.combine(t, rest)[1](eqx.combine(t, rest)[0], batch, key=KEY, step=STEP)[0]  # noqa: E731
    return jax.jit(jax.grad(loss))(trainable)


def by_hand(model, judge, batch):
    """The three losses as functions of (encoder, decoder, critic), everything else constant."""
    flat = np.asarray(batch.x).reshape(4, 6)
    noise = draw(model, batch, num_samples=1, key=KEY).z[0]
    posterior = jax.vmap(model.posterior)(batch.x)
    raw = (noise - posterior.loc) / jnp.exp(posterior.log_scale)
    dreams = prior_samples(model, batch, key=KEY)
    decode = lambda decoder, z: jax.vmap(lambda v: jax.nn.sigmoid(decoder(v).logits).ravel())(z)  # noqa: E731
    features = lambda c, rows: jax.vmap(c.features)(rows)  # noqa: E731
    logit = lambda c, rows: jax.vmap(c)(rows)  # noqa: E731

    def codes(encoder):
        q = jax.vmap(encoder)(batch.x)
        return q, q.loc + jnp.exp(q.log_scale) * raw

    def distance(c, rows):
        return 0.5 * jnp.mean(jnp.sum((features(c, rows) - features(c, flat)) ** 2, axis=1))

    def of_encoder(encoder):
        q, z = codes(encoder)
        kl = jax.vmap(lambda d: kl_terms(d, StandardNormal((2,))).sum())(q)
        return jnp.mean(kl) + distance(judge, decode(model.decoder, z))

    def of_decoder(decoder):
        given, dreamt = decode(decoder, codes(model.encoder)[1]), decode(decoder, dreams)
        passes = [-jnp.mean(jnp.log(jax.nn.sigmoid(logit(judge, rows)))) for rows in (given, dreamt)]
        return WEIGHT * distance(judge, given) + 0.5 * sum(passes)

    def of_critic(c):
        given, dreamt = decode(model.decoder, codes(model.encoder)[1]), decode(model.decoder, dreams)
        caught = [-jnp.mean(jnp.log1p(-jax.nn.sigmoid(logit(c, rows)))) for rows in (given, dreamt)]
        return -jnp.mean(jnp.log(jax.nn.sigmoid(logit(c, flat)))) + 0.5 * sum(caught)

    return of_encoder, of_decoder, of_critic


def test_every_player_has_its_own_loss(float64):
    model, batch = MODELS["binary pixels"]()
    judge = critic()
    by_model, by_objective = gradients(VAEGAN(judge, WEIGHT), model, batch)
    of_encoder, of_decoder, of_critic = by_hand(model, judge, batch)
    same(by_model.encoder, eqx.filter_grad(of_encoder)(model.encoder))
    same(by_model.decoder, eqx.filter_grad(of_decoder)(model.decoder))
    same(by_objective.critic, eqx.filter_grad(of_critic)(judge))
    loss, metrics = evaluate(VAEGAN(judge, WEIGHT), model, batch)
    close(loss, of_encoder(model.encoder) + of_decoder(model.decoder))
    close(average(metrics, "critic_loss"), of_critic(judge))
    honest = evaluate(ELBO(), model, batch)[1]
    for name in ("elbo", "kl", "log_likelihood"):
        close(average(metrics, name), average(honest, name))
    close(average(metrics, "feature_distance"), of_encoder(model.encoder) - average(honest, "kl"))


def test_the_features_are_what_the_last_layer_reads():
    judge, x = critic(), jnp.linspace(-1.0, 1.0, 6)
    hidden = x
    for layer in judge.network.layers[:-1]:
        hidden = np.asarray(jax.nn.elu(hidden @ layer.weight + layer.bias))
    close(judge.features(x), hidden)
    close(judge(x), judge.network(x)[0])


def test_what_cannot_be_compared_is_refused():
    assert refused_at(VAEGAN, critic=critic(), weight=-1.0) == "objective.weight"
    assert refused_at(VAEGAN, critic=critic(), kl="exact") == "objective.kl"
    model, batch = MODELS["binary pixels"]()
    head = FullNormalHead(NormalHead((6,)))
    decoder = Conditional(Dense([2, head.num_outputs], key=KEY), head)
    flat = eqx.tree_at(lambda b: b.x, batch, batch.x.reshape(4, 6))
    encoder = LatentModel(model.prior_part, model.encoder, decoder)
    with pytest.raises(ConfigError, match="no mean by variable"):
        VAEGAN(critic())(encoder, flat, key=KEY, step=STEP)
