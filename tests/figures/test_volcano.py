"""Fold changes against how sure they are: the surest genes are named, what is cut is marked."""

import numpy as np
import pytest
from matplotlib.text import Annotation, Text

from latens.figures.volcano import MOST, NAMED, _cross, _meets, surest, volcano


def drawn(p: np.ndarray, x: np.ndarray):
    names = [f"g{j:02d}" for j in range(len(p))]
    ax, table = volcano(x, p, p < 0.05, names, ("T", "B"), delta=0.25)
    said = {text.get_text(): text for text in ax.texts if isinstance(text, Annotation)}
    return ax, table, said


def test_the_surest_are_named_first_and_among_equals_those_that_change_most() -> None:
    fold = np.array([5.0, 1.0, -2.0, 3.0, 0.5])
    unchanged = np.array([1e-3, 1e-20, 1e-30, 1e-9, 1e-40])
    # 1e-20, 1e-30 and 1e-40 lie on the line of those cut: they are equally sure there.
    assert surest(fold, unchanged, np.array([True, True, True, True, False])) == [2, 1, 3, 0]
    many = surest(np.arange(40.0), np.full(40, 1e-4), np.ones(40, bool))
    assert many == list(range(39, -1, -1))


def test_a_large_change_that_is_not_sure_takes_no_name_from_a_sure_one() -> None:
    x = np.concatenate([np.linspace(6, 8, 30), np.linspace(1.5, 3.5, NAMED)])
    p = np.concatenate([np.full(30, 0.01), 10.0 ** -np.linspace(5, 14, NAMED)])
    _, _, said = drawn(p, x)
    assert set(said) == {f"g{j:02d}" for j in range(30, 30 + NAMED)}


def test_what_is_cut_is_marked() -> None:
    x, p = np.array([1.0, -1.0, 2.0]), np.array([1e-4, 1e-40, 1e-15])
    ax, table, said = drawn(p, x)
    assert f"{MOST} and more" in said
    assert table["unchanged"].tolist() == p.tolist()
    places = {tuple(at) for points in ax.collections for at in np.asarray(points.get_offsets()).round(6).tolist()}
    assert places == {(1.0, 4.0), (-1.0, 15.0), (2.0, 15.0)}
    assert max(ax.get_yticks()) < MOST
    ax, _, said = drawn(np.array([1e-4, 1e-14]), np.array([1.0, 2.0]))
    assert f"{MOST} and more" not in said


def test_names_lie_apart_and_have_a_line_where_they_are_moved() -> None:
    rng = np.random.default_rng(0)
    x, p = 2.0 + 0.02 * rng.normal(size=12), 10.0 ** -(8 + 0.1 * rng.random(12))
    ax, _, said = drawn(p, x)
    ax.figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in said.values()]  # without the line
    assert len(boxes) > 6
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    far = [np.hypot(*text.xyann) for text in said.values()]
    lines = [text.arrow_patch is not None for text in said.values()]
    assert any(lines)
    assert min(f for f, line in zip(far, lines) if line) > 10.0
    one = drawn(np.array([1e-9, 0.5]), np.array([1.0, -1.0]))[2]["g00"]
    assert one.arrow_patch is None
    assert np.hypot(*one.xyann) == pytest.approx(6.0 + 2.6 * 3 + 2.0, abs=1e-6)


def test_the_picture_names_the_genes_that_a_list_begins_with() -> None:
    x, p = np.linspace(1, 4, 30), 10.0 ** -np.linspace(2, 14, 30)
    order = np.random.default_rng(0).permutation(30)
    ax, _ = volcano(x, p, p < 1.0, [f"g{j:02d}" for j in range(30)], ("T", "B"), delta=0.25, order=order)
    said = {text.get_text() for text in ax.texts if isinstance(text, Annotation)}
    assert said == {f"g{j:02d}" for j in order[:NAMED]}


