"""The page in a real browser, also as one file: it opens, says nothing to others, and shows names as text."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser_fixtures import Browser
from explorer_fixtures import untrained
from page_fixtures import ROWS, Site, background, pixel, plane, settled, state

from latens.data import load
from latens.explorer import payload, static_files
from latens.explorer.page_files import single_file
from latens.explorer.server import PageServer

pytest_plugins = ("browser_fixtures", "page_fixtures")

HOSTILE = "<img src=x onerror=globalThis.hacked=1>"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Rows of a table whose first column and first label would be a script, if anything took them for markup."""
    rng = np.random.default_rng(0)
    rows = ["label," + HOSTILE + ",b,c"] + [
        f"{HOSTILE if i % 2 else 'good'},{a:.3f},{b:.3f},{a + b:.3f}"
        for i, (a, b) in enumerate(rng.normal(size=(120, 2)))
    ]
    folder = tmp_path_factory.mktemp("table")
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    trained, data = untrained("default", load(str(folder / "rows.csv"), label="label"), likelihood__family="normal")
    return Site(trained, replace(data, name=HOSTILE))


# --- the page opens ---


def test_it_opens_without_a_word_on_the_console_and_asks_nobody_else(browser: Browser, page: PageServer) -> None:
    browser.open(page.url)
    settled(browser)
    assert browser.errors() == []
    assert {address.split("/", 3)[2] for address in browser.requests()} == {f"127.0.0.1:{page.port}"}
    assert browser.run("return location.href") == f"http://127.0.0.1:{page.port}/"  # the token is gone
    assert browser.run("return document.cookie") == ""  # and no script can read the cookie
    assert browser.run("return document.querySelector('h1').textContent") == "default on digits"
    drawn = browser.run(
        """const gl = latens.scatter.points.gl; latens.scatter.draw();
           const pixels = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);
           gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
           let inked = 0; for (let i = 3; i < pixels.length; i += 4) inked += pixels[i] > 128; return inked;"""
    )
    assert 2 * ROWS < drawn < 100 * ROWS  # a disc of some pixels for each row


def test_data_that_are_missing_or_of_another_version_are_said_to_be_so(browser: Browser, digits: Site) -> None:
    newer = json.dumps({"format": 2}).encode()
    gone = {name: body for name, body in digits.files.items() if name != "data/mean.bin"}
    cut = {**digits.files, "data/mean.bin": digits.files["data/mean.bin"][:-4]}
    for files, words in (
        ({**digits.files, "data/manifest.json": newer}, "format 2"),
        (gone, "data/mean.bin"),
        (cut, "cut short"),
    ):
        with PageServer(files) as page:
            browser.open(page.url)
            assert words in browser.run("return document.querySelector('[role=alert]').textContent")


# --- names from data ---


def test_hostile_names_are_text(browser: Browser, table: Site) -> None:
    assert table.files["data/manifest.json"].count(b"onerror") > 2
    with PageServer(table.files) as page:
        browser.open(page.url)
        for tab in browser.run("return latens.panels.map((one) => one.id)"):
            browser.run("latens.app.set({ tab: args[0] })", tab)
            settled(browser)
        number = next(
            i for i, c in enumerate(json.loads(table.files["data/manifest.json"])["columns"]) if c["name"] == HOSTILE
        )
        browser.run("latens.app.set({ colour: args[0], x: args[0] })", f"c{number}")
        settled(browser)
        browser.run("latens.app.set({ colour: 'c0', x: 'u0' })")
        settled(browser)
        row = int(np.flatnonzero(table.data.label == (table.data.schema.classes or ()).index(HOSTILE))[0])
        first, second = plane(browser)
        browser.mouse("mouseMoved", *pixel(browser, *table.means[row, [first, second]]))
        browser.until("!latens.scatter.card.hidden")
        text = browser.run("return document.body.textContent")
        assert text.count(HOSTILE) >= 5  # the title, the axes, the colours, the legend, the card
        assert browser.run(
            "return [globalThis.hacked ?? null, document.querySelectorAll('img, script:not([src])').length]"
        ) == [None, 0]
        assert browser.run("return document.title") == f"default on {HOSTILE} · latens"
        assert browser.errors() == []


# --- links, keys, windows ---


