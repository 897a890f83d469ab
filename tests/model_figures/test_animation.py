"""Moving pictures: paths by their formulas, turns undone exactly, frames that show what they were given."""

import io

import numpy as np
import pytest
from picture_fixtures import BITS, data_of, trained_bits
from PIL import Image
from scipy.stats import kstest, ortho_group

from latens.errors import DataError, UsageError
from latens.figures import animation
from latens.figures.animation import frame, moving_image, moving_manifold, moving_scatter, write_animation
from latens.figures.images import linear_grid, manifold, percentile_grid
from latens.figures.latent import latent_scatter
from latens.figures.paths import align, in_log_time, linear_path, medoid, path_between, random_walk, spherical_path
from latens.model_figures.animate import manifold_over_training, morph
from latens.model_figures.source import Source

pytest_plugins = ("cli_fixtures",)


def points(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# --- paths ---


def test_a_straight_path_has_even_steps_and_its_own_ends():
    a, b = points(2, 5)
    path = linear_path(a, b, 9)
    np.testing.assert_array_equal(path[[0, -1]], [a, b])
    np.testing.assert_allclose(np.diff(path, axis=0), np.tile((b - a) / 8, (8, 1)), atol=1e-14)


def test_a_spherical_path_turns_evenly_and_keeps_the_length():
    a, b = points(2, 7, seed=1)
    path = spherical_path(a, b, 11)
    np.testing.assert_array_equal(path[[0, -1]], [a, b])
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 11), rtol=1e-12)
    unit = path / lengths[:, None]
    angles = np.arccos(np.sum(unit[:-1] * unit[1:], axis=1))
    whole = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    np.testing.assert_allclose(angles, whole / 10, rtol=1e-9)


def test_spherical_paths_without_an_arc():
    a = np.array([3.0, 4.0])
    np.testing.assert_allclose(spherical_path(a, 2 * a, 5), linear_path(a, 2 * a, 5))
    np.testing.assert_allclose(spherical_path(a, 0 * a, 5), linear_path(a, 0 * a, 5))
    np.testing.assert_allclose(np.linalg.norm(spherical_path(a, -a, 5), axis=1), 5.0)
    np.testing.assert_allclose(spherical_path([2.0], [-2.0], 3)[:, 0], [2, 0, -2], atol=1e-15)


def test_a_closed_path_passes_every_stop_once():
    stops = points(4, 3)
    path = path_between(stops, 5, "linear", closed=True)
    assert path.shape == (20, 3)
    np.testing.assert_array_equal(path[::5], stops)
    np.testing.assert_allclose(path[16] - path[15], (stops[0] - stops[3]) / 5)
    np.testing.assert_array_equal(path_between(stops, 5, "spherical")[::5], stops)


def test_a_walk_stays_in_the_prior():
    rng = np.random.default_rng(3)
    ends = np.array([random_walk(rng.standard_normal(4), 12, rng=rng, step=0.5)[-1] for _ in range(800)])
    assert kstest(ends.ravel(), "norm").pvalue > 1e-3
    path = random_walk(np.zeros(2), 20_000, rng=rng, step=0.6)
    moved = path[1:] - 0.8 * path[:-1]
    assert abs(moved.std() - 0.6) < 5 * 0.6 / np.sqrt(2 * moved.size)


@pytest.mark.parametrize(
    "make",
    [
        lambda: linear_path([0.0], [1.0, 2.0], 3),
        lambda: spherical_path([0.0], [1.0], 1),
        lambda: path_between([[0.0]], 3, "linear"),
        lambda: random_walk([0.0], 5, rng=np.random.default_rng(0), step=0.0),
        lambda: align(np.zeros((3, 2)), np.zeros((4, 2))),
        lambda: in_log_time([1, 1], 5),
    ],
)
def test_paths_that_cannot_be_are_refused(make):
    with pytest.raises(DataError) as caught:
        make()
    assert caught.value.fix


# --- turns ---


