"""Every word of a figure lies inside it, no two lie over each other, and axes run as they should."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from latens.errors import DataError
from latens.figures import latent_scatter, linear_grid, marginals, tables, training_curves
from latens.figures.curves import bands
from latens.figures.latent import two_views
from latens.figures.style import figure_of, laid_out
from latens.figures.tables import correlations
from latens.model_figures.model_graph import PartBox, model_diagram

CREDIT = ["AccountStatus", "Duration", "CreditHistory", "Purpose", "CreditAmount", "Savings", "EmploymentSince"]
CREDIT += ["InstallmentRate", "PersonalStatus", "OtherDebtors", "ResidenceSince", "Property", "Age"]
CREDIT += ["OtherInstallments", "Housing", "ExistingCredits", "Job", "Dependents", "Telephone", "Foreign", "Class"]


def faults(axes) -> list[str]:
    """Words that leave the figure, and pairs of words that lie over each other."""
    figure, beyond = figure_of(axes), set()
    with laid_out(figure):
        figure.draw_without_rendering()
        for ax in figure.axes:
            for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
                for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                    if not min(limits) <= tick.get_loc() <= max(limits):  # not drawn
                        beyond |= {tick.label1, tick.label2}
        words = [text for text in figure.findobj(Text) if text.get_text().strip() and text not in beyond]
        boxes = [(text.get_text(), text.get_window_extent()) for text in words]
        whole = figure.bbox.padded(1)
        found = [
            f"{word} leaves" for word, box in boxes if not all(whole.contains(*corner) for corner in box.corners())
        ]
        for (word, box), (other, beside) in itertools.combinations(boxes, 2):
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            if across > 2 and min(box.y1, beside.y1) - max(box.y0, beside.y0) > 2:
                found.append(f"{word} over {other}")
    return found


def test_names_of_columns_lie_inside() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 14))
    assert faults(correlations(rows, rows, CREDIT[:14])[0]) == []


def test_axes_run_right_and_up_and_two_views_share_theirs() -> None:
    rows, grid = np.random.default_rng(0).normal(size=(20, 2)), linear_grid(3) + np.array([0.0, 9.0])
    views = two_views(rows, np.zeros((3, 3, 4, 5)), grid)
    assert [views[0].get_xlim(), views[0].get_ylim()] == [views[1].get_xlim(), views[1].get_ylim()]
    whole = model_diagram([PartBox("encoder", "x", "", (4,)), PartBox("decoder", "x", "", (4,))])[0]
    for ax in (*views, whole, latent_scatter(rows), *marginals(rows, rows, "ab"), *bands(rows[:3], rows[None, :3])[0]):
        assert (ax.xaxis_inverted(), ax.yaxis_inverted()) == (False, False), ax.get_title(loc="left")


def test_titles_of_curves_stand_beside_notes_with_long_numbers() -> None:
    epoch = np.append(np.arange(1.0, 45), 44.74)
    values = {"elbo": -12063.949, "log_likelihood": -11997.08, "kl": 66.87}
    history = {
        f"{split}_{term}": value + np.sin(epoch) for split in ("train", "validation") for term, value in values.items()
    }
    assert faults(training_curves({"epoch": epoch} | history, best=44, mark="kept")) == []


def words(axes) -> list[str]:
    return [one.get_text() for ax in np.atleast_1d(np.asarray(axes, object)) for one in ax.texts]


def test_columns_of_text_stand_side_by_side_or_below_one_another() -> None:
    axes, table = tables.text_columns([["anna", "$x$"], ["b"]], ["rows", "new"])
    assert table["column"].tolist() == ["rows", "rows", "new"]
    assert table["place"].tolist() == [0, 1, 0]
    assert table["text"].tolist() == ["anna", "$x$", "b"]
    assert words(axes) == ["rows", "anna", r"\$x\$", "new", "b"]
    places = {one.get_text(): one.get_position() for one in axes.texts}
    assert places["new"][1] == places["rows"][1]
    assert places["new"][0] > places["rows"][0]
    long = "y" * 60
    axes, _ = tables.text_columns([[long], [long + "z"]], ["rows", "new"])
    places = {one.get_text(): one.get_position() for one in axes.texts}
    assert places["new"][0] == places["rows"][0]
    assert places["new"][1] > places[long][1]
    with pytest.raises(DataError, match="Give a name for each"):
        tables.text_columns([["a"]], ["a", "b"])
