"""The parts of a trained model with their shapes and trained numbers, read off its tree."""

import math
from typing import Literal

import equinox as eqx

from latens.figures.diagram import Arrow, PartBox, model_diagram
from latens.io.safetensors import tree_to_arrays
from latens.model_figures.source import Made, Source
from latens.models import NormalHead
from latens.trainable import count_parameters, partition_trainable
from latens.trained.trained_model import TrainedModel
from latens.typing import PyTree


def graph_of(trained: TrainedModel) -> tuple[list[PartBox], list[Arrow]]:
    """Find the parts of a model in the order of computation, and what passes from one to another."""
    # The layers of the encoder give the numbers of the posterior: of a Normal the mean and the log-scale, from which
    # and from noise the sample is made that the layers of the decoder turn into the likelihood of x; posterior and
    # prior give the KL, and with the likelihood the ELBO. Of a model that is not made of an encoder and a decoder, its
    # fields. All trained parameters of the parts add up to those of the model.
    model, shape = trained.model, tuple(trained.schema.shape)
    encoder, decoder = getattr(model, "encoder", None), getattr(model, "decoder", None)
    if encoder is None or decoder is None:
        return _fields(model, shape), []
    latent, prior = _latent_shape(trained), getattr(model, "prior_part", None)
    head, beside = getattr(encoder, "head", None), _count(model) - _count(encoder) - _count(decoder)
    point = trained.is_point
    boxes: list[PartBox] = []
    arrows: list[Arrow] = []

    def add(part: PartBox, *sources: int) -> int:
        boxes.append(part)
        arrows.extend((source, len(boxes) - 1) for source in sources)
        return len(boxes) - 1

    x = last = add(PartBox("encoder", "x", trained.schema.kind, shape))
    for part in _network("encoder", encoder):
        last = add(part, last)
    if isinstance(head, NormalHead):
        scale = {"softplus": "scale"}.get(head.scale, head.scale)
        given = [add(PartBox("posterior", name, "of q(z|x)", latent), last) for name in ("mean", scale)]
    else:
        given = [add(PartBox("posterior", "code" if point else "posterior", f"{_head(encoder)} q(z|x)", latent), last)]
    z, divergence = given[0], []
    if not point:
        kind = type(prior).__name__ if prior is not None else "of the model"
        aim = add(PartBox("posterior", "prior", f"{kind} p(z)", latent, beside))
        noise = [add(PartBox("latent", "noise", "N(0, I)", latent))] if isinstance(head, NormalHead) else []
        z = add(PartBox("latent", "sample", "z ~ q(z|x)", latent), *given, *noise)
        divergence = [add(PartBox("latent", "KL", "of q(z|x) to p(z)", ()), *given, aim)]
    last = z
    for part in _network("decoder", decoder):
        last = add(part, last)
    likelihood = PartBox("decoder", "likelihood", f"{_head(decoder)} p(x|z)", shape, beside if point else 0)
    last = add(likelihood, last, x)
    if not point:
        add(PartBox("latent", "ELBO", "log p(x|z) − KL", ()), *divergence, last)
    return boxes, arrows


def side_of(boxes: list[PartBox], arrows: list[Arrow], side: str) -> tuple[list[PartBox], list[Arrow]]:
    """The encoder alone, from x to the numbers of q(z|x), or the decoder alone, from z to the likelihood."""
    beside = [box.side == "posterior" and box.name != "prior" for box in boxes]
    if side == "decoder":  # from the sample; of an autoencoder, which has none, from the code
        first = "sample" if any(box.name == "sample" for box in boxes) else "code"
        beside = [box.name == first for box in boxes]
    kept = [place for place, box in enumerate(boxes) if box.side == side or beside[place]]
    places = {place: new for new, place in enumerate(kept)}
    ways = [(places[a], places[b]) for a, b in arrows if a in places and b in places]
    return [boxes[place] for place in kept], ways


def draw_graph(source: Source, side: Literal["encoder", "decoder"] | None = None) -> Made:
    """Draw the diagram of a model, or of one side of it."""
    parts, arrows = graph_of(source.trained)
    if side is not None:
        parts, arrows = side_of(parts, arrows, side)
    return model_diagram(parts, arrows, of=side or "model")


def _count(part: PyTree) -> int:
    return 0 if part is None else count_parameters(part)


def _head(part: PyTree) -> str:
    head = getattr(part, "head", None)
    return type(head if head is not None else part).__name__.removesuffix("Head")


def _network(side: str, part: PyTree) -> list[PartBox]:
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
        boxes.append(PartBox(side, "outside the network", "scales and standards", (beside,), beside))
    return boxes


def _out(layer: PyTree) -> tuple[int, ...]:
    """What comes out of a layer: the length of its last bias, else of its last weights."""
    arrays = tree_to_arrays(partition_trainable(layer)[0])
    biases = [a for name, a in arrays.items() if name.rpartition(".")[2] == "bias"] or list(arrays.values())
    return (int(biases[-1].shape[-1]),) if biases and biases[-1].ndim else ()


def _latent_shape(trained: TrainedModel) -> tuple[int, ...]:
    try:
        return trained.latent_shape
    except Exception:  # an autoencoder, or a model with a prior of its own kind, need not have draws
        return ()


def _fields(model: eqx.Module, shape: tuple[int, ...]) -> list[PartBox]:
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
