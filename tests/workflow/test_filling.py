"""A model and a copula that fill gaps together: the weight that held-out cells ask for, and what is made of it."""

import jax
import numpy as np
import pandas as pd
import pytest

import latens
from latens import VAEImputer
from latens.config import override
from latens.data import TRAIN, VALIDATION
from latens.data.batches import Batch
from latens.errors import ConfigError
from latens.evaluation.copula import fill, fit_copula
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import start_alone
from latens.workflow import filling
from latens.workflow.cells import interval, point
from latens.workflow.experiment import prepare
from latens.workflow.filling import HIDDEN, Pool, filled_by, pooled, pooled_draws, pooled_shares
from latens.workflow.trained import TrainedModel


def frame(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).round(2)
    y = (0.9 * x + 0.4 * rng.normal(size=n)).round(2)
    return pd.DataFrame({"x": x, "y": y, "kind": np.where(x + 0.3 * rng.normal(size=n) > 0, "up", "down")})


class Told(TrainedModel):
    """A model that is asked for rows alone."""

    def __init__(self, data):
        object.__setattr__(self, "schema", data.schema)
        object.__setattr__(self, "facts", {})

    def batch(self, data, positions=None):
        return Batch(data.x[positions], data.row_id[positions], mask=data.mask[positions])

    def rows(self, batch, *, key):
        return batch


def with_gaps(full, seed, share=0.3):
    return full.mask(np.random.default_rng(seed).random(full.shape) < share)


@pytest.fixture(scope="module")
def rows():
    return latens.load_data(with_gaps(frame(300, 0), 1), label="none", typed=True)


@pytest.fixture(scope="module")
def alone():
    return VAEImputer(copula="only", random_state=3).fit(with_gaps(frame(300, 0), 1))


def test_a_copula_alone_fills_in_what_it_says(alone):
    holes = with_gaps(frame(40, 5), 6)
    data = alone._data(holes, reset=False, typed=True, schema=alone.schema_)
    assert (alone.models_, alone.weight_) == ([], 0.0)
    train = alone._data(with_gaps(frame(300, 0), 1), reset=False, typed=True, schema=alone.schema_)
    order = np.argsort(train.row_id, kind="stable")
    made = fit_copula(train.x[order], train.mask[order], alone.schema_.types, seed=3)
    options = {"keys": data.row_id, "seed": 3}
    found = fill(made, data.x, data.mask, draws=2, **options)
    full, (low, high), gone = alone.transform(holes), alone.intervals(holes, 0.8), ~data.mask
    for j, one in enumerate(alone.schema_.types):
        if one.kind == "category":
            best = np.array(one.values)[point(found.shares[j], one).astype(int)]
            assert (full.iloc[:, j].to_numpy()[gone[:, j]] == best[gone[:, j]]).all()
            assert low.iloc[:, j].isna().all()
            continue
        for got, stored in (
            (full.iloc[:, j].to_numpy(float), point(found.shares[j], one)),
            *zip((f.iloc[:, j].to_numpy(float) for f in (low, high)), interval(found.shares[j], one, 0.8)),
        ):
            np.testing.assert_allclose(got[gone[:, j]], one.low + one.step * stored[gone[:, j]], atol=0.0051)
    for k, table in enumerate(alone.draws(holes, 2)):
        stored = alone.schema_.types[0].low + alone.schema_.types[0].step * found.draws[:, k, 0]
        np.testing.assert_allclose(table["x"].to_numpy(float), stored, atol=1e-6)


def test_gaps_are_filled_by_the_line_that_made_them(alone):
    full = frame(2000, 7)
    # Names that x makes impossible ("up" far below 0) would ask another question: the names are missing too.
    holes = full.assign(y=np.nan, kind=np.nan)
    made = alone.transform(holes)
    error, middle = made["y"] - 0.9 * full["x"], full["x"].abs() < 1.5
    assert np.sqrt(np.mean(error[middle] ** 2)) < 0.12  # of a line, by 200 rows with noise of 0.4
    assert (made["kind"] == full["kind"]).mean() > 0.85  # a column without a cell gets its names again
    low, high = alone.intervals(holes, 0.9)
    inside = (full["y"] >= low["y"]) & (full["y"] <= high["y"])
    # A spread by m pairs has a relative error of 1 / sqrt(2 m), which moves the share by 2 q phi(q) times that.
    pairs = with_gaps(frame(300, 0), 1)[["x", "y"]].notna().all(axis=1).sum()
    assert inside.mean() == pytest.approx(0.9, abs=2.5 * 2 * 1.645 * 0.1031 / np.sqrt(2 * pairs))


def test_shares_and_draws_are_pooled_by_the_weight(rows):
    made = Pool(fit_copula(rows.x, rows.mask, rows.schema.types), np.full(3, 0.3))
    theirs = filled_by(made, rows, draws=20, seed=2)
    mine = [np.full((300, one.count), 1.0 / one.count) for one in rows.schema.types]
    for own, other, both in zip(mine, theirs.shares, pooled_shares(made, mine, rows, 2)):
        np.testing.assert_allclose(both, 0.3 * own + 0.7 * other)
    drawn = np.full((300, 20, 3), -1.0)
    both = pooled_draws(made, drawn, rows, 20, 2)
    from_model = (both == -1.0).all(axis=2)
    np.testing.assert_array_equal(both[~from_model], theirs.draws[~from_model])  # a row is of one of them as a whole
    assert from_model.mean() == pytest.approx(0.3, abs=0.03)
    assert from_model[:, 0].mean() == pytest.approx(0.3, abs=0.12)
    np.testing.assert_array_equal(pooled_draws(made, None, rows, 20, 2), theirs.draws)
    by_column = pooled_draws(made._replace(weights=np.array([1.0, 0.3, 0.0])), drawn, rows, 20, 2)
    np.testing.assert_array_equal(by_column[..., 1], both[..., 1])
    assert (by_column[..., 0] == -1.0).all()
    np.testing.assert_array_equal(by_column[..., 2], theirs.draws[..., 2])
    none = filling.ALONE
    assert pooled_shares(none, mine, rows, 2)[0] is mine[0]
    assert pooled_draws(none, drawn, rows, 20, 2) is drawn


