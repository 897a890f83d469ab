"""What the tables of pictures say in words, for who does not see the pictures."""

from collections.abc import Mapping

import numpy as np

from latens.text import number


def counted(table: Mapping[str, np.ndarray]) -> str:
    """Nothing: the numbers make no sentence, and the caption says what there is."""
    return ""


def training(table: Mapping[str, np.ndarray]) -> str:
    """First, last and highest value of each curve."""
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


def reconstructions(table: Mapping[str, np.ndarray]) -> str:
    """How far reconstructions are from their rows."""
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


def samples(table: Mapping[str, np.ndarray]) -> str:
    """How many images of each kind there are, and how bright they are."""
    kind, pixels = np.asarray(table["kind"]), _pixels(table)
    kinds = {str(k): pixels[kind == k] for k in dict.fromkeys(kind.tolist())}
    return "; ".join(f"{len(v)} × {k}, mean brightness {v.mean():.3f}" for k, v in kinds.items()) + " (0 to 1)."


def latent(table: Mapping[str, np.ndarray]) -> str:
    """Where the codes lie, and how many rows each class has."""
    names = [name for name in table if name.startswith(("latent_", "principal_"))]
    called = [name.replace("latent_", "unit ").replace("principal_", "principal axis ") for name in names]
    parts = [
        f"{words} from {number(table[name].min())} to {number(table[name].max())}, "
        f"standard deviation {number(float(np.std(table[name])))}"
        for name, words in zip(names, called)
    ]
    text = f"Scatter of {len(table[names[0]])} rows: " + "; ".join(parts) + "."
    if "class" in table:
        words, counts = np.unique(np.asarray(table["class"], dtype=str), return_counts=True)
        kept = [f"{word or 'no label'}: {count}" for word, count in zip(words[:12], counts)]
        text += " Rows by class: " + ", ".join(kept) + (" and more." if len(words) > 12 else ".")
    return text


def two_views(table: Mapping[str, np.ndarray]) -> str:
    """A scatter, and what its points decode to."""
    return "A scatter of rows beside " + manifold(table).replace("A grid", "a grid")


def manifold(table: Mapping[str, np.ndarray]) -> str:
    """The grid and its ends."""
    across, up = np.unique(table["latent_0"]), np.unique(table["latent_1"])
    return (
        f"A grid of {len(across)} by {len(up)} decoded images: the first latent unit runs from {number(across[0])} to "
        f"{number(across[-1])} to the right, the second from {number(up[0])} to {number(up[-1])} upwards."
    )


def units(table: Mapping[str, np.ndarray]) -> str:
    """The KL of the units."""
    kl, unit = np.asarray(table["kl"], float), table["unit"]
    text = f"{len(kl)} latent units with {number(kl.sum())} nats in all"
    if "active" in table:
        text += f", {int(np.sum(table['active']))} of them active"
    most = ", ".join(f"unit {u}: {number(k)}" for u, k in zip(unit[:10], kl[:10]))
    return f"{text}; nats of {'each' if len(kl) <= 10 else 'the first ten'}: {most}."


def levels(table: Mapping[str, np.ndarray]) -> str:
    """The KL of the levels."""
    said = ", ".join(f"level {one}: {number(kl)}" for one, kl in zip(table["level"], table["kl"]))
    return f"Nats of {len(table['kl'])} levels, in the order of drawing: {said}."


def _moved(table: Mapping[str, np.ndarray], first: str, second: str) -> list[tuple[str, float]]:
    """For each column the share that would have to move to make one histogram the other."""
    gap = 0.5 * np.abs(np.asarray(table[first], float) - np.asarray(table[second], float))
    columns = np.asarray(table["column"])
    return [(one, float(gap[columns == one].sum())) for one in dict.fromkeys(columns.tolist())]


def marginals(table: Mapping[str, np.ndarray]) -> str:
    """How far each column of samples is from that of the data."""
    said = ", ".join(f"{one} {gap:.1%}" for one, gap in _moved(table, "data_share", "samples_share"))
    return f"Histograms; share of rows that would have to move to make samples like data: {said}."


