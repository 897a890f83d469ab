"""Rows of text: what goes in and comes out, and what lies between two."""

import numpy as np

from latens.data.splits import evenly_spaced
from latens.figures import texts
from latens.figures.paths import linear_path
from latens.model_figures.source import Made, Source

SHOWN, WAYS, STEPS = 12, 3, 7
"""Texts of a column; ways between rows and texts of each."""


def draw_texts(source: Source) -> Made:
    """Draw held-out rows, what their codes decode to, and new rows."""
    assert source.data is not None
    positions, split = source.held_out(SHOWN, "test", "validation")
    batch = source.trained.batch(source.data, positions)
    columns = [source.schema.decode(np.asarray(batch.x)), source.schema.decode(source.reconstructions(batch))]
    names = [f"{split} rows", "what their latents decode to"]
    if source.has_prior:
        columns.append(source.schema.decode(source.samples(SHOWN)))
        names.append("new rows")
    return texts.text_columns(columns, names, title="Rows, their decoded latents, and samples")


def draw_ways(source: Source) -> Made | None:
    """Draw the texts on straight ways between the codes of held-out rows."""
    code = source.posteriors
    ends = evenly_spaced(np.arange(len(code.mean)), 2 * WAYS)
    if len(ends) < 2:
        return None
    columns, names, rows = [], [], source.schema.decode(np.asarray(code.batch.x))
    for a, b in zip(ends[::2].tolist(), ends[1::2].tolist()):
        z = linear_path(code.mean[a], code.mean[b], STEPS).reshape(STEPS, *source.trained.latent_shape)
        columns.append(source.schema.decode(source.decoded(z.astype(np.float32))))
        names.append(f"{texts.readable(rows[a], 30)} … {texts.readable(rows[b], 30)}")
    title = f"From one {code.split} row to another: texts on a straight way between their latents"
    return texts.text_columns(columns, names, title=title)
