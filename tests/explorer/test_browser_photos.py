"""Colour pictures in the explorer: on the map where there is room, a view that fits."""

from collections.abc import Iterator

import numpy as np
import pytest
from browser_fixtures import Browser
from page_fixtures import Site, settled, state

from latens.config import override
from latens.data import load
from latens.explorer.server import PageServer, decoder_of
from latens.fitting import prepare, train
from latens.recipes import get_recipe

pytest_plugins = ("browser_fixtures", "page_fixtures")


@pytest.fixture(scope="module")
def photos() -> Site:
    """Sixty pictures of 8 x 8 in colour, and a model of 30 units that has hardly learned."""
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
    settings = {"posterior.latent_dim": 30, "network.kind": "dense", "network.hidden": "16", "training.steps": 2}
    config = override(get_recipe("default").config, settings | {"training.epochs": None, "start": "none"})
    trained, _ = train(prepare(config, load(x, name="photos")))
    return Site(trained, load(x, name="photos", schema=trained.schema), serve=True)


@pytest.fixture(scope="module")
def photo_page(photos: Site) -> Iterator[PageServer]:
    with PageServer(photos.files, decoder=decoder_of(photos.trained, photos.files)) as server:
        yield server


def test_photographs_stand_on_a_map(browser: Browser, photo_page: PageServer) -> None:
    browser.open(photo_page.url)
    settled(browser)
    names = "return [latens.app.state.x, latens.app.state.y].map((axis) => latens.scatter.axisName(axis))"
    assert [name[:16] for name in browser.run(names)] == ["principal axis 1", "principal axis 2"]
    assert state(browser, "colour") == "none"
    browser.until("Number(document.querySelector('.thumbs')?.dataset.drawn) > 5")
    # No two of them overlap.
    script = """const { scatter } = latens, { places } = scatter.thumbs;
      return places.map((i) => [scatter.px(scatter.x[i]), scatter.py(scatter.y[i])]);"""
    places = np.array(browser.run(script))
    apart = np.abs(places[:, None] - places[None]).max(axis=2) + 1e9 * np.eye(len(places))
    assert apart.min() >= 44
    few = browser.run("return document.querySelectorAll('.sliders > label').length")
    more = browser.run("return document.querySelectorAll('.sliders details').length")
    assert few <= 24
    assert more >= (few == 8)


def test_a_part_of_a_name_finds_its_rows(browser: Browser, photo_page: PageServer) -> None:
    browser.open(photo_page.url)
    browser.run("latens.app.set({ tab: 'rows' })")
    script = """document.querySelector('.search input').value = args[0];
      document.querySelector('.search button').click();
      return [latens.app.state.row, document.querySelector('[aria-label=Rows] .note').textContent];"""
    assert browser.run(script, "17") == [17, ""]
    row, words = browser.run(script, "5")  # itself a name, though others hold it too
    assert (row, words) == (5, "")
    browser.run("latens.app.model.ids = Array.from(latens.app.model.ids, (i) => `IMG_${i}.jpg`)")
    browser.run("latens.app.model.manifest.ids.kind = 'text'")
    assert browser.run(script, "img_42") == [42, ""]
    row, words = browser.run(script, "_1")
    assert row == 1
    assert words.startswith("11 rows match: IMG_1.jpg, IMG_10.jpg, IMG_11.jpg")
    assert words.endswith(", .... The first is shown.")
    assert browser.run(script, "2319") == [1, "None of the rows shown has this id."]
    pieces = "const { wrapped } = await import('/app/panels/parts.js');"
    pieces += "return wrapped(args[0]).map((one) => one.tagName ?? one);"
    assert browser.run(pieces, "a/IMG_1239.jpg") == ["a/", "WBR", "IMG_", "WBR", "1239", "WBR", ".jpg"]
    assert browser.run(pieces, "3 at 0.25") == ["3 at 0.25"]


def test_an_outlier_does_not_squeeze_the_others(browser: Browser, photo_page: PageServer) -> None:
    browser.open(photo_page.url)
    settled(browser)
    script = """const { scatter } = latens;
      scatter.x = Float32Array.from({ length: 60 }, (_, i) => (i === 59 ? 1000 : i));
      scatter.setView(null); scatter.draw();
      return [scatter.view[1], document.querySelector(".away").textContent];"""
    right, words = browser.run(script)
    assert 58 < right < 120
    assert words.startswith("1 of 60 rows is outside this view. Show all")
    browser.run("document.querySelector('.away button').click()")
    settled(browser)
    assert browser.run("return latens.scatter.view[1]") > 1000
    assert browser.run("return document.querySelector('.away').textContent") == ""
