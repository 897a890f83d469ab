"""One density a class: any object that can fit, score rows and sample; several VAEs as one file."""

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Shaped
from msgspec.structs import replace
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from latens import config as configuration
from latens.config import VAEConfig
from latens.data import Schema
from latens.data.arrays import as_dataset
from latens.data.infer import with_classes
from latens.data.schema import MAX_CLASSES
from latens.errors import LatensError, ModelFileError, UsageError
from latens.estimators.vae import VAE
from latens.io.safetensors import unpack
from latens.recipes import recipe_of
from latens.recipes.parts.likelihoods import kinds_of
from latens.recipes.parts.objects import config_of_file
from latens.workflow.trained import TrainedModel

METHODS = ("fit", "score_samples", "sample")


def check(density: Any) -> None:
    """Check that an object can be the density of a class."""
    lacking = [name for name in METHODS if not callable(getattr(density, name, None))]
    if lacking or isinstance(density, type):
        what = f"the density has no {lacking[0]}." if lacking else f"{density.__name__} is a class, not an object."
        fix = "Use an object with fit, score_samples and sample."
        raise UsageError(what, where="density", fix=fix)


def fit_each(
    density: Any,
    x: Shaped[np.ndarray, "n D"],
    codes: Shaped[np.ndarray, " n"],
    *,
    shape: tuple[int, ...] | None,
    seed: int | None,
    weight: Shaped[np.ndarray, " n"] | None = None,
) -> list[Any]:
    """Fit a copy of a density to the rows of every class."""
    # VAEs share what all rows say about the features (their kind, levels and scaling): densities can be compared only
    # in the same units.
    # shape: shape of one picture, or None for a table.
    # seed: seed of densities whose `random_state` is None; None leaves them without one.
    if weight is not None and not has_fit_parameter(density, "sample_weight"):
        what = f"{type(density).__name__}.fit takes no weights of rows."
        raise UsageError(what, where="sample_weight", fix="Leave them out, or use a density whose fit takes them.")
    fitted = [copy_of(density) for _ in range(int(codes.max()) + 1)]
    schema: Schema | None = None
    if isinstance(density, VAE):
        schema = as_dataset(x, shape, kinds=kinds_of(density._configure(0).likelihood)).schema
        x = x if shape is None else x.reshape(-1, *shape)
    for code, one in enumerate(fitted):
        if seed is not None and getattr(one, "random_state", 0) is None:
            one.random_state = seed
        rows, own = x[codes == code], None if weight is None else weight[codes == code]
        if schema is None:
            one.fit(rows, **({} if own is None else {"sample_weight": own}))  # what it returns is its own affair
        else:
            one._fit(rows, schema, sample_weight=own)
    return fitted


def copy_of(density: Any) -> Any:
    """Make an unfitted copy of a density; objects that are not scikit-learn's are copied as they are."""
    return clone(density, safe=False)


def score_each(fitted: Sequence[Any], x: Shaped[np.ndarray, "n D"]) -> Shaped[np.ndarray, "n C"]:
    """Compute log p(x | class) of every row under every density."""
    columns = [np.asarray(density.score_samples(x), np.float64) for density in fitted]
    for density, column in zip(fitted, columns):
        if column.shape != (len(x),):
            what = f"score_samples gives shape {column.shape} for {len(x)} rows."
            raise UsageError(what, where=type(density).__name__, fix="Give one log density for each row.")
    return np.stack(columns, axis=1)


def draw(density: Any, n: int, cells: int, *, seed: int) -> Shaped[np.ndarray, "n cells"]:
    """Sample rows from a fitted density, the same ones for the same seed."""
    # The seed goes to `sample(n, random_state=...)`, or for scikit-learn's mixtures, which take none, into the
    # attribute; an object that knows neither samples as it likes.
    if "random_state" in inspect.signature(density.sample).parameters:
        drawn = density.sample(n, random_state=seed)
    elif hasattr(density, "random_state"):
        seeded = copy.copy(density)
        seeded.random_state = seed
        drawn = seeded.sample(n)
    else:
        drawn = density.sample(n)
    # scikit-learn's mixtures give (rows, components).
    rows = np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn)
    if len(rows) != n or rows.size != n * cells:
        what = f"sample({n}) gives shape {rows.shape}, not {(n, cells)}."
        raise UsageError(what, where=type(density).__name__, fix="Give one row for each sample.")
    return rows.reshape(n, cells)


