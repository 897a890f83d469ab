"""A page in one file: its decoder, its rows, and pictures that were made beforehand."""

from pathlib import Path

import numpy as np
from browser_fixtures import Browser
from page_fixtures import Site

from latens.explorer import payload, static_files
from latens.explorer.page_files import single_file

pytest_plugins = ("browser_fixtures", "page_fixtures")

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
