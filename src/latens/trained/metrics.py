"""Every number that a command measures of a model: its name, words and unit, what makes it, and how it is written.

Numbers that functions of `groups` make stand beside them, by the decorator `makes`. The warnings
about a model are rules on them: what each means, and what to do.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from latens.evidence.estimate import UNKNOWN, Estimate
from latens.runtime.terminal import table


class Metric(NamedTuple):
    """All that is said of a number."""

    name: str  # a "#" stands for a count
    unit: str
    needs: str  # what a model and its rows must have; of what a function makes, words of `metric_functions.NEEDS`
    words: str = ""  # what a report calls it; "" for its name
    rank: int = 0  # from 1, its place among the first numbers; up to `LAST_HEADLINE` it can stand for a model
    short: str | None = None  # what terminal and explorer call it; None for `words`
    told: str = ""  # "always", or the headline beside which `latens evaluate` has a line for it without `--all`
    over: str = ""  # of a gain: over what
    behind: str = ""  # ... and what helps where it is below 0 by more than two errors
    lacking: str = ""  # why it may not be there although all is there that it needs
    beside: bool = False  # whether it goes with another, so that it is not missed where it is not there

    @property
    def label(self) -> str:
        """What terminal and explorer call it."""
        return self.words if self.short is None else self.short


LAST_HEADLINE = 5
Run = Callable[[Any], dict[str, Estimate]]
METRICS: dict[str, Metric] = {}
"""Every number by its name. The terminal tells those that have a line in this order."""
MADE: dict[Run, tuple[str, ...]] = {}
"""What makes numbers beside those of `measured`, in this order, and their names."""


def number(name: str, unit: str, needs: str, words: str = "", rank: int = 0, **about: Any) -> None:
    """Register a number."""
    METRICS[name] = Metric(name, unit, needs, words or name.replace("_", " "), rank, **about)


def makes(unit: str, names: str, needs: str, **about: Any) -> Callable[[Run], Run]:
    """Register the function that makes numbers, and those of them that have no row yet: names that blanks part."""

    def register(run: Run) -> Run:
        for name in names.split():
            if name not in METRICS:
                number(name, unit, needs, **about)
        MADE[run] = (*MADE.get(run, ()), *names.split())
        return run

    return register


number("log_marginal", "nats", "log p(x)", "log p(x)", 1)
number("cross_entropy_bound", "nats", "grey cells under a Bernoulli", "bound of the cross-entropy", 2,
       short="cross-entropy bound")  # fmt: skip
number("bits_per_dimension", "bits/dimension", "discrete cells", rank=6, short="", told="always")
number("nats_per_step", "nats a step", "a latent for every step", "nats a step, log p(x) by step",
       short="log p(x) a step", told="always")  # fmt: skip
number("bits_per_token", "bits/token", "rows of text", told="always")
number("bits_per_character", "bits/character", "rows of text", told="always")
number("perplexity", "tokens", "rows of text", "perplexity, a bound", told="always")
number("elbo", "nats", "posterior", "ELBO", 7, told="always")
number(
    "log_likelihood", "nats", "latents", "log p(x | z), expected under q(z | x)", 4, short="log p(x | z)", told="always"
)
number("kl", "nats", "posterior", "KL(q(z | x) to p(z))", 8, short="KL", told="always")
number("kl_level_#", "nats", "hierarchy", short="  level #", told="always")
number("log_likelihood_gain", "nats", "posterior")
number("precision", "share", "samples of its own data", short="precision of samples", told="two_sample_accuracy")
number("recall", "share", "samples of its own data", short="recall of rows", told="two_sample_accuracy")
number("two_sample_accuracy", "accuracy", "samples of its own data", rank=5, short="samples distinguished from rows")
number("accuracy", "accuracy", "predicted labels", rank=3, told="always")
number("clustering_accuracy", "accuracy", "mixture prior, labels", told="always")
number("active_units", "units", "posterior", "active latent units", 9, short="active units", told="always")
number("effective_sample_size", "draws", "latents, posterior")
number("pareto_k", "k", "latents, posterior", short="effective draws", told="always")
number("gain_over_independent", "nats", "its own data", "gain over independent cells", 10,
       over="a model of independent {cells}s")  # fmt: skip
number("gain_over_tree", "nats", "its own mixed table", "gain over a tree of columns", over="a tree of columns",
       behind="more draws of the bound gain a little: --set objective.num_samples=20")  # fmt: skip
number("gain_over_gaussian", "nats", "its own numbers", "gain over a Gaussian of factors",
       over="a Gaussian of factors (probabilistic PCA)")  # fmt: skip
number("gain_over_genes", "nats", "its own counts given totals", "gain over genes alone",
       over="a negative binomial of each gene alone")  # fmt: skip
number("gain_over_seasonal_naive", "nats", "its own series", "gain over the step a season before",
       over="the step a season before")  # fmt: skip
number("gain_over_regression", "nats", "its own series", "gain over a regression on earlier steps",
       over="a regression on earlier steps")  # fmt: skip
number("gain_over_bigram", "nats", "its own rows of text", "gain over pairs of tokens", over="pairs of tokens, counted")


def ranked(last: int = 99) -> list[str]:
    """The names of the numbers that stand first, the lowest rank first."""
    return sorted((one.name for one in METRICS.values() if 0 < one.rank <= last), key=lambda name: METRICS[name].rank)


def metric_of(name: str) -> Metric:
    """The row of a number; one that is counted has its count in its words."""
    if name in METRICS:
        return METRICS[name]
    start = name.rstrip("0123456789")
    row, count = METRICS[f"{start}#"], name[len(start) :]
    return row._replace(words=row.words.replace("#", count), short=row.label.replace("#", count))


def headline(metrics: dict[str, Estimate]) -> str:
    """The name of the metric that stands for the model."""
    return next(name for name in ranked(LAST_HEADLINE) if name in metrics)


def with_units(found: dict[str, Estimate], **about: Any) -> dict[str, Estimate]:
    """The estimates with their units, and what else is said of all of them."""
    return {name: replace(value, unit=metric_of(name).unit, **about) for name, value in found.items()}


_MOST_UNITS = 32


@dataclass(frozen=True)
class Summary:
    """What was measured, on which rows, and what a reader must know about it."""

    metrics: dict[str, Estimate]
    split: str  # what the rows are called
    held_out: bool | None  # whether training did not see the rows; None where nobody can know
    warnings: tuple[tuple[str, str], ...]  # name and message of each warning
    units: tuple[dict[str, Any], ...]  # one entry for each latent dimension
    cells: str  # what the features of a row are called
    left_out: dict[str, str] = field(default_factory=dict)  # why metrics are not there that were asked for, by name
    of: str = "x"  # what of a row x the densities are of

    def to_json(self, *, seconds: bool = True) -> dict[str, Any]:
        """Give the metrics as plain values."""
        metrics = {name: estimate.to_json() for name, estimate in self.metrics.items()}
        if not seconds:
            metrics = {name: {k: v for k, v in m.items() if k != "seconds"} for name, m in metrics.items()}
        return metrics

    def warnings_json(self) -> list[dict[str, str]]:
        """Give the warnings as plain values."""
        return [{"name": name, "message": message} for name, message in self.warnings]

    def text(self) -> str:
        """Write the metrics for people, a line each."""
        best = headline(self.metrics)
        main = self.metrics[best]
        draws = f", {main.num_samples} draws a row" if main.num_samples > 1 else ""
        held = ", not held out" if self.held_out is False else ""
        rows = [(self.label(best), _shown(best, self.metrics), f"({self.split}, {main.n} rows{draws}{held})")]
        # A hierarchy has its levels from the highest, which is drawn first.
        told = [n for n in reversed(self.metrics) if metric_of(n).told in ("always", best) and n != best]
        told.sort(key=lambda name: list(METRICS).index(metric_of(name).name))
        rows += [(self.label(name), _shown(name, self.metrics), _note(name, self.metrics)) for name in told]
        lines = [table(rows, indent="  ")]
        if main.draws_error == math.inf and "untrusted-evidence" not in dict(self.warnings):
            about = "" if main.at_least is None else f" by about {main.at_least:.2f} {main.unit} or more"
            lines.append(f"  {rows[0][0]} may be too low{about}; use --num-samples {10 * main.num_samples}")
        for row in METRICS.values():
            if row.over and row.name in self.metrics:
                gain = self.metrics[row.name]
                behind = gain.value < -2.0 * gain.standard_error and not gain.bound
                helps = f"; {row.behind}" if row.behind and behind else ""
                lines.append(f"  {beats(gain, row.over.format(cells=self.cells))}{helps}")
        return "\n".join(lines)

    def label(self, name: str) -> str:
        """What the terminal calls a number."""
        if name == "log_likelihood" and "cross_entropy_bound" in self.metrics:
            return "-cross-entropy"
        return metric_of(name).label.replace("(x", f"({self.of}")

    def table_text(self) -> str:
        """Write every metric under the name that it has in the JSON, with its error, unit and rows."""
        drawn = any(estimate.draws_error is not None for estimate in self.metrics.values())
        rows: list[tuple[str, ...]] = [("", "", "over rows", "over draws", "", "")] if drawn else []
        for name, estimate in self.metrics.items():
            value, error = figures(estimate)
            draws = (over_draws(estimate, len(value.partition(".")[2])),) if drawn else ()
            rows.append((name, value, error, *draws, estimate.unit, f"{estimate.n} rows"))
        lines = [table(rows, indent="  ")]
        for error, words in zip((math.inf, -math.inf), UNKNOWN):
            names = [name for name, estimate in self.metrics.items() if estimate.draws_error == error]
            lines += [f"  unknown: {', '.join(names)}: {words}"] if names else []
        return "\n".join(lines)

    def left_out_text(self) -> str:
        """Write a line for every reason why metrics are not there."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(name)
        return "\n".join(f"left out: {', '.join(names)}: {reason}" for reason, names in reasons.items())

    def warnings_text(self) -> str:
        """Write the warnings for people."""
        lines = []
        for name, message in self.warnings:
            lines.append(f"warning ({name}): {message}")
            if name == "posterior-collapse" and any(unit["active"] for unit in self.units):
                lines.append(units_text(self.units))
        return "\n".join(lines)


