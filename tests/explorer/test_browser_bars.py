"""Bars of the explorer: names stand under them, bins fit the grid of the data, and dates are asked for as dates."""

import json

import numpy as np
from browser_fixtures import Browser
from page_fixtures import ROWS, Site, settled, state
from test_browser_table import bars, set_input

from latens.explorer.server import PageServer

pytest_plugins = ("browser_fixtures", "page_fixtures")


def test_dates_are_asked_for_as_dates_in_bins_of_days(browser: Browser, digits: Site) -> None:
    """Sixty days in bins of two; 24 months in a bin each; a range of dates leaves its rows."""
    manifest = json.loads(digits.files["data/manifest.json"])
    first = int(np.datetime64("2024-01-01", "D").astype(int))
    days = first + np.resize(np.arange(60), ROWS)
    months = np.arange("2023-01", "2025-01", dtype="datetime64[M]").astype("datetime64[D]").astype(int)
    values = {"shipped": days, "month": np.resize(months, ROWS)}
    files = dict(digits.files)
    for k, (name, column) in enumerate(values.items()):
        file = f"data/column-{90 + k}.bin"
        files[file] = column.astype("<f4").tobytes()
        about = {"name": name, "kind": "number", "role": "cell", "file": file, "dtype": "float32", "days": True}
        manifest["columns"] = [*manifest["columns"], about]
    files["data/manifest.json"] = json.dumps(manifest).encode()
    place = len(manifest["columns"]) - 2
    with PageServer(files) as page:
        browser.open(page.url)
        browser.run("latens.app.set({ tab: 'table' })")
        browser.until(f"document.querySelector('[data-key=c{place + 1}] svg')")
        even = bars(browser, f"c{place}")[:, 0]
        assert len(even) == 30
        assert even.min() > 0.8 * even.max()  # 6 or 7 rows a day
        even = bars(browser, f"c{place + 1}")[:, 0]
        assert len(even) == 24
        assert even.min() > 0.8 * even.max()  # 6 or 7 rows a day
        assert set_input(browser, "shipped to", "2024-01-10") == np.flatnonzero(days <= first + 9).tolist()
        assert (
            set_input(browser, "shipped from", "2024-01-03")
            == np.flatnonzero((days >= first + 2) & (days <= first + 9)).tolist()
        )
        kept = browser.run(
            "return ['from', 'to'].map((w) => document.querySelector(`[aria-label='shipped ${w}']`).value)"
        )
        assert kept == ["2024-01-03", "2024-01-10"]
        assert state(browser, "filters")[0]["low"] == first + 2
        browser.run("latens.app.set({ filters: [], colour: args[0] })", f"c{place}")
        settled(browser)
        legend = browser.run("return document.querySelector('.legend').innerText")
        assert "2024-01-0" in legend
        assert "2024-02-2" in legend
        browser.run("latens.app.set({ x: args[0], y: 'u0' })", f"c{place}")
        settled(browser)
        browser.until("/2024-0[12]-/.test(document.querySelector('.stage').textContent)")
        assert browser.errors() == []
