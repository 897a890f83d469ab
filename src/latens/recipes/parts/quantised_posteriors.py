"""The quantised posteriors by name: their options and heads, as rows of the table of posteriors."""

import math
from typing import Annotated, Any

from msgspec import Meta

from latens.config import Part
from latens.models import CodeHead, ScalarQuantiser, SignQuantiser, VectorQuantiser
from latens.typing import Key

GroupSize = Annotated[int, Meta(ge=1, le=65536)]
NumCodes = Annotated[int, Meta(ge=2, le=65536)]


class VectorOptions(Part, frozen=True):
    """Groups of latent dimensions at the nearest of some learned vectors."""

    codes: NumCodes = 256  # the number of vectors
    code_dim: GroupSize = 4  # how many latent dimensions a vector has
    # whether the vectors are moving averages of what is nearest to them, rather than trained by gradient
    averaged: bool = False
    # the share of a moving average that stays at every step; for `averaged` vectors
    decay: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.99
    # below which part of the average use an `averaged` vector is put at a group of the batch
    reset_below: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05


class ResidualOptions(VectorOptions, frozen=True):
    """Learned vectors, then vectors for what they leave over, and so on."""

    # `decay`: The share of a moving average that stays at every step; for `averaged` vectors.
    # `reset_below`: Below which part of the average use an `averaged` vector is put at a group of the batch.

    stages: Annotated[int, Meta(ge=1, le=64)] = 4  # the number of stages
    codes: NumCodes = 64  # the number of vectors of each stage
    code_dim: GroupSize = 8  # how many latent dimensions a vector has
    # whether the vectors are moving averages of what is nearest to them, rather than trained by gradient
    averaged: bool = True


class ScalarOptions(Part, frozen=True):
    """Every latent dimension rounded to a few levels."""

    # the number of levels of each latent dimension of a group
    grid: Annotated[tuple[Annotated[int, Meta(ge=3, le=1000)], ...], Meta(min_length=1, max_length=16)] = (8, 5, 5, 5)


class SignOptions(Part, frozen=True):
    """Every latent dimension as its sign."""

    code_dim: Annotated[int, Meta(ge=1, le=16)] = 8  # how many signs a group has
    # the temperature of the soft signs behind `objective.entropy`
    temperature: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.0


def _vectors(shape: tuple[int, ...], config: Any, options: VectorOptions, key: Key) -> CodeHead:
    given: dict[str, Any] = {"decay": options.decay, "reset_below": options.reset_below} if options.averaged else {}
    quantiser = VectorQuantiser.create(
        options.code_dim,
        codes=options.codes,
        stages=getattr(options, "stages", 1),
        averaged=options.averaged,
        key=key,
        **given,
    )
    return CodeHead(shape, quantiser)


def _by_code_dim(options: Any) -> int:
    return options.code_dim


_SHARED: dict[str, Any] = {"prior": "uniform-codes", "support": "codes"}

CODES: dict[str, dict[str, Any]] = {
    "vq": _SHARED
    | {
        "what": "groups of units at the nearest of some learned vectors",
        "make": _vectors,
        "options": VectorOptions,
        "group": _by_code_dim,
    },
    "residual-vq": _SHARED
    | {
        "what": "vectors, then vectors for what they leave over, and so on",
        "make": _vectors,
        "options": ResidualOptions,
        "group": _by_code_dim,
    },
    "fsq": _SHARED
    | {
        "what": "every unit rounded to a few levels",
        "make": lambda s, c, o, key: CodeHead(s, ScalarQuantiser(o.grid)),
        "options": ScalarOptions,
        "group": lambda options: len(options.grid),
    },
    "lookup-free": _SHARED
    | {
        "what": "every unit as its sign",
        "make": lambda s, c, o, key: CodeHead(s, SignQuantiser(o.code_dim, o.temperature)),
        "options": SignOptions,
        "group": _by_code_dim,
    },
}
"""Rows of `POSTERIORS`. `group`: the number of latent dimensions is a multiple of it."""


def whole_groups(latent_dim: int, group: int) -> int:
    """The least number of latent dimensions in whole groups that is no smaller."""
    return math.ceil(latent_dim / group) * group
