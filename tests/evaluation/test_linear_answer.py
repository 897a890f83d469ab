"""The linear-Gaussian answer against conditionals of the whole covariance, and completions that have it."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import stats
from sklearn.datasets import load_wine
from tables import MU, SIGMA, W, linear_gaussian

from latens.config import override
from latens.data import load
from latens.data.batches import Batch, as_batch
from latens.distributions import DiagonalNormal
from latens.evaluation import Rows
from latens.evaluation.complete import _finite_or, complete, log_hidden
from latens.evaluation.linear_answer import Gaussian, conditioned, linear_answer
from latens.evaluation.reductions import LUMA, Reduction
from latens.recipes import get_recipe
from latens.verbs.complete import _beside, _beside_text
from latens.workflow.experiment import prepare

RNG = np.random.default_rng(0)


def gaussian(groups: int = 8, cells: int = 3, latents: int = 4) -> tuple[Gaussian, np.ndarray, np.ndarray]:
    """A Gaussian of pixels whose channels share noise, with its mean and its covariance."""
    root = 0.4 * np.eye(cells) + 0.3 * RNG.standard_normal((groups, cells, cells))
    noise = root @ np.swapaxes(root, 1, 2) + 0.05 * np.eye(cells)
    mean, slope = RNG.standard_normal(groups * cells), RNG.standard_normal((groups * cells, latents))
    whole = slope @ slope.T
    for at in range(groups):
        place = slice(at * cells, (at + 1) * cells)
        whole[place, place] += noise[at]
    return Gaussian(*(jnp.asarray(part, jnp.float32) for part in (mean, slope, noise))), mean, whole


def of_map(made: Gaussian, mean: np.ndarray, whole: np.ndarray, a: np.ndarray, y: np.ndarray, s: float):
    """p(z | y), E[x | y] and log p(y) of y = A x + e, from the covariance of x."""
    slope = np.asarray(made.slope, np.float64)
    inner = a @ whole @ a.T + s * np.eye(len(a))
    gain = np.linalg.solve(inner, y - a @ mean)
    posterior = np.eye(slope.shape[1]) - slope.T @ a.T @ np.linalg.solve(inner, a @ slope)
    density = stats.multivariate_normal(a @ mean, inner).logpdf(y)
    return slope.T @ a.T @ gain, posterior, mean + whole @ a.T @ gain, density


def test_some_cells_are_seen():
    """Also of pixels of which one channel is seen."""
    made, mean, whole = gaussian()
    x, mask = RNG.standard_normal(24), RNG.random(24) < 0.6
    mask[:3] = True
    mask[3:6] = False
    loc, covariance, filled, density = of_map(made, mean, whole, np.eye(24)[mask], x[mask], 0.0)
    q, log_seen = made.answer(jnp.asarray(x, jnp.float32), jnp.asarray(mask), None)
    close(q.loc, loc, rtol=0, atol=2e-5)
    close(q.covariance(), covariance, rtol=0, atol=2e-5)
    close(log_seen, density, rtol=0, atol=2e-4)
    found = made.completed(q.loc, jnp.asarray(x, jnp.float32), jnp.asarray(mask), None)
    close(found, filled, rtol=0, atol=1e-4)
    close(found[mask], x[mask], rtol=0, atol=1e-5)


@pytest.mark.parametrize("reduction", [
    Reduction((2, 4, 3), noise=0.7), Reduction((2, 4, 3), weights=LUMA, step=0.1),
    Reduction((2, 4, 3), side=2, step=0.1),
])  # fmt: skip
def test_what_is_seen_of_all_cells(reduction):
    """Noise, grey and means of blocks are linear maps: the answer is the conditional of that map's Gaussian."""
    made, mean, whole = gaussian()
    a = np.stack([np.asarray(reduction(one)).reshape(-1) for one in np.eye(24)], axis=1)
    y = RNG.standard_normal(len(a))
    loc, covariance, filled, density = of_map(made, mean, whole, a, y, reduction.variance)
    seen = jnp.asarray(y.reshape(reduction.seen_shape), jnp.float32)
    q, log_seen = made.answer(seen, None, reduction)
    close(q.loc, loc, rtol=0, atol=1e-4)
    close(q.covariance(), covariance, rtol=0, atol=1e-4)
    close(log_seen, density, rtol=0, atol=1e-3)
    close(made.completed(q.loc, seen, None, reduction), filled, rtol=0, atol=2e-4)


