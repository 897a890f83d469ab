"""Wake-sleep and its reweighted form against brute force over codes and events."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from bound_checks import STEP
from checks import agrees, close
from enumeration import (
    CODES,
    EVENT,
    EVENTS,
    coins,
    expected_bound,
    gradient_of,
    gradients,
    log_tables,
    one_event,
    only,
    refused_at,
)

from latens.models import LatentModel
from latens.objectives import ReweightedWakeSleep, WakeSleep
from latens.objectives.importance import importance_bound
from latens.objectives.roles import stopped

FOUR = np.arange(4)


def sleep_value(model):
    """E over all dreams (z, x) of log q(z | x), the dreams held."""
    total = jnp.zeros(())
    for x in EVENTS:
        joint, log_q = log_tables(model, x)
        total = total + jnp.sum(jax.lax.stop_gradient(jnp.exp(joint)) * log_q)
    return total


def wake_value(model):
    """E_q[log p(x, z)] with q held."""
    joint, log_q = log_tables(model, EVENT)
    return jnp.sum(jax.lax.stop_gradient(jnp.exp(log_q)) * joint)


def reweighted_value(model):
    """E over 4^3 draws of sum_k w~_k log q(z_k | x), draws and weights held."""
    joint, log_q = log_tables(model, EVENT)
    ways = np.array(list(itertools.product(FOUR, repeat=3))).T
    chance = jnp.exp(jnp.sum(log_q[ways], axis=0))
    share = jax.nn.softmax((joint - log_q)[ways], axis=0)
    return jnp.sum(jax.lax.stop_gradient(chance * share) * log_q[ways])


def test_the_eight_events_and_four_codes_are_all():
    """The dreams of `sleep_value` have total probability 1."""
    total = sum(float(jnp.exp(log_tables(coins(), x)[0]).sum()) for x in EVENTS)
    close(total, 1.0)
    assert len(CODES) == 4


def test_wake_and_sleep_gradients():
    """The encoder follows E_p[log q], prior and decoder E_q[log p]: within 5 sigma of brute force."""
    model = coins()
    drawn, encoder = gradients(WakeSleep(), model, one_event(), 20_000), only(model, "encoder")
    wake, sleep = gradient_of(wake_value, model), gradient_of(sleep_value, model)
    agrees(drawn[:, ~encoder], -wake[~encoder])
    agrees(drawn[:, encoder], -sleep[encoder])
    close(sleep[~encoder], np.zeros((~encoder).sum()), atol=0)


def test_reweighted_gradients():
    """Prior and decoder: the exact gradient of L_3 with q held. Encoder: the weighted log q, on data and in dreams."""
    model = coins()
    encoder = only(model, "encoder")

    def bound(m):
        held = LatentModel(m.prior_part, stopped(m.encoder), m.decoder)
        return expected_bound(held, 3, importance_bound)

    generative, wake = gradient_of(bound, model), gradient_of(reweighted_value, model)
    drawn = gradients(ReweightedWakeSleep(3), model, one_event(), 20_000)
    agrees(drawn[:, ~encoder], -generative[~encoder])
    agrees(drawn[:, encoder], -wake[encoder])
    both = gradients(ReweightedWakeSleep(3, 0.5, 0.25), model, one_event(), 20_000)
    agrees(both[:, ~encoder], -generative[~encoder])
    agrees(both[:, encoder], -(0.5 * wake + 0.25 * gradient_of(sleep_value, model))[encoder])


def test_reported_numbers():
    """`elbo`, `iwae` and `sleep` have the exact expectations."""
    keys = jax.random.split(jax.random.key(2), 20_000)
    run = lambda key: ReweightedWakeSleep(3, 1.0, 1.0)(coins(), one_event(), key=key, step=STEP)  # noqa: E731
    loss, metrics = jax.jit(jax.vmap(run))(keys)
    close(loss, -metrics["iwae"][0])
    agrees(metrics["iwae"][0], float(expected_bound(coins(), 3, importance_bound)))
    agrees(metrics["elbo"][0], float(expected_bound(coins(), 1, lambda w: w[0])))
    agrees(metrics["sleep"][0], float(sleep_value(coins())))
    wake_sleep = lambda key: WakeSleep(2)(coins(), one_event(), key=key, step=STEP)  # noqa: E731
    loss, metrics = jax.jit(jax.vmap(wake_sleep))(keys)
    close(loss, -metrics["elbo"][0])
    agrees(metrics["sleep"][0], float(sleep_value(coins())))


def test_options_out_of_range_are_refused():
    assert refused_at(WakeSleep, num_samples=0) == "objective.num_samples"
    assert refused_at(ReweightedWakeSleep, num_samples=1) == "objective.num_samples"
    assert refused_at(ReweightedWakeSleep, wake=0.0, sleep=0.0) == "objective.wake"
