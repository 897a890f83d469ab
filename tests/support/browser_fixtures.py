"""A headless Chromium for tests of the explorer's page, and what it heard and asked for meanwhile."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--force-device-scale-factor=1", "--force-prefers-reduced-motion",
)  # fmt: skip


def missing() -> str:
    """Why there is no browser to test with; empty where there is one."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install 'latens[dev]'"
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    hint = "apt-get install chromium chromium-driver" if absent else ""
    return f"no {' and no '.join(absent)}: {hint}" if absent else ""


class Browser:
    """One tab: what a hand does in it, what its console said that should not be, every address it asked for."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.heard: list[dict[str, Any]] = []

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of an async function's body in the page; `args` holds the arguments."""
        wrapped = (
            "const done = arguments[arguments.length - 1], args = Array.from(arguments).slice(0, -1);"
            f"(async () => {{ {script} }})().then((value) => done({{ value }}),"
            " (error) => done({ error: String(error?.stack ?? error) }));"
        )
        answer = self.driver.execute_async_script(wrapped, *arguments)
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer.get("value")

    def until(self, condition: str, *arguments: Any, seconds: float = 10.0) -> Any:
        """Wait until an expression in the page is true; its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.run(f"return ({condition});", *arguments)
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:g} s: {condition}; {self.errors()}")
            time.sleep(0.05)

    def open(self, url: str, *, seconds: float = 20.0) -> None:
        """A new visit; the page is there when its scatter is."""
        self.listen()
        self.heard.clear()
        self.driver.get("about:blank")
        self.driver.get(url)
        self.until("document.querySelector('.stage[data-ready], .empty, .error, .local')", seconds=seconds)

    def listen(self) -> list[dict[str, Any]]:
        """Everything that the DevTools protocol told since the visit began."""
        entries = self.driver.get_log("performance")
        self.heard += [json.loads(entry["message"])["message"] for entry in entries]
        return self.heard

    def requests(self) -> list[str]:
        """The addresses asked for, of whatever kind, in order."""
        sent = [m["params"] for m in self.listen() if m["method"] == "Network.requestWillBeSent"]
        return [p["request"]["url"] for p in sent if not p["request"]["url"].startswith(("data:", "blob:", "about:"))]

    def errors(self) -> list[str]:
        """Uncaught errors, errors and warnings on the console, and failed requests."""
        found = []
        for message in self.listen():
            method, params = message["method"], message["params"]
            if method == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"].get("exception", {}).get("description", "an exception"))
            if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
            if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return found

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def size(self, width: int, height: int) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def theme(self, name: str) -> None:
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def mouse(self, kind: str, x: float, y: float, *, down: bool = False) -> None:
        """mousePressed, mouseReleased or mouseMoved at a point of the window, as from a hand."""
        pressed = kind != "mouseMoved"
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left" if pressed or down else "none",
                     buttons=1 if down else 0, clickCount=1 if pressed else 0)  # fmt: skip

    def drag(self, points: list[tuple[float, float]]) -> None:
        self.mouse("mouseMoved", *points[0])
        self.mouse("mousePressed", *points[0], down=True)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, down=True)
        self.mouse("mouseReleased", *points[-1])

    def key(self, key: str, *, code: str = "", shift: bool = False) -> None:
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        arrows = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        number = {"Tab": 9, "Enter": 13, "Escape": 27, **arrows}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.command("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, modifiers=8 if shift else 0,
                         windowsVirtualKeyCode=number.get(key, ord(key[0].upper())), **more)  # fmt: skip

    def picture(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))
        return path


def start_browser(*flags: str) -> Browser:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    browser = Browser(driver)
    for domain in ("Network", "Runtime", "Log", "Page"):
        browser.command(f"{domain}.enable")
    browser.size(1280, 900)
    return browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a session; skipped, with the reason, where there is none."""
    why = missing()
    if why:
        pytest.skip(f"browser tests need Chromium and selenium; {why}")
    one = start_browser()
    yield one
    one.driver.quit()