# --- several VAEs in one file: {"densities": {"0": model, ...}, "log_prior": (C,)} ---


def join(fitted: Sequence[Any], log_prior: Shaped[np.ndarray, " C"], names: tuple[str, ...]) -> TrainedModel:
    """Join the models of all classes into one that a file can hold, each with its configuration and facts."""
    if not all(isinstance(density, VAE) for density in fitted):
        what = f"a {type(fitted[0]).__name__} has no file that could carry no code."
        fix = "Use the densities by name, or VAEs; or keep this classifier in memory or in a pickle of your own."
        raise UsageError(what, where="density", fix=fix)
    parts = [density._with_facts() for density in fitted]
    about = [{"config": None if p.config is None else configuration.to_json(p.config), "facts": p.facts} for p in parts]
    models = {str(code): part.model for code, part in enumerate(parts)}
    tree = {"densities": models, "log_prior": np.asarray(log_prior, np.float64)}
    schema = with_classes(parts[0].schema, names)
    return TrainedModel(tree, schema, parts[0].preparation, None, {"densities": about})


def are_joined(trained: TrainedModel) -> bool:
    """Whether a model is one that `join` made."""
    return isinstance(trained.model, dict)


def open_file(raw: bytes, where: str, *, like: Any) -> TrainedModel:
    """Read the model of a classifier, of densities given by name or of VAEs, from the bytes of its file."""
    _, metadata = unpack(raw, where=where)
    facts = metadata.get("facts")
    about = facts.get("densities") if isinstance(facts, dict) else None
    if about is None:
        return TrainedModel.from_bytes(raw, where=where)
    vae = like if isinstance(like, VAE) else VAE()
    try:
        schema = Schema.from_json(metadata.get("schema"))
        config = _common_config(about, schema, vae, where)
        one = eqx.filter_eval_shape(lambda key: recipe_of(config).model(schema, config, key=key), jax.random.key(0))
    except ModelFileError:
        raise
    except LatensError as error:
        raise ModelFileError(f"the configuration in the file does not fit: {error}", where=where) from None
    log_prior = np.zeros(len(about), np.float64)
    into = {"densities": {str(code): one for code in range(len(about))}, "log_prior": log_prior}
    return TrainedModel.from_bytes(raw, into=into, where=where)


def _common_config(about: Any, schema: Schema, vae: VAE, where: str) -> VAEConfig:
    """The configuration of the first model, after checking that those of the others build the same one."""
    classes = schema.classes or ()
    well_formed = isinstance(about, list) and 0 < len(about) == len(classes) <= MAX_CLASSES
    if not well_formed or not all(isinstance(a, dict) and isinstance(a.get("facts"), dict) for a in about):
        raise ModelFileError("the densities are not one for each class.", where=where, fix="Use an intact copy.")
    configs = [c for c in (_config_of(each, vae, where) for each in about) if isinstance(c, VAEConfig)]
    # Budgets and decay may differ with the rows of a class; what the models are built from may not.
    built_from = [(c.recipe, c.network, c.posterior, c.likelihood) for c in configs]
    if len(configs) < len(about) or any(parts != built_from[0] for parts in built_from):
        raise ModelFileError("the densities have models of different kinds.", where=where, fix="Use an intact copy.")
    return configs[0]


_HOW = "GenerativeClassifier.load(path, density=VAE({}=...))"


def _config_of(about: dict[str, Any], vae: VAE, where: str) -> Any:
    return configuration.from_json(config_of_file(about.get("config"), about["facts"], vae._objects(), where, _HOW))


def split(trained: TrainedModel, where: str, *, like: Any) -> list[VAE]:
    """Split a joined model into the fitted VAE of every class."""
    schema = replace(trained.schema, classes=None)
    vae = like if isinstance(like, VAE) else VAE()
    fitted = []
    for code, about in enumerate(trained.facts["densities"]):
        model, config = trained.model["densities"][str(code)], _config_of(about, vae, where)
        one = TrainedModel(model, schema, trained.preparation, config, about["facts"])
        fitted.append(VAE(**vae._objects()))
        fitted[-1]._restore(one, where)
    return fitted
