"""Latents of a trained model: where rows lie, what each dimension carries, and what points between rows decode to."""

from typing import Literal, NamedTuple

import numpy as np

from latens import evaluation, figures
from latens.data.rows import evenly_spaced
from latens.errors import ConfigError
from latens.figures import density, planes
from latens.figures.manifold import framed
from latens.figures.paths import linear_path, random_walk, spherical_path
from latens.figures.reach import reach_curves, reach_table
from latens.figures.style import ThemeName
from latens.figures.tables import marginals, marginals_table
from latens.pictures.classes import each_class
from latens.pictures.images import draw_strips
from latens.pictures.source import Drawn, Posteriors, Source
from latens.workflow.reach import MOST, reach_of

WIDE, MOST_UNITS = 11, 8  # points along a path; units that are traversed
MANIFOLD = 21  # points of the latent plane along each axis; an odd number shows the middle of the prior
MOST_CELLS = 1_000_000  # numbers up to which a manifold's table holds every pixel, else the mean of each image
MOST_POINTS = 10_000  # of a scatter
FEW_POINTS = 100  # a scatter of fewer held-out rows shows every row instead
PLANES = ("vector", "sphere", "ball", "shares")  # latents that a plane of two numbers shows; choices are none


class Plane(NamedTuple):
    """How the latent plane is drawn."""

    cells: int = MANIFOLD  # points along each side
    # "linear" (even in z) or "percentile" (even in percentiles of the prior); None draws both
    spacing: Literal["linear", "percentile"] | None = None
    percentiles: tuple[float, float] = (0.05, 0.95)  # probabilities at the edges of the grid of percentiles


# --- where the rows lie ---


def draw_latent(source: Source, theme: ThemeName) -> Drawn:
    """Draw the posterior means of rows by label, and the KL of every latent dimension."""
    if source.data is None:
        return []
    positions, split = source.held_out(MOST_POINTS, "test", "validation")
    of = f"{len(positions)} {split} row{'s' * (len(positions) > 1)}"
    if len(positions) < FEW_POINTS < len(source.data):
        positions = evenly_spaced(np.arange(len(source.data)), MOST_POINTS)
        of = f"{len(positions)} rows of every split"
    code = source.posteriors
    drawn: Drawn = []
    if code.mean.shape[1] >= 2 and source.support in PLANES:
        here = code if np.array_equal(positions, code.positions) else Posteriors(source, positions)
        means, what = here.mean, "variance" if code.kl is None else "KL"
        first, second = sorted(int(unit) for unit in code.order[:2])
        z, units = means[:, [first, second]], (first, second)
        title = f"Posterior means of {of}"
        title += f": units {first} and {second}, most {what}" if means.shape[1] > 2 else ""
        axes = figures.latent_scatter(z, here.label, here.classes, units=units, title=title, theme=theme)
        drawn.append(("latent", axes, figures.latent_scatter_table(z, here.label, here.classes, units=units)))
    if code.kl is not None:
        shown = code.kl, evaluation.active_units(code.mean)
        drawn.append(("units", figures.unit_kl_bars(*shown, theme=theme), figures.unit_kl_table(*shown)))
    return drawn


def draw_levels(source: Source, theme: ThemeName) -> Drawn:
    """Draw the KL of every level of a hierarchy."""
    trained = source.trained
    shapes = evaluation.level_shapes(trained.model, cond=trained.one_condition)
    if len(shapes) < 2:
        return []
    found = evaluation.level_kl(source.rows(source.few.batch))
    if len(found) < len(shapes):
        return []
    shown = [level.value for level in found], [level.standard_error for level in found], shapes
    return [("levels", figures.level_kl_bars(*shown, theme=theme), figures.level_kl_table(*shown))]


