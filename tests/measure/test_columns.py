"""log p(x) by column: the parts that integration over the latent gives, which sum to log p(x)."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.config import override
from latens.evaluation import Rows
from latens.evaluation.column_information import nats_by_column
from latens.figures import marginals, show_tail
from latens.figures.tables import by_frequency
from latens.kinds.tables.columns import ColumnType
from latens.pictures.draw import draw_pictures
from latens.recipes import get_recipe
from latens.workflow.measurement import column_nats

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
    return latens.workflow.train(latens.workflow.prepare(override(get_recipe("default").config, SETTINGS), data))[0]


def by_integration(trained, batch):
    """E log p(x_j | z) under p(z | x), and log p(x), on a grid of z."""
    z = np.linspace(-8, 8, 4001)
    mask = np.asarray(batch.mask)

    def terms(z, x, mask):
        return jnp.where(mask, trained.model.likelihood(z[None], cond=None).log_prob_terms(x * mask), 0.0)

    grid = jax.vmap(jax.vmap(terms, (0, None, None)), (None, 0, 0))(jnp.asarray(z), jnp.asarray(batch.x), mask)
    grid = np.asarray(grid, np.float64)
    log_joint = grid.sum(axis=2) - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    log_p = np.log(np.exp(log_joint).sum(axis=1) * (z[1] - z[0]))
    posterior = np.exp(log_joint - log_p[:, None]) * (z[1] - z[0])
    return np.einsum("bz,bzj->bj", posterior, grid), log_p


def test_parts_are_those_of_integration(trained, data):
    batch = trained.batch(data, np.arange(40))
    columns, log_p = by_integration(trained, batch)
    found = nats_by_column(Rows(trained.model, batch, samples_per_chunk=400), num_samples=8000)
    np.testing.assert_allclose(found.columns, columns, atol=0.05)
    assert np.abs(found.columns - columns).mean() < 0.005
    np.testing.assert_allclose(found.columns.sum(axis=1) + found.latents, log_p, atol=0.03)
    gaps = ~np.asarray(batch.mask)
    assert gaps.any()
    assert np.all(found.columns[gaps] == 0.0)


def test_means_count_rows_by_weight_as_if_they_were_repeated(trained, data):
    """Weight 2 is the row twice, weight 0 a row that is not there."""
    rows, times = np.arange(30), np.resize([1, 2, 0], 30)
    weighted = dataclasses.replace(data, weight=np.resize(times, len(data)).astype(np.float32))
    one, other = column_nats(trained, weighted, rows), column_nats(trained, data, np.repeat(rows, times))
    assert [a["name"] for a in one] == ["color", "number", "other", "latents"]
    for a, b in zip(one, other):
        assert a["nats"] == pytest.approx(b["nats"], abs=1e-6)
        assert a["independent"] == pytest.approx(b["independent"], abs=1e-12)
    plain = column_nats(trained, data, rows)
    assert all(abs(a["nats"] - b["nats"]) > 1e-4 for a, b in zip(one[:3], plain))
    log_p = by_integration(trained, trained.batch(data, rows))[1]
    assert sum(a["nats"] for a in one) == pytest.approx(np.average(log_p, weights=times), abs=0.05)
    shares = [dict(zip(t.firsts, t.log_shares(np.array(t.firsts)))) for t in data.schema.types]
    alone = np.mean([shares[0][float(v)] for v in data.x[rows, 0]])
    assert plain[0]["independent"] == pytest.approx(alone, abs=1e-12)


def test_evaluate_prints_the_columns(trained, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained.save(tmp_path / "m.safetensors")
    frame().to_csv("t.csv", index=False)
    assert main(["evaluate", "m.safetensors", "t.csv", "--num-samples", "50"]) == 0
    text = capsys.readouterr().out
    assert main(["evaluate", "m.safetensors", "t.csv", "--num-samples", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    columns = found["columns"]
    assert [one["name"] for one in columns] == ["color", "number", "other", "latents"]
    log_p = found["metrics"]["log_marginal"]
    assert sum(one["nats"] for one in columns) == pytest.approx(log_p["value"], abs=0.05)
    for one in columns:
        assert f"{one['nats']:.2f} ± {one['standard_error']:.2f}" in text


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
