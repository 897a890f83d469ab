"""What a trained model is told: conditions that hold wherever rows do not bring their own."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from latens.config import Config, VAEConfig
from latens.data import Schema
from latens.data.given import cells_of, one_vector
from latens.models.conditional import Conditional, with_usual

Model = TypeVar("Model", bound="Conditioned")


class Conditioned:
    """The part of a trained model that is about conditions."""

    model: Any
    schema: Schema
    config: Config | None

    def __repr__(self) -> str:
        """What the model is, in a line; its arrays are those of `model`."""
        config, rows = self.config, "x".join(map(str, self.schema.shape))
        parts = [f"{self.schema.kind} rows of {rows}"]
        if isinstance(config, VAEConfig):
            parts += [f"{part} {kind}" for part, kind in (
                ("prior", config.prior.kind), ("posterior", config.posterior.kind),
                ("likelihood", config.likelihood.family),
            )]  # fmt: skip
        return f"{type(self).__name__}({', '.join([*parts, f'model {type(self.model).__name__}'])})"

    def given(self: Model, values: Mapping[str, Any]) -> Model:
        """The same model with conditions that hold wherever rows do not bring their own.

        Args:
            values: A name or a number for each condition; those left out are usual: the commonest name, the median.

        Returns:
            A trained model whose samples, decoded rows and pictures are given these conditions.

        Raises:
            DataError: A name that no training row had, or a number that is none.
            UsageError: The model reads no such condition; the message names the nearest one.
        """
        vector = one_vector(self.schema.conditions or (), values, "given")
        changed: Any = dataclasses.replace(self, model=with_usual(self.model, vector))  # pyright: ignore[reportArgumentType]
        return changed

    @property
    def told(self) -> str:
        """The conditions that hold wherever rows do not bring their own, in words; empty for models without any."""
        parts = jax.tree.leaves(self.model, is_leaf=lambda part: isinstance(part, Conditional))
        usual = next((part.usual for part in parts if getattr(part, "usual", None) is not None), None)
        if usual is None:
            return ""
        known = cells_of(self.schema.conditions or (), np.asarray(usual.value)[None])
        texts = {name: str(c[0]) if c.dtype.kind == "U" else f"{c[0]:g}" for name, c in known.items()}
        return ", ".join(f"{name}={text}" for name, text in texts.items())


def split_given(schema: Schema, given: Mapping[str, Any] | None) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    """What is given of conditions, and the rest, which is about columns."""
    names = [one.name for one in schema.conditions or ()]
    own = {name: value for name, value in (given or {}).items() if name in names}
    return own, {name: value for name, value in given.items() if name not in own} or None if own and given else given