def aggregated(table: Mapping[str, np.ndarray]) -> str:
    """How far the codes of each unit are from the prior."""
    said = "; ".join(f"{one}: {gap:.1%}" for one, gap in _moved(table, "aggregated_posterior_share", "prior_share"))
    return f"Histograms; share that would have to move to make the codes the prior: {said}."


def classes(table: Mapping[str, np.ndarray]) -> str:
    """How many samples there are of how many classes."""
    kind = np.asarray(table["kind"])
    return f"{int((kind == 'sample').sum())} samples of {len(np.unique(table['label']))} classes, beside their means."


def graph(table: Mapping[str, np.ndarray]) -> str:
    """What each part of the model gives."""
    rows = zip(table["part"], table["what"], table["shape"], table["trained"])
    parts = [f"{part} ({what}) gives {shape}, {trained:,} trained" for part, what, shape, trained in rows]
    return f"From the data up to the latents and down again: {'; '.join(parts)}."


def traversals(table: Mapping[str, np.ndarray]) -> str:
    """How much each unit changes."""
    strip, pixels = np.asarray(table["strip"], dtype=str), _pixels(table)
    parts = []
    for name in dict.fromkeys(strip.tolist()):
        rows = pixels[strip == name]
        parts.append(f"{name}, ends differ by {np.abs(rows[-1] - rows[0]).mean():.3f} a cell")
    return f"Rows of images: {'; '.join(parts)} (on the scale from 0 to 1)."


def extremes(table: Mapping[str, np.ndarray]) -> str:
    """The scores and errors of the best and worst rows."""
    kind, parts = np.asarray(table["kind"], dtype=str), []
    for one in ("best", "worst"):
        score, error = (np.asarray(table[name], float)[kind == one] for name in ("score", "mean_error"))
        scores = f"scores {number(score.max())} to {number(score.min())}"
        parts.append(f"{len(score)} {one} rows: {scores}, mean absolute error of a cell {error.mean():.3f}")
    return "; ".join(parts) + "."


def rate(table: Mapping[str, np.ndarray]) -> str:
    """Both ends of the curve."""
    r, d = np.asarray(table["rate"], float), np.asarray(table["distortion"], float)
    return (
        f"{len(r)} points from {table['name'][0]} (rate {number(r[0])}, distortion {number(d[0])} nats) to "
        f"{table['name'][-1]} (rate {number(r[-1])}, distortion {number(d[-1])} nats)."
    )


def _apart(table: Mapping[str, np.ndarray], gap: np.ndarray, what: str, scale: str) -> str:
    """How far apart pairs of columns are in data and in samples, and which most."""
    worst = int(np.nanargmax(gap))
    pair = f"{table['first'][worst]} and {table['second'][worst]} ({gap[worst]:.3f})"
    return f"{len(gap)} pairs of columns; {what} by {np.nanmean(gap):.3f} on average{scale} {pair}."


def correlations(table: Mapping[str, np.ndarray]) -> str:
    """How far apart data and samples are, and where most."""
    gap = np.abs(np.asarray(table["samples"], float) - np.asarray(table["data"], float))
    what = "correlations of samples differ from those of the data"
    return _apart(table, gap, what, ", most for") if np.isfinite(gap).any() else ""


def associations(table: Mapping[str, np.ndarray]) -> str:
    """How far apart data and samples are, and where most."""
    return _apart(table, np.asarray(table["difference"], float), "samples differ from data", " (0 to 1), most in")


def information(table: Mapping[str, np.ndarray]) -> str:
    """The pairs of columns that say most about one another."""
    parts = [f"{a} and {b} {number(v)}" for a, b, v in zip(table["first"][:6], table["second"], table["nats"])]
    return f"Nats of mutual information under the model, most first: {', '.join(parts)}."


