"""Which columns of a table, or genes of cells, log p(x) is made of."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import class_names, numbers
from latens.figures.style import Made, ThemeName, dress, legend, one_axes, readable, theme_named

MOST = 40
"""Columns that are drawn, those with the most nats of their own."""

MOST_GENES = 30
"""Genes that are drawn, those that gain most."""

SEEN = 1e-3
"""Nats from which on the cost of the latents has a bar."""
LATENTS = "(latents)"
"""What the cost of the latents is called beside the columns."""


def column_nats(
    nats: ArrayLike, independent: ArrayLike, latents: float, names: Sequence[object], *, theme: ThemeName = "light"
) -> Made:
    """Draw how many nats each column takes in -log p(x), beside those that it would take alone."""
    # The table has the columns in their order, the latents last.
    # nats: the part of each column in log p(x), nats a row.
    # independent: log p of each column by the shares of the training rows alone, nats a row.
    # latents: the part of the latents in log p(x), nats a row; 0 or less.
    own, alone = (numbers(v, n, ndim=1).astype(float) for v, n in ((nats, "nats"), (independent, "independent")))
    words = class_names(names)
    if not len(own) == len(alone) == len(words):
        what = f"{len(own)} and {len(alone)} numbers, {len(words)} names."
        raise DataError(what, where="names", fix="Give one of each for every column.")
    table = {"column": np.array([*words, LATENTS], object), "nats": np.append(own, latents)}
    table["independent"] = np.append(alone, 0.0)
    colours = theme_named(theme)
    order = np.argsort(table["independent"][:-1], kind="stable")[:MOST]
    # Of a model whose latents cost nothing there is nothing to show of them.
    shown = [*order.tolist(), *([len(table["column"]) - 1] if abs(latents) >= SEEN else [])]
    places = np.arange(len(shown))
    ax = one_axes((7.2, 1.3 + 0.25 * len(shown)), theme)
    more = f", {len(order)} of {len(names)} columns" if len(order) < len(names) else ""
    total, all_alone = table["nats"].sum(), table["independent"].sum()
    title = f"log p(x) = {total:.2f} nats by column{more}; alone {all_alone:.2f}".replace("-", "\N{MINUS SIGN}")
    dress(ax, theme=theme, title=title, x="nats a row (−log p; fewer are better)", grid="x")
    wide = ax.barh(places, -table["independent"][shown], color=colours.muted, alpha=0.45, height=0.78)
    thin = ax.barh(places, -table["nats"][shown], color=colours.first, height=0.4)
    ax.set_yticks(places, [readable(table["column"][i], 24) for i in shown])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    legend(ax, [wide, thin], ["column alone", "in the model"], theme=theme, loc="lower right")
    return ax, table


def gene_gains(
    gained: ArrayLike, errors: ArrayLike, latents: float, names: Sequence[object], *, theme: ThemeName = "light"
) -> Made:
    """Draw how many nats codes say of each gene beyond its own negative binomial, most first."""
    # The table has all genes in this order.
    # errors: the standard errors over cells. latents: what the codes cost, nats a cell; 0 or less.
    gain, error = (numbers(v, n, ndim=1).astype(float) for v, n in ((gained, "gained"), (errors, "errors")))
    words = class_names(names)
    if not len(gain) == len(error) == len(words):
        what = f"{len(gain)} and {len(error)} numbers, {len(words)} names."
        raise DataError(what, where="names", fix="Give one of each for every gene.")
    order = np.argsort(-gain, kind="stable")
    table = {"gene": np.array(words, object)[order], "nats": gain[order], "standard_error": error[order]}
    kept = min(MOST_GENES, len(order))
    places, colours = np.arange(kept), theme_named(theme)
    ax = one_axes((6.8, 1.4 + 0.24 * kept), theme)
    title = f"All genes {gain.sum():+.1f} nats a cell, codes {latents:+.1f}: {gain.sum() + latents:+.1f} in all"
    more = f"; the first {kept} of {len(order)}" if kept < len(order) else ""
    dress(ax, theme=theme, title=f"{title}{more}".replace("-", "\N{MINUS SIGN}"), grid="x",
          x="nats a cell that codes say beyond the gene's own negative binomial")  # fmt: skip
    ax.barh(places, table["nats"][:kept], xerr=table["standard_error"][:kept], color=colours.first, height=0.72,
            error_kw={"ecolor": colours.muted, "elinewidth": 0.9})  # fmt: skip
    ax.axvline(0.0, color=colours.muted, linewidth=0.9)
    ax.set_yticks(places, [readable(word, 24) for word in table["gene"][:kept]])
    ax.set_ylim(kept - 0.4, -0.6)
    return ax, table
