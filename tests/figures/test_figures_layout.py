"""Every word of a figure lies inside it, and no two lie over each other."""

import itertools

import numpy as np
from matplotlib.text import Text

from latens.figures import training_curves
from latens.figures.style import figure_of, laid_out
from latens.figures.tables import correlations

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


def test_titles_of_curves_stand_beside_notes_with_long_numbers() -> None:
    epoch = np.append(np.arange(1.0, 45), 44.74)
    values = {"elbo": -12063.949, "log_likelihood": -11997.08, "kl": 66.87}
    history = {
        f"{split}_{term}": value + np.sin(epoch) for split in ("train", "validation") for term, value in values.items()
    }
    assert faults(training_curves({"epoch": epoch} | history, best=44, mark="kept")) == []
