"""`latens.explore`: the explorer's page as a widget, without a notebook and, where there is one, in a browser."""

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from browser_fixtures import Browser

import latens
from latens import VAE, latents, pretrained
from latens.data import load
from latens.errors import ConfigError, DataError, UsageError
from latens.evidence import ModelRows
from latens.explorer import notebook
from latens.explorer.page_files import bundled
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("browser_fixtures",)
pytest.importorskip("anywidget", reason="the widget needs anywidget: pip install 'latens[notebook]'")
ROWS = 60


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return TrainedModel.load(pretrained.path("digits-2d"))


@pytest.fixture(scope="module")
def rows(trained: TrainedModel) -> Any:
    data = load("digits", schema=trained.schema)
    return data.x[:ROWS], data.label[:ROWS]  # type: ignore[index]


def manifest(widget: Any) -> dict[str, Any]:
    return json.loads(widget.files["data/manifest.json"])


def test_the_widget_has_the_page_and_the_rows(trained: TrainedModel, rows: Any) -> None:
    x, label = rows
    widget = latens.explore(trained, x, label, height=500)
    assert (manifest(widget)["rows"], widget.height) == ({"shown": ROWS, "of": ROWS}, 500)
    column = manifest(widget)["columns"][0]
    assert (column["name"], column["levels"]) == ("label", [str(digit) for digit in range(10)])
    codes = np.frombuffer(widget.files[column["file"]], "<i4")
    np.testing.assert_array_equal(codes, label)
    means = np.frombuffer(widget.files["data/mean.bin"], "<f4").reshape(ROWS, 2)
    batch = trained.batch(x)
    found = latents.encode(ModelRows(trained.model, batch, key=jax.random.key(0), preparation=trained.preparation))
    np.testing.assert_array_equal(means, found["mean"])
    state = widget.get_state()
    assert {"files", "height", "_esm"} <= set(state)
    assert state["files"]["index.html"].startswith(b"<!doctype html>")


def test_rows_of_an_estimator_as_it_takes_them() -> None:
    x = np.random.default_rng(0).normal(size=(80, 3)) * [1.0, 10.0, 0.1]
    vae = VAE(latent_dim=2, hidden=8, steps=4, random_state=0).fit(x)
    widget = latens.explore(vae, x, ["one", "two"] * 40, title="mine")
    assert (manifest(widget)["title"], manifest(widget)["columns"][0]["levels"]) == ("mine", ["one", "two"])
    means = np.frombuffer(widget.files["data/mean.bin"], "<f4").reshape(80, 2)
    np.testing.assert_allclose(means, vae.transform(x), atol=1e-6)
    assert manifest(latens.explore(vae, x, most_rows=30))["rows"] == {"shown": 30, "of": 80}


def test_what_cannot_be_shown_is_refused(trained: TrainedModel, rows: Any) -> None:
    x, label = rows
    with pytest.raises(UsageError, match="neither a fitted estimator nor a model"):
        latens.explore("model.safetensors", x)
    with pytest.raises(DataError, match=r"rows of shape \(3,\), the model was trained on \(8, 8\)"):
        latens.explore(trained, np.zeros((5, 3)))
    with pytest.raises(DataError, match=r"labels of shape \(59,\) for 60 rows"):
        latens.explore(trained, x, label[1:])


