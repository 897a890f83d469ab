"""A synthetic table beside the real one, as a page."""

from typing import Any

from latens.report.html import Html, joined, table, tag
from latens.report.page import document
from latens.text import number, with_digits

NEAR = (
    "That few rows are near real ones proves nothing about privacy: an attack can succeed all the same (The DCR "
    "Delusion, arXiv 2505.01524). The attacks are what counts."
)
"""What goes with the number of near rows."""

_ATTACKS = {"distance": "attack by distance", "density": "attack by density"}


def _shown(one: dict[str, Any] | None) -> str:
    if one is None:
        return ""
    value, error = with_digits(one["value"], one["standard_error"])
    return f"{value} ± {error}"


def rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The numbers of a judgement: name, value, what real rows reach, and what it is."""
    made = [
        ("Shape", _shown(found["shape"]), _shown(found["shape"].get("new_rows")), "columns one by one; 1: alike"),
        ("Trend", _shown(found["trend"]), _shown(found["trend"].get("new_rows")), "pairs of columns; 1: alike"),
    ]
    beside = found["detection"]["beside"]
    for name, words in (("trees", "boosted trees"), ("logistic", "logistic regression")):
        one = found["detection"][name]
        told = f"1: {words} cannot tell it from {beside} (area {number(one['auc'], 3)})"
        made.append((f"detection, {name}", _shown(one), "1", told))
    if "utility" in found:
        used = found["utility"]
        what = f"{used['fake']['unit']} of trees that predict {used['target']} on test rows"
        made.append(("utility", _shown(used["fake"]), _shown(used["real"]), what))
    for name, one in found.get("attacks", {}).items():
        caught = f"finds {one['caught']:.1%} ({one['low']:.1%} to {one['high']:.1%}) of the rows at 1 % false alarms"
        shown = _shown({"value": one["auc"], "standard_error": one["standard_error"]})
        made.append((_ATTACKS[name], shown, "0.5", f"area; {caught}"))
    copied = found["copies"]
    of_new = f"{copied['test']:.1%}" if "test" in copied else ""
    made.append(("copies", f"{copied['fake']:.1%}", of_new, "rows that are a real row, cell by cell"))
    if "near" in found:
        made.append(("near", f"{found['near']['share']:.1%}", "2.0%", "rows nearer to a real row than 2 % of new rows"))
    made.append(("cells inside", f"{found['validity']['cells_inside']:.2%}", "", "names and ranges of the real rows"))
    return made


def judgement_page(found: dict[str, Any], real: str, fake: str) -> str:
    """Write the page of a judgement."""
    counts = found["rows"]
    lead = f"{counts['fake']:,} rows beside {counts['real']:,} real ones, {len(found['columns'])} columns."
    numbers = table("Every number", ("", fake, "what real rows reach", "what it is"), rows(found), numbers=(1, 2))
    columns = [(one["column"], number(one["shape"], 3)) for one in found["worst_columns"]]
    pairs = [(" with ".join(one["columns"]), number(one["trend"], 3)) for one in found.get("worst_pairs", [])]
    least: list[Html] = [table("Columns", ("column", "Shape"), columns, numbers=(1,))]
    if pairs:
        least.append(table("Pairs", ("columns", "Trend"), pairs, numbers=(1,)))
    lacking = [
        tag("p", f"{one['names']} names of {one['column']}, each of 20 real rows or more, are in no row.")
        for one in found["validity"]["names_of_20_rows_that_are_lacking"]
    ]
    sections = [("numbers", "How good it is", numbers), ("least", "What is least alike", joined([*least, *lacking]))]
    if "near" in found:
        sections.append(("privacy", "What it gives away", tag("p", NEAR)))
    return document(f"{fake} beside {real}", f"{fake} beside {real}", tag("p", lead), sections)
