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
    """One row of the table.

    **Arguments:** `what` in a few words; `make(shape, config, options, key)` the head; `prior` by nature; `support`
    of the latents; `options` their types, bounds and defaults; `shape(n, options)` of one latent of `latent_dim` n;
    `sees` makes the decoder's input of a latent, where it is not the latent itself; `scaled` whether `posterior.scale`
    counts; `stacks` whether levels of a hierarchy can be of this kind; `group` of how many units the latents are made;
    `around(encoder, options, key)` what the encoder becomes a part of, where it is not the posterior itself;
    `own_density` whether its density is known everywhere, not along its own draws only; `hierarchy` builds a model of
    several levels, where those are not stacked one on the other; `by_part` encoder and decoder of a row that is several
    parts.
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
    by_part: Callable[..., tuple[Any, Any]] | None = None
    group: Callable[[Any], int] = lambda options: 1

    def latent(self, config: PosteriorConfig) -> Shape:
        """The shape of one latent (of the first level)."""
        assert config.latent_dim is not None
        return self.shape(config.latent_dim, read_options(self.options, config.options, "posterior"))

    def size(self, config: PosteriorConfig) -> int:
        """How many numbers the decoder sees of the first level."""
        latent = self.latent(config)
        return sum(math.prod(shape) for shape in (latent.values() if isinstance(latent, dict) else [latent]))

    def group_size(self, config: PosteriorConfig) -> int:
        """What the number of latent units is a multiple of."""
        return self.group(read_options(self.options, config.options, "posterior"))

    def wrapped(self, encoder: Any, config: PosteriorConfig, *, key: Key) -> Any:
        """The posterior part of a model, from its encoder."""
        return self.around(encoder, read_options(self.options, config.options, "posterior"), key)

    def decoder_input(self, config: PosteriorConfig) -> Callable[[Any], Any] | None:
        """What happens to a latent before the decoder's network."""
        return self.sees(read_options(self.options, config.options, "posterior"))
