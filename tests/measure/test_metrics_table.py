"""Every number is one row; the KL of each level adds up, and codes move as far as is known."""

import json
import re

import numpy as np
import pytest
from checks import agrees, close
from paths import ROOT

import latens
from latens.config import override
from latens.data import load
from latens.errors import DataError
from latens.evidence import elbo_parts
from latens.explorer.payload import payload
from latens.figures.latent import reach_curves
from latens.latents.decomposition import level_kl_rows
from latens.model_figures.draw import draw_pictures
from latens.recipes import get_recipe
from latens.trained.measurement import measured
from latens.trained.metric_functions import NEEDS
from latens.trained.metrics import LAST_HEADLINE, MADE, METRICS, metric_of, ranked
from latens.trained.sample_sets import MOST, reach

WITHOUT_UNIT = {"density"}


@pytest.mark.parametrize("name", METRICS)
def test_every_field_of_a_metric_is_filled(name: str) -> None:
    row = METRICS[name]
    assert row.name == name
    assert row.unit or name in WITHOUT_UNIT
    assert row.words
    assert row.needs
    assert all(name not in names or set(row.needs.split(", ")) <= set(NEEDS) for names in MADE.values())
    assert row.told in ("", "always", *ranked(LAST_HEADLINE))
    assert row.words not in {one.words for one in METRICS.values() if one is not row}


def test_ranks_are_places() -> None:
    assert sorted(row.rank for row in METRICS.values() if row.rank) == list(range(1, len(ranked()) + 1))
    found = ranked(LAST_HEADLINE)
    assert found == ["log_marginal", "cross_entropy_bound", "accuracy", "log_likelihood", "two_sample_accuracy"]


def test_a_number_that_is_counted_has_its_count_in_its_words() -> None:
    assert (metric_of("kl_level_12").words, metric_of("kl_level_12").label) == ("kl level 12", "  level 12")
    with pytest.raises(KeyError):
        metric_of("no_such_number_1")


def test_the_page_names_numbers_that_exist() -> None:
    page = (ROOT / "docs" / "evaluate.md").read_text().partition("## Warnings")[0]
    lists = re.findall(r"^- ((?:`[a-z_0-9]+`(?:, )?)+):", page, re.MULTILINE)
    numbers = [name for cell in lists for name in re.findall(r"`([a-z_0-9]+)`", cell)]
    assert len(numbers) > 30
    assert [name for name in numbers if name not in METRICS and f"{name.rstrip('0123456789')}#" not in METRICS] == []


CODES = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 2.0]])
DIRECTIONS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])


def decode(z: np.ndarray) -> np.ndarray:
    return z @ np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]])


def test_a_linear_decoder_changes_where_its_length_says() -> None:
    """The picture moves by 3, 4, 3 and the root of 1.8^2 + 3.2^2 for each unit of z, up to half the median distance."""
    distances = [3.0, np.hypot(1.5, 8.0), np.hypot(1.5, 8.0)]
    found = reach(decode, CODES, None, DIRECTIONS)
    assert found.label is None
    speed = np.array([3.0, 4.0, 3.0, np.hypot(1.8, 3.2)])
    close(found.picture, np.broadcast_to(0.5 * np.median(distances) / speed, (3, 4)), rtol=1e-9)


def test_a_class_changes_at_the_bisector_or_never() -> None:
    """Two classes with means at (0, 0, 0) and (3, 0, 0): the border is at 1.5 of the first pixel, z of a half."""
    codes = np.array([[0.1, 0.0], [0.8, 1.0], [-0.1, 0.0], [1.2, -1.0]])
    found = reach(decode, codes, np.array([0, 1, 0, 1]), DIRECTIONS)
    expected = np.array([[0.4, np.inf, np.inf, 0.4 / 0.6], [np.inf, np.inf, 0.3, np.inf]])
    close(found.label[:2], expected, rtol=1e-9)  # pyright: ignore[reportOptionalSubscript]
    fewer = reach(decode, codes, np.array([0, 1, -1, -1]), DIRECTIONS, rows=2)
    # Rows without a label are of no class, and the border then lies between (0.1, 0) and (0.8, 1).
    middle = 0.5 * np.array([0.7, 1.0]) * [3, 4] @ (np.array([0.7, 1.0]) * [3, 4]) / (np.array([2.1, 4.0]) @ [3.0, 0.0])
    close(fewer.label[0, 0], middle, rtol=1e-9)  # pyright: ignore[reportOptionalSubscript]


