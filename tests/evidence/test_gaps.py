"""The split of log p(x) - ELBO: the mean-field example, whose two parts have closed forms."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from evidence_fixtures import Linear10, log_p_of_linear, rows_of_linear
from tables import X, linear_gaussian

from latens.data.dataset import Batch, as_batch
from latens.distributions import DiagonalNormal, StandardNormal
from latens.errors import ConfigError
from latens.evidence import ModelRows, inference_gaps
from latens.evidence.inference_gaps import gap_rows
from latens.models import AbstractLatentModel


def test_a_full_normal_leaves_no_approximation_gap() -> None:
    """It is the exact posterior: every weight is p(x), and all the rest is the encoder's."""
    batch = rows_of_linear(3)
    found = gap_rows(ModelRows(Linear10(), batch), family="full", num_samples=500, steps=400)
    assert np.all(np.abs(found["approximation_gap"]) < 0.01)
    close(found["log_marginal"], log_p_of_linear(batch.x), rtol=0, atol=0.01)
    assert np.all(found["effective_sample_size"] > 490)


@pytest.mark.parametrize(("posterior", "amortisation"), [("best", 0.0), ("prior", 7.65489428387 - 3.29523823552)])
def test_the_reference_row(posterior: str, amortisation: float) -> None:
    """Two latents: log p(x) = -3.29470103429, the best diagonal bound -3.29523823552, that of the prior -7.65489."""
    batch = Batch(np.tile(np.asarray(X, np.float32), (24, 1)), np.arange(24, dtype=np.uint32))
    found = gap_rows(ModelRows(linear_gaussian(posterior), batch), num_samples=1000)
    agrees(found["amortisation_gap"], amortisation, other_error=0.002)
    agrees(found["approximation_gap"], 3.29523823552 - 3.29470103429, other_error=1e-4)
    agrees(found["log_marginal"], -3.29470103429, other_error=1e-4)


class Sampled(Linear10):
    """The same model with a posterior of no family that could be refined."""

    def posterior(self, x, *, cond=None, mask=None, key=None):
        from latens.distributions import Laplace

        normal = super().posterior(x)
        return Laplace(normal.loc, normal.log_scale)


def test_a_posterior_without_a_family_says_which_there_are() -> None:
    with pytest.raises(ConfigError, match=r"Laplace posterior.*diagonal"):
        gap_rows(ModelRows(Sampled(), as_batch(np.asarray(rows_of_linear(1).x))))
    assert issubclass(Sampled, AbstractLatentModel)


class Correlated(AbstractLatentModel):
    """Two latents of which x shows little but the sum: the exact posterior is a narrow ridge, q is diagonal."""

    ratio: float = eqx.field(static=True)

    def _precision(self) -> np.ndarray:
        return np.eye(2) + self.ratio * np.ones((2, 2))

    def prior(self, *, cond=None, key=None):
        return StandardNormal((2,))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(jnp.sum(z)[None], jnp.full(1, -0.5 * np.log(self.ratio)))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        mean = np.linalg.solve(self._precision(), np.full(2, self.ratio))
        loc = jnp.asarray(mean, jnp.float32) * x[0]
        return DiagonalNormal(loc, jnp.asarray(-0.5 * np.log(np.diag(self._precision())), jnp.float32))

    def gap(self) -> float:
        precision = self._precision()
        return 0.5 * float(np.sum(np.log(np.diag(precision))) - np.linalg.slogdet(precision)[1])


@pytest.mark.parametrize("ratio", [3.0, 2000.0])
def test_correlated_posteriors_have_the_whole_gap(ratio: float) -> None:
    """Gaps of 0.41 and 3.45 nats. From draws of the diagonal q alone 0.38 and 0.82 came out."""
    model = Correlated(ratio)
    batch = Batch(np.full((24, 1), 1.0, np.float32), np.arange(24, dtype=np.uint32))
    found = gap_rows(ModelRows(model, batch), num_samples=500)
    agrees(found["approximation_gap"], model.gap(), other_error=0.01)
    agrees(found["amortisation_gap"], 0.0, other_error=0.02)
    summed = inference_gaps(ModelRows(model, batch), num_samples=500)["approximation_gap"]
    assert summed.draws_error is not None
    assert abs(summed.value - model.gap()) < 5 * np.hypot(summed.standard_error, summed.draws_error) + 0.01
