"""Bars of the explorer: names stand under them, bins fit the grid of the data, and dates are asked for as dates."""

import json

import numpy as np
from browser_fixtures import Browser
from page_fixtures import ROWS, Site, settled, state
from test_browser_table import bars, set_input

from latens.explorer.server import PageServer

pytest_plugins = ("browser_fixtures", "page_fixtures")

DRAW = """const { namesUnder } = await import(new URL("app/names.js", document.baseURI));
  const under = namesUnder(args[0], args[1], 210);
  const texts = under.draw(40, "red").map((one) =>
    [one.textContent, Number(one.getAttribute("x")), one.getAttribute("transform")]);
  return [under.height, texts];"""

APART = """const { namesUnder } = await import(new URL("app/names.js", document.baseURI));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.append(...namesUnder(args[0], args[0].map(() => 1), 210).draw(40, "red"));
  document.body.append(svg);
  const boxes = [...svg.querySelectorAll("text")].map((one) => one.getBoundingClientRect());
  svg.remove();
  return Math.min(...boxes.slice(1).map((box, k) => box.left - boxes[k].right));"""

INSIDE = """const { namesUnder } = await import(new URL("app/names.js", document.baseURI));
  const under = namesUnder(args[0], args[1], 210);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", 210);
  svg.setAttribute("height", 40 + under.height);
  svg.append(...under.draw(40, "red"));
  document.body.append(svg);
  const bottom = svg.getBoundingClientRect().bottom;
  const beyond = [...svg.querySelectorAll("text")].map((one) => one.getBoundingClientRect().bottom - bottom);
  svg.remove();
  return Math.max(...beyond);"""


def test_every_bar_has_its_name_where_there_is_room(browser: Browser, page: PageServer) -> None:
    browser.open(page.url)
    height, texts = browser.run(DRAW, ["one", "two", ""], [0.2, 0.5, 0.3])
    assert height == 11
    assert texts == [["one", 35, None], ["two", 105, None], ["(empty)", 175, None]]
    # Twelve names stand upright, cut to 12 letters, each under the middle of its bar.
    names = [f"level{k % 10} number" for k in range(12)]
    height, texts = browser.run(DRAW, names, list(range(12)))
    assert height == 4 + 6.2 * 12
    assert [text for text, _, _ in texts] == [f"level{k % 10} numb…" for k in range(12)]
    np.testing.assert_allclose([x - 3 for _, x, _ in texts], (np.arange(12) + 0.5) * 17.5)
    assert all(turn.startswith("rotate(-90 ") for _, _, turn in texts)
    # What all begin with is left out where they do not fit, and none runs into the next one.
    groups = [f"Group {k}" for k in "ABCDEF"]
    height, texts = browser.run(DRAW, groups, [1] * 6)
    assert (height, [text for text, _, _ in texts]) == (11, list("ABCDEF"))
    assert [text for text, _, _ in browser.run(DRAW, groups[:3], [1] * 3)[1]] == groups[:3]
    week = ["Monday", "Wednesday", "Thursday", "Sunday", "Friday"]
    assert browser.run(APART, week) >= 0
    assert all(turn for _, _, turn in browser.run(DRAW, week, [1] * 5)[1])
    # And none is cut at the lower edge.
    towns = ["Hamburg", "MANNHEIM", "Wolfsburg", "vandalism", "03641", "Düsseldorf", "Kiel", "Essen"]
    assert browser.run(INSIDE, towns, [1] * len(towns)) <= 0.5
    # Of 42 bars of 5 px, the highest ones have names, at least 9.5 px apart.
    shares = np.zeros(42)
    shares[[7, 8, 30]] = [0.5, 0.4, 0.1]
    _, texts = browser.run(DRAW, [f"n{k}" for k in range(42)], shares.tolist())
    shown = [text for text, _, _ in texts]
    assert {"n7", "n30"} <= set(shown)
    assert "n8" not in shown
    assert np.diff([x for _, x, _ in texts]).min() >= 9.5


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
