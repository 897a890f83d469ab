"""What a posterior of steps begins with: the smoother of the closed form, or the best gain of what reads one step."""

from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from tests.support.linear_steps import joint_normal, linear_model

from latens import models as m
from latens import read
from latens.config import override
from latens.evaluation import particle_filter
from latens.models.state_space import StepEncoder
from latens.models.step_messages import linear_posterior
from latens.networks import Dense
from latens.networks.recurrent import GRU
from latens.recipes import get_recipe
from latens.recipes.building.step_starts import best_gain
from latens.trees import Frozen
from latens.workflow import prepare

STEPS = 20


def begun(size: int = 1, gain: Any = None, precision: Any = None, *, steps: int = STEPS) -> tuple[Any, np.ndarray]:
    """A linear model whose networks say nothing yet, with inputs; without a gain its posterior is the smoother."""
    base, key = linear_model(steps, size), jax.random.key(0)
    decoder: Any = base.decoder
    noise = np.exp(2.0 * np.asarray(decoder.head.head.log_scale))
    own = np.asarray(decoder.write).T ** 2 / noise[:, None]
    smooth: Any = (None, None)
    if gain is None:
        gain, precision = np.zeros((2, size)), own
        smooth = Frozen(jnp.exp(2.0 * decoder.rest[1])), Frozen(jnp.asarray(noise, jnp.float32))
    change = Dense([3 + size, 2 * size], key=key).with_output_weights_times(0.0)
    arrays = jnp.asarray(gain, jnp.float32), jnp.asarray(np.log(precision), jnp.float32)
    encoder = StepEncoder(GRU.create(2 * 2 + 1, 3, key=key), change, *arrays, "all", False, (), False, *smooth)
    return m.StateSpaceModel(base.prior, encoder, decoder), np.random.default_rng(1).normal(size=(steps, 1))


def normal(model: Any, inputs: np.ndarray) -> tuple[Any, Any]:
    """The mean and the covariance of a row."""
    return joint_normal(model.decoder, inputs, STEPS)[:2]


@eqx.filter_jit
def weights(model: Any, x: Any, inputs: Any, mask: Any, keys: Any) -> Any:
    """Log weights of draws: their mean is the ELBO."""

    def one(key: Any) -> Any:
        posterior = model.posterior(x, cond={"inputs": inputs}, mask=mask)
        found = model.draw_joint(posterior, x, cond={"inputs": inputs}, mask=mask, key=key)
        return found.log_likelihood + found.log_prior - found.log_posterior

    return jax.vmap(one)(keys)


@pytest.mark.parametrize("gaps", [False, True])
def test_the_smoother_of_one_latent_has_the_elbo_log_p(gaps: bool) -> None:
    """One latent has no correlations, so the exact posterior is in the family: every draw weighs log p(x)."""
    model, inputs = begun()
    mean, cov = normal(model, inputs)
    rng = np.random.default_rng(2)
    x, mask = rng.multivariate_normal(mean, cov).reshape(STEPS, 2), rng.random((STEPS, 2)) < 0.6
    mask[16:] = False
    seen = mask.ravel() if gaps else np.ones(x.size, bool)
    exact = multivariate_normal(mean[seen], cov[np.ix_(seen, seen)]).logpdf(x.ravel()[seen])
    given = np.where(mask, x, np.nan) if gaps else x
    found = weights(
        model, given.astype(np.float32), inputs, mask if gaps else None, jax.random.split(jax.random.key(0), 4)
    )
    np.testing.assert_allclose(found, exact, rtol=2e-5)


def test_the_smoother_lacks_what_independent_latents_lack() -> None:
    """The bound lacks the correlations of the exact posterior of each step alone, whose KL has a formula."""
    model, inputs = begun(3)
    decoder: Any = model.decoder
    mean, cov = normal(model, inputs)
    x = np.random.default_rng(2).multivariate_normal(mean, cov).reshape(STEPS, 2)
    exact = multivariate_normal(mean, cov).logpdf(x.ravel())
    write, drift = np.asarray(decoder.write, float), np.asarray(decoder.drift, float)
    noise, moved = (np.exp(2.0 * np.asarray(a, float)) for a in (decoder.head.head.log_scale, decoder.rest[1]))
    later, lacking = np.zeros((3, 3)), 0.0
    for step in reversed(range(STEPS)):
        said = later + write / noise @ write.T
        prior = moved if step else np.exp(2.0 * np.asarray(decoder.first[1], float))
        precise = said + np.diag(1.0 / prior)
        lacking += 0.5 * (np.sum(np.log(np.diag(precise))) - np.linalg.slogdet(precise)[1])
        later = drift @ np.linalg.inv(np.linalg.inv(said) + np.diag(moved)) @ drift.T
    found = np.asarray(weights(model, x.astype(np.float32), inputs, None, jax.random.split(jax.random.key(0), 4000)))
    assert lacking > 1.0
    assert abs(found.mean() - (exact - lacking)) < 4 * found.std() / np.sqrt(len(found)) + 1e-3