@pytest.mark.parametrize("dim", [2, 3, 8])
def test_a_planted_turn_is_undone_exactly(dim):
    z = points(50, dim) * np.linspace(1, 2, dim)
    turn = ortho_group.rvs(dim, random_state=4)
    if dim == 2:
        turn = turn @ np.diag([1.0, -np.sign(np.linalg.det(turn))])  # a mirror image
        assert np.linalg.det(turn) < 0
    turned, found = align(z @ turn, z)
    np.testing.assert_allclose(turned, z, atol=1e-12)
    np.testing.assert_allclose(found, turn.T, atol=1e-12)


def test_time_runs_evenly_in_its_logarithm():
    steps = [0, 1, 3, 7]  # log2(1 + step) = 0, 1, 2, 3
    index, share = in_log_time(steps, 7)
    assert index.tolist() == [0, 0, 1, 1, 2, 2, 2]
    np.testing.assert_allclose(share, [0, 0.5, 0, 0.5, 0, 0.5, 1], atol=1e-12)


# --- frames and files ---


def test_a_gif_holds_the_frames_it_was_given(tmp_path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255]], np.uint8)
    frames = [np.broadcast_to(colour, (20, 30, 3)).copy() for colour in colours]
    path = write_animation(tmp_path / "a.gif", frames, fps=10, hold=(3.0,))
    again = write_animation(tmp_path / "b.gif", frames, fps=10, hold=(3.0,))
    assert path.read_bytes() == again.read_bytes()
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (5, (30, 20), 0)
        for number, colour in enumerate(colours):
            image.seek(number)
            assert image.info["duration"] == (300 if number == 0 else 100)
            assert (np.asarray(image.convert("RGB")) == colour).all()


def test_of_many_colours_the_frequent_ones_are_exact(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    pixels[:30], pixels[30:40] = (22, 25, 31), (0, 114, 178)
    with Image.open(write_animation(tmp_path / "a.gif", [pixels, pixels[::-1]])) as image:
        found = np.asarray(image.convert("RGB"))
    assert (found[:40] == pixels[:40]).all()
    # The others fall on 64 colours of 16.7 million: at most a quarter of the scale away on average.
    assert np.abs(found[40:].astype(int) - pixels[40:]).mean() < 64


def test_what_no_film_can_be_made_of_is_refused(tmp_path):
    with pytest.raises(UsageError, match="gif"):
        animation.check_ending("film.avi")
    for frames in ([], [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], [np.zeros((4, 4, 3))]):
        with pytest.raises(DataError):
            write_animation(tmp_path / "a.gif", frames)
    assert list(tmp_path.iterdir()) == []


def test_a_moving_scatter_ends_as_the_still_one():
    z, label = points(30, 2), np.arange(30) % 12
    seen = []
    for pixels in moving_scatter(np.stack([0.1 * z, z]), ["step 0", "step 9"], label=label):
        seen.append(pixels)
    assert seen[0].shape == seen[1].shape
    assert (seen[0] != seen[1]).any()
    # Drawn once more with the points of the first moment, on the same axes.
    reach = np.percentile(np.abs(z).max(axis=1), 99) * 1.08
    still = latent_scatter(z, label, title="step 9")
    still.set_aspect("equal", adjustable="box")
    still.set_xlim(-reach, reach)
    still.set_ylim(-reach, reach)
    np.testing.assert_array_equal(frame(still), seen[1])


def test_a_moving_image_and_a_moving_grid_show_their_pixels():
    images = np.zeros((3, 4, 4))
    images[1, 0, 0] = images[2] = 1.0
    first, second, third = moving_image(images, ["a", "a", "a"])
    changed = np.argwhere((first != second).any(-1))
    whole = np.argwhere((first != third).any(-1))
    # One cell of sixteen, at the upper left.
    assert len(whole) == pytest.approx(16 * len(changed), rel=0.02)
    np.testing.assert_array_equal(changed.min(0), whole.min(0))
    grid = linear_grid(3)
    tiles = np.zeros((2, 3, 3, 2, 2))
    tiles[1, 2, 0] = 1.0  # row 2 is the lowest
    before, after = moving_manifold(list(tiles), grid, ["b", "b"])
    rows, columns = np.argwhere((before != after).any(-1)).mean(0)
    assert rows > before.shape[0] / 2
    assert columns < before.shape[1] / 2


def test_a_morph_stops_at_rows_of_its_class():
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.cos(angle), 1.2 * np.sin(angle)], 1)
    np.testing.assert_allclose(ring.mean(0), 0, atol=1e-12)  # where another class may live
    found = medoid(ring)
    assert found.tolist() in ring.tolist()
    sums = [sum(np.hypot(*(a - b)) for b in ring) for a in ring]
    assert sum(np.hypot(*(found - b)) for b in ring) == pytest.approx(min(sums))
    with pytest.raises(DataError):
        medoid(np.zeros((0, 2)))