def draw_planes(source: Source, theme: ThemeName) -> Drawn:
    """Draw contours and posteriors of two dimensions; encoder and decoder on the same axes."""
    drawn: Drawn = []
    code = source.few
    if code.mean.shape[1] < 2:
        return drawn
    first, second = sorted(int(unit) for unit in source.posteriors.order[:2])
    z = code.mean[:, [first, second]]
    if code.log_variance is not None and np.linalg.matrix_rank(z - z.mean(0)) == 2 and len(z) > 2:
        spread = code.log_variance[:, [first, second]]
        title = f"Posteriors of {len(z)} {code.split} rows; lines hold 50 % and 90 % of the means"
        units = (first, second)
        axes = density.latent_density(z, spread, code.label, code.classes, units=units, title=title, theme=theme)
        drawn.append(("latent-density", axes, density.latent_density_table(z, spread)))
    if source.is_image and code.mean.shape[1] == 2 and not source.trained.preparation.classes:
        grid, images = _plane(source, MANIFOLD)
        axes = planes.two_views(z, framed(images), grid, code.label, code.classes, theme=theme)
        drawn.append(("two-views", axes, figures.manifold_table(images, grid)))
    return drawn


def draw_aggregated(source: Source, theme: ThemeName) -> Drawn:
    """Draw q(z) over all rows against the prior, dimension by dimension."""
    code = source.posteriors
    z = evaluation.aggregated_draws(source.rows(source.few.batch), num_draws=4)
    prior = source.latents(4000)
    prior = prior.reshape(len(prior), -1)
    if prior.shape[1] != z.shape[1]:
        return []  # a hierarchy, of which only the highest level has draws here
    kept = code.order[:12]
    names = [f"unit {u}" + ("" if code.kl is None else f", {code.kl[u]:.2f} nats") for u in kept]
    kinds = ("aggregated posterior", "prior")
    axes = marginals(z[:, kept], prior[:, kept], names, kinds=kinds, theme=theme)
    return [("aggregated-posterior", axes, marginals_table(z[:, kept], prior[:, kept], names, kinds=kinds))]


def draw_reach(source: Source, theme: ThemeName) -> Drawn:
    """Draw how far codes move until their picture, or its class, changes."""
    assert source.data is not None
    positions = source.held_out(10**9, "test", "validation")[0]
    if len(positions) < 2:
        return []  # what another picture is, two rows say
    found = reach_of(source.trained, source.data, positions, 0)
    far = {"picture": found.picture} | ({} if found.label is None else {"class": found.label})
    return [("reach", reach_curves(far, MOST, theme=theme), reach_table(far, MOST))]


# --- what points decode to ---


def draw_manifolds(source: Source, theme: ThemeName, plane: Plane) -> Drawn:
    """Draw the decoder's mean over a plane of two latent dimensions."""
    if not source.has_prior or source.support != "vector" or source.trained.latent_shape != (2,):
        return []
    drawn: Drawn = []
    linear = figures.linear_grid(plane.cells)
    wanted: list = [("manifold-linear", linear, "Means of p(x|z) on an even grid of z", None)]
    if source.standard_normal:  # the percentiles of other priors have no table
        even = figures.percentile_grid(plane.cells, *plane.percentiles)
        wanted += [("manifold-percentile", even, "Means of p(x|z) at even percentiles of the prior", None)]
    elif plane.spacing == "percentile":
        raise ConfigError("this prior has no percentiles to space the plane by.", where="--manifold-range percentile",
                          fix="Use --manifold-range linear.")  # fmt: skip
    if plane.spacing is not None:
        wanted = [entry for entry in wanted if entry[0] == f"manifold-{plane.spacing}"]
    if source.trained.preparation.classes:
        wanted = [
            (f"manifold-{i}", linear, title, np.full(plane.cells**2, i)) for i, title in each_class(source.trained)
        ]
    for name, grid, title, codes in wanted:
        if name == "manifold-linear":
            images = _plane(source, plane.cells)[1]
        else:
            images = source.images(source.decoded(grid.reshape(-1, 2), codes))
            images = images.reshape(*grid.shape[:2], *images.shape[1:])
        axes = figures.manifold(framed(images), grid, title=title, theme=theme)
        table = figures.manifold_table(images, grid)
        if images.size > MOST_CELLS:  # a table of millions of pixels serves nobody
            means = images.reshape(len(table["row"]), -1).mean(1)
            table = {key: table[key] for key in ("row", "column", "latent_0", "latent_1")} | {"mean_pixel": means}
        drawn.append((name, axes, table))
    return drawn


