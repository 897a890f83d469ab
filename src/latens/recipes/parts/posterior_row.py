"""What one row of the table of posteriors says."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from latens.config import Part, PosteriorConfig
from latens.models import AbstractHead
from latens.recipes.parts.options import read_options
from latens.typing import Key

Support = Literal[
    "vector",
    "sphere",
    "ball",
    "coins",
    "relaxed coins",
    "choices",
    "one-hot",
    "relaxed",
    "shares",
    "joint",
    "codes",
    "positive",
]
"""Where the latents lie; a prior and a posterior must agree."""

Shape: TypeAlias = tuple[int, ...] | dict[str, tuple[int, ...]]
Choices: TypeAlias = Annotated[int, Meta(ge=2, le=65536)]
Temperature: TypeAlias = Annotated[float, Meta(gt=0.0, le=100.0)]


class NoOptions(Part, frozen=True):
    """A part without options."""


@dataclass(frozen=True)
class Posterior:
    """One row of the table of posteriors."""

    what: str  # the posterior in a few words
    # makes the head from the shape of a latent, the configuration, the options and a key
    make: Callable[..., AbstractHead]
    prior: str  # the name of the prior that belongs to it
    support: Support = "vector"  # where the latents lie
    options: type[Part] = NoOptions  # the class of its options: their types, bounds and defaults
    # the shape of one latent, from `latent_dim` and the options
    shape: Callable[[int, Any], Shape] = lambda n, options: (n,)
    # makes, from the options, the function that gives the decoder's input of a latent; None where that is the latent
    # itself
    sees: Callable[[Any], Callable[[Any], Any] | None] = lambda options: None
    scaled: bool = False
    stacks: bool = False  # whether levels of a hierarchy can be of this kind
    # makes the posterior from the encoder, the options and a key, where it is not the encoder itself
    around: Callable[[Any, Any, Key], Any] = lambda encoder, options, key: encoder
    own_density: bool = True  # whether its density is known everywhere, not along its own samples only
    # builds a model of several levels, where those are not stacked one on the other; else None
    hierarchy: Callable[..., Any] | None = None
    # builds the whole model from schema, configuration, head of the likelihood, what is done to a row first, options of
    # the networks and key, where encoder and decoder are one; else None
    whole: Callable[..., Any] | None = None
    # makes encoder and decoder of a row that is several modalities; else None
    by_part: Callable[..., tuple[Any, Any]] | None = None
    # what the number of latent dimensions is a multiple of, from the options
    group: Callable[[Any], int] = lambda options: 1
    is_point: bool = False  # whether it is a point, of a plain autoencoder
    head: type[AbstractHead] | None = None  # the class of the head, where every option is one of its fields; else None

    def latent(self, config: PosteriorConfig) -> Shape:
        """The shape of one latent (of the first level)."""
        assert config.latent_dim is not None
        return self.shape(config.latent_dim, read_options(self.options, config.options, "posterior"))

    def size(self, config: PosteriorConfig) -> int:
        """How many numbers one latent of the first level has."""
        latent = self.latent(config)
        return sum(math.prod(shape) for shape in (latent.values() if isinstance(latent, dict) else [latent]))

    def group_size(self, config: PosteriorConfig) -> int:
        """What the number of latent dimensions is a multiple of."""
        return self.group(read_options(self.options, config.options, "posterior"))

    def wrapped(self, encoder: Any, config: PosteriorConfig, *, key: Key) -> Any:
        """The posterior part of a model, from its encoder."""
        return self.around(encoder, read_options(self.options, config.options, "posterior"), key)

    def decoder_input(self, config: PosteriorConfig) -> Callable[[Any], Any] | None:
        """What happens to a latent before the decoder's network."""
        return self.sees(read_options(self.options, config.options, "posterior"))
