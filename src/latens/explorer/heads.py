"""How the page makes a mean of p(x | z) of a decoder's outputs: what each head is, in words of the page."""

import math
from typing import Any

from latens.models import (
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    ContinuousBernoulliHead,
    CorrelatedNormalHead,
    DeterministicHead,
    NormalHead,
    SharedScaleNormalHead,
    SquashedHead,
)
from latens.models.heads.likelihoods import (
    DiscretisedLogisticHead,
    LaplaceHead,
    NegativeBinomialHead,
    PoissonHead,
    StudentTHead,
    ZeroInflatedHead,
)
from latens.models.heads.pixel_heads import LOWEST, PixelHead
from latens.models.heads.table import OrderedSegmentsHead, OrdinalHead, SegmentsHead, TableHead
from latens.trees import Frozen

_FIRST = (NormalHead, SharedScaleNormalHead, CorrelatedNormalHead, DeterministicHead, LaplaceHead)
"""Heads whose mean is the first output of each cell, as it is."""

_SEGMENTS = {SegmentsHead: "free", OrderedSegmentsHead: "ordered", OrdinalHead: "ordinal"}


def described(head: Any, path: str) -> dict[str, Any] | None:
    """Describe a head as the page reads it; None for one that it does not know."""
    # path: where the arrays of the head stand in the model's file.
    kind = type(head)
    if kind in _FIRST:
        return {"kind": "first"}
    if kind is StudentTHead:
        return {"kind": "first"} if head.df_floor >= 1.0 else None  # below, there is no mean
    if kind is BernoulliHead:
        floor = head.probability_floor
        return {"kind": "sigmoid", "bound": math.log1p(-floor) - math.log(floor) if floor > 0.0 else None}
    if kind is SquashedHead and head.squash != "sigmoid":
        return None
    if kind is SquashedHead and described(head.head, path) == {"kind": "first"}:
        return {"kind": "sigmoid", "bound": None}
    if kind is ContinuousBernoulliHead:
        return {"kind": "continuous-bernoulli"}
    if kind in (PoissonHead, NegativeBinomialHead):
        return {"kind": "exp"}
    if kind is ZeroInflatedHead:
        return {"kind": "zero-inflated"}
    if kind is CategoricalHead:
        return {"kind": "categorical", "levels": head.levels}
    if kind is DiscretisedLogisticHead:
        shape = {"levels": head.levels, "scale": head.scale, "floor": head.scale_floor}
        return {"kind": "discretised-logistic", **shape}
    if kind is AffineHead and isinstance(head.shift, Frozen):
        inner = described(head.head, f"{path}.head")
        return inner and {"kind": "affine", "shift": f"{path}.shift.value", "scale": f"{path}.scale.value", "of": inner}
    if kind is PixelHead:
        return {"kind": "pixels", "levels": head.levels, "components": head.components, "lowest": LOWEST} | {
            "channels": head.group
        }
    return _table(head, path) if kind is TableHead else None


def _table(head: TableHead, path: str) -> dict[str, Any]:
    """Describe the columns of a mixed table, block after block as their outputs stand."""
    blocks = [
        {"kind": _SEGMENTS[type(own)], "places": list(places), "path": f"{path}.heads.{name}"}
        | {"ordered": list(getattr(own, "ordered", (True,) * len(places)))}
        for name, places in zip(head.blocks.names, head.blocks.places)
        for own in (head.heads[name],)
    ]
    return {"kind": "table", "columns": head.shape[0], "blocks": blocks}
