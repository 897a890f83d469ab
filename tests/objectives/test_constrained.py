"""Objectives with a target: the Lagrange multiplier, the best observation noise, capacity, groups and cycles."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bound_checks import STEP, evaluate
from checks import close
from enumeration import refused_at
from scipy import stats
from tables import MODELS, autoencoder, linear

from latens.data.batches import Batch
from latens.errors import ConfigError
from latens.models import AffineHead, Conditional, LatentModel, NormalHead, SharedScaleNormalHead
from latens.objectives import ELBO, SigmaVAE
from latens.objectives.reconstruction import reconstruct
from latens.trees import partition_trainable


def average(metrics, name):
    return float(metrics[name][0] / metrics[name][1])


# The best observation noise


def normal_model(log_scale, head=lambda head: head):
    model, batch = MODELS["grey pixels"]()
    shared = head(SharedScaleNormalHead((6,), jnp.asarray(log_scale, float)))
    return LatentModel(model.prior_part, model.encoder, Conditional(model.decoder.network, shared)), batch


def test_the_best_scale_by_numpy(float64):
    """The root mean square residual, masked cells and weights heeded; there both bounds are one."""
    model, batch = normal_model(-0.3)
    mask = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 6)) < 0.7)
    batch = Batch(jnp.where(mask, batch.x, jnp.nan), batch.row_id, mask, jnp.asarray([1.0, 2.0, 0.0, 1.0]))
    clean = Batch(jnp.where(mask, batch.x, 0.0), batch.row_id, mask, batch.weight)
    z = reconstruct(model, clean, key=jax.random.key(0))[0]
    residual = np.asarray(jnp.where(mask, batch.x, 0.0) - jax.vmap(model.likelihood)(z).mean())
    counts = np.asarray(batch.weight)[:, None] * np.asarray(mask)
    scale = np.sqrt((counts * residual**2).sum() / counts.sum())
    metrics = evaluate(SigmaVAE(), model, batch)[1]
    close(average(metrics, "best_scale"), scale, rtol=1e-9)
    exact = (counts * stats.norm.logpdf(residual, scale=scale)).sum() / 4
    close(average(metrics, "best_elbo"), exact - average(metrics, "kl"), rtol=1e-9)
    own = (counts * stats.norm.logpdf(residual, scale=np.exp(-0.3))).sum() / 4
    close(average(metrics, "log_likelihood"), own, rtol=1e-9)
    assert average(metrics, "elbo") < average(metrics, "best_elbo")
    at_best, _ = normal_model(np.log(scale))
    loss, metrics = evaluate(SigmaVAE(), at_best, batch)
    close(average(metrics, "elbo"), average(metrics, "best_elbo"), rtol=1e-9)
    close(loss, -average(metrics, "best_elbo"), rtol=1e-9)


def test_groups_have_their_own_gradients(float64):
    """At the best scale all gradients are the ELBO's, and the scale's is 0; elsewhere the scale follows its ELBO."""
    scale = average(evaluate(SigmaVAE(), *normal_model(-0.3))[1], "best_scale")

    def gradients_at(log_scale):
        model, batch = normal_model(log_scale)
        trainable, rest = partition_trainable(model)

        def number(trainable, honest):
            run = SigmaVAE()(eqx.combine(trainable, rest), batch, key=jax.random.key(0), step=STEP)
            return -run[1]["elbo"][0] / 4 if honest else run[0]

        return [jax.jit(jax.grad(lambda t, h=honest: number(t, h)))(trainable) for honest in (False, True)]

    trained, honest = gradients_at(np.log(scale))
    for a, b in zip(jax.tree.leaves(trained), jax.tree.leaves(honest)):
        close(a, b, rtol=1e-7, atol=1e-9)
    close(trained.decoder.head.log_scale, 0.0, atol=1e-9)
    trained_far, honest_far = gradients_at(1.0)
    close(trained_far.decoder.head.log_scale, honest_far.decoder.head.log_scale, rtol=1e-9)
    assert abs(float(honest_far.decoder.head.log_scale)) > 1.0
    for a, b in zip(jax.tree.leaves(trained_far.encoder), jax.tree.leaves(trained.encoder)):
        close(a, b, rtol=1e-9)


def test_the_scale_of_columns_with_units():
    """In units of 10 the best scale is that of standardised columns, and the density loses 6 log 10."""
    model, batch = normal_model(-0.3)
    head = lambda inner: AffineHead(inner, np.full(6, 2.0), np.full(6, 10.0))  # noqa: E731
    in_units, _ = normal_model(-0.3, head)
    moved = Batch(2.0 + 10.0 * batch.x, batch.row_id)
    in_units = LatentModel(model.prior_part, lambda x, **options: model.encoder((x - 2.0) / 10.0), in_units.decoder)
    plain, other = evaluate(SigmaVAE(), model, batch)[1], evaluate(SigmaVAE(), in_units, moved)[1]
    close(average(other, "best_scale"), average(plain, "best_scale"))
    for name in ("best_elbo", "elbo"):
        close(average(other, name), average(plain, name) - 6 * np.log(10.0))


def test_another_likelihood_is_refused():
    model, batch = MODELS["binary pixels"]()
    rowwise = LatentModel(
        model.prior_part, model.encoder, Conditional(linear(np.zeros((2, 12)), np.zeros(12)), NormalHead((2, 3)))
    )
    for wrong in (model, rowwise):
        with pytest.raises(ConfigError, match=r"one scale for all variables\. Use --set likelihood.family=normal"):
            SigmaVAE()(wrong, batch, key=jax.random.key(0), step=STEP)
    with pytest.raises(ConfigError, match="a point mass has no density"):
        SigmaVAE()(autoencoder()[0], batch, key=jax.random.key(0), step=STEP)


# Capacity, groups and cycles


def test_capacity_is_a_target_for_the_divergence():
    model, batch = MODELS["binary pixels"]()
    metrics = evaluate(ELBO(), model, batch)[1]
    kl, log_likelihood = average(metrics, "kl"), average(metrics, "log_likelihood")
    for target in (0.0, 0.5 * kl, 2 * kl):
        loss, other = evaluate(ELBO(beta=30.0, capacity=float(target)), model, batch)
        close(loss, -log_likelihood + 30.0 * abs(kl - target))
        close(other["elbo"], metrics["elbo"])
    scheduled = ELBO(beta=30.0, capacity=optax.linear_schedule(0.0, 4.0, 20))
    close(evaluate(scheduled, model, batch)[0], -log_likelihood + 30.0 * abs(kl - 1.0))


def test_neighbouring_units_share_their_free_bits():
    """Two and two, by the mean over rows that count: the last counts nothing."""
    units = np.array([[0.1, 2.0, 0.3, 0.05], [0.5, 1.0, 0.9, 0.15], [9.0, 9.0, 9.0, 9.0]])
    rows = Batch(jnp.zeros((3, 1)), jnp.arange(3, dtype=jnp.uint32), weight=jnp.asarray([3.0, 1.0, 0.0]))
    neighbours = np.average(units, axis=0, weights=[3, 1, 0]).reshape(2, 2).sum(axis=1)
    found = ELBO(free_bits=1.0, free_bits_group=2)._free_bits(jnp.asarray(units, jnp.float32), rows)
    close(found, np.maximum(neighbours, 1.0).sum())


def test_units_of_a_group_share_their_free_bits():
    model, batch = MODELS["binary pixels"]()
    metrics = evaluate(ELBO(), model, batch)[1]
    kl, log_likelihood = average(metrics, "kl"), average(metrics, "log_likelihood")
    for free in (0.5 * kl, 1.5 * kl):
        shared = ELBO(free_bits=float(free), free_bits_group=2)
        close(evaluate(shared, model, batch)[0], -log_likelihood + max(kl, free))
    with pytest.raises(ConfigError, match="groups of 3 do not divide 2 units"):
        evaluate(ELBO(free_bits=1.0, free_bits_group=3), model, batch)


def test_options_out_of_range_are_refused():
    assert refused_at(ELBO, kl="exact") == "objective.kl"
    assert refused_at(ELBO, num_samples=0) == "objective.num_samples"
    assert refused_at(ELBO, free_bits=-1.0) == "objective.free_bits"
    assert refused_at(ELBO, free_bits=1.0, capacity=2.0) == "objective.capacity"
    assert refused_at(SigmaVAE, kl="exact") == "objective.kl"
