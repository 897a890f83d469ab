"""What callers give a trained model, checked: rows, latents, classes and seeds; and what kind of model it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from latens import pretrained
from latens.config import ClassifierConfig, Config, VAEConfig
from latens.data import Dataset, Preparation, Schema
from latens.data.conditions import GIVEN
from latens.data.dataset import Batch, as_batch, require_labels
from latens.data.files import strings_of
from latens.data.row_fields import plain_numbers
from latens.errors import ConfigError, DataError, UsageError, nearest, refuse_other
from latens.kinds import Kind
from latens.kinds.counts.anndata import is_annotated
from latens.kinds.tables.frame import Frame, is_frame
from latens.recipes.part_tables import OBJECTIVES
from latens.runs.folder import RunFolder
from latens.runtime import random_keys
from latens.runtime.atomic import as_path, resource_errors
from latens.typing import Key, checked_later

if TYPE_CHECKING:
    from latens.trained.trained_model import TrainedModel


class Matrix(Protocol):
    """A matrix that is no array: a sparse one of SciPy, or AnnData."""

    @property
    def shape(self) -> tuple[int, ...]: ...


RowsLike: TypeAlias = ArrayLike | Matrix | Frame | Mapping[Any, Any] | Sequence[Any] | Kind
"""Rows in memory: numbers or strings, a table, sequences by name or in a list, records, or one of these as a kind."""


def refuse_classifier(config: Config | None, verb: str, where: str) -> None:
    """Refuse a model without latents where a verb needs them."""
    if isinstance(config, ClassifierConfig):
        fix = "It classifies and samples: `latens evaluate`, or GenerativeClassifier in Python."
        raise ConfigError(f"a Bayes classifier has no latents to {verb}.", where=where, fix=fix)


def refuse_inputs(trained: object, data: object, kind: type) -> None:
    """Refuse what is not a trained model (the `kind`), or not a data set, where both are asked for."""
    fix = "Give estimator.model_." if hasattr(trained, "model_") else "Give latens.load(path)."
    refuse_other(trained, kind, "trained", fix)
    refuse_other(data, Dataset, "data", "Give latens.read(rows, label=..., schema=model.schema).")


def positions_of(positions: ArrayLike | None, n: int) -> np.ndarray:
    """Positions of some of n rows; all of them for None."""
    found = np.arange(n) if positions is None else np.asarray(positions)
    fits = found.ndim == 1 and (found.dtype.kind in "iu" or not found.size)
    if not fits or not ((found >= 0) & (found < n)).all():
        what = f"{positions!r:.100} holds no positions of {n} rows."
        raise UsageError(what, where="positions", fix=f"Give whole numbers from 0 to {n - 1}.")
    return found.astype(np.int64)


def rows_of(data: ArrayLike, positions: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    """An array of rows as the model takes them: finite numbers, of which flattened ones get their shape back."""
    if np.ma.is_masked(data):
        what, fix = "rows with masked cells are not a plain array.", "Give latens.read(rows, schema=...)."
        raise DataError(what, where="data", fix=fix)
    if is_frame(data):  # whose columns have names, which an array of it would lose
        fix = "Give latens.read(frame, schema=model.schema)."
        raise DataError("a frame is not an array of rows.", where="data", fix=fix)
    if is_annotated(data):
        fix = "Give latens.read(adata, layer=..., condition=[...], schema=model.schema), as the model was trained."
        raise DataError("an AnnData object is not an array of rows.", where="data", fix=fix)
    rows = plain_numbers(data, "data")
    rows = rows if positions is None or rows.ndim == 0 else rows[positions_of(positions, len(rows))]
    if rows.ndim == 0 or rows.size == 0:
        raise DataError(f"has shape {rows.shape}: no rows.", where="data", fix="Give at least one row.")
    if rows.shape[1:] != shape and rows[0].size == np.prod(shape):
        rows = rows.reshape(len(rows), *shape)
    bad = np.argwhere(~np.isfinite(rows)) if rows.dtype.kind == "f" else np.zeros((0, 0))
    if len(bad):
        row, cell = int(bad[0][0]), ", ".join(map(str, bad[0][1:].tolist()))
        fix = 'For missing cells: latens.read(rows, missing="nan", schema=model.schema). Infinity is never taken.'
        raise DataError(f"cell [{cell}] of row {row} is {rows[tuple(bad[0])]}.", where="data", fix=fix)
    return rows if rows.dtype == np.uint8 else rows.astype(np.float32)


def batch_of(
    data: Dataset | ArrayLike, positions: ArrayLike | None, label: ArrayLike | None, schema: Schema,
    preparation: Preparation,
) -> Batch:  # fmt: skip
    """Rows as a model with this schema and preparation takes them, not yet prepared."""
    if isinstance(data, Dataset):
        batch = data.rows(positions_of(positions, len(data)), sparse=True)
    else:
        if (strings := strings_of(data)) is not None:
            data = schema.encode(strings)
        rows = rows_of(data, positions, schema.shape)
        codes = None if label is None else class_codes(label, schema.classes or (), len(rows))
        batch = as_batch(rows, label=codes)
    found = tuple(batch.x.shape[1:])
    if found != schema.shape:
        what = f"rows of shape {found}, but the model was trained on {schema.shape}."
        fix = "Give data with the same columns or pixels in the same order."
        raise DataError(what, where=getattr(data, "name", "data"), fix=fix)
    if schema.conditions and (batch.cond is None or GIVEN not in batch.cond):
        what = f"has no {', '.join(one.name for one in schema.conditions)}, which the model reads as conditions."
        fix = "Give latens.read(frame, schema=model.schema), whose columns have these names."
        raise DataError(what, where=getattr(data, "name", "data"), fix=fix)
    if not preparation.classes:
        return batch
    if isinstance(data, Dataset):
        require_labels(data, positions_of(positions, len(data)), data.name)
    elif label is None:
        raise DataError("a conditional model reads labels, and arrays have none.", where="data",
                        fix="Give a Dataset with labels, or the codes of their classes.")  # fmt: skip
    return batch


def latents_of(z: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Latents of a model with latents of this shape, also flattened ones."""
    z = plain_numbers(z, "z")
    if z.shape[1:] != shape and z.shape[1:] == (int(np.prod(shape)),):
        z = z.reshape(len(z), *shape)
    if z.ndim == 0 or z.shape[1:] != shape or not len(z) or not np.isfinite(z).all():
        found = f"of shape {z.shape}" if z.shape[1:] != shape or not z.size else "that are not finite"
        fix = f"Give finite numbers of shape (n, {', '.join(map(str, shape))})."
        raise DataError(f"there are latents {found}.", where="z", fix=fix)
    return z