def test_a_link_brings_back_what_was_seen(browser: Browser, page: PageServer, digits: Site) -> None:
    browser.open(page.url)
    wanted = {
        "x": "u3", "y": "u5", "colour": "kl", "row": 17, "a": 3, "b": 8, "tab": "paths", "path": "spherical",
        "mode": "lasso",
    }  # fmt: skip
    latent = np.linspace(-1, 1, 16).round(3).tolist()
    script = "latens.app.set({ ...args[0], view: [-2, 2, -1.5, 1.5], theme: 'dark', z: Float32Array.from(args[1]) })"
    browser.run(script, wanted, latent)
    browser.until("location.hash.includes('spherical')")
    link = browser.run("return location.href")
    assert link.startswith(f"http://127.0.0.1:{page.port}/#")
    browser.driver.get("about:blank")
    browser.open(link)  # the cookie is there already
    for name, value in wanted.items():
        assert state(browser, name) == value
    assert state(browser, "view") == [-2, 2, -1.5, 1.5]
    np.testing.assert_allclose(state(browser, "z"), np.linspace(-1, 1, 16).round(3), atol=1e-6)
    assert browser.run("return latens.scatter.view") == [-2, 2, -1.5, 1.5]
    assert browser.run("return document.querySelector('[role=tab][aria-selected=true]').textContent") == "Paths"
    assert background(browser) < 60
    browser.open(f"http://127.0.0.1:{page.port}/#x=u99&y=<script>&z=1,2&row=99999999&tab=nowhere&%zz=1&colour=c500")
    assert browser.errors() == []
    assert state(browser, "tab") == "point"
    assert len(state(browser, "z")) == 16


def test_everything_can_be_done_with_keys(browser: Browser, page: PageServer) -> None:
    browser.open(page.url)
    for _ in range(30):
        browser.key("Tab")
        if browser.run("return document.activeElement === latens.scatter.stage"):
            break
    else:
        raise AssertionError("the scatter is never focused")
    ring = browser.run("const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]")
    assert ring != ["none", "0px"]
    (first, second), before = plane(browser), np.array(state(browser, "z"))
    browser.key("ArrowRight")
    browser.key("ArrowUp")
    after = np.array(state(browser, "z"))
    assert sorted(np.flatnonzero(after != before)) == sorted((first, second))
    assert (after > before)[[first, second]].all()
    browser.key("Enter")
    browser.until("latens.app.state.row !== null")
    row = state(browser, "row")
    browser.key("a", code="KeyA")
    assert state(browser, "a") == row
    browser.key("l", code="KeyL")
    assert state(browser, "mode") == "lasso"
    wide = browser.run("return latens.scatter.view[1] - latens.scatter.view[0]")
    browser.key("+", code="Equal")
    assert browser.run("return latens.scatter.view[1] - latens.scatter.view[0]") == pytest.approx(0.8 * wide)
    browser.run("latens.app.pick({ column: 0, level: 1 })")
    browser.until("latens.app.state.selection?.length > 5")
    browser.run("document.querySelector('.stage').focus()")
    browser.key("Escape")
    browser.until("latens.app.state.selection === null")
    browser.run("latens.app.set({ tab: 'point' })")
    settled(browser)
    browser.run("document.querySelector('[role=tab][aria-selected=true]').focus()")
    for tab in ("paths", "rows"):
        browser.key("ArrowRight")
        assert state(browser, "tab") == tab
    visible = "return Array.from(document.querySelectorAll('[role=tabpanel]')).filter((one) => one.offsetParent).length"
    assert browser.run(visible) == 1
    assert browser.errors() == []


@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_into_the_window(browser: Browser, page: PageServer, width: int) -> None:
    browser.size(width, 900)
    try:
        for theme in ("light", "dark"):
            browser.theme(theme)
            browser.open(page.url)
            assert (background(browser) > 128) == (theme == "light")
            for tab in browser.run("return latens.panels.map((one) => one.id)"):
                browser.run("latens.app.set({ tab: args[0] })", tab)
                settled(browser)
                assert browser.run("return document.documentElement.scrollWidth") <= width, (theme, tab)
    finally:
        browser.size(1280, 900)
        browser.theme("light")


rng = np.random.default_rng(5)


def test_a_page_in_one_file_decodes_as_near_as_it_says(browser: Browser, digits: Site, tmp_path: Path) -> None:
    """The decoder of digits within 1e-4 of the range, and rows and means as they are."""
    files = static_files() | payload(digits.trained, digits.data)
    (tmp_path / "page.html").write_bytes(single_file(files))
    browser.open((tmp_path / "page.html").as_uri(), seconds=60)
    z = rng.normal(size=(5, 16)).astype(np.float32)
    script = "return Array.from(await latens.app.decode(Float32Array.from(args[0]), args[0].length / 16))"
    high = float(digits.data.x.max())
    found = np.array(browser.run(script, z.ravel().tolist())).reshape(5, -1)
    np.testing.assert_allclose(found, digits.decoded(z), atol=1e-4 * high)
    row = browser.run("return Array.from(await latens.app.model.row(123))")
    np.testing.assert_array_equal(row, digits.data.x[123].reshape(-1))
    mean = np.array(browser.run("return Array.from(latens.app.model.latent(123))"))
    np.testing.assert_allclose(mean, digits.means[123], atol=1e-4)
    assert browser.errors() == []
