"""What columns say about a column, against the table of all rows by quadrature over the latent."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from scipy.stats import hypergeom

import latens
from latens.config import override
from latens.data import Column, Dataset, Preparation, Schema
from latens.data.columns import ColumnType
from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.heads.table import TableInput
from latens.models.heads.tree import BINS, TreeHead
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import says_nothing, tree_alone
from latens.workflow.explain import (
    BY_CHANCE,
    Explained,
    _beyond_orders,
    _in_rows,
    effect,
    explain,
    groups_of,
    information,
    mean_texts,
    means_of,
    ranges_of,
)
from latens.workflow.trained import TrainedModel

TYPES = (
    ColumnType("category", values=("a", "b", "c"), shares=(0.5, 0.3, 0.2)),
    ColumnType("number", size=6, starts=(0, 1, 4), shares=(0.3, 0.3, 0.4)),
    ColumnType("category", values=("x", "y"), shares=(0.6, 0.4)),
)
SCHEMA = Schema((3,), "mixed", columns=tuple(map(Column, ("kind", "size", "side"))), types=TYPES)
SIZES = (3, 6, 2)
EVERY = np.array(list(itertools.product(*map(range, SIZES))), np.float32)
GRID = np.linspace(-7.0, 7.0, 281)


class Tilt(eqx.Module):
    """Outputs that are linear in one latent."""

    weight: jax.Array

    def __call__(self, z: Any) -> Any:
        return self.weight * z.reshape(-1)[0]


def trained(scale: float, linked: float = 1.0) -> TrainedModel:
    """Three columns, the second hanging from the third, tilted by one latent of strength `scale`."""
    rng = np.random.default_rng(0)
    ratios = np.zeros((3, BINS, BINS))
    ratios[1, :2, :3] = linked * np.outer([-1.0, 1.0], [-1.0, 0.0, 1.0])  # sizes rise with the side
    head = TreeHead(TYPES).with_tree(np.array([0, 2, 2]), np.array([2, 0, 1]), ratios)
    weight = scale * jnp.asarray(rng.normal(size=head.num_outputs), jnp.float32)
    encoder = Conditional(lambda x: jnp.array([0.4, 0.1]) + 0.0 * x[:2], NormalHead((1,)), TableInput(TYPES))
    model = LatentModel(StandardNormal((1,)), encoder, Conditional(Tilt(weight), head))
    return TrainedModel(model, SCHEMA, Preparation())


def exact(one: Any, j: int, t: int) -> float:
    """The mutual information of two columns by the trapezoid rule over z and all rows, the second by its groups."""
    log_p = jax.jit(jax.vmap(lambda z: jax.vmap(one.model.likelihood(z).log_prob)(jnp.asarray(EVERY))))
    weight = np.exp(-0.5 * GRID**2)
    rows = np.exp(np.asarray(log_p(jnp.asarray(GRID[:, None], jnp.float32)), np.float64))
    table = ((weight / weight.sum()) @ rows).reshape(SIZES)
    joint = table.sum(axis=({0, 1, 2} - {j, t}).pop())
    joint = joint.T if j < t else joint
    groups = np.add.reduceat(joint, ranges_of(TYPES[t])[0].astype(int), axis=0)
    return information(groups)


def nats(found: Explained) -> dict[str, tuple[float, float]]:
    return {name: (one.value, one.standard_error) for name, one in found.columns}


def test_a_tree_is_told_exactly() -> None:
    one = trained(0.0)
    found = nats(explain(one, "side", effective=1.0))
    assert found["size"][0] == pytest.approx(exact(one, 1, 2), abs=1e-5)
    assert found["kind"][0] == pytest.approx(0.0, abs=1e-5)
    assert exact(one, 1, 2) > 0.02


def test_a_tree_whose_latents_say_nothing_is_exact_by_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 400)
    frame = pd.DataFrame(
        {"side": np.array(["l", "r"])[side], "size": side + rng.integers(0, 3, 400), "age": rng.integers(20, 90, 400)}
    )
    data = latens.load_data(frame, label="none")
    config = override(get_recipe("default").config, {"training.steps": 1})
    first = latens.train(latens.prepare(config, data))[0]
    tree = TrainedModel(tree_alone(first.model), first.schema, first.preparation)
    assert says_nothing(tree.model)
    looked: list[int] = []
    monkeypatch.setattr("latens.workflow.explain.reached", lambda at, *_: looked.append(at))
    once = nats(explain(tree, "size"))
    assert len(looked) == 1
    monkeypatch.setattr("latens.workflow.explain.says_nothing", lambda model: False)
    often = nats(explain(tree, "size"))
    assert len(looked) == 1 + 8
    assert {name: value for name, (value, _) in once.items()} == pytest.approx(
        {name: value for name, (value, _) in often.items()}, abs=1e-6
    )
    assert once["side"][0] > 0.1
    assert {error for _, error in once.values()} == {0.0}


@pytest.mark.parametrize("target", [0, 1, 2])
def test_a_latent_is_told_within_the_error(target: int) -> None:
    one = trained(1.0)
    names = ("kind", "size", "side")
    result = explain(one, names[target], effective=300.0)
    for j in {0, 1, 2} - {target}:
        value, error = nats(result)[names[j]]
        assert error < 0.02
        assert abs(value - exact(one, j, target)) < 4.0 * error + 1e-4
    assert [one.value for _, one in result.columns] == sorted((one.value for _, one in result.columns), reverse=True)


def test_information_by_hand() -> None:
    assert information(np.diag([0.5, 0.5])) == pytest.approx(np.log(2.0))
    assert information(np.outer([0.2, 0.8], [0.1, 0.3, 0.6])) == pytest.approx(0.0, abs=1e-12)
    assert information(7.0 * np.diag([0.25, 0.75])) == pytest.approx(-0.25 * np.log(0.25) - 0.75 * np.log(0.75))


def test_what_there_is_to_say_is_the_entropy() -> None:
    found = explain(trained(0.0, linked=0.0), "kind", effective=1.0)
    assert found.entropy == pytest.approx(-sum(p * np.log(p) for p in TYPES[0].shares), abs=1e-4)
    assert found.said == ""
    assert explain(trained(0.0), "size", effective=1.0).said == ", as one of 3 ranges of like mass"


def test_a_number_is_asked_for_by_ranges_of_like_mass() -> None:
    shares = np.full(100, 0.01)
    one = ColumnType("number", size=200, starts=tuple(range(0, 200, 2)), shares=tuple(shares))
    first, last = ranges_of(one)
    assert len(first) == 16
    assert (first[0], last[-1]) == (0, 199)
    np.testing.assert_array_equal(first[1:], last[:-1] + 1)
    assert max(last - first) <= 13


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"there is no column 'sise'.*Did you mean 'size'"):
        explain(trained(0.0), "sise")


def test_which_way_a_column_moves_the_target() -> None:
    """Shares of the rarer name, and means over ranges, of tables that are written down."""
    kind, size, side = TYPES[0], replace(TYPES[1], written="int"), TYPES[2]
    # p(y | a, b, c) = 0.1, 0.5, 0.9 with masses 0.5, 0.3, 0.2.
    masses, rates = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.5, 0.9])
    table = np.stack([masses * (1 - rates), masses * rates])
    assert effect(table, kind, "kind", side, "side") == "side is y in 90 % where kind is c, 10 % where it is a"
    rare = table * np.array([1.0, 1.0, 0.02])  # what a hundredth of the rows lacks is not told
    assert effect(rare, kind, "kind", side, "side") == "side is y in 50 % where kind is b, 10 % where it is a"
    # The ranges of sizes are 0, 1 to 3 and 4 to 5, in the middle 0, 2 and 4.5: 3.5 and 0.9 in the mean.
    sizes = np.array([[0.1, 0.6], [0.3, 0.1], [0.6, 0.3]]) * 0.5
    sizes[:, 0] = 0.5 * np.array([0.1, 0.2, 0.7])
    sizes[:, 1] = 0.5 * np.array([0.6, 0.35, 0.05])
    alike = np.array([[0.102, 0.098, 0.1], [0.9, 0.9, 0.9]]) / 3
    assert effect(alike, kind, "kind", side, "side") == ""  # 10 % where it is a, 10 % where it is b
    words = effect(sizes, side, "side", size, "size")
    assert words == "size is on average about 3.5 where side is x, 0.9 where it is y"
    np.testing.assert_allclose(means_of(size), [0.0, 2.0, 4.5])


def test_the_same_numbers_are_counted_in_the_rows() -> None:
    """Beside the model's shares and means stand those of the rows, and "only" where they differ by less than half."""
    kind, size, side = TYPES[0], replace(TYPES[1], written="int"), TYPES[2]
    masses, rates = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.5, 0.9])
    table = np.stack([masses * (1 - rates), masses * rates])
    kinds = np.repeat([0.0, 1.0, 2.0], 20)
    for share, words in ((0.9, "90 % and 10 %"), (0.45, "only 45 % and 10 %")):
        sides = np.concatenate([np.arange(20) < 2, np.arange(20) < 10, np.arange(20) < 20 * share]).astype(float)
        told = effect(table, kind, "kind", side, "side", (sides, kinds))
        assert told == f"side is y in 90 % where kind is c, 10 % where it is a (in the rows {words})"
    sizes = np.array([[0.1, 0.6], [0.3, 0.1], [0.6, 0.3]]) * 0.5
    sizes[:, 0] = 0.5 * np.array([0.1, 0.2, 0.7])
    sizes[:, 1] = 0.5 * np.array([0.6, 0.35, 0.05])
    seen = np.repeat([5.0, 1.0], 12), np.repeat([0.0, 1.0], 12)
    assert effect(sizes, side, "side", size, "size", seen).endswith("0.9 where it is y (in the rows 5.0 and 1.0)")
    few = np.repeat([5.0, 1.0], 9), np.repeat([0.0, 1.0], 9)
    assert effect(sizes, side, "side", size, "size", few).endswith("0.9 where it is y")


