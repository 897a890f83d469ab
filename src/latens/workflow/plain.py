"""What was measured in words that need no course."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from latens.data import Dataset

if TYPE_CHECKING:
    from latens.workflow.trained import TrainedModel

SURE = 2.0
"""Standard errors from which a difference is named as one."""
Numbers = Mapping[str, Mapping[str, Any]]


def kind_of(trained: "TrainedModel", data: Dataset) -> str:
    """What one does next depends on it: "table", "text", "cells", "pictures" or "numbers"."""
    if trained.schema.tokens is not None:
        return "text"
    if trained.schema.types is not None:
        return "table"
    if counts_of_cells(trained.config):
        return "cells"
    return "pictures" if len(data.schema.shape) in (2, 3) and data.schema.columns is None else "numbers"


def counts_of_cells(config: Any) -> bool:
    """Whether rows are counts with a depth of their own, as those of single cells."""
    return getattr(getattr(config, "likelihood", None), "family", "").startswith("depth")


def duration(seconds: float) -> str:
    """Write a time with the precision that one remembers: 11 s, 12 min, 2.4 h."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def cells_of(data: Dataset, positions: Sequence[int] | Any) -> float:
    """Values of a row that are there, as a mean over rows."""
    mask = getattr(data, "mask", None)
    whole = float(math.prod(data.schema.shape))
    return whole if mask is None or not len(positions) else float(mask[positions].sum()) / len(positions)


def better(metrics: Numbers, *, split: str, held_out: bool | None, cells: float, each: str, classes: int = 0) -> str:
    """How much better than guessing a model is, in per cent."""
    # Whole numbers have bits: with g the gain over independent cells and l the mean of log p(x), both in nats a row,
    # the share of bits that is saved is g / (g - l). Densities have none: theirs is exp(g / cells) - 1, by how much
    # more probable a cell is (the geometric mean over cells).
    # each: what is guessed alone, "pixel" or "column"; classes: how many a classifier chooses among.
    first = next((name for name in ("log_marginal", "cross_entropy_bound") if name in metrics), "")
    rows = int((metrics.get(first) or next(iter(metrics.values()), {"n": 0})).get("n") or 0)
    who = f"On {rows:,} {_which(split, held_out)}:"
    if "depth_explained" in metrics:
        return codes_of_cells(metrics)
    token = metrics.get("gain_over_bigram")
    gain = token or metrics.get("gain_over_independent")
    if first and gain is not None:
        over = "guessing each token from the last" if token else f"guessing {each} by {each}"
        return f"{who} {_by(metrics, gain, metrics[first]['value'], cells, over)}"
    target = metrics.get("gain_over_mean_target")
    if target is not None:
        error = metrics["target_squared_error"]["value"]
        share = target["value"] / (error + target["value"])
        return f"{who} targets {100 * abs(share):.0f} % {'closer' if share > 0 else 'farther'} than their mean."
    if not first and "accuracy" in metrics:
        chance = f" (guessing: {100 / classes:.0f} %)" if classes else ""
        one = metrics["accuracy"]
        return f"{who} the class is right in {_percent(one['value'], one['standard_error'])}{chance}."
    if not first and "two_sample_accuracy" in metrics:
        one = metrics["two_sample_accuracy"]
        told = _percent(one["value"], one["standard_error"])
        return f"{who} a test knows its samples from them in {told} (guessing: 50 %)."
    return ""


def codes_of_cells(metrics: Numbers) -> str:
    """What codes of cells keep, beside what as many principal components of log-normalised counts do."""
    said = {"type_agreement": "types of neighbours", "batch_mixing": "batches mixed", "depth_explained": "depth left"}
    parts = []
    for name in filter(metrics.__contains__, said):
        ours, other = (metrics[one]["value"] for one in (name, f"{name}_components"))
        parts.append(f"{said[name]} {100 * ours:.0f} % (PCA: {100 * other:.0f} %)")
    return f"Codes: {', '.join(parts)}."


def _which(split: str, held_out: bool | None) -> str:
    if split == "train":
        return "training rows"
    if held_out:
        return "unseen rows"
    return "validation rows" if held_out is False else "rows of other data"


def _percent(share: float, error: float | None) -> str:
    """A share with its error, both with the places that the error leaves."""
    sure = error is not None and math.isfinite(error) and error > 0
    places = min(3, max(0, -math.floor(math.log10(100 * error)))) if sure and error else 1
    return f"{100 * share:,.{places}f}" + (f" ± {100 * error:,.{places}f}" if sure and error else "") + " %"


def _by(metrics: Numbers, gain: Mapping[str, Any], value: float, cells: float, over: str) -> str:
    size, error = gain["value"], gain["standard_error"]
    if error is not None and math.isfinite(error) and abs(size) < SURE * error:
        return f"no better than {over}."
    if "bits_per_dimension" in metrics or "bits_per_token" in metrics:
        guess = size - value
        if guess > 0:
            scale = 1.0 / guess
            words = f"{_percent(abs(size) * scale, None if error is None else error * scale)} "
            return f"{words}{'fewer' if size > 0 else 'MORE'} bits than {over}."
    ratio = math.exp(min(abs(size) / max(cells, 1.0), 50.0))
    more = "more" if size > 0 else "LESS"
    scale = ratio / max(cells, 1.0)
    if size < 0:
        ratio, scale = 1 / ratio, 1 / ratio / max(cells, 1.0)
    share = _percent(abs(ratio - 1.0), None if error is None else error * scale)
    return f"{'cells' if over.endswith('column') else 'values'} {share} {more} likely than {over}."
