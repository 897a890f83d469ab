"""TensorBoard event files: scalars, pictures and the graph of the model, by tensorboardX."""

import importlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from latens.data.schema import image_shape
from latens.errors import ConfigError
from latens.evaluation import decode, reconstruct, sample_prior
from latens.figures.images import as_images
from latens.io.arrays import tree_to_arrays
from latens.pictures.images import shown
from latens.training import Event
from latens.workflow.experiment import Experiment

PICTURES = 16


def writer_class() -> Any:
    """Import tensorboardX's writer.

    Returns:
        The class.

    Raises:
        ConfigError: tensorboardX is not installed; the message says how to install it.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ConfigError(
            "tensorboardX is not installed.", where="--log tensorboard", fix="pip install 'latens[tensorboard]'"
        ) from None
    return SummaryWriter


class TensorBoard:
    """A callback that writes event files of TensorBoard.

    They hold the metrics of every chunk and epoch, the model's graph at the start, and of images pictures of samples
    and reconstructions after an epoch.

    Args:
        folder: Where to write.
        experiment: The experiment that trains.
        every: At least so many steps lie between pictures; None takes a twentieth of all steps.

    Raises:
        ConfigError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path, experiment: Experiment, every: int | None = None) -> None:
        self._writer = writer_class()(str(folder))
        self._experiment, self._every, self._next = experiment, every, 0
        self._seen: set[str] = set()

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def __call__(self, event: Event) -> None:
        """Write the metrics of an event, and pictures where they are due.

        Args:
            event: An event of the training.
        """
        step = event.snapshot.loop.total
        if event.kind == "start":
            graph = model_graph(event.model())
            self._writer.file_writer.add_event(_messages("event").Event(graph_def=graph.SerializeToString()))
        elif event.kind in ("chunk", "epoch"):
            self._seen |= set(event.record)
            for name, value in event.record.items():
                if isinstance(value, int | float) and name not in ("step", "epoch"):
                    self._writer.add_scalar(_tag(event.kind, name), value, step)
        due = event.kind == "stage-end" or (event.kind == "epoch" and step >= self._next)
        if due:
            self._next = step + (self._every or max(1, (event.total_steps or 0) // 20))
            self._pictures(event, step)

    def _pictures(self, event: Event, step: int) -> None:
        data, trained = self._experiment.data, self._experiment.trained(event.model())
        if image_shape(data.schema) is None:
            return
        model, preparation = trained.model, trained.preparation
        keys = jax.random.split(jax.random.key(0), 3)
        split = "validation" if len(data.subset("validation")) else "train"
        batch = trained.batch(data, data.subset(split)[:PICTURES])
        means = {"reconstructions": reconstruct(model, batch, preparation=preparation, key=keys[0])}
        if "elbo" in self._seen:  # an autoencoder has no prior to sample from
            cond = trained.condition(trained.in_turn(PICTURES))
            z = sample_prior(model, PICTURES, key=keys[1], cond=cond)
            means["samples"] = decode(model, z, key=keys[2], cond=cond)
        for name, values in means.items():
            images = as_images(shown(data.schema, trained.data_units(values, mean=True)), name)
            self._writer.add_images(name, np.moveaxis(np.clip(images, 0.0, 1.0), -1, 1), step)


def _tag(kind: str, name: str) -> str:
    if kind == "chunk":
        return f"chunk/{name}"
    split, _, rest = name.partition("_")
    return f"{split}/{rest}" if split in ("train", "validation") else f"epoch/{name}"


def model_graph(model: Any) -> Any:
    """Describe a model as TensorBoard draws it: x, the encoder's layers, z, the decoder's layers, the likelihood of x.

    One node for each module that holds arrays, named by its path in the tree and listing its shapes.

    Args:
        model: The model.

    Returns:
        The graph as a message of TensorBoard.
    """
    modules: dict[str, list[str]] = {}
    for name, array in tree_to_arrays(model).items():
        path, _, leaf = name.rpartition(".")
        modules.setdefault(path or "model", []).append(f"{leaf} {array.shape}")

    nodes: list[Any] = []

    def node(name: str, op: str, inputs: list[str], text: str = "") -> str:
        attr = {"arrays": _messages("attr_value").AttrValue(s=text.encode())} if text else {}
        nodes.append(_messages("node_def").NodeDef(name=name, op=op, input=inputs, attr=attr))
        return name

    def chain(prefix: str, start: str) -> str:
        for path, arrays in modules.items():
            if path == prefix or path.startswith(f"{prefix}."):
                start = node(path.replace(".", "/"), "Module", [start], ", ".join(arrays))
        return start

    x = node("x", "Data", [])
    posterior = node("posterior", type(getattr(model, "encoder", model)).__name__, [chain("encoder", x)])
    prior = node("prior", type(getattr(model, "prior_part", None)).__name__, [])
    z = node("z", "Sample", [posterior])
    likelihood = node("likelihood", type(getattr(model, "decoder", model)).__name__, [chain("decoder", z), x])
    node("elbo", "ELBO", [likelihood, posterior, prior])
    return _messages("graph").GraphDef(node=nodes, versions=_messages("versions").VersionDef(producer=22))


def _messages(name: str) -> Any:
    """A module of tensorboardX's messages, whose classes exist only at run time."""
    return importlib.import_module(f"tensorboardX.proto.{name}_pb2")
