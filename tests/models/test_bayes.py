"""Bayes classifiers: densities, accuracy, samples and files, against scipy, scikit-learn and by hand."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from scipy import stats
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from latens import predictive
from latens.config import override
from latens.data import Dataset, Preparation, load
from latens.data.dataset import as_batch
from latens.errors import ConfigError, DataError, UsageError
from latens.estimators import GenerativeClassifier
from latens.evidence import ModelRows
from latens.fitting import prepare, train
from latens.models import BayesClassifier
from latens.predictive.classes import accuracy, class_log_joint, normalise, sample_classes
from latens.recipes import get_recipe
from latens.recipes.classifiers import mixture_rows, preparation, resolve
from latens.trained.measurement import measured
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
    limited = train(experiment)[0].model
    prior = np.bincount(data.label[data.subset("train")], minlength=10) / len(data.subset("train"))
    np.testing.assert_allclose(np.exp(limited.log_prior), prior, rtol=1e-5)


@pytest.mark.parametrize(
    ("recipe", "given", "most"), [("mlq-mixture", None, 10), ("mlq-mixture", 7, 7), ("mlq-gaussian", None, None)]
)
def test_rows_of_a_class_are_limited_where_none_are_asked_for(recipe, given, most, monkeypatch):
    monkeypatch.setattr("latens.recipes.classifiers.mixture_rows", lambda cells, components: 20)
    more = {"density.components": 2, "density.rows_per_class": given} if recipe == "mlq-mixture" else {}
    config, reasons = resolve(
        override(get_recipe(recipe).config, more), load(np.zeros((60, 2)), label=np.arange(60) % 2)
    )
    assert config.density.rows_per_class == most
    assert any("at most 10 rows" in reason for reason in reasons) == (most == 10)


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
    found = measured(trained, data, everything).metrics
    assert list(found) == ["log_marginal"]
    assert found["log_marginal"].value == pytest.approx(expected.mean(), rel=1e-4)
    assert found["log_marginal"].unit == "nats"
    np.testing.assert_allclose(per_row(trained, data, everything, 1, 0).rows, expected, rtol=1e-3, atol=1e-3)


def test_refusals_name_the_remedy():
    x, y = np.random.default_rng(0).normal(size=(60, 3)), np.repeat([0, 1], 30)
    config = get_recipe("mlq-gaussian").config
    trained, data = train(prepare(config, load(x, label=y)))[0], load(x)
    with pytest.raises(DataError, match="--label"):  # a classifier is judged by labels
        measured(trained, data, np.arange(60))
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


PLAIN = Preparation()
MEANS, SCALES = np.array([[[-1.0], [1.0]], [[4.0], [5.0]]]), np.array([[0.5, 0.25], [1.0, 2.0]])
MODEL = BayesClassifier(
    jnp.log(jnp.array([0.25, 0.75])),
    jnp.log(jnp.array([[0.5, 0.5], [0.1, 0.9]])),
    jnp.asarray(MEANS, jnp.float32),
    jnp.asarray(SCALES[..., None, None], jnp.float32),
    (1,),
)
X = np.array([[-1.2], [0.9], [4.4], [2.0]], np.float32)
DENSITY = stats.norm.pdf(X[:, :, None], MEANS[..., 0], SCALES) * [[0.125, 0.125], [0.075, 0.675]]


def test_densities_and_shares_by_hand():
    batch = as_batch(X)
    joint = DENSITY.sum(axis=2)
    close(class_log_joint(ModelRows(MODEL, batch, preparation=PLAIN)), np.log(joint), rtol=1e-4)
    close(normalise(np.log(joint)), joint / joint.sum(axis=1, keepdims=True), rtol=1e-6)


def test_the_share_of_rows_in_their_own_class():
    label, weight = np.array([0, 1, -1, 1]), np.array([3.0, 1.0, 5.0, 0.5], np.float32)
    predicted = DENSITY.sum(axis=2).argmax(axis=1)
    hits = (predicted == label)[[0, 1, 3]]
    found = accuracy(ModelRows(MODEL, as_batch(X, label=label), preparation=PLAIN))
    assert (found.value, found.n, found.unit) == (hits.mean(), 3, "accuracy")
    close(found.standard_error, hits.std(ddof=1) / np.sqrt(3))
    weighted = accuracy(ModelRows(MODEL, as_batch(X, label=label, weight=weight), preparation=PLAIN))
    close(weighted.value, np.average(hits, weights=weight[[0, 1, 3]]))
    with pytest.raises(DataError, match="there are no labels to compare with"):
        accuracy(ModelRows(MODEL, as_batch(X, label=np.full(4, -1)), preparation=PLAIN))


@pytest.mark.parametrize("label", [None, 0, 1])
def test_samples_are_of_their_class_and_component(label):
    found = sample_classes(MODEL, 400, key=jax.random.key(0), label=label)
    assert len(np.unique(found.x)) == 400
    if label is None:
        agrees(found.label, 0.75)
    else:
        assert set(found.label.tolist()) == {label}
    np.testing.assert_array_equal(found.component_mean, MEANS[found.label, found.component].astype(np.float32))
    residual = (found.x[:, 0] - found.component_mean[:, 0]) / SCALES[found.label, found.component]
    agrees(np.stack([residual, residual**2], axis=1), [0.0, 1.0])
    own = found.label == 1 if label is None else slice(None)
    agrees(found.component[own], 0.5 if label == 0 else 0.9)
    few = sample_classes(MODEL, 3, key=jax.random.key(0), label=label)
    np.testing.assert_allclose(few.x, found.x[:3], rtol=1e-6)  # a sample is the same among fewer
    for wrong in (-1, 2):
        with pytest.raises(UsageError, match=f"there is no class {wrong}; the classes are numbered 0 to 1"):
            sample_classes(MODEL, 1, key=jax.random.key(0), label=wrong)


def test_a_row_of_no_density_has_minus_infinity_and_the_share_of_its_class():
    """So far out that the square of its distance has no float32."""
    x = np.concatenate([np.random.default_rng(0).normal(size=(20, 2)), np.full((20, 2), 5.0)]).astype(np.float32)
    x[20:] += np.random.default_rng(1).normal(size=(20, 2))
    y = np.array(["near"] * 20 + ["off"] * 20)
    model = GenerativeClassifier(random_state=0).fit(x[:30], y[:30])
    far = np.array([[1e25, 0.0], [0.0, 0.0]], np.float32)
    joint = model.log_joint(far)
    assert np.isneginf(joint[0]).all()
    assert np.isfinite(joint[1]).all()
    close(model.predict_proba(far)[0], [2 / 3, 1 / 3])
    close(model.predict_log_proba(far)[0], np.log([2 / 3, 1 / 3]))
    assert model.predict(far).tolist() == ["near", "near"]
    assert np.isneginf(model.score_samples(far)[0])
