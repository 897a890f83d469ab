"""Latents of a trained model: where rows lie, what each dimension carries, and what points between rows decode to."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from latens import figures
from latens.data.row_fields import evenly_spaced
from latens.errors import ConfigError
from latens.figures.images import image_strips
from latens.figures.latent import reach_curves, two_views
from latens.figures.paths import linear_path, spherical_path
from latens.figures.style import readable
from latens.figures.tables import marginals, marginals_table
from latens.latents.codes import active_units
from latens.latents.fit_prior import aggregated_draws
from latens.model_figures.source import FEW_POINTS, Made, Plane, Posteriors, Source
from latens.trained.sample_sets import MOST, reach_of

WIDE, MOST_UNITS = 11, 8  # points along a path; units that are traversed
MOST_POINTS = 10_000  # of a scatter
PLANES = ("vector", "sphere")  # latents that a plane of two numbers shows; choices are none


# --- where the rows lie ---

PRINCIPAL = ("principal_1", "principal_2")


class Shown(NamedTuple):
    """How points of a latent space are drawn in a plane."""

    points: np.ndarray  # shape (n, 2)
    names: tuple[str, str]  # of the axes
    columns: tuple[str, str]  # of the table
    axes: np.ndarray  # how latent units make the coordinates, shape (d, 2)


def shown_in_plane(source: Source, mean: np.ndarray) -> Shown:
    """Put posterior means into a plane: of more than two units of a vector along their principal axes."""
    if mean.shape[1] == 2 or source.support != "vector":
        first = source.posteriors.first
        names = f"latent unit {first[0]}", f"latent unit {first[1]}"
        return Shown(
            mean[:, first], names, (f"latent_{first[0]}", f"latent_{first[1]}"), np.eye(mean.shape[1])[:, first]
        )
    found = source.principal
    of = [f"principal axis {i + 1}: {100 * share:.0f} % of the variance" for i, share in enumerate(found.shares)]
    return Shown(found.of(mean), (of[0], of[1]), PRINCIPAL, found.axes)


def draw_latent(source: Source) -> Made | None:
    """Draw the posterior means of rows by label."""
    assert source.data is not None
    code = source.posteriors
    if code.mean.shape[1] < 2 or source.support not in PLANES:
        return None
    positions, split = source.held_out(MOST_POINTS, "test", "validation")
    rows = source.rows_called
    of = f"{len(positions)} {split} {rows if len(positions) > 1 else rows[:-1]}"
    if len(positions) < FEW_POINTS < len(source.data):
        positions = evenly_spaced(np.arange(len(source.data)), MOST_POINTS)
        of = f"{len(positions)} {rows} of every split"
    here = code if np.array_equal(positions, code.positions) else Posteriors(source, positions)
    plane = shown_in_plane(source, here.mean)
    title, given = f"Posterior means of {of}", {"label": here.label, "classes": here.classes}
    middle, half, away = view_of(plane.points)
    axes = figures.latent_scatter(plane.points, **given, title=title + f", {away} outside the view" * (away > 0))
    if away:
        axes.set_aspect("equal", adjustable="box")
        axes.set_xlim(middle[0] - half, middle[0] + half)
        axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_xlabel(plane.names[0])
    axes.set_ylabel(plane.names[1])
    table = figures.latent_scatter_table(plane.points, **given, units=(0, 1))
    return axes, dict(zip(plane.columns, (table.pop("latent_0"), table.pop("latent_1")))) | table


def view_of(points: Shaped[np.ndarray, "n 2"]) -> tuple[np.ndarray, float, int]:
    """Where nearly all points of a plane lie: the middle of a square, half its side, and how many are outside."""
    low, high = np.quantile(points, 0.01, axis=0, method="higher"), np.quantile(points, 0.99, axis=0, method="lower")
    middle, half = (low + high) / 2, 0.75 * float((high - low).max())
    return middle, half, int((np.abs(points - middle) > half).any(axis=1).sum())


def draw_units(source: Source) -> Made | None:
    """Draw the KL of every latent dimension."""
    code = source.posteriors
    if code.kl is None:
        return None
    shown = code.kl, active_units(code.mean)
    return figures.unit_kl_bars(*shown), figures.unit_kl_table(*shown)


def draw_two_views(source: Source) -> Made | None:
    """Draw encoder and decoder on the same axes."""
    code = source.few
    if code.mean.shape[1] != 2:
        return None
    grid, images = _plane(source, Plane().cells)
    return two_views(code.mean, images, grid, code.label, code.classes), {}


def draw_aggregated(source: Source) -> Made | None:
    """Draw q(z) over all rows against the prior, dimension by dimension."""
    code = source.posteriors
    z = aggregated_draws(source.rows(source.few.batch), num_draws=4)
    prior = source.latents(4000)
    prior = prior.reshape(len(prior), -1)
    if prior.shape[1] != z.shape[1]:
        return None  # a hierarchy, of which only the highest level has draws here
    kept = code.order[:12]
    names = [f"unit {u}" + ("" if code.kl is None else f", {code.kl[u]:.2f} nats") for u in kept]
    given, kinds = (z[:, kept], prior[:, kept], names), ("aggregated posterior", "prior")
    return marginals(*given, kinds=kinds), marginals_table(*given, kinds=kinds)


def draw_reach(source: Source) -> Made | None:
    """Draw how far codes move until their picture, or its class, changes."""
    assert source.data is not None
    positions = source.held_out(10**9, "test", "validation")[0]
    if len(positions) < 2:
        return None  # what another picture is, two rows say
    found = reach_of(source.trained, source.data, positions, 0)
    far = {"picture": found.picture} | ({} if found.label is None else {"class": found.label})
    return reach_curves(far, MOST)


# --- what points decode to ---


def draw_linear(source: Source) -> Made | None:
    """Draw the decoder's mean over an even grid of two latent dimensions."""
    if source.plane.spacing == "percentile":
        return None
    grid, images = _plane(source, source.plane.cells)
    return figures.manifold(images, grid, title="Means of p(x|z) on an even grid of z"), {}


