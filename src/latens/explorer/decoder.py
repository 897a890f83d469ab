"""What the page needs to decode in the browser: the layers of a decoder, and how its outputs become a mean."""

import math
from typing import Any

import equinox as eqx
import jax
import numpy as np

from latens.data import Preparation
from latens.data.conditions import GIVEN
from latens.evidence.estimate import finite
from latens.latents.codes import decode
from latens.models import (
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    Conditional,
    ContinuousBernoulliHead,
    CorrelatedNormalHead,
    DeterministicHead,
    LatentModel,
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
from latens.networks import ConvDecoder, Dense, Linear, LinearPath
from latens.trainable import Frozen
from latens.trained.trained_model import TrainedModel
from latens.typing import Array

MOST_WEIGHTS = 3 << 20
"""Numbers of a convolutional decoder above which an export has pictures made beforehand instead: 12 MB."""


def page_decoder(model: object) -> dict[str, Any] | None:
    """Describe a decoder as the page reads it."""
    # `network` is what `network_of` gives; `head` says how the mean of p(x | z) is made of the outputs.
    # returns: the description; None where the page does not compute the decoder.
    if not isinstance(model, LatentModel) or type(model).likelihood is not LatentModel.likelihood:
        return None
    decoder = model.decoder
    if not isinstance(decoder, Conditional) or decoder.standardise is not None:
        return None
    network = network_of(decoder.network, "decoder.network")
    head = described(decoder.head, "decoder.head")
    if network is None or head is None or decoder.reads not in ((), ("label",)):
        return None
    return {"kind": "page", "network": network, "head": head, "cells": math.prod(decoder.head.shape)}


def network_of(network: object, path: str) -> dict[str, Any] | None:
    """Describe a network as the page reads it; None for one that it does not compute."""
    # `layers` name the arrays of each layer in the model file; `linear` is the map of the input that is added to the
    # first outputs, in so many copies.
    # path: where the arrays of the network stand in the model's file.
    inside, beside = _apart(network)
    own = path if beside is None else f"{path}.network"
    found = (
        _dense(inside, own) if type(inside) is Dense else _conv(inside, own) if type(inside) is ConvDecoder else None
    )
    if found is None or beside is None:
        return found
    if beside.unit is not None:
        found["unit"] = f"{path}.unit.value"
    shape = list(beside.weight.value.shape)
    return found | {"linear": {"weight": f"{path}.weight.value", "shape": shape, "copies": beside.copies}}


def _dense(network: Dense, path: str) -> dict[str, Any]:
    last = len(network.layers) - 1
    layers = [
        {
            "weight": f"{path}.layers.{i}.weight",
            "bias": f"{path}.layers.{i}.bias",
            "activation": network.output_activation if i == last else network.activation,
            "shape": list(layer.weight.shape),
        }
        for i, layer in enumerate(network.layers)
    ]
    return {"kind": "dense", "layers": layers}


def _conv(network: ConvDecoder, path: str) -> dict[str, Any] | None:
    """A convolutional decoder: its first image, then at each size residual blocks and a transposed convolution."""
    if sum(leaf.size for leaf in jax.tree.leaves(network) if hasattr(leaf, "size")) > MOST_WEIGHTS:
        return None
    layers = [
        {
            "path": f"{path}.layers.{i}",
            "blocks": [f"{path}.residual.{i}.{j}" for j in range(len(blocks))],
            "size": list(layer.size),
        }
        for i, (layer, blocks) in enumerate(zip(network.layers, network.residual, strict=True))
    ]
    found = {"kind": "conv", "start": f"{path}.start", "image": list(network.start_shape), "map": network.on_map}
    found |= {"layers": layers, "activation": network.hidden.activation, "copies": network.blocks}
    return found | {"output_activation": network.output_activation}


def _apart(network: object) -> tuple[Any, LinearPath | None]:
    """A network and the linear map beside it."""
    return (network.network, network) if type(network) is LinearPath else (network, None)


def folded(model: Any) -> Any:
    """The same model with the conditions it is told in the first biases of its networks, which then read none."""
    for name in ("encoder", "decoder"):
        part = getattr(model, name, None)
        if isinstance(part, Conditional) and part.usual is not None and type(part.network) is Dense:
            model = eqx.tree_at(lambda one, name=name: getattr(one, name), model, _told(part, part.usual.value))
    return model


def _told(part: Conditional, vector: Array) -> Conditional:
    """A part that reads what it is told no more."""
    network: Any = part.network
    first = network.layers[0]
    weight, told = first.weight[: -len(vector)], first.weight[-len(vector) :]
    layer = Linear(weight, first.bias + vector @ told)
    network = eqx.tree_at(lambda one: one.layers[0], network, layer)
    return Conditional(network, part.head, part.standardise, tuple(name for name in part.reads if name != GIVEN))


def decoded_means(trained: TrainedModel, z: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
    """Decode latents to the means of p(x | z), a row each, in the units of the data."""
    values = decode(trained.model, z, cond=trained.condition(codes), mean="seen")
    return finite(trained.data_units(values, mean=True).reshape(len(z), -1).astype("<f4"), "decoded means")


def in_data_units(preparation: Preparation) -> dict[str, Any]:
    """Describe what turns a mean of p(x | z) back into the units of the stored rows (see `TrainedModel.data_units`)."""
    units = {
        "expm1": preparation.log1p,
        "multiply": 1.0 if preparation.log1p else preparation.divide,
        "add": -0.5 if preparation.dequantize else 0.0,
    }
    return {"units": units, "classes": preparation.classes}


def why_not(model: object) -> str:
    """Say what a decoder is that a browser does not compute."""
    network, _ = _apart(getattr(getattr(model, "decoder", None), "network", None))
    if type(network) is ConvDecoder and _conv(network, "") is None:
        return "this decoder has more weights than a page should carry"
    if network is not None and type(network) not in (Dense, ConvDecoder):
        return f"this decoder is a {type(network).__name__} network"
    return "this decoder is of another kind"


def decoder_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Pick those arrays of a model file that decoding needs."""
    large = ("network.noise.value", "white.value")  # of pairs of cells, for means of which nothing is asked
    return {name: array for name, array in arrays.items() if name.startswith("decoder.") and not name.endswith(large)}


_FIRST = (NormalHead, SharedScaleNormalHead, CorrelatedNormalHead, DeterministicHead, LaplaceHead)
_SAID: dict[type, str] = dict.fromkeys(_FIRST, "first") | dict.fromkeys((PoissonHead, NegativeBinomialHead), "exp")
_SAID |= {ContinuousBernoulliHead: "continuous-bernoulli", ZeroInflatedHead: "zero-inflated"}
"""Heads whose mean has no settings; "first" is the first output of each cell, as it is."""

_SEGMENTS = {SegmentsHead: "free", OrderedSegmentsHead: "ordered", OrdinalHead: "ordinal"}


def described(head: Any, path: str) -> dict[str, Any] | None:
    """Describe a head as the page reads it; None for one that it does not know."""
    # path: where the arrays of the head stand in the model's file.
    kind = type(head)
    if kind in _SAID:
        return {"kind": _SAID[kind]}
    if kind is StudentTHead:
        return {"kind": "first"} if head.df_floor >= 1.0 else None  # below, there is no mean
    if kind is BernoulliHead:
        floor = head.probability_floor
        return {"kind": "sigmoid", "bound": math.log1p(-floor) - math.log(floor) if floor > 0.0 else None}
    if kind is SquashedHead and head.squash != "sigmoid":
        return None
    if kind is SquashedHead and described(head.head, path) == {"kind": "first"}:
        return {"kind": "sigmoid", "bound": None}
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
