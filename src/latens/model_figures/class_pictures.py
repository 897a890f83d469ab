"""Pictures of models with classes: what each class looks like to a Bayes classifier, or to a conditional model."""

import jax
import numpy as np

from latens import evaluation, figures
from latens.figures.images import gap_of
from latens.figures.style import figure_of, new_axes, readable
from latens.model_figures.image_scale import shown
from latens.model_figures.source import MOST_CLASSES, Made, Source
from latens.models import BayesClassifier
from latens.predictive.classes import sample_classes
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

EACH, CELL = 6, 0.78  # samples of every class; inches for one image


def class_samples(trained: TrainedModel, each: int, *, key: Key) -> evaluation.ClassSamples:
    """Sample every class, class by class, with the means of the components, in the units of the data."""
    model: BayesClassifier = trained.model
    drawn = [
        sample_classes(model, each, key=jax.random.fold_in(key, label), label=label)
        for label in range(model.num_classes)
    ]
    found = evaluation.ClassSamples(*(np.concatenate(parts) for parts in zip(*drawn)))
    x, mean = trained.data_units(found.x, mean=False), trained.data_units(found.component_mean, mean=True)
    return found._replace(x=x, component_mean=mean)


def draw_classes(source: Source) -> Made:
    """Draw every class in a row (at most 20): its mean, samples, and of mixtures the means of their components."""
    # returns: two Axes, of mixtures three, and the table behind them: `kind` (class mean, sample, component mean),
    # `label`, `component` (-1 for a class) and a column for each pixel.
    trained, limits = source.trained, source.limits
    found = class_samples(trained, EACH, key=source.prior_key)
    weight = np.exp(np.asarray(trained.model.log_weight, np.float64))
    kept = found.label < MOST_CLASSES
    classes = trained.schema.classes or ("all rows",)
    rows, several = min(len(classes), MOST_CLASSES), trained.model.num_components > 1
    mean = np.einsum("cm,cmd->cd", weight, np.asarray(trained.model.mean, np.float64)).reshape(-1, *trained.model.shape)
    panels = {
        "class mean": shown(trained.schema, trained.data_units(mean.astype(np.float32), mean=True), limits)[:rows]
    }
    panels["sample"] = shown(trained.schema, found.x, limits)[kept]
    titles = {
        "class mean": "Mean",
        "sample": "Samples of every class" if len(classes) > 1 else "Samples",
        "component mean": "Means of their components",
    }
    if rows < len(classes):
        titles["sample"] = f"Samples of the first {rows} of {len(classes)} classes"
    if several:
        panels["component mean"] = shown(trained.schema, found.component_mean, limits)[kept]
    height, width = panels["sample"].shape[1:3]
    across = [1] + [EACH] * (len(panels) - 1)
    size = (0.9 + CELL * sum(across), max(1.2, CELL * rows * height / width) + 0.35)
    # As wide as their pixels, so that a class stands at one height in all of them.
    gap = gap_of(height, width)
    axes = new_axes(1, len(panels), size=size, widths=[n * (width + gap) - gap for n in across])[0]
    figure_of(axes).set_layout_engine("constrained", wspace=0.04)
    for ax, columns, (kind, images) in zip(axes, across, panels.items()):
        figures.image_grid(images, columns=columns, title=titles[kind], ax=ax)
    drawn = axes[0].images[0].get_array()
    step = (drawn.shape[0] - height) / max(rows - 1, 1)
    names = [readable(name, 16) for name in classes[:rows]]
    axes[0].set_yticks(np.arange(rows) * step + (height - 1) / 2, names)
    axes[0].tick_params(axis="y", length=0, labelsize=9)
    of = {"class mean": np.arange(rows)} | dict.fromkeys(list(panels)[1:], found.label[kept])
    part = {"class mean": np.full(rows, -1)} | dict.fromkeys(list(panels)[1:], found.component[kept])
    tables = [figures.image_grid_table(images) for images in panels.values()]
    table = {name: np.concatenate([t[name] for t in tables]) for name in tables[0] if name != "image"}
    kinds = np.repeat(np.array([*panels], dtype=object), [len(images) for images in panels.values()])
    columns = {"label": np.concatenate([*of.values()]), "component": np.concatenate([*part.values()])}
    return axes, {"kind": kinds, **columns, **table}