def _shown(name: str, metrics: dict[str, Estimate]) -> str:
    """Write a number as people read it: shares in percent, counts whole."""
    estimate, row = metrics[name], metric_of(name)
    if row.unit in ("share", "accuracy"):
        error = "" if math.isnan(estimate.standard_error) else f" ± {estimate.standard_error:.1%}"
        return f"{estimate.value:.1%}{error}"
    if name == "pareto_k":
        size = metrics["effective_sample_size"]
        return f"{size.value:.0f} of {size.num_samples}"
    counted = {"units": f"{estimate.value:.0f} {estimate.protocol.split(',')[0]}"}
    return counted.get(row.unit, f"{estimate}")


def _note(name: str, metrics: dict[str, Estimate]) -> str:
    """What stands beside a number."""
    if name == "pareto_k":
        return f"Pareto k {metrics[name].value:.2f}, medians over rows"
    if not name.startswith("kl_level_"):
        return ""
    size = metrics[name].protocol.rpartition(": ")[2]
    return f"of {size} latents{', drawn last' if name == 'kl_level_1' else ''}"


def figures(estimate: Estimate) -> tuple[str, str]:
    """Write a value and its error with two figures of the error, which a bound has not; without one with three."""
    error = estimate.standard_error
    if math.isnan(error) or error <= 0:
        return f"{estimate.value:.3g}", ""
    places = min(6, max(0, 1 - math.floor(math.log10(error))))
    return f"{estimate.value:.{places}f}", "" if estimate.bound else f"± {error:.{places}f}"


