"""log p(x) by column: the parts that integration over the latent gives, which sum to log p(x)."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.figures import marginals, show_tail
from latens.figures.tables import by_frequency
from latens.kinds.tables.columns import ColumnType
from latens.model_figures.draw import draw_pictures
from latens.recipes import get_recipe

SETTINGS = {
    "training.steps": 40,
    "training.batch_size": 50,
    "posterior.latent_dim": 1,
    "network.hidden": [16],
    "objective": "elbo",
    "prior": "standard-normal",
}


def frame(n=300, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    number = np.round(rng.normal(kind, 0.4), 1)
    number[rng.random(n) < 0.2] = np.nan
    color = np.array(["red", "green", "blue"])[kind]
    return pd.DataFrame({"color": color, "number": number, "other": rng.integers(0, 5, n)})


@pytest.fixture(scope="module")
def data():
    return latens.read(frame())


@pytest.fixture(scope="module")
def trained(data):
    return latens.fitting.train(latens.fitting.prepare(override(get_recipe("default").config, SETTINGS), data))[0]


def test_pictures_of_a_mixed_table(trained, data):
    weighted = dataclasses.replace(data, weight=np.resize(np.float32([1, 2]), len(data)))
    repeated = latens.read(
        frame().loc[np.repeat(np.arange(300), np.resize([1, 2], 300))].reset_index(drop=True), schema=data.schema
    )
    names = ["marginals"]
    one, other = (
        {name: table for name, _, table in draw_pictures(trained, each, only=names)} for each in (weighted, repeated)
    )
    assert set(one) == set(names)
    np.testing.assert_allclose(one["marginals"]["data_share"], other["marginals"]["data_share"])
    # The bars of a category are its names, the most frequent first.
    bars = one["marginals"]["column"] == "color"
    times = np.resize([1, 2], 300)
    shares = {name: times[frame()["color"] == name].sum() / 450 for name in ("red", "green", "blue")}
    told = dict(zip(one["marginals"]["value"][bars], one["marginals"]["data_share"][bars]))
    assert list(told) == sorted(shares, key=lambda name: -shares[name])
    assert told == pytest.approx(shares)
    assert set(one["marginals"]["value"][~bars]) == {""}


def test_rare_names_share_a_bar_and_a_high_bar_makes_the_axis_logarithmic():
    counts = np.array([1, 5, 3, 40, 2, 30, 7, 20, 11, 4])
    codes = np.repeat(np.arange(10.0), counts)
    one = ColumnType("category", tuple("abcdefghij"), shares=tuple(counts / counts.sum()))
    data, samples = codes[:, None].copy(), np.array([[0.0], [3.0], [9.0], [np.nan]])
    assert by_frequency(data, samples, 0, one.values) == ("d", "f", "h", "i", "g", "b", "j", "3 others")
    assert np.bincount(data[:, 0].astype(int)).tolist() == [40, 30, 20, 11, 7, 5, 4, 6]
    np.testing.assert_array_equal(samples[:, 0], [7.0, 0.0, 6.0, np.nan])
    data = codes[:, None].copy()
    by_frequency(data, samples[:1] * 0, 0, one.values, weight=np.where(codes == 0, 100.0, 0.0))
    assert data[codes == 0, 0].tolist() == [0.0]
    amounts = np.concatenate([np.zeros(70), np.arange(1.0, 31.0) ** 2])[:, None]
    plain, tailed = marginals(np.hstack([amounts[::-1] % 7, amounts]), np.hstack([amounts % 7, amounts]), ["a", "b"])
    for ax, shares in ((plain, np.array([0.5, 0.3, 0.2])), (tailed, np.array([0.7, 0.0, 0.2, 0.1]))):
        show_tail(ax, shares)
    assert (plain.get_yscale(), tailed.get_yscale()) == ("linear", "log")
    assert tailed.get_ylim() == (0.05, 1.5)
