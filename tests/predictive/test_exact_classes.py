"""What a classifier of two Gaussians says of rows, by hand: densities, samples, accuracy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from scipy import stats

from latens.data import Preparation
from latens.data.dataset import as_batch
from latens.errors import DataError, UsageError
from latens.estimators import GenerativeClassifier
from latens.evidence import ModelRows
from latens.models import BayesClassifier
from latens.predictive.classes import accuracy, class_log_joint, normalise, sample_classes

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