def column_nats(table: Mapping[str, np.ndarray]) -> str:
    """What each column takes, and what it would take alone."""
    own, alone = np.asarray(table["nats"], float), np.asarray(table["independent"], float)
    order = np.argsort(alone - own)[:12]
    parts = [f"{table['column'][i]} {number(-own[i])} ({number(-alone[i])} alone)" for i in order]
    return f"log p(x) is {number(own.sum())} nats; nats of columns, most gained first: " + ", ".join(parts) + "."


def gene_gains(table: Mapping[str, np.ndarray]) -> str:
    """What codes say of the genes that gain most."""
    parts = [f"{name} {number(gain)}" for name, gain in zip(table["gene"][:12], table["nats"][:12])]
    lost = int(np.sum(np.asarray(table["nats"], float) < 0.0))
    what = "Nats a cell gained over the gene's own negative binomial, most first"
    return f"{what}: {', '.join(parts)}. {lost} genes lose."


def missing_cells(table: Mapping[str, np.ndarray]) -> str:
    """The share of missing cells of each column."""
    share = np.asarray(table["share"], float)
    columns = [(name.removeprefix("missing "), np.asarray(gone) @ share) for name, gone in table.items()][1:]
    most = sorted(columns, key=lambda pair: -pair[1])[:8]
    parts = ", ".join(f"{name} in {gone:.1%}" for name, gone in most if gone > 0)
    return f"Missing cells of {len(share)} patterns, which hold {share.sum():.1%} of the rows: {parts}."


def column_errors(table: Mapping[str, np.ndarray]) -> str:
    """The error of each column."""
    parts = [f"{c} {s:.2f}" for c, s in zip(table["column"][:12], table["share"][:12])]
    return "Root mean square error as a share of the standard deviation, largest first: " + ", ".join(parts) + "."


def bands(table: Mapping[str, np.ndarray]) -> str:
    """How many of the data lie in their band."""
    seen = np.isfinite(table["data"])
    inside = ((table["data"] >= table["q05"]) & (table["data"] <= table["q95"]))[seen]
    return f"{int(table['row'].max()) + 1} series; {inside.mean():.1%} of the data lie in the band of 90 % of draws."


def texts(table: Mapping[str, np.ndarray]) -> str:
    """The first texts of each column."""
    parts = []
    for name in dict.fromkeys(table["column"].tolist()):
        own = table["text"][table["column"] == name]
        parts.append(f"{name}: {', '.join(str(text)[:40] for text in own[:5])}")
    return "; ".join(parts) + "."


def token_bits(table: Mapping[str, np.ndarray]) -> str:
    """The tokens with the most bits."""
    most = np.argsort(-table["bits"], kind="stable")[:5]
    named = (f"{table['token'][i]!r} in row {table['row'][i]} ({table['bits'][i]:.1f})" for i in most)
    mean = table["bits"].mean()
    return f"{len(table['bits'])} tokens of {mean:.2f} bits on average; most bits: {', '.join(named)}."


def position_bits(table: Mapping[str, np.ndarray]) -> str:
    """Each curve at its first and last place, and on average over tokens."""
    parts = []
    for name, bits in table.items():
        if name not in ("place", "rows"):
            mean = np.average(bits, weights=table["rows"])
            parts.append(f"{name} {bits[0]:.2f} at place 1, {bits[-1]:.2f} at the last, {mean:.2f} on average")
    return f"Bits a token at {len(table['place'])} places: {'; '.join(parts)}."


def notes(table: Mapping[str, np.ndarray]) -> str:
    """How many notes each piece has, and their range."""
    parts = []
    for piece in np.unique(table["piece"]).tolist():
        own = table["piece"] == piece
        end = (table["beat"] + table["beats"])[own].max()
        low, high = table["pitch"][own].min(), table["pitch"][own].max()
        parts.append(f"piece {piece + 1} has {own.sum()} notes in {end} beats, pitches {low} to {high}")
    return "; ".join(parts) + "."
