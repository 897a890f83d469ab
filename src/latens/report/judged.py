"""A synthetic table beside the real one, as a page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from latens.evaluation.samples.tables import Table, shapes
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
    made = []
    for title, one, what in (
        ("Shape", found["shape"], "columns one by one"),
        ("Trend", found["trend"], "pairs of columns"),
    ):
        new = one.get("new_rows")
        if new is None:
            made.append((title, _shown(one), "", f"{what}; 1: alike"))
        else:  # fewer rows differ more by chance, so that like is held against like
            as_many = _shown({"value": one["as_many"], "standard_error": new["standard_error"]})
            made.append((title, as_many, _shown(new), f"{what}, of as many rows each (all: {_shown(one)}); 1: alike"))
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


def judgement_page(found: dict[str, Any], tables: list[Table], plain: Sequence[str], real: str, fake: str) -> str:
    """Write the page of a judgement: what it comes to, each column as a picture, and every number."""
    counts = found["rows"]
    lead = joined(tag("p", line) for line in plain)
    numbers = table("Every number", ("", fake, "what real rows reach", "what it is"), rows(found), numbers=(1, 2))
    pairs = [(" with ".join(one["columns"]), number(one["trend"], 3)) for one in found.get("worst_pairs", [])]
    least: list[Html] = [_pictures(tables), *_pairs(tables, found.get("by_name"))]
    if kinds := found.get("by_name"):
        each = [(one["name"], f"{one['alike']:.1%}", f"{one['by_chance']:.1%}", one["worst"]) for one in kinds["names"]]
        heads = (kinds["column"], "alike", "by chance", "least alike")
        least.append(
            table(f"How alike the other columns are within each {kinds['column']}", heads, each, numbers=(1, 2))
        )
    if pairs:
        least.append(table("Pairs that are least alike", ("columns", "Trend"), pairs, numbers=(1,)))
    if by := found["detection"]["trees"].get("told_by"):
        falls = [(one["column"], number(one["fall"], 3)) for one in by]
        heads = ("column", "area lost without it")
        least.append(table("Columns by which trees tell the tables apart", heads, falls, numbers=(1,)))
    least += [
        tag("p", f"Names of {one['column']}, each of 20 real rows or more, that are in no row: {one['names']}.")
        for one in found["validity"]["names_of_20_rows_that_are_lacking"]
    ]
    least += [
        tag(
            "p",
            f"{one['column']} is empty in {one['fake']:.1%} of the synthetic rows, in {one['real']:.1%} of the real.",
        )
        for one in found["gaps"]["columns"]
    ]
    said = f"{counts['fake']:,} rows beside {counts['real']:,} real ones, {len(found['columns'])} columns."
    sections = [
        ("columns", "Column by column", joined(least)),
        ("numbers", "Every number", joined([tag("p", said), numbers])),
    ]
    if "near" in found:
        sections.append(("privacy", "What it gives away", tag("p", NEAR)))
    return document(f"{fake} beside {real}", f"{fake} beside {real}", lead, sections)


def _pictures(tables: list[Table]) -> Html:
    """Each column of the real and of the synthetic rows, the least alike first."""
    from latens.figures.tables import MOST, by_frequency, date_values, marginals, name_values
    from latens.report.told import Shot, figure, inches, picture

    real, fake = tables[:2]
    alike, (data, samples) = shapes(real, fake), (table.x.copy() for table in (real, fake))
    chosen = [int(i) for i in np.argsort(alike, kind="stable")[:MOST]]
    titles = [f"{real.names[i]}, {100 * alike[i]:.0f} % alike" for i in chosen]
    words = {i: by_frequency(data, samples, i, real.words[i]) for i in chosen if real.words[i]}
    for rows in (data, samples):
        rows[:, np.flatnonzero(real.dates)] /= 86_400.0

    def drawn(theme: Any) -> Any:
        kinds = ("real", "synthetic")
        axes = marginals(data[:, chosen], samples[:, chosen], titles, kinds=kinds, theme=theme)
        for ax, i in zip(axes, chosen):
            if i in words:
                name_values(ax, words[i])
            elif real.dates[i]:
                date_values(ax)
        return axes

    light, dark = drawn("light"), drawn("dark")
    more = f" The {MOST} least alike of {len(real.names)}." if len(real.names) > MOST else ""
    caption = f"Real rows are grey, synthetic ones a line; columns that are least alike come first.{more}"
    alt = f"Histograms of real and synthetic rows: {'; '.join(titles)}."
    return figure(Shot("columns", caption, alt, picture(light), picture(dark), inches(light)))


MOST_PAIRS = 2
"""Pairs of numbers that are drawn."""


def _pairs(tables: list[Table], by_name: dict[str, Any] | None) -> list[Html]:
    """The pairs of numbers that go together most in the real rows, beside the synthetic ones."""
    from latens.evaluation.samples.words import strongest_pairs
    from latens.figures.beside import pairs_beside
    from latens.report.told import Shot, figure, inches, picture

    real, fake = tables[:2]
    pairs = strongest_pairs(real, MOST_PAIRS)
    if not pairs:
        return []
    codes, words = None, []
    if by_name is not None:
        kind, words = real.names.index(by_name["column"]), [one["name"] for one in by_name["names"]]
        places = {code: words.index(word) for code, word in enumerate(real.words[kind]) if word in words}
        codes = [
            np.array([places.get(code, -1) for code in np.nan_to_num(one.x[:, kind], nan=-1.0)]) for one in (real, fake)
        ]
    drawn = [
        pairs_beside((real.x, fake.x), ("real", "synthetic"), pairs, real.names, codes=codes, words=words, theme=theme)
        for theme in ("light", "dark")
    ]
    said = " and ".join(f"{real.names[i]} with {real.names[j]}" for i, j in pairs)
    by = f", coloured by {by_name['column']}" if by_name else ""
    caption = f"The numbers that go together most: {said}{by}. See whether both sides have the same shape."
    alt = f"Points of real rows at the left and of synthetic ones at the right: {said}."
    return [figure(Shot("pairs", caption, alt, picture(drawn[0]), picture(drawn[1]), inches(drawn[0])))]