def bound(drift: Any, moved: Any, write: Any, noise: Any, gain: Any, spread: Any) -> float:
    """The ELBO of a step of long rows, where errors of drawn latents have the covariance that they keep."""
    size = len(moved)
    kept = np.eye(size) - gain.T @ write.T
    carried, came = kept @ drift.T, kept @ np.diag(moved) @ kept.T + gain.T @ np.diag(noise) @ gain + np.diag(spread)
    error = np.linalg.solve(np.eye(size**2) - np.kron(carried, carried), came.ravel()).reshape(size, size)
    away = write.T @ (drift.T @ error @ drift + np.diag(moved)) @ write + np.diag(noise)
    left = np.eye(len(noise)) - write.T @ gain.T
    likelihood = np.log(2 * np.pi * noise) + np.diag(left @ away @ left.T + write.T @ np.diag(spread) @ write) / noise
    kl = spread / moved - np.log(spread / moved) - 1.0 + np.diag(gain.T @ away @ gain) / moved
    return -0.5 * (likelihood.sum() + kl.sum())


def linear(seed: int) -> tuple[Any, Any, Any, Any]:
    """A law of three latents and two columns that remembers."""
    rng = np.random.default_rng(seed)
    drift = 0.95 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return drift, np.exp(rng.normal(size=3)) * 0.1, rng.normal(size=(3, 2)), np.exp(rng.normal(size=2))


def kalman(drift: Any, moved: Any, write: Any, noise: Any) -> tuple[Any, Any]:
    """The gain of one step, and that of a filter in its long run."""
    found = []
    for times in (1, 500):
        covariance, gain = np.zeros((3, 3)), None
        for _ in range(times):
            covariance = drift.T @ covariance @ drift + np.diag(moved)
            gain = np.linalg.solve(write.T @ covariance @ write + np.diag(noise), write.T @ covariance)
            covariance = covariance - covariance @ write @ gain
        found.append(gain)
    return found[0], found[1]


@pytest.mark.parametrize("seed", range(3))
def test_no_gain_is_better_than_the_best(seed: int) -> None:
    """A search over all gains and variances finds no higher bound; those of one step and of a filter are lower."""
    law = linear(seed)
    _, moved, write, noise = law
    gain, precision = best_gain(*law)
    spread = 1.0 / (1.0 / moved + precision.sum(axis=0))
    top = bound(*law, gain, spread)
    found = minimize(
        lambda p: -bound(*law, p[:6].reshape(2, 3), np.exp(p[6:])), np.concatenate([gain.ravel(), np.log(spread)])
    )
    assert top > -found.fun - 1e-4
    assert np.abs(found.jac).max() < 1e-3
    np.testing.assert_allclose(found.x[:6].reshape(2, 3), gain, atol=1e-3)
    alone = 1.0 / (1.0 / moved + np.sum(write**2 / noise, axis=1))
    for other in kalman(*law):
        assert bound(*law, other, alone) < top - 0.01


def test_without_a_later_step_the_gain_is_that_of_one() -> None:
    """Latents that nothing remembers have the exact posterior of their own step."""
    _, moved, write, noise = linear(0)
    gain, precision = best_gain(np.zeros((3, 3)), moved, write, noise)
    np.testing.assert_allclose(gain, kalman(np.zeros((3, 3)), moved, write, noise)[0], rtol=1e-9)
    np.testing.assert_allclose(precision, write.T**2 / noise[:, None], rtol=1e-6)


def test_the_best_gain_has_its_bound_in_the_model() -> None:
    """A step's share of the ELBO of long rows that the model draws is the formula's."""
    model, _ = begun(3, np.zeros((2, 3)), np.ones((2, 3)))
    decoder: Any = model.decoder
    write, drift = np.asarray(decoder.write, float), np.asarray(decoder.drift, float)
    noise, moved = (np.exp(2.0 * np.asarray(a, float)) for a in (decoder.head.head.log_scale, decoder.rest[1]))
    law = drift, moved, write, noise
    gain, precision = best_gain(*law)
    expected = bound(*law, gain, 1.0 / (1.0 / moved + precision.sum(axis=0)))
    found = []
    for steps in (40, 240):
        model, inputs = begun(3, gain, precision, steps=steps)
        keys = jax.random.split(jax.random.key(1), 300)
        given = {"inputs": jnp.asarray(inputs, jnp.float32)}
        draw = lambda key: model.roll(model.start(), steps, inputs=given["inputs"], key=key)  # noqa: B023, E731
        rows = jax.vmap(draw)(keys)
        elbo = eqx.filter_vmap(lambda x, key: weights(model, x, given["inputs"], None, key[None])[0])  # noqa: B023
        found.append(np.asarray(elbo(rows, keys)))
    per_step = (found[1].mean() - found[0].mean()) / 200 + np.log(np.prod(np.asarray(decoder.head.scale.value)))
    error = np.hypot(found[0].std(), found[1].std()) / np.sqrt(300) / 200
    assert abs(per_step - expected) < 4 * error
    assert error < 0.02


