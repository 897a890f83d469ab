"""The particle filter and forecasts against a linear-Gaussian model and a hidden Markov model that is enumerated."""

import itertools
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees
from scipy.stats import multivariate_normal
from tests.support.linear_steps import joint_normal, linear_model

from latens import evidence, predictive
from latens import models as m
from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.evidence import ModelRows
from latens.evidence.annealing import filtered, resampled
from latens.models.state_space import StepDecoder, StepEncoder
from latens.networks import Dense
from latens.networks.token_networks import GRU

STEPS, STATES = 8, 3
START = np.array([0.5, 0.3, 0.2])
GOES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
ONE = np.array([[0.9, 0.2], [0.4, 0.7], [0.1, 0.5]])  # of two cells, in each state, the probability of a 1


class Chain(eqx.Module):
    """A memory that is the state of a Markov chain: the normal latent of a step says by its rank where it goes."""

    state: Any = eqx.field(default_factory=lambda: eqx.nn.Linear(STATES, STATES, key=jax.random.key(0)))

    def inputs(self, x: Any) -> Any:
        return x

    def step(self, gates: Any, memory: Any) -> Any:
        return jax.nn.one_hot(_goes(memory, gates[0]), STATES)


def _goes(memory: Any, z: Any) -> Any:
    """The state that follows: in no state yet by the first probabilities."""
    shares = jnp.where(jnp.sum(memory) > 0, memory @ jnp.asarray(GOES), jnp.asarray(START))
    return jnp.sum(jax.scipy.stats.norm.cdf(z) > jnp.cumsum(shares)[:-1])


class Says(eqx.Module):
    """The logits of a step in the state that its latent leads to."""

    def __call__(self, both: Any) -> Any:
        share = jnp.asarray(ONE)[_goes(both[:-1], both[-1])]
        return jnp.log(share) - jnp.log1p(-share)


class Held(Chain):
    """Before the first step there is no state, and the memory of step t is the state of step t - 1."""

    def step(self, gates: Any, memory: Any) -> Any:
        return jnp.where(gates[1] > 0, super().step(gates, memory), memory)


def hidden_markov() -> m.StateSpaceModel:
    """A hidden Markov model as a state-space model whose latents are independent Normals."""
    decoder: Any = StepDecoder(
        Held(), jnp.zeros((2, 1)), jnp.zeros((1, 1)), jnp.zeros((1, 1)), jnp.zeros((2, 1)), None, jnp.zeros((1, 2)),
        jnp.zeros((0, 2)), jnp.zeros(2), Says(), m.BernoulliHead((2,)),
    )  # fmt: skip
    change = Dense([2 + STATES + 1, 2], key=jax.random.key(0)).with_output_weights_times(0.0)
    reader = GRU.create(2 * 2 + 1, 2, key=jax.random.key(1))
    encoder = StepEncoder(reader, change, jnp.zeros((2, 1)), jnp.full((2, 1), -40.0))
    return m.StateSpaceModel(m.StepPrior(STEPS), encoder, decoder)


INPUTS = (np.arange(STEPS) > 0).astype(np.float32)[:, None]  # whether there was a step before
X = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 1], [0, 0], [1, 0]], np.float32)
SEEN = np.ones((STEPS, 2), bool)
SEEN[3] = SEEN[4, 0] = False


def enumerated(seen: np.ndarray, cell: tuple[int, int] | None = None) -> tuple[float, float]:
    """The probability of what is seen over all paths, and of a 1 in a cell given it."""
    total = one = 0.0
    for path in itertools.product(range(STATES), repeat=len(seen)):
        p = START[path[0]] * np.prod([GOES[a, b] for a, b in itertools.pairwise(path)])
        of = ONE[list(path)]
        p *= np.prod(np.where(seen, np.where(X > 0, of, 1.0 - of), 1.0))
        total += p
        one += p * (of[cell] if cell is not None else 0.0)
    return total, one / total


def batch_of(seen: np.ndarray, rows: int = 1) -> Batch:
    repeat = lambda a: np.broadcast_to(a, (rows, *a.shape))  # noqa: E731
    return Batch(repeat(X), jnp.arange(rows, dtype=jnp.uint32), mask=repeat(seen), cond={"inputs": repeat(INPUTS)})


