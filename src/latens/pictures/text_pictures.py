"""Rows of text: what goes in and comes out, what lies between two, and what surprises the model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens import evaluation
from latens.data.rows import evenly_spaced
from latens.evidence.baseline import bigram_terms, tokens_counted
from latens.figures import texts
from latens.figures.paths import linear_path
from latens.pictures.source import Made, Source

SHOWN, WAYS, STEPS, COLOURED, SCORED = 12, 3, 7, 8, 200
"""Texts of a column; ways between rows and texts of each; rows whose tokens are coloured; rows that are scored."""
PARTS = {"own": "given its latent", "other": "given the latent of another row", "pairs": "counted pairs of tokens"}
END_MARK = "⏎"
PLACES = 200
"""Places of a row up to which bits are drawn by place; and further only where a tenth of the rows are as long."""


def _held(source: Source, most: int) -> tuple[np.ndarray, str]:
    return source.held_out(most, "test", "validation")


def draw_texts(source: Source) -> Made:
    """Draw held-out rows, what their codes decode to, and new rows."""
    assert source.data is not None
    positions, split = _held(source, SHOWN)
    batch = source.trained.batch(source.data, positions)
    columns = [source.schema.decode(np.asarray(batch.x)), source.schema.decode(source.reconstructions(batch))]
    names = [f"{split} rows", "what their latents decode to"]
    if source.has_prior:
        columns.append(source.schema.decode(source.samples(SHOWN)))
        names.append("new rows")
    return texts.text_columns(columns, names, title="Rows, their decoded latents, and samples", theme=source.theme)


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
    return texts.text_columns(columns, names, title=title, theme=source.theme)


@eqx.filter_jit
def _terms(model: object, x: jax.Array, z: jax.Array, cond: object) -> jax.Array:
    def one(row: jax.Array, latent: jax.Array, known: object) -> jax.Array:
        return model.likelihood(latent, cond=known).log_prob_terms(row)  # type: ignore[attr-defined]

    return jax.lax.map(lambda given: one(*given), (x, z, cond), batch_size=16)


def _scored(source: Source, most: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, str]:
    """Codes of held-out rows, the bits of their tokens three ways, where they count, and the split."""
    assert source.data is not None
    positions, split = _held(source, most)
    batch, train = source.trained.batch(source.data, positions), source.data.subset("train")
    x = np.asarray(batch.x)
    z = np.asarray(evaluation.encode(source.rows(batch))["mean"], np.float32)
    found = {}
    for name, latents in (("own", z), ("other", np.roll(z, 1, axis=0))):
        found[name] = -np.asarray(_terms(source.trained.model, jnp.asarray(x), jnp.asarray(latents), batch.cond))
    assert source.schema.tokens is not None
    found["pairs"] = -bigram_terms(source.data.x[train], x, source.schema.tokens.size)
    counts = np.arange(x.shape[1]) < tokens_counted(x)[:, None]
    if batch.mask is not None:
        counts &= np.asarray(batch.mask)
    return x, {PARTS[name]: bits / np.log(2) for name, bits in found.items()}, counts, split


def draw_position_bits(source: Source) -> Made | None:
    """Draw the mean bits of tokens by their place."""
    x, found, counts, split = _scored(source, SCORED)
    rows = counts.sum(0)
    last = int(np.flatnonzero(rows >= max(1, min(len(x) // 10, 20)))[-1]) + 1 if rows.any() else 0
    if last < 2:
        return None
    last = min(last, PLACES)
    curves = {name: np.where(counts, bits, 0.0).sum(0)[:last] / rows[:last] for name, bits in found.items()}
    title = f"Bits of the token at each place, {len(x)} {split} rows"
    return texts.bits_by_position(curves, rows[:last], title=title, theme=source.theme)


def draw_token_bits(source: Source) -> Made:
    """Draw the tokens of a few rows on the colour of their bits."""
    assert source.schema.tokens is not None
    x, found, counts, split = _scored(source, COLOURED)
    words = np.array([END_MARK, *source.schema.tokens.values], object)
    rows = [words[row[seen]].tolist() for row, seen in zip(x.astype(int), counts)]
    bits = [own[seen].tolist() for own, seen in zip(found[PARTS["own"]], counts)]
    title = f"Bits of each token of {len(x)} {split} rows, given their latents"
    return texts.token_bits(rows, bits, title=title, theme=source.theme)