def lagged_rows(rng: np.random.Generator) -> np.ndarray:
    """Rows of 48 steps with a season of 6, and what a hidden walk adds."""
    x = np.zeros((120, 48, 2))
    hidden = np.zeros((120, 1))
    for t in range(48):
        hidden = 0.9 * hidden + 0.3 * rng.normal(size=(120, 1))
        x[:, t] = hidden * np.array([1.0, -0.5]) + 0.3 * rng.normal(size=(120, 2))
        x[:, t] += np.sin(2 * np.pi * t / 6) + (0.5 * x[:, t - 6] if t > 5 else 0.0)
    return x


@pytest.mark.parametrize("lags", [[], [6, 12]])
def test_a_recipe_begins_within_nats_of_its_linear_model(lags: list[int]) -> None:
    """The first ELBO of rows is close below log p(x) of the linear part, with gaps too; the best gain is far below."""
    rng = np.random.default_rng(0)
    x = lagged_rows(rng)
    x[rng.random(x.shape) < 0.1] = np.nan
    data = read(x.astype(np.float32), missing="nan")
    bounds, exact = {}, 0.0
    for smoothed in (True, False):
        settings = {"posterior.lags": lags, "posterior.smoothed": smoothed, "training.steps": 1}
        experiment = prepare(override(get_recipe("deep-kalman").config, settings), data)
        made = experiment.trained(experiment.stages()[0].start(experiment.new_model(), experiment.data), steps=0)
        assert (made.model.encoder.moved is None) is not smoothed
        rows = made.rows(made.batch(data, np.arange(40)), seed=0)

        def elbo(x: Any, mask: Any, key: Any, model: Any = made.model) -> Any:
            found = model.draw_joint(model.posterior(x, mask=mask), x, mask=mask, key=key)
            return found.log_likelihood + found.log_prior - found.log_posterior

        keys = jax.random.split(jax.random.key(0), 40)
        bounds[smoothed] = float(np.mean(jax.jit(jax.vmap(elbo))(rows.batch.x, rows.batch.mask, keys)))
        exact = float(np.mean(particle_filter(rows, num_samples=512, num_runs=2).rows)) if smoothed else exact
    assert exact - 8.0 < bounds[True] < exact + 1.0
    assert bounds[True] > bounds[False] + 10.0


def test_what_reads_the_past_begins_at_the_best_gain_where_it_is_asked_for() -> None:
    """Of the same closed form, and without it at Kalman's."""
    data = read(lagged_rows(np.random.default_rng(0)).astype(np.float32))
    gains = []
    for smoothed in (True, False):
        settings = {
            "posterior.reads": "past",
            "posterior.lags": [],
            "posterior.smoothed": smoothed,
            "training.steps": 1,
        }
        experiment = prepare(override(get_recipe("deep-kalman").config, settings), data)
        made: Any = experiment.stages()[0].start(experiment.new_model(), experiment.data)
        gains.append(np.asarray(made.encoder.gain, np.float64))
        if smoothed:
            drift, write = (np.asarray(a.value, np.float64) for a in (made.decoder.drift, made.decoder.write))
            moved, noise = (np.asarray(a.value, np.float64) for a in (made.encoder.moved, made.encoder.noise))
            best = best_gain(drift, moved, write[:, : len(noise)], noise)[0]
    np.testing.assert_allclose(gains[0], best, atol=2e-3)
    assert np.abs(gains[0] - gains[1]).max() > 0.02


@pytest.mark.parametrize("seen", [True, False])
def test_a_lagged_cell_that_was_not_seen_has_the_variance_of_its_column(seen: bool) -> None:
    """By hand, of two steps: what the second says of the first latent, where it reads the first cell by 0.7."""
    drift, write, noise, moved, lagged = 0.9, 1.3, 0.5, 0.4, 0.7
    one = lambda *values: jnp.array(values)  # noqa: E731
    decoder = SimpleNamespace(
        drift=one([drift]), push=jnp.zeros((1, 1)), rest=jnp.zeros((2, 1)), first=jnp.zeros((2, 1)),
        write=one([write]), bias=one(0.0), lagged=one([lagged], [0.0]), lags=(1,),
    )  # fmt: skip
    shown = one([float(seen)], [1.0])
    found = linear_posterior(decoder, Frozen(one(moved)), Frozen(one(noise)), shown * 0.3, shown, jnp.zeros((2, 1)))
    said = write**2 / (noise + (0.0 if seen else lagged**2))  # 1 is the variance of a standardised column
    np.testing.assert_allclose(found.precision[0], drift**2 / (1.0 / said + moved), rtol=1e-5)
    np.testing.assert_allclose(found.precision[1], 0.0, atol=1e-7)
