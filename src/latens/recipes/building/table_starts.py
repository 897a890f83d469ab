"""The start of a table: encoder and decoder hold the factors of its columns' scores, to which networks add."""

from collections.abc import Sequence
from typing import Any, cast

import equinox as eqx
import numpy as np
from jaxtyping import Float

from latens.data import Dataset
from latens.data.dataset import training_rows
from latens.evidence.factors import (
    MOST_ROWS,
    MOST_VALUES,
    ColumnFactors,
    fit_column_factors,
    latent_gains,
    scored,
    scores_of,
)
from latens.kinds.tables.columns import ColumnType
from latens.models import LatentModel
from latens.models.heads.base import raw_scale
from latens.models.heads.table import TableHead, TableInput, form_of, middles_of

LOGISTIC = 1.702
"""The scale of a Normal that is nearest to the standard logistic law. Source: Camilli (1994)."""
STEEPEST = 3.0
"""The most that one standard deviation of a factor changes the logit of a name, in nats."""


def table_latents(data: Dataset, most: int) -> int:
    """How many factors of the scores gain on training rows that were held out; at most one for each column."""
    x, mask, weight, types = _rows_of(data)
    rows = scored(x, mask, types, [scores_of(one, len(x)) for one in types], weight)
    return int(latent_gains(rows, min(most, len(types), max(rows.shape[1] - 1, 0))).argmax())


def at_columns(model: LatentModel, data: Dataset) -> LatentModel:
    """The model whose encoder and decoder are the factors of the training rows, to which networks add nothing yet."""
    x, mask, weight, types = _rows_of(data)
    encoder, decoder = cast(Any, model.encoder), cast(Any, model.decoder)
    count = int(np.prod(encoder.head.shape))
    made = fit_column_factors(x, mask, types, count=count, weight=weight)
    up, at = encoder_map(made, types, encoder.standardise)
    scale = 1.0 / np.sqrt(np.diag(made.precision()))
    floor = encoder.head.scale_floor if encoder.head.scale == "softplus" else 0.0
    at = np.concatenate([at, raw_scale(scale, encoder.head.scale, floor)])
    down, bias = decoder_map(made, types, decoder.head)
    # Labels and conditions are read after these numbers, and the closed form does not depend on them.
    more = len(encoder.network.weight.value) - len(up)
    up, down = (np.pad(one, ((0, more), (0, 0))) for one in (up, down))
    paths = encoder.network.at(up, at), decoder.network.at(down, bias)
    return eqx.tree_at(lambda m: (m.encoder.network, m.decoder.network), model, paths)


def encoder_map(
    made: ColumnFactors, types: Sequence[ColumnType], entry: TableInput
) -> tuple[Float[np.ndarray, "n_in k"], Float[np.ndarray, " k"]]:
    """The map from what an encoder sees of a row to the posterior means of the factors, and their constant."""
    precision = np.diag(made.precision())
    maps = [slopes / precision for slopes in made.slopes()]
    slots = entry.slots()
    found, constant = np.zeros((len(slots), made.latents)), np.zeros(made.latents)
    for row, slot in enumerate(slots):
        if slot is None:
            continue
        place, j = slot
        one, scores, own = types[place], made.scores[place], maps[place]
        if not scores.shape[1]:
            continue
        if form_of(one) != "ordered":
            found[row] = scores[j] @ own if j >= 0 else 0.0
            continue
        shares, middle = np.asarray(one.shares), middles_of(one)
        mean = shares @ middle
        spread = np.sqrt(shares @ (middle - mean) ** 2)
        if j == -2:
            found[row] = own[0] / spread
        elif j == -1:  # 0.5 where the cell is observed, and -0.5 where it is missing
            found[row] = -mean / spread * own[0]
            constant += 0.5 * found[row]
    return found, constant


def decoder_map(
    made: ColumnFactors, types: Sequence[ColumnType], head: TableHead
) -> tuple[Float[np.ndarray, "k n_out"], Float[np.ndarray, " n_out"]]:
    """The map from factors to the outputs of a head, and the outputs where the factors are 0."""
    slots, ratios = head.slots(), made.ratios()
    maps, bias = np.zeros((made.latents, len(slots))), np.zeros(len(slots))
    for column, slot in enumerate(slots):
        if slot is None:
            continue
        place, j = slot
        one, (slopes, constant) = types[place], ratios[place]
        form = form_of(one)
        if not made.scores[place].shape[1]:
            continue
        if form in ("category", "free"):
            steep = STEEPEST if form == "category" else np.inf
            maps[:, column], bias[column] = np.clip(slopes[j], -steep, steep), constant[j]
        else:
            maps[:, column], bias[column] = _of_number(one, made.slopes()[place][0], made.weights[place][0], j)
    return maps, bias


def _of_number(
    one: ColumnType, slope: Float[np.ndarray, " k"], weight: Float[np.ndarray, " k"], j: int
) -> tuple[Float[np.ndarray, " k"] | float, Float[np.ndarray, ""] | float]:
    """What factors add to output j of an ordinal or of a number of many segments, and its constant."""
    shares, middle = np.asarray(one.shares, np.float64), middles_of(one)
    mean = shares @ middle
    spread = np.sqrt(shares @ (middle - mean) ** 2)
    left = np.sqrt(1.0 - weight @ weight)
    if form_of(one) == "ordinal":
        # A Normal of scale s around m, seen through the cuts of its marginal law.
        cut = np.log(shares[0]) - np.log1p(-shares[0])
        return (LOGISTIC * weight / left, cut * (1.0 - 1.0 / left)) if j == 0 else (0.0, -np.log(left))
    # s (w z / v) - s^2 |w|^2 / 2 v with s = (c - mean) / spread, in the functions 0.5 c and 0.125 c^2; what does not
    # depend on c is normalised away.
    explained = slope @ weight
    if j == 0:
        return 2.0 * slope / spread, 2.0 * explained * mean / spread**2
    return 0.0, -4.0 * explained / spread**2 if j == 1 else 0.0


def _rows_of(data: Dataset) -> tuple[Any, Any, Any, tuple[ColumnType, ...]]:
    x, mask, weight = training_rows(data, max(1, min(MOST_ROWS, MOST_VALUES // max(1, len(data.schema.column_types)))))
    return x, mask, weight, data.schema.column_types
