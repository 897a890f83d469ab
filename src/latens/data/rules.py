"""What holds in nearly all rows of a table: found once, and kept by the model file, by samples and by filled cells."""

from typing import Any

from latens.data import equations, gaps, inapplicable, ordered, rates, weekdays
from latens.data.dataset import Dataset

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
