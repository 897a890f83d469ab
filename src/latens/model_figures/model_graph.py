"""The parts of a trained model with their shapes and trained numbers, read off its tree, and a graph of them."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from latens.errors import DataError
from latens.figures.style import Made, bare, dress, one_axes, readable, theme
from latens.model_figures.source import Source
from latens.models import NormalHead
from latens.runtime.safetensors import tree_to_arrays
from latens.trainable import count_parameters, partition_trainable
from latens.trained.trained_model import TrainedModel
from latens.typing import PyTree

Arrow = tuple[int, int]
"""From which part to which, by their places in the list of parts."""

WIDE, HIGH = 2.7, 0.56
"""Width and height of a box, where neighbouring rows lie 1 apart."""
MOST_WORDS = 35
"""Letters of the small line that a box holds."""


class PartBox(NamedTuple):
    """One part of a model."""

    side: str  # in which column it stands: "encoder", "posterior", "latent" or "decoder"
    name: str
    what: str  # what it is, in words
    out: tuple[int, ...]  # shape of what comes out of it
    trained: int = 0  # how many trained parameters it holds


SIDES = ("encoder", "posterior", "latent", "decoder")


def places_of(parts: Sequence[PartBox]) -> Shaped[np.ndarray, "n 2"]:
    """Lay the parts out: the encoder from x upwards, the latent from the top down, the decoder down to the bottom."""
    count: dict[str, int] = {side: sum(part.side == side for part in parts) for side in SIDES}
    used = [side for side in SIDES if count[side]]
    top = max(count["encoder"], count["decoder"], 4.6 if count["latent"] else 1) - 1.0
    seen: dict[str, int] = dict.fromkeys(SIDES, 0)
    places = []
    for part in parts:
        i, n = seen[part.side], count[part.side]
        seen[part.side] += 1
        # The two columns between hold few boxes: those of the latent lie half a row beside those of its posterior, and
        # what is summed up at the end stands at the bottom.
        down = (top + 0.9) / max(n - 1, 1) if part.side == "latent" else 1.15
        y = {"encoder": i, "posterior": top - down * i, "latent": top + 0.9 - down * i, "decoder": n - 1 - i}[part.side]
        places.append((1.0 + WIDE / 2 + (WIDE + 1.1) * used.index(part.side), float(y)))
    return np.array(places)


def arrow_paths(places: Shaped[np.ndarray, "n 2"], arrows: Sequence[Arrow]) -> list[np.ndarray]:
    """Find the ways of the arrows, from the edge of one box to the edge of another."""
    half, low = np.array([WIDE, HIGH]) / 2, places[:, 1].min() - 0.75
    paths = []
    for start, end in arrows:
        (x, y), (over, up) = places[start], places[end]
        columns = np.unique(places[:, 0])
        apart = abs(int(np.searchsorted(columns, over)) - int(np.searchsorted(columns, x)))
        if apart == 0:
            turn = np.sign(up - y) * half[1]
            path = [(x, y + turn), (over, up - turn)]
        elif apart == 1:
            turn = np.sign(over - x) * half[0]
            # Arrows that come to one side of a box share it from top to bottom.
            others = [places[i, 1] for i, j in arrows if j == end and np.sign(places[i, 0] - over) == np.sign(x - over)]
            rank = sorted(others, reverse=True).index(y)
            lift = HIGH * (0.5 - (rank + 1) / (len(others) + 1))
            path = [(x + turn, y), (over - turn, up + lift)]
        else:
            path = [(x, y - half[1]), (x, low), (over, low), (over, up - half[1])]
        paths.append(np.array(path))
    return paths


def model_diagram(parts: Sequence[PartBox], arrows: Sequence[Arrow] = (), *, of: str = "model") -> Made:
    """Draw the parts of a model as boxes, and what passes from one to another as arrows."""
    # The table has a row for each part.
    strange = [part.side for part in parts if part.side not in SIDES]
    if not parts or strange:
        raise DataError(f"{len(parts)} parts, sides {strange}.", where="parts", fix=f"Use {', '.join(SIDES)}.")
    words = [(part.side, part.name, part.what, " x ".join(map(str, part.out))) for part in parts]
    table: dict[str, np.ndarray] = dict(zip(("side", "part", "what", "shape"), np.array(words, object).T))
    table["trained"] = np.array([part.trained for part in parts], np.int64)
    colours, places = theme(), places_of(parts)
    right, top = places.max(0) + 0.2 + np.array([WIDE, HIGH]) / 2
    bottom = places[:, 1].min() - 1.0
    ax = one_axes((0.86 * (right - 0.8), 0.4 + 0.8 * (top - bottom)))
    total = sum(part.trained for part in parts)
    dress(ax, title=f"The {of}: {total:,} trained numbers", grid=None)
    bare(ax)
    for (x, y), part in zip(places, parts):
        _box(ax, x, y, part, colours.first if part.side in ("encoder", "decoder") else colours.second)
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "color": colours.muted, "linewidth": 1.1}
    for path in arrow_paths(places, arrows):
        ax.add_patch(FancyArrowPatch(path=Path(path), shrinkA=0, shrinkB=0, **look))
    ax.set_xlim(0.8, right)
    ax.set_ylim(bottom, top)
    return ax, table


def _box(ax: Axes, x: float, y: float, part: PartBox, colour: str) -> None:
    colours = theme()
    look: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.08",
        "facecolor": colours.background,
        "edgecolor": colour,
    }
    ax.add_patch(FancyBboxPatch((x - WIDE / 2, y - HIGH / 2), WIDE, HIGH, linewidth=1.2, **look))
    ax.text(x, y + 0.09, readable(part.name, 34), ha="center", va="center", fontsize=11, color=colours.text)
    shape = " × ".join(map(str, part.out)) or "1"
    trained = f", {part.trained:,} trained" if part.trained else ""
    behind = f" → {shape}{trained}"
    words = readable(part.what, min(20, max(MOST_WORDS - len(behind), 8))) + behind
    ax.text(x, y - 0.13, words, ha="center", va="center", fontsize=8.8, color=colours.muted)


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