def test_names_at_the_line_of_those_cut_have_room_and_their_lines_do_not_cross() -> None:
    x, p = np.concatenate([np.linspace(-4, -1, 6), np.linspace(1, 4, 6)]), np.full(12, 1e-30)
    ax, _, said = drawn(p, x)
    assert len(said) == 13  # all names, and what the line is
    assert ax.get_ylim()[1] > 1.25 * MOST
    ax.figure.canvas.draw()
    boxes = {name: Text.get_window_extent(text) for name, text in said.items()}
    assert not any(a.overlaps(b) for m, a in boxes.items() for n, b in boxes.items() if m != n)
    ends = [(ax.transData.transform(t.xy), ax.transData.transform(t.xy) + np.array(t.xyann) * ax.figure.dpi / 72)
            for t in said.values() if t.arrow_patch is not None]  # fmt: skip
    assert not any(_cross(one, two) for i, one in enumerate(ends) for two in ends[:i])


def test_crowded_names_at_the_line_stand_upright_side_by_side() -> None:
    """Twelve sure genes from 1.8 to 2.2, as many of which have a name as there is room for, the first of the list."""
    x, p = np.concatenate([[-4.0, 4.0], np.linspace(1.8, 2.2, 10)]), np.full(12, 1e-30)
    ax, _, said = drawn(p, x)
    ax.figure.canvas.draw()
    line = ax.transData.transform((0.0, MOST))[1]
    boxes = {name: Text.get_window_extent(text) for name, text in said.items() if name != f"{MOST} and more"}
    assert 3 <= len(boxes) < 12
    assert {"g00", "g01"} <= set(boxes)
    assert not any(a.overlaps(b) for m, a in boxes.items() for n, b in boxes.items() if m != n)
    assert all(box.y0 > line and box.y1 < ax.bbox.y1 for box in boxes.values())


def test_lines_that_cross_and_boxes_that_they_meet() -> None:
    o, a, b, c = (np.array(at, float) for at in ((0, 0), (2, 2), (0, 2), (2, 0)))
    assert _cross((o, a), (b, c))
    assert not _cross((o, b), (c, a))
    half = np.array([0.5, 0.5])
    assert _meets(o, a, np.array([1.0, 1.0]), half)
    assert not _meets(o, a, np.array([2.0, 0.0]), half)
    assert not _meets(o, np.array([0.4, 0.4]), np.array([1.0, 1.0]), half)
    assert not _meets(o, b, np.array([1.0, 1.0]), half)


def test_fifty_five_genes_give_fifteen_names_in_the_order_of_the_list() -> None:
    """On the line there is room for few upright names: genes farther down the list take the others."""
    x = np.concatenate([np.linspace(1.8, 2.2, 20), np.linspace(-2.5, -0.6, 20), np.linspace(0.6, 1.7, 15)])
    p = np.concatenate([np.full(20, 1e-30), 10.0 ** -np.linspace(14, 2, 20), 10.0 ** -np.linspace(2, 13, 15)])
    _, _, said = drawn(p, x)
    names = [name for name in said if name.startswith("g")]
    assert len(names) == NAMED == 15
    assert 3 <= sum(int(name[1:]) < 20 for name in names) < 15


def test_no_words_cross_a_dashed_line() -> None:
    x = np.concatenate([np.linspace(0.27, 0.5, 10), [3.0, 2.5]])
    ax, _, said = drawn(10.0 ** -np.concatenate([np.linspace(14, 2, 10), [30, 20]]), x)
    ax.figure.canvas.draw()
    assert len(said) > 6
    boxes = {name: Text.get_window_extent(text) for name, text in said.items()}
    for at in (-0.25, 0.25):
        line = ax.transData.transform((at, 0.0))[0]
        assert [name for name, box in boxes.items() if box.x0 < line < box.x1] == []
    dotted = ax.transData.transform((0.0, MOST))[1]
    assert [name for name, box in boxes.items() if box.y0 < dotted < box.y1] == []
    assert not any(a.overlaps(b) for m, a in boxes.items() for n, b in boxes.items() if m != n)


def test_a_picture_with_nothing_called_says_so() -> None:
    x, p = np.linspace(-0.2, 0.2, 9), np.full(9, 0.9)
    ax, _, said = drawn(p, x)
    assert ax.get_title("left") == "T against B: no gene changes beyond 0.25"
    assert said == {}
    ax, _, _ = drawn(np.where(x > 0.1, 1e-3, p), x)
    assert ax.get_title("left") == "T against B"
