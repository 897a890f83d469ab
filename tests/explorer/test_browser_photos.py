"""Colour pictures in the explorer: on the map where there is room, similar ones by a click, a view that fits."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from browser_fixtures import Browser
from page_fixtures import Site, settled, state

from latens.config import override
from latens.data import load
from latens.explorer.payload import directions, scattered
from latens.explorer.server import PageServer
from latens.explorer.serving import decoder_of
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare, train

pytest_plugins = ("browser_fixtures", "page_fixtures")


@pytest.fixture(scope="module")
def photos() -> Site:
    """Sixty pictures of 8 x 8 in colour, and a model of 30 units that has hardly learned."""
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
    settings = {"posterior.latent_dim": 30, "network.kind": "dense", "network.hidden": "16", "training.steps": 2}
    config = override(get_recipe("default").config, settings | {"training.epochs": None, "start": "none"})
    trained, _ = train(prepare(config, load(x, name="photos")))
    with pytest.MonkeyPatch.context() as patch:  # its two widest directions hold a half of the variance
        patch.setattr(sys.modules["latens.explorer.payload"], "FLAT", 2.0)
        return Site(trained, load(x, name="photos", schema=trained.schema), serve=True)


@pytest.fixture(scope="module")
def photo_page(photos: Site) -> Iterator[PageServer]:
    with PageServer(photos.files, decoder=decoder_of(photos.trained, photos.files)) as server:
        yield server


def test_photographs_stand_on_a_map_of_neighbours(browser: Browser, photo_page: PageServer) -> None:
    browser.open(photo_page.url)
    settled(browser)
    names = "return [latens.app.state.x, latens.app.state.y].map((axis) => latens.scatter.axisName(axis))"
    assert browser.run(names) == ["t-SNE 1", "t-SNE 2"]
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


def test_a_click_shows_the_most_similar_ones(browser: Browser, photo_page: PageServer, photos: Site) -> None:
    browser.open(photo_page.url)
    browser.run("latens.app.choose(7)")
    settled(browser)
    browser.until("document.querySelector('.similar .caption')?.textContent.startsWith('this: 7')")
    found = browser.run("return [...document.querySelectorAll('.similar .caption')].map((one) => one.textContent)")
    unit = photos.means / np.linalg.norm(photos.means, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit[7]), kind="stable")
    assert found == ["this: 7", *(str(i) for i in order[1:11])]
    browser.run("document.querySelectorAll('.similar button')[3].click()")
    settled(browser)
    assert state(browser, "row") == order[3]
    assert state(browser, "tab") == "point"  # no other tab opened


def test_an_outlier_does_not_squeeze_the_others(browser: Browser, photo_page: PageServer) -> None:
    browser.open(photo_page.url)
    settled(browser)
    script = """const { scatter } = latens;
      scatter.x = Float32Array.from({ length: 60 }, (_, i) => (i === 59 ? 1000 : i));
      scatter.setView(null); scatter.draw();
      return [scatter.view[1], document.querySelector(".away").textContent];"""
    right, words = browser.run(script)
    assert 58 < right < 120
    assert words.startswith("1 of 60 rows lies outside of this view. Show all")
    browser.run("document.querySelector('.away button').click()")
    settled(browser)
    assert browser.run("return latens.scatter.view[1]") > 1000
    assert browser.run("return document.querySelector('.away').textContent") == ""


def test_which_pictures_have_such_a_map() -> None:
    rng = np.random.default_rng(0)
    wide, image = rng.normal(size=(80, 30)), {"image": [8, 8, 3]}
    assert scattered(wide, image)
    assert not scattered(wide[:49], image)
    assert not scattered(wide, {"image": [8, 8, 1]})
    assert not scattered(wide, {})
    flat = wide * np.where(np.arange(30) < 2, 9.0, 1.0)  # two of 30 units have 162 of 190 parts of the variance
    assert not scattered(flat, image)
    np.testing.assert_allclose(np.linalg.norm(directions(wide), axis=1), 1.0)
    assert not directions(np.zeros((2, 3))).any()