def test_particles_meet_an_enumerated_chain() -> None:
    exact, _ = enumerated(SEEN)
    found = evidence.particle_filter(ModelRows(hidden_markov(), batch_of(SEEN)), num_samples=20_000, num_runs=20)
    error = float(found.row_errors[0])
    assert error < 0.02
    np.testing.assert_allclose(found.rows[0], np.log(exact), atol=4.0 * error)
    assert found.num_samples == 20_000


def test_a_gap_has_the_probabilities_of_the_chain() -> None:
    found = predictive.impute(ModelRows(hidden_markov(), batch_of(SEEN)), num_samples=20_000)
    for cell in ((3, 0), (3, 1), (4, 0)):
        _, exact = enumerated(SEEN, cell)
        np.testing.assert_allclose(found.mean[0][cell], exact, atol=0.02)


def test_a_forecast_has_the_probabilities_of_the_chain() -> None:
    seen = SEEN.copy()
    seen[5:] = False
    given = INPUTS[None, 5:]
    draws = predictive.forecast(
        ModelRows(hidden_markov(), batch_of(seen)), steps=3, num_draws=8000, inputs=given, lengths=np.array([5]),
        particles=4000,
    )  # fmt: skip
    for step, column in itertools.product(range(3), range(2)):
        _, exact = enumerated(seen, (5 + step, column))
        np.testing.assert_allclose(draws[0, :, step, column].mean(), exact, atol=0.03)


def test_the_mean_of_many_estimates_is_p() -> None:
    """E exp(log Z) / Z is 1: 400 runs of 128 particles, with resampling on the way."""
    model, rng = linear_model(20, 1), np.random.default_rng(4)
    change = Dense([2 + 1, 2], key=jax.random.key(0))
    change = eqx.tree_at(lambda d: d.layers[0].weight, change, 0.3 * change.layers[0].weight)
    reader = GRU.create(2 * 2 + 1, 2, key=jax.random.key(1))
    rough = StepEncoder(reader, change, jnp.full((2, 1), 0.05), jnp.full((2, 1), -2.0))
    inputs = rng.normal(size=(20, 1))
    mean, cov, *_ = joint_normal(model.decoder, inputs, 20)
    x = rng.multivariate_normal(mean, cov).reshape(20, 2)
    seen = rng.random((20, 2)) < 0.6
    exact = multivariate_normal(mean[seen.ravel()], cov[np.ix_(seen.ravel(), seen.ravel())]).logpdf(x[seen])
    model = replace(model, encoder=rough)
    cond = {"inputs": jnp.asarray(inputs, jnp.float32)}

    @jax.jit
    def run(key: Any) -> Any:
        found = filtered(model, jnp.asarray(x, jnp.float32), jnp.asarray(seen), cond, count=128, key=key)
        return found.log_z, found.smallest

    log_z, smallest = jax.vmap(run)(jax.random.split(jax.random.key(3), 400))
    ratio = np.exp(np.asarray(log_z, float) - exact)
    assert abs(ratio.mean() - 1.0) < 3.0 * ratio.std(ddof=1) / np.sqrt(400)
    assert np.median(smallest) < 64.0  # it was drawn anew on the way
    assert ratio.std() < 5.0


def test_what_has_no_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match="particle filter needs a model of steps"):
        evidence.particle_filter(ModelRows(eqx.nn.Identity(), batch_of(SEEN)))
    with pytest.raises(ConfigError, match="steps to come are missing"):
        predictive.forecast(ModelRows(hidden_markov(), batch_of(SEEN)), steps=2)
    with pytest.raises(ConfigError, match="1 runs of"):
        evidence.particle_filter(ModelRows(hidden_markov(), batch_of(SEEN)), num_runs=1)


def test_systematic_resampling_keeps_whole_parts() -> None:
    """A weight of w N gives floor(w N) or one more copies, and w N on the average."""
    share = np.array([0.43, 0.05, 0.32, 0.2])
    draws = jax.vmap(lambda key: resampled(jnp.arange(4), jnp.log(jnp.asarray(share)), key=key))
    copies = (np.asarray(draws(jax.random.split(jax.random.key(0), 2000)))[:, :, None] == np.arange(4)).sum(1)
    assert np.all((copies >= np.floor(4 * share)) & (copies <= np.ceil(4 * share)))
    agrees(copies, 4 * share)
