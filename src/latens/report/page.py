"""The report of one run as a page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from latens.config import ClassifierConfig
from latens.data import SPLITS
from latens.evaluation.estimate import UNKNOWN
from latens.io.arrays import tree_to_arrays
from latens.pictures.draw import PICTURES
from latens.report.html import Html, joined, table, tag
from latens.report.shots import Shot, figure
from latens.report.told import Told
from latens.report.warnings import not_measured
from latens.report.words import cells, command_of, metric_name, model_facts, objective
from latens.text import number, with_digits
from latens.trees import partition_trainable
from latens.workflow.metrics import LAST_HEADLINE, ranked

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load for a report: nothing but what is in it."""


def in_order(names: Iterable[str]) -> list[str]:
    """Put metrics in order: those with a rank by their rank, the others by name."""
    names, first = set(names), ranked()
    return [*(name for name in first if name in names), *sorted(names.difference(first))]


def report_page(told: Told) -> str:
    """Write the whole page of a run: HTML with its style and pictures inside, without scripts or anything to fetch."""
    name = str(told.info.get("data", {}).get("name", "data"))
    sections = [
        ("short", "In short", _short(told)),
        ("pictures", "What the model learned", _other_pictures(told)),
        ("warnings", "What to be careful about", _warnings(told)),
        ("evidence", "How good it is, in numbers", evidence(told)),
        ("training", "How training went", _pictures(told, "training") or tag("p", "There are no steps to draw.")),
        ("what", "The data and the settings", _what(told)),
        ("objective", "What was minimised", joined(tag("p", text) for text in objective(told.trained))),
        ("model", "Inside the model", _model(told)),
        ("again", "How to make it again", again(told)),
    ]
    kind = "A classifier" if isinstance(told.trained.config, ClassifierConfig) else "A model"
    return document(f"{name}: report of {told.name}", f"{kind} of {name}", _lead(told), sections)


