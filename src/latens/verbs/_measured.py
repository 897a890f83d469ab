"""Numbers, warnings and units in words: what a run and an evaluation end with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.config import Config, VAEConfig
from latens.data import Dataset
from latens.evaluation import Estimate
from latens.evaluation.estimate import UNKNOWN
from latens.io.terminal import table
from latens.workflow.groups import Everything, measure_all
from latens.workflow.measurement import density_of, headline
from latens.workflow.metrics import METRICS, metric_of
from latens.workflow.trained import TrainedModel

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
        # seconds: whether to keep the seconds; without them equal runs give equal values.
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
        rows = [(self._label(best), _shown(best, self.metrics), f"({self.split}, {main.n} rows{draws}{held})")]
        # A hierarchy has its levels from the highest, which is drawn first.
        told = [n for n in reversed(self.metrics) if metric_of(n).told in ("always", best) and n != best]
        told.sort(key=lambda name: list(METRICS).index(metric_of(name).name))
        rows += [(self._label(name), _shown(name, self.metrics), _note(name, self.metrics)) for name in told]
        lines = [table(rows, indent="  ")]
        if main.draws_error == math.inf and "untrusted-evidence" not in dict(self.warnings):
            about = "" if main.at_least is None else f"about {main.at_least:.2f} {main.unit} or more are lacking; "
            lines.append(f"  a lower bound: {about}use more draws (--num-samples {10 * main.num_samples})")
        for row in METRICS.values():
            if row.over and row.name in self.metrics:
                errors = row.name == "gain_over_independent"
                lines.append(f"  {beats(self.metrics[row.name], row.over.format(cells=self.cells), errors=errors)}")
        return "\n".join(lines)

    def _label(self, name: str) -> str:
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
    if row.is_share:
        return f"{estimate.value:.1%} ± {estimate.standard_error:.1%}"
    if name == "pareto_k":
        size = metrics["effective_sample_size"]
        return f"{size.value:.0f} of {size.num_samples}"
    counted = {"NMI": f"{estimate.value:.3f}", "units": f"{estimate.value:.0f} {estimate.protocol.split(',')[0]}"}
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
    """Write a value and its error with two figures of the error; a value without one with three figures."""
    error = estimate.standard_error
    if math.isnan(error) or error <= 0:
        return f"{estimate.value:.3g}", ""
    places = min(6, max(0, 1 - math.floor(math.log10(error))))
    return f"{estimate.value:.{places}f}", f"± {error:.{places}f}"


def over_draws(estimate: Estimate, places: int) -> str:
    """Write the error over draws with so many places, or that it is unknown; "" where it was not measured."""
    error = estimate.draws_error
    if error is None:
        return ""
    return "unknown" if math.isinf(error) else f"± {error:.{places}f}"


def unknown_draws(estimates: Sequence[Estimate], words: str) -> list[str]:
    """Write a line of what an unknown error over draws means, where there is one."""
    if not any(math.isinf(one.draws_error or 0.0) for one in estimates):
        return []
    more = 10 * max(one.num_samples for one in estimates)
    return [f"unknown: {words} is {UNKNOWN[0]}; use more draws (--num-samples {more})"]


def beats(gain: Estimate, over: str, *, errors: bool = False) -> str:
    """Write a gain over something as a sentence, where asked with the count of its standard errors."""
    verb, size = "beats" if gain.value > 0 else "falls short of", f"{abs(gain.value):.2f}"
    if errors and not gain.standard_error > 0:
        return f"{verb} {over} by {size} {gain.unit} (one row: no standard error)"
    count = f" ({abs(gain.value) / gain.standard_error:.1f} standard errors)" if errors else ""
    return f"{verb} {over} by {size} ± {gain.standard_error:.2f} {gain.unit}{count}"


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


def summary_of(
    trained: TrainedModel,
    data: Dataset,
    split: str,
    positions: Shaped[np.ndarray, " n"],
    *,
    num_samples: int | None,
    seed: int = 0,
    everything: bool = False,
) -> Summary:
    """Measure a model."""
    # num_samples: importance samples of each row; None takes the default.
    only = None if everything else ()
    found = measure_all(trained, data, positions, num_samples=num_samples, seed=seed, only=only)
    return summarised(trained, data, split, found)


def summarised(trained: TrainedModel, data: Dataset, split: str, found: Everything) -> Summary:
    """Add to what was measured what a reader must know about it."""
    held_out, warnings = beware(split, data, grey=found.grey, config=trained.config)
    warnings += [(finding.name, finding.message) for finding in found.findings]
    cells = "column" if data.schema.columns is not None else "pixel"
    said = (split, held_out, tuple(warnings), tuple(found.units), cells, found.left_out, density_of(trained))
    return Summary(found.metrics, *said)


def beware(
    split: str, data: Dataset, *, grey: bool, config: Config | None = None
) -> tuple[bool | None, list[tuple[str, str]]]:
    """Say whether rows are held out, and what a reader must know about the numbers."""
    # returns: whether training did not see the rows (None where nobody can know), and name and message of each warning.
    # Rows of other data may or may not have been trained on.
    held_out = None if split == "all" else split == "test" and data.held_out
    warnings = []
    if split == "train":
        warnings.append(("not-held-out", "there are no other rows than those the model was trained on"))
    elif held_out is False:
        warnings.append(("not-held-out", f"the {split} rows {_what_they_chose(config)}"))
    if grey:
        text = "grey cells under a Bernoulli: the numbers are cross-entropy, not log p(x)"
        warnings.append(("cross-entropy", f"{text} (--set data.binarize=stochastic makes them one)"))
    return held_out, warnings


def _what_they_chose(config: Config | None) -> str:
    """What rows that training validated on did to the model."""
    training = None if not isinstance(config, VAEConfig) else config.training
    if training is None or training.keep == "best":
        return "also chose the epoch that is kept"
    if training.patience is not None:
        return "also chose when training ended"
    return "were validated on in training; they chose nothing, as the last step is kept, but its curves show them"


def held_out_rows(data: Dataset) -> tuple[str, np.ndarray]:
    """Choose the rows to measure on: test rows where there are any, else validation, else training rows."""
    for split in ("test", "validation", "train"):
        positions = data.subset(split)
        if len(positions):
            return split, positions
    return "all", np.arange(len(data))
