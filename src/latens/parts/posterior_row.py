"""What one row of the table of posteriors says."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from latens.config import Part, PosteriorConfig
from latens.models import AbstractHead
from latens.parts.options import read_options
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
    """One row of the table of posteriors.

    Args:
        what: The posterior in a few words.
        make: Makes the head from the shape of a latent, the configuration, the options and a key.
        prior: The name of the prior that belongs to it.
        support: Where the latents lie.
        options: The class of its options: their types, bounds and defaults.
        shape: The shape of one latent, from `latent_dim` and the options.
        sees: Makes, from the options, the function that gives the decoder's input of a latent; None where that is the
            latent itself.
        scaled: Whether `posterior.scale` counts.
        stacks: Whether levels of a hierarchy can be of this kind.
        around: Makes the posterior from the encoder, the options and a key, where it is not the encoder itself.
        own_density: Whether its density is known everywhere, not along its own samples only.
        hierarchy: Builds a model of several levels, where those are not stacked one on the other; else None.
        whole: Builds the whole model from schema, configuration, head of the likelihood, what is done to a row first,
            options of the networks and key, where encoder and decoder are one; else None.
        by_part: Makes encoder and decoder of a row that is several modalities; else None.
        group: What the number of latent dimensions is a multiple of, from the options.
        is_point: Whether it is a point, of a plain autoencoder.
        head: The class of the head, where every option is one of its fields; else None.
    """

    what: str
    make: Callable[..., AbstractHead]
    prior: str
    support: Support = "vector"
    options: type[Part] = NoOptions
    shape: Callable[[int, Any], Shape] = lambda n, options: (n,)
    sees: Callable[[Any], Callable[[Any], Any] | None] = lambda options: None
    scaled: bool = False
    stacks: bool = False
    around: Callable[[Any, Any, Key], Any] = lambda encoder, options, key: encoder
    own_density: bool = True
    hierarchy: Callable[..., Any] | None = None
    whole: Callable[..., Any] | None = None
    by_part: Callable[..., tuple[Any, Any]] | None = None
    group: Callable[[Any], int] = lambda options: 1
    is_point: bool = False
    head: type[AbstractHead] | None = None

    def latent(self, config: PosteriorConfig) -> Shape:
        """The shape of one latent (of the first level).

        Args:
            config: The resolved configuration of the posterior.

        Returns:
            A shape, or the shapes of named parts.

        Raises:
            ConfigError: The options do not fit.
        """
        assert config.latent_dim is not None
        return self.shape(config.latent_dim, read_options(self.options, config.options, "posterior"))

    def size(self, config: PosteriorConfig) -> int:
        """How many numbers one latent of the first level has.

        Args:
            config: The resolved configuration of the posterior.

        Returns:
            The number of entries, over all named parts.

        Raises:
            ConfigError: The options do not fit.
        """
        latent = self.latent(config)
        return sum(math.prod(shape) for shape in (latent.values() if isinstance(latent, dict) else [latent]))

    def group_size(self, config: PosteriorConfig) -> int:
        """What the number of latent dimensions is a multiple of.

        Args:
            config: The configuration of the posterior.

        Returns:
            The size of a group; 1 where any number will do.

        Raises:
            ConfigError: The options do not fit.
        """
        return self.group(read_options(self.options, config.options, "posterior"))

    def wrapped(self, encoder: Any, config: PosteriorConfig, *, key: Key) -> Any:
        """The posterior part of a model, from its encoder.

        Args:
            encoder: The encoder with its head.
            config: The configuration of the posterior.
            key: A JAX random key, for the initialisation.

        Returns:
            The encoder itself, or what it becomes a part of.

        Raises:
            ConfigError: The options do not fit.
        """
        return self.around(encoder, read_options(self.options, config.options, "posterior"), key)

    def decoder_input(self, config: PosteriorConfig) -> Callable[[Any], Any] | None:
        """What happens to a latent before the decoder's network.

        Args:
            config: The configuration of the posterior.

        Returns:
            A function of one latent, or None where the decoder sees the latent itself.

        Raises:
            ConfigError: The options do not fit.
        """
        return self.sees(read_options(self.options, config.options, "posterior"))
