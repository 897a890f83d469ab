"""Pictures of a Bayes classifier show its samples and the means of its components."""

import jax
import numpy as np
import pytest
from picture_fixtures import pictured

from latens import figures
from latens.data import Dataset, Preparation, Schema
from latens.figures.animation import frame
from latens.model_figures.draw import FIRST, draw_pictures, save_pictures
from latens.model_figures.source import Source
from latens.model_figures.table_pictures import EACH, class_samples, draw_classes
from latens.models import BayesClassifier
from latens.trained.trained_model import TrainedModel


def classifier(shape=(2, 2)):
    mean = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    cholesky = np.tile(0.5 * np.eye(4, dtype=np.float32), (3, 2, 1, 1))
    weight = np.log(np.array([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]], np.float32))
    return BayesClassifier(np.log(np.array([0.2, 0.3, 0.5], np.float32)), weight, mean, cholesky, shape)


def test_classes_are_sampled_beside_their_component_means():
    trained = TrainedModel(classifier(), Schema((2, 2), "real", classes=("a", "b", "c")), Preparation(divide=2.0))
    samples, label, component, means = class_samples(trained, 200, key=jax.random.key(0))
    assert label.tolist() == [0] * 200 + [1] * 200 + [2] * 200
    np.testing.assert_array_equal(means.reshape(600, 4), 2 * classifier().mean[label, component])
    error = (samples - means).reshape(600 * 4)
    assert abs(error.mean()) < 5 / np.sqrt(error.size)  # noise of scale 0.5, in units twice as fine
    assert error.std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * error.size))
    assert np.mean(component[:200]) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(200))

    source = Source(trained, None)
    source.limits = (0.0, 46.0)
    axes, _ = draw_classes(source)
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["a", "b", "c"]
    drawn = class_samples(trained, EACH, key=source.prior_key)
    assert len(drawn.label) == 18
    expected = classifier().mean[drawn.label, drawn.component] * 2 / 46
    np.testing.assert_allclose(pictured(axes[2]), expected, rtol=1e-6)
    # Beside its samples a class has its mean once: of its components, by their weights.
    weight = np.array([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]])
    expected = np.einsum("cm,cmd->cd", weight, classifier().mean) * 2 / 46
    np.testing.assert_allclose(pictured(axes[0]), expected, rtol=1e-6)
    wide = [ax.images[0].get_array().shape[1] for ax in axes]
    assert wide == [2, 6 * 2 + 5, 6 * 2 + 5]
    frame(axes)
    heights = [ax.get_window_extent().height for ax in axes]
    np.testing.assert_allclose(heights, heights[0], rtol=0.01)


@pytest.mark.parametrize(("shape", "expected"), [((2, 2), ["classes"]), ((4,), ["marginals"])])
def test_pictures_of_a_classifier(monkeypatch, tmp_path, shape, expected):
    monkeypatch.setattr(figures, "save", lambda axes, stem, table: [stem])
    trained = TrainedModel(classifier(shape), Schema(shape, "real", classes=("a", "b", "c")), Preparation())
    ids = np.arange(30)
    x = np.random.default_rng(0).normal(size=(30, *shape)).astype(np.float32)
    data = Dataset(x, trained.schema, ids.astype(np.uint32), ids, np.zeros(30, np.uint8), "made", label=ids % 3)
    assert [path.name for path in save_pictures(draw_pictures(trained, data, only=FIRST), tmp_path)] == expected
