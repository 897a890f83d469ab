"""Two runs side by side: their numbers with the difference, what was set differently, their pictures."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from latens.pictures.draw import PICTURES
from latens.report.facts import Told, figure
from latens.report.html import Html, joined, table, tag
from latens.report.page import (
    bound,
    command_of,
    document,
    facts_list,
    fingerprint_of,
    in_order,
    metric_name,
    model_facts,
    versions_of,
    with_error,
)
from latens.text import number

ABSENT = "—"


def comparison_page(first: Told, second: Told, names: Sequence[str], paired: Mapping[str, Any] | None = None) -> str:
    """Write the page of a comparison: second minus first."""
    # paired: the differences over the same rows by metric, as `Estimate.to_json` gives them, for those that were
    # measured so; or None.
    labels = [told.name for told in (first, second)]
    if labels[0] == labels[1]:
        labels = list(names)
    sections = [
        ("evidence", "Which is better", _evidence(first, second, labels, paired or {})),
        ("pictures", "What each learned", _pictures(first, second, labels)),
        ("settings", "What was set differently", _settings(first, second, labels)),
        ("warnings", "Warnings", _warnings(first, second, labels)),
        ("again", "How to make them again", _again(first, second, labels)),
    ]
    same = first.info.get("data", {}).get("fingerprint") == second.info.get("data", {}).get("fingerprint")
    lead = "Both were trained on the same rows." if same else "They were trained on different data."
    return document(f"{labels[0]} and {labels[1]}", f"{labels[0]} compared with {labels[1]}", tag("p", lead), sections)


def differences(first: Told, second: Told, paired: Mapping[str, Any]) -> dict[str, tuple[float, float | None, str]]:
    """Compute by metric second minus first, its standard error, and how that was found."""
    # Paired over the same rows where that was measured; else the two errors e are joined as if the runs were
    # independent, sqrt(e1^2 + e2^2), which is too wide for the same rows.
    # returns: by metric the difference in its unit, the standard error (None where there is none), and how it was found
    # in words.
    found = {}
    for name in [n for n in first.metrics if n in second.metrics]:
        one, two = first.metrics[name], second.metrics[name]
        if one.get("unit") != two.get("unit"):
            continue
        if name in paired:
            gap = paired[name]
            found[name] = (gap["value"], gap.get("standard_error"), f"paired over the same {gap.get('n')} rows")
            continue
        errors = [m.get("standard_error") for m in (one, two)]
        error = None if None in errors else math.hypot(*(float(e) for e in errors if e is not None))
        how = "not paired: the error is too wide" if error is not None else "no error"
        found[name] = (two["value"] - one["value"], error, how)
    return found


def _evidence(first: Told, second: Told, labels: Sequence[str], paired: Mapping[str, Any]) -> Html:
    found = differences(first, second, paired)
    rows = []
    for name in in_order(found):
        value, error, how = found[name]
        shown = with_error({"value": value, "standard_error": error})
        sure = ABSENT if not error else number(value / error, 1)
        one, two = first.metrics[name], second.metrics[name]
        measured = (", ".join(filter(None, (with_error(each), bound(each)))) for each in (one, two))
        rows.append((metric_name(name, first.trained), *measured, one.get("unit", ""), shown, sure, how))
    head = ("number", labels[0], labels[1], "unit", "second minus first", "in standard errors", "how")
    lacking = sorted(set(first.metrics) ^ set(second.metrics))
    rest = f"Measured for one of them only: {', '.join(map(metric_name, lacking))}." if lacking else None
    made = table("Every number of both with the difference", head, rows, numbers=(1, 2, 4, 5))
    return joined([made, tag("p", rest, class_="small quiet") if rest else None])


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Turn a tree of settings into `part.option` names."""
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flat(item, f"{name}.{key}" if name else str(key))
    return found


def _settings(first: Told, second: Told, labels: Sequence[str]) -> Html:
    from latens.config import to_json

    sets = [{} if t.trained.config is None else flat(to_json(t.trained.config)) for t in (first, second)]
    facts = [dict(model_facts(t.trained)) for t in (first, second)]
    sets = [{**a, "trained numbers": b["Trained numbers"]} for a, b in zip(sets, facts)]
    keys = [key for key in dict.fromkeys([*sets[0], *sets[1]]) if sets[0].get(key) != sets[1].get(key)]
    if not keys:
        return tag("p", "Nothing: the two have one configuration.")
    rows = [(key, *(ABSENT if s.get(key) is None else str(s[key]) for s in sets)) for key in keys]
    return table("Settings that differ", ("setting", *labels), rows)


def _warnings(first: Told, second: Told, labels: Sequence[str]) -> Html:
    parts = []
    for told, label in zip((first, second), labels):
        items = [tag("li", tag("strong", f"{w.title}: "), f"{w.found} {w.advice}") for w in told.warnings]
        parts += [tag("h3", label), tag("ul", *items) if items else tag("p", "None.")]
    return joined(parts)


def _pictures(first: Told, second: Told, labels: Sequence[str]) -> Html:
    others = {shot.name: shot for shot in second.shots}
    parts = []
    for shot in first.shots:
        if shot.name not in others:
            continue
        pair = [
            figure(s._replace(caption=f"{label}: {s.caption}", alt=f"{label}: {s.alt}"))
            for s, label in zip((shot, others[shot.name]), labels)
        ]
        parts += [tag("h3", PICTURES[shot.name].heading), tag("div", *pair, class_="pair")]
    return joined(parts) if parts else tag("p", "There is no picture that both have.")


def _again(first: Told, second: Told, labels: Sequence[str]) -> Html:
    parts = []
    for told, label in zip((first, second), labels):
        code = tag("pre", tag("code", command_of(told.info)), tabindex=0)
        parts += [tag("h3", label), code, facts_list([versions_of(told), fingerprint_of(told)])]
    return joined(parts)
