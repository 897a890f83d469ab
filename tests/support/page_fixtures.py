"""The explorer's page of the shipped digits, served, and what tests ask of it in a browser."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_fixtures import Browser

from latens import latents, pretrained
from latens.data import Dataset, load
from latens.data.dataset import rows_at
from latens.data.row_fields import evenly_spaced
from latens.explorer import payload, static_files
from latens.explorer.server import PageServer, decoder_of
from latens.trained.trained_model import TrainedModel

ROWS = 400


def fewer(data: Dataset, most: int) -> Dataset:
    """Rows of a data set, evenly spaced."""
    return rows_at(data, evenly_spaced(np.arange(len(data)), most))


class Site:
    """A page with what it shows."""

    def __init__(self, trained: TrainedModel, data: Dataset, **options: Any) -> None:
        self.trained, self.data = trained, data
        self.files = static_files() | payload(trained, data, **options)
        codes = latents.encode(trained.rows(data))
        self.means = codes["mean"].reshape(len(data), -1)
        self.noise = np.exp(0.5 * codes["log_variance"]).mean(0)

    def decoded(self, z: Any) -> np.ndarray:
        """What latens makes of latents, in the units of the data."""
        values = latents.decode(self.trained.model, np.atleast_2d(np.asarray(z, np.float32)))
        return self.trained.data_units(values, mean=True).reshape(len(values), -1)


@pytest.fixture(scope="session")
def digits() -> Site:
    """The shipped model with sixteen units."""
    trained = TrainedModel.load(pretrained.path("digits-16d"))
    data = fewer(load("digits", schema=trained.schema), ROWS)
    history = [
        {"step": 10 * i, "epoch": float(i), "train_elbo": -150.0 + 5 * i, "validation_elbo": -151.0 + 4 * i}
        for i in range(1, 6)
    ]  # fmt: skip
    return Site(trained, data, history=history, serve=True)


@pytest.fixture(scope="session")
def page(digits: Site) -> Iterator[PageServer]:
    with PageServer(digits.files, decoder=decoder_of(digits.trained, digits.files)) as server:
        yield server


def arrived(folder: Path, name: str) -> Path:
    """A download, once it is whole."""
    for _ in range(100):
        if (folder / name).exists() and (folder / name).stat().st_size:
            return folder / name
        time.sleep(0.05)
    raise AssertionError(f"no {name}: {sorted(path.name for path in folder.iterdir())}")


def pixel(browser: Browser, x: float, y: float) -> tuple[float, float]:
    """Where a point of the plane is in the window."""
    script = """const { scatter } = latens, { stage } = scatter, box = stage.getBoundingClientRect();
      return [box.left + stage.clientLeft + scatter.px(args[0]), box.top + stage.clientTop + scatter.py(args[1])];"""
    return tuple(browser.run(script, float(x), float(y)))


def state(browser: Browser, name: str) -> Any:
    """A part of the page's state, after its next picture."""
    script = """await new Promise((done) => setTimeout(done, 60));
      const value = latens.app.state[args[0]];
      return ArrayBuffer.isView(value) ? Array.from(value) : value;"""
    return browser.run(script, name)


def shown(browser: Browser) -> np.ndarray:
    """The picture of the decoded point, in the units of the data, as far as 256 shades can say."""
    script = """const { low, high } = latens.app.model.event;
      const canvas = document.querySelector(".decoded canvas");
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return Array.from({ length: pixels.length / 4 }, (_, i) => low + (high - low) * pixels[4 * i] / 255);"""
    return np.array(browser.run(script))


def background(browser: Browser) -> float:
    """How light the page is, from 0 to 255."""
    colour = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    return float(np.mean(browser.run(colour)))


def settled(browser: Browser) -> None:
    """Wait until what is drawn is of the present state."""
    browser.run("await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 150)));")


def plane(browser: Browser) -> tuple[int, int]:
    """The two units that the axes are, after they were made the two with the most KL where they were no units."""
    script = """const { app } = latens, { x, y } = app.state;
      if (x[0] === "u" && y[0] === "u") return;
      const [a, b] = app.model.order;
      app.set({ x: `u${Math.min(a, b)}`, y: `u${Math.max(a, b)}` });
      await new Promise((done) => setTimeout(done, 300));"""
    browser.run(script)
    return int(state(browser, "x")[1:]), int(state(browser, "y")[1:])
