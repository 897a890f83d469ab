"""What the explorer's page says and does at first sight: loading, selections, earlier steps, legends, fingers."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from browser_fixtures import Browser
from page_fixtures import ROWS, Site, pixel, plane, settled, shown, state

from latens.cli.main import main
from latens.data import load
from latens.explorer.server import PageServer

pytest_plugins = ("browser_fixtures", "page_fixtures")


def selection(browser: Browser) -> list[int]:
    settled(browser)
    return browser.run("return Array.from(latens.app.state.selection ?? [])")


def click_level(browser: Browser, level: int, *, shift: bool = False, alt: bool = False) -> None:
    browser.run(
        """const event = new MouseEvent("click", { bubbles: true, shiftKey: args[1], altKey: args[2] });
           document.querySelectorAll(".legend button.level")[args[0]].dispatchEvent(event);""",
        level,
        shift,
        alt,
    )
    settled(browser)


def test_what_is_selected_is_said_and_shift_adds_and_alt_removes(
    browser: Browser, page: PageServer, digits: Site
) -> None:
    label = np.asarray(digits.data.label)
    browser.open(page.url)
    click_level(browser, 3)
    assert selection(browser) == np.flatnonzero(label == 3).tolist()
    assert state(browser, "tab") == "selection"
    words = "return document.querySelector('.selected').innerText"
    assert f"{np.sum(label == 3)} rows selected\nlabel = 3\nClear" in browser.run(words)
    click_level(browser, 5)  # a class joins by a click, and leaves by another
    assert selection(browser) == np.flatnonzero(np.isin(label, (3, 5))).tolist()
    pressed = "return [...document.querySelectorAll('.legend [aria-pressed=true]')].map((one) => one.textContent)"
    assert browser.run(pressed) == ["3", "5"]
    click_level(browser, 3)
    assert selection(browser) == np.flatnonzero(label == 5).tolist()
    # A lasso around everything instead; Alt takes a class out of it, and Shift puts one back.
    browser.run("latens.app.set({ mode: 'lasso' })")
    box = browser.run(
        "const b = latens.scatter.stage.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]"
    )
    left, top, right, bottom = box[0] + 3, box[1] + 3, box[2] - 3, box[3] - 3
    browser.drag([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    assert selection(browser) == list(range(ROWS))
    assert f"{ROWS} rows selected\nthe lasso" in browser.run(words)
    click_level(browser, 5, alt=True)
    assert selection(browser) == np.flatnonzero(label != 5).tolist()
    click_level(browser, 5, shift=True)
    assert selection(browser) == list(range(ROWS))
    click_level(browser, 0, alt=True)
    # The lasso stays what it was drawn on, whatever the axes are now, and so it is in a link.
    browser.run("latens.app.set({ x: 'u9', y: 'u12' })")
    assert selection(browser) == np.flatnonzero(label != 0).tolist()
    browser.until("location.hash.includes('x=u9') && location.hash.includes('picks')")
    link = browser.run("return location.href")
    browser.driver.get("about:blank")
    browser.open(link)
    assert selection(browser) == np.flatnonzero(label != 0).tolist()
    browser.run("document.querySelector('.selected button').click()")
    settled(browser)
    assert state(browser, "selection") is None
    assert browser.run("return document.querySelector('.selected').innerText") == ""
    # Of an address of this machine it is said who can open it.
    browser.run("[...document.querySelectorAll('header button')].find((b) => /Copy link/.test(b.textContent)).click()")
    browser.until("document.querySelector('.linknote')?.textContent.includes('--export page.html')")
    assert browser.errors() == []


def test_fingers_pinch_swipe_and_decode(browser: Browser, page: PageServer, digits: Site) -> None:
    def touch(kind: str, *points: tuple[float, float]) -> None:
        where = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        browser.command("Input.dispatchTouchEvent", type=kind, touchPoints=where)

    browser.size(400, 700)
    browser.command("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    try:
        browser.open(page.url)
        first, second = plane(browser)
        before = state(browser, "z")
        box = browser.run(
            "const b = latens.scatter.stage.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
        )
        x, y = box[0] + 0.3 * box[2], box[1] + 0.5 * box[3]
        cross = browser.run("const s = latens.scatter, [x, y] = s.pointer(); return [s.px(x), s.py(y)]")
        if abs(box[0] + cross[0] - x) < 40:
            x = box[0] + 0.7 * box[2]
        # A swipe down the page scrolls it and decodes nothing.
        browser.run("addEventListener('scroll', () => { globalThis.scrolled = performance.now(); })")
        touch("touchStart", (x, y))
        for step in range(20, 180, 20):
            touch("touchMove", (x, y - step))
        touch("touchEnd")
        browser.until("scrollY > 100 && performance.now() - globalThis.scrolled > 400")  # it is at rest again
        assert state(browser, "z") == before
        browser.run("scrollTo(0, 0)")
        # Two fingers that part zoom about their middle.
        view = browser.run("return latens.scatter.view")
        cx, cy = box[0] + box[2] / 2, box[1] + box[3] / 2
        touch("touchStart", (cx - 20, cy), (cx + 20, cy))
        for away in (30, 40, 60):
            touch("touchMove", (cx - away, cy), (cx + away, cy))
        touch("touchEnd")
        settled(browser)
        near = browser.run("return latens.scatter.view")
        assert near[1] - near[0] == pytest.approx((view[1] - view[0]) / 3, rel=0.02)
        assert near[3] - near[2] == pytest.approx((view[3] - view[2]) / 3, rel=0.02)
        assert sum(near[:2]) == pytest.approx(sum(view[:2]), abs=0.02 * (view[1] - view[0]))
        assert state(browser, "z") == before
        # A finger that goes across decodes, and so does one that takes hold of the cross.
        browser.run("latens.app.set({ view: null })")
        settled(browser)
        touch("touchStart", (x, y))
        for step in (10, 20, 30, 40):
            touch("touchMove", (x + step, y + step / 4))
        touch("touchEnd")
        z = np.array(state(browser, "z"))
        assert sorted(np.flatnonzero(z != np.array(before))) == sorted((first, second))
        assert pixel(browser, z[first], z[second]) == pytest.approx((x + 40, y + 10), abs=2)
        assert browser.run("return scrollY") == 0
        place = browser.run(
            "const b = document.querySelector('.decoded canvas').getBoundingClientRect(); return [b.top, b.bottom]"
        )
        assert 0 <= place[0] < place[1] <= box[1]  # above the points, so that no finger hides it
        touch("touchStart", (x + 40, y + 10))
        for step in (10, 20, 30, 40):
            touch("touchMove", (x + 40, y + 10 + step))
        touch("touchEnd")
        z = np.array(state(browser, "z"))
        assert pixel(browser, z[first], z[second]) == pytest.approx((x + 40, y + 50), abs=2)
        assert browser.errors() == []
    finally:
        browser.command("Emulation.setTouchEmulationEnabled", enabled=False)
        browser.size(1280, 900)


def test_one_file_opens_from_the_disk_and_decodes(browser: Browser, digits: Site, tmp_path: Path) -> None:
    folder = tmp_path / "a folder's #1"
    file = folder / "page.html"
    command = ["explore", "pretrained:digits-16d", "--export", str(file), "--rows", "200", "--quiet"]
    assert main(command) == 0
    browser.open(file.as_uri())
    assert browser.errors() == []
    assert browser.requests() == [file.as_uri()]  # nothing beside it
    assert "200 rows" in browser.run("return document.querySelector('header').textContent")
    z = np.linspace(-1, 1, 16)
    decoded = browser.run("return Array.from(await latens.app.decode(Float32Array.from(args[0])))", z.tolist())
    # A page in one file rounds weights to a 32,767th: far below the 255 shades of a screen.
    np.testing.assert_allclose(decoded, digits.decoded(z)[0], atol=16 / 255 / 64)
    row = browser.run("return Array.from(await latens.app.model.row(7))")
    np.testing.assert_array_equal(row, load("digits").x[np.linspace(0, 1796, 200).round().astype(int)[7]].ravel())
    click_level(browser, 3)
    browser.until("location.hash.includes('picks')")
    link = browser.run("return location.href")
    browser.driver.get("about:blank")
    browser.open(link)
    assert browser.run("return latens.app.state.selection.length") > 5
    assert main(command) != 0  # it is there already
    assert main([*command, "--force"]) == 0


def test_the_first_sight_is_a_row_to_drag_and_hover_decodes(browser: Browser, page: PageServer, digits: Site) -> None:
    start = json.loads(digits.files["data/manifest.json"])["start"]
    browser.open(page.url)
    assert [state(browser, "x"), state(browser, "y"), state(browser, "row")] == ["p0", "p1", start]
    np.testing.assert_allclose(state(browser, "z"), digits.means[start], atol=1e-6)
    # The axes are the two directions in which the rows differ most, in posterior standard deviations.
    centred = (digits.means - digits.means.mean(0)) / digits.noise
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    for axis, name in enumerate("xy"):
        drawn = np.array(browser.run(f"return Array.from(latens.scatter.{name})"))
        expected = centred @ directions[axis]
        np.testing.assert_allclose(drawn * np.sign(drawn @ expected), expected, atol=1e-3)
    cross = browser.run(
        """const texts = [...document.querySelectorAll(".over text")];
           const words = texts.filter((one) => /drag to decode/.test(one.textContent));
           return [words.length, ...latens.scatter.pointer()];"""
    )
    assert cross[0] == 1
    np.testing.assert_allclose(
        cross[1:], browser.run("return [latens.scatter.x, latens.scatter.y].map((v) => v[args[0]])", start), atol=1e-4
    )
    # What the cross decodes to is in sight beside every panel, also once the panel has been scrolled.
    for tab in browser.run("return latens.panels.map((one) => one.id)"):
        browser.run("latens.app.set({ tab: args[0] })", tab)
        settled(browser)
        browser.run("scrollTo(0, document.documentElement.scrollHeight)")
        place = browser.run(
            "const b = document.querySelector('.decoded canvas').getBoundingClientRect(); return [b.top, b.bottom]"
        )
        assert 0 <= place[0] < place[1] <= 900, tab
        browser.run("scrollTo(0, 0)")
    decoded = digits.decoded(digits.means[start])[0]
    np.testing.assert_allclose(shown(browser), np.clip(decoded, 0, 16), atol=16 / 255)
    # A pointer that hovers decodes where it is, and the cross stays.
    first, second = plane(browser)
    z = np.array(state(browser, "z"))
    browser.mouse("mouseMoved", *pixel(browser, -0.8, 0.6))
    browser.until("document.querySelector('.decoded').innerText.includes('at the pointer')")
    settled(browser)
    there = z.copy()
    there[[first, second]] = [-0.8, 0.6]
    np.testing.assert_allclose(shown(browser), np.clip(digits.decoded(there)[0], 0, 16), atol=0.5)
    np.testing.assert_array_equal(state(browser, "z"), z)
    browser.mouse("mouseMoved", 2, 2)
    browser.until("!document.querySelector('.decoded').innerText.includes('at the pointer')")
    np.testing.assert_allclose(shown(browser), np.clip(decoded, 0, 16), atol=16 / 255)
    # The first drag is what the hint was for.
    browser.drag([pixel(browser, 0.0, 0.0), pixel(browser, 0.5, 0.5)])
    settled(browser)
    assert "drag to decode" not in browser.run("return document.querySelector('.over').textContent")
    assert browser.errors() == []


def test_contours_names_scales_undo_and_play(browser: Browser, page: PageServer, digits: Site) -> None:
    browser.open(page.url)
    first, second = plane(browser)
    plan, label = digits.means[:, [first, second]], np.asarray(digits.data.label)
    browser.run("latens.app.set({ contours: true, names: true, equal: true, size: 2 })")
    settled(browser)
    assert browser.run("return document.querySelectorAll('.over .contour').length") == 10
    centres = browser.run("return latens.scatter.centres")
    assert [name for name, _, _ in centres] == [str(k) for k in range(10)]
    np.testing.assert_allclose([c[1:] for c in centres], [plan[label == k].mean(0) for k in range(10)], atol=1e-5)
    # A name that would lie on another moves, or is left out.
    place = "(e) => ['x', 'y'].map((name) => Number(e.getAttribute(name)))"
    seen = browser.run(f"return [...document.querySelectorAll('.over .centre')].map({place})")
    assert len(seen) >= 5
    assert all(abs(a[0] - b[0]) >= 10 or abs(a[1] - b[1]) >= 15 for a, b in combinations(seen, 2))
    steps = browser.run(
        "const s = latens.scatter; return [(s.view[1] - s.view[0]) / s.width, (s.view[3] - s.view[2]) / s.height]"
    )
    assert steps[0] == pytest.approx(steps[1], rel=1e-9)
    assert browser.run("return latens.scatter.pointSize()") == 12.0
    browser.until("location.hash.includes('contours=1') && location.hash.includes('equal=1')")
    browser.run("latens.app.set({ colour: 'none' })")
    settled(browser)
    assert browser.run("return latens.scatter.contours.length") == 2  # of all rows: half of them, and nine in ten
    # Ctrl+Z takes back the colour, then the options all at once.
    for expected in (["c0", True], ["c0", False]):
        browser.run("dispatchEvent(new KeyboardEvent('keydown', { key: 'z', ctrlKey: true, bubbles: true }))")
        settled(browser)
        assert [state(browser, "colour"), state(browser, "contours")] == expected
    # Neighbours are shown with the cosine of their latents around the mean of all.
    browser.run("latens.app.set({ tab: 'rows', row: 5 })")
    browser.until("/ at [0-9.]+/.test(document.querySelectorAll('.side .strip .caption')[0]?.textContent)")
    units = browser.run("return latens.app.model.manifest.far.units")
    scaled = ((digits.means - digits.means.mean(0)) / digits.noise)[:, units]
    cosine = scaled @ scaled[5] / np.linalg.norm(scaled, axis=1) / np.linalg.norm(scaled[5])
    cosine[5] = -1.0
    caption = browser.run(
        "return document.querySelectorAll('.side [role=tabpanel]:not([hidden]) .strip .caption')[0].textContent"
    )
    assert caption == f"{digits.data.names[cosine.argmax()]} at {float(format(cosine.max(), '.2g')):g}"
    assert browser.errors() == []


def test_a_path_goes_through_chosen_rows_and_a_link_brings_it_back(browser: Browser, page: PageServer) -> None:
    browser.open(page.url)
    captions = "return [...document.querySelectorAll('.panel:not([hidden]) .strip')][0].innerText.trim().split(/\\s+/)"
    browser.run("latens.app.set({ tab: 'paths', a: 3, b: 8, row: 17 })")
    browser.until("document.querySelector('.stops button') && document.querySelector('.strip canvas')")
    settled(browser)
    straight = browser.run(captions)
    assert (straight[0], straight[-1], len(straight)) == ("A", "B", 9)
    press = "[...document.querySelectorAll('.stops button')].find((b) => b.textContent.includes(args[0])).click()"
    browser.run(press, "Add the selected row")
    browser.run("latens.app.set({ row: 25 })")
    settled(browser)
    browser.run(press, "Add the selected row")
    settled(browser)
    browser.until("location.hash.includes('via')")
    assert state(browser, "via") == [17, 25]
    assert [word for word in browser.run(captions) if word in "A12B"] == ["A", "1", "2", "B"]
    # Each stop lies on the path: the picture under its number is that of its own latent.
    told = browser.run(
        """const { app } = latens;
        const { path } = await import(new URL("app/geometry.js", document.baseURI));
        const leg = path(app.model.latent(3), app.model.latent(17), 3, "linear");
        const last = Array.from(leg.slice(-app.model.size)), own = Array.from(app.model.latent(17));
        return Math.max(...last.map((v, i) => Math.abs(v - own[i])));"""
    )
    assert told < 1e-6
    marks = browser.run("return [...document.querySelectorAll('.stage text')].map((one) => one.textContent)")
    assert {"A", "B", "1", "2"} <= set(marks)
    link = browser.run("return location.href")
    browser.driver.get("about:blank")
    browser.open(link)
    assert state(browser, "via") == [17, 25]
    browser.until("document.querySelector('.stops button')")
    browser.run(press, "1: ")
    settled(browser)
    assert state(browser, "via") == [25]
    browser.driver.get("about:blank")
    browser.open(f"http://127.0.0.1:{page.port}/#tab=paths&via=99999999;3")
    assert state(browser, "via") == []
    assert browser.errors() == []
