"""More rows of each class, drawn around labelled rows or from p(x | class); rows of one class as rows of another."""

import dataclasses
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np

from latens.config import ClassifierConfig
from latens.data import Dataset
from latens.errors import ConfigError, DataError, UsageError, nearest
from latens.evidence.estimate import finite
from latens.latents import codes
from latens.latents.codes import draw_around, new_rows
from latens.predictive.classes import sample_classes
from latens.runtime.compilation import check_count, check_process
from latens.trained.inputs import code_of, positions_of, refuse_inputs, seed_key
from latens.trained.trained_model import TrainedModel
from latens.typing import Key, checked_later

Draw: TypeAlias = Literal["rows", "class"]
"""Where new rows come from: around rows of the class, or from p(x | class)."""


class Augmented(NamedTuple):
    """New rows with their classes."""

    x: np.ndarray  # the rows, of shape (n, *x), in the units of the stored rows
    label: np.ndarray  # the names of their classes, of shape (n,)
    # the names of the rows that they were drawn around, of shape (n,); None of draws from p(x | class)
    around: np.ndarray | None


@checked_later
def augment(
    trained: TrainedModel,
    data: Dataset,
    per_class: int,
    *,
    positions: np.ndarray | None = None,
    draw: Draw | None = None,
    mean: bool = False,
    seed: int = 0,
) -> Augmented:
    """Make as many new rows of each class that labelled rows have.

    Around rows: z from q(z | x) of a row of the class, then x from p(x | z); the rows of a class take turns, in a
    random order. From the class: z from the prior, then x from p(x | z, class), or the class's own density.

    Args:
        trained: The trained model; its classes matter only where it reads labels.
        data: Rows of which some have labels.
        per_class: How many new rows of each class, from 1.
        positions: The positions of the rows to draw around, of shape (n,). None: all rows.
        draw: "rows" or "class"; None: "class" of a model that has p(x | class), else "rows".
        mean: Whether rows are means of p(x | z), so that only z is random.
        seed: The seed.

    Returns:
        `per_class` rows of each class that occurs, class by class.

    Raises:
        ConfigError: The model has no p(x | class), or no posterior to draw around a row from.
        DataError: No row has a label, or the model does not know a class.
        UsageError: `per_class` is below 1.

    Examples:
        >>> import latens
        >>> new = augment(latens.load("pretrained:digits-2d"), latens.read("digits"), 2)
        >>> new.x.shape, new.label[:3].tolist()
        ((20, 8, 8), ['0', '0', '1'])
    """
    check_process()
    refuse_inputs(trained, data, TrainedModel)
    per_class = check_count(per_class, "per_class", cells=int(np.prod(trained.schema.shape)))
    if mean not in (False, True):
        raise UsageError(f"{mean!r:.100} is neither true nor false.", where="mean", fix="Give True or False.")
    if draw is not None and draw not in get_args(Draw):
        raise UsageError(f"there is no {draw!r:.100}.", where="draw", fix=nearest(draw, get_args(Draw)))
    key = seed_key(seed)
    positions = positions_of(positions, len(data))
    label, names = data.seen_label, data.schema.classes or ()
    codes = np.full(len(positions), -1) if label is None else label[positions]
    occurring = np.unique(codes[codes >= 0])
    if not len(occurring):
        what = f"none of {len(positions)} rows has a label, and {per_class} new rows of each class were asked for."
        raise DataError(what, where=data.name, fix="Name the column of the labels with --label NAME (label=).")
    given = conditional(trained)
    if draw == "class" and not given:
        raise ConfigError("this model has no p(x | class).", where="draw=class",
                          fix="Draw around rows (draw=rows), or train with --set label=condition.")  # fmt: skip
    generator = np.random.default_rng(int(seed) % 2**64)
    new = np.repeat(occurring, per_class)
    if given:
        data = dataclasses.replace(data, label=_codes_of_model(trained, data, names, occurring), hidden=None)
    if draw == "class" or (draw is None and given):
        known = trained.schema.classes or ()
        x = _of_classes(trained, np.array([known.index(names[code]) for code in new]), mean, key)
        return Augmented(x, np.array(names)[new], None)
    if isinstance(trained.config, ClassifierConfig) or trained.is_point:
        what = "a Bayes classifier has no latents" if not trained.is_point else "the codes of an autoencoder are points"
        raise ConfigError(f"{what}: nothing is drawn around a row.", where="draw=rows",
                          fix="Take a VAE." if trained.is_point else "Use draw=class.")  # fmt: skip
    of_class = [generator.permutation(positions[codes == code]) for code in occurring]
    chosen = np.concatenate([np.resize(rows, per_class) for rows in of_class])
    batch = dataclasses.replace(trained.batch(data, chosen), row_id=jnp.arange(len(chosen), dtype=jnp.uint32))
    values = draw_around(trained.rows(batch, key=key), mean=mean)
    x = finite(trained.data_units(values, mean=mean), "x")
    return Augmented(x, np.array(names)[new], data.names[chosen])


