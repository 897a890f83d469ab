"""How a report shows the warnings of `evaluation/diagnosis.py`, where the rules stand, and what was not checked."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

FEW_DRAWS = 10
"""The effective number of draws below which log p(x) is said to hang on few of them."""

_TITLES = {
    "posterior-collapse": "Posterior collapse",
    "unfinished": "Training was stopped early",
    "untrusted-evidence": "log p(x) is only a lower bound",
    "loose-bound": "The ELBO is far below log p(x)",
    "loose-encoder": "The encoder falls short",
    "narrow-posterior": "The posterior is too narrow",
    "overfitting": "Overfitting",
    "simpler-is-better": "A simpler model is better",
    "not-held-out": "Not held out",
    "cross-entropy": "A cross-entropy, not a likelihood",
    "skipped-steps": "Steps left out",
}
_MEASURED = {
    "narrow-posterior": ("posterior_coverage", "whether the encoder's posterior is as wide as it should be"),
    "loose-encoder": ("amortisation_gap", "how much the encoder loses against the best posterior"),
    "overfitting": ("generalisation_gap", "how much better training rows do than held-out rows"),
}


class Warning_(NamedTuple):
    """One warning."""

    name: str  # its name for programs
    title: str
    found: str
    advice: str


def warnings_of(
    run: Sequence[Mapping[str, str]],
    evaluated: Sequence[Mapping[str, str]],
    metrics: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[Warning_]:
    """Collect the warnings of a run and of its full evaluation."""
    # Each name comes once, the evaluation's first.
    found: dict[str, Warning_] = {}
    for entry in [*evaluated, *run]:
        name, message = str(entry.get("name", "")), str(entry.get("message", ""))
        said, _, advice = message.partition("; ")
        found.setdefault(name, Warning_(name, _title(name), _sentence(said), _sentence(advice)))
    if "untrusted-evidence" not in found and (few := _few_draws(metrics)):
        found["few-draws"] = few
    return list(found.values())


def _few_draws(metrics: Mapping[str, Mapping[str, Any]]) -> Warning_ | None:
    """That log p(x) depends on few draws: the rules call it untrusted only where that outweighs the error over rows."""
    worth = metrics.get("effective_sample_size", {})
    value, draws = worth.get("value"), worth.get("num_samples")
    if not isinstance(value, int | float) or not isinstance(draws, int) or draws < FEW_DRAWS or value >= FEW_DRAWS:
        return None
    said = f"The effective sample size of {draws} draws is {value:.2g}: log p(x) is only a lower bound."
    advice = f"Compare models by the ELBO, or use more draws: `latens evaluate RUN --num-samples {10 * draws}`."
    return Warning_("few-draws", "log p(x) depends on few draws", said, advice)


def not_measured(metrics: Mapping[str, Any]) -> list[str]:
    """List what nobody has looked at yet, of what the full evaluation would."""
    return [what for metric, what in _MEASURED.values() if metric not in metrics]


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("-", " ").capitalize())


def _sentence(text: str) -> str:
    text = text.strip()
    return "" if not text else text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
