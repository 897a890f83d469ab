"""Numbers, warnings and units in words: what a run and an evaluation end with."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from latens.commands.context import table
from latens.data import Dataset
from latens.evaluation import Estimate
from latens.measure import headline, measure, unit_table
from latens.trained import TrainedModel

_NAMES = {
    "log_marginal": "log p(x)",
    "cross_entropy_bound": "cross-entropy bound",
    "accuracy": "accuracy",
    "elbo": "ELBO",
    "log_likelihood": "log p(x | z)",
    "kl": "KL",
    "bits_per_dimension": "",
    "active_units": "active units",
    "clustering_accuracy": "clustering accuracy",
    "normalised_mutual_information": "NMI with the classes",
}
_MOST_UNITS = 32


@dataclass(frozen=True)
class Report:
    """What was measured, on which rows, and what a reader must know about it. `held_out` None: nobody can know."""

    metrics: dict[str, Estimate]
    split: str
    held_out: bool | None
    warnings: tuple[tuple[str, str], ...]
    units: tuple[dict[str, Any], ...]
    cells: str

    def to_json(self, *, seconds: bool = True) -> dict[str, Any]:
        """The metrics as plain values; without `seconds` equal for equal runs."""
        metrics = {name: estimate.to_json() for name, estimate in self.metrics.items()}
        if not seconds:
            metrics = {name: {k: v for k, v in m.items() if k != "seconds"} for name, m in metrics.items()}
        return metrics

    def warnings_json(self) -> list[dict[str, str]]:
        return [{"name": name, "message": message} for name, message in self.warnings]

    def text(self) -> str:
        """The numbers, a line each."""
        best = headline(self.metrics)
        main = self.metrics[best]
        draws = f", {main.num_samples} draws a row" if main.num_samples > 1 else ""
        held = ", not held out" if self.held_out is False else ""
        value = f"{main.value:.1%} ± {main.standard_error:.1%}" if best == "accuracy" else f"{main}"
        rows = [(_NAMES[best], value, f"({self.split}, {main.n} rows{draws}{held})")]
        for name in ("bits_per_dimension", "elbo", "log_likelihood", "kl"):
            if name in self.metrics and name != best:
                grey = name == "log_likelihood" and best == "cross_entropy_bound"
                rows.append(("-cross-entropy" if grey else _NAMES[name], f"{self.metrics[name]}", ""))
        for name in ("accuracy", "clustering_accuracy"):
            if name in self.metrics and name != best:
                share = self.metrics[name]
                rows.append((_NAMES[name], f"{share.value:.1%} ± {share.standard_error:.1%}", ""))
        if "normalised_mutual_information" in self.metrics:
            name = "normalised_mutual_information"
            rows.append((_NAMES[name], f"{self.metrics[name].value:.3f}", ""))
        if "active_units" in self.metrics:
            estimate = self.metrics["active_units"]
            rows.append((_NAMES["active_units"], f"{estimate.value:.0f} {estimate.protocol.split(',')[0]}", ""))
        lines = [table(rows, indent="  ")]
        if "gain_over_independent" in self.metrics:
            gain = self.metrics["gain_over_independent"]
            lines.append(f"  {beats(gain, self.cells)}")
        return "\n".join(lines)

    def warnings_text(self) -> str:
        lines = []
        for name, message in self.warnings:
            lines.append(f"warning ({name}): {message}")
            if name == "posterior-collapse":
                lines.append(units_text(self.units))
        return "\n".join(lines)


def beats(gain: Estimate, cells: str) -> str:
    """The comparison with independent cells as a sentence."""
    verb = "beats" if gain.value > 0 else "falls short of"
    if not gain.standard_error > 0:
        return f"{verb} an independent-{cells} model by {abs(gain.value):.2f} {gain.unit} (one row: no standard error)"
    errors = abs(gain.value) / gain.standard_error
    size = f"{abs(gain.value):.2f} ± {gain.standard_error:.2f} {gain.unit}"
    return f"{verb} an independent-{cells} model by {size} ({errors:.1f} standard errors)"


def units_text(units: tuple[dict[str, Any], ...]) -> str:
    """The table of latent units, those with the most KL first."""
    ordered = sorted(units, key=lambda unit: -(unit["kl"] if unit["kl"] is not None else unit["variance"]))
    rows = [("unit", "KL (nats)", "variance of the mean", "")]
    for unit in ordered[:_MOST_UNITS]:
        kl = "" if unit["kl"] is None else f"{unit['kl']:.4f}"
        rows.append((str(unit["unit"]), kl, f"{unit['variance']:.4f}", "active" if unit["active"] else "unused"))
    more = len(ordered) - _MOST_UNITS
    return table(rows, indent="  ") + (f"\n  and {more} more with less" if more > 0 else "")


def report(
    trained: TrainedModel, data: Dataset, split: str, positions: np.ndarray, *, num_samples: int, seed: int = 0
) -> Report:
    """Measure a model on the rows at `positions`, which are called `split`."""
    units = unit_table(trained, trained.batch(data, positions))
    metrics = measure(trained, data, positions, num_samples=num_samples, seed=seed, units=units)
    # Rows of other data may or may not have been trained on.
    held_out = None if split == "all" else split == "test" and data.held_out
    warnings = []
    if split == "train":
        warnings.append(("not-held-out", "there are no other rows than those the model was trained on"))
    elif held_out is False:
        warnings.append(("not-held-out", f"the {split} rows also chose the epoch that is kept"))
    if metrics[headline(metrics)].protocol.startswith("grey"):
        text = "grey cells under a Bernoulli: the numbers are cross-entropy, not log p(x)"
        warnings.append(("cross-entropy", f"{text} (--set data.binarize=stochastic makes them one)"))
    if "active_units" in metrics:
        active = sum(unit["active"] for unit in units)
        if 2 * active < len(units):
            text = f"only {active} of {len(units)} latent units carry anything about x"
            fix = "try --set objective.beta_warmup_epochs=10, free bits, or fewer units"
            warnings.append(("posterior-collapse", f"{text}; {fix}"))
    cells = "column" if data.schema.columns is not None else "pixel"
    return Report(metrics, split, held_out, tuple(warnings), tuple(units), cells)


def held_out_rows(data: Dataset) -> tuple[str, np.ndarray]:
    """The rows to measure on: test rows where there are any, else validation, else training rows."""
    for split in ("test", "validation", "train"):
        positions = data.subset(split)
        if len(positions):
            return split, positions
    return "all", np.arange(len(data))