def over_draws(estimate: Estimate, places: int) -> str:
    """Write the error over draws with so many places, or that it is unknown; "" where it was not measured."""
    error = estimate.draws_error
    if error is None:
        return ""
    return "unknown" if math.isinf(error) else f"± {error:.{places}f}"


def unknown_draws(estimates: Sequence[Estimate], words: str) -> list[str]:
    """Write a line of what an unknown error over draws means, where there is one."""
    unknown = [one for one in estimates if math.isinf(one.draws_error or 0.0)]
    if not unknown:
        return []
    more, least = 10 * max(one.num_samples for one in estimates), max(one.at_least or 0.0 for one in unknown)
    said = f"a lower bound, by about {least:.2f} {unknown[0].unit} or more" if least else UNKNOWN[0]
    return [f"unknown: {words} is {said}; use more draws (--num-samples {more})"]


ROUNDING = 1e-3
"""Nats below which a gain and its error are those of rounding: the model is what it is compared with."""


def beats(gain: Estimate, over: str) -> str:
    """Write a gain over something as a sentence."""
    if gain.n > 1 and max(abs(gain.value), gain.standard_error) < ROUNDING:
        return f"is level with {over}, up to rounding"
    if gain.bound:
        sure, proven = gain.value > 2.0 * gain.standard_error, f"beats {over} by at least {gain.value:.2f} {gain.unit}"
        return proven if sure else f"may beat {over} or not: log p(x) is only a lower bound"
    verb, size = "beats" if gain.value > 0 else "falls short of", f"{abs(gain.value):.2f}"
    error = f"± {gain.standard_error:.2f} {gain.unit}" if gain.n > 1 else f"{gain.unit} (one row: no standard error)"
    return f"{verb} {over} by {size} {error}"


