"""TensorBoard event files: scalars, pictures and the graph of the model, by tensorboardX."""

import importlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from latens.callbacks.loggers import numbers
from latens.data.schema import image_shape
from latens.errors import ConfigError
from latens.evaluation import Rows, decode, reconstruct, sample_prior
from latens.figures.images import as_images
from latens.pictures.images import shown
from latens.pictures.model_graph import graph_of
from latens.pictures.source import Source
from latens.training import Event
from latens.training.plan import falls_due
from latens.workflow.experiment import Experiment
from latens.workflow.trained import TrainedModel

PICTURES = 16


def writer_class() -> Any:
    """Import tensorboardX's writer."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        what = "tensorboardX is not installed."
        raise ConfigError(what, where="--log tensorboard", fix="pip install 'latens[tensorboard]'") from None
    return SummaryWriter


class TensorBoard:
    """A callback that writes event files of TensorBoard."""

    # They hold the metrics of every chunk and epoch, the model's graph at the start, and of images pictures of samples
    # and reconstructions after an epoch.
    # `every`: Steps from one picture to the next, from before the first step on; None makes one after about every
    # twentieth of all steps.

    def __init__(self, folder: Path, experiment: Experiment, every: int | None = None) -> None:
        self._writer = writer_class()(str(folder))
        self._experiment, self._every, self._next = experiment, every, 0

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def __call__(self, event: Event) -> None:
        """Write the metrics of an event, and pictures where they are due."""
        step = event.snapshot.loop.total
        if event.kind == "start":
            graph = model_graph(self._experiment.trained(event.model()))
            self._writer.file_writer.add_event(_messages("event").Event(graph_def=graph.SerializeToString()))
        for name, value in numbers(event).items():
            self._writer.add_scalar(name, value, step)
        if self._every is not None:
            due = falls_due(event, self._every)
        else:
            due = event.kind == "stage-end" or (event.kind == "epoch" and step >= self._next)
        if due:
            self._next = step + max(1, (event.total_steps or 0) // 20)
            self._pictures(event, step)

    def _pictures(self, event: Event, step: int) -> None:
        data, trained = self._experiment.data, self._experiment.trained(event.model())
        if image_shape(data.schema) is None:
            return
        model, preparation = trained.model, trained.preparation
        keys = jax.random.split(jax.random.key(0), 3)
        split = "validation" if len(data.subset("validation")) else "train"
        batch = trained.batch(data, data.subset(split)[:PICTURES])
        means = {"reconstructions": reconstruct(Rows(model, batch, keys[0], preparation))}
        if Source(trained, data, 0).has_prior:  # an autoencoder has no prior to sample from
            cond = trained.condition(trained.in_turn(PICTURES))
            z = sample_prior(model, PICTURES, key=keys[1], cond=cond)
            means["samples"] = decode(model, z, key=keys[2], cond=cond)
        for name, values in means.items():
            images = as_images(shown(data.schema, trained.data_units(values, mean=True)), name)
            self._writer.add_images(name, np.moveaxis(np.clip(images, 0.0, 1.0), -1, 1), step)


def model_graph(trained: TrainedModel) -> Any:
    """Describe a model as TensorBoard draws it: the nodes and arrows of the picture `graph`."""
    # Each node says what it is, the shape of what comes out of it, and how many parameters it trains.
    parts, arrows = graph_of(trained)
    ends = ("x", "likelihood")
    names = [
        f"{part.side}/{part.name}" if part.side in ("encoder", "decoder") and part.name not in ends else part.name
        for part in parts
    ]
    names = [name.replace(" ", "_") for name in names]
    attributes, nodes = _messages("attr_value").AttrValue, []
    for i, (name, part) in enumerate(zip(names, parts)):
        inputs = [names[start] for start, end in arrows if end == i]
        says = {"what": attributes(s=part.what.encode()), "shape": attributes(s=str(part.out).encode())}
        says["trained"] = attributes(i=part.trained)
        nodes.append(_messages("node_def").NodeDef(name=name, op=part.name, input=inputs, attr=says))
    return _messages("graph").GraphDef(node=nodes, versions=_messages("versions").VersionDef(producer=22))


def _messages(name: str) -> Any:
    """A module of tensorboardX's messages, whose classes exist only at run time."""
    return importlib.import_module(f"tensorboardX.proto.{name}_pb2")
