"""What a model sees of a stored row."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.data import Batch, Preparation, load, prepare_batch
from latens.data.dataset import as_batch
from latens.data.preparation import hide_cells, move_pictures
from latens.errors import ConfigError, ModelFileError

ROW = np.array([0, 1, 127, 128, 254, 255], np.uint8)


def test_grey() -> None:
    x = Preparation(divide=255.0)(ROW, key=None)
    assert x.dtype == jnp.float32
    np.testing.assert_allclose(x, ROW / 255, rtol=1e-7)
    assert Preparation()(ROW, key=None).tolist() == ROW.tolist()


def test_threshold_is_strictly_above() -> None:
    assert Preparation(255.0, "threshold")(ROW, key=None).tolist() == [0, 0, 0, 1, 1, 1]
    assert Preparation(1.0, "threshold")(np.array([0.5, 0.51], np.float32), key=None).tolist() == [0, 1]
    assert Preparation(255.0, "threshold", 0.999)(ROW, key=None).tolist() == [0, 0, 0, 0, 0, 1]


def test_integer_levels() -> None:
    x = Preparation(integer=True)(ROW, key=None)
    assert (x.tolist(), x.dtype) == (ROW.tolist(), jnp.int32)


def test_stochastic_binarisation_has_the_greys_as_frequencies(getkey) -> None:
    prepare = jax.vmap(lambda key: Preparation(255.0, "stochastic")(ROW, key=key))
    n = 20_000
    draws = np.asarray(prepare(jax.random.split(getkey(), n)))
    assert set(np.unique(draws)) == {0.0, 1.0}
    p = ROW / 255
    assert (np.abs(draws.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()  # black and white are never flipped


@pytest.mark.parametrize("levels", [17, 256])
def test_dequantised_values_stay_in_their_bin_and_fill_it(levels: int, getkey) -> None:
    row = np.arange(levels, dtype=np.uint8)
    n = 4000
    draws = jax.vmap(lambda key: Preparation(float(levels), dequantize=True)(row, key=key))
    x = np.asarray(draws(jax.random.split(getkey(), n)), np.float64) * levels
    assert (x >= row - 1e-9 * levels).all()
    assert (np.asarray(x / levels, np.float32) < 1).all()
    assert (x <= row.astype(int) + 1 + 1e-4).all()
    # The place within a bin is uniform: mean 1/2, standard deviation 1/sqrt(12).
    assert abs((x - row).mean() - 0.5) < 5 / np.sqrt(12 * n * levels)


def test_dequantising_never_reaches_the_next_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, 255 + 0.99999994 rounds to 256."""
    top = np.nextafter(np.float32(1), np.float32(0))
    assert np.float32(255) + top == 256
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype: jnp.full(shape, top, dtype))
    for levels in (2, 3, 7, 17, 100, 255, 256, 65536):
        row = np.array([0, levels - 1])
        dequantize = Preparation(float(levels), dequantize=True)
        for prepare in (dequantize, jax.jit(dequantize)):
            x = np.asarray(prepare(row, key=jax.random.key(0)))
            assert 1 - 1.5 / levels < x[1] < 1.0
            assert 0.5 / levels < x[0] < np.float32(1 / levels)


@pytest.mark.parametrize("preparation", [Preparation(255.0, "stochastic"), Preparation(256.0, dequantize=True)])
def test_a_rows_draw_depends_on_its_id_alone(preparation: Preparation, getkey) -> None:
    key = getkey()
    data = load(np.random.default_rng(1).integers(0, 256, (20, 5, 5)).astype(np.uint8))
    ids = np.arange(20)
    whole = np.asarray(prepare_batch(preparation, data.rows(ids), key=key).x)
    shuffled = np.random.default_rng(2).permutation(20)
    assert np.array_equal(prepare_batch(preparation, data.rows(shuffled), key=key).x, whole[shuffled])
    chunk = prepare_batch(preparation, data.rows(ids[7:12]), key=key)
    assert np.array_equal(chunk.x, whole[7:12])
    padded = prepare_batch(preparation, data.rows(np.r_[ids[:3], 0, 0, 0, 0]), key=key)
    assert np.array_equal(padded.x[:3], whole[:3])
    jitted = jax.jit(lambda batch, key: prepare_batch(preparation, batch, key=key).x)
    assert np.array_equal(jitted(data.rows(ids), key), whole)
    assert not np.array_equal(prepare_batch(preparation, data.rows(ids), key=jax.random.fold_in(key, 1)).x, whole)
    for i in (0, 13):
        one = preparation(data.x[i], key=jax.random.fold_in(key, data.row_id[i]))
        assert np.array_equal(one, whole[i])


