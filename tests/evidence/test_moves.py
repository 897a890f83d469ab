"""Moves of annealed chains on a Normal whose energy is known: one leapfrog by hand, what is accepted, weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from scipy import stats
from tables import MU, SIGMA, W, X, linear_gaussian

from latens.evidence import annealing
from latens.evidence.annealing import (
    Path,
    Place,
    adapted,
    first_step,
    hamiltonian_move,
    path_of,
    pilot,
    sigmoid_schedule,
)

S, P = np.array([1.0, 2.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
"""Scales of the start, and the precision of a posterior whose evidence is 3 nats above it."""


def at(z):
    start = -0.5 * jnp.sum((z / S) ** 2) - jnp.log(2 * jnp.pi) - np.log(S).sum()
    joint = -0.5 * z @ jnp.asarray(P) @ z - jnp.log(2 * jnp.pi) + 0.5 * np.linalg.slogdet(P)[1] + 3.0
    return Place(z, start, joint - start)


PATH = Path(lambda key: jnp.asarray(S) * jax.random.normal(key, (2,)), at, lambda z: z, 2)


def by_hand(z, beta, step, count, key):
    """The end of one orbit, and by how much its energy falls; all from the gradients of two quadratic forms."""
    momentum_key, size_key, accept_key = jax.random.split(key, 3)
    size = step * float(jax.random.uniform(size_key, minval=0.8, maxval=1.2))
    form = (1 - beta) * np.diag(S**-2) + beta * P
    p = first = np.asarray(jax.random.normal(momentum_key, (2,)), float)
    now = np.asarray(z, float)
    for _ in range(count):
        p = p - 0.5 * size * form @ now
        now = now + size * p
        p = p - 0.5 * size * form @ now
    energy = lambda z, p: 0.5 * z @ form @ z + 0.5 * p @ p  # noqa: E731
    gain = energy(np.asarray(z, float), first) - energy(now, p)
    return now, gain, float(jax.random.uniform(accept_key)) < np.exp(gain)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_move_is_leapfrog_steps_that_are_accepted_by_their_energy(beta):
    z, some = jnp.array([0.7, -1.2]), set()
    move = jax.jit(lambda key: hamiltonian_move(PATH, at(z), jnp.asarray(beta), jnp.asarray(0.9), 3, key=key))
    for number in range(12):
        key = jax.random.key(number)
        place, acceptance = move(key)
        end, gain, accepted = by_hand(z, beta, 0.9, 3, key)
        close(acceptance, min(1.0, np.exp(gain)), rtol=1e-3, atol=1e-5)
        close(place.z, end if accepted else z, rtol=1e-3, atol=1e-4)
        close(place.log_likelihood, at(place.z).log_likelihood, rtol=1e-4, atol=1e-5)
        some.add(accepted)
    assert some == {True, False} or beta < 1.0


def test_an_orbit_that_leaves_the_numbers_is_rejected():
    place, acceptance = hamiltonian_move(
        PATH, at(z := jnp.ones(2)), jnp.ones(()), jnp.asarray(1e30), 3, key=jax.random.key(0)
    )
    assert float(acceptance) == 0.0
    close(place.z, z)


def test_weights_grow_by_temperature_before_a_move():
    betas, sizes = sigmoid_schedule(4), jnp.array([0.9, 0.7, 0.5, 0.3])
    move = jax.jit(lambda place, beta, size, key: hamiltonian_move(PATH, place, beta, size, 2, key=key))
    start_key, move_key = jax.random.split(jax.random.key(3))
    place, forwards, share = at(PATH.sample(start_key)), 0.0, []
    for k in range(4):
        forwards += (betas[k + 1] - betas[k]) * place.log_likelihood
        place, acceptance = move(place, betas[k + 1], sizes[k], jax.random.fold_in(move_key, k))
        share.append(acceptance)
    found = annealing.forward_chain(PATH, betas, sizes, 2, key=jax.random.key(3))
    close(found, [forwards, np.mean(share)], rtol=1e-4, atol=1e-5)


def test_the_mean_weight_is_the_evidence():
    betas = jnp.array([0.0, 0.3, 1.0])
    steps, keys = jnp.array([0.8, 0.6]), jax.random.split(jax.random.key(0), 4000)
    chain = lambda key: annealing.forward_chain(PATH, betas, steps, 3, key=key)  # noqa: E731
    agrees(jnp.exp(jax.jit(jax.vmap(chain))(keys)[0] - 3.0), 1.0)


def test_chains_are_the_same_however_many_run_at_once():
    chain = lambda key: (jax.random.normal(key), jax.random.uniform(key))  # noqa: E731
    whole, parts = (annealing.run_chains(chain, 7, at_once, key=jax.random.key(1)) for at_once in (7, 3))
    assert whole.log_weights.shape == (7,)
    close(parts.log_weights, whole.log_weights)
    own = [jax.random.normal(jax.random.fold_in(jax.random.key(1), k)) for k in range(7)]
    close(whole.log_weights, own)


def test_a_path_has_the_densities_of_the_model():
    model, seen = linear_gaussian(), np.array([True, False, True])
    path = path_of(model, jnp.asarray(X, jnp.float32), None, jnp.asarray(seen))
    z = np.array([0.3, -0.8])
    place = path.at(jnp.asarray(z, jnp.float32))
    prior, likelihood = stats.norm.logpdf(z).sum(), stats.norm.logpdf(X, W @ z + MU, SIGMA)[seen].sum()
    close(place.log_prior, prior, rtol=1e-5)
    close(place.log_likelihood, likelihood, rtol=1e-5)
    assert (path.size, path.sample(jax.random.key(0)).shape) == (2, (2,))


def test_step_sizes_are_those_at_which_two_thirds_are_accepted():
    close(adapted(jnp.asarray(0.2), jnp.array([0.9, 0.8])), 0.2 + 0.3 * 0.2, rtol=1e-5)
    close(first_step(PATH), np.log(0.5) - 0.25 * np.log(2.0))
    betas = sigmoid_schedule(6)
    sizes = pilot(PATH, betas, 3, key=jax.random.key(0))
    assert sizes.shape == (6,)
    keys = jax.random.split(jax.random.key(2), 2000)
    ends = np.random.default_rng(0).multivariate_normal(np.zeros(2), np.linalg.inv(P), 2000).astype(np.float32)
    one = lambda z, key: hamiltonian_move(PATH, at(z), jnp.ones(()), sizes[-1], 3, key=key)[1]  # noqa: E731
    assert abs(float(jnp.mean(jax.jit(jax.vmap(one))(jnp.asarray(ends), keys))) - 0.65) < 0.15
