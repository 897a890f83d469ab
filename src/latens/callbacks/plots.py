"""Pictures during training: what the model makes now, written every so many steps."""

from pathlib import Path

import numpy as np

from latens.data import Dataset, Preparation
from latens.errors import UsageError
from latens.figures.style import rendered
from latens.model_figures.image_scale import write_image
from latens.model_figures.source import Source
from latens.model_figures.table_pictures import draw_marginals
from latens.runtime.atomic import resource_errors, write_atomic
from latens.trained.trained_model import TrainedModel
from latens.training import Event
from latens.training.stages import falls_due

SAMPLES = 16
"""Samples in a picture, and twice the rows."""

MOST_ROWS = 2000
"""Rows of a histogram."""


class PlotsCallback:
    """A callback that shows training as it goes on: every so many steps a picture of what the model makes now."""

    # The first are made before the first step. For images, `FOLDER/samples-0000001000.png` holds the means of p(x|z) at
    # 16 samples from the prior (the same ones each time) and `reconstructions-0000001000.png` eight validation rows
    # above their reconstructions. For tables, `samples-...png` shows the marginals of data and samples. Each picture is
    # whole or absent.
    # `folder`: Where to write.
    # `every`: Steps between pictures, from 1, a multiple of which ends a chunk (`Settings.stop_every`).
    # `preparation`: What the model sees of a row.

    def __init__(self, folder: Path, data: Dataset, every: int, seed: int, *, preparation: Preparation) -> None:
        if every < 1:
            raise UsageError(f"plots_every must be 1 or more, not {every}.", where="plots_every", fix="Give 1 or more.")
        self.folder, self.data, self.every, self.seed, self.preparation = folder, data, every, seed, preparation
        self.written: list[Path] = []

    def __call__(self, event: Event) -> None:
        """Write pictures where the event is the start or ends a multiple of `every` steps."""
        step = event.snapshot.loop.total
        if falls_due(event, self.every):
            self.written += self.write(TrainedModel(event.model(), self.data.schema, self.preparation), step)

    def write(self, trained: TrainedModel, step: int) -> list[Path]:
        """Write the pictures of a model, named by the step."""
        source = Source(trained, self.data, self.seed)
        folder = self.folder
        with resource_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        samples = folder / f"samples-{step:010d}.png"
        if "images" not in source.looks:
            return [self._marginals(source, samples)] if len(source.schema.shape) == 1 and source.has_prior else []
        paths = []
        if source.has_prior:
            paths.append(write_image(samples, source.images(source.decoded(source.latents(SAMPLES)))))
        positions, _ = source.held_out(SAMPLES // 2, "validation")
        batch = trained.batch(self.data, positions)
        pair = [source.images(source.originals(batch)), source.images(source.reconstructions(batch))]
        path = folder / f"reconstructions-{step:010d}.png"
        return [*paths, write_image(path, np.concatenate(pair), columns=len(positions))]

    def _marginals(self, source: Source, path: Path) -> Path:
        axes, _ = draw_marginals(source, MOST_ROWS)
        write_atomic(path, rendered(axes, "png"))
        return path
