"""The models that ship with latens: small, loadable, and better than independent pixels."""

import jax
import numpy as np
import pytest

from latens import evaluation, pretrained
from latens.data import load
from latens.errors import UsageError
from latens.workflow.trained import TrainedModel

MODELS = {"digits-2d": 2, "digits-16d": 16}


def test_names_and_the_nearest_one():
    assert pretrained.names() == sorted(MODELS) == ["digits-16d", "digits-2d"]
    with pytest.raises(UsageError, match="Did you mean 'digits-2d'"):
        pretrained.path("digits-2")


@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_loads_samples_and_beats_independent_pixels(name):
    path = pretrained.path(name)
    assert path.stat().st_size < 1_000_000
    trained, data = TrainedModel.load(path), load("digits")
    assert trained.schema == data.schema
    assert trained.facts["fingerprint"] == data.fingerprint
    assert trained.config.recipe == "default"
    assert evaluation.sample_prior(trained.model, 3, key=jax.random.key(0)).shape == (3, MODELS[name])

    # Many draws at one z have the mean that the decoder says, and are levels 0 to 16.
    z = np.tile(evaluation.sample_prior(trained.model, 1, key=jax.random.key(1)), (1000, 1))
    draws = trained.data_units(evaluation.decode(trained.model, z, key=jax.random.key(2), mean=False), mean=False)
    mean = trained.data_units(evaluation.decode(trained.model, z[:1], key=jax.random.key(2)), mean=True)[0]
    assert set(np.unique(draws)) <= set(range(17))
    error = draws.std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - mean) <= 5 * error + 0.05)

    test = data.subset("test")
    rows = evaluation.log_marginal(
        trained.model,
        trained.batch(data, test),
        num_samples=1000,
        key=jax.random.key(0),
        preparation=trained.preparation,
    )
    baseline = evaluation.independent_baseline(data.x[data.subset("train")], data.x[test], "levels", 17)
    gain = evaluation.paired(rows, baseline, num_samples=1000, protocol="test rows")
    assert gain.value > 5 * gain.standard_error
    noted = trained.facts["test_log_marginal"]
    assert noted["n"] == len(test) == 198
    assert rows.mean() == pytest.approx(noted["value"], abs=1e-3)  # the same draws: only rounding differs
