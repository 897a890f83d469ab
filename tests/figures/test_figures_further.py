"""Further figures: what they draw is what was given, and their tables are what a hand computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from picture_fixtures import BITS, HISTORY, beyond_first, data_of, pictured, trained_bits
from scipy.stats import norm

from latens import latents
from latens.errors import DataError
from latens.evidence import ModelRows
from latens.figures import linear_grid
from latens.figures.curves import bands
from latens.figures.images import image_strips
from latens.figures.style import THEMES, themed
from latens.figures.tables import correlation, correlations
from latens.model_figures.draw import FIRST, draw_pictures
from latens.model_figures.model_graph import (
    HIGH,
    WIDE,
    PartBox,
    arrow_paths,
    graph_of,
    model_diagram,
    places_of,
    side_of,
)
from latens.model_figures.source import Plane
from latens.trainable import count_parameters


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# --- rows of images ---


def test_strips_show_their_images_beside_their_names():
    rng = np.random.default_rng(0)
    rows, names = [rng.random((4, 3, 5)), rng.random((2, 3, 5))], ["unit 3", "<b>$x$"]
    ax = image_strips(rows, names)
    pixels = ax.images[0].get_array()
    np.testing.assert_allclose(pixels[0:3, 0:5, 0], rows[0][0], atol=1e-7)
    np.testing.assert_allclose(pixels[4:7, 6:11, 2], rows[1][1], atol=1e-7)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["unit 3", r"<b>\$x\$"]
    with pytest.raises(DataError):
        image_strips([rows[0], rng.random((2, 3, 4))], names)
    with pytest.raises(DataError):
        image_strips(rows, ["one"])


# --- the latent plane ---


# --- curves ---


def test_bands_hold_their_share_of_draws():
    data = random(2, 6)
    draws = np.random.default_rng(1).normal(2.0, 3.0, (20_000, 2, 6))
    table = bands(data, draws)[1]
    assert table["data"].tolist() == data.ravel().tolist()
    for name, share in (("q05", 0.05), ("q25", 0.25), ("q75", 0.75), ("q95", 0.95)):
        error = 5 * 3 * np.sqrt(share * (1 - share) / 20_000) / norm.pdf(norm.ppf(share))
        np.testing.assert_allclose(table[name], 2 + 3 * norm.ppf(share), atol=error)
    axes = bands(data, draws[:50])[0]
    np.testing.assert_array_equal(axes[1].get_lines()[1].get_ydata(), data[1])


# --- columns ---


def test_correlations_are_those_of_numpy_and_of_complete_pairs():
    x = random(200, 3) @ random(3, 5, seed=2) + 1e4
    np.testing.assert_allclose(correlation(x), np.corrcoef(x.T), atol=1e-9)
    holes = x.copy()
    holes[:50, 1] = np.nan
    np.testing.assert_allclose(correlation(holes)[1, 3], np.corrcoef(x[50:, 1], x[50:, 3])[0, 1], atol=1e-9)
    np.testing.assert_allclose(correlation(holes)[0, 3], np.corrcoef(x[:, 0], x[:, 3])[0, 1], atol=1e-9)
    still = np.concatenate([x, np.full((200, 1), 7.0)], axis=1)
    assert np.isnan(correlation(still)[5]).all()
    table = correlations(x, -x, list("abcde"))[1]
    np.testing.assert_allclose(table["data"], np.corrcoef(x.T)[np.triu_indices(5, 1)], atol=1e-9)
    assert table["second"][:4].tolist() == list("bcde")
    left, right, gap = correlations(x, x[:100], list("abcde"))[0]
    np.testing.assert_allclose(
        gap.images[0].get_array(), right.images[0].get_array() - left.images[0].get_array(), atol=1e-12
    )


# --- the graph ---


def test_the_boxes_of_a_model_hold_all_its_trained_numbers():
    trained = trained_bits()
    parts, arrows = graph_of(trained)
    assert sum(part.trained for part in parts) == count_parameters(trained.model)
    # 5 x 4 cells, one hidden layer of 8, two units: each layer has its weights and its biases.
    assert [part.trained for part in parts if part.name.startswith("layer")] == [
        20 * 8 + 8,
        8 * 4 + 4,
        2 * 8 + 8,
        8 * 20 + 20,
    ]
    outs = {"x": (5, 4), "layer 1": (8,), "layer 2": (20,), "KL": (), "likelihood": (5, 4), "ELBO": ()}
    of_encoder = [part.out for part in parts if part.side == "encoder"]
    assert of_encoder == [(5, 4), (8,), (4,)]
    assert all(part.out == outs.get(part.name, (2,)) for part in parts if part.side != "encoder")
    names = [part.name if part.name[:5] != "layer" else f"{part.side} {part.name}" for part in parts]
    assert {(names[start], names[end]) for start, end in arrows} == {
        ("x", "encoder layer 1"),
        ("encoder layer 1", "encoder layer 2"),
        *(("encoder layer 2", name) for name in ("mean", "log-scale")),
        *((name, "sample") for name in ("mean", "log-scale", "noise")),
        *((name, "KL") for name in ("mean", "log-scale", "prior")),
        ("sample", "decoder layer 1"),
        ("decoder layer 1", "decoder layer 2"),
        *((name, "likelihood") for name in ("decoder layer 2", "x")),
        *((name, "ELBO") for name in ("KL", "likelihood")),
    }
    assert model_diagram(parts)[1]["shape"][0] == "5 x 4"
    with themed("dark"):
        ax = model_diagram(parts, arrows)[0]
    assert len([p for p in ax.patches if isinstance(p, FancyBboxPatch)]) == len(parts)
    assert len([p for p in ax.patches if isinstance(p, FancyArrowPatch)]) == len(arrows)
    assert to_hex(ax.get_facecolor()) == THEMES["dark"].background
    with pytest.raises(DataError):
        model_diagram([PartBox("nowhere", "x", "", (1,), 0)])


def test_a_side_of_the_graph_stands_alone():
    """The encoder from x to the numbers of q(z|x), the decoder from z to the likelihood."""
    trained = trained_bits()
    drawn = draw_pictures(trained, None, only=["graph-encoder", "graph-decoder"])
    sides = {name: table["part"].tolist() for name, _, table in drawn}
    assert sides == {
        "graph-encoder": ["x", "layer 1", "layer 2", "mean", "log-scale"],
        "graph-decoder": ["sample", "layer 1", "layer 2", "likelihood"],
    }
    assert sum(int(table["trained"].sum()) for _, _, table in drawn) == count_parameters(trained.model)
    assert [axes.get_title(loc="left").partition(":")[0] for _, axes, _ in drawn] == ["The encoder", "The decoder"]
    ways = side_of(*graph_of(trained), "encoder")[1], side_of(*graph_of(trained), "decoder")[1]
    assert [sorted(arrows) for arrows in ways] == [[(0, 1), (1, 2), (2, 3), (2, 4)], [(0, 1), (1, 2), (2, 3)]]


@pytest.mark.parametrize("layers", [1, 2, 7])
def test_arrows_meet_the_boxes_that_they_join(layers):
    parts, arrows = graph_of(trained_bits())
    deep = [parts[1]] * (layers - 1)
    parts = [parts[0], *deep, *parts[1:]]
    arrows = [(a + (layers - 1) * (a > 0), b + (layers - 1) * (b > 0)) for a, b in arrows]
    places = places_of(parts)
    for i, one in enumerate(places):  # no box lies on another
        others = np.abs(np.delete(places, i, axis=0) - one)
        assert ((others[:, 0] >= WIDE) | (others[:, 1] >= HIGH + 0.2)).all()
    for (start, end), path in zip(arrows, arrow_paths(places, arrows), strict=True):
        for point, place in ((path[0], places[start]), (path[-1], places[end])):
            away = np.abs(point - place) / [WIDE / 2, HIGH / 2]
            assert away.max() == pytest.approx(1.0)  # on the edge
        for corner in path[1:-1]:  # a way around passes below every box
            assert corner[1] < places[:, 1].min() - HIGH / 2


# --- from a model ---


def means_of(trained, z):
    logits = jax.vmap(trained.model.decoder.network)(jnp.asarray(z, jnp.float32))
    return jax.nn.sigmoid(logits).reshape(-1, 20)


def test_further_pictures_show_the_numbers_of_the_model():
    trained, data = trained_bits(), data_of(BITS, n=60)
    drawn = beyond_first(draw_pictures(trained, data, HISTORY))
    assert list(drawn) == [
        "graph", "two-views", "traversals", "interpolations", "arithmetic", "reach", "posterior-predictive",
        "aggregated-posterior",
    ]  # fmt: skip
    test, key = data.subset("test"), jax.random.key(0)
    batch = trained.batch(data, test)
    codes = latents.encode(ModelRows(trained.model, batch, key=key, preparation=trained.preparation))

    def names(ax):
        return [label.get_text() for label in ax.get_yticklabels()]

    kl = codes["kl"].mean(0, dtype=np.float64)
    order = np.argsort(-kl)
    assert names(drawn["traversals"]) == [f"unit {u}: {kl[u]:.2f} nats" for u in order]
    light = data.x[test].reshape(len(test), -1).mean(1)
    z = np.tile(codes["mean"][np.argsort(light, kind="stable")[len(test) // 2]], (11, 1))  # a row of middling light
    z[:, order[0]] = np.linspace(-3, 3, 11)
    np.testing.assert_allclose(pictured(drawn["traversals"])[:11], means_of(trained, z), atol=2e-6)
    t = np.linspace(0, 1, 11)[:, None]
    ends = np.linspace(0, 11, 6).round().astype(int)
    z = (1 - t) * codes["mean"][ends[0]] + t * codes["mean"][ends[1]]
    np.testing.assert_allclose(pictured(drawn["interpolations"])[:11], means_of(trained, z), atol=2e-6)
    label = data.label[test]
    centre = [codes["mean"][label == c].mean(0) for c in range(3)]
    a, b, c = ("abc".index(word) for word in names(drawn["arithmetic"])[0].replace("−", "+").split(" + "))
    z = [centre[a], centre[b], centre[c], centre[a] - centre[b] + centre[c]]
    np.testing.assert_allclose(pictured(drawn["arithmetic"])[:4], means_of(trained, np.stack(z)), atol=2e-6)
    np.testing.assert_allclose(
        pictured(drawn["two-views"][1], 21), means_of(trained, linear_grid(21).reshape(-1, 2)), atol=2e-6
    )


def test_the_plane_has_the_cells_and_percentiles_asked_for():
    plane, trained = Plane(15, "percentile", (0.01, 0.99)), trained_bits()
    drawn = {name: axes for name, axes, _ in draw_pictures(trained, None, [], plane=plane, only=FIRST)}
    assert list(drawn) == ["samples", "manifold-percentile"]
    at = norm.ppf(np.linspace(0.01, 0.99, 15))
    z = np.stack(np.meshgrid(at, at[::-1]), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(pictured(drawn["manifold-percentile"], 15), means_of(trained, z), atol=2e-6)
