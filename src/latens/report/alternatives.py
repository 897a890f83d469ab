"""What pictures show in words: a caption for everybody, and an alternative text with the numbers for who cannot see."""

from collections.abc import Mapping

import numpy as np

from latens.report.words import number

_CAPTIONS = {
    "training": "How training went: the evidence lower bound and its two terms, in nats per row, over the epochs.",
    "reconstructions": "Rows, what the model makes of them, and means of samples from the prior.",
    "samples": "New rows: draws from p(x | z) for z from the prior, beside their means for the same z.",
    "latent": "Where rows lie in the latent space: the means of their posteriors.",
    "manifold-linear": "What each point of the latent plane decodes to, on an even grid.",
    "manifold-percentile": "The same where the prior has its mass: an even grid of its percentiles.",
    "latent-density": "Where rows crowd in the latent plane: contours of their density, and the posteriors of some.",
    "levels": "How much each level of latents carries: its KL to the prior, averaged over the rows.",
    "unit-kl-over-training": "How the KL of each latent unit came about, step by step.",
    "interpolations": "What lies between two rows: points on the way from one code to the other, decoded.",
    "walk": "A walk through the latent space by small random steps, decoded at each.",
    "arithmetic": "Sums and differences of the mean codes of classes, decoded.",
    "posterior-predictive": "Rows beside what the model draws and expects in their place.",
    "units": "How much each latent unit carries: its KL to the prior, averaged over the rows.",
    "marginals": "Column by column: how often a value occurs in the data, and in samples from the model.",
    "classes": "Samples of every class, and the means they are drawn around.",
    "graph": "The parts of the model, what comes out of each, and how many trained numbers it holds.",
    "two-views": "The latent plane from both sides, on the same axes: where rows lie, and what its points decode to.",
    "traversals": "What each latent unit changes: one moves, the others stay; the one with most KL is first.",
    "extremes": "The rows that the model gives back best and worst, with a map of where it errs.",
    "aggregated-posterior": "Unit by unit: the codes of all rows together against the prior that samples start from.",
    "rate-distortion": "Nats that a code costs against nats that it leaves unsaid, over training.",
    "correlations": "How columns go together in the data and in samples from the model.",
    "associations": "How strongly columns hang together in the data and in samples, and where the two differ.",
    "column-nats": "What each column takes of -log p(x), given the latents, and what it would take alone.",
    "missing-cells": "How many cells of each column are missing, and which are missing together.",
    "reach": "How far a code moves until what it decodes to changes: the share of rows that is still the same.",
    "column-errors": "How well each column is given back, as a share of its own spread.",
    "bands": "Rows over the bands that hold half and nine tenths of what the model draws for them.",
}


_HEADINGS = {
    "samples": "New rows from the model",
    "reconstructions": "What goes in, and what comes out",
    "manifold-percentile": "The latent plane, where the prior has its mass",
    "manifold-linear": "The latent plane, at equal steps",
    "latent": "Where rows lie in the latent space",
    "latent-density": "How dense the latent space is",
    "levels": "How much each level of latents says",
    "unit-kl-over-training": "How the latent dimensions came about",
    "interpolations": "From one row to another",
    "walk": "A walk through the latent space",
    "arithmetic": "Adding and subtracting classes",
    "posterior-predictive": "What it draws in the place of a row",
    "training": "How training went",
    "rate-distortion": "What a code costs, and what it leaves unsaid",
    "units": "How much each latent dimension says",
    "marginals": "Each column: data and samples",
    "classes": "Each class",
    "two-views": "Encoder and decoder on the same plane",
    "traversals": "What each latent dimension changes",
    "extremes": "The rows it gives back best and worst",
    "aggregated-posterior": "All codes together, against the prior",
    "correlations": "How columns go together",
    "associations": "How columns hang together",
    "column-nats": "What each column adds to log p(x)",
    "missing-cells": "What is missing",
    "reach": "How robust a decoded row is",
    "column-errors": "Which columns it gives back well",
    "bands": "Rows within what the model draws",
    "graph": "How the parts fit together",
}


def heading(name: str) -> str:
    """Give a picture the heading that a person would write."""
    return _worded(name, _HEADINGS, f"The latent plane of class {name.removeprefix('manifold-')}")


def caption(name: str) -> str:
    """Say in a sentence what a picture shows."""
    return _worded(name, _CAPTIONS, "What each point of the latent plane decodes to, for one class.", end=".")


def _worded(name: str, words: Mapping[str, str], of_class: str, end: str = "") -> str:
    """The words of a picture; of one that has none its name, or `of_class` for the plane of a class."""
    made = of_class if name.startswith("manifold-") else name.replace("-", " ").capitalize() + end
    return words.get(name, made)


def alt(name: str, table: Mapping[str, np.ndarray]) -> str:
    """Say what a reader who does not see the picture needs of it: its numbers in words."""
    kind = "manifold" if name.startswith("manifold") else name
    said = _ALTS[kind](table) if kind in _ALTS else ""
    return said or f"{caption(name)} Its table has {len(next(iter(table.values())))} rows."


