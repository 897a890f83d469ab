"""The report and the explorer in a browser, light and dark: axe-core finds nothing; the report loads nothing and is no
wider than the page.

Needs chromium with its driver, selenium (in the extra `dev`), and axe-core: `npm install --no-save axe-core@4`, or the
path of its axe.min.js in LATENS_AXE. Skipped with the reason where one of them is absent.
"""

import os
import shutil
from pathlib import Path

import pytest
from paths import ROOT

pytest_plugins = ("cli_fixtures", "page_fixtures")

AXE = Path(os.environ.get("LATENS_AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(browser, tmp_path_factory):
    """A run with its report; asks for the browser first, so that nothing is trained where it is missing."""
    from latens.cli.main import main

    folder = tmp_path_factory.mktemp("axe") / "run"
    plane = ("--set", "network.hidden=32", "--set", "posterior.latent_dim=2")
    assert main(["fit", "digits", "--epochs", "4", *plane, "--out", str(folder), "--quiet"]) == 0
    assert main(["report", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed (pip install 'latens[dev]')"
    )
    if not CHROMIUM or not shutil.which("chromedriver"):
        pytest.skip("chromium or chromedriver is not installed (Debian: apt-get install chromium chromium-driver)")
    if not AXE.is_file():
        pytest.skip(f"no axe-core at {AXE} (npm install --no-save axe-core@4, or set LATENS_AXE)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def show(browser, theme, width):
    """From here on pages are seen in a theme, in a window of this width."""
    feature = {"name": "prefers-color-scheme", "value": theme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def checked(browser):
    """What axe finds on the page that is open, and how many of its rules the page passes."""
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run({resultTypes: ['violations', 'incomplete']}).then(done)"
    )
    violations = [(v["id"], v["impact"], [n["html"][:200] for n in v["nodes"]][:3]) for v in found["violations"]]
    return violations, len(found["passes"])


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(report, browser, theme, width):
    show(browser, theme, width)
    browser.get((report / "report.html").as_uri())
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if theme == "light" else "rgb(22, 25, 31)")
    # Every picture is there, in the colours of the theme, and none had to be fetched.
    loaded = browser.execute_script(
        "return [...document.images].map(i => [i.complete && i.naturalWidth > 0, i.currentSrc.slice(0, 5)])"
    )
    assert loaded
    assert all(entry == [True, "data:"] for entry in loaded)
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    violations, passes = checked(browser)
    assert violations == []
    assert passes > 15


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_the_explorer(browser, request, theme, width):
    page = request.getfixturevalue("page")  # only where there is a browser to show it
    from selenium.webdriver.support.ui import WebDriverWait

    show(browser, theme, width)
    browser.get(page.url)
    ready = "return Boolean(globalThis.latens && document.querySelector('.stage[data-ready]'))"
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(ready))
    browser.execute_script("document.querySelectorAll('.legend button.level')[3].click()")
    for tab in ("point", "paths", "rows", "table", "selection", "groups", "units", "training", "about"):
        browser.execute_script("latens.app.set({ tab: arguments[0], row: 7, a: 3, b: 8 })", tab)
        WebDriverWait(browser, 5).until(lambda driver: driver.execute_script("return !latens.app.waiting"))
        violations, passes = checked(browser)
        assert violations == [], tab
        assert passes > 25, tab
