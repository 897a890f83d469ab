"""What a recipe is: a named, cited composition, and the only bridge from configuration to objects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from latens.config import Config
from latens.data import Dataset, Preparation, Schema
from latens.training import Stage


class Size(NamedTuple):
    """How much there is to train on."""

    rows: int
    steps_per_epoch: int


@dataclass(frozen=True)
class Recipe:
    """A composition that the command, the estimators and model files know by name.

    **Arguments:** `config` its defaults; `resolve(config, data)` decides what was left open ("auto", None) and says
    why; `preparation(schema, config)` what the model sees of a row; `build(schema, config, key=)` makes the model
    without seeing data; `plan(schema, config, size)` the stages of training.
    """

    name: str
    summary: str
    source: str
    use_when: str
    config: Config
    resolve: Callable[[Any, Dataset], tuple[Any, list[str]]]
    preparation: Callable[[Schema, Any], Preparation]
    build: Callable[..., Any]
    plan: Callable[[Schema, Any, Size], tuple[Stage, ...]]
