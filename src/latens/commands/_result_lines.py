"""What a model came to, in at most three lines: the headline, the simplest rival, and one more of its kind."""

import math
import shlex
from typing import TYPE_CHECKING

from latens.commands._lazy import np
from latens.kinds import kind_of

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.evidence import Estimate
    from latens.trained.metrics import Summary
    from latens.trained.trained_model import TrainedModel

RIVALS = {
    "gain_over_independent": "independent {}s",
    "gain_over_genes": "each gene alone",
    "gain_over_bigram": "pairs of tokens, counted",
    "gain_over_seasonal_naive": "the step a season before",
    "gain_over_regression": "a regression on earlier steps",
}
"""What a model is put beside, the simplest first."""
MOST_PICTURES = 200
"""Held-out pictures that are reconstructed."""
SURE = 2.0
"""Standard errors from which on one number is called better than another."""


def result_lines(
    trained: "TrainedModel", data: "Dataset", positions: "np.ndarray", found: "Summary", *, cells: bool
) -> list[str]:
    """What came out, in at most three lines: the headline, the simplest rival, and one more of its kind."""
    # cells: whether there is time to hide cells of a table and fill them in.
    from latens.trained.metrics import headline

    metrics, name = found.metrics, headline(found.metrics)
    rows = f"{metrics[name].n:,} {'unseen' if found.held_out else found.split} rows"
    gain = next((one for one in RIVALS if one in metrics), None)
    if name not in ("log_marginal", "cross_entropy_bound") or gain is None:
        return [f"{found.label(name)} {metrics[name]} on {rows}"]
    value, over = metrics[name], RIVALS[gain].format(found.cells)
    lines = [f"{found.label(name)} {_told(value)} nats a row on {rows}"]
    lines += [f"{over}: {value.value - metrics[gain].value:.2f}, {verdict(metrics[gain])}"]
    if (bits := metrics.get("bits_per_dimension")) is not None:
        lines.append(f"{_told(bits)} bits a {found.cells}")
        lines[-1] += reconstructions(trained, data, positions)
    elif cells and trained.schema.column_types and not trained.is_point:
        lines += hidden_cells(trained, data, positions)
    return lines


def _told(value: "Estimate") -> str:
    """A value with its error over rows, or what it is a bound of."""
    return f"{value.bound} {value.value:.2f}" if value.bound else f"{value.value:.2f} ± {value.standard_error:.2f}"


def verdict(gain: "Estimate") -> str:
    """Whether the model is better by more than its errors, in words."""
    size, error = gain.value, gain.standard_error
    if gain.bound:  # what a model gains at least shows that it is better, and never that it is worse
        shown = math.isfinite(error) and size >= SURE * error
        return f"the model is better by at least {size:.2f}" if shown else "which the bound does not decide"
    if not math.isfinite(error):
        return f"the model {size:+.2f}"
    found = f"{abs(size):.2f} ± {error:.2f}"
    if abs(size) < SURE * error:
        return f"no significant difference ({found})"
    return f"the model is {'better' if size > 0 else 'WORSE'} by {found}"


def reconstructions(trained: "TrainedModel", data: "Dataset", positions: "np.ndarray") -> str:
    """How far reconstructions of pictures are off, and those of PCA with as many components; "" of other rows."""
    from latens.data.dataset import first_rows
    from latens.data.row_fields import every_nth
    from latens.evidence.factors import MOST_ROWS, principal

    if trained.schema.image is None or data.mask is not None or trained.schema.cells.high <= 1:
        return ""
    size, vector = math.prod(trained.latent_shape), trained.parts.posterior.support == "vector"
    if not vector or size >= data.count("train"):
        return ""
    high, train = trained.schema.cells.high, first_rows(data, data.subset("train"), MOST_ROWS)
    chosen = every_nth(positions, MOST_PICTURES)
    x, own = (np.asarray(data.x[at], np.float32).reshape(len(at), -1) for at in (chosen, train))
    made, pca = trained.reconstruct(trained.batch(data, chosen)), principal(own, size)
    away = x - pca.mean
    left = away - away @ pca.directions @ pca.directions.T
    ours, theirs = (float(np.sqrt(np.square(one).mean())) for one in (made.reshape(x.shape) - x, left))
    return f"; reconstructions off by {ours:.1f} of {high:g} levels (PCA with {size} components: {theirs:.1f})"


def hidden_cells(trained: "TrainedModel", data: "Dataset", positions: "np.ndarray") -> list[str]:
    """How well cells of held-out rows are filled in that were hidden at random, over all columns."""
    from latens.trained.imputation import hidden

    found, types = hidden(trained, data, positions), trained.schema.column_types
    x, filled, hide = found.true, found.filled, found.cells
    train = np.asarray(data.x[data.subset("train")], np.float64)
    known = np.ones(train.shape, bool) if data.mask is None else np.asarray(data.mask[data.subset("train")])
    right, usual, away, apart = [], [], [], []
    for i, one in enumerate(types):
        at, own = hide[:, i], train[known[:, i], i]
        if not len(own) or not at.any():
            continue
        if one.kind in ("category", "ordinal"):
            values, counts = np.unique(own, return_counts=True)
            right.append(filled[at, i] == x[at, i])
            usual.append(x[at, i] == values[counts.argmax()])
        elif own.std() > 0:
            away.append((filled[at, i] - x[at, i]) / own.std())
            apart.append((own.mean() - x[at, i]) / own.std())
    parts = []
    if right:
        share, other = (100 * np.concatenate(each).mean() for each in (right, usual))
        parts.append(f"right in {share:.0f} % (most frequent value: {other:.0f} %)")
    if away:
        error, other = (np.sqrt(np.square(np.concatenate(each)).mean()) for each in (away, apart))
        parts.append(f"RMSE of numbers {error:.2f} standard deviations (column mean: {other:.2f})")
    return [f"hidden cells: {', '.join(parts)}"] if parts else []


def next_of(trained: "TrainedModel", run: str, minutes: float | None = None) -> str:
    """The commands to type next, a line each; more of these minutes where they ended a training that improved."""
    from latens.trained.measurement import still_rising

    here, more = shlex.quote(run), ""
    if minutes is not None and still_rising(trained.facts):
        more = f"\nlatens resume {here} --minutes {minutes:g}  # validation still improved"
    usual = kind_of(trained.schema).sampled(trained.schema)[1]
    if many := {".txt": 20, ".png": 64}.get(usual):
        return f"latens sample {here} -n {many} --out new{usual}{more}"
    return f"latens {f'report {here} --only figures' if trained.preparation.depth else f'explore {here}'}{more}"