@pytest.mark.parametrize(
    ("shares", "words"),
    [((2, 18), "the other way round, 10 % and 90 %"), ((6, 16), "the other way round, 30 % and 80 %"),
     ((9, 10), "only 45 % and 50 %"), ((7, 12), "only 35 % and 60 %")],
)  # fmt: skip
def test_what_the_rows_turn_round_is_said(shares: tuple[int, int], words: str) -> None:
    """From three standard errors on: of 20 rows each, 30 % and 80 % are 3.7 apart, 35 % and 60 % are 1.6."""
    table = np.array([[0.45, 0.05, 0.02], [0.05, 0.05, 0.38]])
    sides = np.concatenate([np.arange(20) < k for k in shares]).astype(float)
    told = effect(table, TYPES[0], "kind", TYPES[2], "side", (sides, np.repeat([2.0, 0.0], 20)))
    assert told.endswith(f"(in the rows {words})")


@pytest.mark.parametrize("turned", [True, False])
def test_a_column_that_says_the_opposite_in_the_rows_is_named(turned: bool) -> None:
    one = trained(1.5)
    rng, ids = np.random.default_rng(0), np.arange(3000)
    kind = rng.choice(3, 3000, p=[0.5, 0.3, 0.2])
    plain = explain(one, "side", effective=1.0).effects["kind"]
    more = plain[plain.index("where kind is ") + 14]
    high = "abc".index(more)
    side = (rng.random(3000) < np.where((kind == high) != turned, 0.9, 0.1)).astype(float)
    side = side if plain.startswith("side is y") else 1.0 - side
    x = np.stack([kind, rng.integers(0, 6, 3000), side], axis=1).astype(np.float32)
    rows = Dataset(x, one.schema, ids.astype(np.uint32), ids, np.zeros(3000, np.uint8), "rows")
    found = explain(one, "side", effective=1.0, rows=rows)
    assert ("kind" in found.turned) is turned
    assert not (turned and "kind" in found.missed)
    if turned:
        assert found.turned["kind"].startswith("side is ")