def test_a_linear_decoder_has_the_exact_posterior_at_once():
    model, x = linear_gaussian("prior"), jnp.asarray([0.4, -0.3, 1.1])
    mask = jnp.asarray([True, False, True])
    q = linear_answer(lambda z: model.likelihood(z), model.posterior(x), x, mask, None)
    assert q is not None
    seen = W[[0, 2]]
    covariance = np.linalg.inv(np.eye(2) + seen.T @ seen / SIGMA**2)
    close(q.covariance(), covariance, rtol=1e-5, atol=1e-6)
    close(q.loc, covariance @ seen.T @ (np.asarray(x) - MU)[[0, 2]] / SIGMA**2, rtol=1e-4, atol=1e-5)


def test_a_completion_is_the_exact_conditional_mean():
    """From an encoder that knows nothing and one step: the exact posterior is one of the mixture's parts."""
    seen, x = np.array([[True, False, True]]), np.array([[0.4, -0.3, 1.1]], np.float32)
    found = as_batch(np.where(seen, x, np.nan).astype(np.float32))
    batch = Batch(found.x, found.row_id, mask=jnp.asarray(seen))
    given = {"num_samples": 4000, "steps": 1, "starts": 1, "key": jax.random.key(0)}
    made = complete(linear_gaussian("prior"), batch, num_draws=1, **given)
    whole = W @ W.T + SIGMA**2 * np.eye(3)
    gain = whole[1, [0, 2]] @ np.linalg.inv(whole[np.ix_([0, 2], [0, 2])])
    assert abs(made.mean[0, 1] - (MU[1] + gain @ (x[0] - MU)[[0, 2]])) < 0.02
    assert made.effective[0] > 0.45 * 4000  # half of the draws are of the exact posterior


def test_latents_of_other_kinds_have_no_such_answer():
    model, x = linear_gaussian("prior"), jnp.asarray([0.4, -0.3, 1.1])

    class Mute(eqx.Module):
        def moments(self):
            raise TypeError("no variance")

    decode = lambda z: model.likelihood(z)  # noqa: E731
    q = model.posterior(x)
    assert linear_answer(lambda z: Mute(), q, x, None, None) is None
    assert linear_answer(decode, DiagonalNormal(jnp.zeros((1, 2)), jnp.zeros((1, 2))), x, None, None) is None


def test_the_rival_is_the_gaussian_that_the_model_began_with():
    """And before its first step the model completes as that Gaussian does: neither is ahead."""
    data = load(np.asarray(load_wine().data[:, :6] * 3.0 + 5.0, np.float32))
    small = {"network.linear": True, "network.hidden": (), "posterior.latent_dim": 2}
    experiment = prepare(override(get_recipe("default").config, small), data)
    model: Any = experiment.stages()[0].start(experiment.new_model(), experiment.data)
    path, head, x = model.decoder.network, model.decoder.head, np.asarray(data.x[:5], np.float64)
    shift, scale = np.asarray(head.shift.value, np.float64), np.asarray(head.scale.value, np.float64)
    slope = np.asarray(path.weight.value, np.float64).T
    covariance = (slope @ slope.T + np.diag(np.asarray(path.noise.value)[:, 0, 0])) * np.outer(scale, scale)
    mean = shift + scale * np.asarray(path.mean.value)
    seen = np.random.default_rng(3).random(x.shape) < 0.5
    seen[:, 0], seen[:, 1] = True, False
    rows = Rows(
        model,
        Batch(jnp.asarray(x, jnp.float32), jnp.arange(5, dtype=jnp.uint32), mask=jnp.asarray(seen)),
        jax.random.key(0),
    )
    rival = conditioned(rows)
    assert rival is not None
    found, hidden = complete(rows, num_samples=400, steps=1, starts=1), log_hidden(rows, num_samples=400, starts=1)
    for i, (row, at) in enumerate(zip(x, seen)):
        inner = covariance[np.ix_(at, at)]
        away = covariance[:, at] @ np.linalg.solve(inner, (row - mean)[at])
        close(rival.mean[i], np.where(at, row, mean + away), rtol=0, atol=1e-3)
        density = stats.multivariate_normal(mean[at], inner).logpdf(row[at])
        whole = stats.multivariate_normal(mean, covariance).logpdf(row)
        close(rival.log_seen[i], density, rtol=0, atol=1e-3)
        close(rival.log_hidden[i], whole - density, rtol=0, atol=2e-3)
        assert abs(found.log_seen[i] - density) < 0.2
        assert abs(hidden.rows[i] - (whole - density)) < 0.3
        assert np.all(np.abs(found.mean[i] - rival.mean[i]) < 0.25 * np.sqrt(np.diag(covariance)))
    assert conditioned(replace(rows, model=linear_gaussian("prior"))) is None