def test_other_fields_of_a_batch_are_kept() -> None:
    batch = Batch(x=ROW[None], row_id=np.array([3], np.uint32), label=np.array([1], np.int32), cond={"a": np.ones(1)})
    done = prepare_batch(Preparation(255.0, "threshold"), batch, key=None)
    assert done.x.tolist() == [[0, 0, 0, 1, 1, 1]]
    assert (done.row_id.tolist(), done.label.tolist(), list(done.cond)) == ([3], [1], ["a"])


def test_strict_dtypes(strict, getkey) -> None:
    with jax.numpy_dtype_promotion("strict"):
        for preparation in (Preparation(255.0, "stochastic"), Preparation(256.0, dequantize=True), Preparation(255.0)):
            assert preparation(jnp.asarray(ROW), key=getkey()).dtype == jnp.float32


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="stochastic binarize draws at random and needs a key"):
        Preparation(255.0, "stochastic")(ROW, key=None)
    with pytest.raises(ConfigError, match="dequantize draws at random"):
        prepare_batch(Preparation(256.0, dequantize=True), Batch(ROW[None], np.zeros(1, np.uint32)), key=None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"divide": 0.0}, "above 0"),
        ({"divide": float("nan")}, "above 0"),
        ({"threshold": float("inf")}, "finite"),
        ({"binarize": "stochastik"}, "Did you mean 'stochastic'"),
        ({"binarize": "threshold", "dequantize": True}, "exclude each other"),
        ({"integer": True, "divide": 255.0}, "exclude each other"),
    ],
)
def test_settings_that_contradict(fields: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Preparation(**fields)


ALL = [
    Preparation(),
    Preparation(255.0, "stochastic"),
    Preparation(1 / 3, "threshold", 0.25),
    Preparation(256.0, dequantize=True),
    Preparation(integer=True),
]


@pytest.mark.parametrize("preparation", ALL)
def test_json_round_trip(preparation: Preparation) -> None:
    assert Preparation.from_json(json.loads(json.dumps(preparation.to_json()))) == preparation
    assert len({*ALL, preparation}) == 5  # hashable, and equal to itself alone
    assert preparation.is_random == (preparation.dequantize or preparation.binarize == "stochastic")


@pytest.mark.parametrize(
    "changes",
    [
        {"divide": "255"},
        {"divide": True},
        {"divide": 10**400},
        {"divide": float("inf")},
        {"dequantize": 1},
        {"binarize": None},
        {"binarize": "eval"},
        {"extra": 1},
        {"integer": True, "dequantize": True},
    ],
)
def test_hostile_preparations(changes: dict) -> None:
    with pytest.raises(ModelFileError, match="preparation"):
        Preparation.from_json({**Preparation().to_json(), **changes})
    with pytest.raises(ModelFileError, match="must have the entries divide, binarize, threshold, dequantize, integer"):
        Preparation.from_json({"divide": 1.0})


def test_cells_of_a_share_of_the_rows_are_hidden_each_row_by_itself() -> None:
    """Of a quarter of the rows cells are hidden, of these half on average, uniformly from none to all."""
    rows, cells = 8000, 20
    batch = as_batch(np.zeros((rows, cells), np.float32), row_id=np.arange(rows, dtype=np.uint32))
    key = jax.random.key(0)
    assert hide_cells(Preparation(), batch, key=key) is batch
    hidden = hide_cells(Preparation(hide=0.25), batch, key=key)
    count = cells - np.asarray(hidden.mask).sum(axis=1)
    assert np.mean(count > 0) == pytest.approx(0.25 * cells / (cells + 1), abs=0.02)
    some = count[count > 0]
    np.testing.assert_allclose(np.bincount(some, minlength=cells + 1)[1:] / len(some), 1 / cells, atol=0.025)
    # A row's own, wherever it stands; what was missing stays missing.
    order = np.random.default_rng(0).permutation(rows)
    turned = dataclasses.replace(batch, row_id=batch.row_id[order])
    np.testing.assert_array_equal(hide_cells(Preparation(hide=0.25), turned, key=key).mask, hidden.mask[order])
    gone = np.ones((rows, cells), bool)
    gone[:, 3] = False
    both = hide_cells(Preparation(hide=0.25), dataclasses.replace(batch, mask=gone), key=key)
    np.testing.assert_array_equal(both.mask, np.asarray(hidden.mask) & gone)
    assert Preparation.from_json(Preparation(hide=0.25).to_json()).hide == 0.25
    assert "hide" not in Preparation().to_json()
    with pytest.raises(ModelFileError, match="hide"):
        Preparation.from_json(Preparation().to_json() | {"hide": 2.0})


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_training_pictures_are_moved_and_mirrored(shape: tuple[int, ...]) -> None:
    """Every offset up to one pixel, mirrored or not, equally often: 18 pictures by np.pad."""
    rows = 9000
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    batch = as_batch(np.broadcast_to(picture, (rows, *shape)).copy(), row_id=np.arange(rows, dtype=np.uint32))
    key = jax.random.key(1)
    assert move_pictures(Preparation(), batch, key=key) is batch
    wide = np.pad(picture, ((1, 1), (1, 1), *((0, 0),) * (len(shape) - 2)), mode="edge")
    every = [wide[i : i + 5, j : j + 4][:, ::side] for i in range(3) for j in range(3) for side in (1, -1)]
    found = np.asarray(move_pictures(Preparation(shift=1, flip=True), batch, key=key).x)
    assert found.dtype == np.uint8
    count = np.array([np.all(found == one, axis=tuple(range(1, found.ndim))).sum() for one in every])
    assert count.sum() == rows
    np.testing.assert_allclose(count / rows, 1 / 18, atol=0.01)
    # A row's own, wherever it stands; without moves only mirrored, without mirrors only moved; masks go along.
    order = np.random.default_rng(0).permutation(rows)
    turned = dataclasses.replace(batch, row_id=batch.row_id[order])
    np.testing.assert_array_equal(move_pictures(Preparation(shift=1, flip=True), turned, key=key).x, found[order])
    only = np.asarray(move_pictures(Preparation(flip=True), batch, key=key).x)
    half = np.mean(np.all(only == picture, axis=tuple(range(1, only.ndim))))
    assert half == pytest.approx(0.5, abs=0.03)
    seen = np.broadcast_to(picture > 100, (rows, *shape)).copy()
    both = move_pictures(Preparation(shift=1, flip=True), dataclasses.replace(batch, mask=seen), key=key)
    np.testing.assert_array_equal(both.mask, np.asarray(both.x) > 100)
    assert Preparation.from_json(Preparation(shift=2, flip=True).to_json()) == Preparation(shift=2, flip=True)
    assert not {"shift", "flip"} & set(Preparation().to_json())


def test_regions_of_pictures_are_hidden() -> None:
    """Half of the hidden ones by scattered values, a quarter each lacks a rectangle or all but one."""
    rows, shape = 4000, (6, 5, 2)
    batch = as_batch(np.zeros((rows, *shape), np.float32), row_id=np.arange(rows, dtype=np.uint32))
    seen = np.asarray(hide_cells(Preparation(hide=1.0), batch, key=jax.random.key(0)).mask)
    whole = (seen == seen[..., :1]).all(axis=(1, 2, 3))

    def rectangle(inside: np.ndarray) -> bool:
        return bool(inside.any()) and np.array_equal(inside, np.outer(inside.any(axis=1), inside.any(axis=0)))

    # A whole edge-to-edge band is a rectangle both ways, and a rectangle may be empty: shares of those that are clear.
    kinds = [(rectangle(~one[..., 0]), rectangle(one[..., 0])) for one in seen[whole]]
    lacking, only = (np.mean([kind == wanted for kind in kinds]) for wanted in ((True, False), (False, True)))
    assert whole.mean() == pytest.approx(0.5 + 0.5 / 31 * 2, abs=0.03)
    assert lacking == pytest.approx(only, abs=0.05)
    assert min(lacking, only) > 0.25
