"""A page in one file is smaller: how far its numbers are off, and that its pictures are not."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_fixtures import Browser
from explorer_fixtures import needs_node, node, untrained
from page_fixtures import Site

from latens.data import load
from latens.explorer import payload, static_files
from latens.explorer.compact import LOG_VAR_ROWS, LOG_VAR_STEP, MANY, compact, noise
from latens.explorer.decoder import rounded_weights
from latens.explorer.page_files import apart, single_file
from latens.io.safetensors import unpack

pytest_plugins = ("browser_fixtures", "page_fixtures")

rng = np.random.default_rng(5)


def undone(files: dict[str, bytes], described: dict[str, Any]) -> np.ndarray:
    """What the page reads, by hand: steps and noise of the same places."""
    assert described["dtype"] == "int16"
    whole = np.frombuffer(files[described["file"]], "<i2").astype(np.float64)
    scale = np.array(described["scale"])
    return np.array(described["shift"]) + scale * (whole + noise(whole.size)).reshape(-1, len(scale))


@pytest.fixture(scope="module")
def pages() -> tuple[dict[str, bytes], dict[str, bytes]]:
    trained, data = untrained("default", load("digits"))
    return payload(trained, data), payload(trained, data, alone=True)


def test_numbers_are_off_by_half_a_step_at_most(pages: tuple[dict[str, bytes], dict[str, bytes]]) -> None:
    """Steps of a 128th of a unit's spread, of a 1024th of the parts of the ELBO."""
    exact, small = pages
    before, after = (json.loads(files["data/manifest.json"])["arrays"] for files in pages)
    for name in ("mean", "elbo", "log_likelihood", "kl"):
        values = np.frombuffer(exact[before[name]["file"]], "<f4").reshape(before[name]["shape"])
        step = values.std(0, dtype=np.float64) / (128 if name == "mean" else 1024)
        floor = np.maximum(np.abs(values).max(0) * 2.0**-23, np.ptp(values, axis=0) / 60000)
        off = np.abs(undone(small, after[name]) - values)
        assert np.all(off <= 0.501 * np.maximum(step, floor))
        assert off.max() > 0.25 * step.max()  # rounded, and not by less than is said
    log_var = np.frombuffer(exact[before["log_var"]["file"]], "<f4").reshape(before["log_var"]["shape"])
    every = after["log_var"]["every"]
    assert every == -(-len(log_var) // LOG_VAR_ROWS)
    assert np.all(np.abs(undone(small, after["log_var"]) - log_var[::every]) <= 0.501 * LOG_VAR_STEP)


def test_of_many_rows_some_log_variances_are_kept_and_means_have_wider_steps() -> None:
    n, d = 5000, 2
    mean, log_var = rng.normal(size=(n, d)).astype("<f4"), rng.normal(size=(n, d)).astype("<f4")
    for rows, width, steps in ((n, d, 128), (n, MANY // n + 1, 12)):
        values = np.resize(mean, (rows, width)).astype("<f4")
        arrays = {"mean": {"shape": [rows, width], "file": "m"}, "log_var": {"shape": [n, d], "file": "v"}}
        files = {"m": values.tobytes(), "v": log_var.tobytes(), "r": b""}
        arrays["rows"] = {"dtype": "float32"}
        manifest = {"arrays": arrays, "decoder": {"kind": "server"}, "event": {"kind": "curve"}}
        compact(files, manifest)
        np.testing.assert_allclose(arrays["mean"]["scale"], values.std(0, dtype=np.float64) / steps, rtol=1e-6)
        assert arrays["log_var"]["every"] == 3
        assert arrays["log_var"]["shape"] == [1667, 2]
        assert np.abs(undone(files, arrays["log_var"]) - log_var[::3]).max() <= 0.501 * LOG_VAR_STEP


@needs_node
def test_the_page_reads_what_was_rounded(tmp_path: Path) -> None:
    values = np.array([[1.0, -300.0], [2.0, 50.0], [4.0, 700.0]])
    whole = rng.integers(-32767, 32767, size=(700, 2))
    (tmp_path / "whole").write_bytes(whole.astype("<i2").tobytes())
    scale, shift = np.array([0.01, 3.0]), values.mean(0)
    found = node("unrounded", file=str(tmp_path / "whole"), scale=scale.tolist(), shift=shift.tolist())
    expected = shift + scale * (whole + noise(whole.size).reshape(whole.shape))
    np.testing.assert_array_equal(np.reshape(found, whole.shape), expected.astype(np.float32))


@pytest.mark.parametrize("apart_by", [1, 2, 16, 128])
def test_the_noise_makes_no_stripes_of_two_units(apart_by: int) -> None:
    """Of two units of a row it is as of two independent ones: a grid of 10 by 10 places is filled evenly."""
    every = noise(200_000)
    assert (every.min(), every.max()) == pytest.approx((-0.5, 0.5), abs=1e-4)
    pairs = np.histogram2d(every[:-apart_by], every[apart_by:], bins=10, range=[[-0.5, 0.5]] * 2)[0]
    expected = pairs.sum() / 100
    assert np.square(pairs - expected).sum() / expected < 160.1  # chi-square of 99 degrees: one in 10,000 is above


@needs_node
def test_pictures_made_beforehand_are_off_by_half_a_shade(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a decoder too large for the page: within the range of the data, which is all that is drawn; and it says so."""
    monkeypatch.setattr("latens.explorer.decoder.MOST_WEIGHTS", 100)
    trained, data = untrained("default", load("digits"), network__kind="conv")
    exact, small = (payload(trained, data, most_rows=60, alone=alone) for alone in (False, True))
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


@pytest.mark.parametrize("steps", [63, 127, 32767])
def test_weights_are_off_by_half_a_step_of_their_column(steps: int) -> None:
    """Of matrices and kernels; what a head counts and biases stay as they are."""
    arrays = {
        f"decoder.network.{i}.weight": rng.normal(size=shape) * 10.0**i
        for i, shape in enumerate(((8, 5), (4, 3, 3, 6)))
    }
    arrays |= {"decoder.head.shares": rng.normal(size=(3, 4)), "decoder.network.bias": rng.normal(size=(2, 2, 3))}
    arrays = {name: values.astype(np.float32) for name, values in arrays.items()}
    found = rounded_weights(arrays, steps)
    for name, values in arrays.items():
        if not name.endswith("weight"):
            np.testing.assert_array_equal(found[name], values)
            continue
        step = np.abs(values).reshape(-1, values.shape[-1]).max(0).astype(np.float64) / steps
        assert found[name].dtype == np.int16
        off = np.abs(found[name] * step - values)
        assert np.all(off <= 0.501 * step)
        assert off.max() > 0.3 * step.min()


def test_a_page_in_one_file_decodes_as_near_as_it_says(browser: Browser, digits: Site, tmp_path: Path) -> None:
    """The decoder of digits within 1e-4 of the range, and rows as they are."""
    files = static_files() | payload(digits.trained, digits.data, alone=True)
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
    assert np.all(np.abs(mean - digits.means[123]) <= 0.51 * digits.means.std(0) / 128)
    assert browser.errors() == []


def test_blocks_are_as_small_as_their_numbers_allow() -> None:
    """A file of numbers is smaller with its bytes apart, and comes back."""
    values = np.sort(rng.normal(size=20_000)).astype("<f4").tobytes()
    assert len(gzip.compress(apart(values, 4))) < 0.85 * len(gzip.compress(values))
    for count in (1, 2, 4):
        whole = np.frombuffer(apart(values, count), np.uint8).reshape(count, -1).T.tobytes()
        assert whole == values
    kept, _ = unpack(payload(*untrained("default", load("digits")), alone=True)["data/decoder.safetensors"])
    assert kept["decoder.network.layers.0.weight"].dtype == np.int16