def test_without_anywidget_the_extra_is_named(
    trained: TrainedModel, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    notebook.widget_class.cache_clear()
    try:
        with pytest.raises(ConfigError, match="anywidget is not installed") as caught:
            latens.explore(trained, rows[0])
        assert caught.value.fix == "pip install 'latens[notebook]'"
    finally:
        notebook.widget_class.cache_clear()


def test_the_kernel_decodes_what_the_page_asks_for(trained: TrainedModel, rows: Any) -> None:
    widget = latens.explore(trained, rows[0])
    sent: list[Any] = []
    widget.send = lambda content, buffers=None: sent.append((content, buffers))
    z = np.array([[0.5, -1.0], [2.0, 0.1]], "<f4")
    widget._handle_custom_msg({"kind": "decode", "id": 7}, [memoryview(z.tobytes())])
    [(content, [body])] = sent
    assert content == {"kind": "computed", "id": 7}
    expected = trained.data_units(latents.decode(trained.model, z), mean=True).reshape(2, -1)
    np.testing.assert_array_equal(np.frombuffer(body, "<f4").reshape(2, -1), expected)
    widget._handle_custom_msg({"kind": "decode", "id": 8}, [memoryview(b"12345")])
    assert sent[1] == ({"kind": "computed", "id": 8, "error": "latents are n rows of 2 float32 numbers"}, None)
    widget._handle_custom_msg({"kind": "other"}, [memoryview(z.tobytes())])
    assert len(sent) == 2


def test_modules_are_imported_by_name_from_the_root() -> None:
    files = {
        "app/panels/one.js": (
            b'import { a } from "../dom.js";\nimport b from "../../vendor/x.js";\nexport const t = "./z.js";'
        ),
        "app/main.js": b'import "./dom.js";\nconst x = await import("./ops.js");',
        "style.css": b'@import "./x.js"',
    }
    found = bundled(files)
    assert found["app/panels/one.js"] == (
        b'import { a } from "latens/app/dom.js";\nimport b from "latens/vendor/x.js";\nexport const t = "./z.js";'
    )
    assert found["app/main.js"] == b'import "latens/app/dom.js";\nconst x = await import("latens/app/ops.js");'
    assert found["style.css"] == files["style.css"]


HOST = """<!doctype html><title>notebook</title><div id="cell"></div><script type="module">
import widget from "./widget.js";
const files = await (await fetch("files.json")).json(), listeners = new Set();
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const unpacked = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, bytes(text)]));
const state = { files: unpacked, height: 800 };
globalThis.asked = [];
const model = {
  get: (name) => state[name],
  on: (name, listener) => listeners.add(listener),
  off: (name, listener) => listeners.delete(listener),
  send(content, callbacks, buffers) {
    asked.push(Array.from(new Float32Array(buffers[0].buffer)));
    const cells = new Float32Array(64).fill(asked.at(-1)[0]);
    const answer = [{ kind: "computed", id: content.id }, [new DataView(cells.buffer)]];
    setTimeout(() => listeners.forEach((one) => one(...answer)), 5);
  },
};
widget.render({ model, el: document.getElementById("cell") });
</script>"""


@pytest.mark.parametrize("where", ["in the page", "in the kernel"])
def test_the_widget_shows_the_page_in_a_frame_that_reaches_nothing(
    browser: Browser, trained: TrainedModel, rows: Any, plain_server: Callable[[Path], str], tmp_path: Path, where: str
) -> None:
    widget = latens.explore(trained, *rows)
    files = dict(widget.files)
    if where == "in the kernel":
        about = {**manifest(widget), "decoder": {"kind": "server", "why": "It is another network.", "classes": 0}}
        files["data/manifest.json"] = json.dumps(about).encode()
    (tmp_path / "index.html").write_text(HOST)
    (tmp_path / "widget.js").write_text(widget._esm)
    (tmp_path / "files.json").write_text(json.dumps({k: base64.b64encode(v).decode() for k, v in files.items()}))
    address = plain_server(tmp_path)
    browser.listen()
    browser.heard.clear()
    browser.driver.get(address)
    browser.until("document.querySelector('iframe')")
    frame = browser.driver.find_element("css selector", "iframe")
    assert frame.get_attribute("sandbox") == "allow-scripts allow-downloads"
    browser.driver.switch_to.frame(frame)
    try:
        browser.until("document.querySelector('.stage[data-ready], .error')", seconds=20)
        assert browser.run("return document.querySelector('header').textContent").count("60 rows") == 1
        means = np.frombuffer(widget.files["data/mean.bin"], "<f4").reshape(ROWS, 2)
        np.testing.assert_allclose(browser.run("return Array.from(latens.scatter.x)"), means[:, 0])
        decoded = browser.run("return Array.from(await latens.app.decode(Float32Array.of(0.5, -1)))")
        if where == "in the page":
            expected = trained.data_units(latents.decode(trained.model, np.array([[0.5, -1.0]])), mean=True)
            np.testing.assert_allclose(decoded, expected.reshape(-1), atol=1e-4)
        else:
            assert decoded == [0.5] * 64
        assert browser.run("return origin") == "null"  # it is not of the notebook's origin
        assert browser.run("return await fetch(args[0]).then((r) => r.status)", address) == 404
    finally:
        browser.driver.switch_to.default_content()
    if where == "in the kernel":
        assert browser.run("return asked.at(-1)") == [0.5, -1.0]
    own = {f"{address}{name}" for name in ("", "widget.js", "files.json", "favicon.ico")}
    assert set(browser.requests()) <= own
    assert [error for error in browser.errors() if "favicon" not in error] == []
