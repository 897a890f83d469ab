"""One row as several modalities: which cells each has, and an encoder and a decoder for each."""

from collections.abc import Callable
from typing import Annotated, Literal

import jax
import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from latens.config import ConfigSection, PriorConfig, VAEConfig
from latens.data import Schema
from latens.data.schema import restricted
from latens.distributions import Blocks
from latens.errors import ConfigError
from latens.models import ByModality, Experts, LatentModel
from latens.typing import Key

MOST = 16


class ExpertsOptions(ConfigSection, frozen=True):
    """How the experts of several modalities are made one, and how a row is split into modalities."""

    # how the experts are made one (see `latens.models.Experts`)
    rule: Literal["product", "mixture", "mixture-of-products"] = "product"
    # how a row is split: by the `names` of its columns up to the first "." (or "_"), or into `parts` equal ones along
    # its `rows` (the first axis), `columns` or `channels`; "auto" is by names where every one has a ".", else by rows
    split: Literal["auto", "names", "rows", "columns", "channels"] = "auto"
    # into how many equal parts a row is split, 2 to 16, where it is not split by names
    parts: Annotated[int, Meta(ge=2, le=MOST)] = 2


def by_part(
    build: Callable[..., LatentModel], schema: Schema, config: VAEConfig, options: ExpertsOptions, *, key: Key
) -> tuple[Experts, ByModality]:
    """Encoder and decoder of a model of several modalities, each modality with networks as `build` makes them."""
    if config.posterior.levels:
        raise ConfigError("models of several modalities have one level.", where="posterior.levels",
                          fix="Leave it as it is, or use another posterior.")  # fmt: skip
    blocks = blocks_of(schema, options)
    plain = replace(
        config,
        posterior=replace(config.posterior, kind="normal", options={}),
        prior=PriorConfig(kind="standard-normal"),
        label=replace(config.label, prior="shared"),
    )
    made = {
        name: build(_part_of(schema, blocks, places), plain, key=jax.random.fold_in(key, i))
        for i, (name, places) in enumerate(zip(blocks.names, blocks.places))
    }
    encoders, decoders = {n: m.encoder for n, m in made.items()}, {n: m.decoder for n, m in made.items()}
    return Experts(encoders, options.rule, blocks), ByModality(decoders, blocks)


def blocks_of(schema: Schema, options: ExpertsOptions) -> Blocks:
    """Which features of a row belong to which modality."""
    names = schema.names
    split = options.split
    if split == "auto":
        split = "names" if names and all("." in name for name in names) else "rows"
    if split == "names":
        mark = "." if all("." in name for name in names) else "_"
        groups: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            groups.setdefault(name.split(mark)[0], []).append(place)
        if not 2 <= len(groups) <= MOST:
            what = f"the names of the columns have {len(groups)} different beginnings, and modalities are 2 to {MOST}."
            raise ConfigError(what, where="posterior.split", fix="Name columns as image.a, text.a, or use rows.")
        return Blocks(tuple(groups), tuple(tuple(places) for places in groups.values()))
    axis = ("rows", "columns", "channels").index(split)
    if axis >= len(schema.shape) or schema.shape[axis] < options.parts:
        what = f"rows of data of shape {schema.shape} are not {options.parts} parts by {split}."
        raise ConfigError(what, where="posterior.split", fix="Use --set posterior.split=rows, or fewer parts.")
    pieces = np.array_split(np.arange(schema.shape[axis]), options.parts)
    return Blocks(
        tuple(f"part{i}" for i in range(options.parts)), tuple(tuple(map(int, piece)) for piece in pieces), axis
    )


def _part_of(schema: Schema, blocks: Blocks, places: tuple[int, ...]) -> Schema:
    shape = (*schema.shape[: blocks.axis], len(places), *schema.shape[blocks.axis + 1 :])
    return restricted(schema, shape, places)