def test_a_number_is_told_by_quarters_of_its_rows() -> None:
    many = ColumnType("number", written="int", size=40, starts=tuple(range(0, 40, 2)), shares=(0.05,) * 20)
    found = groups_of(np.full(20, 0.05), many)
    assert [text for text, _ in found] == ["at most 9", "10 to 19", "20 to 29", "at least 30"]
    assert [len(own) for _, own in found] == [5, 5, 5, 5]
    few = ColumnType("number", written="int", size=3, starts=(0, 1, 2), shares=(0.2, 0.3, 0.5))
    assert [text for text, _ in groups_of(np.array([0.2, 0.3, 0.5]), few)] == ["0", "1", "2"]


def test_nothing_lies_between_values_that_recur() -> None:
    """Sizes of 4, 8, 16 and 32: what lies between them has next to no rows, and is no group."""
    sizes = ColumnType(
        "number", low=4.0, written="int", size=29, starts=(0, 1, 4, 5, 12, 13, 28),
        shares=(0.2, 0.0001, 0.4, 0.0001, 0.3, 0.0001, 0.0997),
    )  # fmt: skip
    assert [text for text, _ in groups_of(np.asarray(sizes.shares), sizes)] == ["4", "8", "16", "32"]
    wide = ColumnType("number", written="int", size=40, starts=tuple(range(0, 40, 2)), shares=(0.05,) * 20)
    holes = np.where(np.arange(20) % 2, 0.0999, 0.0001)
    assert [len(own) for _, own in groups_of(holes, wide)] == [2, 3, 2, 3]
    assert all(holes[own].min() > 0.05 for _, own in groups_of(holes, wide))


