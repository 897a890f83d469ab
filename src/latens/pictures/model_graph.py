"""The parts of a trained model with their shapes and trained numbers, read off its tree."""

import math
from typing import Any

import numpy as np

from latens.figures.diagram import PartBox, model_diagram, model_diagram_table
from latens.figures.style import ThemeName
from latens.io.arrays import tree_to_arrays
from latens.trees import count_parameters, partition_trainable
from latens.workflow.trained import TrainedModel


def parts_of(trained: TrainedModel) -> list[PartBox]:
    """List the boxes of a model's graph, in the order in which numbers pass through them.

    The encoder's and decoder's layers and their heads, between them posterior and prior; of a model that is not made of
    an encoder and a decoder, its fields. All their trained parameters add up to those of the model.

    Args:
        trained: The model.

    Returns:
        The boxes.
    """
    model, shape = trained.model, tuple(trained.schema.shape)
    encoder, decoder = getattr(model, "encoder", None), getattr(model, "decoder", None)
    if encoder is None or decoder is None:
        return _fields(model, shape)
    latent = _latent_shape(trained)
    boxes = [PartBox("encoder", "x", trained.schema.kind, shape, 0)]
    boxes += _network("encoder", encoder)
    boxes.append(PartBox("latent", "posterior q(z|x)", _head(encoder), latent, 0))
    prior = getattr(model, "prior_part", None)
    others = _count(model) - sum(map(_count, (encoder, decoder, prior)))
    boxes.append(PartBox("latent", "prior p(z)", type(prior).__name__ if prior is not None else "of the model", latent,
                         _count(prior) + others))  # fmt: skip
    boxes += _network("decoder", decoder)
    boxes.append(PartBox("decoder", "likelihood p(x|z)", _head(decoder), shape, 0))
    return boxes


def draw_graph(trained: TrainedModel, *, theme: ThemeName = "light") -> tuple[Any, dict[str, np.ndarray]]:
    """Draw the diagram of a model.

    Args:
        trained: The model.
        theme: "light" or "dark".

    Returns:
        The Axes, and the table of its numbers.
    """
    parts = parts_of(trained)
    return model_diagram(parts, theme=theme), model_diagram_table(parts)


def _count(part: Any) -> int:
    return 0 if part is None else count_parameters(part)


def _head(part: Any) -> str:
    head = getattr(part, "head", None)
    return type(head if head is not None else part).__name__.removesuffix("Head")


def _network(side: str, part: Any) -> list[PartBox]:
    """A box for each layer of a network, and one for what its head trains."""
    network = getattr(part, "network", part)
    layers = getattr(network, "layers", None)
    kind = type(network).__name__
    if not isinstance(layers, list | tuple) or not layers or not all(_count(layer) for layer in layers):
        boxes = [PartBox(side, f"{side} network", kind, _out(network), _count(network))]
    else:
        rest = _count(network) - sum(map(_count, layers))
        boxes = [
            PartBox(side, f"layer {i}", kind.lower(), _out(layer), _count(layer) + (rest if i == 1 else 0))
            for i, layer in enumerate(layers, 1)
        ]
    if beside := _count(part) - _count(network):
        boxes.append(PartBox(side, "beside the network", "scales and standards", (beside,), beside))
    return boxes


def _out(layer: Any) -> tuple[int, ...]:
    """What comes out of a layer: the length of its last bias, else of its last weights."""
    arrays = tree_to_arrays(partition_trainable(layer)[0])
    biases = [a for name, a in arrays.items() if name.rpartition(".")[2] == "bias"] or list(arrays.values())
    return (int(biases[-1].shape[-1]),) if biases and biases[-1].ndim else ()


def _latent_shape(trained: TrainedModel) -> tuple[int, ...]:
    try:
        return trained.latent_shape
    except Exception:  # an autoencoder, or a model with a prior of its own kind, need not have draws
        return ()


def _fields(model: Any, shape: tuple[int, ...]) -> list[PartBox]:
    boxes = [PartBox("encoder", "x", "rows", shape, 0)]
    total = 0
    for name in getattr(model, "__dataclass_fields__", {}):
        part = getattr(model, name)
        arrays = tree_to_arrays(part)
        if arrays:
            count = _count(part)
            total += count
            size = sum(math.prod(a.shape) for a in arrays.values())
            boxes.append(PartBox("decoder", name.replace("_", " "), type(part).__name__, (size,), count))
    return boxes
