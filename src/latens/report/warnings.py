"""How a report shows the warnings of `evaluation/diagnosis.py`, where the rules stand, and what was not checked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

FELL = 0.02
"""Validation that ends this part of its gain below its best has turned."""

_TITLES = {
    "posterior-collapse": "Posterior collapse",
    "unfinished": "Training was stopped early",
    "untrusted-evidence": "log p(x) is only a lower bound",
    "loose-bound": "The ELBO is far below log p(x)",
    "loose-encoder": "The encoder falls short",
    "narrow-posterior": "The posterior is too narrow",
    "overfitting": "Overfitting",
    "memorisation": "Memorising",
    "off-support": "Samples off the data",
    "mode-dropping": "Kinds of rows that are never sampled",
    "simpler-is-better": "A simpler model is better",
    "weak-dependence": "Columns depend too little on one another in samples",
    "not-held-out": "Not held out",
    "cross-entropy": "A cross-entropy, not a likelihood",
    "skipped-steps": "Steps left out",
    "turned": "Validation has turned",
}
_MEASURED = {
    "narrow-posterior": ("posterior_coverage", "whether the encoder's posterior is as wide as it should be"),
    "loose-encoder": ("amortisation_gap", "how much the encoder loses against the best posterior"),
    "memorisation": ("copied_share", "whether samples are copies of training rows"),
    "mode-dropping": ("dropped_share", "whether every kind of row is sampled"),
    "off-support": ("precision", "whether samples lie where the data lie"),
    "overfitting": ("generalisation_gap", "how much better training rows do than held-out rows"),
}


class Warning_(NamedTuple):
    """One warning."""

    name: str  # its name for programs
    title: str
    found: str
    advice: str


def warnings_of(
    run: Sequence[Mapping[str, str]], evaluated: Sequence[Mapping[str, str]], history: Sequence[Mapping[str, Any]]
) -> list[Warning_]:
    """Collect the warnings of a run, of its full evaluation, and of its curves."""
    # Each name comes once, the evaluation's first.
    found: dict[str, Warning_] = {}
    for entry in [*evaluated, *run]:
        name, message = str(entry.get("name", "")), str(entry.get("message", ""))
        said, _, advice = message.partition("; ")
        found.setdefault(name, Warning_(name, _title(name), _sentence(said), _sentence(advice)))
    turned = validation_turned(history)
    if turned is not None:
        found.setdefault("turned", turned)
    return list(found.values())


def validation_turned(history: Sequence[Mapping[str, Any]]) -> Warning_ | None:
    """Warn where the validation ELBO ends more than 2 % of its whole gain below its best, while training rose."""
    # With v the validation ELBO of the epochs: max(v) - v[-1] > 0.02 (max(v) - v[0]), and the training ELBO of the last
    # epoch is above that of the best one.
    rows = [r for r in history if np.isfinite(_value(r, "validation_elbo")) and np.isfinite(_value(r, "train_elbo"))]
    if len(rows) < 3:
        return None
    value = np.array([_value(r, "validation_elbo") for r in rows])
    train = np.array([_value(r, "train_elbo") for r in rows])
    best = int(value.argmax())
    fallen = float(value[best] - value[-1])
    if not (fallen > FELL * float(value[best] - value[0]) and train[-1] > train[best]):
        return None
    said = f"the validation ELBO was best at step {rows[best].get('step')} and has fallen by {fallen:.2f} nats since, "
    said += f"while that of the training rows rose by {train[-1] - train[best]:.2f} nats"
    advice = (
        "training keeps the step that is best by the bound it validates, and the numbers are of that step; stop "
        "earlier (--set training.patience=10), add dropout "
    )
    advice += "(--set network.drop_probability=0.2), take a smaller network, or more rows"
    return Warning_("turned", _title("turned"), _sentence(said), _sentence(advice))


def not_measured(metrics: Mapping[str, Any]) -> list[str]:
    """List what nobody has looked at yet, of what the full evaluation would."""
    return [what for metric, what in _MEASURED.values() if metric not in metrics]


def _value(record: Mapping[str, Any], name: str) -> float:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("-", " ").capitalize())


def _sentence(text: str) -> str:
    text = text.strip()
    return "" if not text else text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
