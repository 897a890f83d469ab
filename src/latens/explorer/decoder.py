"""What the page needs to decode in the browser: the layers of a dense decoder, and how its outputs become a mean."""

import math
from typing import Any

import equinox as eqx
import numpy as np

from latens import evaluation
from latens.data import Preparation
from latens.data.given import GIVEN
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
    BetaHead,
    DiscretisedLogisticHead,
    GammaHead,
    HyperbolicSecantHead,
    LaplaceHead,
    LogisticHead,
    NegativeBinomialHead,
    PoissonHead,
    StudentTHead,
    ZeroInflatedHead,
)
from latens.networks import Dense, Linear, LinearPath
from latens.trees import Frozen

_FIRST = (
    NormalHead,
    SharedScaleNormalHead,
    CorrelatedNormalHead,
    DeterministicHead,
    LaplaceHead,
    LogisticHead,
    HyperbolicSecantHead,
)
"""Heads whose mean is the first output of each cell, as it is."""


def dense_decoder(model: Any) -> dict[str, Any] | None:
    """Describe a decoder as the page reads it."""
    # `layers` name the arrays of each layer in the model file and its activation; `head` says how the mean of p(x | z)
    # is made of the outputs; `classes` how many numbers of a one-hot label are appended to the latent; `linear` the map
    # of the latent that is added to the first outputs, in so many copies.
    # returns: the description; None where the decoder is not a dense network of the latent alone.
    if not isinstance(model, LatentModel) or type(model).likelihood is not LatentModel.likelihood:
        return None
    decoder = model.decoder
    if not isinstance(decoder, Conditional) or decoder.standardise is not None:
        return None
    network, beside = _apart(decoder.network)
    if type(network) is not Dense:
        return None
    head = _head(decoder.head, "decoder.head")
    if head is None or decoder.reads not in ((), ("label",)):
        return None
    path = "decoder.network" if beside is None else "decoder.network.network"
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
    spec = {"kind": "dense", "layers": layers, "head": head, "cells": math.prod(decoder.head.shape)}
    if beside is None:
        return spec
    shape = list(beside.weight.value.shape)
    return spec | {"linear": {"weight": "decoder.network.weight.value", "shape": shape, "copies": beside.copies}}


def _apart(network: Any) -> tuple[Any, LinearPath | None]:
    """A network and the linear map beside it."""
    return (network.network, network) if type(network) is LinearPath else (network, None)


def folded(model: Any) -> Any:
    """The same model with the conditions it is told in the first bias of its decoder, which then reads none."""
    # The unit of what a network adds to a linear map goes into its last layer.
    decoder = getattr(model, "decoder", None)
    if isinstance(decoder, Conditional) and isinstance(decoder.network, LinearPath):
        return eqx.tree_at(lambda one: one.decoder.network, model, decoder.network.without_unit())
    if not isinstance(decoder, Conditional) or decoder.usual is None or type(decoder.network) is not Dense:
        return model
    network: Any = decoder.network
    vector, first = decoder.usual.value, network.layers[0]
    weight, told = first.weight[: -len(vector)], first.weight[-len(vector) :]
    layer = Linear(weight, first.bias + vector @ told, first.drop_probability)
    network = eqx.tree_at(lambda one: one.layers[0], network, layer)
    reads = tuple(name for name in decoder.reads if name != GIVEN)
    return eqx.tree_at(lambda one: one.decoder, model, Conditional(network, decoder.head, decoder.standardise, reads))


def decoded_means(trained: Any, z: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
    """Decode latents to the means of p(x | z), a row each, in the units of the data."""
    values = evaluation.decode(trained.model, z, cond=trained.condition(codes), mean="seen")
    return evaluation.finite(trained.data_units(values, mean=True).reshape(len(z), -1).astype("<f4"), "decoded means")


def in_data_units(preparation: Preparation) -> dict[str, Any]:
    """Describe what turns a mean of p(x | z) back into the units of the stored rows (see `TrainedModel.data_units`)."""
    units = {
        "expm1": preparation.log1p,
        "multiply": 1.0 if preparation.log1p else preparation.divide,
        "add": -0.5 if preparation.dequantize else 0.0,
    }
    return {"units": units, "classes": preparation.classes}


def why_not_dense(model: Any) -> str:
    """Say, for the reader of the page, what about a decoder a browser does not compute."""
    network, _ = _apart(getattr(getattr(model, "decoder", None), "network", None))
    if network is not None and type(network) is not Dense:
        return f"This decoder is a {type(network).__name__} network, which the page itself does not compute."
    return "The latents of this model are not what its decoder's network reads, so the page itself does not decode."


def decoder_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Pick those arrays of a model file that decoding needs."""
    large = ("network.noise.value", "white.value")  # of pairs of cells, for means of which nothing is asked
    return {name: array for name, array in arrays.items() if name.startswith("decoder.") and not name.endswith(large)}


def small_enough(decoders: dict[int, dict[str, np.ndarray]], most: int) -> dict[int, dict[str, np.ndarray]]:
    """Fit the decoders of several steps into so many bytes: as they are, rounded to 8 bits, or rounded and fewer."""

    def size(arrays: dict[str, np.ndarray]) -> int:
        return sum(array.nbytes for array in arrays.values())

    if sum(map(size, decoders.values())) <= most:
        return decoders
    rounded = {step: rounded_to_bytes(arrays) for step, arrays in sorted(decoders.items())}
    steps = list(rounded)
    count = int(min(len(steps), max(2, most // max(1, *map(size, rounded.values())))))
    places = np.unique(np.linspace(0, len(steps) - 1, count).round().astype(int))
    return {steps[place]: rounded[steps[place]] for place in places}


def rounded_to_bytes(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Store each matrix as whole numbers from -127 to 127, with the scale of each column beside it."""
    # The page multiplies them again: an entry is off by at most half of its column's scale.
    found = dict(arrays)
    for name, array in arrays.items():
        if array.ndim == 2 and array.dtype == np.float32:
            scale = (np.maximum(np.abs(array).max(axis=0), 1e-30) / 127).astype(np.float32)
            found |= {name: np.round(array / scale).astype(np.int8), f"{name}:scale": scale}
    return found


def _head(head: Any, path: str) -> dict[str, Any] | None:
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
    if kind is BetaHead or (kind is SquashedHead and _head(head.head, path) == {"kind": "first"}):
        return {"kind": "sigmoid", "bound": None}
    if kind is ContinuousBernoulliHead:
        return {"kind": "continuous-bernoulli"}
    if kind in (PoissonHead, NegativeBinomialHead, GammaHead):
        return {"kind": "exp"}
    if kind is ZeroInflatedHead:
        return {"kind": "zero-inflated"}
    if kind is CategoricalHead:
        return {"kind": "categorical", "levels": head.levels}
    if kind is DiscretisedLogisticHead:
        shape = {"levels": head.levels, "scale": head.scale, "floor": head.scale_floor}
        return {"kind": "discretised-logistic", **shape}
    if kind is AffineHead and isinstance(head.shift, Frozen):
        inner = _head(head.head, f"{path}.head")
        return inner and {"kind": "affine", "shift": f"{path}.shift.value", "scale": f"{path}.scale.value", "of": inner}
    return None
