"""The recipe of a mixture of typed columns: log p(x), conditionals and conditions are sums over its classes."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest
from latens.evidence.mixture_baseline import best_classes, fit_mixture
from scipy import stats

from latens.config import override
from latens.data import TRAIN, load
from latens.errors import ConfigError
from latens.evaluation import Rows, impute
from latens.evaluation.column_information import nats_by_column
from latens.kinds.tables.typed import as_frame
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare, train

WEIGHTS = np.array([0.5, 0.3, 0.2])
TRUE = {
    "city": (["Lyon", "Oslo", "Porto"], np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])),
    "size": ([1, 2, 4, 7], np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.1, 0.7]])),
    "member": (["no", "yes"], np.array([[0.9, 0.1], [0.5, 0.5], [0.05, 0.95]])),
}
GRADES = ["low", "middle", "high"]
TRUE["grade"] = (GRADES, np.array([[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]))


def drawn(n, seed):
    """A frame of rows of three kinds, and the exact log probability of each."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, n, p=WEIGHTS)
    codes = {name: (rng.random(n)[:, None] > np.cumsum(p[kind], axis=1)).sum(axis=1) for name, (_, p) in TRUE.items()}
    frame = pd.DataFrame({name: np.array(TRUE[name][0])[code] for name, code in codes.items()})
    frame["grade"] = pd.Categorical(frame["grade"], categories=GRADES, ordered=True)
    p = sum(w * np.prod([TRUE[n][1][k, c] for n, c in codes.items()], axis=0) for k, w in enumerate(WEIGHTS))
    return frame, np.log(p)


def fitted(data, **settings):
    return train(prepare(override(get_recipe("table-mixture").config, settings), data))[0]


@pytest.fixture(scope="module")
def data():
    return load(drawn(6000, 0)[0], typed=True)


@pytest.fixture(scope="module")
def trained(data):
    return fitted(data, **{"posterior.choices": 3})


@pytest.fixture(scope="module")
def every(trained):
    """Every row that the schema can hold, with its probability."""
    cells = [np.arange(one.cells) for one in trained.schema.types]
    rows = np.array(list(itertools.product(*cells)), np.float32)
    mixture = trained.log_marginal(rows, num_samples=1)
    return rows, np.exp(mixture.astype(np.float64))


def test_probabilities_sum_to_one_and_are_those_of_the_mixture(trained, data, every):
    rows, p = every
    assert len(rows) == 3 * 7 * 2 * 3
    assert p.sum() == pytest.approx(1.0, abs=1e-5)
    kept = data.subset("train")
    mixture = fit_mixture(data.x[kept[np.argsort(data.row_id[kept])]], None, data.schema.types, 3)
    np.testing.assert_allclose(np.log(p), mixture.log_prob(rows), atol=2e-5)
    # Any draw of the exact posterior has the weight p(x): more of them change nothing.
    again = trained.log_marginal(rows, num_samples=7, seed=5)
    np.testing.assert_allclose(again, np.log(p), atol=2e-5)


def test_missing_cells_are_summed_out(trained, every):
    every_row, p = every
    rows = every_row[::5]
    mask = np.random.default_rng(0).random(rows.shape) < 0.5
    frame = as_frame(rows, trained.schema, shown=mask)
    batch = trained.batch(load(frame, schema=trained.schema))
    hidden = np.asarray(batch.x)
    found = np.asarray(
        [p[np.all((every_row == row) | ~seen, axis=1)].sum() for row, seen in zip(hidden, np.asarray(batch.mask))]
    )
    np.testing.assert_array_equal(np.asarray(batch.mask), mask)
    log_p = trained.log_marginal(load(frame, schema=trained.schema), num_samples=1)
    np.testing.assert_allclose(np.exp(log_p), found, rtol=1e-4)
    # And what each missing cell may be, and the completions of it, are the enumerated conditionals.
    found = impute(Rows(trained.model, batch), types=trained.schema.types, num_samples=5)
    shares, effective = found.shares, found.effective
    np.testing.assert_allclose(effective, 5.0, rtol=1e-5)
    for i in range(len(rows)):
        alike = np.where(np.all((every_row == hidden[i]) | ~mask[i], axis=1), p, 0.0)
        for j in np.flatnonzero(~mask[i]):
            one = trained.schema.types[j]
            segment = np.searchsorted(one.firsts, every_row[:, j], side="right") - 1
            exact = np.bincount(segment, alike, one.count) / alike.sum()
            np.testing.assert_allclose(shares[j][i], exact, atol=1e-5)
    draws = impute(Rows(trained.model, batch, key=jax.random.key(1)), num_samples=3, num_draws=1000).draws
    for i in range(len(rows)):
        for j in np.flatnonzero(~mask[i]):
            one = trained.schema.types[j]
            counts = np.bincount(np.searchsorted(one.firsts, draws[i, :, j], side="right") - 1, minlength=one.count)
            expected = 1000 * shares[j][i]
            assert stats.chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 1e-6