@pytest.mark.parametrize(("strength", "there"), [(0.0, False), (0.02, False), (0.2, True), (0.4, True)])
def test_what_goes_with_it_in_rows_alone_is_told(strength: float, *, there: bool) -> None:
    """The model holds kind and side apart; in the rows kind c has more of y."""
    one, told = trained(0.0), 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        kind = rng.choice(3, 1500, p=[0.5, 0.3, 0.2])
        side = (rng.random(1500) < 0.4 + strength * (kind == 2)).astype(float)
        x = np.stack([kind, rng.integers(0, 6, 1500), side], axis=1).astype(np.float32)
        ids = np.arange(1500)
        rows = Dataset(x, one.schema, ids.astype(np.uint32), ids, np.zeros(1500, np.uint8), "rows")
        found = explain(one, "side", effective=1.0, rows=rows)
        told += "kind" in found.missed
    assert told >= 7 if there else told <= 1
    if there:
        (words,) = found.missed.values()
        assert words.startswith("side is y in ")
        assert " where kind is c" in words


@pytest.mark.parametrize(("rate", "there"), [(0.01, False), (0.02, False), (0.06, True), (0.2, True)])
def test_what_goes_with_a_rare_name_in_rows_alone_is_told(rate: float, *, there: bool) -> None:
    """One row in a hundred is y, in kind c more often: a handful of rows, held against all orders of as many."""
    kinds = ColumnType("category", ("a", "b", "c"), shares=(0.6, 0.33, 0.07))
    sides, told = ColumnType("category", ("x", "y"), shares=(0.99, 0.01)), 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        kind = rng.choice(3, 2400, p=[0.6, 0.33, 0.07])
        side = rng.random(2400) < np.where(kind == 2, rate, 0.01)
        found = _in_rows((side.astype(float), kind.astype(float)), sides, kinds, BY_CHANCE / 2)
        told += found is not None
        if found is not None:
            counts = np.array([[np.mean((side == y) & (kind == k)) for k in range(3)] for y in (False, True)])
            np.testing.assert_allclose(found[1], counts)
            assert found[0] == pytest.approx(information(counts) - 2 / (2 * 2400))
    assert told >= 7 if there else told <= 1


@pytest.mark.parametrize("both", [4, 5, 6])
def test_orders_of_the_rows_are_those_of_fisher(both: int) -> None:
    """Of 12 rows with a name among 400, `both` of the 60 of a group: as likely as the hypergeometric law says."""
    cut = np.array([[340.0 - (12 - both), 12.0 - both], [60.0 - both, both]])
    nats, k = information(cut), np.arange(13)
    every = [information(np.array([[328.0 + n, 12.0 - n], [60.0 - n, n]])) for n in k]
    chance = float(hypergeom.pmf(k, 400, 60, 12)[np.array(every) >= nats - 1e-12].sum())
    assert _beyond_orders(cut, nats, 1.4 * chance)
    assert not _beyond_orders(cut, nats, 0.6 * chance)


def test_means_of_marks_have_a_decimal_more() -> None:
    marks = ColumnType("number", low=1.0, written="int", size=5, starts=(0, 1, 2, 3, 4), shares=(0.2,) * 5)
    assert mean_texts(marks, np.array([0.0, 2.34])) == ["1.0", "3.3"]
    assert mean_texts(replace(marks, size=101), np.array([0.0, 2.34])) == ["1", "3"]
    assert mean_texts(replace(marks, step=0.5, written="float"), np.array([2.5])) == ["2.25"]
