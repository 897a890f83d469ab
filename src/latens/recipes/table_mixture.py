"""Mixed tables without networks: a mixture of independent columns, fitted by EM and summed exactly."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from msgspec.structs import replace

from latens.config import NetworkConfig, PosteriorConfig, PriorConfig, VAEConfig
from latens.data import Dataset, Schema
from latens.data.dataset import training_rows
from latens.errors import ConfigError
from latens.evidence.mixture_baseline import MOST_ROWS, STEPS, Mixture, best_classes, fit_mixture
from latens.models import Conditional, ExactChoices, LatentModel, SideBySide
from latens.models.heads.table import TableHead
from latens.networks import Dense
from latens.recipes.building.recipe import Recipe, Size
from latens.recipes.parts.bound import Parts, bind, preparation, prior_part
from latens.training import Stage
from latens.typing import Key

CONFIG = VAEConfig(
    recipe="table-mixture",
    network=NetworkConfig(hidden=()),
    posterior=PosteriorConfig(kind="categorical", latent_dim=1),
    prior=PriorConfig(kind="choices"),
)
_FREE = {"recipe", "data", "likelihood.family", "posterior.options", "training.epochs", "training.seed"}
"""What a configuration may say otherwise than the recipe does."""


def resolve(config: VAEConfig | Parts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Choose the number of classes by training rows that its fit does not see."""
    config = bind(config).config
    _refuse(config, data)
    reasons = []
    if "choices" not in config.posterior.options:
        x, mask, weight = training_rows(data, MOST_ROWS)
        classes = max(2, best_classes(x, mask, data.schema.column_types, weight))
        config = replace(config, posterior=replace(config.posterior, options={"choices": classes}))
        reasons.append(f"{classes} classes, by a tenth of the training rows (--set posterior.choices={classes})")
    if config.training.epochs is None:
        config = replace(config, training=replace(config.training, epochs=float(STEPS)))
        reasons.append(f"at most {STEPS} steps of EM on all training rows")
    return replace(config, likelihood=replace(config.likelihood, family="table")), reasons


def _refuse(config: VAEConfig, data: Dataset) -> None:
    if data.schema.types is None:
        what = f"a mixture of independent columns needs typed columns, and these data are {data.schema.kind}."
        raise ConfigError(what, where="recipe", fix="Use --typed, or --recipe default.")
    if config.likelihood.family not in ("auto", "table"):
        what = f"the columns of a mixed table have a likelihood of their own, not {config.likelihood.family}."
        raise ConfigError(what, where="likelihood.family", fix="Leave it out.")
    for part in config.__struct_fields__:
        ours, given = getattr(CONFIG, part), getattr(config, part)
        for name in getattr(given, "__struct_fields__", ()):
            option = f"{part}.{name}"
            if part not in _FREE and option not in _FREE and getattr(ours, name) != getattr(given, name):
                what = "a mixture of independent columns is fitted by EM, where this option has no effect."
                fix = "Remove it; --epochs says how many steps of EM, --set posterior.choices how many classes."
                raise ConfigError(what, where=option, fix=fix)


def build(schema: Schema, config: VAEConfig | Parts, *, key: Key) -> LatentModel:
    """A mixture whose classes are all alike; the fit tells them apart."""
    parts = bind(config)
    choices = parts.posterior.read.choices
    head = TableHead(schema.column_types, free=True)
    network: Any = Dense([choices, head.num_outputs], key=key)
    network = eqx.tree_at(lambda n: n.layers[0].weight, network, jnp.zeros((choices, head.num_outputs)))
    prior = prior_part(schema, parts, (1, choices), key=key)
    return LatentModel(prior, ExactChoices(), Conditional(network, head, SideBySide(choices)))


def with_mixture(model: LatentModel, mixture: Mixture) -> LatentModel:
    """The model with the shares of a mixture."""
    decoder: Any = model.decoder
    begins = np.concatenate([[0], np.cumsum([one.count for one in mixture.types])])
    outputs = []
    for name, places in zip(decoder.head.blocks.names, decoder.head.blocks.places):
        size = decoder.head.heads[name].log_shares.value.shape[1]
        for place in places:
            own = mixture.log_shares[:, begins[place] : begins[place + 1]] - np.log(mixture.types[place].shares)
            outputs.append(np.pad(own, ((0, 0), (0, size - own.shape[1]))))
    logits = jnp.asarray(mixture.log_weights, jnp.float32)[None]
    weight = jnp.asarray(np.concatenate(outputs, axis=1), jnp.float32)
    where = lambda m: (m.prior_part.logits, m.decoder.network.layers[0].weight)  # noqa: E731
    return eqx.tree_at(where, model, (logits, weight))


def plan(schema: Schema, config: VAEConfig | Parts, size: Size) -> tuple[Stage, ...]:
    """One stage without steps: its start is the fit."""
    epochs = bind(config).config.training.epochs

    def start(model: LatentModel, data: Dataset) -> LatentModel:
        x, mask, weight = training_rows(data)
        prior: Any = model.prior()
        classes, steps = prior.logits.shape[-1], round(epochs or STEPS)
        return with_mixture(model, fit_mixture(x, mask, schema.column_types, classes, weight=weight, steps=steps))

    return (Stage(None, None, start=start),)


RECIPES = {"table-mixture": Recipe("", "", "", "", CONFIG, resolve, preparation, build, plan, bind)}
"""What this recipe begins with."""
