"""The report of one run as a page."""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from latens import __version__
from latens.config import ClassifierConfig, VAEConfig
from latens.data import SPLITS
from latens.errors import number, visible, with_digits
from latens.kinds import kind_of
from latens.model_figures.draw import PICTURES
from latens.recipes import RECIPES
from latens.report.facts import ReportFigure, RunFacts, Warned, figure
from latens.report.html import Html, joined, table, tag
from latens.runtime.safetensors import tree_to_arrays
from latens.trainable import partition_trainable
from latens.trained.measurement import density_of, what_density
from latens.trained.metrics import LAST_HEADLINE, metric_of, ranked
from latens.trained.trained_model import TrainedModel

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load for a report: nothing but what is in it."""


def in_order(names: Iterable[str]) -> list[str]:
    """Put metrics in order: those with a rank by their rank, the others by name."""
    names, first = set(names), ranked()
    return [*(name for name in first if name in names), *sorted(names.difference(first))]


def report_page(told: RunFacts) -> str:
    """Write the whole page of a run: HTML with its style and pictures inside, without scripts or anything to fetch."""
    name = str(told.info.get("data", {}).get("name", "data"))
    sections = [
        ("short", "Summary", _short(told)),
        ("pictures", "What the model learned", _other_pictures(told)),
        ("warnings", "Warnings", joined(map(_warning, told.warnings)) or tag("p", "No warnings.")),
        ("evidence", "Evaluation", evidence(told)),
        ("training", "Training", _pictures(told, "training") or tag("p", "There are no steps to draw.")),
        ("what", "Data and settings", _what(told)),
        ("model", "Model", _model(told)),
        ("again", "Reproduce", again(told)),
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
        tag("footer", tag("p", f"Made by latens {__version__}.", class_="small quiet")),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def with_error(metric: Mapping[str, Any]) -> str:
    """Write a value with its standard error where there is one, and "at least" before a lower bound."""
    value, error = with_digits(metric.get("value"), metric.get("standard_error"))
    value = f"{metric.get('bound') or ''} {value}".strip()
    return value if metric.get("standard_error") is None else f"{value} ± {error}"


def over_draws(metric: Mapping[str, Any]) -> str:
    """Write the error over draws with the digits of the value, or that it is unknown; "" where it was not measured."""
    error = metric.get("draws_error")
    if isinstance(error, int | float):
        places = len(with_digits(metric.get("value"), metric.get("standard_error"))[0].partition(".")[2])
        return f"{error:,.{places}f}"
    return "unknown" if metric.get("bound") else ""


def _lead(told: RunFacts) -> Html | None:
    name = next((name for name in ranked(LAST_HEADLINE) if name in told.metrics), None)
    if name is None:
        return None
    metric = told.metrics[name]
    rows = f"{number(metric.get('n'), 0)} {told.info.get('split', '')} rows".replace("  ", " ")
    value = f"{metric_name(name, told.trained)} of {with_error(metric)} {metric.get('unit', '')} ({rows})"
    return tag("p", f"Run {told.name}, with a {value}.", class_="lead")


def _short(told: RunFacts) -> Html:
    """What a run comes to in plain words, and its warnings; of a run without such words its first numbers."""
    plain = told.info.get("plain")
    said = [line for line in plain if isinstance(line, str)] if isinstance(plain, list) else []
    lines = [tag("p", line) for line in said]
    warned, count = told.warnings, len(told.warnings)
    words = {0: "No warning.", 1: "One warning: "}.get(count, f"{count} warnings: ")
    names = ", ".join(one.title.lower() for one in warned)
    end = f"{words}{names}." if count else words
    day = str(told.info.get("created") or "")[:10]
    made = [tag("p", f"{day}: ", tag("code", command_of(told.info)))] if day else []
    return joined([*made, *(lines or [_cards(told)]), tag("p", end)])


def _cards(told: RunFacts) -> Html:
    cards = []
    for name in [name for name in ranked() if name in told.metrics][:6]:
        metric, title = told.metrics[name], tag("dt", metric_name(name, told.trained))
        words = f"{metric.get('unit', '')}, {metric.get('n')} rows"
        cards.append(tag("div", title, tag("dd", with_error(metric)), tag("dd", words, class_="note")))
    return tag("dl", *cards, class_="figures")


def _what(told: RunFacts) -> Html:
    data, info = told.info.get("data", {}), told.info
    splits = data.get("rows") if isinstance(data.get("rows"), dict) else {}
    order = [*(name for name in SPLITS if name in splits), *(name for name in splits if name not in SPLITS)]
    rows = ", ".join(f"{splits[name]} {name}" for name in order)
    row = kind_of(told.trained.schema).described(told.trained.schema)
    facts = [("Data", str(data.get("name", "data"))), ("Rows", rows), ("A row", row)]
    facts += [("Note", note) for note in told.notes]
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


def evidence(told: RunFacts) -> Html:
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
    more = tag("code", "latens evaluate RUN --all"), " measures more, such as overfitting and the encoder's gap."
    without = "; ".join(f"{metric_name(name, told.trained)}: {reason}" for name, reason in told.left_out.items())
    note = "The standard error is that of the mean over rows: 95 % of such intervals of ± 2 contain the true mean."
    if any(over_draws(metric) for metric in told.metrics.values()):
        note += " The error over draws is what their number may make the value wrong by."
    made = table("Every number with its error", head, rows, numbers=(1, 2, 3, 5, 6, 7))
    notes = (note, "" if told.full else more, f"Left out: {without}." if without else "")
    quiet = (tag("p", words, class_="small quiet") for words in notes if words)
    return joined([tag("p", said) if said else None, made, *quiet])


def _warning(one: Warned) -> Html:
    """What was found, and what helps."""
    found = tag("p", one.found) if one.found else None
    advice = tag("p", tag("strong", "What helps: "), one.advice) if one.advice else None
    return tag("div", tag("h3", one.title), found, advice, class_="warning")


def _placed(told: RunFacts, place: str) -> list[ReportFigure]:
    """The pictures of a section, in their order."""
    kept = [shot for shot in told.shots if PICTURES[shot.name].place == place]
    return sorted(kept, key=lambda shot: PICTURES[shot.name].rank)


def _pictures(told: RunFacts, place: str) -> Html | None:
    kept = [figure(shot) for shot in _placed(told, place)]
    return joined(kept) if kept else None


def _other_pictures(told: RunFacts) -> Html:
    lacking = tag("p", told.lacking) if told.lacking else None
    active = told.metrics.get("active_units")
    empty = ("latent", "units") if active is not None and active.get("value") == 0 else ()  # they would show nothing
    shots = [shot for shot in _placed(told, "pictures") if shot.name not in empty]
    parts = [joined([tag("h3", PICTURES[s.name].heading), figure(s)]) for s in shots]
    return joined([lacking, *parts]) if parts or lacking else tag("p", "No picture applies to this model.")


def _model(told: RunFacts) -> Html:
    trainable = set(tree_to_arrays(partition_trainable(told.trained.model)[0]))
    rows = []
    for name, shape, dtype in told.trained.table():
        kind = "trained" if name in trainable else "fixed"
        rows.append((name, " × ".join(map(str, shape)) or "one number", f"{math.prod(shape):,}", dtype, kind))
    head = ("array", "shape", "numbers", "type", "trained or fixed")
    arrays = table("Arrays of the model", head, rows, numbers=(2,))
    return joined([_pictures(told, "model"), tag("details", tag("summary", "Details: arrays"), arrays)])


def again(told: RunFacts) -> Html:
    """Write the command, the versions and the data that give a run again."""
    info, place, versions = told.info, told.info.get("platform") or {}, told.info.get("versions") or {}
    facts: list[tuple[str, object]] = [
        ("Seed", info.get("seed", "")),
        ("Data fingerprint", tag("code", info.get("data", {}).get("fingerprint") or "unknown")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
        ("Machine", ", ".join(f"{key} {value}" for key, value in place.items())),
        ("Run", tag("code", info.get("id", ""))),
        ("Begun, ended", f"{info.get('created')}, {info.get('ended')}"),
    ]
    promise = "The same command on the same data, versions and machine gives the same bits; elsewhere the last digits "
    code = tag("pre", tag("code", command_of(info)), tabindex=0)
    return joined([code, facts_list(facts), tag("p", f"{promise}differ.")])


# --- a run in words ---


def metric_name(name: str, trained: TrainedModel | None = None) -> str:
    """Say what a metric is called for people; densities of a model by what they are of."""
    try:
        words = metric_of(name).words
    except KeyError:  # a run of another version may hold others
        words = name.replace("_", " ")
    return words if trained is None else words.replace("log p(x", f"log p({density_of(trained)}")


def model_facts(trained: TrainedModel) -> list[tuple[str, str]]:
    """List the parts of a model and of its training."""
    config = trained.config
    recipe = config.recipe if config else "built by hand"
    known = f" — {RECIPES[recipe].summary} ({RECIPES[recipe].source})" if recipe in RECIPES else ""
    facts = [("Recipe", recipe + known)]
    if isinstance(config, VAEConfig):
        posterior, optimizer = config.posterior, config.optimizer
        units = "chosen by the recipe" if posterior.latent_dim is None else f"{posterior.latent_dim} latent units"
        levels = f", further levels of {', '.join(map(str, posterior.levels))}" if posterior.levels else ""
        hidden = "no hidden layer" if not config.network.hidden else " ".join(map(str, config.network.hidden))
        facts.append(("Latents", f"{posterior.kind} posterior, {units}{levels}; prior: {config.prior.kind}"))
        facts.append(("Likelihood", likelihood(trained)))
        size = "" if optimizer.learning_rate is None else f"learning rate {optimizer.learning_rate:g}, "
        rate = f"{optimizer.name}, {size}{optimizer.schedule}"
        facts.append(("Networks", f"{config.network.kind}, widths {hidden}, {config.network.activation}"))
        facts.append(("Optimiser", rate))
        options = {**config.objective.options, "beta_schedule": config.objective.beta_schedule}
        said = ", ".join(f"{key} = {value}" for key, value in options.items() if value != "constant")
        facts.append(("Objective", visible(f"{config.objective.name}{f' ({said})' if said else ''}")))
        facts.append(("Batch", f"{config.training.batch_size or 'all'} rows a step"))
    elif isinstance(config, ClassifierConfig):
        facts.append(("Densities", f"one {config.density.kind} for each class, fitted in closed form or by inference"))
    facts.append(("Trained numbers", f"{trained.num_parameters:,}"))
    return facts


def likelihood(trained: TrainedModel) -> str:
    """Say which likelihood a model has, and what its numbers are densities of."""
    config = trained.config
    if not isinstance(config, VAEConfig):
        return ""
    note = what_density(trained).rstrip("; ")
    return config.likelihood.family + (f" ({note})" if note else "")


def command_of(info: Mapping[str, Any]) -> str:
    """Give the command as it was typed, and those that resumed the run."""
    resumed = info.get("resumed")
    every = [info.get("command", ""), *(resumed if isinstance(resumed, list) else [])]
    return " && ".join(shlex.join(map(str, one)) if isinstance(one, list) else str(one) for one in every)
