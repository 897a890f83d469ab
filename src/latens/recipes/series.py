"""Recipes of sequences: what is decided of them from the data."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from msgspec.structs import replace as replace_struct

from latens.config import VAEConfig
from latens.data import Dataset
from latens.evidence.series_baseline import season_of
from latens.recipes.parts import ConfiguredParts, bind
from latens.recipes.plan import RECIPE, resolve
from latens.recipes.state_space_parts import step_schema
from latens.recipes.step_starts import changes_matter

BATCH = 32
"""Rows of a batch."""
STEPS = 3000
"""The most steps of training where no limit is given."""
WORLD_STEPS = 1000
"""The same for environments: 700 steps were enough for CartPole, whose random episodes are short."""
MOST_LATENTS = 24
"""Latents of a step, at the most, where their number is not given."""


def _resolve(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    parts = bind(config)
    config, reasons = parts.config, []
    columns = math.prod(step_schema(data.schema).shape)
    posterior, training, likelihood = config.posterior, config.training, config.likelihood
    options: dict[str, Any] = dict(posterior.options)
    if "lags" not in options and config.recipe in ("deep-kalman", "vrnn"):
        season, steps = season_of(*_some(data)), data.schema.shape[0]
        seasons = [] if season is None else [lag for lag in (season, 2 * season, 3 * season) if lag <= steps // 2]
        options["lags"] = [*([1] if config.recipe == "vrnn" else []), *seasons]
        if seasons:
            apart = " and ".join(map(str, seasons))
            reasons.append(
                f"training values repeat after {season} steps: each step receives the values {apart} steps earlier"
            )
        posterior = replace_struct(posterior, options=options)
    if config.recipe == "world" and "scaled" not in options and config.start.kind == "closed-form":
        options["scaled"] = True
        posterior = replace_struct(posterior, options=options)
    if posterior.latent_dim is None:
        each = 1 if options.get("lags") else 3
        posterior = replace_struct(posterior, latent_dim=min(MOST_LATENTS, max(4, each * columns)))
        reasons.append(f"{posterior.latent_dim} latent units a step, for {columns} columns")
    if config.recipe == "world" and config.posterior.latent_dim is None:
        size, reason = _world_latents(data, columns)
        posterior = replace_struct(posterior, latent_dim=size)
        reasons[-1] = f"{size} latent units a step: {reason}"
    coins = _coins(data)
    if likelihood.family == "auto" and data.schema.cells.real and coins and config.recipe != "linear-gaussian":
        likelihood = replace_struct(likelihood, family="step-columns", options={"binary": coins})
        reasons.append(f"likelihood: step-columns, because {len(coins)} of {columns} columns hold only 0 and 1")
    if training.batch_size is None:
        training = replace_struct(training, batch_size=BATCH)
        reasons.append(f"batches of {BATCH} rows")
    if training.epochs is None and training.steps is None and training.minutes is None:
        steps = WORLD_STEPS if config.recipe == "world" else STEPS
        training = replace_struct(training, steps=steps)
        reasons.append(f"at most {steps} steps")
    found = replace_struct(config, posterior=posterior, training=training, likelihood=likelihood)
    config, others = resolve(parts.having(found), data)
    return config, [*reasons, *others]


def _world_latents(data: Dataset, columns: int) -> tuple[int, str]:
    """How many latents a step of an environment has: its numbers and, where these hide a velocity, their change."""
    x, seen = _some(data)
    numbers = [place for place in range(columns) if place not in _coins(data)]
    inputs = (data.cond or {}).get("inputs")
    if not numbers or len(numbers) > MOST_LATENTS // 2 or inputs is None:
        return min(MOST_LATENTS, max(4, 2 * len(numbers))), f"for {columns} columns"
    given = np.asarray(inputs[data.subset("train")[:256]], np.float64)
    spread = np.array([x[..., place][seen[..., place]].std() for place in numbers])
    scaled = np.where(seen[..., numbers], x[..., numbers], 0.0) / np.maximum(spread, 1e-9)
    if changes_matter(scaled, seen[..., numbers], given):
        return 2 * len(numbers), f"{len(numbers)} numbers and their last change, which says more of the next step"
    return len(numbers), f"{len(numbers)} numbers, whose last change says little more of the next step"


def _some(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Some training rows, and where they are observed."""
    rows = data.rows(data.subset("train")[:256])
    x = np.asarray(rows.x, np.float64)
    x = x.reshape(*x.shape[:2], -1)
    return x, np.ones(x.shape, bool) if rows.mask is None else np.asarray(rows.mask).reshape(x.shape)


def _coins(data: Dataset) -> list[int]:
    """The columns of 0 and 1 of steps that are vectors."""
    x, seen = _some(data)
    if len(data.schema.shape) != 2:
        return []
    either: Any = [bool(np.all(np.isin(x[..., c][seen[..., c]], (0.0, 1.0)))) for c in range(x.shape[2])]
    return [place for place, holds in enumerate(either) if holds]


_SERIES = replace(RECIPE, resolve=_resolve)
RECIPES = dict.fromkeys(("deep-kalman", "vrnn", "world", "linear-gaussian"), _SERIES)
"""What these recipes begin with."""
