"""Counts: recognised, named, stored as they are, and modelled as log(1 + x)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.data import Preparation, Schema, as_batch, check, infer_schema, load, prepare_batch, suggest_likelihood
from latens.data.infer import conform
from latens.errors import ConfigError, DataError, ModelFileError
from latens.kinds.text.vocabulary import Tokens

RNG = np.random.default_rng(5)
CELLS = RNG.negative_binomial(0.5, 0.05, size=(300, 6))  # mean 9.5, long tail
LOG = np.log1p(CELLS.astype(np.float64))


def test_a_long_tail_makes_counts() -> None:
    data = load(CELLS)
    assert (data.schema.kind, data.x.dtype) == ("counts", np.float32)
    assert np.array_equal(data.x, CELLS)
    train = LOG[data.split == 0]
    columns = data.schema.columns
    assert [column.name for column in columns] == [f"x{i}" for i in range(6)]
    np.testing.assert_allclose([column.shift for column in columns], train.mean(0), rtol=1e-12)
    np.testing.assert_allclose([column.scale for column in columns], train.std(0), rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (RNG.poisson(20, (300, 4)), "real"),  # whole, but no tail
        (RNG.integers(18, 90, (300, 3)), "real"),  # ages
        (RNG.integers(0, 101, (300, 3)), "real"),  # percentages
        (RNG.integers(0, 2, (300, 40)) * RNG.integers(0, 256, (300, 40)), "real"),  # grey pixels in a wide table
        (np.minimum(CELLS * 9, 255), "real"),  # a scale that ends at 255, and piles up there
        (CELLS - 1, "real"),
        (CELLS + 0.5, "real"),
        (np.minimum(CELLS, 16), "real"),
        (np.minimum(CELLS, 255).astype(np.uint8), "levels"),
        (np.where(RNG.random((300, 4)) < 0.9, 0, RNG.lognormal(3, 2, (300, 4)).round()), "counts"),
    ],
)
def test_what_counts_are_and_what_not(x: np.ndarray, kind: str) -> None:
    assert load(x).schema.kind == kind


def test_asking_for_counts_or_for_numbers() -> None:
    assert load(CELLS, counts=False).schema.kind == "real"
    assert load(RNG.poisson(20, (300, 4)), counts=True).schema.kind == "counts"
    assert load(np.minimum(CELLS, 255).astype(np.uint8), counts=True).schema.kind == "counts"
    assert infer_schema(CELLS, np.ones(300, bool)).kind == "real"
    for x, words in (
        (CELLS + 0.5, r"holds fractions from 0.5 to \d+.5, not a table of counts"),
        (CELLS - 1, r"holds cells from -1 to \d+, not a table of counts"),
        (CELLS.reshape(300, 2, 3), r"holds rows of shape \(2, 3\), not a table of counts"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            load(x, counts=True)
        assert caught.value.fix == "Leave out --counts."


def test_the_report_names_them() -> None:
    data = load(CELLS)
    report = check(data)
    assert (report["kind"], report["likelihood"], report["counts"]) == ("counts", "normal", {"all": True, "count": 6})
    assert suggest_likelihood(data)[1] == (
        "Cells are counts (whole numbers of 0 or more with a long tail): a normal of log(1 + x), a density of that "
        "and not of the counts. For probabilities of the counts: --set likelihood=negative-binomial, "
        "zero-inflated-negative-binomial or poisson."
    )
    assert report["warnings"][-1] == (
        "The cells are taken for counts: densities are of log(1 + x), not of counts, unless --set likelihood names "
        "one of counts. --no-counts takes them as numbers."
    )
    assert check(load(RNG.poisson(20, (300, 4))))["warnings"][-1] == (
        "The cells are whole numbers: if they count something, --counts models log(1 + x)."
    )


def test_new_rows_must_be_counts() -> None:
    schema = load(CELLS).schema
    assert load(CELLS[:5] * 1000, schema=schema).x.tolist() == (CELLS[:5] * 1000).tolist()
    for x, words in ((CELLS - 1, r"from -1 to \d+"), (CELLS + 0.5, r"from 0.5 to \d+.5")):
        with pytest.raises(DataError, match=f"has cells {words}; the model was trained on cells that are each a whole"):
            load(x, schema=schema)


@pytest.mark.parametrize(
    ("kind", "top", "step"), [("binary", 1, 1), ("levels", 4, 1), ("tokens", 4, 1), ("unit", 1, 0.1), ("counts", 99, 1)]
)
def test_new_rows_lie_between_the_ends_of_their_kind(kind: str, top: float, step: float) -> None:
    more = {"levels": {"levels": 5}, "tokens": {"tokens": Tokens("characters", tuple("abcd"))}}.get(kind, {})
    schema, inside = Schema((2,), kind, **more), np.array([[top, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(conform(inside, None, schema)[0], inside)
    outside = [inside - step] + ([] if kind == "counts" else [inside + step]) + ([] if kind == "unit" else [inside / 8])
    for x in outside:
        with pytest.raises(DataError, match="the model was trained on cells that are"):
            conform(x, None, schema)


def test_missing_counts_lie_in_the_middle_of_the_logarithms() -> None:
    x = CELLS.astype(float)
    x[3, 2] = np.nan
    data = load(x, missing="nan")
    assert data.schema.kind == "counts"
    rows = (data.split == 0) & ~np.isnan(x[:, 2])
    assert data.x[3, 2] == np.round(np.expm1(np.log1p(x[rows, 2]).mean()))
    assert not data.mask[3, 2]


def test_the_schema_is_saved() -> None:
    schema = load(CELLS).schema
    assert Schema.from_json(schema.to_json()) == schema
    assert schema.standardised
    assert not Schema((2,), "binary").standardised


def test_the_model_sees_the_logarithm() -> None:
    prepared = prepare_batch(Preparation(log1p=True), as_batch(CELLS.astype(np.float32)), key=None).x
    np.testing.assert_allclose(prepared, LOG, rtol=1e-6)
    assert jax.vmap(lambda row: Preparation(log1p=True)(row, key=None))(jnp.zeros((2, 3))).tolist() == [[0] * 3] * 2


def test_the_preparation_is_saved_only_where_it_is_on() -> None:
    assert "log1p" not in Preparation(divide=255.0).to_json()
    saved = Preparation(log1p=True).to_json()
    assert saved["log1p"] is True
    assert Preparation.from_json(saved) == Preparation(log1p=True)
    for wrong in (1, "yes", None):
        with pytest.raises(ModelFileError, match=r"preparation.log1p: Expected `bool`, got"):
            Preparation.from_json({**saved, "log1p": wrong})
    for other in ({"divide": 2.0}, {"dequantize": True}, {"integer": True}, {"binarize": "threshold"}):
        with pytest.raises(ConfigError, match="exclude each other"):
            Preparation(log1p=True, **other)
