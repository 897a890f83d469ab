"""Trees of finer bins and of kinds: what they gain is the information that the columns share, and chance has none."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

import latens
from latens.config import override
from latens.data import Dataset
from latens.data.columns import ColumnType
from latens.data.dataset import training_rows
from latens.data.frames import as_frame
from latens.evaluation.evidence import kinds
from latens.evaluation.evidence.kinds import PLAIN, Cells, Counted, Level, Normal, cut_finer
from latens.evaluation.evidence.tree import ColumnTree, fit_tree
from latens.explorer import payload
from latens.models.heads.tree import BINS, TreeHead, bins_of
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import started_from
from latens.recipes.building.plan import resolve
from latens.recipes.parts.bound import bind, preparation
from latens.workflow.experiment import prepare, train


def shells(n: int, seed: int, r: float = 0.9, shift: float = 3.0, gaps: float = 0.0) -> Dataset:
    """Two numbers of three kinds: correlated by r within a kind, the kinds `shift` deviations apart; and a coin."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    one = rng.standard_normal(n)
    two = r * one + np.sqrt(1.0 - r**2) * rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            "kind": np.array(["cockle", "mussel", "whelk"])[kind],
            "length": (50.0 + 5.0 * (one + shift * kind)).round(1),
            "width": (30.0 + 3.0 * (two - shift * (kind == 1))).round(1),
            "hole": rng.choice(["yes", "no"], n),
        }
    )
    return latens.load_data(frame.mask(rng.random(frame.shape) < gaps), label="none", typed=True)


def counted(data: Dataset, **options: int) -> ColumnTree:
    return fit_tree(np.asarray(data.x), data.mask, data.schema.types or (), **options)


def alone(data: Dataset) -> np.ndarray:
    return sum(one.log_shares(data.x[:, j]) for j, one in enumerate(data.schema.types or ()))


def information(r: float, bins: int) -> float:
    """I of two correlated Normals that are cut into as many bins of like mass, in nats."""
    inside = ndtri((np.arange(bins * 400) + 0.5) / (bins * 400)).reshape(bins, 400)
    edges = np.append(-np.inf, np.append(ndtri(np.arange(1, bins) / bins), np.inf))
    below = ndtr((edges[None, None, :] - r * inside[..., None]) / np.sqrt(1.0 - r**2))
    given = np.diff(below, axis=-1).mean(axis=1)
    return float(np.mean(np.sum(given * np.log(given * bins), axis=1)))


@pytest.mark.parametrize("r", [0.9, 0.6])
def test_what_it_gains_is_the_information_within_kinds(r: float) -> None:
    """Kinds on top of one another, with correlations that cancel: I(x; y | kind), at most -log(1 - r^2) / 2."""
    rng = np.random.default_rng(0)

    def table(n: int) -> pd.DataFrame:
        kind = rng.integers(0, 2, n)
        one = rng.standard_normal(n)
        two = np.where(kind, r, -r) * one + np.sqrt(1.0 - r**2) * rng.standard_normal(n)
        sizes = {"a": one.round(2), "b": two.round(2)}
        return pd.DataFrame({"kind": np.array(["x", "y"])[kind], **sizes, "c": rng.standard_normal(n).round(2)})

    data = latens.load_data(table(4000), label="none", typed=True)
    made = counted(data)
    assert made.by == 0
    assert made.num_trees == 2
    fresh = latens.load_data(table(4000), schema=data.schema)
    gain = made.log_prob(fresh.x) - alone(fresh)
    exact = information(r, made.most)
    assert exact < -0.5 * np.log(1.0 - r**2) < exact + 0.06
    assert gain.mean() == pytest.approx(exact, abs=3.0 * gain.std() / np.sqrt(len(gain)) + 0.02)
    plain = counted(data, trees=1).log_prob(fresh.x) - alone(fresh)
    assert plain.mean() < 0.5 * exact  # over all kinds the numbers are uncorrelated


def test_draws_have_the_correlation_within_a_kind() -> None:
    data = shells(500, 1)
    made = counted(data)
    assert (made.by, made.most) == (0, 16)
    tree = made.put_in(TreeHead(made.types, made.most, made.num_trees))
    tree = tree(jnp.zeros(tree.num_outputs))
    draws = np.asarray(jax.jit(jax.vmap(lambda key: tree.sample(key=key)))(jax.random.split(jax.random.key(0), 4000)))
    names = data.schema.types[0].values
    for k in range(len(names)):
        own, real = draws[draws[:, 0] == k], data.x[data.x[:, 0] == k]
        assert np.corrcoef(own[:, 1], own[:, 2])[0, 1] > 0.75
        assert np.corrcoef(real[:, 1], real[:, 2])[0, 1] > 0.85
        assert abs(own[:, 1].mean() - real[:, 1].mean()) < 0.3 * real[:, 1].std()
    fresh = latens.load_data(as_frame(shells(500, 2).x, shells(500, 2).schema), schema=data.schema)
    coarse = counted(data, parts=1, trees=1)
    assert (made.log_prob(fresh.x) - coarse.log_prob(fresh.x)).mean() > 0.2


