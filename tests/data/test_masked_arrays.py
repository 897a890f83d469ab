"""Missing cells as Python has them beside NaN: masked arrays and pandas' NA. Each is the same data as with NaN."""

from typing import Any

import jax
import numpy as np
import pytest

from latens import VAE, TrainedModel, read
from latens.data import Preparation, Schema
from latens.data.dataset import Batch, as_batch
from latens.errors import DataError
from latens.estimators import Autoencoder

pd = pytest.importorskip("pandas")

VALUES = np.random.default_rng(0).normal(size=(60, 3))
MISSING = np.random.default_rng(1).random((60, 3)) < 0.2
NAN = np.where(MISSING, np.nan, VALUES)
SMALL: dict[str, Any] = {"latent_dim": 1, "steps": 3, "random_state": 0, "settings": {"network.hidden": [4]}}


@pytest.fixture(scope="module")
def plain() -> VAE:
    return VAE(**SMALL).fit(NAN)


@pytest.mark.parametrize("kind", ["masked", "nullable", "objects"])
def test_missing_cells_of_every_kind_are_those_of_nan(plain: VAE, kind: str) -> None:
    columns = ["a", "b", "c"]
    given: Any = {
        "masked": lambda: np.ma.array(np.where(MISSING, 1e6, VALUES), mask=MISSING),
        "nullable": lambda: pd.DataFrame(NAN, columns=columns).convert_dtypes(),
        "objects": lambda: pd.DataFrame(np.where(MISSING, pd.NA, VALUES.astype(object)), columns=columns),
    }[kind]()
    vae = VAE(**SMALL).fit(given)
    np.testing.assert_array_equal(vae.transform(given), plain.transform(NAN))
    np.testing.assert_array_equal(vae.score_samples(given), plain.score_samples(NAN))
    np.testing.assert_array_equal(vae.reconstruct(given), plain.reconstruct(NAN))
    filled = vae.impute(given)
    np.testing.assert_array_equal(filled, plain.impute(NAN))
    np.testing.assert_array_equal(np.asarray(filled)[~MISSING], VALUES[~MISSING])
    assert not np.ma.isMaskedArray(filled)
    np.testing.assert_array_equal(vae.impute(given, n_draws=2), plain.impute(NAN, n_draws=2))


def test_data_keep_the_mask_of_a_masked_array() -> None:
    found, expected = read(np.ma.array(VALUES, mask=MISSING)), read(NAN, missing="nan")
    np.testing.assert_array_equal(found.mask, ~MISSING)
    np.testing.assert_array_equal(found.x, expected.x)
    with pytest.raises(DataError, match="holds NaN"):  # beside a mask NaN is refused as ever
        read(np.ma.array(NAN, mask=np.arange(180).reshape(60, 3) == 0))
    assert read(np.ma.array(VALUES, mask=False)).mask is None


def test_where_no_mask_can_be_kept_it_is_refused(plain: VAE) -> None:
    masked = np.ma.array(VALUES, mask=MISSING)
    for refused in (lambda: as_batch(masked), lambda: plain.model_.batch(masked)):
        with pytest.raises(DataError) as error:
            refused()
        assert "read" in error.value.fix
    with pytest.raises(ValueError, match="contains NaN"):
        Autoencoder(**SMALL).fit(masked)


def test_a_batch_without_ids_numbers_its_rows_also_inside_jit() -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert Batch(x).row_id.tolist() == [0, 1, 2]
    assert jax.jit(lambda x: as_batch(x).row_id)(x).tolist() == [0, 1, 2]
    assert as_batch(x[::-1]).row_id.tolist() == as_batch(x).row_id.tolist()[::-1]  # outside, by their bytes


@pytest.mark.parametrize(("cell", "text"), [(np.nan, "nan"), (-np.inf, "-inf")])
def test_a_batch_of_an_array_refuses_what_is_not_finite(cell, text):
    schema = Schema((3,), "real")
    model = TrainedModel(None, schema, Preparation())
    rows = np.zeros((4, 3), np.float32)
    rows[2, 1] = cell
    with pytest.raises(DataError, match=rf"cell \[1\] of row 2 is {text}") as refused:
        model.batch(rows)
    assert "read(rows" in refused.value.fix
    assert model.batch(np.nan_to_num(rows, neginf=0.0)).x.shape == (4, 3)