def _plane(source: Source, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """An even grid over two latent dimensions and the images there, decoded once for all pictures of it."""
    if cells not in source.planes:
        grid = figures.linear_grid(cells)
        images = source.images(source.decoded(grid.reshape(-1, 2)))
        source.planes[cells] = grid, images.reshape(cells, cells, *images.shape[1:])
    return source.planes[cells]


def _label_vectors(source: Source, place: int, count: int) -> np.ndarray | None:
    """The class vector of one row, `count` times, of a conditional model."""
    code = source.posteriors
    if not source.trained.preparation.classes or code.label is None:
        return None
    known = source.trained.condition(np.full(count, code.label[place]))
    return None if known is None else known["label"]


def draw_traversals(source: Source, theme: ThemeName) -> Drawn:
    """Draw what each latent dimension decodes to, the others as of one row."""
    # A dimension goes from -3 to 3, which is the range of a standard Normal; a code of a plain autoencoder over its own
    # range.
    code, found = source.posteriors, []
    units = code.order[:MOST_UNITS]
    low, high = np.full(code.mean.shape[1], -3.0), np.full(code.mean.shape[1], 3.0)
    if source.trained.is_point:  # codes have no prior that would say how far to go
        low, high = np.percentile(code.mean, (1.0, 99.0), axis=0)
    for unit in units:
        z = np.tile(code.mean[0].astype(float), (WIDE, 1))
        z[:, unit] = np.linspace(low[unit], high[unit], WIDE)
        found.append(source.decoded_images(z, _label_vectors(source, 0, WIDE)))
    if source.trained.is_point:
        said = [f"code {u}: {low[u]:.3g} to {high[u]:.3g}" for u in units]
        title = "Each code from its 1st to its 99th percentile, the others as of one row; most spread first"
    else:
        said = [f"unit {u}" + ("" if code.kl is None else f": {code.kl[u]:.2f} nats") for u in units]
        title = "Each unit from −3 to 3, the others as of one row; most KL first"
    return [draw_strips("traversals", found, said, title, theme)]


def draw_paths(source: Source, theme: ThemeName) -> Drawn:
    """Draw what paths decode to: between rows, straight and by the arc; a walk in the prior; sums of class means."""
    drawn: Drawn = []
    code = source.posteriors
    ends, found, names = evenly_spaced(np.arange(len(code.mean)), 6), [], []
    for a, b in zip(ends[::2], ends[1::2]):
        for word, path in (("straight", linear_path), ("spherical", spherical_path)):
            z = path(code.mean[a], code.mean[b], WIDE)
            found.append(source.decoded_images(z, _label_vectors(source, int(a), WIDE)))
            names.append(word)
    if found:
        title = f"Between two {code.split} rows, straight and spherical"
        drawn.append(draw_strips("interpolations", found, names, title, theme, 2))
    if source.standard_normal and source.has_prior:
        known = code.label[:1] if source.trained.preparation.classes and code.label is not None else None
        walk = random_walk(source.latents(1, known).reshape(-1), 48, rng=np.random.default_rng(0))
        images = source.decoded_images(walk, _label_vectors(source, 0, 48))
        names = [f"steps {i} to {i + 11}" for i in range(0, 48, 12)]
        rows = list(images.reshape(4, 12, *images.shape[1:]))
        drawn.append(draw_strips("walk", rows, names, "A random walk in the prior", theme))
    return drawn + _arithmetic(source, theme)


def _arithmetic(source: Source, theme: ThemeName) -> Drawn:
    """a - b + c of the mean latents of three classes, for up to four choices of them."""
    code = source.posteriors
    if code.label is None or source.trained.preparation.classes:
        return []
    present = [int(c) for c in np.unique(code.label) if c >= 0]
    if len(present) < 3:
        return []
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
    return [draw_strips("arithmetic", rows, names, "a, b, c and a − b + c of class means", theme)]
