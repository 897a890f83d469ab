"""What the explorer says, and where: beside the meter, in legends, in a wide table, and where no row is."""

from collections.abc import Iterator

import numpy as np
import pytest
from browser_fixtures import Browser
from explorer_fixtures import needs_node, node, untrained
from page_fixtures import Site, settled

from latens.data import load
from latens.explorer.server import PageServer
from latens.explorer.serving import decoder_of

pytest_plugins = ("browser_fixtures", "page_fixtures")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A table of 45 numbers and twelve classes."""
    rng = np.random.default_rng(0)
    lines = ["class," + ",".join(f"n{i}" for i in range(45))]
    lines += [f"kind {i % 12 + 1}," + ",".join(f"{v:.3f}" for v in rng.normal(size=45)) for i in range(96)]
    path = tmp_path_factory.mktemp("wide") / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    trained, data = untrained("default", load(str(path), label="class"), likelihood__family="normal")
    site = Site(trained, data, serve=True)
    with PageServer(site.files, decoder=decoder_of(trained, site.files)) as server:
        yield server


@needs_node
def test_classes_stand_as_a_reader_counts() -> None:
    """Sorted names are counted; names with an order of their own keep it."""
    names = sorted(f"kind {i}" for i in range(1, 13))
    assert [names[i] for i in node("inOrder", names=names)] == [f"kind {i}" for i in range(1, 13)]
    assert node("inOrder", names=["low", "middle", "high", "at 10", "at 2"]) == [0, 1, 2, 3, 4]
    assert [node("fixed", value=value) for value in (2.3, 2.29, -0.004)] == ["2.30", "2.29", "\N{MINUS SIGN}0.00"]


def test_a_legend_counts(browser: Browser, wide: PageServer) -> None:
    browser.open(wide.url)
    browser.run("latens.app.set({ colour: 'c0' })")
    browser.until("document.querySelectorAll('.legend .level').length === 12")
    found = browser.run("return [...document.querySelectorAll('.legend .level')].map((one) => one.innerText)")
    assert found == [f"kind {i}" for i in range(1, 13)]


def test_every_column_of_a_table_can_be_seen(browser: Browser, wide: PageServer) -> None:
    browser.open(wide.url)
    browser.run("latens.app.set({ tab: 'table' })")
    columns = "new Set([...document.querySelectorAll('figcaption')].map((one) => one.innerText))"
    browser.until("document.querySelectorAll('.histogram').length >= 40")
    assert not browser.run(f"return {columns}.has('n44')")
    browser.run("[...document.querySelectorAll('button')].find((one) => /more columns/.test(one.innerText)).click()")
    browser.until(f"{columns}.has('n44')")
    script = """const head = document.querySelector('.rows thead th:first-child button');
      return [head.getClientRects().length, head.offsetHeight, document.querySelectorAll('.rows thead th').length];"""
    _, height, cells = browser.run(script)
    assert height < 30  # one line: r/o/w would be three
    assert cells > 45


def test_what_is_far_from_the_data_is_said_in_a_line_or_two(browser: Browser, page: PageServer) -> None:
    browser.command("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(page.url)
    browser.run("latens.app.set({ z: Float32Array.from({ length: 16 }, (_, i) => i % 2 ? 9 : -9) })")
    browser.until("document.querySelector('.meter').innerText.includes('far from the data')")
    words, height, wide = browser.run(
        """const one = document.querySelector('.meter');
           return [one.innerText, one.offsetHeight, one.lastChild.offsetWidth];"""
    )
    assert words.endswith("times as far from the nearest row as most rows are from theirs")
    assert height < 40
    assert wide > 250


def test_a_view_without_a_row_says_so(browser: Browser, page: PageServer) -> None:
    browser.open(page.url)
    settled(browser)
    assert browser.run("return document.querySelector('.away').innerText") == ""
    script = """const { scatter } = latens, [x0, x1, y0, y1] = scatter.whole();
      scatter.look([x0, x0 + (x1 - x0) / 1000, y0, y0 + (y1 - y0) / 1000]);"""
    browser.run(script)
    browser.until("document.querySelector('.away').innerText.startsWith('No row lies in this part')")
    browser.run("document.querySelector('.away button').click()")
    browser.until("document.querySelector('.away').innerText === ''")