@pytest.mark.parametrize(("knows", "weight"), [(True, 1.0), (False, 0.0), (None, 0.5)])
def test_the_weight_is_what_held_out_cells_ask_for(monkeypatch, rows, knows, weight):
    """A model that knows every cell gets all of it, one that knows nothing of fine numbers hardly any."""
    types, seen = rows.schema.types, []
    held = np.flatnonzero(rows.split == VALIDATION)
    order = held[np.argsort(rows.row_id[held], kind="stable")]

    def conditionals(batch, types, *, num_samples):
        seen.append(batch.mask)
        shares = []
        for j, one in enumerate(types):
            which = np.searchsorted(one.firsts, np.asarray(batch.x)[:, j], side="right") - 1
            shares.append(np.eye(one.count)[which] if knows else np.full((len(which), one.count), 1.0 / one.count))
        return shares, None

    data = rows
    if knows is None:
        data = latens.load_data(with_gaps(frame(300, 0), 1), label="none", typed=True)
        data.split[:] = TRAIN
    monkeypatch.setattr(filling, "conditionals", conditionals)
    found = pooled(Told(data), data, jax.random.key(0), num_samples=5, seed=0)
    assert found.weight == pytest.approx(weight, abs=0.1)
    assert found.copula is not None
    if knows is None:
        return
    hidden = rows.mask[order] & ~seen[0]
    assert not (seen[0] & ~rows.mask[order]).any()
    assert hidden.sum() / rows.mask[order].sum() == pytest.approx(HIDDEN, abs=0.15)
    # It is of all rows, and not of those of the training alone.
    every = np.argsort(rows.row_id, kind="stable")
    whole = fit_copula(rows.x[every], rows.mask[every], types, seed=0)
    assert whole is not None
    if (rows.split <= VALIDATION).all():
        np.testing.assert_allclose(found.copula.mean, whole.mean)


def test_each_column_has_a_weight_of_its_own(monkeypatch, rows):
    """A model that knows one column alone gets that one; twenty cells say what all columns say."""

    def conditionals(batch, types, *, num_samples):
        shares = []
        for j, one in enumerate(types):
            which = np.searchsorted(one.firsts, np.asarray(batch.x)[:, j], side="right") - 1
            knows, nothing = np.eye(one.count)[which], np.full((len(which), one.count), 1.0 / one.count)
            shares.append(knows if j == 0 else nothing)
        return shares, None

    monkeypatch.setattr(filling, "conditionals", conditionals)
    monkeypatch.setattr(filling, "USUAL", 1.0)
    found = pooled(Told(rows), rows, jax.random.key(0), num_samples=5, seed=0)
    assert found.weights[0] > found.weights[1] + 0.2
    assert found.weights[0] > found.weights[2] + 0.2
    assert found.weight == pytest.approx(found.weights.mean())
    monkeypatch.setattr(filling, "USUAL", 1e9)
    alike = pooled(Told(rows), rows, jax.random.key(0), num_samples=5, seed=0)
    np.testing.assert_allclose(alike.weights, alike.weights[0], atol=1e-6)


def test_a_tree_counted_in_all_rows_is_weighed_by_a_tree_of_others():
    """No rows validate it any more; three kinds far apart are no matter for a Normal copula."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 600)
    table = pd.DataFrame({"kind": np.array(list("abc"))[kind], "size": (10.0 * kind + rng.normal(size=600)).round(1)})
    data = latens.load_data(table, label="none")
    experiment = prepare(override(get_recipe("default").config, {"network.hidden": [8]}), data)
    start = experiment.stages()[0].start(experiment.new_model(), data)
    found = start_alone(start)
    assert found is not None
    kept = experiment.trained(found[0], steps=5, best_step=0).with_facts(start={"kept": True, "what": found[1]})
    counted = experiment.counted_in_all(kept)
    split: list[np.ndarray] = []
    made = filling.started_from

    def noted(model, part, *rest, **how):
        split.append(np.asarray(part.split))
        return made(model, part, *rest, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "started_from", noted)
        pool = pooled(counted, data.validation_as_train(), jax.random.key(0), num_samples=1, seed=0)
    assert pool.weights.min() > 0.95
    # What judges is a fifth of the rows, which the tree that is judged has not counted.
    assert [(one == VALIDATION).sum() for one in split] == [-(-(data.split <= VALIDATION).sum() // 5)]


def test_the_copula_is_one_of_three_words():
    with pytest.raises(ConfigError, match="copula"):
        VAEImputer(copula="perhaps").fit(frame(60, 0))
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 401)).round(2))
    with pytest.raises(ConfigError, match="too wide"):
        VAEImputer(copula="only").fit(wide)
