"""Columns of many names: the frequent ones have a probability each, the rare ones share some by how often they came."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from latens.config import override
from latens.data import TRAIN, load
from latens.data.schema import Schema
from latens.distributions import Segments
from latens.errors import DataError
from latens.fitting import prepare, train
from latens.kinds.tables.columns import MOST_OWN, FrameColumn, category_type, check_types
from latens.kinds.tables.table_schema import as_frame
from latens.models.heads.table import TableHead, TableInput
from latens.predictive.conditional_samples import conditions_of, sample_given
from latens.recipes import get_recipe
from latens.trained.cell_scores import blame, named_cells, p_values, point, strange_rows

N = 8000


@pytest.fixture(scope="module")
def frame():
    """Two kinds of rows, each with shops of its own: 4,000 names, of which a few hundred come often."""
    rng = np.random.default_rng(0)
    p = 1.0 / np.arange(1, 2001) ** 0.9
    kind = rng.integers(0, 2, N)
    shop = rng.choice(2000, N, p=p / p.sum())
    return pd.DataFrame({"shop": [f"{'ab'[k]}{s:04d}" for k, s in zip(kind, shop)], "kind": np.array(["x", "y"])[kind]})


@pytest.fixture(scope="module")
def data(frame):
    return load(frame)


@pytest.fixture(scope="module")
def trained(data):
    config = override(get_recipe("default").config, {"training.steps": 60})
    return train(prepare(config, data))[0]


def test_names_have_the_frequency_of_the_training_rows(frame, data):
    one = data.schema.types[0]
    assert len(frame["shop"].unique()) > 1000
    counts = frame["shop"][data.split == TRAIN].value_counts()
    own = counts.reindex(list(one.values)).to_numpy()
    assert set(one.values) == set(counts.index)
    assert np.all(np.diff(own) <= 0)
    p = np.exp(one.log_shares(np.arange(one.num_values)))
    np.testing.assert_allclose(p, own / own.sum(), rtol=1e-12)
    widths = dict(zip(one.firsts, one.widths))
    assert all(widths[place] == 1 for place in np.flatnonzero(own >= 20))
    assert one.count == np.count_nonzero(own >= 20) + len(np.unique(own[own < 20])) < 300
    assert check_types(data.schema.types) == ""
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema


def test_rows_come_back_with_their_names(frame, data):
    back = as_frame(data.x, data.schema)["shop"].to_numpy()
    known = frame["shop"].isin(data.schema.types[0].values).to_numpy()
    assert known[data.split == TRAIN].all()
    np.testing.assert_array_equal(back[known], frame["shop"][known])
    # A name that no training row had is one of those that came once.
    assert 100 < (~known).sum() < 1000
    counts = frame["shop"][data.split == TRAIN].value_counts()
    assert set(counts[back[~known]]) == {1}


def test_more_frequent_names_than_places_share_by_how_frequent_they_are():
    counts = np.random.default_rng(0).permutation(np.arange(30, 1530))
    one = category_type(np.repeat(np.arange(1500), counts), FrameColumn(tuple(f"n{i}" for i in range(1500))))
    own = np.array([counts[int(name[1:])] for name in one.values])
    assert np.all(np.diff(own) <= 0)
    assert one.widths[:MOST_OWN] == (1,) * MOST_OWN
    assert one.count < 1000
    p = np.exp(one.log_shares(np.arange(1500)))
    assert p.sum() == pytest.approx(1.0, abs=1e-9)
    assert np.all(np.abs(np.log(p / (own / own.sum()))) < 0.5 * np.log(2.0))


def test_a_head_gives_each_rare_name_its_part(data):
    one = data.schema.types[0]
    head = TableHead((one,))
    outputs = jax.random.normal(jax.random.key(0), (head.num_outputs,))
    values = jnp.arange(one.num_values, dtype=jnp.float32)[:, None]
    log_p = np.asarray(jax.vmap(head(outputs).log_prob)(values), np.float64)
    assert np.exp(log_p).sum() == pytest.approx(1.0, abs=1e-4)
    logits = np.log(one.shares) + np.asarray(outputs)[: one.count]
    share = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(np.exp(log_p), np.repeat(share / one.widths, one.widths), rtol=2e-4)
    # The encoder sees the segment: as many inputs as there are, not as there are names.
    seen = TableInput((one,))(jnp.array([one.num_values - 1.0]))
    assert seen.shape[0] <= 2 * one.count + 1
    np.testing.assert_array_equal(seen, TableInput((one,))(jnp.array([one.firsts[-1] + 0.0])))


def test_the_most_probable_name_is_one_name_not_a_crowd():
    crowd = Segments(jnp.log(jnp.array([[0.3, 0.7]])), jnp.array([[0, 1]]), jnp.array([[1, 7]]), ordered=False)
    assert crowd.mean().tolist() == [0.0]
    names = tuple(map(str, range(8)))
    one = category_type(np.arange(8), FrameColumn(names))
    one = type(one)("category", names, starts=(0, 1), shares=(0.3, 0.7))
    shares = np.array([[0.3, 0.7], [0.05, 0.95]])
    np.testing.assert_array_equal(point(shares, one), [0, 1])
    np.testing.assert_allclose(p_values(shares, one, np.array([0, 0])), [1.0, 0.05])
    np.testing.assert_allclose(p_values(shares, one, np.array([5, 5])), [0.7, 1.0])


def test_probabilities_sum_to_one_over_names_and_samples_have_them(trained, data):
    one = trained.schema.types[0]
    rows = np.array([[code, kind] for kind in (0, 1) for code in range(one.num_values)], np.float32)
    p = np.exp(trained.log_marginal(rows, num_samples=1000).astype(np.float64))
    assert p.sum() == pytest.approx(1.0, abs=0.015)  # four standard errors of this sum of unbiased estimates
    found = sample_given(trained.model, conditions_of({"kind": "y"}, trained.schema), 20_000, key=jax.random.key(0))
    expected = p[one.num_values :] / p[one.num_values :].sum() * 20_000
    counts = np.bincount(found.x[:, 0].astype(int), minlength=one.num_values)
    often = expected >= 5
    pooled = np.append(counts[often], counts[~often].sum()), np.append(expected[often], expected[~often].sum())
    assert stats.chisquare(*pooled, sum_check=False).pvalue > 1e-4
    # Within a segment the names are alike, and all are names of the training rows.
    last = counts[one.firsts[-1] :]
    assert stats.chisquare(last).pvalue > 1e-4
    assert (last > 0).mean() > 0.5


def test_a_name_never_seen_counts_as_one_that_came_once(trained):
    new = pd.DataFrame({"shop": ["never seen", trained.schema.types[0].values[-1]], "kind": ["x", "x"]})
    # Each in the same place, so with the same draws.
    alone = [load(new.iloc[[row]].reset_index(drop=True), schema=trained.schema) for row in range(2)]
    log_p = [trained.log_marginal(row, num_samples=2)[0] for row in alone]
    assert log_p[0] == log_p[1]
    asked = load(new, schema=trained.schema, unknown="missing")
    assert asked.unseen == ((0, 0, "never seen"),)
    assert not strange_rows(asked).any()
    told = named_cells(blame(trained, asked, np.arange(2), others=100, cells=2), asked, np.arange(2))
    assert "never seen" in {told["value_1"][0], told["value_2"][0]}
    with pytest.raises(DataError, match="holds 'z', which no training row had"):
        load(new.assign(kind="z"), schema=trained.schema)
    found = load(new.assign(kind=["z", "x"]), schema=trained.schema, unknown="missing")
    assert strange_rows(found).tolist() == [True, False]


def test_text_that_mostly_comes_seldom_is_left_out_unless_it_is_declared():
    rng = np.random.default_rng(0)
    words = [f"w{i}" if i % 2 else f"v{rng.integers(30)}" for i in range(5000)]
    words[:300] = [f"u{i}" for i in range(300)]
    frame = pd.DataFrame({"word": words, "x": np.arange(5000) % 7})
    left = load(frame)
    assert left.schema.ignored == ("word",)
    (note,) = [note for note in left.notes if "'word'" in note]
    assert note.endswith("different texts, most rows with one that came fewer than 5 times, like free text.")
    assert load(frame, columns={"word": "category"}).schema.types[0].starts


def test_segments_of_names_in_files_are_checked():
    good = category_type(np.repeat(np.arange(1200), 2), FrameColumn(tuple(f"n{i}" for i in range(1200))))
    assert good.starts == (0,)
    assert check_types((good,)) == ""
    bad = [{"starts": (1,)}, {"starts": (0, 1200), "shares": (0.5, 0.5)}, {"kind": "ordinal"}, {"size": 3}]
    for change in bad:
        made = type(good)(**{name: getattr(good, name) for name in good.__struct_fields__} | change)
        assert check_types((made,)) != ""
