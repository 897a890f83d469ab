"""Many rows in parts that are computed at the same time: in their order, in double precision, errors and all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.data import Preparation
from latens.data.batches import Batch
from latens.evaluation.batched import map_rows

GIVEN = {"preparation": Preparation(), "key": jax.random.key(0)}


def rows(n: int) -> Batch:
    return Batch(np.arange(2.0 * n, dtype=np.float32).reshape(n, 2), np.arange(n, dtype=np.uint32) + 5)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 61])
def test_parts_come_back_in_their_order(n: int) -> None:
    found = map_rows(lambda m, b, key: {"id": b.row_id, "x": 3.0 * b.x}, None, rows(n), batch_size=8, **GIVEN)
    np.testing.assert_array_equal(found["id"], np.arange(n) + 5)
    np.testing.assert_array_equal(found["x"], 3.0 * rows(n).x)


def test_all_parts_have_the_precision_of_the_caller() -> None:
    """A third in double precision in every part: single precision is off by 1e-8."""
    third = lambda m, b, key: b.row_id / jnp.asarray(3.0)  # noqa: E731
    with jax.enable_x64(True):
        found = map_rows(third, None, rows(40), batch_size=8, **GIVEN)
    np.testing.assert_allclose(found, (np.arange(40) + 5) / 3.0, rtol=1e-15)
    assert map_rows(third, None, rows(40), batch_size=8, **GIVEN).dtype == np.float32


def test_draws_of_a_row_do_not_depend_on_its_part() -> None:
    draws = lambda m, b, key: jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i)))(b.row_id)  # noqa: E731
    whole, parts = (map_rows(draws, None, rows(50), batch_size=size, **GIVEN) for size in (50, 4))
    np.testing.assert_allclose(whole, parts, rtol=1e-6)


def test_an_error_in_a_later_part_is_the_callers() -> None:
    def late(value: np.ndarray) -> np.ndarray:
        if value.max() > 40:
            raise ValueError("row 41 cannot be read")
        return value

    def function(model: None, batch: Batch, key: jax.Array) -> jax.Array:
        shape = jax.ShapeDtypeStruct(batch.row_id.shape, batch.row_id.dtype)
        return jax.pure_callback(late, shape, batch.row_id)

    with pytest.raises(Exception, match="row 41 cannot be read"):
        map_rows(function, None, rows(60), batch_size=8, **GIVEN)
