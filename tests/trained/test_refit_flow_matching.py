"""`refit --prior flow-matching`: log p(x) of a linear model, files, labels, and the same prior beside the networks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import stats
from scipy.special import logsumexp
from test_refit import MEAN, SIGMA, W, exact_moments, linear, made

from latens import VAE
from latens.config import override
from latens.data import Dataset, Schema
from latens.data.dataset import Batch
from latens.data.schema import Column
from latens.errors import ConfigError
from latens.evidence import importance_sampling
from latens.fitting import prepare, train
from latens.latents.fit_prior import MatchedFit, _absent
from latens.models import ContinuousFlow, FlowMatching, LatentModel
from latens.recipes import get_recipe
from latens.trainable import Frozen
from latens.trained.prior_refit import refit_prior
from latens.trained.trained_model import TrainedModel

WIDTH = {"width": 32}


def densities(prior: ContinuousFlow, z: np.ndarray) -> np.ndarray:
    found = eqx.filter_jit(lambda prior, z: jax.vmap(prior.log_prob)(z))
    return np.asarray(found(prior, jnp.asarray(z, jnp.float32)), np.float64)


@pytest.fixture(scope="module")
def refitted() -> tuple[Dataset, TrainedModel, TrainedModel, float]:
    data = made()
    trained = linear(data)
    found, gain = refit_prior(trained, data, "flow-matching", options=WIDTH, steps=300, num_samples=100)
    return data, trained, found, gain.value


def test_log_p_of_a_linear_model_is_the_one_by_quadrature(refitted):
    """Within its error; and near the one of the Normal with the moments of the codes, whose correlation is learned."""
    data, _, found, _ = refitted
    test = data.subset("test")
    x = data.x[test].astype(np.float64)
    grid = np.linspace(-6.0, 6.0, 121)
    z = np.stack(np.meshgrid(MEAN[0] + grid, MEAN[1] + grid), -1).reshape(-1, 2)
    log_prior = densities(found.model.prior(), z)
    area = 2 * np.log(grid[1] - grid[0])
    assert logsumexp(log_prior) + area == pytest.approx(0.0, abs=2e-3)
    log_likelihood = stats.norm.logpdf(x[:, None], z @ W.T, SIGMA).sum(2)
    exact = logsumexp(log_likelihood + log_prior, axis=1) + area
    estimate = importance_sampling(found.rows(found.batch(data, test), seed=0), num_samples=400)
    assert np.all(np.abs(estimate.rows - exact) < 5 * estimate.row_errors + 2e-3)
    mean, covariance = exact_moments(data.x[data.subset("train")])
    normal = stats.multivariate_normal(W @ mean, W @ covariance @ W.T + SIGMA**2 * np.eye(4)).logpdf(x)
    apart = stats.multivariate_normal(W @ mean, W @ np.diag(np.diag(covariance)) @ W.T + SIGMA**2 * np.eye(4))
    assert abs(np.mean(exact - normal)) < 0.4 * np.mean(normal - apart.logpdf(x))


def test_a_refitted_model_is_the_same_bits_again(refitted):
    data, trained, found, gain = refitted
    again, other = refit_prior(trained, data, "flow-matching", options=WIDTH, steps=300, num_samples=100)
    assert other.value == gain
    assert again.to_bytes() == found.to_bytes()
    loaded = TrainedModel.from_bytes(found.to_bytes())
    assert loaded.config.prior.kind == "flow-matching"
    z = np.random.default_rng(0).standard_normal((9, 2))
    one, two = (densities(model.model.prior(), z) for model in (found, loaded))
    np.testing.assert_array_equal(one, two)


def test_one_draw_of_a_row_is_fitted_by_the_squared_error_of_the_velocity() -> None:
    prior = FlowMatching.create((2,), (4,), width=8, key=jax.random.key(0))
    batch = Batch(jax.random.normal(jax.random.key(1), (3, 1, 2)), jnp.arange(3, dtype=jnp.uint32))
    fitted, key = LatentModel(prior, _absent, _absent), jax.random.key(2)
    loss, metrics = MatchedFit(Frozen(None))(fitted, batch, key=key, step=jnp.asarray(0))
    keys = [jax.random.fold_in(jax.random.split(key)[1], i) for i in range(3)]
    each = np.array([prior.loss(z[0], cond=None, key=k) for z, k in zip(batch.x, keys)])
    close([loss, -metrics["minus_squared_error"][0] / 3], [each.mean()] * 2, rtol=1e-5)
    assert np.all(each > 0)


def labelled(n: int = 120) -> Dataset:
    rng = np.random.default_rng(0)
    label, ids = rng.integers(0, 2, n).astype(np.int32), np.arange(n)
    x = (np.where(label, 1.0, -1.0)[:, None] + rng.normal(size=(n, 4))).astype(np.float32)
    split = np.where(np.arange(n) < 20, 2, 0).astype(np.uint8)
    schema = Schema((4,), "real", columns=tuple(Column(f"x{i}") for i in range(4)), classes=("a", "b"))
    return Dataset(x, schema, ids.astype(np.uint32), ids, split, "made", label)


def test_a_model_that_reads_labels_gets_a_prior_that_does():
    data, small = labelled(), {"network.hidden": [8], "posterior.latent_dim": 2, "training.steps": 1}
    experiment = prepare(override(get_recipe("conditional-vae").config, small), data)
    trained = experiment.trained(experiment.new_model())
    options = {**WIDTH, "guidance": 2.0}
    found, gain = refit_prior(trained, data, "flow-matching", options=options, steps=3, num_samples=5)
    assert (found.config.label.prior, found.config.prior.options["guidance"], gain.n) == ("class", 2.0, 20)
    assert (found.model.prior_part.classes, found.model.prior_part.guidance) == (2, 2.0)
    again = TrainedModel.from_bytes(found.to_bytes())
    of = lambda m: jax.vmap(lambda y: m.prior(cond={"label": y}).log_prob(jnp.ones(2)))(jnp.eye(2))  # noqa: E731
    np.testing.assert_array_equal(of(found.model), of(again.model))
    assert of(found.model)[0] != of(found.model)[1]
    with pytest.raises(ConfigError, match="is not one for all rows"):
        refit_prior(trained, data, "flow", steps=1)
    with pytest.raises(ConfigError, match="no label is read"):
        refit_prior(linear(made(80)), made(80), "flow-matching", options={"guidance": 2.0}, steps=1)


def test_an_estimator_gives_its_labels_and_samples_with_guidance():
    data = labelled()
    x, y = np.asarray(data.x), np.array(["a", "b"])[data.label]
    vae = VAE(2, recipe="conditional-vae", hidden=8, steps=5, random_state=0).fit(x, y)
    vae.refit_prior(x, "flow-matching", y=y, options={"width": 8}, steps=300)
    one, other = (vae.sample(6, label="b", guidance=w, random_state=0) for w in (1.0, 4.0))
    np.testing.assert_array_equal(vae.sample(6, label="b", random_state=0), one)
    assert np.abs(one - other).max() > 1e-4
    assert vae.model_.guided(4.0).config.prior.options["guidance"] == 4.0
    with pytest.raises(ConfigError, match="that reads labels"):
        linear(made(80)).guided(2.0)


def test_beside_the_networks_the_density_trains_it():
    data = made(120)
    settings = {"prior": "flow-matching", "prior.width": 16, "prior.steps": 4, "network.hidden": [8]}
    settings |= {"posterior.latent_dim": 2, "training.steps": 5, "training.epochs": None}
    experiment = prepare(override(get_recipe("default").config, settings), data)
    first = experiment.new_model().prior_part
    trained, _ = train(experiment)
    prior = trained.model.prior_part
    assert (prior.steps, prior.velocity.first.shape) == (4, (2, 16))
    assert np.abs(prior.velocity.last).max() > 0.0 == np.abs(first.velocity.last).max()
    close(prior.scale.value, np.ones(2))
