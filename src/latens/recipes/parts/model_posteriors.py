"""Posteriors that look at the model they belong to, as rows of the table: leapfrog steps, and the ladder."""

import itertools
from collections.abc import Callable
from typing import Annotated, Any

import jax
from msgspec import Meta, structs

from latens.config import Part, PosteriorConfig, Width
from latens.models import (
    AbstractHead,
    Conditional,
    DeterministicHead,
    Downwards,
    FromLowest,
    Hamiltonian,
    Ladder,
    LatentModel,
    NormalHead,
    Riemannian,
    widths_between,
)
from latens.networks import Dense
from latens.recipes.parts.posterior_row import Posterior
from latens.recipes.parts.top_down import top_down_model
from latens.typing import Key


class LeapfrogOptions(Part, frozen=True):
    """The leapfrog steps on the model's own density."""

    steps: Annotated[int, Meta(ge=1, le=100)] = 3  # the number of steps
    step_size: Annotated[float, Meta(gt=0.0, lt=0.5)] = 0.05  # what the trained size of a step starts at
    temperature: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.5  # what the trained temperature starts at


class LadderOptions(Part, frozen=True):
    """The way up of a ladder of levels."""

    features: Width = 128  # how many features go up from each level to the next


class CurvedOptions(LeapfrogOptions, frozen=True):
    """The leapfrog steps under a trained metric, and that metric."""

    # `step_size`: What the trained size of a step starts at.

    centroids: Annotated[int, Meta(ge=1, le=4096)] = 20  # the number of centroids of the metric
    # the distance over which a centroid is felt, in the unit of the latents
    width: Annotated[float, Meta(gt=0.0, le=1e6)] = 1.5
    floor: Annotated[float, Meta(gt=0.0, le=1e6)] = 0.1  # the number that keeps the inverse metric positive definite


def _flat(encoder: Conditional, options: LeapfrogOptions, key: Key) -> Hamiltonian:
    return Hamiltonian.create(encoder, **structs.asdict(options))


def _curved(encoder: Conditional, options: CurvedOptions, key: Key) -> Riemannian:
    return Riemannian.create(encoder, **structs.asdict(options), key=key)


def ladder_model(
    config: PosteriorConfig,
    options: LadderOptions,
    encoder: Conditional,
    decoder: Conditional,
    top: Any,
    *,
    normal: NormalHead,
    level_hidden: tuple[int, ...],
    network: dict[str, Any],
    key: Key,
) -> LatentModel:
    """A model whose levels share the prior's networks."""
    sizes = [config.latent_dim or 1, *config.levels]

    def part(start: int, end: int, hidden: tuple[int, ...], number: int) -> Conditional:
        head = NormalHead((end,), normal.scale, normal.scale_floor)
        widths = widths_between((start,), hidden, head.num_outputs)
        return Conditional(Dense(widths, key=jax.random.fold_in(key, number), **network), head)

    width, levels = options.features, range(len(sizes))
    readouts = tuple(part(width, sizes[level], (), 3 * level) for level in levels)
    down = [part(above, below, level_hidden, 3 * n + 1) for n, (below, above) in enumerate(itertools.pairwise(sizes))]
    trunks = [
        Conditional(
            Dense([width, *level_hidden, width], key=jax.random.fold_in(key, 3 * level + 2), **network),
            DeterministicHead((width,)),
        )
        for level in levels[1:]
    ]
    ladder = Ladder(encoder, tuple(trunks), readouts, network["activation"])
    return LatentModel(Downwards(top, tuple(reversed(down))), ladder, FromLowest(decoder))


def model_posteriors(normal: Callable[..., NormalHead]) -> dict[str, Posterior]:
    """The rows of the posteriors that look at the model they belong to."""

    def features(shape: tuple[int, ...], config: PosteriorConfig, options: LadderOptions, key: Key) -> AbstractHead:
        return DeterministicHead((options.features,))

    return {
        "hamiltonian": Posterior(
            "leapfrog steps on the model's own density after a Normal",
            lambda s, c, o, key: normal(s, c),
            "standard-normal",
            options=LeapfrogOptions,
            scaled=True,
            around=_flat,
            own_density=False,
        ),
        "riemannian": Posterior(
            "leapfrog steps under a trained metric after a Normal",
            lambda s, c, o, key: normal(s, c),
            "standard-normal",
            options=CurvedOptions,
            scaled=True,
            around=_curved,
            own_density=False,
        ),
        "ladder": Posterior(
            "levels from the top down that share the prior's networks (give posterior.levels)",
            features,
            "standard-normal",
            options=LadderOptions,
            scaled=True,
            stacks=True,
            hierarchy=ladder_model,
        ),
        "top-down": Posterior(
            "levels of pictures at every size, from the top down, in networks that prior and likelihood share; "
            "posterior.latent_dim is the channels of each",
            lambda s, c, o, key: normal(s, c),
            "standard-normal",
            whole=top_down_model,
        ),
    }
