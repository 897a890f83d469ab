"""A page in one file: its decoder, its rows, and pictures that were made beforehand."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from browser_fixtures import Browser
from explorer_fixtures import needs_node, untrained
from page_fixtures import Site

from latens.data import load
from latens.explorer import payload, static_files
from latens.explorer.page_files import apart, single_file

pytest_plugins = ("browser_fixtures", "page_fixtures")

rng = np.random.default_rng(5)


@needs_node
def test_pictures_made_beforehand_are_off_by_half_a_shade(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a decoder too large for the page: within the range of the data, which is all that is drawn; and it says so."""
    monkeypatch.setattr("latens.explorer.decoder.MOST_WEIGHTS", 100)
    trained, data = untrained("default", load("digits"), network__kind="conv")
    with monkeypatch.context() as patch:
        patch.setitem(payload.__globals__, "in_shades", lambda *_: None)
        exact = payload(trained, data, most_rows=60)
    small = payload(trained, data, most_rows=60)
    before, after = (json.loads(files["data/manifest.json"])["decoder"] for files in (exact, small))
    for name in ("plane", "lines", "reconstructions"):
        values = np.clip(np.frombuffer(exact[before[name]["file"]], "<f4"), 0.0, 16.0)
        whole = np.frombuffer(small[after[name]["file"]], np.uint8).astype(float)
        assert (after[name]["scale"], after[name]["shift"], after[name]["image"]) == ([16 / 255], [0.0], [8, 8, 1])
        assert np.abs(16 / 255 * whole - values).max() <= 0.501 * 16 / 255
        assert np.ptp(whole) > 20
        assert len(small[after[name]["file"]]) == len(exact[before[name]["file"]]) / 4
    (tmp_path / "page.html").write_bytes(single_file(static_files() | small))
    browser.open((tmp_path / "page.html").as_uri(), seconds=60)
    seen = browser.run("return Array.from(await latens.app.model.reconstruction(7))")
    row = np.frombuffer(exact["data/reconstructed.bin"], "<u4").tolist().index(7)
    kept = np.frombuffer(exact[before["reconstructions"]["file"]], "<f4").reshape(-1, 64)[row]
    np.testing.assert_allclose(seen, np.clip(kept, 0.0, 16.0), atol=0.501 * 16 / 255)
    browser.run("latens.app.set({ tab: 'point' }); await new Promise((done) => setTimeout(done, 200));")
    words = browser.run("return [...document.querySelectorAll('.note')].map((one) => one.textContent).join(' ')")
    assert "more weights than a page should carry" in words
    assert "computed when the page was made" in words
    assert "`" not in words
    assert browser.errors() == []


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


def test_blocks_are_as_small_as_their_numbers_allow() -> None:
    """A file of numbers is smaller with its bytes apart, and comes back."""
    values = np.sort(rng.normal(size=20_000)).astype("<f4").tobytes()
    assert len(gzip.compress(apart(values, 4))) < 0.85 * len(gzip.compress(values))
    for count in (1, 2, 4):
        whole = np.frombuffer(apart(values, count), np.uint8).reshape(count, -1).T.tobytes()
        assert whole == values
