"""State-space models against the joint Normal of all their numbers, and what padding, gaps and lengths may change."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from tests.support.linear_steps import joint_normal, linear_model

from latens import models as m
from latens.models.state_space import StepEncoder
from latens.networks import Dense
from latens.networks.token_networks import GRU

STEPS = 20


@pytest.fixture(scope="module")
def linear() -> tuple[m.StateSpaceModel, np.ndarray, np.ndarray, np.ndarray, Any]:
    model, rng = linear_model(STEPS), np.random.default_rng(1)
    inputs = rng.normal(size=(STEPS, 1))
    of = joint_normal(model.decoder, inputs, STEPS)
    x = rng.multivariate_normal(of[0], of[1]).reshape(STEPS, 2).astype(np.float32)
    mask = rng.random((STEPS, 2)) < 0.7
    mask[15:] = False
    return model, inputs.astype(np.float32), x, mask, of


def neural(lags: tuple[int, ...] = (), memory: int = 4, reads: Any = "all", size: int = 3) -> m.StateSpaceModel:
    """A model with networks whose weights are no zeros."""
    base, keys = linear_model(STEPS, size), jax.random.split(jax.random.key(3), 7)
    d, given, read = 2, 1, 3 * len(lags)
    width = 2
    cell = GRU.create(size + given + read, memory, key=keys[0]) if memory else None
    options: Any = {"activation": "tanh", "initializer": "glorot-uniform"}
    decoder: Any = replace(
        base.decoder,
        cell=cell,
        change=Dense([memory or size + given, 5, 2 * size], key=keys[1], **options),
        say=Dense([memory + size, 5, width], key=keys[2], **options),
        lagged=0.3 * jax.random.normal(keys[3], (read, width)),
        lags=lags,
    )
    reader = GRU.create(2 * d + given, 5, key=keys[4])
    change = Dense([5 + memory + size, 5, 2 * size], key=keys[5], **options)
    gain = 0.2 * jax.random.normal(keys[6], (d, size))
    encoder = StepEncoder(reader, change, gain, jnp.full((d, size), -1.0), reads)
    return m.StateSpaceModel(m.StepPrior(STEPS), encoder, decoder)


@eqx.filter_jit
def joint_of(model: Any, x: Any, inputs: Any, mask: Any, key: Any) -> tuple[Any, Any]:
    posterior = model.posterior(x, cond={"inputs": inputs}, mask=mask)
    found = model.draw_joint(posterior, x, cond={"inputs": inputs}, mask=mask, key=key)
    return found, model.log_joint(found.z, x, cond={"inputs": inputs}, mask=mask)


@pytest.mark.parametrize("gaps", [False, True])
def test_elbo_of_the_exact_smoother_is_log_p(linear: Any, gaps: bool) -> None:
    model, inputs, x, mask, (mean, cov, *_) = linear
    seen = mask.ravel() if gaps else np.ones(x.size, bool)
    exact = multivariate_normal(mean[seen], cov[np.ix_(seen, seen)]).logpdf(x.ravel()[seen].astype(float))
    given = np.where(mask, x, np.nan) if gaps else x
    for number in (0, 1):
        found, (log_prior, log_likelihood) = joint_of(
            model, given, inputs, mask if gaps else None, jax.random.key(number)
        )
        weight = found.log_likelihood + found.log_prior - found.log_posterior
        np.testing.assert_allclose(weight, exact, rtol=1e-5)
        np.testing.assert_allclose([log_prior, log_likelihood], [found.log_prior, found.log_likelihood], rtol=1e-6)
    assert np.all(found.kl[15:] == 0.0) if gaps else np.all(found.kl > 0.0)


def test_smoothed_means_are_those_of_the_joint_normal(linear: Any) -> None:
    model, inputs, x, mask, (mean, cov, mean_z, with_x) = linear
    seen = mask.ravel()
    expected = mean_z + with_x[:, seen] @ np.linalg.solve(cov[np.ix_(seen, seen)], (x.ravel() - mean)[seen])
    found = model.posterior(np.where(mask, x, np.nan), cond={"inputs": inputs}, mask=mask).mean()
    np.testing.assert_allclose(np.ravel(found), expected, atol=2e-5)


def test_forecast_is_the_exact_predictive(linear: Any) -> None:
    """Draws of what follows, cut loose after 15 steps or filled in as masked steps, have the exact moments."""
    model, inputs, x, _, (mean, cov, *_) = linear
    count, seen = 4000, np.arange(STEPS * 2) < 30
    solved = np.linalg.solve(cov[np.ix_(seen, seen)], cov[np.ix_(seen, ~seen)])
    exact = mean[~seen] + (x.ravel()[:30] - mean[:30]) @ solved
    left = cov[np.ix_(~seen, ~seen)] - cov[np.ix_(~seen, seen)] @ solved

    @eqx.filter_jit
    def rolled(key: Any) -> Any:
        state_key, key = jax.random.split(key)
        state = model.after(jnp.asarray(x[:15]), cond={"inputs": inputs[:15]}, key=state_key)
        return model.roll(state, 5, inputs=jnp.asarray(inputs[15:]), key=key)

    @eqx.filter_jit
    def filled(key: Any) -> Any:
        hidden = jnp.asarray(np.arange(STEPS)[:, None] < 15) & jnp.ones((STEPS, 2), bool)
        posterior = model.posterior(jnp.asarray(x), cond={"inputs": inputs}, mask=hidden)
        z_key, x_key = jax.random.split(key)
        return model.likelihood(posterior.sample(key=z_key), cond={"inputs": inputs}).sample(key=x_key)[15:]

    for way in (rolled, filled):
        drawn = np.asarray(jax.jit(jax.vmap(way))(jax.random.split(jax.random.key(5), count)), float).reshape(count, -1)
        error = np.sqrt(np.diag(left) / count)
        assert np.all(np.abs(drawn.mean(axis=0) - exact) < 4.0 * error)
        spread = np.einsum("ni,nj->ij", drawn - exact, drawn - exact) / count
        scale = np.sqrt(np.outer(np.diag(left), np.diag(left)))
        assert np.all(np.abs(spread - left) / scale < 4.0 * np.sqrt(2.0 / count))


@pytest.mark.parametrize(("lags", "memory", "reads"), [((), 0, "all"), ((), 4, "past"), ((1, 3), 4, "all")])
def test_padding_and_what_is_hidden_change_nothing(linear: Any, lags: Any, memory: int, reads: Any) -> None:
    """More steps that nobody saw, and other numbers where nothing was seen, leave the same bits."""
    _, inputs, x, mask, _ = linear
    model, key = neural(lags, memory, reads), jax.random.key(2)
    more = np.concatenate([mask, np.zeros((6, 2), bool)])
    rows = [np.where(more, np.concatenate([x, x[:6]]), hidden).astype(np.float32) for hidden in (np.nan, 1e6)]
    given = np.concatenate([inputs, inputs[:6]])
    found = [joint_of(model, row, given, more, key)[0] for row in rows]
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1])):
        np.testing.assert_array_equal(a, b)
    assert np.all(found[0].kl[15:] == 0.0)
    assert np.all(found[0].kl[:15] > 0.0)
    short, (log_prior, log_likelihood) = joint_of(model, rows[0][:STEPS], inputs, mask, key)
    np.testing.assert_allclose(short.log_likelihood, found[0].log_likelihood, rtol=2e-6)
    np.testing.assert_allclose(short.kl, found[0].kl[:STEPS], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([log_prior, log_likelihood], [short.log_prior, short.log_likelihood], rtol=1e-5)
    slope = eqx.filter_grad(lambda model: joint_of(model, rows[0], given, more, key)[0].log_likelihood)(model)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


def test_a_step_does_not_know_how_many_there_are() -> None:
    """The noise of the first steps is the same for every length: default generator, Normals and keys of steps."""
    for lags in ((), (1,)):
        model = neural(lags)
        short, long = (
            m.StateSpaceModel(m.StepPrior(t), model.encoder, model.decoder).prior(cond={"inputs": jnp.zeros((t, 1))})
            for t in (7, 19)
        )
        a, b = (jnp.asarray(one.sample(key=jax.random.key(4))) for one in (short, long))
        np.testing.assert_array_equal(a, b[:7])


def test_kl_of_a_step_is_that_of_its_normals(linear: Any) -> None:
    model, inputs, x, mask, _ = linear
    posterior: Any = model.posterior(x, cond={"inputs": inputs}, mask=mask)
    walk = posterior.walk(noise=posterior.sample_noise(key=jax.random.key(0)))
    decoder, state = posterior.decoder, m.StepState(jnp.zeros(0), walk.z[3], jnp.zeros((0, 2)), jnp.asarray(4))
    prior = decoder.prior(state, jnp.zeros(0), jnp.asarray(inputs[4]))
    message = jax.tree.map(lambda leaf: leaf[4], posterior.messages)
    own = posterior.encoder.meet(decoder, message, jnp.asarray(True), prior, jnp.zeros(0), jnp.zeros(0))
    covariance = np.linalg.inv(np.asarray(own.factor @ own.factor.T, float))
    rates = np.exp(-2.0 * np.asarray(prior.log_scale, float))
    moved = np.asarray(own.loc - prior.loc, float)
    logs = -np.linalg.slogdet(covariance)[1] - np.sum(np.log(rates))
    exact = 0.5 * (np.sum(rates * np.diag(covariance)) + np.sum(rates * moved**2) - 3 + logs)
    np.testing.assert_allclose(walk.kl[4], exact, rtol=1e-4)
    plain = neural(memory=0)
    own = plain.posterior(x, cond={"inputs": inputs}, mask=mask)
    assert isinstance(own, m.StepNormals)
    np.testing.assert_allclose(np.sum(own.walk(noise=own.sample_noise(key=jax.random.key(1))).kl[15:]), 0.0)


def test_missing_cells_that_are_drawn_keep_the_weight_proper(linear: Any) -> None:
    """Of a model that reads earlier steps the mean weight is the same whatever is drawn for a cell."""
    _, inputs, x, _mask, _ = linear
    model = neural((1,), memory=0)
    short, seen = jnp.asarray(x[:4]), np.ones((4, 2), bool)
    # The last step hidden: the likelihood of the others, exactly, for every draw.
    seen[3] = False
    whole = joint_of(model, short[:3], inputs[:3], None, jax.random.key(0))[0]
    cut = joint_of(model, short, inputs[:4], seen, jax.random.key(0))[0]
    weight = lambda found: found.log_likelihood + found.log_prior - found.log_posterior  # noqa: E731
    np.testing.assert_allclose(weight(cut), weight(whole), rtol=1e-5)
    assert cut.z.shape == (4, 5)
    np.testing.assert_array_equal(cut.z[:3, 3:], short[:3])


def test_draws_and_steps_of_the_model_are_of_one_law() -> None:
    """The prior with its likelihood, and steps drawn one after the other, have the same moments."""
    for lags in ((), (1,)):
        model = neural(lags)
        cond = {"inputs": jnp.ones((3, 1))}

        @eqx.filter_jit
        def both(key: Any, model: Any = model, cond: Any = cond) -> tuple[Any, Any]:
            prior = m.StepPrior(3)(model, cond=cond)
            z_key, x_key = jax.random.split(key)
            x = model.likelihood(prior.sample(key=z_key), cond=cond).sample(key=x_key)
            return x, model.roll(model.start(), 3, inputs=cond["inputs"], key=x_key)

        one, other = (np.asarray(a, float) for a in jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(1), 4000)))
        error = np.sqrt((one.var(axis=0) + other.var(axis=0)) / 4000)
        assert np.all(np.abs(one.mean(axis=0) - other.mean(axis=0)) < 4.0 * error)
        cross = lambda a: np.mean((a[:, 1] - a[:, 1].mean(0)) * (a[:, 2] - a[:, 2].mean(0)), axis=0)  # noqa: E731
        scale = np.sqrt(one[:, 1].var(axis=0) * one[:, 2].var(axis=0))
        assert np.all(np.abs(cross(one) - cross(other)) / scale < 6.0 / np.sqrt(4000))
