"""Bayes classifiers: densities, accuracy, samples and files, against scipy and scikit-learn."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from latens import predictive
from latens.config import override
from latens.data import Dataset, load
from latens.errors import ConfigError, DataError
from latens.estimators import GenerativeClassifier
from latens.evidence import ModelRows
from latens.models import BayesClassifier
from latens.predictive.classes import class_log_joint
from latens.recipes import get_recipe
from latens.recipes.classifiers import mixture_rows, preparation
from latens.trained.experiment import prepare, train
from latens.trained.measurement import measure
from latens.trained.paired import per_row
from latens.trained.trained_model import TrainedModel


def _model(getkey, classes: int = 3, components: int = 2, cells: int = 4) -> BayesClassifier:
    generator = np.random.default_rng(7)
    factor = np.tril(generator.normal(size=(classes, components, cells, cells)))
    diagonal = np.arange(cells)
    factor[..., diagonal, diagonal] = 0.5 + np.abs(factor[..., diagonal, diagonal])
    arrays = (
        np.log(generator.dirichlet(np.ones(classes))),
        np.log(generator.dirichlet(np.ones(components), classes)),
        2.0 * generator.normal(size=(classes, components, cells)),
        factor,
    )
    return BayesClassifier(*(jnp.asarray(a, jnp.float32) for a in arrays), (2, cells // 2))


def _oracle(model: BayesClassifier, x: np.ndarray) -> np.ndarray:
    """log p(x, c) by scipy, of shape (n, C)."""
    factor = np.asarray(model.cholesky, np.float64)
    covariance = factor @ np.swapaxes(factor, -1, -2)
    terms = [
        [multivariate_normal(model.mean[c, m], covariance[c, m]).logpdf(x) for m in range(model.num_components)]
        for c in range(model.num_classes)
    ]
    weights = np.asarray(model.log_prior)[:, None, None] + np.asarray(model.log_weight)[:, :, None]
    return logsumexp(np.array(terms) + weights, axis=1).T


def test_densities_agree_with_scipy(getkey):
    model = _model(getkey)
    x = np.random.default_rng(0).normal(size=(20, 4)) * 3
    expected = _oracle(model, x)
    events = jnp.asarray(x, jnp.float32).reshape(20, 2, 2)
    np.testing.assert_allclose(jax.vmap(model.log_joint)(events), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(model.log_marginal)(events), logsumexp(expected, axis=1), rtol=1e-5)
    posterior = np.exp(expected - logsumexp(expected, axis=1, keepdims=True))
    np.testing.assert_allclose(jax.vmap(model.predict_proba)(events), posterior, atol=1e-5)
    # One program or another, one row or many: the same numbers.
    np.testing.assert_allclose(eqx.filter_jit(model.log_joint)(events[3]), model.log_joint(events[3]), rtol=1e-6)


def _fitted(name: str, **settings) -> tuple[TrainedModel, Dataset]:
    data = load("digits")
    trained, _ = train(prepare(override(get_recipe(name).config, settings), data))
    return trained, data


def _split(data: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x = data.x.reshape(len(data), -1) / 16.0
    train_rows, test = data.subset("train"), data.subset("test")
    return x[train_rows], data.label[train_rows], x[test], data.label[test]


@pytest.mark.parametrize("inference", ["variational", "em"])
def test_mixture_recipe_is_the_same_computation_as_scikit_learn(inference: str):
    trained, data = _fitted("mlq-mixture", **{"density.inference": inference, "density.components": 4})
    x, y, x_test, y_test = _split(data)
    kind = GaussianMixture if inference == "em" else BayesianGaussianMixture
    expected = []
    for c in range(10):
        fitted = kind(n_components=4, reg_covar=1e-3, max_iter=100, random_state=0).fit(x[y == c])
        parts = zip(fitted.weights_, fitted.means_, fitted.covariances_)
        log_terms = [np.log(w) + multivariate_normal(m, s).logpdf(x_test) for w, m, s in parts]
        expected.append(logsumexp(log_terms, axis=0) + np.log(np.mean(y == c)))
    expected = np.stack(expected, axis=1)
    batch = trained.batch(data, data.subset("test"))
    found = class_log_joint(ModelRows(trained.model, batch, preparation=trained.preparation))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)
    accuracy = predictive.accuracy(ModelRows(trained.model, batch, preparation=trained.preparation)).value
    assert accuracy == pytest.approx((expected.argmax(1) == y_test).mean(), abs=1e-3)


def test_a_weight_of_two_is_the_row_twice():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(40, 3)), np.repeat([0, 1], 20)
    weight = np.where(np.arange(40) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(40), weight.astype(int))
    models = []
    for data in (load(x, label=y, weight=weight), load(x[twice], label=y[twice])):
        data = dataclasses.replace(data, split=np.zeros(len(data), np.uint8))
        models.append(train(prepare(get_recipe("mlq-gaussian").config, data))[0].model)
    for one, other in zip(jax.tree.leaves(models[0]), jax.tree.leaves(models[1])):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_estimator_of_mixtures_is_saved(tmp_path):
    data = load("digits")
    x, y = data.x.reshape(len(data), -1), data.label
    fitted = GenerativeClassifier("mixture", n_components=3, inference="em", random_state=0).fit(x[:600], y[:600])
    again = GenerativeClassifier.load(fitted.save(tmp_path / "c.safetensors"))
    assert again.get_params() == fitted.get_params()
    np.testing.assert_array_equal(again.classes_, np.arange(10))
    np.testing.assert_array_equal(again.predict_proba(x[600:650]), fitted.predict_proba(x[600:650]))


def test_rows_are_left_out_only_where_a_mixture_would_take_too_long():
    # Full MNIST fits; CIFAR's 3072 values do not.
    assert mixture_rows(784, 10) > 60_000
    assert mixture_rows(3072, 10) < 10_000
    data = load("digits")
    config = override(get_recipe("mlq-mixture").config, {"density.components": 2, "density.rows_per_class": 50})
    experiment = prepare(config, data)
    assert experiment.config.density.rows_per_class == 50
    limited = train(experiment)[0].model
    prior = np.bincount(data.label[data.subset("train")], minlength=10) / len(data.subset("train"))
    np.testing.assert_allclose(np.exp(limited.log_prior), prior, rtol=1e-5)
    everything = prepare(override(get_recipe("mlq-mixture").config, {"density.components": 2}), data)
    assert everything.config.density.rows_per_class is None


@pytest.mark.parametrize("recipe", ["mlq-gaussian", "mlq-mixture"])
def test_without_labels_one_density_of_all_rows(recipe):
    """No classifier but a density, as scikit-learn and SciPy have it; `evaluate` and `compare` say its log p(x)."""
    x = np.random.default_rng(0).normal(size=(60, 2)) * [0.2, 1.0] + np.repeat([[-2.0], [2.0]], 30, axis=0)
    data = load(x)
    options = {"density.components": 2, "density.inference": "em"} if recipe == "mlq-mixture" else {}
    experiment = prepare(override(get_recipe(recipe).config, options), data)
    assert experiment.reasons[0].startswith(f"one {recipe[4:]} for all rows, which have no labels")
    trained, rows = train(experiment)[0], data.subset("train")
    if recipe == "mlq-mixture":
        expected = GaussianMixture(2, reg_covar=1e-3, random_state=0).fit(x[rows]).score_samples(x)
    else:
        covariance = np.cov(x[rows].T, bias=True) + 1e-3 * np.eye(2)
        expected = multivariate_normal(x[rows].mean(0), covariance).logpdf(x)
    everything = np.arange(60)
    found = measure(trained, data, everything)
    assert list(found) == ["log_marginal"]
    assert found["log_marginal"].value == pytest.approx(expected.mean(), rel=1e-4)
    assert found["log_marginal"].unit == "nats"
    np.testing.assert_allclose(per_row(trained, data, everything, 1, 0).rows, expected, rtol=1e-3, atol=1e-3)


def test_refusals_name_the_remedy():
    x, y = np.random.default_rng(0).normal(size=(60, 3)), np.repeat([0, 1], 30)
    config = get_recipe("mlq-gaussian").config
    trained, data = train(prepare(config, load(x, label=y)))[0], load(x)
    with pytest.raises(DataError, match="--label"):  # a classifier is judged by labels
        measure(trained, data, np.arange(60))
    holes = np.where(np.eye(60, 3) > 0, np.nan, x)
    with pytest.raises(DataError, match="missing cells"):
        prepare(config, load(holes, label=y, missing="nan"))
    with pytest.raises(DataError, match=r"density\.components"):
        prepare(override(get_recipe("mlq-mixture").config, {"density.components": 30}), load(x, label=y))
    with pytest.raises(DataError, match="weights"):
        prepare(get_recipe("mlq-mixture").config, load(x, label=y, weight=np.ones(60)))
    with pytest.raises(ConfigError, match=r"data\.binarize"):
        prepare(override(config, {"data.binarize": "stochastic"}), load(x, label=y))
    large = load(np.zeros((12, 100, 100, 3), np.uint8), label=np.arange(12) % 2)
    with pytest.raises(ConfigError, match="GiB"):
        prepare(config, large).new_model()


@pytest.mark.parametrize(
    ("high", "shape", "options", "seen"),
    [(40, (4,), {"counts": True}, np.log1p), (256, (2, 3), {}, lambda x: x / 255.0), (2, (2, 3), {}, np.asarray)],
)
def test_what_a_classifier_sees_of_a_row(high, shape, options, seen):
    x = np.random.default_rng(0).integers(0, high, (60, *shape))
    made = preparation(load(x, **options).schema, get_recipe("mlq-mixture").config)
    np.testing.assert_allclose(made(jnp.asarray(x[0], jnp.float32), key=jax.random.key(0)), seen(x[0]), rtol=1e-6)
