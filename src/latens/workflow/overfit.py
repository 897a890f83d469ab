"""Whether a model knows its training rows better than rows like them: one answer, for the terminal and the report."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from latens.evaluation.diagnosis import lost_share

FELL = 0.02
"""Validation that ends this part of its gain below what it was at its best step has turned."""

Numbers = Mapping[str, Mapping[str, Any]]


class Overfit(NamedTuple):
    """The answer, and what it rests on."""

    answer: str  # "yes", "in part", "no", "unknown"; "" where nothing was trained
    because: str
    turned: str = ""  # how validation fell after its best step while training rose; "" where it did not

    @property
    def line(self) -> str:
        """The answer in one line; "" where there is none."""
        return f"Overfit: {self.answer}. {self.because}" if self.answer else ""

    @property
    def present(self) -> bool:
        """Whether the model that is kept overfits."""
        return self.answer in ("yes", "in part")


UNASKED = Overfit("", "")
"""No answer."""


def overfit(
    *, steps: int, best_step: int | None, because: str, kept_last: bool, again: bool, metrics: Numbers,
    history: Sequence[Mapping[str, Any]], apart: Mapping[str, Any] | None = None,
) -> Overfit:  # fmt: skip
    """Whether a model knows its training rows better than rows like them, by its validation or by `--all`."""
    # kept_last: whether the last step is kept whatever validation says; again: whether the last steps were trained on
    # all rows; history: the epochs of metrics.jsonl; apart: how much higher the ELBO of whole training rows is, where
    # training saw rows with cells hidden.
    rows = [one for one in history if _number(one, "validation_elbo") is not None]
    turned = "" if again or not best_step else fall(rows, best_step)
    gap, gain = metrics.get("generalisation_gap"), metrics.get("gain_over_independent")
    if gap is not None and gain is not None:
        size, error = gap["value"], gap["standard_error"] or 0.0
        answer = "yes" if lost_share(gain["value"], size) > 4.0 * error else "no"
        return Overfit(answer, f"Training rows are {size:.2f} ± {error:.2f} nats more probable.", turned)
    if not steps:
        return UNASKED
    if again:
        return Overfit("unknown", "The last steps used all rows, so none were left to check.")
    if not rows or not best_step:
        return Overfit("unknown", "No rows were set aside to validate.")
    kept = _nearest(rows, steps if kept_last else best_step)
    far, error = kept.get("train_elbo", -math.inf) - kept["validation_elbo"], 0.0
    if apart is not None:
        far, error = apart["value"], apart["standard_error"]
    if gain is not None and lost_share(gain["value"], far) > 2.0 * error:
        others = "validation" if apart is None else "held-out"
        return Overfit("in part", f"Training rows do {far:.1f} nats better than {others} rows.", turned)
    if kept_last and best_step < steps:
        found = f"Step {best_step:,} was best on validation rows; the last is kept."
        return Overfit("yes" if turned else "no", found, turned)
    if best_step >= steps:
        longer = ", so longer may be better" if because in ("budget", "minutes") else ""
        return Overfit("no", f"Validation rows gained to the end{longer}.")
    if turned:
        return Overfit("no", f"Step {best_step:,} of {steps:,} is kept; after it validation rows lost.", turned)
    return Overfit("no", f"Step {best_step:,} of {steps:,} was best on validation rows and is kept.")


def overfit_of(
    info: Mapping[str, Any], config: Mapping[str, Any], records: Iterable[Mapping[str, Any]], metrics: Numbers
) -> Overfit:
    """The same, of a run: its run.json, its configuration, and the records of its metrics.jsonl."""
    return overfit(
        steps=info.get("step") or 0,
        best_step=info.get("best_step"),
        because=info.get("stopped_because") or "",
        kept_last=(config.get("training") or {}).get("keep") == "last",
        again=bool(info.get("again")),
        metrics=metrics,
        history=[record for record in records if record.get("event") == "epoch"],
        apart=info.get("apart"),
    )


def fall(history: Sequence[Mapping[str, Any]], best_step: int) -> str:
    """Say how validation fell after the best step, where by more than 2 % of its gain while training rose."""
    # With v the bound of validation rows after epochs and b the epoch of the best step: v[b] - v[-1] > 0.02 (max(v) -
    # v[0]), and the bound of training rows of the last epoch is not below that of b. A training by IWAE stops by it.
    name = "iwae" if any(_number(one, "validation_iwae") is not None for one in history) else "elbo"
    own, other = f"validation_{name}", f"train_{name}"
    rows = [r for r in history if None not in (_number(r, own), _number(r, other))]
    if len(rows) < 3:
        return ""
    best, last = _nearest(rows, best_step), rows[-1]
    value = [r[own] for r in rows]
    fallen, risen = best[own] - last[own], last[other] - best[other]
    if not (fallen > FELL * (max(value) - value[0]) and risen >= 0):
        return ""
    return (
        f"After step {best_step:,} the {name.upper()} of validation rows fell by {fallen:.2f} nats, while that of "
        f"training rows rose by {risen:.2f}."
    )


def _nearest(rows: Sequence[Mapping[str, Any]], step: int) -> Mapping[str, Any]:
    return min(rows, key=lambda one: abs(one.get("step", 0) - step))


def _number(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