@pytest.mark.parametrize("seed", range(4))
def test_columns_of_chance_have_neither(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "kind": rng.choice(["a", "b", "c"], 400),
            "x": rng.gamma(2.0, 9.0, 400).round(1),
            "y": rng.standard_normal(400).round(2),
            "z": rng.choice(["p", "q", "r", "s"], 400),
        }
    )
    made = counted(latens.load_data(frame, label="none", typed=True))
    assert (made.by, made.most) == (None, BINS)


def test_a_tree_of_kinds_is_a_distribution() -> None:
    """All rows of a small grid, and those of which cells are missing, sum to what they should."""
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 2, 900)
    x = np.clip(rng.normal(6.0 + 5.0 * kind, 2.0).round(), 0, 17)
    y = np.clip((x * np.where(kind, 1.0, -1.0) + 12.0 + rng.normal(0.0, 1.0, 900)).round(), 0, 25)
    frame = pd.DataFrame({"kind": np.array(["u", "v"])[kind], "x": x.astype(int), "y": y.astype(int)})
    made = counted(latens.load_data(frame, label="none", typed=True))
    assert made.by == 0
    cells = [np.arange(one.cells if one.kind != "category" else one.count, dtype=float) for one in made.types]
    every = np.array(list(itertools.product(*cells)))
    log = made.log_prob(every)
    assert np.exp(log).sum() == pytest.approx(1.0, abs=1e-5)
    mask = np.array([[False, True, True]])
    row = every[len(every) // 3 : len(every) // 3 + 1]
    fits = np.all(every[:, 1:] == row[:, 1:], axis=1)
    assert made.log_prob(row, mask)[0] == pytest.approx(np.log(np.exp(log[fits]).sum()), abs=1e-5)


def test_a_normal_gives_the_rectangles_of_its_distribution_function() -> None:
    types = tuple(ColumnType("number", starts=tuple(range(60)), size=60, shares=(1 / 60,) * 60) for _ in range(2))
    level = Level.of(types, [bins_of(one) for one in types], BINS)
    normal = Normal(np.array([0.4, -0.3]), np.array([0.8, 0.7]), np.array([[1.0, 0.7], [0.7, 1.0]]))
    scored = np.ones(2, bool)
    own = np.diff(np.clip(level.edges, -9.0, 9.0), axis=1)
    found = normal.given(level, 0, scored, level.shares)[1]
    covariance = np.outer(normal.scale, normal.scale) * normal.correlation
    edges = np.clip(level.edges, -9.0, 9.0)
    law = multivariate_normal(normal.mean, covariance)
    upto = np.array([[law.cdf([a, b]) for b in edges[1]] for a in edges[0]])
    exact = np.diff(np.diff(upto, axis=0), axis=1)
    exact = exact / exact.sum(axis=1, keepdims=True)
    assert own.shape == (2, BINS)
    # Within a bin of the parent some places stand for all; the outermost bins are wide.
    assert np.abs(found - (1.0 - PLAIN) * exact - PLAIN * level.shares[1])[1:-1].max() < 0.02
    shares = np.diff(np.array([law.cdf([9.0, b]) for b in edges[1]]))
    assert np.allclose(normal.bins(level, scored)[1], (1.0 - PLAIN) * shares + PLAIN * level.shares[1], atol=1e-4)


def test_finer_bins_lie_within_the_coarse_ones() -> None:
    one = ColumnType("number", starts=tuple(range(200)), size=200, shares=(1 / 200,) * 200)
    low = bins_of(one)
    high = cut_finer(one, low, 4)
    assert high.max() == 31
    assert np.ptp(np.bincount(high)) <= 2
    assert all(len(np.unique(low[high == b])) == 1 for b in range(32))
    names = ColumnType("category", values=("a", "b"), shares=(0.5, 0.5))
    np.testing.assert_array_equal(cut_finer(names, np.arange(2), 4), np.arange(2))


def _counted(data: Dataset, weight: np.ndarray | None = None, again: int = 1) -> Counted:
    types = data.schema.types or ()
    segments = np.stack([np.searchsorted(one.firsts, data.x[:, j], side="right") - 1 for j, one in enumerate(types)], 1)
    low = Level.of(types, [bins_of(one) for one in types], BINS)
    high = Level.of(types, [cut_finer(one, own, 4) for one, own in zip(types, low.bins)], 4 * BINS)
    own = np.ones(len(segments)) if weight is None else weight
    cells = Cells(
        np.tile(segments, (again, 1)), np.ones((again * len(segments), len(types)), bool), np.tile(own, again), types
    )
    return Counted(cells, (low, high), 0, 15.0)


def test_a_row_of_weight_two_is_two_rows() -> None:
    data = shells(120, 3)
    heavy, twice = _counted(data, np.full(120, 2.0)), _counted(data, again=2)
    for one, other in zip(heavy.edges(1) + heavy.roots(), twice.edges(1) + twice.roots()):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_every_conditional_sums_to_one_at_both_levels() -> None:
    made = _counted(shells(200, 4))
    for way, ratios in enumerate(made.edges(1)):
        level = made.levels[way % 2]
        whole = (np.exp(ratios) * level.shares[:, None, :]).sum(axis=-1)
        np.testing.assert_allclose(whole[:, [0, 2, 3]], 1.0, atol=1e-6)
    for ratios, level in zip(made.roots(), (made.levels[0], *made.levels)):
        np.testing.assert_allclose((np.exp(ratios) * level.shares).sum(axis=-1), 1.0, atol=1e-6)


def test_many_rows_outweigh_the_normal_between_coarse_bins() -> None:
    """Of two numbers on a circle the coarse bins are as counted, within the shrinkage."""
    rng = np.random.default_rng(5)
    angle = rng.uniform(0.0, 2.0 * np.pi, 6000)
    frame = pd.DataFrame(
        {"kind": rng.choice(["a", "b"], 6000), "x": np.cos(angle).round(2), "y": np.sin(angle).round(2)}
    )
    data = latens.load_data(frame, label="none", typed=True)
    made = _counted(data)
    low, high = made.levels
    fine = np.exp(made.edges(1)[1][0, 2]) * high.shares[2]
    up = made._up[0]
    weights = np.zeros((BINS, BINS))
    np.add.at(weights, (up[1][:, None], up[2][None, :]), high.shares[1][:, None] * fine)
    coarse = np.exp(made.edges(1)[0][0, 2]) * low.shares[2] * low.shares[1][:, None]
    assert np.abs(weights - coarse).max() < 0.01
    assert coarse[0, 0] < 0.3 / BINS**2 < 1.0 / BINS**2 < coarse[0, BINS // 2]


@pytest.mark.parametrize("gaps", [0.0, 0.04])
def test_the_model_begins_at_the_tree_of_kinds(gaps: float) -> None:
    data = shells(300, 6, gaps=gaps)
    config, reasons = resolve(get_recipe("default").config, data)
    assert config.likelihood.options == {"bins": 16, "trees": 3}
    assert any("each name of 'kind' has one of its own" in reason for reason in reasons)
    experiment = prepare(config, data)
    model = started_from(experiment.new_model(), experiment.data, preparation(data.schema, bind(config)), begun=1.0)
    x, mask, weight = training_rows(experiment.data)
    made = fit_tree(x, mask, data.schema.types or (), weight=weight)
    shown = np.ones(x.shape, bool) if mask is None else mask
    cells = jnp.asarray(np.where(shown, x, 0), jnp.float32)
    z = jnp.asarray(np.random.default_rng(0).standard_normal(config.posterior.latent_dim), jnp.float32)
    found = eqx.filter_jit(lambda m: jax.vmap(m.decoder(z).log_prob_observed)(cells, jnp.asarray(shown)))(model)
    np.testing.assert_allclose(found, made.log_prob(x, mask), atol=1e-4)


def test_what_is_asked_for_bounds_bins_and_trees() -> None:
    data = shells(300, 6)
    assert counted(data, parts=1).most == BINS
    assert counted(data, trees=1).by is None
    assert counted(data, trees=2).by != 0  # three kinds are more than two
    made = counted(data, parts=2, trees=4)
    assert (made.most, made.num_trees) == (16, 3)
    wide = made.put_in(TreeHead(made.types, 32, 4))
    rows = jnp.asarray(data.x[:20], jnp.float32)
    found = jax.vmap(wide(jnp.zeros(wide.num_outputs)).log_prob)(rows)
    np.testing.assert_allclose(found, made.log_prob(data.x[:20]), atol=1e-4)


def test_a_later_name_has_the_tree_of_the_most_frequent_one() -> None:
    made = counted(shells(300, 6))
    usual = int(np.argmax(made.types[0].shares))
    assert made.tree_of is not None
    assert made.tree_of.tolist() == [0, 1, 2] + [usual] * (made.most - 3)


def test_scores_of_a_level_are_quantiles() -> None:
    one = ColumnType("number", starts=tuple(range(80)), size=80, shares=(1 / 80,) * 80)
    level = Level.of([one], [bins_of(one)], BINS)
    np.testing.assert_allclose(level.edges[0, 1:-1], ndtri(np.arange(1, BINS) / BINS), atol=1e-9)
    assert level.edges[0, 0] == -np.inf
    assert level.edges[0, -1] == np.inf
    assert level.places.shape[-1] == kinds.INSIDE


def test_the_page_of_a_table_is_coloured_by_its_kinds_where_latents_say_nothing() -> None:
    data = shells(300, 6)
    trained = train(prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    manifest = json.loads(payload(trained, data, with_model=False)["data/manifest.json"])
    assert manifest["columns"][manifest["colour"]]["name"] == "kind"