def document(title: str, heading: str, lead: Html | None, sections: Sequence[tuple[str, str, object]]) -> str:
    """Write a page of sections."""
    style = Html((Path(__file__).parent / "style.css").read_text(encoding="utf-8"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    links = (tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in sections)
    parts = [
        tag("section", tag("h2", name, id=f"{key}-h"), content, id=key, aria_labelledby=f"{key}-h")
        for key, name, content in sections
    ]
    body = tag(
        "body",
        tag("a", "To the content", href="#main", class_="skip"),
        tag("header", tag("nav", tag("ul", *links), aria_label="Sections")),
        tag("main", tag("h1", heading), lead, *parts, id="main"),
        tag("footer", tag("p", f"Made by latens {_version()}.", class_="small quiet")),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _version() -> str:
    from latens import __version__

    return __version__


def with_error(metric: Mapping[str, Any]) -> str:
    """Write a value with its standard error where there is one."""
    value, error = with_digits(metric.get("value"), metric.get("standard_error"))
    return value if metric.get("standard_error") is None else f"{value} ± {error}"


def over_draws(metric: Mapping[str, Any]) -> str:
    """Write the error over draws with the digits of the value, or that it is unknown; "" where it was not measured."""
    error = metric.get("draws_error")
    if isinstance(error, int | float):
        places = len(with_digits(metric.get("value"), metric.get("standard_error"))[0].partition(".")[2])
        return f"{error:,.{places}f}"
    return "unknown" if bound(metric) else ""


def bound(metric: Mapping[str, Any]) -> str:
    """Say that a value is a bound by an unknown amount, where it is one."""
    return next((words for words in UNKNOWN if words in str(metric.get("protocol", ""))), "")


def _lead(told: Told) -> Html | None:
    name = next((name for name in ranked(LAST_HEADLINE) if name in told.metrics), None)
    if name is None:
        return None
    metric = told.metrics[name]
    rows = f"{number(metric.get('n'), 0)} {told.info.get('split', '')} rows".replace("  ", " ")
    words = f", {bound(metric)}" if bound(metric) else ""
    value = f"{metric_name(name, told.trained)} of {with_error(metric)} {metric.get('unit', '')}{words} ({rows})"
    return tag("p", f"Run {told.name}, with a {value}.", class_="lead")


def _short(told: Told) -> Html:
    cards = []
    for name in [name for name in ranked() if name in told.metrics][:6]:
        metric, title = told.metrics[name], tag("dt", metric_name(name, told.trained))
        words = f"{metric.get('unit', '')}, {metric.get('n')} rows" + (f", {bound(metric)}" if bound(metric) else "")
        cards.append(tag("div", title, tag("dd", with_error(metric)), tag("dd", words, class_="note")))
    count = len(told.warnings)
    words = {0: "No warning.", 1: "One warning: "}.get(count, f"{count} warnings: ")
    names = ", ".join(w.title.lower() for w in told.warnings)
    end = f"{words}{names}." if count else words
    return joined([tag("dl", *cards, class_="figures"), tag("p", end)])


def _what(told: Told) -> Html:
    data, info = told.info.get("data", {}), told.info
    splits = data.get("rows") if isinstance(data.get("rows"), dict) else {}
    order = [*(name for name in SPLITS if name in splits), *(name for name in splits if name not in SPLITS)]
    rows = ", ".join(f"{splits[name]} {name}" for name in order)
    facts = [("Data", str(data.get("name", "data"))), ("Rows", rows), ("A row", cells(told.trained.schema))]
    classes = told.trained.schema.classes
    if classes:
        shown = ", ".join(classes[:20]) + (f" and {len(classes) - 20} more" if len(classes) > 20 else "")
        facts.append(("Classes", shown))
    facts += model_facts(told.trained)
    if info.get("step"):
        seconds = info.get("training_seconds")
        took = f", {number(seconds, 1)} s" if isinstance(seconds, int | float) else ""
        facts.append(("Training", f"{info['step']} steps{took}, ended by: {info.get('stopped_because')}"))
        if info.get("best_step"):
            facts.append(("Kept", f"the best on validation, at step {info['best_step']}"))
    return facts_list(facts)


def facts_list(facts: Sequence[tuple[str, object]]) -> Html:
    """Make a list of definitions."""
    return tag("dl", *((tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts")


def evidence(told: Told) -> Html:
    """Make the table of every metric that was measured."""
    rows = []
    for name in in_order(told.metrics):
        metric = told.metrics[name]
        draws, seconds = metric.get("num_samples"), metric.get("seconds")
        made = draws if isinstance(draws, int) and draws > 0 else "—"
        took = f"{seconds:.1f}" if isinstance(seconds, int | float) else "—"
        shown = *with_digits(metric.get("value"), metric.get("standard_error")), over_draws(metric) or "—"
        about = (metric.get("unit", ""), metric.get("n", ""), made, took, metric.get("protocol", ""))
        rows.append((metric_name(name, told.trained), *shown, *about))
    head = ("number", "value", "standard error", "over draws", "unit", "rows", "draws a row", "seconds", "how")
    split = told.info.get("split")
    held = " They were not held out." if told.info.get("held_out") is False else ""
    seeds = sorted({str(m["seed"]) for m in told.metrics.values() if m.get("seed") is not None})
    said = f"Measured on {split} rows{', seed ' + ', '.join(seeds) if seeds else ''}.{held}" if split else ""
    left = not_measured(told.metrics)
    asked = f"Not measured here: {'; '.join(left)}. `latens evaluate RUN --all` does." if left and not told.full else ""
    without = "; ".join(f"{metric_name(name, told.trained)}: {reason}" for name, reason in told.left_out.items())
    note = "The standard error is that of the mean over rows: 95 % of such intervals of ± 2 contain the true mean."
    if any(over_draws(metric) for metric in told.metrics.values()):
        note += " The error over draws is what their number may make the value wrong by."
    if any(map(bound, told.metrics.values())):
        note += f" Where it is unknown, the value is {UNKNOWN[0]}."
    made = table("Every number with its error", head, rows, numbers=(1, 2, 3, 5, 6, 7))
    notes = (note, asked, f"Left out: {without}." if without else "")
    quiet = (tag("p", words, class_="small quiet") for words in notes if words)
    return joined([tag("p", said) if said else None, made, *quiet])


def _warnings(told: Told) -> Html:
    if not told.warnings:
        return tag("p", "No warnings.")
    parts = []
    for one in told.warnings:
        found = tag("p", one.found) if one.found else None
        advice = tag("p", tag("strong", "What helps: "), one.advice) if one.advice else None
        parts.append(tag("div", tag("h3", one.title), found, advice, class_="warning"))
    return joined(parts)


def _placed(told: Told, place: str) -> list[Shot]:
    """The pictures of a section, in their order."""
    kept = [shot for shot in told.shots if PICTURES[shot.name].place == place]
    return sorted(kept, key=lambda shot: PICTURES[shot.name].rank)


def _pictures(told: Told, place: str) -> Html | None:
    kept = [figure(shot) for shot in _placed(told, place)]
    return joined(kept) if kept else None


def _other_pictures(told: Told) -> Html:
    lacking = tag("p", told.lacking) if told.lacking else None
    parts = [joined([tag("h3", PICTURES[s.name].heading), figure(s)]) for s in _placed(told, "pictures")]
    return joined([lacking, *parts]) if parts or lacking else tag("p", "No picture applies to this model.")


def _model(told: Told) -> Html:
    trainable = set(tree_to_arrays(partition_trainable(told.trained.model)[0]))
    rows = []
    for name, shape, dtype in told.trained.table():
        kind = "trained" if name in trainable else "fixed"
        rows.append((name, " × ".join(map(str, shape)) or "one number", f"{math.prod(shape):,}", dtype, kind))
    head = ("array", "shape", "numbers", "type", "trained or fixed")
    return joined([_pictures(told, "model"), table("Arrays of the model", head, rows, numbers=(2,))])


def versions_of(told: Told) -> tuple[str, object]:
    """The versions of what made a run, with their name."""
    versions = told.info.get("versions") or {}
    return "Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def fingerprint_of(told: Told) -> tuple[str, object]:
    """The fingerprint of a run's data, with its name."""
    return "Data fingerprint", tag("code", told.info.get("data", {}).get("fingerprint") or "unknown")


def again(told: Told) -> Html:
    """Write the command, the versions and the data that give a run again."""
    info, place = told.info, told.info.get("platform") or {}
    facts: list[tuple[str, object]] = [
        ("Seed", info.get("seed", "")),
        fingerprint_of(told),
        versions_of(told),
        ("Machine", ", ".join(f"{key} {value}" for key, value in place.items())),
        ("Run", tag("code", info.get("id", ""))),
        ("Begun, ended", f"{info.get('created')}, {info.get('ended')}"),
    ]
    promise = "The same command on the same data, versions and machine gives the same bits; elsewhere the last digits "
    code = tag("pre", tag("code", command_of(info)), tabindex=0)
    return joined([code, facts_list(facts), tag("p", f"{promise}differ.")])