def _training(table: Mapping[str, np.ndarray]) -> str:
    axis = next(iter(table))
    parts = []
    for name, values in table.items():
        kept = np.flatnonzero(np.isfinite(values)) if name != axis else []
        if len(kept):
            first, last = values[kept[0]], values[kept[-1]]
            highest = kept[int(np.argmax(values[kept]))]
            words = name.replace("_", " ").replace("elbo", "ELBO").replace("kl", "KL")
            text = f"{words} from {number(first)} to {number(last)}"
            if name.endswith("elbo"):
                text += f", highest {number(values[highest])} at {axis} {table[axis][highest]:.4g}"
            parts.append(text)
    return f"Curves over {len(table[axis])} rows of {axis}, in nats per row: " + "; ".join(parts) + "."


def _pixels(table: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.stack([column for name, column in table.items() if name.startswith("y")], axis=-1).astype(float)


def _reconstructions(table: Mapping[str, np.ndarray]) -> str:
    kind, pixels = np.asarray(table["kind"]), _pixels(table)
    data, made = pixels[kind == "data"], pixels[kind == "reconstruction"]
    if not len(data) or data.shape != made.shape:
        return ""
    error = np.abs(data - made)
    text = f"{len(data)} rows above their reconstructions: the mean absolute difference of a cell is "
    text += f"{error.mean():.3f} on the scale from 0 to 1, {error.mean(1).min():.3f} for the best row and "
    text += f"{error.mean(1).max():.3f} for the worst"
    samples = int((kind == "sample").sum())
    return text + (f"; {samples} means of samples from the prior below." if samples else ".")


def _samples(table: Mapping[str, np.ndarray]) -> str:
    kind, pixels = np.asarray(table["kind"]), _pixels(table)
    kinds = {str(k): pixels[kind == k] for k in dict.fromkeys(kind.tolist())}
    return "; ".join(f"{len(v)} × {k}, mean brightness {v.mean():.3f}" for k, v in kinds.items()) + " (0 to 1)."


def _latent(table: Mapping[str, np.ndarray]) -> str:
    names = [name for name in table if name.startswith("latent_")]
    parts = [
        f"unit {name.removeprefix('latent_')} from {number(table[name].min())} to {number(table[name].max())}, "
        f"standard deviation {number(float(np.std(table[name])))}"
        for name in names
    ]
    text = f"Scatter of {len(table[names[0]])} rows: " + "; ".join(parts) + "."
    if "class" in table:
        words, counts = np.unique(np.asarray(table["class"], dtype=str), return_counts=True)
        kept = [f"{word or 'no label'}: {count}" for word, count in zip(words[:12], counts)]
        text += " Rows by class: " + ", ".join(kept) + (" and more." if len(words) > 12 else ".")
    return text


def _manifold_grid(table: Mapping[str, np.ndarray]) -> str:
    return "A scatter of rows beside " + _manifold(table).replace("A grid", "a grid")


def _manifold(table: Mapping[str, np.ndarray]) -> str:
    across, up = np.unique(table["latent_0"]), np.unique(table["latent_1"])
    return (
        f"A grid of {len(across)} by {len(up)} decoded images: the first latent unit runs from {number(across[0])} to "
        f"{number(across[-1])} to the right, the second from {number(up[0])} to {number(up[-1])} upwards."
    )


def _units(table: Mapping[str, np.ndarray]) -> str:
    kl, unit = np.asarray(table["kl"], float), table["unit"]
    text = f"{len(kl)} latent units with {number(kl.sum())} nats in all"
    if "active" in table:
        text += f", {int(np.sum(table['active']))} of them active"
    most = ", ".join(f"unit {u}: {number(k)}" for u, k in zip(unit[:10], kl[:10]))
    return f"{text}; nats of {'each' if len(kl) <= 10 else 'the first ten'}: {most}."


def _marginals(table: Mapping[str, np.ndarray]) -> str:
    parts = []
    for column in dict.fromkeys(np.asarray(table["column"]).tolist()):
        kept = np.asarray(table["column"]) == column
        gap = 0.5 * float(np.abs(table["data_share"][kept] - table["samples_share"][kept]).sum())
        parts.append(f"{column} {gap:.1%}")
    return "Histograms; share of rows that would have to move to make samples like data: " + ", ".join(parts) + "."


def _classes(table: Mapping[str, np.ndarray]) -> str:
    kind = np.asarray(table["kind"])
    return f"{int((kind == 'sample').sum())} samples of {len(np.unique(table['label']))} classes, beside their means."


def _graph(table: Mapping[str, np.ndarray]) -> str:
    rows = zip(table["part"], table["what"], table["shape"], table["trained"])
    parts = [f"{part} ({what}) gives {shape}, {trained:,} trained" for part, what, shape, trained in rows]
    return f"From the data up to the latents and down again: {'; '.join(parts)}."


def _traversals(table: Mapping[str, np.ndarray]) -> str:
    strip, pixels = np.asarray(table["strip"], dtype=str), _pixels(table)
    parts = []
    for name in dict.fromkeys(strip.tolist()):
        rows = pixels[strip == name]
        parts.append(f"{name}, ends differ by {np.abs(rows[-1] - rows[0]).mean():.3f} a cell")
    return f"Rows of images: {'; '.join(parts)} (on the scale from 0 to 1)."


def _extremes(table: Mapping[str, np.ndarray]) -> str:
    kind, score = np.asarray(table["kind"], dtype=str), np.asarray(table["score"], float)
    error = np.asarray(table["mean_error"], float)
    return (
        "; ".join(
            f"{np.sum(kind == k)} {k} rows: scores {number(score[kind == k].max())} to "
            f"{number(score[kind == k].min())}, mean absolute error of a cell {error[kind == k].mean():.3f}"
            for k in ("best", "worst")
        )
        + "."
    )


def _aggregated(table: Mapping[str, np.ndarray]) -> str:
    parts = []
    for column in dict.fromkeys(np.asarray(table["column"]).tolist()):
        kept = np.asarray(table["column"]) == column
        gap = 0.5 * float(np.abs(table["aggregated_posterior_share"][kept] - table["prior_share"][kept]).sum())
        parts.append(f"{column}: {gap:.1%}")
    return "Histograms; share that would have to move to make the codes the prior: " + "; ".join(parts) + "."


def _rate(table: Mapping[str, np.ndarray]) -> str:
    r, d = np.asarray(table["rate"], float), np.asarray(table["distortion"], float)
    return (
        f"{len(r)} points from {table['name'][0]} (rate {number(r[0])}, distortion {number(d[0])} nats) to "
        f"{table['name'][-1]} (rate {number(r[-1])}, distortion {number(d[-1])} nats)."
    )


def _correlations(table: Mapping[str, np.ndarray]) -> str:
    gap = np.abs(np.asarray(table["samples"], float) - np.asarray(table["data"], float))
    if not np.isfinite(gap).any():
        return ""
    worst = int(np.nanargmax(gap))
    return (
        f"{len(gap)} pairs of columns; correlations of samples differ from those of the data by "
        f"{np.nanmean(gap):.3f} on average, most for {table['first'][worst]} and "
        f"{table['second'][worst]} ({gap[worst]:.3f})."
    )


def _associations(table: Mapping[str, np.ndarray]) -> str:
    gap = np.asarray(table["difference"], float)
    worst = int(np.nanargmax(gap))
    return (
        f"{len(gap)} pairs of columns; samples differ from data by {np.nanmean(gap):.3f} on average (0 to 1), most in "
        f"{table['first'][worst]} and {table['second'][worst]} ({gap[worst]:.3f})."
    )


def _column_nats(table: Mapping[str, np.ndarray]) -> str:
    own, alone = np.asarray(table["nats"], float), np.asarray(table["independent"], float)
    order = np.argsort(alone - own)[:12]
    parts = [f"{table['column'][i]} {number(-own[i])} ({number(-alone[i])} alone)" for i in order]
    return f"log p(x) is {number(own.sum())} nats; nats of columns, most gained first: " + ", ".join(parts) + "."


def _missing_cells(table: Mapping[str, np.ndarray]) -> str:
    share = np.asarray(table["share"], float)
    columns = [(name.removeprefix("missing "), np.asarray(gone) @ share) for name, gone in table.items()][1:]
    most = sorted(columns, key=lambda pair: -pair[1])[:8]
    parts = ", ".join(f"{name} in {gone:.1%}" for name, gone in most if gone > 0)
    return f"Missing cells of {len(share)} patterns, which hold {share.sum():.1%} of the rows: {parts}."


def _column_errors(table: Mapping[str, np.ndarray]) -> str:
    parts = [f"{c} {s:.2f}" for c, s in zip(table["column"][:12], table["share"][:12])]
    return "Root mean square error as a share of the standard deviation, largest first: " + ", ".join(parts) + "."


def _bands(table: Mapping[str, np.ndarray]) -> str:
    inside = (table["data"] >= table["q05"]) & (table["data"] <= table["q95"])
    return f"{int(table['row'].max()) + 1} series; {inside.mean():.1%} of the data lie in the band of 90 % of draws."


_ALTS = {
    "graph": _graph,
    "traversals": _traversals,
    "extremes": _extremes,
    "aggregated-posterior": _aggregated,
    "rate-distortion": _rate,
    "correlations": _correlations,
    "associations": _associations,
    "column-nats": _column_nats,
    "missing-cells": _missing_cells,
    "column-errors": _column_errors,
    "bands": _bands,
    "two-views": _manifold_grid,
    "training": _training,
    "reconstructions": _reconstructions,
    "samples": _samples,
    "latent": _latent,
    "manifold": _manifold,
    "units": _units,
    "marginals": _marginals,
    "classes": _classes,
}
