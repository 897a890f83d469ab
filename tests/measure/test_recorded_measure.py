"""What `measure` says of models before their first step: as recorded."""

import jax
import numpy as np
import pytest
from records import meets_record

import latens
from latens.config import override
from latens.evaluation.conditional_samples import sample_given, shares_given
from latens.kinds.tables.columns import ColumnType
from latens.kinds.tables.where import conditions_of
from latens.recipes import get_recipe
from latens.workflow import cell_scores as cells
from latens.workflow import outliers, paired
from latens.workflow.experiment import prepare
from latens.workflow.measurement import measured

SMALL = {"network.hidden": [5], "posterior.latent_dim": 2, "training.steps": 4}
rng = np.random.default_rng(0)
KIND = np.arange(80) % 3
TABLE = {
    "kind": np.array(["a", "b", "c"])[KIND],
    "size": np.round(rng.normal(size=80) + 3 * KIND, 1),
    "count": rng.poisson(2 + 2 * KIND),
}
PIXELS = (rng.random((60, 2, 2)) < 0.2 + 0.3 * KIND[:60, None, None]).astype(np.uint8) * 3


def untrained(data, recipe="default", **settings):
    experiment = prepare(override(get_recipe(recipe).config, {**SMALL, **settings}), data)
    return experiment.trained(experiment.new_model()), experiment.data


def numbers(found):
    return {
        name: [one.value, -1.0 if one.standard_error is None else one.standard_error, float(one.n)]
        for name, one in found.items()
    }


@pytest.fixture(scope="module")
def table():
    import pandas as pd

    return untrained(latens.read(pd.DataFrame(TABLE)))


def test_metrics_of_a_table_are_as_recorded(table):
    trained, data = table
    found = measured(trained, data, data.subset("train")[:20], num_samples=10)
    meets_record("measured: table", numbers(found.metrics), rtol=1e-3)
    meets_record("measured: units of a table", [[unit["kl"], unit["variance"], unit["active"]] for unit in found.units])


@pytest.mark.parametrize("recipe", ["default", "autoencoder"])
def test_metrics_of_pictures_are_as_recorded(recipe):
    trained, data = untrained(latens.read(PIXELS), recipe)
    found = measured(trained, data, data.subset("train")[:12], num_samples=10)
    meets_record(f"measured: pictures, {recipe}", numbers(found.metrics), rtol=1e-3)


def test_cells_are_judged_as_recorded(table):
    trained, data = table
    rows = np.arange(6)
    meets_record("cells: given the rest", cells.given_rest(trained, data, rows, num_samples=20)[1], rtol=1e-3)
    blamed = cells.blame(trained, data, rows, others=30, cells=2, num_samples=20)
    meets_record("cells: to blame", blamed._asdict(), rtol=1e-3)
    told = cells.named_cells(blamed, data, rows)
    assert set(told) == {f"{word}_{k}" for k in (1, 2) for word in ("cell", "value", "expected", "p")}
    names = np.array([column.name for column in data.schema.columns])
    np.testing.assert_array_equal(told["cell_1"][:6], names[blamed.column[:, 0]])


def test_surprises_and_p_values_are_as_recorded(table):
    trained, data = table
    options = {"num_samples": 10, "key": jax.random.key(0)}
    some = outliers.scores_of(trained, data, np.arange(5), others=30, **options)
    every = outliers.scores_of(trained, data, None, others=30, **options)
    np.testing.assert_allclose(np.stack(every)[:, :5], some, rtol=1e-5)
    found = outliers.detect(trained, data, np.arange(20, 60), data, alpha=0.1, num_samples=10)
    meets_record("detected: surprises", [every.surprise, found.surprise], rtol=1e-3)
    np.testing.assert_allclose(found.odd, every.odd, rtol=1e-5)
    # Ranks of two rows whose scores differ by rounding swap from one processor to another: so p-values are not
    # recorded, but held between those of a score that is a little lower and a little higher.
    order = np.argsort(-found.odd, kind="stable")
    assert np.all(np.diff(found.p_value[order]) >= 0)
    assert np.all(np.diff(found.q_value[order]) >= 0)
    shown = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    for pattern in np.unique(shown, axis=0):
        rows = np.flatnonzero((shown == pattern).all(axis=1))
        held = outliers.scores_of(trained, data, np.arange(20, 60), others=40, shown=pattern, **options).odd
        low, high = (outliers.conformal(held, found.odd[rows] + off) for off in (1e-3, -1e-3))
        assert np.all((low <= found.p_value[rows]) & (found.p_value[rows] <= high))
        assert np.mean(high - low) < 0.05
    np.testing.assert_allclose(found.q_value, outliers.adjusted(found.p_value))
    assert found.calibration == 40
    with pytest.raises(latens.errors.DataError, match="39 held-out rows"):
        outliers.detect(trained, data, np.arange(39), data, alpha=0.01)


def test_rows_under_conditions_are_as_recorded(table):
    trained, data = table
    given = conditions_of({"kind": "a", "size": (2.0, 4.0)}, data.schema)
    drawn = sample_given(trained.model, given, 5, key=jax.random.key(0))
    meets_record("sampled under conditions", [drawn.x, drawn.log_probability, drawn.effective], rtol=1e-3)
    found = shares_given(trained.model, given, data.schema.types, key=jax.random.key(0), enough=50.0)
    meets_record("shares under conditions", [*found.columns, found.effective, found.log_probability], rtol=1e-3)
    assert found.columns[0].sum() == pytest.approx(1.0, abs=1e-5)
    assert np.all(trained.sample(4, given={"kind": "b"})[:, 0] == 1.0)


def test_rows_are_compared_as_recorded(table):
    trained, data = table
    other, _ = untrained(data, **{"training.seed": 5})
    found = paired.compare([("one", trained), ("two", other)], data, data.subset("train")[:15], num_samples=8)
    best, worse = found.models
    assert best.difference is None
    assert {best.name, worse.name} == {"one", "two"}
    assert worse.difference.low < worse.difference.estimate.value < worse.difference.high
    of_both = {one.name: one.estimate for one in found.models}
    difference = worse.difference
    meets_record("compared", [numbers(of_both), difference.estimate.value, difference.low, difference.high], rtol=1e-3)


def test_p_values_of_cells_by_hand():
    one = ColumnType("number", (), 0.0, 1.0, (0, 1, 3), 4, (0.5, 0.3, 0.2), "Int64")
    shares = np.array([[0.5, 0.3, 0.2]] * 4)
    np.testing.assert_allclose(cells.p_values(shares, one, np.arange(4.0)), [1.0, 1.0, 0.7, 0.4])
    np.testing.assert_allclose(cells.point(shares, one), 0.3 * 1.5 + 0.2 * 3)
    np.testing.assert_array_equal(cells.quantile(shares, one, 0.5), 0.0)
    np.testing.assert_array_equal(cells.quantile(shares, one, 0.6), 1.0)
    np.testing.assert_array_equal(cells.quantile(shares, one, 0.7), 2.0)
    np.testing.assert_array_equal(cells.quantile(shares, one, 0.81), 3.0)
