"""The picture of the tree of columns: its numbers by enumeration, and when it takes the place of latents."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.errors import DataError
from latens.figures.column_tree import MOST, column_tree
from latens.models.heads.tree import TreeHead, edges_of
from latens.pictures.alternatives import column_tree as words_of
from latens.pictures.draw import draw_pictures
from latens.recipes import get_recipe


def three() -> latens.Dataset:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2, 200)
    b, c = (a + (rng.random(200) < 0.2)) % 2, rng.integers(0, 2, 200)
    frame = pd.DataFrame({"a": a, "b": b, "c": c}).replace({0: "no", 1: "yes"})
    return latens.load_data(frame, label="none")


def test_nats_of_edges_are_those_of_the_joint_table() -> None:
    types = three().schema.types or ()
    head = TreeHead(types).with_tree(np.array([0, 0, 1]), np.array([0, 1, 2]), _ratios((3, 2, 2)))
    tree = head(jnp.zeros(head.num_outputs))
    cells = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)], np.float32)
    p = np.exp([float(tree.log_prob(jnp.asarray(cell))) for cell in cells]).reshape(2, 2, 2)
    assert p.sum() == pytest.approx(1.0, abs=1e-5)
    parents, nats = edges_of(head)
    assert parents.tolist() == [0, 0, 1]
    assert nats == pytest.approx([0.0, _information(p.sum(2)), _information(p.sum(0))], abs=1e-6)


def test_of_a_tree_for_each_name_they_are_means_over_the_names() -> None:
    types = three().schema.types or ()
    head = TreeHead(types, num_trees=2).with_tree(
        np.array([0, 1, 1]), np.array([0, 1, 2]), _ratios((2, 3, 2, 2)), by=0, tree_of=np.arange(head_bins(types))
    )
    parents, nats = edges_of(head)
    tree = head(jnp.zeros(head.num_outputs))
    cells = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)], np.float32)
    p = np.exp([float(tree.log_prob(jnp.asarray(cell))) for cell in cells]).reshape(2, 2, 2)
    assert parents.tolist() == [0, 0, 1]  # b is a root that depends on which tree holds
    given = sum(w * _information(one / w) for w, one in zip(p.sum((1, 2)), p))
    assert nats == pytest.approx([0.0, _information(p.sum(2)), given], abs=1e-6)


def head_bins(types: tuple) -> int:
    return TreeHead(types).most


def _ratios(shape: tuple[int, ...]) -> np.ndarray:
    head = TreeHead(three().schema.types or ())
    full = np.zeros((*shape[:-2], head.most, head.most), np.float32)
    full[..., :2, :2] = np.random.default_rng(1).normal(size=shape)
    full[..., 0, :, :] = 0.0  # of the first column, which is a root
    if len(shape) == 4:
        full[:, 1] = full[:, 1, :1]  # of a root: the same whatever the row
    return full


def _information(p: np.ndarray) -> float:
    return float((p * np.log(p / np.outer(p.sum(1), p.sum(0)))).sum())


def test_the_outline_has_each_column_below_its_own() -> None:
    names, parents = ["a", "b", "c", "d", "e"], np.array([0, 0, 1, 0, 4])
    made = column_tree(names, parents, np.array([0.0, 0.5, 0.2, 0.9, 0.0]))
    assert made is not None
    ax, table = made
    assert table["said_by"].tolist() == ["", "a", "b", "a", ""]
    lines = {text.get_text(): text.get_position() for text in ax.texts if text.get_text() in names}
    assert sorted(lines, key=lambda name: lines[name][1]) == ["a", "d", "b", "c", "e"]  # the strongest first
    deep = [lines[name][0] for name in names]
    assert deep[0] == deep[4] < deep[1] == deep[3] < deep[2]
    assert words_of(table).startswith("A tree of 5 columns; the strongest: d by a, 0.90 nats, b by a, 0.50 nats")
    bars = sorted(patch.get_width() for patch in ax.patches)
    assert np.array(bars) / bars[-1] == pytest.approx([0.2 / 0.9, 0.5 / 0.9, 1.0])
    assert column_tree(names, np.arange(5), np.zeros(5)) is None
    many = np.zeros(MOST + 1, int)
    assert column_tree([str(i) for i in many], many, many * 0.1) is None
    with pytest.raises(DataError, match="in a ring"):
        column_tree(names, np.array([1, 0, 2, 2, 2]), np.ones(5))


def test_it_takes_the_place_of_latents_that_say_nothing() -> None:
    data, asked = three(), ["latent", "units", "aggregated-posterior", "latent-density", "graph", "column-tree"]
    for start, expected in (("closed-form", ["column-tree"]), ("none", ["latent", "latent-density", "graph"])):
        config = override(get_recipe("default").config, {"training.steps": 2, "start.kind": start})
        trained = latens.train(latens.prepare(config, data))[0]
        drawn = {name for name, *_ in draw_pictures(trained, data, only=asked)}
        assert set(expected) <= drawn
        assert ("latent" in drawn) is (start == "none")
        assert ("column-tree" in drawn) is (start != "none")
