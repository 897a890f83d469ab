"""What holds in the rows of a frame holds in what estimators and trained models draw and fill in of it."""

import numpy as np
import pandas as pd
import pytest

from latens import VAE
from latens.data.mixed import as_columns
from latens.estimators.base import seed_of


def bookings(n: int = 600) -> pd.DataFrame:
    """Totals of nights and a price; ages of guests, which firms do not have."""
    rng = np.random.default_rng(0)
    nights, price = rng.integers(1, 9, n), np.round(rng.gamma(9.0, 8.0, n), 2)
    who = rng.choice(["firm", "guest"], n, p=[0.3, 0.7])
    age = np.where(who == "firm", np.nan, rng.integers(18, 80, n))
    return pd.DataFrame({"who": who, "nights": nights, "price": price, "total": (nights * price).round(2), "age": age})


def _right(table: pd.DataFrame) -> np.ndarray:
    return (np.abs(table["nights"] * table["price"] - table["total"]) < 0.0051).to_numpy()


@pytest.fixture(scope="module")
def fitted() -> VAE:
    return VAE(epochs=1, random_state=0).fit(bookings())


def test_samples_keep_the_rules(fitted: VAE) -> None:
    new = fitted.sample(400, random_state=1)
    assert _right(new).mean() > 0.97  # but where a total lies beyond those of the rows
    assert new["age"].isna().eq(new["who"] == "firm").all()
    assert list(new.dtypes) == list(bookings().dtypes)
    alone = fitted.prior_predictive(400, random_state=1)
    assert _right(alone).mean() < 0.2  # the model alone does not
    pd.testing.assert_frame_equal(new, fitted.sample(400, random_state=1))
    assert not new.equals(fitted.sample(400, random_state=2))
    trained = fitted.model_
    for given in (None, {"who": "guest"}, {"nights": (3, None)}):
        rows = pd.DataFrame(as_columns(trained.sample(300, seed=seed_of(3), given=given), trained.schema))
        assert _right(rows).mean() > 0.97
        assert given is None or (rows["who"] == "guest").all() or (rows["nights"] >= 3).all()
