"""Many rows in parts that are computed at the same time: in their order, in double precision, errors and all."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from cli_fixtures import process
from jax.tree_util import Partial

import latens
from latens.data import Preparation
from latens.data.dataset import Batch
from latens.evidence.batched import ModelRows, _usual_size, map_draws, map_rows, rows_in_cache
from latens.models.heads.table import TableHead
from latens.runtime.programs import may_hold_pool

GIVEN = {"preparation": Preparation(), "key": jax.random.key(0)}


def rows(n: int) -> Batch:
    return Batch(np.arange(2.0 * n, dtype=np.float32).reshape(n, 2), np.arange(n, dtype=np.uint32) + 5)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 61])
def test_parts_come_back_in_their_order(n: int) -> None:
    found = map_rows(lambda m, b, key: {"id": b.row_id, "x": 3 * b.x}, ModelRows(None, rows(n), batch_size=8, **GIVEN))
    np.testing.assert_array_equal(found["id"], np.arange(n) + 5)
    np.testing.assert_array_equal(found["x"], 3.0 * rows(n).x)


def test_all_parts_have_the_precision_of_the_caller() -> None:
    """A third in double precision in every part: single precision is off by 1e-8."""
    third = lambda m, b, key: b.row_id / jnp.asarray(3.0)  # noqa: E731
    with jax.enable_x64(True):
        found = map_rows(third, ModelRows(None, rows(40), batch_size=8, **GIVEN))
    np.testing.assert_allclose(found, (np.arange(40) + 5) / 3.0, rtol=1e-15)
    assert map_rows(third, ModelRows(None, rows(40), batch_size=8, **GIVEN)).dtype == np.float32


def test_draws_of_a_row_do_not_depend_on_its_part() -> None:
    draws = lambda m, b, key: jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i)))(b.row_id)  # noqa: E731
    whole, parts = (map_rows(draws, ModelRows(None, rows(50), batch_size=size, **GIVEN)) for size in (50, 4))
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
        map_rows(function, ModelRows(None, rows(60), batch_size=8, **GIVEN))


MANY_FACTORS = """
import sys
import equinox as eqx, jax, jax.numpy as jnp, numpy as np
from jax.scipy.linalg import solve_triangular
from latens.data import Preparation
from latens.data.dataset import Batch
from latens.evidence.batched import ModelRows, map_rows
from latens.models import BayesClassifier

rng = np.random.default_rng(0)
factor = jnp.asarray(np.tril(rng.normal(size=(3, 16, 100, 100)) * 0.01) + np.eye(100), jnp.float32)
model = BayesClassifier(jnp.zeros(3), jnp.zeros((3, 16)), jnp.zeros((3, 16, 100)), factor, (100,))
rows = Batch(rng.normal(size=(5_000, 100)).astype(np.float32), np.arange(5_000, dtype=np.uint32))

def mixture(model, batch, key):
    return jax.vmap(model.log_joint)(batch.x)

def own(model, batch, key):  # the batched call of LAPACK that a user's model may hold
    moved = batch.x @ model.cholesky[0, 0]
    noise = jax.vmap(lambda x: jax.vmap(lambda L: solve_triangular(L, x, lower=True))(model.cholesky[0]))(moved)
    return jnp.sum(noise**2, (1, 2))

for _ in range(3):
    map_rows(globals()[sys.argv[1]], ModelRows(model, rows, batch_size=32))
print("done")
"""


@pytest.mark.parametrize("function", ["mixture", "own"])
def test_parts_with_a_call_of_lapack_end(function: str) -> None:
    """Parts at once whose LAPACK calls wait for XLA's threads would wait for each other for ever."""
    done = process(MANY_FACTORS, function)
    assert done.stdout == "done\n", done.stderr


def test_what_may_hold_the_threads_is_seen_in_the_program() -> None:
    programs = {
        "product": lambda x: x @ x, "largest": lambda x: jax.lax.top_k(x, 2)[0], "sorted": lambda x: jnp.sort(x),
        "drawn": lambda x: x + jax.random.gamma(jax.random.key(0), 2.0, x.shape), "factor": jnp.linalg.cholesky,
        "eigenvalues": jnp.linalg.eigvalsh, "inverse": jnp.linalg.inv, "transform": jnp.fft.fft,
        "host": lambda x: jax.pure_callback(np.sin, x, x),
    }  # fmt: skip
    held = {name for name, f in programs.items() if may_hold_pool(jax.jit(f).lower(jnp.eye(4)).as_text())}
    assert held == {"factor", "eigenvalues", "inverse", "transform", "host"}


@pytest.mark.parametrize(
    ("cells", "rows", "usual", "with_draws"),
    [(784, 10_000, 500, 64), (4096, 200, 500, 16), (4096, 2, 16, 2), (196_608, 200, 42, 1)],
)
def test_rows_of_many_cells_come_in_smaller_batches(cells, rows, usual, with_draws):
    """At most 2**23 cells at once, and 2**22 with 20 draws of each row."""
    batch = Batch(np.broadcast_to(np.float32(0), (rows, cells)), np.arange(rows, dtype=np.uint32))
    assert _usual_size(batch) == usual
    assert rows_in_cache(batch, 20) == with_draws


@pytest.mark.parametrize(("decoded", "rows"), [(0, 500), (13, 500), (130, 400), (2766, 16)])
def test_rows_that_are_decoded_to_many_numbers_come_in_smaller_batches(decoded, rows):
    """2**20 numbers at once with 20 draws of each row: of a mixed table these are its segments, not its cells."""
    batch = Batch(np.zeros((3000, 21), np.float32), np.arange(3000, dtype=np.uint32))
    assert rows_in_cache(batch, 20, decoded) == rows


class Part(eqx.Module):
    decoder: Any = None
    head: Any = None


def test_a_table_says_to_how_many_numbers_it_is_decoded():
    kind = np.random.default_rng(0).choice(["a", "b", "c"], 100)
    data = latens.read(pd.DataFrame({"kind": kind, "size": np.arange(100) / 7.0}), label="none")
    sizes, head = [], TableHead(data.schema.types)
    parts = head(jnp.zeros(head.num_outputs)).parts
    assert head.decoded == sum(part.logits.size + part.starts.size + part.widths.size for part in parts.values())
    count = lambda m, batch, key, samples_per_chunk: sizes.append(len(batch.row_id)) or batch.x  # noqa: E731
    map_draws(Partial(count), ModelRows(Part(decoder=Part(head=head)), rows(2000), samples_per_chunk=60, **GIVEN))
    assert sizes == [2**20 // (60 * head.decoded) // 16 * 16] != [500]


def test_a_second_call_traces_nothing() -> None:
    """Draws of further rows, or with another key, are computed by the program that is there."""
    traced = []

    def draws(model, batch, key, *, scale, samples_per_chunk):
        traced.append(samples_per_chunk)
        return scale * batch.x.sum(1)

    for key in range(3):
        given = {"preparation": Preparation(), "key": jax.random.key(key), "samples_per_chunk": 4}
        found = map_draws(Partial(draws, scale=2.0), ModelRows(None, rows(20), **given))
        np.testing.assert_allclose(found, 2.0 * rows(20).x.sum(1))
    assert traced == [4]