def test_columns_and_latents_add_up_to_log_p(trained, every):
    rows, p = every
    parts = nats_by_column(Rows(trained.model, trained.batch(rows)), num_samples=2)
    np.testing.assert_allclose(parts.columns.sum(axis=1) + parts.latents, np.log(p), atol=2e-5)


def test_a_planted_mixture_is_found(trained):
    frame, exact = drawn(4000, 1)
    found = trained.log_marginal(load(frame, schema=trained.schema), num_samples=1)
    # About 26 numbers of 4,800 rows: half a nat in 4,800 for each, and cells that no class has are 0.01 apart.
    assert 0 < (exact - found).mean() < 0.02


def test_held_out_rows_choose_the_classes(data):
    experiment = prepare(get_recipe("table-mixture").config, data)
    kept = data.subset("train")
    kept = kept[np.argsort(data.row_id[kept])]
    chosen = best_classes(data.x[kept], None, data.schema.types, np.ones(len(kept)))
    assert experiment.config.posterior.options == {"choices": chosen}
    assert (
        experiment.reasons[0] == f"{chosen} classes, by a tenth of the training rows (--set posterior.choices={chosen})"
    )


def test_neither_order_nor_repeats_nor_weights_change_the_mixture():
    frame, _ = drawn(800, 2)
    times = np.random.default_rng(0).integers(1, 4, 800)
    ids = np.arange(800)

    def of(rows):
        return fitted(replace(rows, split=np.full(len(rows), TRAIN, np.uint8)), **{"posterior.choices": 4})

    one = of(load(frame, typed=True, row_id=ids))
    rows = one.schema
    order = np.random.default_rng(1).permutation(800)
    turned = of(load(frame.iloc[order], schema=rows, row_id=ids[order]))
    test = load(drawn(300, 3)[0], schema=rows)
    np.testing.assert_allclose(turned.log_marginal(test), one.log_marginal(test), atol=2e-5)
    weighted = of(load(frame, schema=rows, row_id=ids, weight=times.astype(float)))
    repeated = load(frame.iloc[np.repeat(ids, times)].reset_index(drop=True), schema=rows)
    repeated = replace(repeated, row_id=np.repeat(load(frame, schema=rows, row_id=ids).row_id, times))
    np.testing.assert_allclose(of(repeated).log_marginal(test), weighted.log_marginal(test), atol=2e-5)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"optimizer.learning_rate": 0.1}, "optimizer.learning_rate"),
        ({"training.minutes": 1.0}, "training.minutes"),
        ({"training.steps": 10}, "training.steps"),
        ({"network.hidden": [8]}, "network.hidden"),
        ({"posterior.latent_dim": 2}, "posterior.latent_dim"),
        ({"objective": "iwae"}, "objective.name"),
        ({"likelihood.family": "normal"}, "likelihood.family"),
    ],
)
def test_options_of_gradients_are_refused(data, settings, where):
    with pytest.raises(ConfigError) as error:
        prepare(override(get_recipe("table-mixture").config, settings), data)
    assert error.value.where == where


def test_data_without_typed_columns_are_refused():
    with pytest.raises(ConfigError, match="needs typed columns, and these data are real"):
        prepare(get_recipe("table-mixture").config, load(np.random.default_rng(0).normal(size=(50, 3))))