def draw_percentiles(source: Source) -> Made | None:
    """Draw the decoder's mean over an even grid of the prior's percentiles, which other priors have no table of."""
    plane = source.plane
    if not source.standard_normal and plane.spacing == "percentile":
        raise ConfigError("this prior has no percentiles to space the plane by.", where="--manifold-range percentile",
                          fix="Use --manifold-range linear.")  # fmt: skip
    if source.trained.preparation.classes or plane.spacing == "linear" or not source.standard_normal:
        return None
    grid, title = figures.percentile_grid(plane.cells, *plane.percentiles), "at even percentiles of the prior"
    return figures.manifold(_images_at(source, grid), grid, title=f"Means of p(x|z) {title}"), {}


def draw_class_plane(code: int, source: Source) -> Made | None:
    """Draw the even grid of one class of a conditional model."""
    if code >= len(source.trained.classes):
        return None
    grid, name = figures.linear_grid(source.plane.cells), readable(source.trained.classes[code], 16)
    images = _images_at(source, grid, np.full(source.plane.cells**2, code))
    return figures.manifold(images, grid, title=f"Means of p(x|z, label {name}) on an even grid of z"), {}


def _images_at(source: Source, grid: np.ndarray, codes: np.ndarray | None = None) -> np.ndarray:
    images = source.images(source.decoded(grid.reshape(-1, 2), codes))
    return images.reshape(*grid.shape[:2], *images.shape[1:])


def _plane(source: Source, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """An even grid over two latent dimensions and the images there, decoded once for all pictures of it."""
    if cells not in source.planes:
        grid = figures.linear_grid(cells)
        source.planes[cells] = grid, _images_at(source, grid)
    return source.planes[cells]


def _label_vectors(source: Source, place: int, count: int) -> np.ndarray | None:
    """The class vector of one row, `count` times, of a conditional model."""
    code = source.posteriors
    if not source.trained.preparation.classes or code.label is None:
        return None
    known = source.trained.condition(np.full(count, code.label[place]))
    return None if known is None else known["label"]


def draw_traversals(source: Source) -> Made:
    """Draw what each latent dimension decodes to, the others as of one row."""
    # A dimension goes from -3 to 3, which is the range of a standard Normal; a code of a plain autoencoder over its own
    # range.
    code, found = source.posteriors, []
    units = code.order[:MOST_UNITS]
    light = np.asarray(source.originals(code.batch), np.float64).reshape(len(code.mean), -1).mean(1)
    row = int(np.argsort(light, kind="stable")[len(light) // 2])  # neither dark nor bright, or changes cannot be seen
    low, high = np.full(code.mean.shape[1], -3.0), np.full(code.mean.shape[1], 3.0)
    if source.trained.is_point:  # codes have no prior that would say how far to go
        low, high = np.percentile(code.mean, (1.0, 99.0), axis=0)
    for unit in units:
        z = np.tile(code.mean[row].astype(float), (WIDE, 1))
        z[:, unit] = np.linspace(low[unit], high[unit], WIDE)
        found.append(source.decoded_images(z, _label_vectors(source, row, WIDE)))
    if source.trained.is_point:
        said = [f"code {u}: {low[u]:.3g} to {high[u]:.3g}" for u in units]
        title = "Each code from its 1st to its 99th percentile, the others as of one row; most spread first"
    else:
        said = [f"unit {u}" + ("" if code.kl is None else f": {code.kl[u]:.2f} nats") for u in units]
        title = "Each unit from −3 to 3, the others as of one row; most informative first"
    return image_strips(found, said, title=title), {}


def draw_interpolations(source: Source) -> Made | None:
    """Draw what lies between two rows, straight and by the arc."""
    code = source.posteriors
    ends, found, names = evenly_spaced(np.arange(len(code.mean)), 6), [], []
    for a, b in zip(ends[::2], ends[1::2]):
        for word, path in (("straight", linear_path), ("spherical", spherical_path)):
            z = path(code.mean[a], code.mean[b], WIDE)
            found.append(source.decoded_images(z, _label_vectors(source, int(a), WIDE)))
            names.append(word)
    title = f"Between two {code.split} rows, straight and spherical"
    return (image_strips(found, names, group=2, title=title), {}) if found else None


def draw_arithmetic(source: Source) -> Made | None:
    """Draw a - b + c of the mean latents of three classes, for up to four choices of them."""
    code = source.posteriors
    present = [] if code.label is None else [int(c) for c in np.unique(code.label) if c >= 0]
    if code.label is None or len(present) < 3:
        return None
    centres = {c: code.mean[code.label == c].mean(0) for c in present}
    words = code.classes or [str(c) for c in range(max(present) + 1)]
    rows, names = [], []
    for i in range(min(4, len(present) - 2)):
        a, b, c = (present[(i + 2 * j) % len(present)] for j in range(3))
        if len({a, b, c}) < 3:
            a, b, c = present[i : i + 3]
        z = np.stack([centres[a], centres[b], centres[c], centres[a] - centres[b] + centres[c]])
        rows.append(source.decoded_images(z))
        names.append(f"{words[a]} − {words[b]} + {words[c]}")
    return image_strips(rows, names, title="a, b, c and a − b + c of class means"), {}
