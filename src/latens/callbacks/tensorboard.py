"""TensorBoard event files: scalars and the graph of the model, by tensorboardX."""

import importlib
from pathlib import Path
from typing import Any

from latens.callbacks.loggers import TensorBoardLogger
from latens.errors import ConfigError
from latens.fitting import Experiment
from latens.model_figures.model_graph import graph_of
from latens.trained.trained_model import TrainedModel
from latens.training import Event


def writer_class() -> Any:
    """Import tensorboardX's writer."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        what = "tensorboardX is not installed."
        raise ConfigError(what, where="--log tensorboard", fix="pip install 'latens[tensorboard]'") from None
    return SummaryWriter


class TensorBoard(TensorBoardLogger):
    """A callback that writes event files of TensorBoard: the metrics of chunks and epochs, and the model's graph."""

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        super().__init__(writer_class()(str(folder)))
        self._experiment = experiment

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *error: object) -> None:
        self.to.close()

    def __call__(self, event: Event) -> None:
        """Write the numbers of an event, at the start with the graph."""
        if event.kind == "start":
            graph = model_graph(self._experiment.trained(event.model()))
            self.to.file_writer.add_event(_messages("event").Event(graph_def=graph.SerializeToString()))
        super().__call__(event)


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
