"""The warnings about a model, by name: the rule, what it means, and what to do."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from latens.evidence.estimate import Estimate

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