def conditional(trained: TrainedModel) -> bool:
    """Whether a model has p(x | class): it reads or predicts labels, or is a density for each class."""
    return bool(trained.classes) or isinstance(trained.config, ClassifierConfig)


def _codes_of_model(trained: TrainedModel, data: Dataset, names: tuple[str, ...], occurring: np.ndarray) -> np.ndarray:
    """The labels of the data by the numbers that the model has for them; DataError where it knows one of them not."""
    known = list(trained.schema.classes or ())
    if unknown := [names[code] for code in occurring if names[code] not in known]:
        what = f"has rows of the class {unknown[0]!r}, and the classes of the model are {', '.join(known[:20])}."
        raise DataError(what, where=data.name, fix="Leave those rows out, or train a model on data that have them.")
    assert data.label is not None
    numbers = np.array([*(known.index(name) if name in known else -1 for name in names), -1], np.int32)
    return np.where(data.label < 0, np.int32(-1), numbers[data.label])


def _of_classes(trained: TrainedModel, codes: np.ndarray, mean: bool, key: Key) -> np.ndarray:
    """Rows of these classes, from p(x | class)."""
    if isinstance(trained.config, ClassifierConfig):
        parts = []
        for code in np.unique(codes):  # they are sorted
            count, own = int(np.sum(codes == code)), jax.random.fold_in(key, int(code))
            drawn = sample_classes(trained.model, count, key=own, label=int(code))
            parts.append(drawn.component_mean if mean else drawn.x)
        values = np.concatenate(parts)
    else:
        values, _ = new_rows(trained.model, len(codes), mean=mean, cond=trained.condition(codes), key=key)
    return finite(trained.data_units(values, mean=mean), "x")


class Translated(NamedTuple):
    """Rows and what they became."""

    x: np.ndarray  # the new rows, of shape (n, *x), in the units of the stored rows
    positions: np.ndarray  # the positions in the data of the rows that they were made of, of shape (n,)


@checked_later
def translate(
    trained: TrainedModel, data: Dataset, start: str, end: str, *, mean: bool = True, seed: int = 0
) -> Translated:
    """Decode the code of each row of the class `start` as one of the class `end`, by the mean or by a draw."""
    # z from q(z | x, start), then x from p(x | z, end): what z holds beside the class stays as it is.
    refuse_inputs(trained, data, TrainedModel)
    if not trained.preparation.classes:
        what = "this model reads no labels, so that no row can be decoded as another class."
        raise ConfigError(what, where="recipe", fix="Train with --set label=condition.")
    code, other = (code_of(name, trained.classes, where) for name, where in ((start, "from"), (end, "to")))
    label = data.seen_label
    positions = np.flatnonzero(np.full(len(data), -1) if label is None else label == code)
    if label is None or not len(positions):
        found = [] if label is None else [trained.classes[c] for c in np.unique(label[label >= 0])]
        having = f"their classes are {', '.join(found[:20])}" if found else "they have no labels that the model knows"
        what = f"none of {len(data)} rows is of the class {start!r}: {having}."
        raise DataError(what, where=data.name, fix="Name the column of the labels with --label NAME, or another class.")
    into = {"label": np.eye(trained.preparation.classes, dtype=np.float32)[other]}
    key = seed_key(seed)
    values = codes.translate(trained.rows(data, positions, key=key), into, mean=mean)
    return Translated(finite(trained.data_units(values, mean=mean), "x"), positions)
