"""The page of a model of music: a piece under the pointer, what a point decodes to, and its words as a label."""

from collections.abc import Iterator

import numpy as np
import pytest
from browser_fixtures import Browser
from explorer_fixtures import untrained
from page_fixtures import Site, pixel, plane, settled, state

from latens.data import load
from latens.explorer.server import PageServer
from latens.explorer.serving import decoder_of

pytest_plugins = ("browser_fixtures", "page_fixtures")

SOUNDING = """const one = document.querySelector(args[0]), [beats, low, high] = args.slice(1);
  const context = one.getContext('2d'), { width, height } = one;
  return Array.from({ length: beats }, (_, beat) => {
    const found = [];
    for (let pitch = high - 1; pitch > low; pitch--) {
      const [x, y] = [((beat + 0.5) * width) / beats, ((high - pitch - 0.5) * height) / (high - low)];
      if (context.getImageData(Math.floor(x), Math.floor(y), 1, 1).data[3] > 200) found.push(pitch);
    }
    return found.join(" ");
  }).join(" | ");"""
"""The pitches at whose height a picture has ink in the middle of each beat."""


@pytest.fixture(scope="module")
def site() -> Site:
    """Pieces of two chords each, the second one higher in later rows."""
    rows = [" | ".join([f"{72 + i % 3} 67 64 48"] * 2 + [f"{74 + i % 5} 71 67 43"] * 2) for i in range(60)]
    trained, data = untrained("text", load(rows, pieces="words"), likelihood__width=8)
    return Site(trained, data, serve=True)


@pytest.fixture(scope="module")
def music(site: Site) -> Iterator[PageServer]:
    with PageServer(site.files, decoder=decoder_of(site.trained, site.files)) as server:
        yield server


def test_a_piece_is_a_roll_under_the_pointer_and_where_one_drags(
    browser: Browser, site: Site, music: PageServer
) -> None:
    browser.open(music.url)
    assert browser.run("return [latens.app.model.event.kind, latens.app.model.event.music]") == ["text", True]
    a, b = plane(browser)
    settled(browser)
    text = site.data.schema.decode(site.data.x[:1])[0]
    browser.mouse("mouseMoved", *pixel(browser, *site.means[0, [a, b]]))
    browser.until(f"document.querySelector('.card canvas')?.getAttribute('aria-label') === {text!r}")
    pitches = [int(word) for word in text.split() if word != "|"]
    ends = (min(*pitches, 55) - 1, max(*pitches, 65) + 2)
    assert browser.run(SOUNDING, ".card canvas", text.count("|") + 1, *ends) == text
    browser.drag([pixel(browser, *site.means[i, [a, b]]) for i in (0, 7)])
    settled(browser)
    decoded = site.data.schema.decode(site.decoded(np.array(state(browser, "z"))))[0]
    browser.until(f"document.querySelector('.decoded canvas').getAttribute('aria-label') === {'decoded: ' + decoded!r}")
    assert decoded
    assert browser.errors() == []
