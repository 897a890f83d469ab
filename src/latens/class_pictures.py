"""Pictures of a Bayes classifier: what it takes an example of every class to look like."""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from latens import figures
from latens.figures.checks import readable
from latens.figures.style import ThemeName, figure_of, new_axes
from latens.images import shown
from latens.models import BayesClassifier
from latens.shapes import Key
from latens.trained import TrainedModel

EACH = 6  # samples of every class
MOST_CLASSES = 20


def class_samples(
    trained: TrainedModel, each: int, *, key: Key
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples of every class, and the mean of the component that each was drawn from.

    **Arguments:** `each` samples of each class. **Returns:** samples and component means (classes * each, *x) in the
    data's own units, their classes and their components (classes * each,).
    """
    model: BayesClassifier = trained.model
    label = np.repeat(np.arange(model.num_classes), each)
    # One by one: every sample multiplies by its own Cholesky factor, and a batch of them would copy each.
    drawn = [_sample(model, jax.numpy.asarray(c), jax.random.fold_in(key, i)) for i, c in enumerate(label)]
    events, means, components = ([np.asarray(one[part]) for one in drawn] for part in range(3))
    in_units = [trained.data_units(np.stack(values), mean=True) for values in (events, means)]
    return in_units[0], in_units[1], label, np.array(components)


@eqx.filter_jit
def _sample(model: BayesClassifier, label: jax.Array, key: Key) -> tuple[jax.Array, jax.Array, jax.Array]:
    event, _, component = model.sample(label=label, key=key)
    return event, model.component_mean(label, component), component


def sample_rows(model: BayesClassifier, n: int, *, key: Key) -> np.ndarray:
    """n rows of classes drawn from their frequencies, in the units the model sees."""
    return np.asarray(_sample_rows(model, jax.numpy.arange(n), key))


@eqx.filter_jit
def _sample_rows(model: BayesClassifier, numbers: jax.Array, key: Key) -> jax.Array:
    return jax.lax.map(lambda number: model.sample(key=jax.random.fold_in(key, number))[0], numbers)


def draw_classes(
    trained: TrainedModel, *, key: Key, limits: tuple[float, float] | None = None, theme: ThemeName = "light"
) -> tuple[np.ndarray, dict[str, Any]]:
    """Draw samples of every class (a row each, at most 20) beside the means of their components.

    **Arguments:** `limits` as for `shown`. **Returns:** two Axes, and the table behind them: `kind` (sample,
    component mean), `label`, `component` and a column for each pixel.
    """
    samples, means, label, component = class_samples(trained, EACH, key=key)
    kept = label < MOST_CLASSES
    panels = {"sample": shown(trained.schema, samples, limits)[kept]}
    panels["component mean"] = shown(trained.schema, means, limits)[kept]
    classes = trained.schema.classes or tuple(str(c) for c in range(trained.model.num_classes))
    height, width = panels["sample"].shape[1:3]
    rows = min(len(classes), MOST_CLASSES)
    size = (9.2, max(1.2, 4.1 * rows / EACH * height / width) + 0.35)
    axes = new_axes(1, 2, size=size, theme=theme)[0]
    figure_of(axes).set_layout_engine("constrained", wspace=0.06)
    several = trained.model.num_components > 1
    titles = ("Samples of every class", "Means of their components" if several else "Means of the classes")
    if rows < len(classes):
        titles = (f"Samples of the first {rows} of {len(classes)} classes", titles[1])
    for ax, (images, title) in zip(axes, zip(panels.values(), titles)):
        figures.image_grid(images, columns=EACH, title=title, theme=theme, ax=ax)
    drawn = axes[0].images[0].get_array()
    step = (drawn.shape[0] - height) / max(rows - 1, 1)
    names = [readable(name, 16) for name in classes[:rows]]
    axes[0].set_yticks(np.arange(rows) * step + (height - 1) / 2, names)
    axes[0].tick_params(axis="y", length=0, labelsize=9)
    tables = [figures.image_grid_table(images) for images in panels.values()]
    table = {name: np.concatenate([t[name] for t in tables]) for name in tables[0] if name != "image"}
    kinds = np.repeat(np.array([*panels], dtype=object), kept.sum())
    return axes, {"kind": kinds, "label": np.tile(label[kept], 2), "component": np.tile(component[kept], 2), **table}
