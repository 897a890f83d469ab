"""An imputer of several models: which of them fills what, and how far their draws lie apart."""

import jax
import numpy as np
import pandas as pd
import pytest

import latens
from latens import VAEImputer
from latens.errors import ConfigError
from latens.evaluation import impute
from latens.evaluation.conditionals import conditionals
from latens.workflow.cells import interval, point

TINY = {"training.steps": 2, "network.hidden": [4], "posterior.latent_dim": 2}


def gaps(n, seed, columns=3, share=0.5):
    """Independent columns of standard Normals, of which exactly a share is missing of each."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(n, columns)), 2)
    for j in range(columns):
        x[rng.permutation(n)[: int(share * n)], j] = np.nan
    return x


@pytest.fixture(scope="module")
def imputer():
    return VAEImputer(ensemble=3, settings=TINY, num_samples=50, copula="none", random_state=5).fit(gaps(80, 0))


def test_models_take_turns_at_the_draws_and_agree_on_the_rest(imputer):
    x = gaps(30, 1)
    assert len(imputer.models_) == 3
    assert imputer.model_ is imputer.models_[0]
    of, first = imputer.model_.schema.types, jax.random.key(5)
    data = imputer._data(x, reset=False, typed=True, schema=imputer.model_.schema)
    found = imputer.draws(x, 5)
    shares = []
    for b, (model, count) in enumerate(zip(imputer.models_, (2, 2, 1))):
        key = first if b == 0 else jax.random.fold_in(first, b)
        batch, options = model.batch(data), {"num_samples": 50, "key": key}
        drawn = impute(model.model, batch, num_draws=count, **options).draws
        for place, k in enumerate(range(b, 5, 3)):
            stored = np.stack([one.low + drawn[:, place, j] * one.step for j, one in enumerate(of)], 1)
            np.testing.assert_allclose(found[k], np.where(np.isnan(x), stored, x), atol=1e-6)
        shares.append(conditionals(model.model, batch, of, **options)[0])
    middle = [np.mean([each[j] for each in shares], axis=0) for j in range(3)]
    best = np.stack([one.low + point(s, one) * one.step for s, one in zip(middle, of)], 1)
    np.testing.assert_allclose(imputer.transform(x), np.where(np.isnan(x), best, x), atol=1e-9)
    low, high = imputer.intervals(x, 0.8)
    for j, one in enumerate(of):
        gone = np.isnan(x[:, j])
        for got, end in zip((low, high), interval(middle[j], one, 0.8)):
            np.testing.assert_allclose(got[gone, j], (one.low + end * one.step)[gone], atol=1e-9)


def test_a_single_model_is_trained_on_the_rows_as_they_are():
    x = gaps(80, 0)
    one, several = (
        VAEImputer(ensemble=e, settings=TINY, num_samples=5, copula="none", random_state=5).fit(x) for e in (1, 2)
    )
    assert one.models_ == [one.model_]
    assert one.model_.facts["rows"] < 80 == several.model_.facts["rows"]
    assert one.model_.facts["fingerprint"] != several.model_.facts["fingerprint"]


@pytest.mark.long
def test_draws_lie_apart_by_what_the_rows_leave_open():
    """Of independent columns with r of n cells the mean of a completed one has the variance s^2 (1/r - 1/n)."""
    n, columns, models = 200, 8, 20
    x = gaps(n, 2, columns)
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(columns)])
    spread = np.nanvar(x, axis=0, ddof=1)
    found = {}
    for count in (1, models):
        imputer = VAEImputer(ensemble=count, settings=TINY, num_samples=50, copula="none", random_state=0).fit(frame)
        tables = np.array(imputer.draws(frame, models))
        pooled = latens.pool(tables.mean(1), tables.var(1, ddof=1) / n)
        found[count] = np.mean(pooled.between / spread)
    # 8 times 19 degrees of freedom: an error of 11 %. One model leaves out that its own mean is unsure, s^2 / 4 r.
    assert found[models] == pytest.approx(1 / 100 - 1 / 200, rel=0.4)
    assert found[1] == pytest.approx(1 / 400, rel=0.4)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "many"])
def test_the_number_of_models_is_checked(count):
    with pytest.raises(ConfigError, match="ensemble"):
        VAEImputer(ensemble=count, settings=TINY).fit(gaps(60, 0))
