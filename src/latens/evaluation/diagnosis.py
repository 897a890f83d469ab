"""What numbers say is wrong with a model, by name: what it means, and what to do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from latens.evaluation.estimate import Estimate

Metrics = Mapping[str, Estimate]
Units = Sequence[Mapping[str, Any]]

SURE = 1e-3
"""A p-value below this is no chance; each finding also needs an effect that matters."""

COPIED = 0.3
"""A model whose samples are copies in at least this share of the cases memorises."""

DROPPED = 0.03
"""Kinds of rows that together are at least this share of the data, and hardly ever made."""

LOST = 0.5
"""This part of what a model gains on its training rows over independent cells is lost on held-out rows."""

FAR = 0.02
"""Samples of which fewer than this share are nearer to the training rows than a held-out row is."""


class Finding(NamedTuple):
    """A name for programs, and what it means and what helps for people."""

    name: str
    message: str


def diagnose(metrics: Metrics, units: Units = ()) -> tuple[Finding, ...]:
    """The findings that these numbers support; rules whose numbers were not measured are silent.

    - `posterior-collapse`: fewer than half of the latent units move with x.
    - `memorisation`: at least 30 % of the samples are copies of training rows (`copied_share`), and they lie nearer to
      these than held-out rows do (`memorisation` above 0.5); neither is chance. A model that only leans towards its
      training rows, with samples as far away as other rows, is not named.
    - `mode-dropping`: clusters with at least 3 % of the rows are hardly ever sampled (`dropped_share`).
    - `off-support`: nearly all samples lie farther from the training rows than held-out rows do (`memorisation` below
      0.02), and few near any row (`precision` below a tenth of what training rows reach, `precision_of_rows`).
    - `overfitting`: at least half of the gain over independent cells on the training rows is lost on held-out rows
      (`generalisation_gap`, 4 standard errors above that).

    Of a model none of whose units moves with x all samples are alike, so only the collapse is named.

    **Arguments:** `metrics` by name; `units` the rows of `latens.measure.unit_table`.
    """
    found = tuple(finding for rule in _RULES if (finding := rule(metrics, units)) is not None)
    nothing_moves = bool(units) and not any(unit["active"] for unit in units)
    return found[:1] if nothing_moves and found and found[0].name == "posterior-collapse" else found


def _collapse(metrics: Metrics, units: Units) -> Finding | None:
    active = sum(bool(unit["active"]) for unit in units)
    if 2 * active >= len(units):
        return None
    text = f"only {active} of {len(units)} latent units carry anything about x"
    return Finding(
        "posterior-collapse", f"{text}; try --set objective.beta_warmup_epochs=10, free bits, or fewer units"
    )


def _memorisation(metrics: Metrics, units: Units) -> Finding | None:
    names = ("copied_share", "copied_share_p_value", "memorisation", "memorisation_p_value")
    share, share_p, near, near_p = (metrics.get(name) for name in names)
    if share is None or share_p is None or near is None or near_p is None:
        return None
    if share.value < COPIED or near.value <= 0.5 or max(share_p.value, near_p.value) > SURE:
        return None
    text = f"about {share.value:.0%} of the samples are copies of training rows, or nearly so"
    return Finding(
        "memorisation",
        f"{text}; they reveal those rows and add nothing to them: use more rows, a smaller network, dropout "
        "(--set network.drop_probability=0.2), fewer epochs, or a prior that is not made of training rows",
    )


def _mode_dropping(metrics: Metrics, units: Units) -> Finding | None:
    dropped = metrics.get("dropped_share")
    if dropped is None or dropped.value < DROPPED:
        return None
    text = f"kinds of rows that are {dropped.value:.0%} of the data are hardly ever sampled"
    return Finding(
        "mode-dropping",
        f"{text}; the prior does not reach their latents, or training never saw them: fit the prior to the latents "
        "(`latens refit RUN --prior mixture`), train longer, or look for rows that were left out",
    )


def _off_support(metrics: Metrics, units: Units) -> Finding | None:
    near, precision, reference = (metrics.get(name) for name in ("memorisation", "precision", "precision_of_rows"))
    if near is None or precision is None or reference is None:
        return None
    if near.value >= FAR or precision.value >= 0.1 * reference.value:
        return None
    text = (
        f"nearly all samples lie farther from the training rows than held-out rows do (precision {precision.value:.2f})"
    )
    return Finding(
        "off-support",
        f"{text}; most of the prior is decoded to nothing like the data: fit the prior to the latents "
        "(`latens refit RUN --prior mixture`), or raise the weight of the KL (--set objective.beta=1)",
    )


def _overfitting(metrics: Metrics, units: Units) -> Finding | None:
    gap, gain = metrics.get("generalisation_gap"), metrics.get("gain_over_independent")
    if gap is None or gain is None:
        return None
    on_training = gain.value + gap.value
    margin = gap.value - LOST * on_training
    if on_training <= 0 or not margin > 4.0 * gap.standard_error:
        return None
    text = f"training rows are {gap.value:.1f} nats more probable than held-out rows"
    return Finding(
        "overfitting",
        f"{text}, more than half of what the model gains over independent cells; use early stopping (--set "
        "training.patience=10), fewer epochs, dropout, a smaller network, or more rows",
    )


_RULES: tuple[Callable[[Metrics, Units], Finding | None], ...] = (
    _collapse,
    _memorisation,
    _overfitting,
    _mode_dropping,
    _off_support,
)
