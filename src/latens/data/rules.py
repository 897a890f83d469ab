"""What holds in nearly all rows of a table: found once, and kept by the model file, by samples and by filled cells."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from latens.data import equations, gaps, inapplicable, ordered, rates, weekdays
from latens.data.dataset import Dataset
from latens.data.schema import Schema

RULES = {
    "inapplicable": inapplicable.found_in,
    "ordered": ordered.found_in,
    "pending": ordered.pending_in,
    "gaps": gaps.found_in,
    "equations": equations.found_in,
    "rates": rates.found_in,
    "weekdays": weekdays.found_in,
    "weekday_shares": weekdays.shares_in,
}
"""What looks for a kind of rule, by the name that it has in the model file."""


def rules_of(data: Dataset) -> dict[str, list[list[Any]]]:
    """Find the rules of the rows of a table, as a model file holds them."""
    found = {name: [list(rule) for rule in of(data)] for name, of in RULES.items()}
    exact = {target for target, *_ in found["equations"]}
    found["rates"] = [rule for rule in found["rates"] if rule[0] not in exact]
    return {name: rules for name, rules in found.items() if rules}


def computed(
    facts: Mapping[str, Any], schema: Schema, x: np.ndarray, asked: Callable[[str], bool] = lambda name: False
) -> tuple[np.ndarray, np.ndarray]:
    """Stored new rows whose columns that others give are computed; and which have one beyond its grid, that stays."""
    # Rates first, as a total may be of their target; before them what they are upon. asked: columns that stay.
    exact = [one for one in equations.read(facts.get("equations")) if not asked(one.target)]
    rated = [one for one in rates.read(facts.get("rates")) if not asked(one.target)]
    x, beyond = equations.computed(exact, schema, x)
    if rated:
        x, far = rates.computed(rated, schema, x)
        x, beyond = equations.computed(exact, schema, x)
        beyond |= far
    return x, beyond


def solved(
    facts: Mapping[str, Any], schema: Schema, x: np.ndarray, hidden: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Stored rows whose hidden cells keep equations and rates; and where a cell follows from known ones."""
    exact = equations.read(facts.get("equations"))
    x, sure, _ = equations.solved(exact, schema, x, hidden)
    for rule in rates.placed(rates.read(facts.get("rates")), schema):
        x, own, filled = rates.filled(rule, schema, x, hidden & ~sure)
        sure |= own
        x = equations.solved(exact, schema, x, hidden & ~sure & ~filled)[0]
    return x, sure