def class_codes(labels: ArrayLike, classes: Sequence[str], n: int | None = None) -> np.ndarray:
    """The codes of labels, which are names of classes or codes already; one label goes to all of n rows."""
    found = np.asarray(labels)
    if found.dtype.kind in "UO":
        found = np.reshape([code_of(name, classes) for name in found.ravel().tolist()], found.shape)
    if found.dtype.kind not in "iu" or found.ndim > 1 or not ((found >= 0) & (found < len(classes))).all():
        fix = f"Give names of classes, or codes from 0 to {len(classes) - 1}." if classes else "Leave it out."
        raise UsageError(f"{labels!r:.100} holds no codes of the {len(classes)} classes.", where="label", fix=fix)
    if n is not None and found.shape not in ((), (n,)):
        what = f"has the shape {found.shape}, and there are {n} rows."
        raise UsageError(what, where="label", fix="Give one label for each row, or one for all.")
    return found if n is None else np.broadcast_to(found, (n,))


def code_of(name: str, classes: Sequence[str], where: str = "label") -> int:
    """The code of the class of that name."""
    if name not in classes:
        if not classes:
            fix = "Leave it out, or train with --set label=condition."
            raise UsageError("this model is not conditioned on labels.", where=where, fix=fix)
        raise UsageError(f"this model has no class {name!r}.", where=where, fix=nearest(name, classes))
    return classes.index(name)


def one_hot(labels: ArrayLike, classes: Sequence[str], n: int | None = None) -> np.ndarray:
    """One-hot vectors of labels."""
    return np.eye(len(classes), dtype=np.float32)[class_codes(labels, classes, n)]


def conditions_of_rows(
    labels: ArrayLike | None, reads: int, classes: Sequence[str], n: int
) -> dict[str, np.ndarray] | None:
    """The conditions of n rows of these classes; a model that reads labels must be given them."""
    if labels is None and reads:
        what = f"this model reads labels, and none are given for {n} rows."
        raise UsageError(what, where="label", fix="Give the name of a class for each row, or one for all.")
    return None if labels is None else {"label": one_hot(labels, classes, n)}


@checked_later
def seed_key(seed: object) -> Key:
    """The random key of a seed."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not -(2**63) <= seed < 2**63:
        raise UsageError(f"{seed!r:.100} is not a seed.", where="seed", fix="Give a whole number of at most 63 bits.")
    return random_keys.of_seed(int(seed))


@checked_later
def model_file(path: str | Path) -> Path:
    """The file of a model."""
    if isinstance(path, str) and path.startswith("pretrained:"):
        return pretrained.path(path.removeprefix("pretrained:"))
    named = as_path(path)
    with resource_errors(named):
        folder = named.is_dir()
    if not folder:
        return named
    return RunFolder.open(named, lock=False).trained_file()


def _objective_says(trained: "TrainedModel", fact: str) -> bool:
    """What the class of the objective says, or the file where the class is not known here."""
    kind, told = OBJECTIVES.get(trained.config.objective.name), trained.facts.get("objective")  # pyright: ignore
    return getattr(kind, fact) if kind is not None else not (isinstance(told, dict) and told.get(fact) is False)


def lacks_prior(trained: "TrainedModel") -> bool:
    """Whether this is an autoencoder to which no prior was fitted after its training."""
    config = trained.config
    return (
        isinstance(config, VAEConfig)
        and not _objective_says(trained, "uses_prior")
        and config.prior.kind == "standard-normal"
        and not config.posterior.levels
    )


def has_likelihood(trained: "TrainedModel") -> bool:
    """Whether a model was trained by, or for, a likelihood; of a GAN only samples are measured."""
    config = trained.config
    return not isinstance(config, VAEConfig) or _objective_says(trained, "has_likelihood")


def is_grey(trained: "TrainedModel") -> bool:
    """Whether the rows are grey cells under a Bernoulli, whose numbers are a cross-entropy."""
    family = trained.config.likelihood.family if isinstance(trained.config, VAEConfig) else ""
    return family == "bernoulli" and trained.schema.cells.grey and trained.preparation.binarize == "none"