def test_a_morph_goes_through_classes_and_rows():
    trained, data = trained_bits(), data_of(BITS)
    assert "through row 4, c and back" in morph(trained, data, between=["4", "c"], frames=2).says
    assert "through b, a and back" in morph(trained, data, between=["b", "a"], frames=2).says
    with pytest.raises(UsageError, match="no class and no row 'photos/4'") as caught:
        morph(trained, data, between=["photos/4"])
    assert "A row is called '0'." in caught.value.fix


def test_a_moving_point_draws_its_last_steps_after_it():
    path = points(60, 2)
    way, strength = animation.trail(path, 40)
    assert len(way) == len(strength) == animation.TRAIL
    np.testing.assert_array_equal(way[-1], path[39:41])
    np.testing.assert_array_equal(way[0], path[40 - animation.TRAIL : 42 - animation.TRAIL])
    np.testing.assert_allclose(strength, np.arange(1, animation.TRAIL + 1) / animation.TRAIL)
    assert animation.trail(path, 0)[0].shape == (0, 2, 2)
    assert len(animation.trail(path, 3)[0]) == 3


def test_percentiles_of_the_prior_are_shown_over_training():
    data, kept = data_of(BITS), [(0, trained_bits(key=3)), (5, trained_bits())]
    made = manifold_over_training(kept, data, cells=4, spacing="percentile", percentiles=(0.1, 0.9), frames=3)
    *_, last = made.frames
    grid = percentile_grid(4, 0.1, 0.9)
    images = Source(kept[-1][1], data, 0).decoded_images(grid.reshape(-1, 2)).reshape(4, 4, 5, 4)
    still = manifold(images, grid, title="step 5", dpi=animation.FRAME_DPI)
    np.testing.assert_allclose(last.astype(int), frame(still), atol=1)  # a rotation by nothing, to the last bit but one
    assert "4 by 4 percentiles of the prior" in made.says


# --- the command ---


@pytest.fixture(scope="module")
def snapshots_run(tmp_path_factory):
    from latens.cli.main import main

    folder = tmp_path_factory.mktemp("animate") / "run"
    plane = ("--set", "network.hidden=16", "--set", "posterior.latent_dim=2")
    assert main(["fit", "digits", "--steps", "30", *plane, "--snapshots", "5", "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.mark.parametrize(
    ("words", "frames"),
    [
        (("morph", "--between", "3,8,1", "--frames", "4"), 12),
        (("walk", "--frames", "8"), 8),
        (("latent", "--frames", "9"), 9),
        (("manifold", "--frames", "6", "--manifold-cells", "3"), 6),
        (("manifold", "--frames", "5", "--manifold-range", "percentile", "--percentiles", "0.1,0.9"), 5),
    ],
)
def test_every_kind_is_animated(snapshots_run, latens, tmp_path, words, frames):
    out = tmp_path / "x.gif"
    result = latens("report", snapshots_run, "--only", "animation", "--name", *words, "--out", out, "--json")
    assert result.code == 0, result.err
    assert result.json["frames"] == frames
    with Image.open(io.BytesIO(out.read_bytes())) as image:
        assert image.info["loop"] == 0
        assert image.n_frames <= frames  # equal neighbours become one
