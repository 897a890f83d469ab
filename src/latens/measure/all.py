"""Every metric that applies to a trained model, with a reason for each that does not: `latens evaluate --all`."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from latens.data import Dataset
from latens.errors import LatensError
from latens.evaluation import Estimate, Finding, diagnose
from latens.measure.core import NUM_SAMPLES, headline, measured, still_rising
from latens.measure.groups import GROUPS, Work
from latens.workflow.trained import TrainedModel


@dataclass
class Everything:
    """All that `measure_all` found.

    Args:
        metrics: The estimates by name.
        left_out: Why other metrics were left out, by name.
        findings: What the metrics say is wrong.
        units: The table of latent dimensions, as `unit_table` gives it.
        grey: Whether the pixels are grey under a Bernoulli, so that log p(x) is a cross-entropy.
    """

    metrics: dict[str, Estimate] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    units: list[dict[str, Any]] = field(default_factory=list)
    grey: bool = False


def measure_all(
    trained: TrainedModel,
    data: Dataset,
    positions: np.ndarray,
    *,
    num_samples: int | None = None,
    seed: int = 0,
    only: Collection[str] | None = None,
) -> Everything:
    """Measure what `measure` does and, in the order of `GROUPS`, all else that applies to the rows at `positions`.

    That is: where the KL goes, gaps of inference, the aggregated posterior against the prior, calibration, codes
    against
    labels, samples against rows, predictive checks, copies and dropped modes, and training rows against held-out rows.
    Large data are subsampled, as each protocol says.

    Args:
        trained: The trained model.
        data: The data.
        positions: The positions of the rows that are measured, of shape (n,).
        num_samples: Samples for each row for log p(x); None as in `measure`.
        seed: The seed of everything random.
        only: Names of metrics: these, and those that are made together with them, beside what `measure` gives; None is
            all.

    Returns:
        The metrics, why others were left out, and what they say is wrong.

    Raises:
        DataError: The rows are not such as the model was trained on.
    """
    work = Work(trained, data, positions, num_samples or NUM_SAMPLES, seed)
    first = measured(trained, data, positions, num_samples=num_samples, seed=seed)
    found = Everything(metrics=first.metrics, units=first.units, grey=first.grey)
    work.metrics, work.num_samples = found.metrics, found.metrics[headline(found.metrics)].num_samples
    for group in GROUPS if only is None else [group for group in GROUPS if set(only) & set(group.names)]:
        reason = group.why_not(work)
        began = time.perf_counter()
        made: dict[str, Estimate] = {}
        if not reason:
            try:
                made = group.run(work)
            except LatensError as error:  # the parts of latens say what a model lacks for a number
                reason = error.message.rstrip(".")
        missing = (name for name in group.names if name not in made and name not in found.metrics)
        found.left_out |= dict.fromkeys(missing, reason or group.partly)
        seconds = time.perf_counter() - began
        found.metrics |= {name: replace(value, seed=seed, seconds=seconds) for name, value in made.items()}
    units = found.units if "active_units" in found.metrics else []
    found.findings = diagnose(found.metrics, units, rising=still_rising(trained.facts))
    return found
