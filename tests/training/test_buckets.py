"""Batches of text of like lengths: which rows they hold, and that what is computed of them is what it was."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from msgspec.structs import replace
from training_fixtures import assert_same_bits, leaves, stage

from latens.data import Dataset, Preparation, load
from latens.data.row_fields import philox
from latens.distributions import StandardNormal
from latens.kinds.text.vocabulary import by_buckets, steps_of
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.heads.table import TokenHead
from latens.networks import Dense
from latens.networks.token_networks import TokenEncoder
from latens.training import Budget, loop
from latens.training.loop import fit, pad_rows, read_steps
from latens.training.stages import Settings
from latens.training.step import make_program

RNG = np.random.default_rng(5)
TEXTS = ["".join(RNG.choice(list("abc"), n)) for n in np.r_[RNG.integers(1, 4, 60), RNG.integers(8, 12, 40)]]


def text() -> Dataset:
    made = load(TEXTS)
    assert made.schema.tokens.edges == (4, 12)
    return dataclasses.replace(made, split=(np.arange(100) % 10 == 0).astype(np.uint8))


def plain(data: Dataset) -> Dataset:
    """The same rows without buckets."""
    schema = replace(data.schema, tokens=replace(data.schema.tokens, edges=data.schema.shape))
    return dataclasses.replace(data, schema=schema)


def text_model(data: Dataset) -> LatentModel:
    keys = jax.random.split(jax.random.key(2), 3)
    head = TokenHead(data.schema.shape, data.schema.tokens.size, width=5).initialised(key=keys[0])
    encoder = TokenEncoder.create(data.schema.tokens.size, (4,), 4, key=keys[1])
    decoder = Dense([2, 8, head.num_outputs], key=keys[2])
    return LatentModel(StandardNormal((2,)), Conditional(encoder, NormalHead((2,))), Conditional(decoder, head))


def trained(data: Dataset, **settings):
    chosen = Settings(**{"batch_size": 16, "chunk_steps": 4, "seed": 3} | settings)
    plan = [stage(Budget(epochs=3))]
    return fit(text_model(data), data, plan, preparation=Preparation(integer=True), settings=chosen)


@pytest.mark.parametrize(("size", "count"), [(16, 90), (7, 90), (90, 90), (1, 30), (128, 100)])
def test_an_epoch_has_every_row_once_and_batches_of_one_bucket(size: int, count: int) -> None:
    needed = steps_of(load(TEXTS).x)
    order = RNG.permutation(100)[:count]
    found = by_buckets(order, needed[order], (4, 12), size, philox((0, 0), (0, 0, 1, 0)))
    assert sorted(found) == sorted(order)
    assert sorted(found[len(found) // size * size :]) == sorted(set(found[len(found) // size * size :]))
    batches = found[: count // size * size].reshape(-1, size)
    kinds = [set(np.searchsorted((4, 12), needed[batch])) for batch in batches]
    full = [np.count_nonzero((needed[order] <= 4) == short) // size for short in (True, False)]
    assert [kinds.count({0}), kinds.count({1})] >= full
    assert len(kinds) - sum(full) < 2  # what no bucket fills


def test_a_bucketed_epoch_has_the_rows_of_one_that_is_not() -> None:
    data = text()
    seen = {}
    for name, one in (("buckets", data), ("plain", plain(data))):
        batch = read_steps(one, 7, 16, 6, 6)(6, 6)
        seen[name] = np.asarray(batch.row_id)[np.asarray(batch.weight) > 0]
    assert sorted(seen["buckets"]) == sorted(seen["plain"]) == sorted(data.row_id[data.split == 0])
    assert seen["buckets"].tolist() != seen["plain"].tolist()
    assert np.array_equal(seen["plain"], data.row_id[data.order(7, 1)])
    first, second = (read_steps(data, 7, 16, 6, 4)(at, 4).row_id for at in (6, 8))
    assert np.array_equal(first[2:], second[:2])  # wherever a chunk begins


def test_a_step_of_a_bucket_is_that_of_whole_rows() -> None:
    """Gradients of rows that are cut to a bucket, against those of rows of full length."""
    data, one = text(), stage(Budget(steps=1), name="sgd", learning_rate=0.1)
    states = {}
    for edges in ((), (4, 12)):
        program = make_program(text_model(data), one.objective, one.optimizer, Preparation(integer=True), edges=edges)
        batches = pad_rows(data, np.flatnonzero(steps_of(data.x) <= 4)[:30], 2, 16)
        state, result = program.chunk(program.init(jax.random.key(0)), batches, jnp.asarray(2), jnp.asarray(np.inf))
        states[edges] = [*leaves(state.trainable), *leaves((result.loss, result.metrics))]
    for whole, cut in zip(states[()], states[4, 12], strict=True):
        np.testing.assert_allclose(cut, whole, rtol=2e-6, atol=2e-7)


def test_the_longest_row_that_counts_chooses_the_bucket() -> None:
    """A row of padding may be longer than all others; a row that needs one step more than an edge is not cut."""
    data, one = text(), stage(Budget(steps=1))
    needed, values = steps_of(data.x), {}
    short, long = np.flatnonzero(needed <= 4)[:3], np.flatnonzero(needed > 4)[:1]
    batch, edge = data.rows(np.r_[short, long]), (int(needed[long[0]]) - 1, 12)
    for name, weight in (("short", 0.0), ("all", 1.0)):
        for edges in ((), edge):
            program = make_program(
                text_model(data), one.objective, one.optimizer, Preparation(integer=True), edges=edges
            )
            rows_of = dataclasses.replace(batch, weight=np.array([1, 1, 1, weight], np.float32))
            stacked = jax.tree.map(lambda leaf: leaf[None], rows_of)
            metrics = program.evaluate(program.init(jax.random.key(0)), stacked, jnp.asarray(1), jax.random.key(1))
            values[name, edges] = float(metrics["elbo"][0])
    for name in ("short", "all"):
        assert values[name, edge] == pytest.approx(values[name, ()], rel=1e-5)
    assert values["all", ()] < values["short", ()] - 1.0


def test_chunks_do_not_change_a_training_in_buckets() -> None:
    data = text()
    assert_same_bits(trained(data).model, trained(data, chunk_steps=3).model)
    assert not np.array_equal(leaves(trained(data).model)[0], leaves(trained(plain(data)).model)[0])


def test_rows_that_are_no_text_know_no_buckets() -> None:
    assert loop.buckets(load(np.eye(3))) == ()
    assert loop.buckets(text()) == (4, 12)
