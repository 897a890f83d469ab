"""The KL of each level of a hierarchy: exact where q is the prior, adding up, and alike wherever it is told."""

import json

import numpy as np
import pytest
from checks import agrees

import latens
from latens.config import override
from latens.data import load
from latens.evidence import elbo_parts
from latens.explorer.payload import payload
from latens.latents.decomposition import level_kl_rows
from latens.model_figures.draw import draw_pictures
from latens.recipes import get_recipe
from latens.trained.measurement import measure

SETTINGS = {"training.steps": 40, "network.level_hidden": [16], "network.hidden": [16], "posterior.latent_dim": 4}


def trained(recipe="two-level", **settings):
    given = override(get_recipe(recipe).config, {**SETTINGS, **settings})
    made = latens.trained.prepare(given, load("digits"))
    return latens.trained.train(made)[0], made.data


def test_levels_add_up_to_the_kl():
    model, data = trained(**{"label.kind": "condition"})
    rows = data.subset("test")
    found = measure(model, data, rows, num_samples=200)
    levels = [found[name] for name in ("kl_level_1", "kl_level_2")]
    assert "kl_level_3" not in found
    # Row by row both are means of draws, of other ones: a difference has the mean 0.
    at = model.rows(data, rows)
    off = level_kl_rows(at, num_samples=100).sum(axis=1) - elbo_parts(at, num_samples=100)["kl"]
    agrees(off, 0.0)
    assert levels[0].protocol.endswith("level 1 of 2: 4")
    assert found["kl"].value > 0.3
    page = json.loads(payload(model, data)["data/manifest.json"])["levels"]
    assert [level["shape"] for level in page] == [[4], [16]]
    assert all(abs(level["kl"] - one.value) < 1.0 for level, one in zip(page, levels, strict=True))


@pytest.mark.more
def test_an_untrained_deep_hierarchy_is_its_prior():
    """Every level of a new one starts with q at p: all its KL are exactly 0, at every size from the point on."""
    pictures = np.random.default_rng(0).integers(0, 256, size=(60, 16, 16)).astype(np.uint8)
    given = {"training.steps": 1, "optimizer.learning_rate": 1e-12, "network.hidden": [4, 4], "posterior.latent_dim": 2}
    made = latens.trained.prepare(override(get_recipe("ladder-conv").config, given), load(pictures))
    model = latens.trained.train(made)[0]
    found = measure(model, made.data, made.data.subset("test"), num_samples=5)
    levels = {name: one for name, one in found.items() if name.startswith("kl_level")}
    assert [one.protocol.rpartition(": ")[2] for one in levels.values()] == ["8 x 8 x 2", "4 x 4 x 2", "1 x 1 x 2"]
    assert all(abs(one.value) < 1e-5 for one in levels.values())


def test_one_row_is_drawn_without_errors():
    model, data = trained()
    row = load(np.asarray(data.x)[data.subset("test")][:1], schema=model.schema)
    drawn = {name for name, _, _ in draw_pictures(model, row)}
    assert "samples" in drawn
