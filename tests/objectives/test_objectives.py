"""Objectives and draws: exact values, identities, and what must not matter."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bound_checks import draw, evaluate, loss_of
from checks import close
from metric_checks import average
from tables import MODELS, OBJECTIVES, conjugate_pair

from latens.data.dataset import Batch, as_batch
from latens.distributions import kl_terms
from latens.errors import ConfigError
from latens.models import Conditional, LatentModel, Standardise
from latens.objectives import ELBO, Draws, elbo
from latens.objectives.base import run_objective


def test_free_bits_are_of_the_rows_of_a_shard():
    """Between the mean KL of two halves, one half has its KL as penalty and the other the free bits."""
    model, batch = MODELS["binary pixels"]()
    kl = np.asarray(jax.vmap(lambda x: kl_terms(model.posterior(x), model.prior()).sum())(batch.x))
    halves = [jax.tree.map(lambda leaf, half=half: leaf[half], batch) for half in (slice(0, 2), slice(2, 4))]
    units = math.prod(np.shape(kl_terms(model.posterior(batch.x[0]), model.prior())))
    means = np.array([kl[:2].mean(), kl[2:].mean()])
    bound = ELBO(free_bits=float(means.mean()), free_bits_group=units)
    for half, mean in zip(halves, means):
        penalty = float(loss_of(bound, model, half)) - float(loss_of(ELBO(beta=0.0), model, half))
        close(penalty, max(means.mean(), mean), atol=1e-5)
    assert means.min() < means.mean() < means.max()


def test_a_capacity_is_of_the_whole_batch():
    """At the mean KL as its capacity the penalty is 0; of halves, whose means lie about it, it is their distance."""
    model, batch = MODELS["binary pixels"]()
    value = lambda objective, rows: float(loss_of(objective, model, rows))  # noqa: E731
    kl = np.asarray(jax.vmap(lambda x: kl_terms(model.posterior(x), model.prior()).sum())(batch.x))
    tight, free = ELBO(capacity=float(kl.mean())), ELBO(beta=0.0)
    halves = [jax.tree.map(lambda leaf, half=half: leaf[half], batch) for half in (slice(0, 2), slice(2, 4))]
    close(value(tight, batch) - value(free, batch), 0.0, atol=1e-5)
    apart = abs(kl[:2].mean() - kl[2:].mean()) / 2
    assert apart > 0.01
    close(np.mean([value(tight, half) - value(free, half) for half in halves]), apart, rtol=1e-3)
    assert tight.couples_rows() == "objective.capacity bounds the mean KL of a whole batch"
    assert free.couples_rows() == ""


def test_a_schedule_is_the_number_that_it_gives_at_a_step():
    model, batch = MODELS["binary pixels"]()
    found, half = (evaluate(one, model, batch)[0] for one in (OBJECTIVES["ELBO, beta by schedule"](), ELBO(beta=0.5)))
    close(found, half, rtol=1e-7)


def test_more_samples_keep_the_first_ones():
    model, batch = MODELS["binary pixels"]()
    two, three = (draw(model, batch, num_samples=k, key=jax.random.key(0)) for k in (2, 3))
    close(three.z[:2], two.z, rtol=0, atol=0)
    close(three.log_weight[:2], two.log_weight)
    assert three.z.shape == (3, 4, 2)


def test_rows_without_an_id_get_one_from_their_bytes():
    """Equal rows then draw equal noise, wherever they stand."""
    model, batch = MODELS["binary pixels"]()
    rows = np.asarray(batch.x)[[0, 1, 0]]
    weights = draw(model, as_batch(rows), num_samples=2, key=jax.random.key(0)).log_weight
    close(weights[:, 0], weights[:, 2], rtol=0, atol=0)
    assert np.all(np.abs(weights[:, 0] - weights[:, 1]) > 1e-3)


def test_zero_noise_gives_the_mean_and_a_scale_multiplies_it():
    model, batch = MODELS["binary pixels"]()
    posterior = jax.vmap(model.posterior)(batch.x)
    key = jax.random.key(0)
    close(draw(model, batch, num_samples=2, key=key, noise_scale=0.0).z, [posterior.loc] * 2, rtol=0, atol=0)
    given = draw(model, batch, num_samples=1, noise=jnp.zeros((1, 4, 2)))
    close(given.z[0], posterior.loc, rtol=0, atol=0)
    close(given.log_posterior[0], -np.log(2 * np.pi) - np.asarray(posterior.log_scale).sum(axis=1))
    once, twice = (draw(model, batch, num_samples=2, key=key, noise_scale=s).z for s in (1.0, 2.0))
    close(twice - posterior.loc, 2 * (once - posterior.loc))
    close(once, draw(model, batch, num_samples=2, key=key).z)
    noise = np.random.default_rng(0).normal(size=(2, 4, 2)).astype(np.float32)
    exact = np.asarray(posterior.loc) + np.exp(np.asarray(posterior.log_scale)) * noise
    close(draw(model, batch, num_samples=2, noise=jnp.asarray(noise)).z, exact)


def test_an_elbo_with_noise_of_another_scale():
    """Without noise the likelihood is that of the mean and the KL stays; validation keeps the posterior's own noise."""
    model, batch = MODELS["binary pixels"]()
    options = {"key": jax.random.key(0), "step": jnp.asarray(0)}
    _, whole = ELBO()(model, batch, **options)
    _, none = ELBO(noise_scale=0.0)(model, batch, **options)
    at_mean = draw(model, batch, num_samples=1, noise=jnp.zeros((1, 4, 2)), dropout=False).log_likelihood
    close(none["log_likelihood"][0], jnp.sum(at_mean))
    close(none["kl"][0], whole["kl"][0], rtol=0, atol=0)
    _, once, _ = run_objective(ELBO(), model, batch, training=False, **options)
    _, validated, _ = run_objective(ELBO(noise_scale=0.0), model, batch, training=False, **options)
    close(validated["elbo"][0], once["elbo"][0], rtol=0, atol=0)
    assert "is not a bound" in ELBO(noise_scale=0.0).remarks()[0]
    assert ELBO().remarks() == []


