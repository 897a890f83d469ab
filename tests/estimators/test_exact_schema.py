"""Rows of a fitted estimator are read as the model's own columns are."""

import numpy as np
import pytest

from latens import VAE
from latens.errors import ConfigError
from latens.estimators.base import refuse_words


def test_names_that_look_like_numbers_stay_names_after_the_fit() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"kind": ["10", "2", "30"] * 20, "size": np.arange(60.0)})
    own = VAE(1, settings={"columns": {"kind": "category"}}, steps=1, random_state=0).fit(frame)
    first = own._read(frame)[0]
    assert (first.schema.types or ())[0].named
    assert (first.schema.types or ())[0].values == ("10", "2", "30")
    np.testing.assert_array_equal(own._read(frame[::-1])[0].x, first.x[::-1])


@pytest.mark.parametrize("value", ["3", ("3",), [1, "3"]])
def test_text_in_place_of_a_number_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="is text, not a number") as error:
        refuse_words(steps=3, latent_dim=value)
    assert error.value.where == "latent_dim"
    refuse_words(steps=3, hidden=(4, 4), alpha=None, weights=np.ones(2))
