"""The explorer's table and histograms: they narrow one selection, and each other."""

import json
from pathlib import Path

import numpy as np
from browser_fixtures import Browser
from page_fixtures import ROWS, Site, arrived, settled, state

from latens.explorer.server import PageServer

pytest_plugins = ("browser_fixtures", "page_fixtures")


def bars(browser: Browser, key: str) -> np.ndarray:
    """What the histogram of a column draws: heights of the bars of all rows, and of those left."""
    script = """const rects = [...document.querySelectorAll(`[data-key="${args[0]}"] svg rect`)].slice(0, -1);
      return rects.map((one) => Number(one.getAttribute("height")));"""
    return np.array(browser.run(script, key)).reshape(-1, 2)


def chosen(browser: Browser) -> list[int]:
    settled(browser)
    return browser.run("return Array.from(latens.app.state.selection ?? [])")


def changing(browser: Browser, script: str, *arguments: object) -> list[int]:
    """Do something that changes the selection; the rows that are selected then."""
    browser.run("globalThis.before = latens.app.passing; " + script, *arguments)
    browser.until("latens.app.passing !== globalThis.before")
    return chosen(browser)


def set_input(browser: Browser, name: str, value: str) -> list[int]:
    script = """const one = document.querySelector(`[aria-label="${args[0]}"]`);
      one.value = args[1]; one.dispatchEvent(new Event("input")); one.dispatchEvent(new Event("change"));"""
    return changing(browser, script, name, value)


def test_histograms_search_and_lasso_narrow_one_selection(
    browser: Browser, page: PageServer, digits: Site, tmp_path: Path
) -> None:
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    label = np.asarray(digits.data.label)
    elbo = np.frombuffer(digits.files["data/elbo.bin"], "<f4")
    kl = np.frombuffer(digits.files["data/kl.bin"], "<f4")
    browser.open(page.url)
    browser.run("latens.app.set({ tab: 'table' })")
    browser.until("document.querySelectorAll('.rows tbody tr').length === 100")
    everything = bars(browser, "kl")
    np.testing.assert_array_equal(everything[:, 0], everything[:, 1])
    counts, edges = np.histogram(kl, 30)
    np.testing.assert_allclose(everything[:, 0] / everything[:, 0].max(), counts / counts.max(), atol=1e-3)

    # A range of the ELBO, drawn in its histogram.
    box = browser.run(
        """const b = document.querySelector('[data-key="elbo"] svg').getBoundingClientRect();
           return [b.left, b.top, b.width, b.height];"""
    )
    browser.drag([(box[0] + share * box[2], box[1] + 10) for share in (0.5, 0.6, 0.75)])
    settled(browser)
    (only,) = state(browser, "filters")
    low, high = elbo.min() + np.array([0.5, 0.75]) * np.ptp(elbo)
    np.testing.assert_allclose([only["low"], only["high"]], [low, high], atol=np.ptp(elbo) * 0.02)
    inside = (elbo >= only["low"]) & (elbo <= only["high"])
    assert chosen(browser) == np.flatnonzero(inside).tolist()
    assert 20 < inside.sum() < ROWS - 20
    # Other histograms show the rows that are left, its own still all of them.
    left, _ = np.histogram(kl[inside], edges)
    np.testing.assert_allclose(bars(browser, "kl")[:, 1] / everything[:, 0].max(), left / counts.max(), atol=1e-3)
    own = bars(browser, "elbo")
    np.testing.assert_array_equal(own[:, 0], own[:, 1])

    # Two classes as well, by a click and in the search; what is left is in the table, and can be sorted and saved.
    bar = browser.run(
        """const b = document.querySelector('[data-key="c0"] svg').getBoundingClientRect();
           return [b.left + 3.5 * b.width / 10, b.bottom - 4];"""
    )
    browser.drag([tuple(bar)])
    both = inside & (label == 3)
    assert chosen(browser) == np.flatnonzero(both).tolist()
    assert f"{both.sum()} rows selected\n2 filters" in browser.run(
        "return document.querySelector('.selected').innerText"
    )
    browser.run("[...document.querySelectorAll('.rows th button')].find((b) => /ELBO/.test(b.textContent)).click()")
    settled(browser)
    listed = browser.run("return [...document.querySelectorAll('.rows tbody th button')].map((one) => one.textContent)")
    order = np.flatnonzero(both)[np.argsort(elbo[both], kind="stable")]
    assert listed == [str(digits.data.names[i]) for i in order]
    browser.run("[...document.querySelectorAll('.rows tbody th button')][0].click()")
    settled(browser)
    assert state(browser, "row") == order[0]
    browser.run(
        "[...document.querySelectorAll('[role=tabpanel] .actions button')].find((b) => b.textContent === 'CSV').click()"
    )
    lines = arrived(tmp_path, "rows.csv").read_text().splitlines()
    assert lines[0].startswith("row_id,label,split")
    assert {line.split(",")[0] for line in lines[1:]} == {str(digits.data.names[i]) for i in order}
    browser.until("location.hash.includes('filters')")
    link = browser.run("return location.href")

    seventeen = [i for i, name in enumerate(digits.data.names) if "17" in str(name)]
    assert changing(browser, "latens.app.clear()") == []
    assert set_input(browser, "search rows", "17") == seventeen
    browser.run("await new Promise((done) => setTimeout(done, 800))")  # what is typed at once is undone at once
    assert set_input(browser, "search rows", "") == []
    assert set_input(browser, "ELBO (nats) from", "-80") == np.flatnonzero(elbo >= -80).tolist()
    # Undo takes back one change after the other.
    assert changing(browser, "latens.app.undo()") == []
    assert changing(browser, "latens.app.undo()") == seventeen
    # Redo gives them back, and a new change forgets what could be given back.
    assert changing(browser, "latens.app.redo()") == []
    late = np.flatnonzero(elbo >= -80).tolist()
    assert changing(browser, "latens.app.redo()") == late
    assert browser.run("return latens.app.future.length") == 0
    assert changing(browser, "latens.app.undo()") == []
    assert browser.run("return latens.app.future.length") == 1
    assert set_input(browser, "search rows", "17") == seventeen
    assert browser.run("return latens.app.future.length") == 0
    assert set_input(browser, "search rows", "") == []

    browser.driver.get("about:blank")
    browser.open(link)
    assert chosen(browser) == np.flatnonzero(both).tolist()
    assert browser.errors() == []


def test_a_table_of_columns_is_brushed_by_column(browser: Browser, digits: Site) -> None:
    manifest = json.loads(digits.files["data/manifest.json"])
    values = np.random.default_rng(0).normal(size=ROWS).astype("<f4")
    column = {"name": "width", "kind": "number", "role": "cell", "file": "data/column-9.bin", "dtype": "float32"}
    files = digits.files | {"data/column-9.bin": values.tobytes()}
    files["data/manifest.json"] = json.dumps({**manifest, "columns": [*manifest["columns"], column]}).encode()
    with PageServer(files) as page:
        browser.open(page.url)
        browser.run("latens.app.set({ tab: 'table' })")
        browser.until("document.querySelector('[data-key=c2]')")
        assert set_input(browser, "width to", "-0.5") == np.flatnonzero(values <= -0.5).tolist()
        assert "width" in browser.run("return document.querySelector('.rows thead').innerText")
        assert browser.errors() == []