def test_words_of_all_errors():
    table, x = load(np.zeros((4, 3), np.float32)).schema, np.zeros((4, 3))
    hidden = np.array([[True, True, False]] * 4)
    two, one = np.full((4, 3), 2.0), np.ones((4, 3))
    told = _beside(table, two, one, x, hidden)
    assert told == {"error": 2.0, "gaussian": {"error": 1.0, "nearer": True}}
    assert "2; by a conditioned Gaussian 1\npoor: by a conditioned Gaussian it is nearer" in _beside_text(told, table)
    other = _beside(table, one, two, x, hidden)
    assert (other["gaussian"]["nearer"], _beside_text(other, table)[-1]) == (False, "2")
    assert _beside(table, one, None, x, hidden) == {}


def test_the_edge_and_a_plain_colour_stand_beside_a_picture():
    """Rows of 0, hidden ones of 30, and rows of 60: the edge is exact, the mean of what is seen too."""
    x = np.repeat(np.array([0.0, 30.0, 60.0]), 9).reshape(1, 3, 9).repeat(4, axis=0)
    x[:, 1, :] += np.where(np.arange(9) % 2, 10.0, -10.0)
    schema = load(np.r_[x, 255 + 0 * x].astype(np.uint8)).schema
    hidden = np.zeros(x.shape, bool)
    hidden[:, 1] = True
    told = _beside(schema, x + 20.0, None, x, hidden)
    assert abs(told["edge"]["error"] - 10.0) < 1e-3
    assert (told["error"], told["edge"]["nearer"], told["poor"]) == (20.0, True, True)
    assert abs(told["flat"] - 10.0) < 1e-6
    text = _beside_text(told, schema)
    assert text.startswith("error of the mean where it is hidden: 20 of 255 levels; filled from the edge alone 10")
    assert text.endswith("poor: filled from the edge alone it is nearer; train longer")
    good = _beside(schema, x + 5.9, None, x, hidden)
    assert (good["edge"]["nearer"], good["poor"]) == (False, False)
    assert "poor" not in _beside_text(good, schema)
    assert "off by 10;" in _beside_text(_beside(schema, x + 6.1, None, x, hidden), schema)


def test_what_is_not_finite_on_its_way_stays_as_it_was():
    """Of three Normals the second has become infinite; of a decoder without finite slopes the answer is the prior."""
    firsts = DiagonalNormal(jnp.arange(6.0).reshape(3, 2), jnp.zeros((3, 2)))
    climbed = DiagonalNormal(firsts.loc.at[1, 0].set(jnp.nan), firsts.log_scale + 1.0)
    found = _finite_or(climbed, firsts)
    np.testing.assert_array_equal(found.loc, firsts.loc)
    np.testing.assert_array_equal(found.log_scale, [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    model, x = linear_gaussian("prior"), jnp.asarray([0.4, -0.3, 1.1])
    broken = eqx.tree_at(
        lambda m: m.decoder, model, lambda z, **_: DiagonalNormal(jnp.log(-jnp.ones(3)) * z[0], jnp.zeros(3))
    )
    q = linear_answer(lambda z: broken.likelihood(z), model.posterior(x), x, None, None)
    assert q is not None
    np.testing.assert_array_equal(q.covariance(), np.eye(2))
