"""What of unseen pictures comes back, against sums that are known, and what is said of it."""

import numpy as np

from latens import pretrained
from latens.data import load
from latens.workflow.sharpness import Explained, explained, explained_by, sharpness_text
from latens.workflow.trained import TrainedModel


def test_shares_of_known_pictures():
    """Squares of 4 x 4 that are flat but for a checkerboard of 1 and -1, which comes back by half."""
    rng = np.random.default_rng(0)
    flat = np.kron(rng.normal(0, 3, (5, 8, 8)), np.ones((1, 4, 4)))
    board = np.where(np.indices((32, 32)).sum(axis=0) % 2, 1.0, -1.0)[None]
    x = (flat + board)[..., None]
    assert explained(x, x) == Explained(1.0, 1.0)
    whole, fine = explained(x, (flat + 0.5 * board)[..., None])
    spread = np.square(x - x.mean(axis=0)).sum()
    np.testing.assert_allclose((whole, fine), (1 - 0.25 * x.size / spread, 0.75))
    np.testing.assert_allclose(explained(x, flat[..., None]).fine, 0.0, atol=1e-12)
    np.testing.assert_allclose(explained(x, np.broadcast_to(x.mean(axis=0), x.shape)).whole, 0.0, atol=1e-12)


def test_a_part_of_a_square_at_the_edge_does_not_count():
    x = np.zeros((2, 33, 34, 3))
    x[:, 32:] = 1.0
    x[0, :4, :4] = np.arange(16).reshape(4, 4, 1)
    back = x.copy()
    back[:, 32:] = 9.0
    assert explained(x, back).fine == 1.0


def test_small_pictures_have_none():
    data = load("digits")
    assert explained_by(TrainedModel.load(pretrained.path("digits-16d")), data, data.subset("test")) is None


def test_what_is_said_of_it():
    assert sharpness_text(None) == ""
    soft = "Unseen pictures come back with 21% of their fine detail: new ones will look soft and blurred."
    assert sharpness_text(Explained(0.9, 0.21)) == soft
    assert "0% of" in sharpness_text(Explained(0.9, -0.4))
    assert sharpness_text(Explained(0.9, 0.6)).endswith("nearly as sharp as yours.")