def units_text(units: tuple[dict[str, Any], ...]) -> str:
    """Write the table of the latent dimensions in use, those with the most KL first, and how many others there are."""
    used = [unit for unit in units if unit["active"]]
    ordered = sorted(used, key=lambda unit: -(unit["kl"] if unit["kl"] is not None else unit["variance"]))
    rows = [("unit", "KL (nats)", "variance of the mean")]
    for unit in ordered[:_MOST_UNITS]:
        kl = "" if unit["kl"] is None else f"{unit['kl']:.4f}"
        rows.append((str(unit["unit"]), kl, f"{unit['variance']:.4f}"))
    more = len(ordered) - _MOST_UNITS
    lines = [table(rows, indent="  "), *([f"  and {more} more in use"] if more > 0 else [])]
    if len(used) < len(units):
        lines.append(f"  and {len(units) - len(used)} units whose mean does not move with x")
    return "\n".join(lines)


Metrics = Mapping[str, Estimate]
Units = Sequence[Mapping[str, Any]]

LOST = 0.5
"""This part of what a model gains on its training rows over independent cells is lost on held-out rows."""

MORE = 0.1
"""Nats a row by which a simpler model must be better."""

BEHIND, FAR_BEHIND = 0.1, 1.0
"""log p(x) that draws may be wrong by so many nats and by more than its standard error, or by a nat, is a bound."""

SMALL = 0.01
"""Where draws lack less than this part of log p(x), and fewer bits a value, nothing is said."""

LOOSE, LOOSE_SHARE = 1.0, 0.5
"""An encoder that loses so many nats, and this part of its KL, against the best posterior of its own family."""

APART, APART_SHARE = 20.0, 1.0
"""An ELBO so many nats and this many times the KL below log p(x), is far from what was to be maximised."""

SPENT = 0.5
"""Codes that cost more nats than this, and buy next to nothing of log p(x | z), are ignored by the decoder."""

BOUGHT = 0.1
"""... where next to nothing is this part of what they cost."""


class Finding(NamedTuple):
    """What is wrong with a model: a name for programs, a message for people."""

    name: str  # such as "posterior-collapse"
    message: str  # what it means, and what helps


