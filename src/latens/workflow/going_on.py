"""Training that starts from a trained model: what it keeps of that one, and what a file says of it."""

from typing import Any

import jax
from msgspec import structs

from latens import config as configuration
from latens.config import Config, VAEConfig
from latens.errors import ConfigError
from latens.io.arrays import arrays_to_tree, path_name, tree_to_arrays
from latens.workflow.trained import TrainedModel


def going_on(config: Config, start: TrainedModel | None) -> Config:
    """The configuration with prior and likelihood of the model that training starts from, where it leaves them open."""
    known = None if start is None else start.config
    if not isinstance(known, VAEConfig) or not isinstance(config, VAEConfig):
        return config
    if (own := config.likelihood).family == "auto":  # other rows may ask for another tree
        options = known.likelihood.options | own.options
        config = structs.replace(
            config, likelihood=structs.replace(own, family=known.likelihood.family, options=options)
        )
    if config.prior.kind == "auto":
        refit = known.prior.refit if config.prior.refit is None else config.prior.refit
        config = structs.replace(config, prior=structs.replace(known.prior, refit=refit))
    return config


def with_weights_of(start: TrainedModel, model: Any) -> Any:
    """A new model with the weights of a trained one."""
    have = {name: shape for name, shape, _ in start.table()}
    want = {
        path_name(path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
        if hasattr(leaf, "shape")
    }
    for name in sorted({*have, *want}):
        old, new = have.get(name), want.get(name)
        if old != new:
            sides = [f"has {name} of shape {shape}" if shape is not None else f"has no {name}" for shape in (old, new)]
            what = f"the model to start from {sides[0]}, and the new one {sides[1]}."
            fix = "Start from a model with the same networks, prior and columns."
            raise ConfigError(what, where="--from, warm_start", fix=fix)
    abstract = any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(model))
    return model if abstract else arrays_to_tree(tree_to_arrays(start.model), model, where="start")


def former(start: TrainedModel) -> dict[str, Any]:
    """What a file says of the training that another one started from."""
    names = ("data", "rows", "fingerprint", "steps", "best_step", "stopped_because", "started_from")
    config = None if start.config is None else configuration.to_json(start.config)
    return {**{name: start.facts[name] for name in names if name in start.facts}, "config": config}
