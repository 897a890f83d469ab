"""Single cells: counts of genes given each cell's total, with batches as conditions."""

import dataclasses

from msgspec.structs import replace

from latens.config import VAEConfig
from latens.data import Dataset
from latens.errors import DataError
from latens.recipes import plan as vae
from latens.recipes.parts import ConfiguredParts, bind

NOT_COUNTS = "Give counts: --layer NAME, where a layer holds them; or use --recipe default for other numbers."


def resolve(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Decide what the configuration leaves open; batches are read where there are any."""
    parts, reasons = bind(config), []
    config, schema = parts.config, data.schema
    if parts.likelihood.depth and schema.kind not in parts.likelihood.kinds:
        what = f"holds no counts (its numbers are {schema.kind}), which this recipe needs."
        raise DataError(what, where=data.name, fix=NOT_COUNTS)
    if config.label.kind == "beside" and not schema.conditions:
        config = replace(config, label=replace(config.label, kind="none"))
    if config.network.linear is None and config.start.kind == "closed-form" and parts.likelihood.depth:
        config = replace(config, network=replace(config.network, linear=True))
        seen = "residuals of counts" if parts.likelihood.read.sees == "residuals" else "log-normalised counts"
        reasons.append(f"networks that begin at the principal components of {seen} (--set start=none)")
    config, more = vae.resolve(parts.having(config), data)
    return config, reasons + more


RECIPES = {"cells": dataclasses.replace(vae.RECIPE, resolve=resolve)}
"""What this recipe begins with."""