def diagnose(metrics: Metrics, units: Units = (), *, rising: bool = False) -> tuple[Finding, ...]:
    """The findings that these numbers support; rules whose numbers were not measured are silent."""
    # - `unfinished` in the place of `posterior-collapse`: training was stopped while validation still rose (`rising`),
    #   and the posterior is not the prior (`kl` above half a nat): it has not learned yet, which is no collapse.
    # - `posterior-collapse`: half of the latent units or more, and two at least, do not move with x (`units`); or the
    #   codes cost more than half a nat (`kl`) and buy less than a tenth of that (`log_likelihood_gain`): the decoder
    #   ignores them.
    # - `untrusted-evidence`: log p(x) may be wrong by its draws by 1 nat or more, or by 0.1 nats and more than its
    #   standard error (`draws_error`); not where that is below 1 % of log p(x) and below 0.01 bits a value. Heavy
    #   weights alone (`pareto_k`) make it a lower bound, as its text says.
    # - `loose-bound`: the ELBO (`elbo`) is below log p(x) by more than 20 nats and the KL: no family of posteriors
    #   explains that, the encoder proposes latents from which the decoder cannot make the row.
    # - `loose-encoder`: the encoder loses 1 nat and half of its KL against the best posterior of its own family
    #   (`amortisation_gap`, 4 standard errors above that).
    # - `overfitting`: at least half of the gain over independent cells on the training rows is lost on held-out rows
    #   (`generalisation_gap`, 4 standard errors above that).
    # - `simpler-is-better`: a tree of columns, a Gaussian of factors or another simple model has a log p(x) that is
    #   higher by 0.1 nats and 4 standard errors on the same rows (`gain_over_tree`, `gain_over_gaussian` and others).
    # Of a model none of whose units moves with x all samples are alike, so only the collapse is named.
    said = {name: _said(name, metrics, units) for name in _RULES}
    found = tuple(Finding(name, message) for name, message in said.items() if message)
    if found and found[0].name == "posterior-collapse" and rising:
        found = (_stopped(found[0], metrics, units), *found[1:])
    first = found[0].name if found else ""
    nothing_moves = bool(units) and not any(unit["active"] for unit in units)
    alike = nothing_moves or _ignored(metrics)
    return found[:1] if alike and first in ("posterior-collapse", "unfinished") else found


_RULES: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {}
"""Name of a finding -> the numbers that it needs, and what makes its message of them: "" where nothing is wrong."""


