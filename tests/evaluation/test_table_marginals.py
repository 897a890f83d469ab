"""A gap in a mixed row under a trained VAE: what is left is exactly the marginal of the cells that are there."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from asked import at
from scipy import special

import latens
from latens import evaluation
from latens.config import override
from latens.data import Dataset
from latens.distributions import log_prob
from latens.recipes import get_recipe
from latens.workflow.trained import TrainedModel

pytestmark = pytest.mark.more
TOWNS = ("Bergen", "Oslo", "Tromso")
GRID = np.linspace(-9.0, 9.0, 1801)


def frame(n: int) -> pd.DataFrame:
    """Rows of a name, a whole number and a coin that hang on one number."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=n)
    towns = np.array(TOWNS)[np.clip(np.round(z + rng.normal(size=n) / 2) + 1, 0, 2).astype(int)]
    rooms = np.clip(np.round(2 * z + rng.normal(size=n)) + 4, 0, 8).astype(int)
    return pd.DataFrame({"town": towns, "rooms": rooms, "garden": rng.random(n) < special.expit(2 * z)})


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    settings = {"training.steps": 300, "posterior.latent_dim": 1, "network.hidden": [16]}
    return latens.workflow.train(
        latens.workflow.prepare(override(get_recipe("default").config, settings), latens.read(frame(600)))
    )[0]


def integrated(trained: TrainedModel, x: np.ndarray, mask: np.ndarray) -> float:
    """log of the integral of p(z) p(x | z) over the only latent, by the trapezoid rule."""
    model = trained.model
    joint = lambda z: model.prior().log_prob(z) + log_prob(model.likelihood(z), jnp.asarray(x), jnp.asarray(mask))  # noqa: E731
    logs = np.asarray(jax.vmap(joint)(jnp.asarray(GRID[:, None], jnp.float32)), np.float64)
    return float(special.logsumexp(logs) + np.log(GRID[1] - GRID[0]))


def every_row(trained: TrainedModel) -> Dataset:
    made = [(t, r, g) for t in TOWNS for r in range(9) for g in (False, True)]
    return latens.read(pd.DataFrame(made, columns=["town", "rooms", "garden"]), schema=trained.schema)


@pytest.mark.parametrize("gap", [0, 1, 2])
def test_a_gap_leaves_the_sum_over_what_could_stand_there(trained: TrainedModel, gap: int) -> None:
    """By quadrature, without an encoder: no bound and no draw is in the way."""
    batch, whole = trained.batch(every_row(trained)), np.ones(3, bool)
    rows = np.asarray(batch.x)
    logs = np.array([integrated(trained, row, whole) for row in rows])
    assert special.logsumexp(logs) == pytest.approx(0.0, abs=1e-4)
    seen = whole.copy()
    seen[gap] = False
    for row in np.unique(np.delete(rows, gap, axis=1), axis=0)[::3]:
        like = np.all(np.delete(rows, gap, axis=1) == row, axis=1)
        found = integrated(trained, rows[np.argmax(like)], seen)
        assert found == pytest.approx(special.logsumexp(logs[like]), abs=1e-4)


@pytest.mark.parametrize("gap", [None, 0, 1, 2])
def test_the_estimate_of_a_row_with_a_gap_is_that_marginal(trained: TrainedModel, gap: int | None) -> None:
    """Importance sampling with the encoder that sees the gap, against quadrature: exp of it is exact in the mean.

    A single row may be off by a quarter of a nat where q is narrower than the posterior: one draw weighs too much.
    """
    mixed = frame(40).astype({"rooms": object, "garden": object})
    if gap is not None:
        mixed.iloc[:, gap] = None
    batch = trained.batch(latens.read(mixed, schema=trained.schema))
    mask = np.ones(batch.x.shape, bool) if batch.mask is None else np.asarray(batch.mask)
    exact = [integrated(trained, x, seen) for x, seen in zip(np.asarray(batch.x), mask)]
    options = {"preparation": trained.preparation, "num_samples": 32_000, "key": jax.random.key(0)}
    found = at(evaluation.log_marginal, trained.model, batch, **options)
    assert np.mean(np.exp(found - exact)) == pytest.approx(1.0, abs=0.02)
    assert np.median(np.abs(found - exact)) < 0.02
