"""What a user does with the explorer's page in a real browser, with latens' own numbers beside it."""

import json

import numpy as np
from browser_fixtures import Browser
from page_fixtures import ROWS, Site, pixel, plane, settled, shown, state

from latens.explorer.server import PageServer, decoder_of

pytest_plugins = ("browser_fixtures", "page_fixtures")


# --- the points ---


def test_a_point_under_the_pointer_has_a_card(browser: Browser, page: PageServer, digits: Site) -> None:
    browser.open(page.url)
    first, second = plane(browser)
    plan = digits.means[:, [first, second]]
    apart = np.linalg.norm(plan[:, None] - plan[None], axis=-1) + 10 * np.eye(ROWS)
    row = int(apart.min(1).argmax())  # the loneliest one: no other is nearer to the pointer
    browser.mouse("mouseMoved", *pixel(browser, *plan[row]))
    browser.until("!latens.scatter.card.hidden")
    text = browser.run("return latens.scatter.card.innerText")
    assert str(digits.data.names[row]) in text
    assert (digits.data.schema.classes or ())[digits.data.label[row]] in text  # type: ignore[index]
    script = """const canvas = latens.scatter.card.querySelector("canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return Array.from(data).filter((_, i) => i % 4 === 0);"""
    expected = np.round(digits.data.x[row].reshape(-1) * (255 / 16))
    np.testing.assert_allclose(browser.run(script), expected, atol=1)
    browser.mouse("mouseMoved", 2, 2)
    browser.until("latens.scatter.card.hidden")


def test_dragging_decodes_what_latens_decodes(browser: Browser, page: PageServer, digits: Site) -> None:
    browser.open(page.url)
    first, second = plane(browser)
    mean = np.array(state(browser, "z"), np.float32)
    browser.drag([pixel(browser, x, y) for x, y in ((0.0, 0.0), (0.4, 0.5), (0.9, 0.7), (1.3, -0.4))])
    settled(browser)
    z = np.array(state(browser, "z"), np.float32)
    np.testing.assert_allclose(z[[first, second]], [1.3, -0.4], atol=0.02)  # a pixel
    rest = np.delete(np.arange(16), [first, second])
    np.testing.assert_array_equal(z[rest], mean[rest])
    decoded = browser.run("return Array.from(await latens.app.decode(latens.app.state.z))")
    np.testing.assert_allclose(decoded, digits.decoded(z)[0], atol=1e-4)
    assert np.ptp(decoded) > 5  # of 16 shades
    np.testing.assert_allclose(shown(browser), np.clip(decoded, 0, 16), atol=16 / 255)
    near = int(np.linalg.norm((digits.means - z) * weights(digits), axis=1).argmin())
    assert f"nearest row {digits.data.names[near]}" in browser.run(
        "return document.querySelector('.decoded').innerText"
    )


def weights(site: Site) -> np.ndarray:
    """One over the noise of the active units: how the page measures what is near."""
    far = json.loads(site.files["data/manifest.json"])["far"]
    found = np.zeros(site.means.shape[1])
    found[far["units"]] = far["weight"]
    return found


def test_far_from_the_data_is_said(browser: Browser, page: PageServer, digits: Site) -> None:
    browser.open(page.url)
    browser.run("latens.app.choose(7)")
    browser.until("document.querySelector('.meter').innerText.includes('near the centre of the data')")
    browser.run("latens.app.set({ z: Float32Array.from({ length: 16 }, (_, i) => i % 2 ? 9 : -9) })")
    browser.until("document.querySelector('.meter').innerText.includes('far from the data')")
    far = json.loads(digits.files["data/manifest.json"])["far"]
    z = np.where(np.arange(16) % 2, 9.0, -9.0)
    times = np.linalg.norm((digits.means - z) * weights(digits), axis=1).min() / far["far"]
    assert f"{float(f'{times:.2g}'):g} times" in browser.run("return document.querySelector('.meter').innerText")


def test_the_server_decodes_where_the_page_cannot(browser: Browser, digits: Site) -> None:
    manifest = json.loads(digits.files["data/manifest.json"])
    manifest["decoder"] = {"kind": "server", "why": "It is another network.", "classes": 0}
    files = digits.files | {"data/manifest.json": json.dumps(manifest).encode()}
    with PageServer(files, decoder=decoder_of(digits.trained, files)) as page:
        browser.open(page.url)
        z = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
        decoded = browser.run(
            "return Array.from(await latens.app.decode(Float32Array.from(args[0]), 3))", z.ravel().tolist()
        )
        np.testing.assert_allclose(np.reshape(decoded, (3, -1)), digits.decoded(z), atol=1e-4)
        browser.drag([pixel(browser, 0.0, 0.0), pixel(browser, 0.5, 0.5)])
        settled(browser)
        np.testing.assert_allclose(
            shown(browser), np.clip(digits.decoded(state(browser, "z"))[0], 0, 16), atol=16 / 255
        )
        # So it does under a pointer that hovers, and the cross stays.
        z, axes = np.array(state(browser, "z")), plane(browser)
        browser.mouse("mouseMoved", *pixel(browser, -0.8, 0.6))
        browser.until("document.querySelector('.decoded').innerText.includes('at the pointer')")
        settled(browser)
        there = z.copy()
        there[list(axes)] = [-0.8, 0.6]
        browser.until("!latens.app.waiting")
        np.testing.assert_allclose(shown(browser), np.clip(digits.decoded(there)[0], 0, 16), atol=0.5)
        np.testing.assert_array_equal(state(browser, "z"), z)
        assert browser.errors() == []


# --- units, and training ---


def test_sliders_move_one_unit_each_with_dead_units_apart(browser: Browser, page: PageServer, digits: Site) -> None:
    browser.open(page.url)
    units = json.loads(digits.files["data/manifest.json"])["units"]
    order = sorted(units, key=lambda u: -u["kl"])
    labels = browser.run("return Array.from(document.querySelectorAll('.sliders input'), (input) => input.ariaLabel)")
    alive = [f"unit {u['index']}" for u in order if u["active"]]
    assert labels == [*alive, *(f"unit {u['index']}" for u in order if not u["active"])]
    dead = browser.run("return Array.from(document.querySelectorAll('.unit.dead input'), (input) => input.ariaLabel)")
    assert dead == labels[len(alive) :]
    unit, before = int(labels[1].split()[1]), np.array(state(browser, "z"))
    browser.run("document.querySelectorAll('.sliders input')[1].focus()")
    for _ in range(5):
        browser.key("ArrowRight")
    settled(browser)
    moved = np.array(state(browser, "z")) - before
    assert np.flatnonzero(moved).tolist() == [unit]
    low, high = units[unit]["low"], units[unit]["high"]
    np.testing.assert_allclose(moved[unit], 5 * 1.5 * (high - low) / 200, rtol=0.15)  # five of two hundred steps
    np.testing.assert_allclose(shown(browser), np.clip(digits.decoded(state(browser, "z"))[0], 0, 16), atol=16 / 255)
    for name in ("prior", "log_var"):  # what the histograms of a unit are of
        drawn = browser.run("return Array.from(latens.app.model.unitValues(3, await latens.app.array(args[0])))", name)
        stored = np.frombuffer(digits.files[f"data/{name.replace('_', '-')}.bin"], "<f4").reshape(-1, 16)
        np.testing.assert_array_equal(drawn, stored[:, 3])
