"""Metrics as sums over rows: what workers find of parts, and what it comes to, whatever their number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from latens.config import ClassifierConfig
from latens.data import Dataset
from latens.errors import ConfigError, DataError
from latens.evaluation import Estimate
from latens.evaluation.evidence.log_marginals import DrawSums
from latens.workflow.inputs import has_likelihood
from latens.workflow.measurement import NUM_SAMPLES, Measurement
from latens.workflow.metrics import headline, metric_of
from latens.workflow.trained import TrainedModel


class _Rows(Measurement):
    """A measurement that keeps the value of each row of what is a mean over rows."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: dict[str, tuple[np.ndarray, Estimate]] = {}

    def add(self, name: str, rows: np.ndarray, num_samples: int, protocol: str) -> None:
        super().add(name, rows, num_samples, protocol)
        self.kept[name] = np.asarray(rows, np.float64), self.found[name]


def refuse_sums(trained: TrainedModel) -> None:
    """Refuse a model none of whose metrics is a mean over rows by themselves."""
    if isinstance(trained.config, ClassifierConfig) or not has_likelihood(trained):
        what = "no log p(x) of this model is a sum over rows."
        raise ConfigError(what, where="--workers", fix="Leave --workers out.")


def part_sums(
    trained: TrainedModel,
    data: Dataset,
    positions: Shaped[np.ndarray, " n"],
    *,
    num_samples: int | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Sum log p(x), the parts of the ELBO, and what else is a mean over rows, over the rows of a part."""
    # returns: jSON values by metric: n, the sums of w, w^2, w r, w^2 r and w^2 r^2 over rows of the value r and the
    # weight w, each rounded once, and how r was made; of log p(x) the sums that the error of its draws is made of.
    batch = trained.batch(data, positions)
    work = _Rows(trained, data, batch, None, num_samples or NUM_SAMPLES, jax.random.key(seed))
    if trained.is_point:
        work.autoencoder()
    else:
        work.evidence()
        work.by_level()
    weight = np.ones(len(positions)) if data.weight is None else data.weight[positions].astype(np.float64)
    found = {}
    for name, (rows, estimate) in work.kept.items():
        terms = {"w": weight, "w2": weight**2, "wr": weight * rows, "w2r": weight**2 * rows}
        terms["w2r2"] = (weight * rows) ** 2
        sums = {term: math.fsum(values) for term, values in terms.items()}
        about = {"unit": metric_of(name).unit, "protocol": estimate.protocol, "num_samples": estimate.num_samples}
        found[name] = {"n": len(rows), **sums, **about}
    if work.marginals is not None:
        found[headline(work.found)]["draws"] = replace(work.marginals, weight=weight).sums.to_json()
    return found


def combined(parts: Sequence[Mapping[str, Mapping[str, Any]]], seed: int = 0) -> dict[str, Estimate]:
    """Put the sums of parts together, in their order: each total is that of the parts, rounded once."""
    found = {}
    for name, first in parts[0].items():
        mine = [part[name] for part in parts if name in part]
        total = {term: math.fsum(one[term] for one in mine) for term in ("w", "w2", "wr", "w2r", "w2r2")}
        n = sum(one["n"] for one in mine)
        if not total["w"] > 0:
            what = f"the weights of all {n} rows that are measured are 0."
            raise DataError(what, where="weight", fix="Give some of them a weight above 0, or leave the weights out.")
        value = total["wr"] / total["w"]
        spread = max(0.0, total["w2r2"] - 2 * value * total["w2r"] + value**2 * total["w2"])
        error = math.sqrt(spread * n / (n - 1)) / total["w"] if n > 1 else math.nan
        about = {"unit": first["unit"], "protocol": first["protocol"], "seed": seed}
        found[name] = Estimate(value, error, first["num_samples"], n, **about)
        if "draws" in first:
            draws = DrawSums.total([DrawSums.of_json(one["draws"]) for one in mine])
            found[name] = found[name].with_draws_error(draws.draws_error, draws.lacks)
    return found
