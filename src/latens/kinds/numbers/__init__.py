"""Rows of numbers: arrays in memory and in files, binary, in levels or real."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from latens.kinds.base import Kind, option


class Cells(NamedTuple):
    """What the cells of a kind hold."""

    words: str  # what each is
    high: float = math.inf
    whole: bool = False
    real: bool = False  # whether any real number may stand there; else none below 0
    pixel: bool = False  # whether x / high lies in [0, 1] as the shade of a pixel does
    grey: bool = False  # whether these are more shades than black and white
    logged: bool = False  # whether a model works on log(1 + x)
    probability: str = ""  # what log p(x) is a probability of, where that is not the cells as they are stored
    likelihood: tuple[str, str] | None = None  # that of the default recipe and why; None: the data decide
    warning: str = ""  # what is to be known of the numbers of a model


CELLS: dict[str, Cells] = {
    "binary": Cells("0 or 1", 1.0, whole=True, pixel=True, likelihood=("bernoulli", "Every cell is 0 or 1.")),
    "unit": Cells(
        "a number from 0 to 1",
        1.0,
        pixel=True,
        grey=True,
        warning="Bernoulli cross-entropy on grey cells is not log p(x): latens names it a cross-entropy.",
    ),
    "real": Cells("a real number", real=True),
    "counts": Cells(
        "a whole number from 0 on",
        whole=True,
        logged=True,
        likelihood=(
            "normal",
            "Cells are counts (whole numbers of 0 or more with a long tail): a normal of log(1 + x), a density of that "
            "and not of the counts. For probabilities of the counts: --set likelihood=negative-binomial, "
            "zero-inflated-negative-binomial or poisson.",
        ),
        warning="The cells are taken for counts: densities are of log(1 + x), not of counts, unless --set likelihood "
        "names one of counts. --no-counts takes them as numbers.",
    ),
    "mixed": Cells("of a kind of its own", probability="probability of the cells as they were recorded; "),
}
"""Of each kind but those whose largest number is that of a schema: levels and the codes of text."""


@dataclass(kw_only=True, eq=False)
class Numbers(Kind):
    """Rows of numbers of the same kind in all columns."""

    title = "numbers"

    counts: bool | None = option(
        "model whole numbers as log(1 + x) (default: if they have a long tail)", either=True, again=(bool,)
    )