def test_a_picture_that_never_changes_is_never_another() -> None:
    still = reach(lambda z: np.zeros((len(z), 3)), CODES, np.array([0, 1, 1]), DIRECTIONS)
    assert np.isinf(still.picture).all()
    table = reach_curves({"picture": still.picture, "class": [1.0, 3.0, np.inf, 3.0]}, MOST)[1]
    assert np.all(table["same_picture"] == 1.0)
    steps = {0.0: 1.0, 0.95: 1.0, 1.0: 0.75, 2.95: 0.75, 3.0: 0.25, 6.0: 0.25}
    for distance, share in steps.items():
        assert table["same_class"][np.isclose(table["distance"], distance)] == share, distance
    with pytest.raises(DataError, match="there is no distance"):
        reach_curves({"picture": [np.nan]}, MOST)


SETTINGS = {"training.steps": 40, "network.level_hidden": [16], "network.hidden": [16], "posterior.latent_dim": 4}


def trained(recipe="two-level", **settings):
    given = override(get_recipe(recipe).config, {**SETTINGS, **settings})
    made = latens.fitting.prepare(given, load("digits"))
    return latens.fitting.train(made)[0], made.data


def test_levels_add_up_to_the_kl():
    model, data = trained(**{"label.kind": "condition"})
    rows = data.subset("test")
    found = measured(model, data, rows, num_samples=200).metrics
    levels = [found[name] for name in ("kl_level_1", "kl_level_2")]
    assert "kl_level_3" not in found
    # Row by row both are means of draws, of other ones: a difference has the mean 0.
    at = model.rows(data, rows)
    off = level_kl_rows(at, num_samples=100).sum(axis=1) - elbo_parts(at, num_samples=100)["kl"]
    agrees(off, 0.0)
    assert levels[0].protocol.endswith("level 1 of 2: 4")
    assert found["kl"].value > 0.3
    page = json.loads(payload(model, data, serve=True)["data/manifest.json"])["levels"]
    assert [level["shape"] for level in page] == [[4], [16]]
    assert all(abs(level["kl"] - one.value) < 1.0 for level, one in zip(page, levels, strict=True))


@pytest.mark.more
def test_an_untrained_deep_hierarchy_is_its_prior():
    """Every level of a new one starts with q at p: all its KL are exactly 0, at every size from the point on."""
    pictures = np.random.default_rng(0).integers(0, 256, size=(60, 16, 16)).astype(np.uint8)
    given = {"training.steps": 1, "optimizer.learning_rate": 1e-12, "network.hidden": [4, 4], "posterior.latent_dim": 2}
    made = latens.fitting.prepare(override(get_recipe("ladder-conv").config, given), load(pictures))
    model = latens.fitting.train(made)[0]
    found = measured(model, made.data, made.data.subset("test"), num_samples=5).metrics
    levels = {name: one for name, one in found.items() if name.startswith("kl_level")}
    assert [one.protocol.rpartition(": ")[2] for one in levels.values()] == ["8 x 8 x 2", "4 x 4 x 2", "1 x 1 x 2"]
    assert all(abs(one.value) < 1e-5 for one in levels.values())


def test_one_row_is_drawn_without_errors():
    model, data = trained()
    row = load(np.asarray(data.x)[data.subset("test")][:1], schema=model.schema)
    drawn = {name for name, _, _ in draw_pictures(model, row)}
    assert "samples" in drawn