def _rule(name: str, *needs: str) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Register the rule of a finding; findings are told in the order of the rules."""

    def register(rule: Callable[..., str]) -> Callable[..., str]:
        _RULES[name] = needs, rule
        return rule

    return register


def _said(name: str, metrics: Metrics, units: Units) -> str:
    """The message of a rule; "" where it finds nothing, or a number that it needs was not measured."""
    needs, rule = _RULES[name]
    if not needs:
        return rule(metrics, units)
    evidence = metrics.get("log_marginal") or metrics.get("cross_entropy_bound")
    given = [evidence if need == "log p(x)" else metrics.get(need) for need in needs]
    return "" if None in given else rule(*given)


@_rule("posterior-collapse")
def _collapse(metrics: Metrics, units: Units) -> str:
    active = sum(bool(unit["active"]) for unit in units)
    advice = "try --set objective.beta_warmup_epochs=10, free bits, or fewer units"
    if _ignored(metrics):
        kl, gain = metrics["kl"].value, metrics["log_likelihood_gain"].value
        text = f"the KL is {kl:.1f} nats, but codes increase log p(x | z) by {gain:.1f}: the decoder ignores them"
        return f"{text}; {advice}"
    # One unit that is off where others move cannot be told from data that need no more.
    off = len(units) - active
    if not off or (active and (off < 2 or 2 * off < len(units))):
        return ""
    return f"only {active} of {len(units)} latent units depend on x; {advice}"


def _ignored(metrics: Metrics) -> bool:
    kl, gain = metrics.get("kl"), metrics.get("log_likelihood_gain")
    return kl is not None and gain is not None and kl.value > SPENT and abs(gain.value) < BOUGHT * kl.value


def _stopped(collapse: Finding, metrics: Metrics, units: Units) -> Finding:
    """What a collapse is called where training was stopped while validation still rose."""
    active, kl = sum(bool(unit["active"]) for unit in units), metrics.get("kl")
    if kl is None or kl.value <= SPENT:
        text, _, advice = collapse.message.partition("; ")
        return Finding(collapse.name, f"{text}; train longer first (validation still improved), then {advice}")
    text = f"training stopped while validation still improved: {active} of {len(units)} latent units depend on x so far"
    text += f", at a KL of {kl.value:.1f} nats"
    return Finding("unfinished", f"{text}; train longer (--epochs, --steps or --minutes) before using the latents")


@_rule("untrusted-evidence")
def _untrusted(metrics: Metrics, units: Units) -> str:
    found, bits = metrics.get("log_marginal") or metrics.get("cross_entropy_bound"), metrics.get("bits_per_dimension")
    if found is None or (lacks := found.draws_error) is None:
        return ""
    more = math.isinf(lacks) and found.at_least is not None
    lacks = found.at_least if more and found.at_least is not None else lacks
    # The error over rows says nothing of what two models differ by on the same rows: a nat counts beside any.
    if not lacks >= BEHIND or lacks <= min(found.standard_error, FAR_BEHIND):
        return ""
    share = lacks / max(abs(found.value), lacks)
    if bits is not None and share < SMALL and share * bits.value < SMALL:
        return ""
    told = f"it is too low by about {lacks:.1f} nats or more" if more else f"it may be too low by {lacks:.1f} nats"
    draws = f"more draws (--num-samples {10 * found.num_samples})"
    text = f"log p(x) was estimated from {found.num_samples} draws a row: {told}"
    if bits is not None and share < SMALL:
        return f"{text} ({share:.1%}); ignore this unless you compare models, then use {draws}"
    more = "a richer posterior (--set posterior=full-normal), or annealed importance sampling (docs/evidence.md)"
    return f"{text}; use {draws}, {more}"


@_rule("loose-bound", "log p(x)", "elbo", "kl")
def _apart(found: Estimate, elbo: Estimate, kl: Estimate) -> str:
    apart = found.value - elbo.value
    if not apart > APART + APART_SHARE * kl.value:
        return ""
    text = f"the ELBO is {apart:.3g} nats below log p(x), at a KL of {kl.value:.1f} nats: latents from the encoder "
    text += "do not reconstruct the row; check the training curve, use a lower learning rate "
    return f"{text}(--set optimizer.learning_rate) or train longer; do not trust either number until then"


@_rule("loose-encoder", "amortisation_gap", "kl")
def _loose(gap: Estimate, kl: Estimate) -> str:
    if not gap.value - 4.0 * gap.standard_error > max(LOOSE, LOOSE_SHARE * kl.value):
        return ""
    text = f"at a KL of {kl.value:.1f} nats the amortisation gap is {gap.value:.1f} nats"
    more = "train longer, or stop at the best validation ELBO"
    return f"{text}; use a larger encoder (--set network.hidden), {more}"


@_rule("overfitting", "generalisation_gap", "gain_over_independent")
def _overfitting(gap: Estimate, gain: Estimate) -> str:
    whole = gain.value + gap.value
    if whole <= 0 or not gap.value - LOST * whole > 4.0 * gap.standard_error:
        return ""
    text = f"training rows are {gap.value:.1f} nats more probable than held-out rows, more than half of what the model "
    text += "gains over independent cells; use early stopping (--set training.patience=10), fewer epochs, dropout, a "
    return f"{text}smaller network, or more rows"


_RIVALS = {
    "genes alone": ("gain_over_genes", "start from principal components (--set start=closed-form), or use more cells"),
    "a tree of columns": ("gain_over_tree", "use more draws in the objective (--set objective.num_samples=20)"),
    "the step a season before": ("gain_over_seasonal_naive", "start from its closed form (--set start=closed-form)"),
    "a regression on earlier steps": ("gain_over_regression", "use --recipe vrnn, which depends on the previous step"),
    "a Gaussian of factors": ("gain_over_gaussian", "start from its factors (--set network.linear=true)"),
}
"""What is counted in a second -> what the model gains over it, and what to do where that is below 0."""


@_rule("simpler-is-better")
def _simpler(metrics: Metrics, units: Units) -> str:
    for rival, (name, remedy) in _RIVALS.items():
        gain = metrics.get(name)
        if gain is not None and not gain.bound and gain.value < -max(MORE, 4.0 * gain.standard_error):
            text = f"{rival} is better by {-gain.value:.2f} nats a row on these rows; {remedy}, "
            return f"{text}train longer (--epochs, --steps or --minutes), or use more rows"
    return ""