def test_frozen_arrays_are_not_penalised():
    """L2 is half the squares of the trained matrices; a frozen one, of any size, adds nothing."""
    model, batch = MODELS["binary pixels"]()
    squares = sum((np.asarray(w) ** 2).sum() for w in jax.tree.leaves(model) if np.ndim(w) == 2) / 2
    standardise = Standardise(np.full((2, 3), 9.0), np.full((2, 3), 100.0))
    encoder = Conditional(model.encoder.network, model.encoder.head, standardise)
    model = LatentModel(model.prior_part, encoder, model.decoder)
    close(evaluate(ELBO(l2=1.0), model, batch)[0] - evaluate(ELBO(), model, batch)[0], squares)


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
    with pytest.raises(ConfigError, match="groups of 3 do not divide 4 units"):
        ELBO(free_bits=1.0, free_bits_group=3)._free_bits(jnp.asarray(units, jnp.float32), rows)


RANDOM = np.random.default_rng(0)
LOG_P, KL = RANDOM.normal(size=(2, 3)), RANDOM.uniform(0.1, 2.0, size=(2, 3, 4))
WEIGHT = np.array([1.0, 3.0, 0.0])
ROWS = Batch(jnp.zeros((3, 1)), jnp.arange(3, dtype=jnp.uint32), weight=jnp.asarray(WEIGHT, jnp.float32))


@pytest.mark.parametrize(
    ("bits", "group", "capacity"), [(0.0, 1, None), (1.0, 1, None), (1.0, 2, None), (2.5, 2, None), (0.0, 1, 9.0)]
)
def test_the_kl_of_levels_is_its_mean_over_draws(monkeypatch, bits, group, capacity):
    log_p, kl = (jnp.asarray(part, jnp.float32) for part in (LOG_P, KL))
    given = Draws(jnp.zeros((2, 3, 1)), log_p, log_p, log_p, {}, kl)
    told = {}
    monkeypatch.setattr(elbo, "draw", lambda *args, **options: told.update(options) or given)
    objective = ELBO(num_samples=2, beta=2.0, noise_scale=0.5, free_bits=bits, free_bits_group=group, capacity=capacity)
    loss, metrics = objective(conjugate_pair(), ROWS, key=jax.random.key(0), step=jnp.asarray(0))
    assert (told["num_samples"], told["noise_scale"]) == (2, 0.5)
    by_level = KL.mean(axis=0)
    close(metrics["kl"][0], by_level.sum(axis=1) @ WEIGHT)
    close(metrics["elbo"][0], (LOG_P.mean(axis=0) - by_level.sum(axis=1)) @ WEIGHT)
    groups = np.average(by_level, axis=0, weights=WEIGHT).reshape(-1, group).sum(axis=1)
    penalty = np.maximum(groups, bits).sum() if capacity is None else abs(groups.sum() - capacity)
    close(loss, -np.average(LOG_P.mean(axis=0), weights=WEIGHT) + 2.0 * penalty)
